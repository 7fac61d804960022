//! The ABI of the C API beside that of the last release, which is in `tests/data/abi.xml`: each function, type and number that
//! is not as it was must be named in the first section of CHANGELOG.md. After a release, `BLESS=1` writes the file anew.
// What a type looks like differs between processors, and the file is of one of them.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

#[path = "support/clib.rs"]
mod clib;

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The statements of code without comments and directives.
fn statements(code: &str) -> Vec<&str> {
    let (mut found, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, c) in code.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ';' if depth == 0 => {
                found.push(code[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    found
}

/// What C sees of a header, as a library that has debug info and no Rust: each function, empty, and one more that has all types
/// and numbers.
fn library(name: &str, header: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("abi").join(name);
    fs::create_dir_all(folder.join("empty")).unwrap();
    fs::write(folder.join("xmpp_close.h"), header).unwrap();
    for file in ["stddef.h", "stdint.h"] {
        fs::write(folder.join("empty").join(file), "").unwrap();
    }
    let cpp = |arguments: &[&str]| {
        let mut cpp = Command::new("cc");
        clib::run(cpp.current_dir(&folder).args(["-E", "-Iempty"]).args(arguments).arg("xmpp_close.h"))
    };
    let code = cpp(&["-P"]);
    let (types, functions): (Vec<_>, Vec<_>) =
        statements(&code).into_iter().partition(|statement| statement.starts_with("typedef"));
    let types = types.iter().filter_map(|statement| statement.rsplit([' ', '\n', '}']).next());
    let types: String = types.map(|name| format!(", {name} *the_{name}")).collect();
    let macros = cpp(&["-dM"]);
    let numbers =
        macros.lines().filter_map(|line| line.strip_prefix("#define ")?.split_once(' ')).filter(|(name, value)| {
            name.starts_with("XMPP_CLOSE_")
                && !name.contains("_VERSION")
                && !value.is_empty()
                && value.bytes().all(|byte| byte.is_ascii_digit())
        });
    let numbers: BTreeSet<_> = numbers.map(|(name, _)| format!("the_{name} = {name}")).collect();
    let functions: String = functions.iter().map(|function| format!("{function} {{ __builtin_trap(); }}\n")).collect();
    assert!(functions.contains(" xmpp_close_fd(") && types.contains(", xmpp_close_report *") && numbers.len() > 3);
    let numbers = Vec::from_iter(numbers).join(", ");
    let all =
        format!("enum numbers {{ {numbers} }};\nvoid everything(enum numbers n{types}) {{ __builtin_trap(); }}\n");
    fs::write(folder.join("abi.c"), format!("#include \"xmpp_close.h\"\n{functions}{all}")).unwrap();
    let mut cc = Command::new("cc");
    clib::run(cc.current_dir(&folder).args(["-g", "-fPIC", "-shared", "-w", "abi.c", "-o", "abi.so"]));
    folder.join("abi.so")
}

/// What abidiff says is not as it was, and the names in that.
fn changes(before: &Path, after: &Path) -> (String, BTreeSet<String>) {
    let mut abidiff = Command::new("abidiff");
    let output = abidiff.args(["--leaf-changes-only", "--no-show-locs"]).args([before, after]).output().unwrap();
    let report = String::from_utf8(output.stdout).unwrap();
    // Bits of the exit status: 1 and 2 are errors, 4 and 8 changes.
    assert_eq!(
        output.status.code().map(|code| code & 3),
        Some(0),
        "{report}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let names = report.lines().map(str::trim).filter(|line| line.starts_with(['[', '\''])).filter_map(|line| {
        let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
        words.find_map(|word| {
            let word = word.trim_start_matches("the_");
            (word.starts_with("xmpp_close_") || word.starts_with("XMPP_CLOSE_")).then(|| word.to_owned())
        })
    });
    let names: BTreeSet<_> = names.collect();
    assert_eq!(output.status.code() == Some(0), names.is_empty(), "{report}");
    (report, names)
}

fn header() -> String {
    fs::read_to_string(clib::root().join("include/xmpp_close.h")).unwrap()
}

#[test]
fn what_changes_in_the_abi_is_named_in_the_changelog() {
    let known = clib::root().join("tests/data/abi.xml");
    let now = library("now", &header());
    if env::var_os("BLESS").is_some() {
        clib::run(
            Command::new("abidw")
                .args(["--no-corpus-path", "--no-comp-dir-path", "--no-show-locs", "--out-file"])
                .arg(&known)
                .arg(&now),
        );
    }
    let (report, names) = changes(&known, &now);
    let changelog = fs::read_to_string(clib::root().join("CHANGELOG.md")).unwrap();
    let section = changelog.split("\n## ").nth(1).unwrap();
    let said: BTreeSet<_> = section.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    let unsaid: Vec<_> = names.iter().filter(|name| !said.contains(name.as_str())).collect();
    assert!(unsaid.is_empty(), "CHANGELOG.md does not name in its first section: {unsaid:?}\n{report}");
}

#[test]
fn each_kind_of_change_is_seen() {
    let header = header();
    let before = library("before", &header);
    for (old, new, name) in [
        ("int xmpp_close_fd(xmpp_close_socket fd,", "int xmpp_close_fd(long fd,", "xmpp_close_fd"),
        ("void xmpp_close_canceller_free(xmpp_close_canceller *canceller);", "", "xmpp_close_canceller_free"),
        (
            "\nint xmpp_close_canceller_new(",
            "\nint xmpp_close_new_one(void);\nint xmpp_close_canceller_new(",
            "xmpp_close_new_one",
        ),
        ("} xmpp_close_report;", "    int more;\n} xmpp_close_report;", "xmpp_close_report"),
        ("    int (*shut)(void *userdata);", "    int (*shut)(void *userdata, int how);", "xmpp_close_transport"),
        ("XMPP_CLOSE_FULL = 2", "XMPP_CLOSE_FULL = 3", "xmpp_close_result"),
        ("#define XMPP_CLOSE_NOT_XMPP ", "#define XMPP_CLOSE_NOT_XMPP 9", "XMPP_CLOSE_NOT_XMPP"),
    ] {
        assert!(header.contains(old), "{old}");
        let (report, names) = changes(&before, &library("after", &header.replacen(old, new, 1)));
        assert!(names.contains(name), "{new}: {report}");
    }
    assert_eq!(changes(&before, &library("same", &header.replace("/// ", "/// In other words: "))).1, BTreeSet::new());
}
