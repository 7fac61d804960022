//! The examples as programs: built, and run.
#![allow(dead_code, reason = "each test file uses its part")]

use std::{
    io::Read,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Builds the example of this name like the running test and returns its path. `cargo test` has done so before,
/// unless it was told to run this test only; `.ci/suites` says that it has.
pub fn build(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the path of the test");
    let profile_dir = test.parent().and_then(Path::parent).expect("target/PROFILE/deps/TEST");
    let program = profile_dir.join("examples").join(name).with_extension(std::env::consts::EXE_EXTENSION);
    if std::env::var_os("XMPP_CLOSE_BUILT").is_some() {
        return program;
    }
    let profile = match profile_dir.file_name().and_then(|name| name.to_str()) {
        Some("debug") => "dev",
        other => other.expect("a profile"),
    };
    let features = [
        ("batch", cfg!(feature = "batch")),
        ("capi", cfg!(feature = "capi")),
        ("header", cfg!(feature = "header")),
        ("log", cfg!(feature = "log")),
        ("rustls", cfg!(feature = "rustls")),
        ("serde", cfg!(feature = "serde")),
    ];
    let features: Vec<_> = features.iter().filter(|feature| feature.1).map(|feature| feature.0).collect();
    // By its name: a test that Cargo did not start would else compile a dependency with the toolchain which that asks for.
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--quiet", "--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")]);
    cargo.args(["--example", name, "--profile", profile, "--features", &features.join(",")]);
    // What Cargo has set for the test would make it build some dependencies anew.
    let of_the_test =
        |name: &str| ["CARGO_PKG_", "CARGO_MANIFEST_", "OUT_DIR"].iter().any(|start| name.starts_with(start));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(of_the_test)) {
        cargo.env_remove(name);
    }
    let status = cargo.arg("--target-dir").arg(profile_dir.parent().expect("target")).status().expect("cargo runs");
    assert!(status.success(), "{name} does not build");
    program
}

/// What a program left behind.
#[derive(Debug)]
pub struct Output {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

/// Runs a program to its end, which must come within a minute.
pub fn run(program: &Path, args: &[&str], env: &[(&str, &Path)]) -> Output {
    let mut command = Command::new(program);
    command.args(args).envs(env.iter().copied()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the example starts");
    let stdout = collect(child.stdout.take().expect("piped"));
    let stderr = collect(child.stderr.take().expect("piped"));
    let status = wait(&mut child);
    let text = |thread: thread::JoinHandle<String>| thread.join().expect("UTF-8");
    Output { status, stdout: text(stdout), stderr: text(stderr) }
}

fn collect(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut text = String::new();
        pipe.read_to_string(&mut text).expect("UTF-8");
        text
    })
}

fn wait(child: &mut Child) -> ExitStatus {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("a child of ours") {
            return status;
        }
        if start.elapsed() > Duration::from_secs(60) {
            let _ = child.kill();
            let _ = child.wait();
            panic!("the example does not end");
        }
        thread::sleep(Duration::from_millis(5));
    }
}
