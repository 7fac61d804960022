//! The C and C++ of the README and of the guide compile as they stand (the README's Rust is a documentation test), and
//! the files and tests that the documents name exist.

#[path = "readme/figures.rs"]
mod figures;
#[path = "readme/links.rs"]
mod links;
#[path = "readme/names.rs"]
mod names;
#[path = "readme/registry.rs"]
mod registry;
#[path = "readme/requirements.rs"]
mod requirements;

use std::{
    collections::BTreeSet,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

const README: &str = include_str!("../README.md");
const ADOPTING: &str = include_str!("../docs/adopting.md");

#[test]
fn the_c_of_the_readme_compiles_without_warnings() {
    all_compiles(README);
}

#[test]
fn the_c_of_the_guide_compiles_without_warnings() {
    all_compiles(ADOPTING);
}

fn all_compiles(document: &str) {
    const CPP: [&[&str]; 2] = [&["g++", "-std=c++11", "-xc++"], &["clang++", "-std=c++20", "-xc++"]];
    compiles(document, "```c\n#include", &[&["gcc", "-std=c99", "-xc"], CPP[0]]);
    compiles(document, "```cpp\n#include", &CPP);
}

fn compiles(text: &str, fence: &str, compilers: &[&[&str]]) {
    let code = text.split(fence).nth(1).expect("such a block").split("```").next().unwrap();
    let code = format!("#include{code}");
    let include = Path::new(env!("CARGO_MANIFEST_DIR")).join("include");
    for compiler in compilers {
        let mut child = Command::new(compiler[0])
            .args(&compiler[1..])
            .args(["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only", "-I"])
            .arg(&include)
            .arg("-")
            .stdin(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", compiler[0]));
        child.stdin.take().unwrap().write_all(code.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success(), "{compiler:?}");
    }
}

#[test]
fn every_feature_is_listed_in_the_readme() {
    let names = |lines: &str, ends: &str| -> Vec<String> {
        lines.lines().filter_map(|line| Some(line.trim_start_matches("| `").split_once(ends)?.0.to_owned())).collect()
    };
    let manifest = include_str!("../Cargo.toml");
    let features = manifest.split("[features]").nth(1).unwrap().split("\n[").next().unwrap();
    let mut features = names(features, " = [");
    let table = README.split("| feature |").nth(1).unwrap().split("\n\n").next().unwrap();
    let mut listed = names(table, "` |");
    features.sort();
    listed.sort();
    assert_eq!(listed, features);
}

#[test]
fn every_test_that_is_named_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = Vec::new();
    for folder in ["src", "tests", "ffi-tests", "tls-tests/tests"] {
        collect(&root.join(folder), &mut sources);
    }
    let text =
        ["docs/guarantees.md", "SECURITY.md"].map(|file| std::fs::read_to_string(root.join(file)).unwrap()).concat();
    let named: Vec<_> = text.split('`').skip(1).step_by(2).filter_map(|code| code.split_once("::")).collect();
    assert!(named.len() > 100, "{named:?}");
    let is_test = |name: &str| name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    // `Stream::close` is no test: what begins with a capital is a type.
    let is_suite = |suite: &str| !suite.starts_with(|c: char| c.is_ascii_uppercase());
    for (suite, name) in named.into_iter().filter(|(suite, name)| is_suite(suite) && is_test(name)) {
        let is_it = |(file, source): &(PathBuf, String)| {
            let has_name = file.iter().any(|part| part == suite || *part == *format!("{suite}.rs"));
            has_name && [format!("fn {name}()"), format!("TEST({name})")].iter().any(|item| source.contains(item))
        };
        assert!(sources.iter().any(is_it), "no test is called {suite}::{name}");
    }
}

/// The sources below a folder.
fn collect(folder: &Path, sources: &mut Vec<(PathBuf, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs" || extension == "c") {
            let inside = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap().to_owned();
            sources.push((inside, std::fs::read_to_string(path).unwrap()));
        }
    }
}

#[test]
fn the_library_and_its_tests_build_with_rust_and_a_c_compiler_alone() {
    for name in crates("xmpp-close") {
        assert!(!["openssl-sys", "pkg-config", "cmake", "bindgen"].contains(&&*name), "{name}");
    }
}

#[test]
fn the_main_command_builds_a_dozen_crates_and_no_c() {
    let crates = crates("xmpp-close-probe");
    assert!(!crates.contains("cc"), "{crates:?}");
    assert!(crates.len() <= 13, "{}: {crates:?}", crates.len());
}

/// The crates that Cargo builds for an example or a test of this package.
fn crates(package: &str) -> BTreeSet<String> {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--package", package, "--edges", "normal,build,dev", "--prefix", "none"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let tree = String::from_utf8(tree.stdout).unwrap();
    let crates: BTreeSet<_> = tree.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect();
    assert!(crates.contains("socket2"), "{tree}");
    crates
}
