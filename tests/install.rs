//! `make install` gives C and C++ programs everything that they need, and `make uninstall` removes all of it.

#[path = "support/clib.rs"]
mod clib;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

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
        let files = clib::files(&installed.folder).into_iter();
        files.filter(|file| !file.starts_with("usr/share/man/man3/xmpp_close")).collect()
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
    assert_eq!(clib::files(&installed.folder), [""; 0]);
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
    assert_eq!(clib::files(&installed.folder), [""; 0]);
}

/// The whole is moved after its installation, from one folder with blanks to another.
#[test]
fn folders_may_have_blanks_and_be_moved() {
    let installed = Installed::new("some where", |folder| vec![format!("PREFIX={folder}/the prefix")]);
    let [before, after] = ["the prefix", "else where"].map(|name| installed.folder.join(name));
    fs::rename(&before, &after).unwrap();
    let pkg_config = after.join("lib/pkgconfig");
    let program = installed.folder.join("program");
    // The shell reads what pkg-config has quoted.
    let line =
        "eval cc -D_POSIX_C_SOURCE=200809L -o '\"$PROGRAM\"' installed.c $(pkg-config --cflags --libs xmpp-close)";
    let mut shell = Command::new("sh");
    shell.args(["-c", line]).current_dir(clib::root().join("ffi-tests"));
    clib::run(shell.env("PKG_CONFIG_LIBDIR", pkg_config).env("PROGRAM", &program));
    assert_eq!(clib::run(Command::new(&program).env("LD_LIBRARY_PATH", after.join("lib"))), "clean, 1 stanza\n");
    fs::remove_file(program).unwrap();
    fs::rename(&after, &before).unwrap();
    installed.make("uninstall");
    assert_eq!(clib::files(&installed.folder), [""; 0]);
}

/// What `make` would do for a system that is not this one.
fn made_for(target: &str, goal: &str) -> String {
    let mut make = Command::new("make");
    make.current_dir(clib::root()).args(["-n", goal, "PREFIX=/opt"]).arg(format!("CARGO_BUILD_TARGET={target}"));
    clib::run(clib::forget_cargo(&mut make))
}

#[test]
fn each_system_gets_its_own_kinds_of_files() {
    let macos = made_for("aarch64-apple-darwin", "install");
    assert!(macos.contains("-Wl,-install_name,\"/opt/lib/libxmpp_close.0.1.dylib\""), "{macos}");
    assert!(macos.contains("\"/opt/lib/libxmpp_close.0.1.0.dylib\"") && !macos.contains(".so"), "{macos}");
    let musl = made_for("x86_64-unknown-linux-musl", "install");
    assert!(musl.contains("libxmpp_close.a") && !musl.contains(".so") && !musl.contains("-shared"), "{musl}");
    let windows = made_for("x86_64-pc-windows-gnu", "install");
    for file in ["/opt/bin\"", "xmpp_close.dll\"", "libxmpp_close.dll.a\"", "libxmpp_close.a\""] {
        assert!(windows.contains(file), "{windows}");
    }
    assert!(
        !windows.contains(".so") && made_for("x86_64-pc-windows-gnu", "uninstall").contains("/opt/bin/xmpp_close.dll")
    );
    let arm = made_for("aarch64-unknown-linux-gnu", "all");
    assert!(
        arm.contains("--target aarch64-unknown-linux-gnu") && arm.contains("aarch64-unknown-linux-gnu/capi"),
        "{arm}"
    );
}

#[test]
fn another_make_says_in_one_line_that_it_has_to_be_gnu_make() {
    for goals in [&[][..], &["check"], &["install", "PREFIX=/usr"]] {
        let output = Command::new("bmake").current_dir(clib::root()).args(goals).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success());
        assert!(said.starts_with("This needs GNU make: gmake"), "{said}");
        assert!(!said.contains("cargo"), "{said}");
    }
}

#[test]
fn without_rust_one_line_says_what_is_missing_and_nothing_is_installed() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("no rust");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    for goal in ["all", "install"] {
        let mut make = Command::new("make");
        make.current_dir(clib::root()).env("CARGO_TARGET_DIR", &folder);
        make.args([goal, "CARGO=no-cargo", "RUSTC=no-rustc"]).arg(format!("DESTDIR={}", folder.display()));
        let output = clib::forget_cargo(&mut make).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let version = env!("CARGO_PKG_RUST_VERSION");
        let wanted = format!("The C library is built with Rust {version} or newer, and there is no no-cargo.");
        assert!(!output.status.success() && said.lines().next() == Some(&wanted), "{said}");
        assert_eq!(clib::files(&folder), [""; 0]);
    }
}

/// `sudo` often finds no Rust, since rustup puts it into the home of whoever runs `make`.
#[test]
fn root_needs_no_rust_to_install_what_was_built() {
    let built = clib::build();
    let installed = Installed::new("without-rust", |folder| {
        vec![format!("PREFIX={folder}"), "CARGO=no-cargo".to_owned(), "RUSTC=no-rustc".to_owned()]
    });
    let [ours, there] = [built.dir.clone(), installed.folder.join("lib")].map(|folder| folder.join("libxmpp_close.a"));
    assert!(fs::read(ours).unwrap() == fs::read(there).unwrap());
    assert!(installed.folder.join("lib/libxmpp_close.so.0.1").exists());
    installed.make("uninstall");
    assert_eq!(clib::files(&installed.folder), [""; 0]);
}
