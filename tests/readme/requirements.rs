//! docs/requirements.md lists each id of a rule that is cited anywhere, and no other.

use std::{collections::BTreeMap, fs, path::Path};

const LIST: &str = "docs/requirements.md";
const FOLDERS: [&str; 9] =
    ["src", "tests", "ffi-tests", "tls-tests", "fuzz/src", "benches/src", "examples", "include", "docs"];
const PREFIXES: [&str; 11] = ["HS", "ER", "ID", "NG", "XM", "TL", "TC", "SE", "BK", "I", "F"];

/// The ids in a text: `HS-01`.
fn ids(text: &str) -> Vec<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    words.filter(|word| is_id(word)).collect()
}

fn is_id(word: &str) -> bool {
    let parts = word.split_once('-');
    parts.is_some_and(|(prefix, number)| {
        PREFIXES.contains(&prefix) && number.len() == 2 && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

#[test]
fn an_id_is_seen_wherever_it_stands() {
    let found = |text| ids(text).join(" ");
    assert_eq!(found("(HS-01, F-28): I-09. `TC-04`"), "HS-01 F-28 I-09 TC-04");
    assert_eq!(found("UTF-16 F-1 F-123 ISO-88 HS-0x XF-12 ASCII-12 I-09-12"), "");
}

#[test]
fn every_id_that_is_cited_is_listed_and_every_listed_one_is_cited() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let list = fs::read_to_string(root.join(LIST)).unwrap();
    let listed: Vec<&str> =
        list.lines().filter_map(|line| line.strip_prefix("| ")?.split(' ').next()).filter(|id| is_id(id)).collect();
    for (number, id) in listed.iter().enumerate() {
        assert!(!listed[..number].contains(id), "{id} is listed twice");
    }
    let mut cited = BTreeMap::new();
    for folder in FOLDERS.iter().map(|folder| root.join(folder)).filter(|folder| folder.exists()) {
        collect(&folder, &mut cited);
    }
    for entry in fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            note(&path, &mut cited);
        }
    }
    let unlisted = cited.iter().filter(|(id, _)| !listed.contains(&id.as_str()));
    let unlisted: Vec<_> = unlisted.map(|(id, place)| format!("{place} cites {id}")).collect();
    assert!(unlisted.is_empty(), "{LIST} does not list: {unlisted:#?}");
    let uncited: Vec<_> = listed.iter().filter(|id| !cited.contains_key(**id)).collect();
    assert!(uncited.is_empty(), "{LIST} lists what nothing cites, so that these lines can go: {uncited:?}");
}

#[test]
fn the_headers_name_no_ids() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("include");
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        assert!(ids(&text).is_empty(), "{}: {:?}", path.display(), ids(&text));
    }
}

/// The ids below a folder, with a file that cites each.
fn collect(folder: &Path, cited: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, cited);
        } else {
            note(&path, cited);
        }
    }
}

fn note(path: &Path, cited: &mut BTreeMap<String, String>) {
    // Here and in the list they are no citations. What is no text cites nothing.
    if path.ends_with(LIST) || path.ends_with("readme/requirements.rs") {
        return;
    }
    let Ok(text) = fs::read_to_string(path) else { return };
    for id in ids(&text) {
        cited.entry(id.to_owned()).or_insert_with(|| path.display().to_string());
    }
}
