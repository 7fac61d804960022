//! The layer rule of CONTRIBUTING.md, read off the sources: nothing points up, each dependency is used in one
//! place, and no struct has too many fields.

#[path = "layers/sources.rs"]
mod sources;

use std::collections::BTreeSet;

use sources::{Source, exports, modules, named, structs};

fn must_not_name(module: &str, words: &[&str]) {
    for source in Source::of(module) {
        let code = source.without_comments_and_tests();
        for word in words {
            assert!(!code.contains(word), "{} names {word}", source.name);
        }
    }
}

#[test]
fn the_core_has_no_io_and_no_clock() {
    let io = [
        "std::net",
        "io::Read",
        "io::Write",
        "io::{",
        "std::os",
        "std::thread",
        "Instant",
        "SystemTime",
        "libc",
        "socket2",
        "unsafe",
        "xml_rs",
    ];
    for module in ["engine", "framing", "report", "stream_error"] {
        must_not_name(module, &io);
    }
}

/// Each module, and those that it may name. `ffi` and `lib` stand above all.
const MAY_USE: &[(&str, &[&str])] = &[
    ("process", &[]),
    ("names", &[]),
    ("condition", &["names"]),
    ("error", &["condition", "names"]),
    ("framing", &["condition"]),
    ("stream_error", &["condition", "error", "framing"]),
    ("report", &["names", "stream_error"]),
    ("phase", &["report"]),
    ("transport", &["process"]),
    ("cancel", &["transport"]),
    ("options", &["cancel", "error", "framing", "stream_error"]),
    ("xml", &["condition", "error", "framing", "stream_error"]),
    ("engine", &["condition", "error", "framing", "options", "phase", "report", "stream_error", "xml"]),
    (
        "closing",
        &["cancel", "engine", "error", "framing", "options", "phase", "report", "stream_error", "transport", "xml"],
    ),
    (
        "stream",
        &[
            "cancel",
            "closing",
            "condition",
            "engine",
            "error",
            "framing",
            "options",
            "report",
            "stream_error",
            "transport",
            "xml",
        ],
    ),
    (
        "batch",
        &["cancel", "closing", "error", "options", "process", "report", "stream", "stream_error", "transport", "xml"],
    ),
];

/// What of `source` is against the rule.
fn wrong(source: &Source, module: &str, may_use: &[&str], exports: &[(String, String)]) -> BTreeSet<String> {
    let known = modules();
    let allowed = |name: &str| name == module || may_use.contains(&name);
    let names = named(source, exports).into_iter();
    // A name that is of no module is all of the crate: `crate::*`, or a path that nobody can follow.
    names.filter(|name| !allowed(name) || !known.contains(name)).collect()
}

#[test]
fn nothing_points_up() {
    let mut above = BTreeSet::from(["ffi", "lib"]);
    let exports = exports();
    for (module, may_use) in MAY_USE.iter().rev() {
        above.insert(module);
        for name in *may_use {
            assert!(!above.contains(name), "{name} stands below {module}");
        }
        for source in Source::of(module) {
            let wrong = wrong(&source, module, may_use, &exports);
            assert!(wrong.is_empty(), "{} names {wrong:?}", source.name);
        }
    }
    let known: BTreeSet<_> = MAY_USE.iter().map(|(module, _)| *module).chain(["ffi", "lib"]).collect();
    for module in modules() {
        assert!(known.contains(module.as_str()), "{module} has no place");
        if !["ffi", "lib"].contains(&module.as_str()) {
            must_not_name(&module, &["extern \"C\""]);
        }
    }
}

#[test]
fn a_module_is_seen_however_it_is_named() {
    let exports = [("Batch".to_owned(), "batch".to_owned()), ("close".to_owned(), "closing".to_owned())];
    let found = |code: &str| {
        let source = Source::from_text(&["engine", "inner"], code);
        wrong(&source, "engine", &["options"], &exports).into_iter().collect::<Vec<_>>().join(" ")
    };
    for (code, expected) in [
        ("use crate::{options::Limits, engine::Engine, batch};", "batch"),
        ("use crate::{options::{self, Limits}, closing::driver::{self, Driver}, stream as s};", "closing stream"),
        ("pub use crate::xml;", "xml"),
        ("pub(crate) use super::super::transport::poll;", "transport"),
        ("use super::{super::{framing::Framer, options}, facts};", "framing"),
        ("use super::facts; use self::deeper::Thing; use std::fmt;", ""),
        ("fn f() { let x = crate::ffi::g(); }", "ffi"),
        ("fn f(x: &super::super::closing::Closing) {}", "closing"),
        ("impl crate::stream::Stream { fn f(self) {} }", "stream"),
        ("fn f() { assert_eq!(crate::batch::X, [super::super::xml::Y]); }", "batch xml"),
        ("macro_rules! m { () => { $crate::transport::f() } }", "transport"),
        ("#[derive(crate::ffi::Thing)] struct S;", "ffi"),
        ("/// [`a link`](crate::batch::Batch) is no use.\nstruct S;", ""),
        ("mod deepest { use super::super::super::stream; }", "stream"),
        ("mod deepest { use super::super::facts; }", ""),
        ("use crate::Batch;", "batch"),
        ("fn f() { crate::close(tcp) }", "closing"),
        ("use crate::*;", "*"),
        ("use super::super::*;", "*"),
        ("use super::*;", ""),
        ("#[cfg(test)] mod tests { use crate::batch; }", ""),
    ] {
        assert_eq!(found(code), expected, "{code}");
    }
}

