//! What the C libraries export is what the header declares, and a Rust program has none of it.

#[path = "support/clib.rs"]
mod clib;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The defined global symbols of a library, in the words of nm(1).
fn exported(file: &str, options: &[&str]) -> BTreeSet<String> {
    let path = clib::build().dir.join(file);
    let listing = clib::run(Command::new("nm").args(options).args(["--defined-only", "-g"]).arg(path));
    listing.lines().filter_map(|line| line.split_whitespace().nth(2)).map(str::to_owned).collect()
}

#[test]
fn the_shared_library_exports_what_the_header_declares_and_nothing_else() {
    let declared = clib::declared().into_iter().map(|name| name + "@@XMPP_CLOSE_0.1").collect();
    let (symbols, version): (BTreeSet<_>, BTreeSet<_>) =
        exported("libxmpp_close.so", &["-D"]).into_iter().partition(|name| name.contains('@'));
    assert_eq!(symbols, declared);
    // The name of the version is a symbol itself.
    assert_eq!(Vec::from_iter(version), ["XMPP_CLOSE_0.1"]);
}

/// A header that is read in one sitting.
#[test]
fn there_are_forty_functions_and_six_for_framing() {
    let (framing, others): (Vec<_>, Vec<_>) =
        clib::declared().into_iter().partition(|name| name.starts_with("xmpp_close_framer_"));
    assert_eq!(framing.len(), 6, "{framing:?}");
    assert_eq!(others.len(), 40, "{others:?}");
}

#[test]
fn the_static_library_has_what_the_header_declares_and_nothing_else() {
    assert_eq!(exported("libxmpp_close.a", &[]), clib::declared());
}

#[test]
fn the_shared_library_has_its_soname() {
    let listing = clib::run(Command::new("readelf").arg("-d").arg(clib::build().dir.join("libxmpp_close.so")));
    let soname: Vec<_> = listing.lines().filter(|line| line.contains("(SONAME)")).collect();
    assert_eq!(soname.len(), 1, "{listing}");
    assert!(soname[0].ends_with("[libxmpp_close.so.0.1]"), "{}", soname[0]);
    assert!(clib::build().dir.join("libxmpp_close.so.0.1").exists());
}

/// A Rust program that depends on the crate with these features alone, in a folder of its own.
fn dependant(features: &[&str]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("dependant{}", features.concat()));
    fs::create_dir_all(folder.join("src")).unwrap();
    let ours = env!("CARGO_MANIFEST_DIR");
    let manifest = format!(
        "[package]\nname = \"dependant\"\nversion = \"1.0.0\"\nedition = \"2024\"\n\n\
         [dependencies]\nxmpp-close = {{ path = {ours:?}, features = {features:?} }}\n\n[workspace]\n"
    );
    fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    // The same versions, so that nothing has to be looked up.
    fs::copy(Path::new(ours).join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    let program = "fn main() {\n    let (tcp, _) = std::os::unix::net::UnixStream::pair().unwrap();\n    \
                   println!(\"{}\", xmpp_close::close(tcp));\n}\n";
    fs::write(folder.join("src/main.rs"), program).unwrap();
    folder
}

fn cargo(folder: &Path, arguments: &[&str]) -> String {
    let mut cargo = Command::new(env!("CARGO"));
    let target = folder.join("target");
    clib::run(clib::forget_cargo(&mut cargo).current_dir(folder).env("CARGO_TARGET_DIR", target).args(arguments))
}

/// The crates that a Rust program with this library is built of.
fn crates(folder: &Path) -> BTreeSet<String> {
    let tree = cargo(folder, &["tree", "--offline", "--prefix", "none", "--edges", "normal,build"]);
    tree.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

#[test]
fn a_rust_dependant_builds_five_crates_at_most_and_holds_no_c_symbol() {
    let folder = dependant(&[]);
    let crates = crates(&folder);
    let others: Vec<_> = crates.iter().filter(|name| !["dependant", "xmpp-close"].contains(&&name[..])).collect();
    assert!(crates.contains("xmpp-close"), "{crates:?}");
    for optional in ["cbindgen", "log", "serde"] {
        assert!(!crates.contains(optional), "{crates:?}");
    }
    assert!(others.len() <= 5, "{others:?}");

    cargo(&folder, &["build", "--offline"]);
    let binary = folder.join("target/debug/dependant");
    let symbols = clib::run(Command::new("nm").arg(&binary));
    // Names of Rust's own symbols hold `xmpp_close` and a length, never `xmpp_close_`.
    assert!(symbols.contains("xmpp_close"), "{symbols}");
    let ours: Vec<_> = symbols.lines().filter(|line| line.contains("xmpp_close_")).collect();
    assert!(ours.is_empty(), "{ours:?}");
}

/// The phases of a close are told to nobody without the feature, so there is no code that looks for them.
#[test]
fn the_feature_log_brings_one_crate_and_without_it_there_is_no_code() {
    let [without, with] = [&[][..], &["log"]].map(dependant);
    let [mut fewer, more] = [&without, &with].map(|folder| crates(folder));
    fewer.insert("log".to_owned());
    assert_eq!(more, fewer);
    let logs = [&without, &with].map(|folder| {
        cargo(folder, &["build", "--offline"]);
        let symbols = clib::run(Command::new("nm").arg(folder.join("target/debug/dependant")));
        symbols.lines().any(|line| line.contains("xmpp_close") && line.contains("5phase"))
    });
    assert_eq!(logs, [false, true]);
}
