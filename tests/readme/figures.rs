//! Each figure of the README is a link to where it was measured, and says what stands there. The title of the link tells
//! the row of a table: what its first cells begin with.

use std::{fs, path::Path};

use super::links::{headings, prose};

/// A link `[text](target#anchor "title")`.
struct Link {
    text: String,
    target: String,
    anchor: String,
    title: String,
}

/// The links of a page outside of its code, and what stands beside them.
fn links(page: &str) -> (Vec<Link>, String) {
    let (mut found, mut beside) = (Vec::new(), String::new());
    let text: String = prose(page).map(|line| line.split('`').step_by(2).collect::<String>() + "\n").collect();
    let mut rest = text.as_str();
    while let Some(middle) = rest.find("](") {
        let start = rest[..middle].rfind('[').unwrap_or_else(|| panic!("no [ in front of {:?}", &rest[middle..]));
        let target = &rest[middle + 2..];
        // A title may hold brackets.
        let (quote, bracket) = (target.find(" \""), target.find(')').expect("the end of a link"));
        let length = if quote.is_some_and(|quote| quote < bracket) { target.find("\")").unwrap() + 1 } else { bracket };
        let (address, title) = target[..length].split_once(" \"").unwrap_or((&target[..length], ""));
        let (target, anchor) = address.split_once('#').unwrap_or((address, ""));
        found.push(Link {
            text: rest[start + 1..middle].to_owned(),
            target: target.to_owned(),
            anchor: anchor.to_owned(),
            title: title.trim_end_matches('"').to_owned(),
        });
        beside += &rest[..start];
        rest = &rest[middle + 2 + length + 1..];
    }
    (found, beside + rest)
}

/// What makes a number a figure.
const UNITS: [&str; 16] =
    ["s", "ms", "µs", "ns", "min", "KiB", "MiB", "GiB", "kB", "MB", "MB/s", "GB/s", "%", "×", "times", "seconds"];

/// The first number in a text.
fn number(text: &str) -> Option<&str> {
    let start = text.find(|c: char| c.is_ascii_digit())?;
    let rest = &text[start..];
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    Some(rest[..end].trim_end_matches('.'))
}

/// The lines below the heading with this anchor, up to the next one that is as high.
fn section<'a>(page: &'a str, wanted: &str) -> Vec<&'a str> {
    let depth = |line: &str| line.bytes().take_while(|byte| *byte == b'#').count();
    let heading = headings(page).into_iter().find(|(_, anchor)| anchor == wanted).map_or("", |(line, _)| line);
    let lines = prose(page).skip_while(|line| *line != heading).skip(1);
    lines.take_while(|line| depth(line) == 0 || depth(line) > depth(heading)).collect()
}

/// What `link` should say, if that is something else than it says.
fn wrong(link: &Link, document: &str) -> Option<String> {
    let says = number(&link.text)?;
    let section = section(document, &link.anchor);
    if link.title.is_empty() {
        let numbers: Vec<_> = section.iter().flat_map(|line| line.split(' ')).filter_map(number).collect();
        return (!numbers.contains(&says)).then(|| format!("{says} stands nowhere in #{}", link.anchor));
    }
    let wanted: Vec<_> = link.title.split(" | ").collect();
    let rows = section.iter().map(|line| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>());
    let row = rows
        .into_iter()
        .find(|row| row.len() > wanted.len() && wanted.iter().zip(row).all(|(wanted, cell)| cell.starts_with(wanted)));
    let Some(row) = row else { return Some(format!("no row of #{} begins with {:?}", link.anchor, link.title)) };
    let numbers: Vec<_> = row[wanted.len()..].iter().filter_map(|cell| number(cell)).collect();
    (!numbers.contains(&says)).then(|| format!("{says} is not in the row of {:?}: {numbers:?}", link.title))
}

/// A number with a unit that is in no link.
fn loose(beside: &str) -> Option<String> {
    let words: Vec<_> = beside.split_whitespace().collect();
    let is_unit = |word: &str| UNITS.contains(&word.trim_matches(|c| ".,;:()*".contains(c)));
    let is_number = |word: &str| number(word).is_some_and(|it| word.trim_matches(|c| "(*".contains(c)) == it);
    words.windows(2).find(|pair| is_number(pair[0]) && is_unit(pair[1])).map(|pair| pair.join(" "))
}

#[test]
fn every_figure_of_the_readme_is_what_was_measured() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (links, beside) = links(super::README);
    let mut measured = 0;
    for link in links.iter().filter(|link| link.target.starts_with("docs/") && link.text.len() < 20) {
        let document = fs::read_to_string(root.join(&link.target)).unwrap();
        if let Some(wrong) = wrong(link, &document) {
            panic!("[{}] should be what {} says: {wrong}", link.text, link.target);
        }
        if link.target == "docs/performance.md" && number(&link.text).is_some() {
            assert!(!link.title.is_empty(), "[{}] does not say from which row it is", link.text);
            measured += 1;
        }
    }
    assert!(measured >= 4, "{measured}");
    assert_eq!(loose(&beside), None, "a figure without a link to where it was measured");
}

#[test]
fn a_figure_is_held_against_its_row() {
    let document = "# A\n\n## Time\n\n| bar | is |\n|---|---|\n| fast: at most 2 × | 1.03 × |\n| 9000 | batch | 26.9 |\n\nIt took 16.8 s.\n\n## B\n\n7.0 s\n";
    let link = |text: &str, title: &str| Link {
        text: text.to_owned(),
        target: String::new(),
        anchor: "time".to_owned(),
        title: title.to_owned(),
    };
    for (text, title) in [("1.03 times", "fast"), ("26.9 µs", "9000 | batch"), ("16.8 s", ""), ("measured", "nothing")]
    {
        assert_eq!(wrong(&link(text, title), document), None, "{text}");
    }
    for (text, title) in
        [("2 times", "fast"), ("1.0 times", "fast"), ("26.9 µs", "900 | thread"), ("7.0 s", ""), ("3", "x")]
    {
        assert!(wrong(&link(text, title), document).is_some(), "{text}");
    }
    assert_eq!(loose("Rust 1.85 or newer, in 10 minutes").as_deref(), None);
    assert_eq!(loose("it takes (1.04 times) as long").as_deref(), Some("(1.04 times)"));
    assert_eq!(loose("after 7.0 s."), Some("7.0 s.".to_owned()));
}
