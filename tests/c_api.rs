//! The C and C++ programs of ffi-tests/: with the shared library as they are, with the static one under ASan and UBSan,
//! and under valgrind.

#[path = "support/clib.rs"]
mod clib;
#[path = "support/expat_header.rs"]
mod expat_header;

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::Command,
    sync::OnceLock,
    time::{Duration, SystemTime},
};

/// Most programs wait most of the time.
const SIDE_BY_SIDE: [&str; 2] = ["-j4", "--output-sync"];

/// `make` in their folder, with the library that was just built.
fn make(goal: &str) -> Command {
    let library = clib::build();
    let mut make = Command::new("make");
    make.arg("-C")
        .arg(clib::root().join("ffi-tests"))
        .arg(goal)
        .arg(format!("CAPI={}", library.dir.display()))
        .arg(format!("INCLUDE={}", library.include.display()))
        .arg(format!("NATIVE_LIBS={}", library.native_libs.join(" ")));
    clib::forget_cargo(&mut make);
    make
}

/// Builds all that is run here with one `make`, for two of them would build the same files at once.
fn build() {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| {
        for (link, run) in [("static", "plain"), ("shared", "plain"), ("static", "asan")] {
            clib::run(make("programs").args(SIDE_BY_SIDE).args([format!("LINK={link}"), format!("RUN={run}")]));
        }
    });
}

/// Builds and runs them all; what failed is in the output that a failure prints.
fn run(variant: &str, settings: &[&str]) {
    build();
    let output = clib::run(make(variant).args(SIDE_BY_SIDE).args(settings));
    println!("{output}");
    assert!(output.contains(&format!("{variant}: all programs passed")), "{output}");
    assert!(!output.contains("FAILED"), "{output}");
}

#[test]
fn c_programs_pass_with_the_shared_library() {
    run("shared-plain", &[]);
}

#[test]
fn sanitizers_find_nothing() {
    run("static-asan", &[]);
}

#[test]
fn valgrind_finds_nothing() {
    run("static-valgrind", &[]);
}

#[test]
fn threads_race_for_nothing() {
    run("static-helgrind", &[]);
}

#[test]
fn programs_that_count_and_refuse_memory_pass() {
    run("static-plain", &["PROGRAMS=costs memory"]);
}

#[test]
fn programs_are_built_again_when_a_header_of_the_system_changes_even_to_an_older_one() {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("built-again");
    let _ = fs::remove_dir_all(&out);
    fs::create_dir_all(&out).unwrap();
    let object = out.join("objects-plain/parser.o");
    let build = || {
        let mut make = make(object.to_str().unwrap());
        make.arg(format!("OUT={}", out.display())).args(["LINK=static", "RUN=plain"]).env("CPATH", &out);
        clib::run(&mut make);
        clib::run(Command::new("nm").arg("--undefined-only").arg(&object)).contains("XML_SetReparseDeferralEnabled")
    };
    for declared in [false, true, false] {
        expat_header::write(&out, declared);
        // As a package brings it: made long before our object was.
        let header = fs::File::options().write(true).open(out.join("expat.h")).unwrap();
        header.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)).unwrap();
        assert_eq!(build(), declared, "whether the object calls what the header has");
    }
    let built = fs::metadata(&object).unwrap().modified().unwrap();
    build();
    assert_eq!(fs::metadata(&object).unwrap().modified().unwrap(), built, "nothing has changed since");
}

#[test]
fn every_function_of_the_header_is_called() {
    let mut called = BTreeSet::new();
    for entry in fs::read_dir(clib::root().join("ffi-tests")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "c" || extension == "cc") {
            called.extend(clib::functions(&fs::read_to_string(path).unwrap()));
        }
    }
    let declared = clib::declared();
    let missing: Vec<_> = declared.difference(&called).collect();
    assert!(missing.is_empty(), "not called by any program of ffi-tests: {missing:?}");
}
