//! include/xmpp_close.h is what build.rs generates, and any C or C++ compiler takes it.

use std::{
    env, fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

const GENERATED: &str = include_str!(concat!(env!("OUT_DIR"), "/xmpp_close.h"));

#[test]
fn the_committed_header_is_the_generated_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("include/xmpp_close.h");
    if env::var_os("BLESS").is_some() {
        fs::write(&path, GENERATED).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    if let Some((line, (is, should_be))) =
        committed.lines().zip(GENERATED.lines()).enumerate().find(|(_, (is, should_be))| is != should_be)
    {
        panic!(
            "include/xmpp_close.h is stale in line {}:\n  is        {is}\n  should be {should_be}\n\
             To rewrite it: BLESS=1 cargo test --features header --test header",
            line + 1
        );
    }
    assert!(committed == GENERATED, "include/xmpp_close.h is too long or too short: BLESS=1 rewrites it");
}

/// Every initializer in use, and nothing included but the header itself.
const PROGRAM: &str = "
#include <xmpp_close.h>
size_t all_initializers(void);
size_t all_initializers(void)
{
    xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
    xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
    xmpp_close_transport transport = XMPP_CLOSE_TRANSPORT_INIT;
    xmpp_close_batch_options batch_options = XMPP_CLOSE_BATCH_OPTIONS_INIT;
    xmpp_close_summary summary = XMPP_CLOSE_SUMMARY_INIT;
    uint32_t outcome = XMPP_CLOSE_CLEAN;
    int result = XMPP_CLOSE_ERR_NULL;
    report.outcome = outcome;
    transport.fd = result;
    summary.streams = batch_options.total_ms;
    return options.struct_size + report.struct_size + transport.struct_size + batch_options.struct_size +
           summary.struct_size + XMPP_CLOSE_VERSION_NUMBER;
}
";

fn compiles(compiler: &str, language: &str, standard: &str, program: &str) {
    let mut child = Command::new(compiler)
        .args([
            "-Wall",
            "-Wextra",
            "-Wpedantic",
            "-Wconversion",
            "-Wsign-conversion",
            "-Werror",
            "-fsyntax-only",
            "-x",
            language,
        ])
        .arg(format!("-std={standard}"))
        .arg("-I")
        .arg(env!("OUT_DIR"))
        .arg("-")
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{compiler}: {error}"));
    child.stdin.take().unwrap().write_all(program.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let messages = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{compiler} -std={standard}:\n{messages}");
    assert!(messages.is_empty(), "{compiler} -std={standard}:\n{messages}");
}

#[test]
fn every_c_standard_takes_the_header() {
    for compiler in ["gcc", "clang"] {
        for standard in ["c99", "c11", "c17", "c2x"] {
            compiles(compiler, "c", standard, "#include <xmpp_close.h>\n");
            compiles(compiler, "c", standard, PROGRAM);
        }
    }
}

#[test]
fn every_cpp_standard_takes_the_header() {
    for compiler in ["g++", "clang++"] {
        for standard in ["c++11", "c++14", "c++17", "c++20"] {
            compiles(compiler, "c++", standard, "#include <xmpp_close.h>\n");
            compiles(compiler, "c++", standard, PROGRAM);
        }
    }
}

#[test]
fn no_line_is_wider_than_a_terminal() {
    for (index, line) in GENERATED.lines().enumerate() {
        assert!(line.chars().count() <= 85 && line.trim_end() == line, "line {}: {line}", index + 1);
    }
}

/// The programs in the header: what stands in ```` ```example ```` at the top of these files.
fn programs() -> String {
    let files = [include_str!("../src/ffi.rs"), include_str!("../src/ffi/framer.rs")];
    let comment = files.iter().flat_map(|file| file.lines().map_while(|line| line.strip_prefix("//!")));
    let (mut code, mut is_code) = (String::new(), false);
    for line in comment.map(|line| line.strip_prefix(' ').unwrap_or(line)) {
        match line {
            "```example" => is_code = true,
            "```" => is_code = false,
            _ if is_code => {
                assert!(GENERATED.contains(line), "the header lacks: {line}");
                code += line;
                code += "\n";
            }
            _ => {}
        }
    }
    code
}

#[test]
fn the_programs_in_the_header_compile() {
    let programs = programs();
    for use_of in ["xmpp_close_fd(", "xmpp_close_step(", "xmpp_close_new(", "xmpp_close_batch_run(", "_framer_next("] {
        assert!(programs.contains(use_of), "no program with {use_of}");
    }
    for (compiler, language, standard) in [("gcc", "c", "c99"), ("clang", "c", "c17"), ("g++", "c++", "c++11")] {
        compiles(compiler, language, standard, &programs);
    }
}
