//! Every link of every Markdown page leads somewhere: to a file of the repository, and to a heading of that file.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

/// A page with more lines than this has a list of its contents.
const LONG: usize = 150;

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let mut links = 0;
    for page in pages() {
        for link in links_of(&page) {
            links += 1;
            assert!(leads_somewhere(&page, &link), "{} links to {link}", page.display());
        }
    }
    assert!(links > 100, "only {links} links were found");
}

#[test]
fn every_long_page_lists_its_contents() {
    let is_in_docs = |page: &Path| page.parent().is_some_and(|folder| folder.ends_with("docs"));
    let top = [root().join("README.md"), root().join("CONTRIBUTING.md")];
    for page in pages().iter().filter(|page| is_in_docs(page) || top.contains(page)) {
        let text = fs::read_to_string(page).unwrap();
        let links = links_of(page);
        for (heading, anchor) in sections(&text).filter(|_| text.lines().count() > LONG) {
            assert!(links.contains(&format!("#{anchor}")), "{} does not list {heading:?}", page.display());
        }
    }
}

/// The headings of the second level, with their anchors.
fn sections(text: &str) -> impl Iterator<Item = (&str, String)> {
    headings(text).into_iter().filter_map(|(line, anchor)| Some((line.strip_prefix("## ")?, anchor)))
}

/// All Markdown pages of the repository.
fn pages() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && !name.starts_with('.') && name != "target" {
                folders.push(path);
            } else if name.ends_with(".md") {
                found.push(path);
            }
        }
    }
    assert!(found.len() > 5, "{found:?}");
    found
}

/// The targets of the links and images of a page, other than those in its code.
pub fn links_of(page: &Path) -> Vec<String> {
    let text = fs::read_to_string(page).unwrap();
    let text: String = prose(&text).map(|line| line.split('`').step_by(2).collect::<String>() + "\n").collect();
    text.split("](").skip(1).map(|rest| rest.split([')', ' ']).next().unwrap().to_owned()).collect()
}

/// The lines of a page that are not inside a block of code.
pub fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut in_code = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        in_code ^= fence;
        !in_code && !fence
    })
}

fn leads_somewhere(page: &Path, link: &str) -> bool {
    if link.contains("://") || link.starts_with("mailto:") {
        return true; // other sites are not asked
    }
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target = if file.is_empty() { page.to_owned() } else { page.parent().unwrap().join(file) };
    if anchor.is_empty() {
        return target.exists();
    }
    fs::read_to_string(target).is_ok_and(|text| headings(&text).iter().any(|(_, known)| known == anchor))
}

/// The headings of a page, each with the anchor that a renderer of Markdown gives it: in small letters, without
/// punctuation, with hyphens for spaces, and a number for a heading that stood there before.
pub fn headings(text: &str) -> Vec<(&str, String)> {
    let mut seen = HashMap::new();
    let mut found = Vec::new();
    for line in prose(text).filter(|line| line.starts_with('#')) {
        let name = line.trim_start_matches('#').trim().to_lowercase();
        let kept = name.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
        let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
        let times = seen.entry(anchor.clone()).and_modify(|times| *times += 1).or_insert(0);
        found.push((line, if *times == 0 { anchor } else { format!("{anchor}-{times}") }));
    }
    found
}

#[test]
fn anchors_are_made_as_a_renderer_makes_them() {
    let text = "# An event loop in C++\n## With `XEP-0198`: one, two\n```c\n# define NONE\n```\n## Traps\n## Traps\n";
    let anchors: Vec<_> = headings(text).into_iter().map(|(_, anchor)| anchor).collect();
    assert_eq!(anchors, ["an-event-loop-in-c", "with-xep-0198-one-two", "traps", "traps-1"]);
}
