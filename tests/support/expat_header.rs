//! Another `expat.h` than this machine's: one that declares the function that switches reparse deferral off, or does not.

use std::{fs, path::Path, process::Command};

use crate::clib;

const FUNCTION: &str = "XML_SetReparseDeferralEnabled";
const DECLARATION: &str = "XMLPARSEAPI(XML_Bool) XML_SetReparseDeferralEnabled(XML_Parser parser, XML_Bool enabled);";

/// This machine's `expat.h`.
fn header() -> String {
    let rule = clib::run(Command::new("gcc").args(["-M", "-include", "expat.h", "-x", "c", "/dev/null"]));
    let path = rule.split_whitespace().find(|word| word.ends_with("/expat.h")).expect("expat.h");
    fs::read_to_string(path).unwrap()
}

/// Puts a copy of it into a folder, which must exist: with the declaration, or without.
#[allow(dead_code, reason = "not all tests care for the declaration")]
pub fn write(folder: &Path, declared: bool) {
    fs::write(folder.join("expat.h"), header_that_declares(declared)).unwrap();
}

/// Puts a copy of it into a folder that says it is of a version to come.
#[allow(dead_code, reason = "most tests care for the declaration")]
pub fn write_newer(folder: &Path) {
    let version = "define XML_MINOR_VERSION ";
    assert!(header().contains(version));
    fs::write(folder.join("expat.h"), header().replace(version, &format!("{version}9"))).unwrap();
}

fn header_that_declares(declared: bool) -> String {
    let header = header();
    match (header.contains(FUNCTION), declared) {
        (true, false) => header.replace(FUNCTION, "XML_NotInThisVersion"),
        (false, true) => {
            let before = header.lines().find(|line| line.contains("define XML_MAJOR_VERSION"));
            let before = before.expect("another place is needed");
            header.replacen(before, &format!("{DECLARATION}\n{before}"), 1)
        }
        _ => header,
    }
}
