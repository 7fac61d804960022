//! What CONTRIBUTING.md names is there: each file, and in it each function and type that is named behind it.

use std::{fs, path::Path};

use super::links::prose;

/// The files of a page, each with what is named directly behind it: `file.rs` `function`, `Type`.
fn named(page: &str) -> Vec<(String, Vec<String>)> {
    let text: String = prose(page).map(|line| line.to_owned() + "\n").collect();
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    let mut follows = false;
    for (number, part) in text.split('`').enumerate() {
        if number % 2 == 0 {
            follows &= part.chars().all(|c| c.is_whitespace() || c == ',') || part.trim() == "and";
        } else if is_file(part) {
            found.push((part.to_owned(), Vec::new()));
            follows = true;
        } else if follows && part.chars().all(|c| c.is_alphanumeric() || c == '_') {
            found.last_mut().unwrap().1.push(part.to_owned());
        } else {
            follows = false;
        }
    }
    found
}

fn is_file(code: &str) -> bool {
    let extension = Path::new(code).extension().and_then(|extension| extension.to_str());
    code.contains('/') && !code.contains(' ') && matches!(extension, Some("rs" | "c" | "cc" | "h" | "hpp" | "md"))
}

/// Whether a source has an item of this name.
fn has(source: &str, name: &str) -> bool {
    let kinds = ["fn", "struct", "enum", "trait", "const", "type", "class"];
    let is_whole = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
    kinds.iter().any(|kind| {
        let item = format!("{kind} {name}");
        source.match_indices(&item).any(|(start, _)| is_whole(&source[start + item.len()..]))
    })
}

#[test]
fn every_file_and_function_that_is_named_to_contributors_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("CONTRIBUTING.md")).unwrap();
    let (mut wrong, mut names) = (Vec::new(), 0);
    for (file, items) in named(&page) {
        let Ok(source) = fs::read_to_string(root.join(&file)) else {
            wrong.push(file);
            continue;
        };
        names += items.len();
        wrong.extend(items.iter().filter(|item| !has(&source, item)).map(|item| format!("{item} in {file}")));
    }
    assert!(wrong.is_empty(), "not there: {wrong:#?}");
    assert!(names > 60, "only {names} functions and types were found");
}

#[test]
fn every_module_is_in_the_code_map() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("CONTRIBUTING.md")).unwrap();
    for entry in fs::read_dir(root.join("src")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let is_named = name == "lib.rs" || !name.ends_with(".rs") || page.contains(&format!("| `src/{name}`"));
        assert!(is_named || page.contains(&format!(", `src/{name}`")), "src/{name} is not in the code map");
    }
}

#[test]
fn what_is_named_behind_a_file_is_looked_for_in_it() {
    let page = "See `a/b.rs` `one`, `two`: there `three` is no name.\n```\n`c/d.rs`\n```\n`e/f.rs`\n`Four` and `five`. `g/h.rs`, `h/`, `six`";
    let found = named(page);
    let expected = [("a/b.rs", vec!["one", "two"]), ("e/f.rs", vec!["Four", "five"]), ("g/h.rs", vec![])];
    let expected = expected.map(|(file, items)| (file.to_owned(), items.into_iter().map(str::to_owned).collect()));
    assert_eq!(found, expected);
    assert!(has("pub fn one(", "one") && has("enum Four<T> {", "Four"));
    assert!(!has("fn once(", "one") && !has("// fn on", "one") && !has("let one = 1;", "one"));
}
