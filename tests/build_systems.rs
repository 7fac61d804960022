//! A project that uses CMake, Meson or autotools finds the installed library, wherever it is installed.

#[path = "support/clib.rs"]
mod clib;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// The library in a prefix that no system knows.
fn prefix() -> &'static Path {
    static PREFIX: OnceLock<PathBuf> = OnceLock::new();
    PREFIX.get_or_init(|| {
        let folder = empty("build-systems-prefix");
        clib::make(&["install", &format!("PREFIX={}", folder.display())]);
        folder
    })
}

fn empty(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// A copy of the example project, in which a build system may write what it wants.
fn project(name: &str) -> PathBuf {
    let folder = empty(&format!("build-systems-{name}"));
    for entry in fs::read_dir(clib::root().join("examples/build-systems")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
    }
    folder
}

/// Runs a command in the project's folder, with the library's files as all that pkg-config or CMake is told.
fn run(folder: &Path, program: &str, arguments: &[&str], finds: (&str, &str)) -> String {
    let mut command = Command::new(program);
    clib::forget_cargo(&mut command).current_dir(folder).args(arguments);
    for name in ["PKG_CONFIG_PATH", "PKG_CONFIG_LIBDIR", "CMAKE_PREFIX_PATH"] {
        command.env_remove(name);
    }
    clib::run(command.env(finds.0, prefix().join(finds.1)))
}

const BY_CMAKE: (&str, &str) = ("CMAKE_PREFIX_PATH", "");
const BY_PKG_CONFIG: (&str, &str) = ("PKG_CONFIG_LIBDIR", "lib/pkgconfig");

/// Runs the program; `library` tells whether it looks for the shared library at its start.
fn closes(program: &Path, library: bool) {
    let needed = clib::run(Command::new("readelf").arg("-d").arg(program));
    assert_eq!(needed.contains("[libxmpp_close.so."), library, "{needed}");
    let mut program = Command::new(program);
    assert_eq!(clib::run(program.env("LD_LIBRARY_PATH", prefix().join("lib"))), "clean\n");
}

#[test]
fn cmake_finds_the_shared_library_and_the_static_one() {
    for (setting, library) in [("-DSTATIC=OFF", true), ("-DSTATIC=ON", false)] {
        let folder = project(&format!("cmake{setting}"));
        run(&folder, "cmake", &["-B", "build", setting], BY_CMAKE);
        run(&folder, "cmake", &["--build", "build"], BY_CMAKE);
        closes(&folder.join("build/closes"), library);
    }
}

#[test]
fn cmake_takes_another_version_of_the_series_only() {
    for (version, suits) in
        [("0.1", true), ("0.1.0", true), ("0.1.99", false), ("0.2", false), ("0", false), ("1.0", false)]
    {
        let folder = empty(&format!("build-systems-version-{version}"));
        let list = format!(
            "cmake_minimum_required(VERSION 3.13)\nproject(asks NONE)\nfind_package(xmpp-close {version})\n\
             message(STATUS \"it suits: ${{xmpp-close_FOUND}}\")\n"
        );
        fs::write(folder.join("CMakeLists.txt"), list).unwrap();
        let said = run(&folder, "cmake", &["-B", "build"], BY_CMAKE);
        assert_eq!(said.contains("it suits: 1"), suits, "{version}: {said}");
    }
}

#[test]
fn cmake_finds_the_library_in_a_tree_that_was_moved() {
    let (folder, place) = (project("cmake-moved"), empty("build-systems-moved"));
    clib::run(Command::new("cp").arg("-a").arg(prefix().join(".")).arg(&place));
    let finds = ("CMAKE_PREFIX_PATH", place.to_str().unwrap());
    run(&folder, "cmake", &["-B", "build"], finds);
    let cache = fs::read_to_string(folder.join("build/CMakeCache.txt")).unwrap();
    assert!(cache.contains(&format!("{}/lib/cmake/xmpp-close", place.display())), "{cache}");
    let made = run(&folder, "cmake", &["--build", "build", "--verbose"], finds);
    assert!(!made.contains("build-systems-prefix"), "{made}");
    closes(&folder.join("build/closes"), true);
}

#[test]
fn meson_finds_it_by_pkg_config() {
    let folder = project("meson");
    run(&folder, "meson", &["setup", "build"], BY_PKG_CONFIG);
    run(&folder, "meson", &["compile", "-C", "build"], BY_PKG_CONFIG);
    closes(&folder.join("build/closes"), true);
}

#[test]
fn autotools_find_it_by_pkg_config() {
    let folder = project("autotools");
    run(&folder, "autoreconf", &["--install"], BY_PKG_CONFIG);
    run(&folder, "./configure", &[], BY_PKG_CONFIG);
    run(&folder, "make", &[], BY_PKG_CONFIG);
    closes(&folder.join("closes"), true);
}
