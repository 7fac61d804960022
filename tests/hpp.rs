//! include/xmpp_close.hpp compiles by itself with every compiler and standard, with and without exceptions; and what it
//! is to refuse, it refuses. What it does is tested by ffi-tests/hpp.cc.

#[path = "support/clib.rs"]
mod clib;

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

const STRICT: &str = "-fsyntax-only -Wall -Wextra -Wpedantic -Werror -Wconversion -Wsign-conversion -Wshadow \
                      -Wold-style-cast -Wnon-virtual-dtor -Wzero-as-null-pointer-constant";
const STANDARDS: [&str; 4] = ["c++11", "c++14", "c++17", "c++20"];
const EXCEPTIONS: [&[&str]; 2] = [&[], &["-fno-exceptions", "-fno-rtti"]];

/// Every template and every member function is used, so that all of it is compiled.
const PROGRAM: &str = r#"
#include <xmpp_close.hpp>
struct session {
    int read(char *, size_t, size_t &) { return 0; }
    int write(const char *, size_t, size_t &) { return 0; }
    int notify() { return 0; }
    int shut() { return 0; }
};
int all(int fd);
int all(int fd)
{
    session own;
    size_t bytes = 0;
    xmpp_close::canceller canceller = xmpp_close::canceller::create();
    xmpp_close::options options;
    options.canceller = &canceller;
    options.on_stanza = [&bytes](const char *, size_t len) { bytes += len; return 0; };
    xmpp_close::result result = xmpp_close::close(fd, options);
    if (!result)
        result = xmpp_close::close(xmpp_close::transport::over(own, fd, true), {});
    xmpp_close::batch batch = xmpp_close::batch::create();
    batch.add(fd, options);
    batch.add(xmpp_close::transport::over(own, fd, true), {});
    xmpp_close::batch_options together;
    together.on_end = [&bytes](size_t, const xmpp_close::report &report) { bytes += report.bytes_read; };
    if (!batch.run(together))
        return 2;
    xmpp_close::handshake handshake = xmpp_close::handshake::create({}, 0);
    xmpp_close::framer framer = xmpp_close::framer::create();
    framer = xmpp_close::framer::create_inside("stream:stream");
    framer.feed("<a/>", 4, [&bytes](xmpp_close::frame, const char *, size_t len) { bytes += len; });
    switch (handshake.begin(1)) {
    case xmpp_close::action::send_tag:
        return 1;
    default:
        return handshake.report().outcome == XMPP_CLOSE_PENDING;
    }
}
"#;

/// What C++20 has for options.
const DESIGNATED: &str = r"
#include <xmpp_close.hpp>
bool with_words(int fd);
bool with_words(int fd)
{
    int count = 0;
    return xmpp_close::close(fd, { .total_ms = 20000, .on_stanza = [&](const char *, size_t) { count++; return 0; } }) &&
           count == 0;
}
";

