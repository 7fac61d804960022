//! The C libraries among others: beside another Rust library, in programs that are linked statically, in debuggers, and built
//! in another place.

#[path = "support/clib.rs"]
mod clib;

use std::{
    env,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn readelf(options: &[&str], file: impl AsRef<OsStr>) -> String {
    clib::run(Command::new("readelf").args(options).arg(file))
}

fn shared() -> PathBuf {
    clib::build().dir.join("libxmpp_close.so")
}

/// A library of somebody else's, which has the standard library in it as well, and catches a panic of its own.
const OTHER: &str = r#"
#[unsafe(no_mangle)]
pub extern "C" fn other_library() -> u32 {
    std::panic::set_hook(Box::new(|_| {}));
    let words: std::collections::HashMap<_, _> = (0..3).map(|n| (n.to_string(), n)).collect();
    let caught = std::thread::spawn(|| std::panic::catch_unwind(|| panic!("{}", 1)).is_err()).join().unwrap();
    words.values().sum::<u32>() + u32::from(caught)
}
"#;

/// Calls both.
const PROGRAM: &str = r#"
#include <stdio.h>
#include <xmpp_close.h>
extern uint32_t other_library(void);
int main(void)
{
    printf("%u %s %d\n", (unsigned)other_library(), xmpp_close_outcome_name(XMPP_CLOSE_CLEAN),
        xmpp_close_fd(-1, NULL, NULL) != XMPP_CLOSE_OK);
    return 0;
}
"#;

#[test]
fn the_static_library_stands_beside_another_rust_library_in_either_order_with_each_linker() {
    let folder = folder("beside");
    fs::write(folder.join("other.rs"), OTHER).unwrap();
    fs::write(folder.join("program.c"), PROGRAM).unwrap();
    let mut rustc = Command::new("rustc");
    rustc.current_dir(&folder).args(["--edition", "2024", "--crate-type", "staticlib", "-O", "other.rs"]);
    clib::run(clib::forget_cargo(&mut rustc));
    let library = clib::build();
    let (ours, theirs) = (library.dir.join("libxmpp_close.a"), folder.join("libother.a"));
    for linker in ["bfd", "gold", "lld"] {
        for archives in [[&ours, &theirs], [&theirs, &ours]] {
            let mut cc = Command::new("cc");
            cc.current_dir(&folder)
                .args(["-Wall", "-Werror", "program.c", "-o", "program"])
                .arg("-I")
                .arg(&library.include);
            clib::run(cc.arg(format!("-fuse-ld={linker}")).args(archives).args(&library.native_libs));
            assert_eq!(clib::run(&mut Command::new(folder.join("program"))), "4 clean 1\n", "{linker}: {archives:?}");
        }
    }
}

#[test]
fn a_program_without_any_shared_library_can_be_linked() {
    let folder = folder("alone");
    let library = clib::build();
    let program = folder.join("program");
    let mut cc = Command::new("cc");
    cc.args(["-static", "-std=c99", "-D_POSIX_C_SOURCE=200809L", "-I"]).arg(&library.include);
    cc.arg(clib::root().join("ffi-tests/installed.c")).arg(library.dir.join("libxmpp_close.a"));
    clib::run(cc.args(&library.native_libs).arg("-o").arg(&program));
    assert!(!readelf(&["-d"], &program).contains("NEEDED"));
    assert_eq!(clib::run(&mut Command::new(program)), "clean, 1 stanza\n");
}

#[test]
fn the_shared_library_is_hardened() {
    let segments = readelf(&["-lW"], shared());
    let stack = segments.lines().find(|line| line.contains("GNU_STACK")).expect("GNU_STACK");
    assert!(stack.contains(" RW ") && segments.contains("GNU_RELRO"), "{segments}");
    let writable_code = segments.lines().find(|line| line.contains("LOAD") && line.contains("RWE"));
    assert_eq!(writable_code, None);
    let dynamic = readelf(&["-dW"], shared());
    assert!(dynamic.contains("BIND_NOW") && !dynamic.contains("TEXTREL") && !dynamic.contains("RUNPATH"), "{dynamic}");
}

#[test]
fn debuggers_and_abidiff_find_the_debug_info_in_a_file_of_its_own() {
    let folder = folder("debug-info");
    clib::make(&["install-debug", &format!("PREFIX={}", folder.display())]);
    let version = env!("CARGO_PKG_VERSION");
    let library = folder.join(format!("lib/libxmpp_close.so.{version}"));
    let debug = folder.join(format!("lib/.debug/libxmpp_close.so.{version}.debug"));
    let id = |file: &Path| readelf(&["-nW"], file).lines().find(|line| line.contains("Build ID")).map(str::to_owned);
    assert!(id(&library).is_some() && id(&library) == id(&debug));
    assert!(!readelf(&["-SW"], &library).contains(".debug_info") && readelf(&["-SW"], &debug).contains(".debug_info"));
    let link = readelf(&["-p", ".gnu_debuglink"], &library);
    assert!(link.contains(debug.file_name().unwrap().to_str().unwrap()), "{link}");
    // It finds the file by that link.
    let known = clib::run(Command::new("abidw").arg("--debug-info-dir").arg(debug.parent().unwrap()).arg(&library));
    for function in clib::declared() {
        assert!(known.contains(&format!("function-decl name='{function}'")), "{function}");
    }
    clib::make(&["uninstall", &format!("PREFIX={}", folder.display())]);
    assert!(!debug.parent().unwrap().exists());
}

/// Copies files and folders, but for what is built and for git's own.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        if [".git", "target", "corpus"].iter().any(|left_out| name == *left_out) {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to.join(name));
        } else {
            fs::copy(entry.path(), to.join(name)).unwrap();
        }
    }
}

