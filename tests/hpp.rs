//! include/xmpp_close.hpp compiles by itself with every compiler and standard, with and without exceptions, and
//! refuses the code that it must refuse. ffi-tests/hpp.cc tests what it does.

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
    if (batch.add(fd, options) != 0 || batch.add(xmpp_close::transport::over(own, fd, true), {}) != 0)
        return 2;
    xmpp_close::batch_options together;
    together.total_ms = std::chrono::seconds(20);
    together.on_end = [&bytes](size_t, const xmpp_close::report &report) { bytes += report.bytes_read; };
    if (batch.set(together) != 0 || batch.timeout() > 0 || batch.turn() < 0 || batch.fd() < 0 || !batch.run(together))
        return 2;
    xmpp_close::stream started = xmpp_close::stream::start(fd, options);
    started = xmpp_close::stream::start(xmpp_close::transport::over(own, fd, true), options);
    xmpp_close::error why;
    why.condition = "system-shutdown";
    if (started.finish(why) != 0 || started.step().over || started.timeout() < 0 || started.detach() != 0)
        return 3;
    xmpp_close::stream engine = xmpp_close::stream::engine({}, std::chrono::steady_clock::now());
    if (engine.send("<presence/>") != xmpp_close::sent::ok || engine.finish(1) != 0 || engine.peer_error(why) != 0 ||
        engine.wrote(engine.output().size(), 0, 2) != 0 || !engine.received(3, 3) || engine.cancel() != 0 ||
        engine.tell(xmpp_close::fact::arrived, 4) != 0 || engine.tick(4).answer)
        return 4;
    engine.feed("<a/>", 4, 5, [&bytes](xmpp_close::frame, const char *, size_t len) { bytes += len; });
    xmpp_close::framer framer = xmpp_close::framer::create();
    framer = xmpp_close::framer::create_inside("stream:stream");
    framer.feed("<a/>", 4, [&bytes](xmpp_close::frame, const char *, size_t len) { bytes += len; });
    switch (engine.report().ended()) {
    case xmpp_close::outcome::clean:
        return 1;
    default:
        return engine.report().begun_by() == xmpp_close::initiator::us &&
               engine.report().limited_by() == xmpp_close::limit::none && engine.report().describe().empty();
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
    using namespace std::chrono_literals;
    return xmpp_close::close(fd, { .total_ms = 20s, .linger_ms = 2000, .on_stanza = [&](const char *, size_t) { count++; return 0; } }) &&
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
fn every_standard_takes_the_header_with_and_without_exceptions() {
    for compiler in ["g++", "clang++"] {
        for standard in STANDARDS {
            for exceptions in EXCEPTIONS {
                compiles(compiler, standard, exceptions, "#include <xmpp_close.hpp>\n");
                compiles(compiler, standard, exceptions, PROGRAM);
            }
        }
        compiles(compiler, "c++20", &[], DESIGNATED);
        compiles(
            compiler,
            "c++17",
            &[],
            "#include <xmpp_close.hpp>\nbool f(int fd);\nbool f(int fd) { (void)xmpp_close::stream::start(fd, {}); return true; }\n",
        );
    }
}

/// The function at the top of the header.
#[test]
fn the_example_at_the_top_compiles() {
    let header = include_str!("../include/xmpp_close.hpp");
    let comment = header.split("*/").next().unwrap().lines();
    let code: Vec<_> =
        comment.filter_map(|line| line.strip_prefix(" *    ").or((line == " *").then_some(""))).collect();
    let code = code.join("\n");
    assert!(code.contains("xmpp_close::close(fd, options)"), "{code}");
    for compiler in ["g++", "clang++"] {
        compiles(compiler, "c++11", &[], &code);
    }
}

/// A header that only mentions the types includes their names alone, in either order with the others.
#[test]
fn names_can_be_declared_without_the_rest() {
    const NAMES: &str = "#include <xmpp_close_fwd.hpp>\n\
                         struct session { xmpp_close::stream *closing; xmpp_close::options *with; xmpp_close::outcome how; };\n\
                         void told(const xmpp_close::report &report, xmpp_close::fact what);\n";
    const USES: &str = "#include <xmpp_close.hpp>\n#include <xmpp_close_fwd.hpp>\n\
                        bool over(session &s);\nbool over(session &s) { return s.closing->step().over; }\n";
    for compiler in ["g++", "clang++"] {
        for standard in STANDARDS {
            compiles(compiler, standard, &[], NAMES);
            for exceptions in EXCEPTIONS {
                compiles(compiler, standard, exceptions, &format!("{NAMES}{USES}"));
            }
        }
    }
}

#[test]
fn mistakes_do_not_compile() {
    const MISTAKES: [(&str, &str); 14] = [
        ("xmpp_close::batch batch; auto copy = batch;", "deleted"),
        ("auto copy = stream;", "deleted"),
        ("xmpp_close::framer framer; auto copy = framer;", "deleted"),
        ("xmpp_close::canceller canceller; auto copy = canceller;", "deleted"),
        ("xmpp_close::stream other; other = stream;", "deleted"),
        ("xmpp_close::close(3);", "no matching function"),
        ("int code = xmpp_close::close(3, options);", "conver"),
        ("int sent = stream.send(\"<a/>\");", "conver|initialize"),
        ("bool clean = xmpp_close::report().ended() == XMPP_CLOSE_CLEAN;", "no match|invalid operands"),
        ("(void)stream.timeout(std::chrono::system_clock::now());", "shortens or stretches"),
        ("(void)stream.timeout(std::chrono::seconds(1));", "no viable|cannot convert|could not convert"),
        ("xmpp_close::stream::start(3, options);", "nused|gnoring"),
        ("stream.send(\"<a/>\");", "nused|gnoring"),
        ("options.on_stanza = [](const char *, size_t) {};", "no match|no viable"),
    ];
    let program = |line: &str| {
        format!(
            "#include <xmpp_close.hpp>\nvoid f();\nvoid f()\n{{\n    xmpp_close::stream stream;\n    \
             xmpp_close::options options;\n    (void)options;\n    {line}\n}}\n"
        )
    };
    for compiler in ["g++", "clang++"] {
        compiles(compiler, "c++11", &[], &program("(void)stream;"));
        for (line, words) in MISTAKES {
            let output =
                compile(compiler, &["-std=c++11", "-c", "-o", "/dev/null", "-Werror=unused-result"], &program(line));
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
    for function in declared.filter(|name| !name.contains(' ') && !name.contains('*') && !name.contains("_handshake_"))
    {
        let is_plain = ["xmpp_close_version_number", "xmpp_close_idle_seconds"].contains(&&function[..]);
        assert!(is_plain || cpp.contains(&function), "xmpp_close.hpp has nothing for {function}");
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
