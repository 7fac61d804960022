//! `make install` gives C and C++ programs everything that they need, and `make uninstall` removes all of it.

#[path = "support/clib.rs"]
mod clib;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Everything below `folder` that is no folder, sorted.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                found.push(entry.path().strip_prefix(folder).unwrap().display().to_string());
            }
        }
    }
    found.sort();
    found
}

/// An installed tree in an empty folder; `settings` are make's.
struct Installed {
    folder: PathBuf,
    settings: Vec<String>,
}

impl Installed {
    fn new(name: &str, settings: impl Fn(&str) -> Vec<String>) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let settings = settings(folder.to_str().unwrap());
        let installed = Self { folder, settings };
        installed.make("install");
        installed
    }

    fn make(&self, goal: &str) {
        let mut arguments = vec![goal];
        arguments.extend(self.settings.iter().map(String::as_str));
        clib::make(&arguments);
    }

    /// What pkg-config says, and nobody else knows.
    fn pkg_config(&self, library_folder: &str, sysroot: bool, arguments: &[&str]) -> Vec<String> {
        let mut pkg_config = Command::new("pkg-config");
        pkg_config.env("PKG_CONFIG_LIBDIR", self.folder.join(library_folder).join("pkgconfig"));
        if sysroot {
            pkg_config.env("PKG_CONFIG_SYSROOT_DIR", &self.folder);
        }
        let words = clib::run(pkg_config.args(arguments).arg("xmpp-close"));
        words.split_whitespace().map(str::to_owned).collect()
    }

    /// Builds the program, in C and in C++, with these flags, and runs it; returns that in C.
    fn try_program(&self, name: &str, flags: &[String], library_path: Option<&Path>) -> PathBuf {
        self.try_source(&format!("{name}-cc"), ("c++", "-std=c++11", "installed.cc"), flags, library_path);
        self.try_source(name, ("cc", "-std=c99", "installed.c"), flags, library_path)
    }

    fn try_source(
        &self,
        name: &str,
        (compiler, standard, source): (&str, &str, &str),
        flags: &[String],
        library_path: Option<&Path>,
    ) -> PathBuf {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("ffi-tests").join(source);
        // Not below `folder`, where it would count as installed.
        let program = self.folder.with_extension(name);
        let mut compiler = Command::new(compiler);
        compiler.args([standard, "-D_POSIX_C_SOURCE=200809L", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]);
        clib::run(compiler.arg("-o").arg(&program).arg(source).args(flags));
        let mut run = Command::new(&program);
        run.env_remove("LD_LIBRARY_PATH");
        if let Some(path) = library_path {
            run.env("LD_LIBRARY_PATH", path);
        }
        assert_eq!(clib::run(&mut run), "clean, 1 stanza\n");
        program
    }
}

/// Whether a program asks for the shared library when it is started.
fn needs_shared_library(program: &Path) -> bool {
    clib::run(Command::new("readelf").arg("-d").arg(program)).contains("[libxmpp_close.so.0.1]")
}

#[test]
fn a_program_builds_and_runs_with_pkg_config_alone() {
    let installed = Installed::new("staged", |folder| vec![format!("DESTDIR={folder}"), "PREFIX=/usr".into()]);
    let version = env!("CARGO_PKG_VERSION");
    let mut expected = vec![
        "usr/include/xmpp_close.h".to_owned(),
        "usr/include/xmpp_close.hpp".to_owned(),
        "usr/include/xmpp_close_fwd.hpp".to_owned(),
        "usr/lib/cmake/xmpp-close/xmpp-close-config-version.cmake".to_owned(),
        "usr/lib/cmake/xmpp-close/xmpp-close-config.cmake".to_owned(),
        "usr/lib/libxmpp_close.a".to_owned(),
        "usr/lib/libxmpp_close.so".to_owned(),
        "usr/lib/libxmpp_close.so.0.1".to_owned(),
        format!("usr/lib/libxmpp_close.so.{version}"),
        "usr/lib/pkgconfig/xmpp-close.pc".to_owned(),
    ];
    expected.sort();
    // Which manual pages there are, tests/reference.rs knows.
    let found = || -> Vec<_> {
        files(&installed.folder).into_iter().filter(|file| !file.starts_with("usr/share/man/man3/xmpp_close")).collect()
    };
    assert_eq!(found(), expected);
    assert_eq!(installed.pkg_config("usr/lib", true, &["--modversion"]), [version]);

    let library_folder = installed.folder.join("usr/lib");
    let flags = installed.pkg_config("usr/lib", true, &["--cflags", "--libs"]);
    let shared = installed.try_program("shared", &flags, Some(&library_folder));
    assert!(needs_shared_library(&shared));

    // The same words with --static; the linker prefers the shared library, so only the other is left to it.
    for name in ["libxmpp_close.so", "libxmpp_close.so.0.1", &format!("libxmpp_close.so.{version}")] {
        fs::remove_file(library_folder.join(name)).unwrap();
    }
    let flags = installed.pkg_config("usr/lib", true, &["--static", "--cflags", "--libs"]);
    let linked = installed.try_program("static", &flags, None);
    assert!(!needs_shared_library(&linked));

    installed.make("install");
    assert_eq!(found(), expected);
    installed.make("uninstall");
    assert_eq!(files(&installed.folder), [""; 0]);
}

#[test]
fn folders_can_be_chosen_one_by_one() {
    let installed = Installed::new("chosen", |folder| {
        vec![
            format!("PREFIX={folder}"),
            format!("LIBDIR={folder}/lib/x86_64-linux-gnu"),
            format!("INCLUDEDIR={folder}/include/xmpp"),
        ]
    });
    let flags = installed.pkg_config("lib/x86_64-linux-gnu", false, &["--cflags", "--libs"]);
    installed.try_program("chosen", &flags, Some(&installed.folder.join("lib/x86_64-linux-gnu")));
    for header in ["xmpp_close.h", "xmpp_close.hpp", "xmpp_close_fwd.hpp"] {
        assert!(installed.folder.join("include/xmpp").join(header).exists());
    }
    installed.make("uninstall");
    assert_eq!(files(&installed.folder), [""; 0]);
}
