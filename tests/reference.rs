//! The references of the C API, which are made from the header: manual pages, and HTML.

#[path = "support/clib.rs"]
mod clib;

use std::{collections::BTreeSet, fs, path::Path, process::Command};

/// The structs and enums that the header defines.
fn types() -> BTreeSet<String> {
    let header = fs::read_to_string(clib::root().join("include/xmpp_close.h")).unwrap();
    let name = |line: &str| line.strip_prefix("} ")?.strip_suffix(';').map(str::to_owned);
    let found: BTreeSet<_> = header.lines().filter_map(name).collect();
    assert!(found.len() > 10 && found.contains("xmpp_close_report"), "{found:?}");
    found
}

/// The manual page as it is read on a screen that is 80 columns wide.
fn read(page: &Path) -> String {
    let mut man = Command::new("man");
    man.args(["--warnings", "--encoding=utf-8", "--local-file"])
        .arg(page)
        .env("MANWIDTH", "80")
        .env("LC_ALL", "C.UTF-8");
    let output = man.output().unwrap_or_else(|error| panic!("{man:?}: {error}"));
    let warnings = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && warnings.is_empty(), "{}: {warnings}", page.display());
    String::from_utf8(output.stdout).unwrap()
}

/// A text without the differences that a line's width makes.
fn words(text: &str) -> String {
    text.replace("\u{2010}\n", "").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn each_function_and_each_type_has_a_manual_page_and_stands_in_that_of_the_library() {
    let prefix = Path::new(env!("CARGO_TARGET_TMPDIR")).join("manual");
    let _ = fs::remove_dir_all(&prefix);
    clib::make(&["install", &format!("PREFIX={}", prefix.display())]);
    let folder = prefix.join("share/man/man3");
    let pages: BTreeSet<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap().strip_suffix(".3").unwrap().to_owned())
        .collect();
    let mut expected: BTreeSet<_> = clib::declared().union(&types()).cloned().collect();
    let overview = read(&folder.join("xmpp_close.3"));
    for name in &expected {
        assert!(overview.contains(&format!("{name}(3)")), "{name} is not in xmpp_close(3)");
        let page = read(&folder.join(format!("{name}.3")));
        let about = page.split("NAME").nth(1).unwrap().split("SYNOPSIS").next().unwrap();
        assert!(words(about).starts_with(&format!("{name} - ")) && words(about).len() > name.len() + 8, "{page}");
    }
    expected.insert("xmpp_close".to_owned());
    assert_eq!(pages, expected);
}

/// A program in a manual page is copied from it, so it must be what the header has.
#[test]
fn the_manual_says_what_the_header_says() {
    clib::make(&["install", &format!("PREFIX={}/manual-text", env!("CARGO_TARGET_TMPDIR"))]);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("manual-text/share/man/man3");
    let overview = read(&folder.join("xmpp_close.3"));
    for line in [
        "            fprintf(stderr, \"%s\\n\", xmpp_close_strerror(result));",
        "        if (wants & XMPP_CLOSE_READ)",
        "    void close_all(const int *fds, size_t count)",
    ] {
        assert!(overview.lines().any(|shown| shown.trim() == line.trim()), "not shown: {line}");
    }
    let page = words(&read(&folder.join("xmpp_close_report.3")));
    for text in
        ["char stream_error_text[256]; The text for people of the peer's stream error, or \"\".", "size_t struct_size;"]
    {
        assert!(page.contains(text), "not shown: {text}");
    }
}

#[test]
fn a_folder_that_is_not_the_html_reference_stays() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("not-the-reference");
    let page = folder.join("html/page.html");
    fs::create_dir_all(page.parent().unwrap()).unwrap();
    fs::write(&page, "somebody else's").unwrap();
    let docdir = format!("DOCDIR={}", folder.display());
    let nowhere = format!("PREFIX={}/nowhere", folder.display());
    let make = |goal| {
        let arguments = ["--no-print-directory", goal, &docdir, &nowhere];
        Command::new("make").current_dir(clib::root()).args(arguments).output().unwrap()
    };
    let refused = make("install-html");
    assert!(!refused.status.success(), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("is not this reference, so it stays"), "{refused:?}");
    let removed = make("uninstall");
    assert!(removed.status.success(), "{removed:?}");
    assert!(page.exists());
}

/// Doxygen's warnings are errors: `packaging/Doxyfile`.
#[test]
fn each_function_and_each_type_is_in_the_html_reference() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("html-reference");
    let _ = fs::remove_dir_all(&folder);
    clib::make(&["install-html", &format!("DOCDIR={}", folder.display())]);
    let pages: String = fs::read_dir(folder.join("html"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "html"))
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    for name in clib::declared().union(&types()) {
        assert!(pages.contains(&format!("{name}</")) || pages.contains(&format!("{name} </")), "{name} is not there");
    }
    let first = fs::read_to_string(folder.join("html/index.html")).unwrap();
    assert!(first.contains("RFC 6120 section 4.4 ends a stream by a handshake."), "{first}");
    clib::make(&["uninstall", &format!("PREFIX={0}", folder.display()), &format!("DOCDIR={}", folder.display())]);
    assert!(!folder.exists(), "it is not removed");
}
