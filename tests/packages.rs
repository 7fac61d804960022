//! `.ci/packages`, with which every check begins: it names packages that are installed but of no use, and changes
//! nothing.

#[path = "support/clib.rs"]
mod clib;
#[path = "support/expat_header.rs"]
mod expat_header;

use std::{
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
fn a_header_of_expat_that_is_newer_than_its_library_is_named() {
    let folder = folder("newer-expat");
    expat_header::write_newer(&folder);
    let text = complaint(("CPATH", folder.display().to_string()));
    assert!(text.contains("expat, whose header and library are of one version"), "{text}");
    assert!(text.lines().last().unwrap().ends_with(" libexpat1 libexpat1-dev"), "{text}");
}
