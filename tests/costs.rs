//! What must not become dearer unnoticed: instructions, counted by callgrind in `ffi-tests/costs.c` and `speed.c`.
//! Unlike times, they are the same on a busy machine; `make bench` measures those.

#[path = "support/clib.rs"]
mod clib;
#[path = "support/mix.rs"]
mod mix;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// An event loop that serves thousands of streams is never to notice them.
const MOST: u64 = 400;
/// The calls that let something go out, or take something over: they put a few texts together, and ask for memory.
const SAY: [&str; 7] = ["finish", "finish_with_an_error", "detach", "sent", "stream_error", "malformed", "late_tick"];
const MOST_TO_SAY: u64 = 4_000;

fn build(name: &str) -> PathBuf {
    let library = clib::build();
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("costs").join(name);
    let program = out.join("static-plain").join(name);
    let mut make = Command::new("make");
    make.arg("-C").arg(clib::root().join("ffi-tests")).args(["LINK=static", "RUN=plain"]).arg(&program);
    // Each test has its own folder, because two `make`s would build the same files at once.
    make.arg(format!("OUT={}", out.display()));
    make.arg(format!("CAPI={}", library.dir.display()));
    make.arg(format!("INCLUDE={}", library.include.display()));
    make.arg(format!("NATIVE_LIBS={}", library.native_libs.join(" ")));
    clib::run(clib::forget_cargo(&mut make));
    program
}

/// The instructions of whatever the program gave a name.
fn measure(name: &str, arguments: &[&str]) -> Vec<(u64, String)> {
    let program = build(name);
    let dumps = program.with_file_name(format!("{name}-{}", std::process::id()));
    fs::create_dir(&dumps).unwrap();
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--quiet", "--tool=callgrind", "--collect-atstart=no"]);
    valgrind.arg(format!("--callgrind-out-file={}", dumps.join("costs").display()));
    clib::run(valgrind.arg(program).args(arguments));
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

/// Fails when `measured` is more than a tenth above what it was, and when it has become so much less that this is not
/// the bound to keep.
fn holds(what: &str, measured: f64, was: f64) {
    println!("{what}: {measured:.3}, was {was}");
    assert!(measured <= was * 1.1, "{what}: {measured:.3}, was {was}");
    assert!(measured >= was * 0.7, "{what}: {measured:.3}, was {was}: lower the bound");
}

#[test]
fn every_event_in_every_state_takes_few_instructions() {
    let mut costs = measure("costs", &[]);
    costs.sort();
    for name in ["finish in open", "written in reply over TLS", "late_tick in written", "stream_error in over"] {
        assert!(costs.iter().any(|cost| cost.1 == name), "{name} was not measured");
    }
    assert!(costs.len() > 500, "{} were measured", costs.len());
    assert!(costs[0].0 > 5, "{:?}: nothing was measured", costs[0]);
    let (say, others): (Vec<_>, Vec<_>) =
        costs.iter().partition(|(_, name)| SAY.contains(&name.split(' ').next().unwrap_or_default()));
    for (costs, most) in [(say, MOST_TO_SAY), (others, MOST)] {
        let dearest = &costs[costs.len() - 5..];
        println!("{dearest:#?}");
        assert!(dearest[4].0 <= most, "{dearest:#?}");
    }
}

#[test]
fn framing_and_closing_take_no_more_instructions_than_before() {
    let (stanzas, count) = mix::mix(512 * 1024);
    let stream = [mix::HEADER, &stanzas, mix::END].concat();
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("stream-{}.xml", std::process::id()));
    fs::write(&file, &stream).unwrap();
    let costs = measure("speed", &[file.to_str().unwrap(), &count.to_string()]);
    fs::remove_file(file).unwrap();
    let of =
        |name: &str| costs.iter().find(|cost| cost.1 == name).unwrap_or_else(|| panic!("{name}: {costs:?}")).0 as f64;
    holds("a byte of a stream in 4 KiB pieces", of("framing in 4 KiB pieces") / stream.len() as f64, 8.18);
    holds("a byte of a stream in 1-byte pieces", of("framing in 1-byte pieces") / stream.len() as f64, 300.0);
    holds("a close", of("a close"), 9_220.0); // a tenth of it clears and fills the texts of the report
}
