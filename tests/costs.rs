//! What an event costs the loop that tells it: instructions, counted by callgrind in `ffi-tests/costs.c`.

#[path = "support/clib.rs"]
mod clib;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// An event loop that serves thousands of streams is never to notice them.
const MOST: u64 = 200;

fn build() -> PathBuf {
    let library = clib::build();
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("costs");
    let program = out.join("static-plain/costs");
    let mut make = Command::new("make");
    make.arg("-C").arg(clib::root().join("ffi-tests")).args(["LINK=static", "RUN=plain"]).arg(&program);
    make.arg(format!("OUT={}", out.display()));
    make.arg(format!("CAPI={}", library.dir.display()));
    make.arg(format!("INCLUDE={}", library.include.display()));
    make.arg(format!("NATIVE_LIBS={}", library.native_libs.join(" ")));
    clib::run(clib::forget_cargo(&mut make));
    program
}

/// The instructions of each event in each state, under the name that the program gave them.
fn measure() -> Vec<(u64, String)> {
    let program = build();
    let dumps = program.with_file_name(format!("dumps-{}", std::process::id()));
    fs::create_dir(&dumps).unwrap();
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--quiet", "--tool=callgrind", "--collect-atstart=no"]);
    valgrind.arg(format!("--callgrind-out-file={}", dumps.join("costs").display()));
    clib::run(valgrind.arg(program));
    let mut costs = Vec::new();
    for dump in fs::read_dir(&dumps).unwrap() {
        let text = fs::read_to_string(dump.unwrap().path()).unwrap();
        let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).map(str::to_owned);
        // The last dump is that of the program's end.
        if let Some(name) = value("desc: Trigger: Client Request: ") {
            costs.push((value("summary: ").expect("a sum").parse().unwrap(), name));
        }
    }
    fs::remove_dir_all(&dumps).unwrap();
    costs
}

#[test]
fn every_event_in_every_state_takes_few_instructions() {
    let mut costs = measure();
    costs.sort();
    let dearest = &costs[costs.len() - 10..];
    println!("{dearest:#?}");
    for name in ["begin in open", "flushed in reply over TLS", "late_tick in wait", "unknown_stream_error in done"] {
        assert!(costs.iter().any(|cost| cost.1 == name), "{name} was not measured");
    }
    assert!(costs.len() > 500, "{} were measured", costs.len());
    assert!(costs[0].0 > 5, "{:?}: nothing was measured", costs[0]);
    assert!(dearest[9].0 <= MOST, "{dearest:#?}");
}