/// A home of Cargo with nothing in it but the crates that the library is made of, as `cargo fetch` leaves them.
fn another_home(folder: &Path) -> PathBuf {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.unwrap_or_else(|| PathBuf::from(env::var_os("HOME").unwrap()).join(".cargo"));
    let other = folder.join("home of cargo");
    copy(&home.join("registry/index"), &other.join("registry/index"));
    if home.join("config.toml").exists() {
        fs::copy(home.join("config.toml"), other.join("config.toml")).unwrap();
    }
    for file in clib::files(&home.join("registry/cache")) {
        let crates = ["libc-", "socket2-", "xml-"];
        if file.split('/').next_back().is_some_and(|name| crates.iter().any(|start| name.starts_with(start))) {
            let there = other.join("registry/cache").join(&file);
            fs::create_dir_all(there.parent().unwrap()).unwrap();
            fs::copy(home.join("registry/cache").join(&file), there).unwrap();
        }
    }
    other
}

/// Copies the sources into a folder, builds there without the network, and installs; returns where the libraries are.
fn built(folder: &Path) -> PathBuf {
    let source = folder.join("the source");
    copy(clib::root(), &source);
    let before = clib::files(&source);
    let mut make = Command::new("make");
    make.current_dir(&source).env("CARGO_HOME", another_home(folder)).env("CARGO_NET_OFFLINE", "true");
    make.env("CARGO_TARGET_DIR", folder.join("what is built")).args(["install", "PREFIX=/opt/with blanks"]);
    clib::run(clib::forget_cargo(&mut make).arg(format!("DESTDIR={}", folder.join("a stage").display())));
    assert_eq!(clib::files(&source), before, "the source is only read");
    folder.join("a stage/opt/with blanks/lib")
}

/// Both from nothing: in a build over an older one, rustc numbers the files of the debug info in another order.
#[test]
fn another_folder_and_another_home_of_cargo_give_the_same_bits() {
    let [one, other] = ["a folder with blanks", "other"].map(folder);
    let [one, other] = thread::scope(|scope| {
        [one, other].map(|folder| scope.spawn(move || built(&folder))).map(|built| built.join().unwrap())
    });
    for file in ["libxmpp_close.a", concat!("libxmpp_close.so.", env!("CARGO_PKG_VERSION"))] {
        let [one, other] = [&one, &other].map(|folder| fs::read(folder.join(file)).unwrap());
        assert!(one == other, "{file}: {} and {} bytes", one.len(), other.len());
    }
}
