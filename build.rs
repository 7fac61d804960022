//! Stops the build for a target that is not supported. With the feature `header` it also writes the C header to `OUT_DIR`, and
//! tests/header.rs compares that with include/xmpp_close.h.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // src/lib.rs says the same for builds without Cargo; there the compiler goes on, and an error follows for each name that it misses.
    if std::env::var_os("CARGO_CFG_UNIX").is_none() && std::env::var_os("CARGO_CFG_WINDOWS").is_none() {
        println!("cargo::error=xmpp-close needs the sockets of Unix or of Windows, and this target has neither");
    }
    #[cfg(feature = "header")]
    header::write();
}

#[cfg(feature = "header")]
mod header {
    use std::{env, fmt::Write, fs, path::Path};

    /// The files that declare something for C, in the order in which a reader of the header needs them.
    const SECTIONS: [&str; 17] = [
        "socket",
        "codes",
        "options",
        "report",
        "blocking",
        "canceller",
        "callbacks",
        "stream",
        "stream/verbs",
        "stream/turns",
        "stream/bytes",
        "batch",
        "batch/members",
        "batch/turns",
        "framer",
        "limits",
        "words",
    ];

    pub fn write() {
        println!("cargo::rerun-if-changed=cbindgen.toml");
        println!("cargo::rerun-if-changed=src/ffi.rs");
        println!("cargo::rerun-if-changed=src/ffi");
        let mut header = comment(&fs::read_to_string("src/ffi.rs").unwrap());
        header += "\n#ifndef XMPP_CLOSE_H\n#define XMPP_CLOSE_H\n\n#include <stddef.h>\n#include <stdint.h>\n\n";
        for part in ["MAJOR", "MINOR", "PATCH"] {
            let number = env::var(format!("CARGO_PKG_VERSION_{part}")).unwrap();
            writeln!(header, "#define XMPP_CLOSE_VERSION_{part} {number}").unwrap();
        }
        header += "#define XMPP_CLOSE_VERSION_NUMBER                                              \\\n    \
                   (XMPP_CLOSE_VERSION_MAJOR * 1000000 + XMPP_CLOSE_VERSION_MINOR * 1000 +    \\\n     \
                   XMPP_CLOSE_VERSION_PATCH)\n\n\
                   /* Results that say something which must not be missed. */\n\
                   #if defined(__GNUC__)\n\
                   #define XMPP_CLOSE_MUST_USE __attribute__((warn_unused_result))\n\
                   #else\n#define XMPP_CLOSE_MUST_USE\n#endif\n\n\
                   #ifdef __cplusplus\nextern \"C\" {\n#endif\n";
        for section in SECTIONS {
            let path = format!("src/ffi/{section}.rs");
            header += "\n";
            header += &comment(&fs::read_to_string(&path).unwrap());
            header += &declarations(&path);
        }
        header += "\n#ifdef __cplusplus\n} /* extern \"C\" */\n#endif\n\n#endif /* XMPP_CLOSE_H */\n";
        fs::write(Path::new(&env::var("OUT_DIR").unwrap()).join("xmpp_close.h"), header).unwrap();
    }

    /// The `//!` lines at the top of a file as a C comment. What stands in ```` ```c ```` there becomes code; what stands in
    /// ```` ```text ```` or ```` ```example ```` is indented.
    fn comment(source: &str) -> String {
        let (mut text, mut code) = (String::new(), String::new());
        let mut fence = "";
        for line in source.lines().map_while(|line| line.strip_prefix("//!")) {
            match line.trim() {
                "```" => fence = "",
                "```c" | "```text" | "```example" => fence = line.trim(),
                _ if fence == "```c" => writeln!(code, "{}", line.strip_prefix(' ').unwrap_or(line)).unwrap(),
                "" => text += "\n",
                _ if !fence.is_empty() => writeln!(text, "   {line}").unwrap(),
                _ => writeln!(text, "{line}").unwrap(),
            }
        }
        let text = text.trim().replace('\n', "\n * ").replace("* \n", "*\n").replace("*  ", "* ");
        format!(
            "/* {text}{} */\n{}{code}",
            if text.contains('\n') { "\n" } else { "" },
            if code.is_empty() { "" } else { "\n" }
        )
    }

    /// What cbindgen makes of one file.
    fn declarations(path: &str) -> String {
        let config = cbindgen::Config::from_file("cbindgen.toml").unwrap();
        let mut text = Vec::new();
        cbindgen::Builder::new().with_config(config).with_src(path).generate().unwrap().write(&mut text);
        let text = String::from_utf8(text).unwrap();
        // A type of another section is written by its typedef alone, so a type of this section is, too.
        let plain = |line: &str| match line.starts_with("typedef") {
            true => format!("{line}\n"),
            false => format!("{}\n", line.replace("struct xmpp_close_", "xmpp_close_")),
        };
        format!("\n{}\n", text.trim()).lines().map(plain).collect()
    }
}
