//! Each link of a document leads to a file, and to a heading in it; README's contents are its headings.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A link `[text](target#anchor "title")`. Without what is in code.
pub struct Link {
    pub text: String,
    pub target: String,
    pub anchor: String,
    pub title: String,
}

/// The text without its code.
pub fn without_code(text: &str) -> String {
    let text: String = text.split("```").step_by(2).collect();
    text.split('`').step_by(2).collect()
}

/// The links of a document, and what stands beside them.
pub fn links(document: &str) -> (Vec<Link>, String) {
    let (mut found, mut beside) = (Vec::new(), String::new());
    let text = without_code(document);
    let mut rest = text.as_str();
    while let Some(middle) = rest.find("](") {
        let start = rest[..middle].rfind('[').unwrap_or_else(|| panic!("no [ in front of {:?}", &rest[middle..]));
        let target = &rest[middle + 2..];
        // A title may hold brackets.
        let (quote, bracket) = (target.find(" \""), target.find(')').expect("the end of a link"));
        let length = if quote.is_some_and(|quote| quote < bracket) { target.find("\")").unwrap() + 1 } else { bracket };
        let (inside, end) = (&target[..length], middle + 2 + length);
        let (address, title) = inside.split_once(" \"").unwrap_or((inside, ""));
        let (target, anchor) = address.split_once('#').unwrap_or((address, ""));
        found.push(Link {
            text: rest[start + 1..middle].to_owned(),
            target: target.to_owned(),
            anchor: anchor.to_owned(),
            title: title.trim_end_matches('"').replace('\n', " "),
        });
        beside += &rest[..start];
        rest = &rest[end + 1..];
    }
    (found, beside + rest)
}

/// The headings of a document, with their depth.
pub fn headings(document: &str) -> Vec<(usize, String)> {
    let text: String = document.split("```").step_by(2).collect();
    let heading = |line: &str| {
        let depth = line.bytes().take_while(|byte| *byte == b'#').count();
        line[depth..].strip_prefix(' ').filter(|_| depth > 0).map(|title| (depth, title.to_owned()))
    };
    text.lines().filter_map(heading).collect()
}

/// The anchor that a heading gets where Markdown is shown.
pub fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// All that is written for people, but the changelog's old names.
fn documents() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = [root.to_owned(), root.join("docs")];
    let entries = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap());
    let mut documents: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    documents.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    documents
}

#[test]
fn every_link_leads_to_a_file_and_to_a_heading() {
    let mut seen = 0;
    for document in documents() {
        let name = document.display();
        let text = fs::read_to_string(&document).unwrap();
        for link in links(&text).0.iter().filter(|link| !link.target.contains("://")) {
            let target = document.parent().unwrap().join(&link.target);
            let target = if link.target.is_empty() { document.clone() } else { target };
            assert!(target.exists(), "{name} links to {}, which is not there", link.target);
            if !link.anchor.is_empty() {
                let inside = fs::read_to_string(&target).unwrap();
                let there = headings(&inside).iter().any(|(_, heading)| anchor(heading) == link.anchor);
                assert!(there, "{name} links to {}#{}: no such heading", link.target, link.anchor);
            }
            seen += 1;
        }
    }
    assert!(seen > 50, "{seen}");
}

#[test]
fn the_contents_of_the_readme_are_its_headings() {
    let text = super::README;
    let (listed, _) = links(text.split("\n## ").next().unwrap());
    let listed: Vec<_> = listed.into_iter().filter(|link| link.target.is_empty()).collect();
    let headings: Vec<_> = headings(text).into_iter().filter(|(depth, _)| *depth == 2).collect();
    let listed: Vec<_> = listed.iter().map(|link| (link.text.as_str(), link.anchor.clone())).collect();
    let headings: Vec<_> = headings.iter().map(|(_, heading)| (heading.as_str(), anchor(heading))).collect();
    assert_eq!(listed, headings);
}
