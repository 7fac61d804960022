//! docs/performance.md, section by section, and the plots beside it.

use std::{fs, path::PathBuf};

use crate::{machine, plot};

const HEAD: &str = "# Performance

Written by `make bench`, which measures everything anew, with all that it is compared with in the same run;
`make bench BENCH=framing` does so for one section. Contenders take turns, in rounds, so that whatever else the machine does
slows all of them; figures are medians of the rounds, and ± is half of the distance between the quartiles. What must
not get worse unnoticed is counted in instructions by `tests/costs.rs`, in every `make check`.
";

/// What a part found out.
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
    let mut page = HEAD.to_owned();
    for part in order {
        let (begin, end) = (format!("\n<!-- {part} -->\n"), format!("<!-- end of {part} -->\n"));
        let old = before.split_once(&begin).and_then(|(_, rest)| rest.split_once(&end)).map(|(old, _)| old);
        if let Some(text) = if *part == name { Some(&*text) } else { old } {
            page.push_str(&[&begin, text, &end].concat());
        }
    }
    fs::write(path, page).unwrap();
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