fn compile(compiler: &str, arguments: &[&str], program: &str) -> Output {
    let mut child = Command::new(compiler)
        .arg("-I")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("include"))
        .args(arguments)
        .args(["-x", "c++", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{compiler}: {error}"));
    child.stdin.take().unwrap().write_all(program.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn compiles(compiler: &str, standard: &str, more: &[&str], program: &str) {
    let standard = format!("-std={standard}");
    let mut arguments: Vec<&str> = STRICT.split_whitespace().chain(more.iter().copied()).collect();
    arguments.push(&standard);
    let output = compile(compiler, &arguments, program);
    let messages = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && messages.is_empty(), "{compiler} {standard} {more:?}:\n{messages}");
}

#[test]
fn every_standard_takes_it_with_and_without_exceptions() {
    for compiler in ["g++", "clang++"] {
        for standard in STANDARDS {
            for exceptions in EXCEPTIONS {
                compiles(compiler, standard, exceptions, "#include <xmpp_close.hpp>\n");
                compiles(compiler, standard, exceptions, PROGRAM);
            }
        }
        compiles(compiler, "c++20", &[], DESIGNATED);
    }
}

#[test]
fn mistakes_do_not_compile() {
    const MISTAKES: [(&str, &str); 9] = [
        ("xmpp_close::batch batch; auto copy = batch;", "deleted"),
        ("auto copy = handshake;", "deleted"),
        ("xmpp_close::framer framer; auto copy = framer;", "deleted"),
        ("xmpp_close::canceller canceller; auto copy = canceller;", "deleted"),
        ("xmpp_close::handshake other; other = handshake;", "deleted"),
        ("xmpp_close::close(3);", "no matching function"),
        ("int code = xmpp_close::close(3, options);", "conver"),
        ("int action = handshake.begin(0);", "conver|initialize"),
        ("options.on_stanza = [](const char *, size_t) {};", "no match|no viable"),
    ];
    let program = |line: &str| {
        format!(
            "#include <xmpp_close.hpp>\nvoid f();\nvoid f()\n{{\n    xmpp_close::handshake handshake;\n    \
             xmpp_close::options options;\n    (void)options;\n    {line}\n}}\n"
        )
    };
    for compiler in ["g++", "clang++"] {
        compiles(compiler, "c++11", &[], &program("(void)handshake;"));
        for (line, words) in MISTAKES {
            let output = compile(compiler, &["-std=c++11", "-fsyntax-only"], &program(line));
            let messages = String::from_utf8_lossy(&output.stderr);
            assert!(!output.status.success(), "{compiler} takes: {line}");
            assert!(words.split('|').any(|word| messages.contains(word)), "{compiler}: {line}\n{messages}");
        }
    }
}

/// Builds one object file.
fn object(compiler: &str, name: &str, more: &[&str], program: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("hpp-{compiler}-{name}.o"));
    let mut arguments = vec!["-std=c++11", "-c", "-o", path.to_str().unwrap()];
    arguments.extend(more);
    let output = compile(compiler, &arguments, program);
    assert!(output.status.success(), "{compiler} {name}: {}", String::from_utf8_lossy(&output.stderr));
    path
}

#[test]
fn files_with_and_without_exceptions_do_not_share_what_differs() {
    const TAKES: &str = "#include <xmpp_close.hpp>\n\
                         int take(xmpp_close::options &o) { return xmpp_close::close(3, o).code; }\n";
    const GIVES: &str = "#include <xmpp_close.hpp>\nint take(xmpp_close::options &);\n\
                         int main() { xmpp_close::options o; return take(o) == 0; }\n";
    for compiler in ["g++", "clang++"] {
        for (name, exceptions) in [("with", EXCEPTIONS[0]), ("without", EXCEPTIONS[1])] {
            let takes = object(compiler, &format!("takes-{name}"), exceptions, TAKES);
            let gives = object(compiler, &format!("gives-{name}"), EXCEPTIONS[0], GIVES);
            let library = clib::build();
            let linked = Command::new(compiler)
                .args([&takes, &gives])
                .arg(library.dir.join("libxmpp_close.a"))
                .args(&library.native_libs)
                .arg("-o")
                .arg(takes.with_extension("program"))
                .output()
                .unwrap();
            let messages = String::from_utf8_lossy(&linked.stderr);
            assert_eq!(linked.status.success(), name == "with", "{messages}");
            assert!(name == "with" || messages.contains("with_exceptions"), "{messages}");
        }
    }
}

/// Streams, and turns of a batch, are for C alone so far.
const IN_C_ONLY: [&str; 25] = [
    "xmpp_close_batch_add_stream",
    "xmpp_close_batch_remove",
    "xmpp_close_batch_set",
    "xmpp_close_batch_fd",
    "xmpp_close_batch_timeout",
    "xmpp_close_batch_turn",
    "xmpp_close_new",
    "xmpp_close_start",
    "xmpp_close_start_with",
    "xmpp_close_free",
    "xmpp_close_send",
    "xmpp_close_finish",
    "xmpp_close_detach",
    "xmpp_close_tell",
    "xmpp_close_peer_error",
    "xmpp_close_wants",
    "xmpp_close_timeout",
    "xmpp_close_tick",
    "xmpp_close_step",
    "xmpp_close_get_report",
    "xmpp_close_output",
    "xmpp_close_wrote",
    "xmpp_close_received",
    "xmpp_close_input",
    "xmpp_close_describe",
];

#[test]
fn every_handle_of_c_has_its_functions_here() {
    let include = Path::new(env!("CARGO_MANIFEST_DIR")).join("include");
    let read = |name| fs::read_to_string(include.join(name)).unwrap();
    let (c, cpp) = (read("xmpp_close.h"), read("xmpp_close.hpp"));
    let declared = c.lines().filter(|line| !line.trim_start().starts_with(['/', '*'])).flat_map(|line| {
        let start = line.find("xmpp_close_").unwrap_or(line.len());
        let rest = &line[start..];
        rest.find('(').map(|end| rest[..end].to_owned())
    });
    let mut count = 0;
    for function in declared.filter(|name| !name.contains(' ') && !name.contains('*')) {
        let is_plain = ["xmpp_close_version_number", "xmpp_close_idle_seconds"].contains(&&function[..]);
        assert!(
            is_plain || IN_C_ONLY.contains(&&function[..]) || cpp.contains(&function),
            "xmpp_close.hpp has nothing for {function}"
        );
        count += 1;
    }
    assert!(count >= 35, "{count}");
    for structure in ["options", "batch_options", "transport"] {
        let start = format!("typedef struct xmpp_close_{structure} {{");
        let members = c.split(&start).nth(1).unwrap().split('}').next().unwrap();
        let code: String = members.lines().filter(|line| !line.trim_start().starts_with('/')).collect();
        for member in code.split(';').map(str::trim).filter(|member| !member.is_empty()) {
            let name = match member.split_once("(*") {
                Some((_, callback)) => callback.split(')').next().unwrap(),
                None => member.rsplit([' ', '*']).next().unwrap(),
            };
            let is_set = cpp.contains(&format!("c.{name} = "));
            assert!(is_set || ["struct_size", "reserved"].contains(&name), "{structure}: {name} is not set");
        }
    }
}
