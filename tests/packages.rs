//! `.ci/packages`, with which every check begins: it names packages that are installed but of no use, and changes
//! nothing. Then what the repository's packages beside the workspace lock.

#[path = "support/clib.rs"]
mod clib;
#[path = "support/expat_header.rs"]
mod expat_header;

use std::{
    collections::BTreeSet,
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// What it complains of; nothing, if it is content.
fn complaint(setting: (&str, String)) -> String {
    let output = Command::new(clib::root().join(".ci/packages")).env(setting.0, setting.1).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.success(), text.is_empty(), "{text}");
    text
}

/// A search path on which `program` is another one.
fn path_with(name: &str, program: &str, script: &str) -> (&'static str, String) {
    let folder = folder(name);
    let file = folder.join(program);
    fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    ("PATH", format!("{}:{}", folder.display(), env::var("PATH").unwrap()))
}

#[test]
fn this_machine_has_all_that_is_needed_whichever_python_comes_first() {
    assert_eq!(complaint(path_with("other-python", "python3", "exit 1")), "");
}

#[test]
fn a_compiler_without_the_runtime_of_its_version_is_named() {
    let cannot_link = "case \"$*\" in *-fsanitize=thread*) echo cannot find libclang_rt.tsan; exit 1; esac\n\
                       exec /usr/bin/clang++ \"$@\"";
    let text = complaint(path_with("other-clang", "clang++", cannot_link));
    assert!(text.contains("clang++ -fsanitize=thread") && text.contains("cannot find libclang_rt.tsan"), "{text}");
    let last = text.lines().last().unwrap();
    assert!(last.contains("apt-get install --reinstall ") && last.ends_with(" clang libclang-rt-dev"), "{last}");
}

#[test]
fn a_release_of_debian_that_is_too_old_is_told_so_in_one_line() {
    let older = "case \"$*\" in *Version*prosody) echo 0.11.9-2;; *Version*libstrophe-dev) echo 0.10.1-1;; \
                 *) exec /usr/bin/dpkg-query \"$@\";; esac";
    let text = complaint(path_with("other-dpkg", "dpkg-query", older));
    let names = "which has prosody 0.12 instead of 0.11.9-2; libstrophe-dev 0.12 instead of 0.10.1-1. Debian 12";
    assert!(text.contains(names) && text.lines().count() == 1, "{text}");
}

#[test]
fn a_header_of_expat_that_is_newer_than_its_library_is_named() {
    let folder = folder("newer-expat");
    expat_header::write_newer(&folder);
    let text = complaint(("CPATH", folder.display().to_string()));
    assert!(text.contains("expat, whose header and library are of one version"), "{text}");
    assert!(text.lines().last().unwrap().ends_with(" libexpat1 libexpat1-dev"), "{text}");
}

/// The entries `NAME = …` of Cargo.toml, each with the title of its section.
fn entries(manifest: &str) -> Vec<(&str, &str, &str)> {
    let mut section = "";
    let mut entries = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            section = line;
        } else if let Some((name, value)) = line.split_once(" = ") {
            entries.push((section, name, value));
        }
    }
    entries
}

/// What the library depends on, on any system, with `features` of it.
fn dependencies<'a>(manifest: &'a str, features: Vec<&'a str>) -> BTreeSet<&'a str> {
    let entries = entries(manifest);
    let mut on = features;
    let mut seen = 0;
    while let Some(feature) = on.get(seen) {
        let needs = entries.iter().find(|(section, name, _)| *section == "[features]" && name == feature);
        on.extend(needs.into_iter().flat_map(|(_, _, needs)| needs.split('"').skip(1).step_by(2)));
        seen += 1;
    }
    let is_dependency = |section: &str| section.ends_with("dependencies]") && !section.contains("dev-");
    let wanted = entries.iter().filter(|(section, name, value)| {
        is_dependency(section)
            && (!value.contains("optional = true") || on.iter().any(|on| on.strip_prefix("dep:") == Some(name)))
    });
    wanted
        .map(|(_, name, value)| {
            value.split_once("package = \"").map_or(*name, |(_, name)| name.split('"').next().unwrap())
        })
        .collect()
}

#[test]
fn the_lock_files_of_benches_and_fuzz_have_what_the_library_depends_on() {
    let read = |file: &str| fs::read_to_string(clib::root().join(file)).unwrap();
    let library = read("Cargo.toml");
    for package in ["benches", "fuzz"] {
        let manifest = read(&format!("{package}/Cargo.toml"));
        let (_, _, value) = entries(&manifest).into_iter().find(|(_, name, _)| *name == "xmpp-close").unwrap();
        let (_, features) = value.split_once("features = [").unwrap();
        let wanted = dependencies(&library, features.split('"').skip(1).step_by(2).collect());
        let lock = read(&format!("{package}/Cargo.lock"));
        let (_, block) = lock.split_once("name = \"xmpp-close\"\n").unwrap();
        let (block, _) = block.split_once("\n]").unwrap();
        // ` "windows-sys 0.61.2",` where several versions of it are locked.
        let locked = block.lines().filter_map(|line| line.strip_prefix(" \"")?.split(['"', ' ']).next()).collect();
        assert_eq!(wanted, locked, "run: cargo update --workspace --manifest-path {package}/Cargo.toml");
    }
}
