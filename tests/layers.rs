//! The layer rule of CONTRIBUTING.md, read off the sources: nothing points up, and each dependency has one door.

use std::{
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
    for module in ["handshake", "framing", "report", "stream_error"] {
        must_not_name(module, &io);
        must_not_name(module, &["crate::transport", "crate::closing", "crate::stream::", "crate::ffi"]);
    }
    must_not_name("handshake", &["crate::framing", "crate::xml"]);
    must_not_name("framing", &["crate::handshake", "crate::options"]);
}

#[test]
fn nothing_points_up() {
    must_not_name(
        "transport",
        &[
            "crate::handshake",
            "crate::framing",
            "crate::closing",
            "crate::stream",
            "crate::batch",
            "crate::ffi",
            "crate::xml",
        ],
    );
    must_not_name("closing", &["crate::stream::", "crate::batch"]);
    must_not_name("stream", &["crate::batch"]);
    must_not_name("xml", &["crate::handshake", "crate::closing", "crate::transport", "crate::ffi"]);
    for module in modules().iter().filter(|module| !["ffi", "lib"].contains(&module.as_str())) {
        must_not_name(module, &["crate::ffi", "extern \"C\""]);
    }
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
