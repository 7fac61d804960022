//! The layer rule of CONTRIBUTING.md, read off the sources: nothing points up, and each dependency has one door.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// The Rust files below a folder, if there is one.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { rust_files(&path) } else { vec![path] }).collect()
}

/// All sources of a module: `src/name.rs` and the files below `src/name/`, without comments and unit tests.
fn sources(module: &str) -> Vec<(String, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = rust_files(&src.join(module));
    files.push(src.join(format!("{module}.rs")));
    files
        .into_iter()
        .map(|file| {
            let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            let code = text.split("#[cfg(test)]").next().unwrap();
            let code = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
            (file.display().to_string(), code)
        })
        .collect()
}

fn modules() -> Vec<String> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let names = fs::read_dir(src).unwrap().map(|entry| entry.unwrap().path());
    names
        .filter(|path| path.extension().is_some_and(|e| e == "rs"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect()
}

fn must_not_name(module: &str, words: &[&str]) {
    for (file, code) in sources(module) {
        for word in words {
            assert!(!code.contains(word), "{file} names {word}");
        }
    }
}

#[test]
fn the_core_has_no_io_and_no_clock() {
    let io = [
        "std::net",
        "io::Read",
        "io::Write",
        "io::{",
        "std::os",
        "std::thread",
        "Instant",
        "SystemTime",
        "libc",
        "socket2",
        "unsafe",
        "xml_rs",
    ];
    for module in ["engine", "handshake", "framing", "report", "stream_error"] {
        must_not_name(module, &io);
        must_not_name(module, &["crate::transport", "crate::closing", "crate::stream::", "crate::ffi"]);
    }
    must_not_name("engine", &["crate::handshake"]);
    must_not_name("handshake", &["crate::engine", "crate::framing", "crate::xml"]);
    must_not_name("framing", &["crate::handshake", "crate::options"]);
}

/// The modules of this crate that some code names: `crate::a::b`, and each first name in `crate::{a, b::{c, d}}`.
fn used(code: &str) -> BTreeSet<String> {
    let name = |text: &str| {
        let name: String = text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        // What the crate exports itself has a name that is none of a module.
        Some(name).filter(|name| name.starts_with(|c: char| c.is_ascii_lowercase()))
    };
    let mut names = BTreeSet::new();
    for (at, word) in code.match_indices("crate::") {
        let rest = &code[at + word.len()..];
        let Some(list) = rest.strip_prefix('{') else {
            names.extend(name(rest));
            continue;
        };
        let (mut depth, mut item) = (0, 0);
        for (at, c) in list.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth > 0 => depth -= 1,
                ',' | '}' if depth == 0 => {
                    names.extend(name(&list[item..at]));
                    item = at + 1;
                    if c == '}' {
                        break;
                    }
                }
                _ => {}
            }
        }
    }
    names
}

/// Each module, and those that it may name. `ffi` and `lib` stand above all.
const MAY_USE: &[(&str, &[&str])] = &[
    ("process", &[]),
    ("error", &[]),
    ("framing", &[]),
    ("stream_error", &["error"]),
    ("report", &["stream_error"]),
    ("cancel", &["process"]),
    ("options", &["cancel", "error", "framing", "stream_error"]),
    ("handshake", &["options", "report"]),
    ("xml", &["error", "framing", "stream_error"]),
    ("engine", &["error", "framing", "options", "report", "stream_error", "xml"]),
    ("transport", &["process"]),
    ("closing", &["cancel", "engine", "error", "framing", "options", "report", "stream_error", "transport", "xml"]),
    (
        "stream",
        &["cancel", "closing", "engine", "error", "framing", "options", "report", "stream_error", "transport", "xml"],
    ),
    (
        "batch",
        &["cancel", "closing", "error", "options", "process", "report", "stream", "stream_error", "transport", "xml"],
    ),
];

#[test]
fn nothing_points_up() {
    let mut above = BTreeSet::from(["ffi", "lib"]);
    for (module, may_use) in MAY_USE.iter().rev() {
        above.insert(module);
        for name in *may_use {
            assert!(!above.contains(name), "{name} stands below {module}");
        }
        for (file, code) in sources(module) {
            for name in used(&code) {
                assert!(name == *module || may_use.contains(&name.as_str()), "{file} names {name}");
            }
        }
    }
    let known: BTreeSet<_> = MAY_USE.iter().map(|(module, _)| *module).chain(["ffi", "lib"]).collect();
    for module in modules() {
        assert!(known.contains(module.as_str()), "{module} has no place");
        if !["ffi", "lib"].contains(&module.as_str()) {
            must_not_name(&module, &["extern \"C\""]);
        }
    }
}

#[test]
fn modules_are_known_however_they_are_named() {
    let code = "use crate::{a::B, c::{self, d::E}, f as g};\npub use crate::h; m!($crate::i::j); crate::K; crate::l()";
    assert_eq!(used(code), ["a", "c", "f", "h", "i", "l"].map(str::to_owned).into());
}

#[test]
fn each_dependency_has_one_door() {
    for module in modules() {
        if module != "xml" {
            must_not_name(&module, &["xml_rs"]);
        }
        if module != "transport" {
            must_not_name(&module, &["socket2::", "rustls::", "openssl::", "polling::"]);
        }
        if !["transport", "ffi"].contains(&module.as_str()) {
            must_not_name(&module, &["libc::", "unsafe {", "unsafe fn", "allow(unsafe_code)]\n    //"]);
        }
    }
}

#[test]
fn each_unsafe_block_says_why_it_is_safe() {
    for module in modules() {
        for (file, _) in sources(&module) {
            let text = fs::read_to_string(&file).unwrap();
            let lines: Vec<&str> = text.lines().collect();
            for (number, line) in lines.iter().enumerate().filter(|(_, line)| line.contains("unsafe {")) {
                let above = &lines[number.saturating_sub(4)..=number];
                assert!(above.iter().any(|line| line.contains("SAFETY:")), "{file}:{}: {line}", number + 1);
            }
        }
    }
}
