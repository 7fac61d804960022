//! The C libraries, as `make` builds them.

#![allow(dead_code, reason = "no test program uses all of it")]

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// Where the C API is to be found.
pub struct CLib {
    /// Holds xmpp_close.h.
    pub include: PathBuf,
    /// Holds libxmpp_close.a and libxmpp_close.so, and the name the latter has at run time.
    pub dir: PathBuf,
    /// What a program that takes the static library must link, too.
    pub native_libs: Vec<String>,
}

/// Runs `make all`, once in each test program; Cargo's lock keeps several of them apart, and all but the first find it done.
pub fn build() -> &'static CLib {
    static BUILT: OnceLock<CLib> = OnceLock::new();
    BUILT.get_or_init(|| {
        make(&["all"]);
        let root = root();
        let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir));
        let dir = target.join(env::var_os("CARGO_BUILD_TARGET").unwrap_or_default()).join("capi");
        let native_libs = fs::read_to_string(dir.join("native-static-libs")).unwrap();
        let native_libs = native_libs.split_whitespace().map(str::to_owned).collect();
        CLib { include: root.join("include"), dir, native_libs }
    })
}

/// The project's folder, also for tests of another package in it.
pub fn root() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.ancestors().find(|folder| folder.join("xmpp-close.pc.in").exists()).expect("the project's folder")
}

/// The functions that the header declares.
pub fn declared() -> BTreeSet<String> {
    let names = functions(&fs::read_to_string(root().join("include/xmpp_close.h")).unwrap());
    assert!(names.len() > 30 && names.contains("xmpp_close_fd"), "{names:?}");
    names
}

/// Every word in front of a parenthesis that has our prefix, outside comments: not the one in sizeof(xmpp_close_options).
pub fn functions(source: &str) -> BTreeSet<String> {
    let mut code = String::new();
    let mut rest = source;
    while let Some(start) = rest.find("/*") {
        code += &rest[..start];
        rest = &rest[start + rest[start..].find("*/").unwrap() + 2..];
    }
    code += rest;
    let mut names = BTreeSet::new();
    for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
        for (end, _) in line.match_indices('(') {
            let word = line[..end].rsplit(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap();
            if word.starts_with("xmpp_close_") {
                names.insert(word.to_owned());
            }
        }
    }
    names
}

/// Everything below `folder` that is no folder, sorted.
pub fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                found.push(entry.path().strip_prefix(folder).unwrap().display().to_string());
            }
        }
    }
    found.sort();
    found
}

/// Runs `make` in the project's folder.
pub fn make(arguments: &[&str]) {
    let mut make = Command::new("make");
    make.current_dir(root()).args(arguments);
    run(forget_cargo(&mut make));
}

/// Builds C and C++ examples by their own Makefile, as a reader would, with a compiler and flags of the test's. A standard of C
/// among the flags means the oldest C++ that the C++ examples take.
pub fn make_examples(names: &[&str], compiler: &str, flags: &str, settings: &[String]) {
    let mut make = Command::new("make");
    make.arg("-C").arg(root().join("examples/c")).arg("--always-make").args(names);
    const STRICT: &str = "-Wall -Wextra -Wpedantic -Werror";
    let of_cpp =
        |flag| if str::starts_with(flag, "-std=c") && !flag.starts_with("-std=c++") { "-std=c++11" } else { flag };
    let cpp_flags: Vec<_> = flags.split_whitespace().map(of_cpp).collect();
    let cpp_compiler = if compiler == "gcc" { "g++" } else { "clang++" };
    make.arg(format!("CC={compiler}")).arg(format!("CFLAGS={STRICT} {flags}"));
    make.arg(format!("CXX={cpp_compiler}")).arg(format!("CXXFLAGS={STRICT} {}", cpp_flags.join(" "))).args(settings);
    run(forget_cargo(&mut make));
}

/// A setting for [`make_examples`]: with the static library.
pub fn linked_statically() -> String {
    let library = build();
    let archive = library.dir.join("libxmpp_close.a");
    format!("XMPP_CLOSE=-I{} {} {}", library.include.display(), archive.display(), library.native_libs.join(" "))
}

/// Removes what the Cargo or make that runs this test has set for its own children, so that those of the test begin anew.
pub fn forget_cargo(command: &mut Command) -> &mut Command {
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        let is_of_the_package = text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST");
        if is_of_the_package
            || ["MAKEFLAGS", "MFLAGS", "MAKELEVEL", "CARGO_MAKEFLAGS", "LD_LIBRARY_PATH"].contains(&&*text)
        {
            command.env_remove(&name);
        }
    }
    command
}

/// Runs a command to its end, which must be a good one; returns what it printed.
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{out}\n{err}", output.status);
    out
}
