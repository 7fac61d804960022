//! docs/performance.md, section by section, and the plots beside it.

use std::{fs, path::PathBuf};

use crate::{machine, plot};

const HEAD: &str = "# Performance

This page answers: what does a close cost, in time, memory and system calls? How does that compare with a loop that knows
nothing of XMPP, and with other libraries and parsers? And does the cost grow faster than what the peer sends?
";

/// Behind the list of the contents.
const HOW: &str = "
`make bench` measures everything anew and writes this page; `make bench BENCH=framing` does so for one section. Everything
that is compared is measured in the same run, in rounds in which the contenders take turns, so that other work of the machine
slows all of them alike. A figure is the median of the rounds, and ± is half of the distance between the quartiles. A *bar* is
what a figure is held against; a bar that was missed is shown like one that was met. `tests/costs.rs` counts instructions in
every `make check`, so that nothing gets dearer unnoticed between two runs.
";

/// What a part has measured.
pub struct Section {
    pub title: &'static str,
    /// It refers to the plots, which are drawn from its tables, as `performance/…`.
    pub text: String,
}

/// Puts a section in its place, and leaves the others alone.
pub fn write(name: &str, order: &[&str], section: Section) {
    let path = docs().join("performance.md");
    let before = fs::read_to_string(&path).unwrap_or_default();
    let text = format!("## {}\n\n{}\n\n*{}*\n", section.title, section.text.trim_end(), machine::describe());
    let mut contents = String::new();
    let mut sections = String::new();
    for part in order {
        let (begin, end) = (format!("\n<!-- {part} -->\n"), format!("<!-- end of {part} -->\n"));
        let old = before.split_once(&begin).and_then(|(_, rest)| rest.split_once(&end)).map(|(old, _)| old);
        if let Some(text) = if *part == name { Some(&*text) } else { old } {
            let title = text.trim_start_matches("## ").lines().next().unwrap_or_default();
            contents.push_str(&format!("* [{title}](#{})\n", title.to_lowercase().replace(' ', "-")));
            sections.push_str(&[&begin, text, &end].concat());
        }
    }
    fs::write(path, [HEAD, "\n", &contents, HOW, &sections].concat()).unwrap();
}

/// Draws the plots of all sections anew.
pub fn draw() {
    for (file, content) in plot::all(&fs::read_to_string(docs().join("performance.md")).unwrap()) {
        fs::write(docs().join("performance").join(file), content).unwrap();
    }
}

fn docs() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs"))
}