#[test]
fn each_dependency_has_one_door() {
    for module in modules() {
        if module != "xml" {
            must_not_name(&module, &["xml_rs"]);
        }
        if module != "closing" {
            must_not_name(&module, &["log::"]);
        }
        if module != "transport" {
            must_not_name(&module, &["socket2::", "rustls::", "openssl::", "polling::"]);
        }
        if !["transport", "ffi"].contains(&module.as_str()) {
            must_not_name(&module, &["libc::", "unsafe {", "unsafe fn", "allow(unsafe_code)]\n    //"]);
        }
    }
}

/// `UnixStream` is a transport, and names itself.
#[test]
fn each_system_has_one_place() {
    let modules = modules().into_iter().filter(|module| module != "ffi");
    let sources = modules.flat_map(|module| Source::of(&module));
    for source in sources.filter(|source| !source.name.contains("src/transport/system")) {
        let code = source.without_comments_and_tests().replace("std::os::unix::net::UnixStream, owned", "");
        for word in ["libc::", "windows_sys", "std::os::", " os::"] {
            assert!(!code.contains(word), "{} names {word}", source.name);
        }
    }
}

#[test]
fn each_unsafe_block_says_why_it_is_safe() {
    for source in modules().iter().flat_map(|module| Source::of(module)) {
        let lines: Vec<&str> = source.text.lines().collect();
        for (number, line) in lines.iter().enumerate().filter(|(_, line)| line.contains("unsafe {")) {
            let above = &lines[number.saturating_sub(4)..=number];
            assert!(above.iter().any(|line| line.contains("SAFETY:")), "{}:{}: {line}", source.name, number + 1);
        }
    }
}

/// What a program sets, and what it is told: there, all that can be set or told stands side by side.
const LISTS: [&str; 5] = ["CloseOptions", "Report", "TlsAlerts", "xmpp_close_options", "xmpp_close_report"];

/// The structs of some code that are more than one can hold in the head.
fn too_large(source: &Source) -> Vec<String> {
    let large = structs(source).into_iter().filter(|it| it.fields > 12 || it.booleans > 2);
    let large = large.filter(|it| !LISTS.contains(&it.name.as_str()));
    large.map(|it| format!("{}: {} fields, {} booleans", it.name, it.fields, it.booleans)).collect()
}

#[test]
fn a_struct_has_at_most_twelve_fields_and_two_booleans() {
    let mut wrong = Vec::new();
    for source in modules().iter().flat_map(|module| Source::of(module)) {
        wrong.extend(too_large(&source).into_iter().map(|what| format!("{}: {what}", source.name)));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_large_struct_is_seen_wherever_it_stands() {
    let found = |code: &str| too_large(&Source::from_text(&["engine"], code)).len();
    let fields = |count: usize, kind: &str| (0..count).map(|n| format!("f{n}: {kind}, ")).collect::<String>();
    assert_eq!(found(&format!("struct S {{ {} }}", fields(12, "u8"))), 0);
    assert_eq!(found(&format!("struct S {{ {} }}", fields(13, "u8"))), 1);
    assert_eq!(found(&format!("struct S {{ {} }}", fields(2, "bool"))), 0);
    assert_eq!(found(&format!("struct S {{ {} }}", fields(3, "bool"))), 1);
    assert_eq!(found(&format!("struct S {{ {} }}", fields(3, "Cell<bool>"))), 1, "wrapped");
    assert_eq!(found("struct S(bool, bool, [bool; 4]);"), 1, "without names");
    assert_eq!(found(&format!("fn f() {{ struct S<T> {{ t: T, {} }} }}", fields(12, "u8"))), 1, "in a function");
    assert_eq!(found(&format!("enum E {{ A, B {{ {} }} }}", fields(13, "u8"))), 1, "in an enum");
    assert_eq!(found(&format!("struct CloseOptions {{ {} }}", fields(30, "bool"))), 0);
}
