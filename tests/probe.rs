//! The `probe` example, as people and scripts run it.

// Prosody and openssl are programs of Unix.
#[cfg(unix)]
#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/example.rs"]
mod example;
#[path = "../examples/probe/policy.rs"]
mod policy;
#[cfg(unix)]
#[path = "support/prosody.rs"]
mod prosody;

#[path = "probe/encryption.rs"]
mod encryption;
#[path = "probe/management.rs"]
mod management;
#[path = "probe/rows.rs"]
mod rows;
#[cfg(unix)]
#[path = "probe/servers.rs"]
mod servers;
#[cfg(all(unix, feature = "rustls"))]
#[path = "probe/tls.rs"]
mod tls;

use std::{
    fs,
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use example::Output;
use serde_json::Value;
use xmpp_close::xml::{EventReader, XmlEvent};

const HEADER: &str = "<?xml version='1.0'?><stream:stream from='localhost' id='1' version='1.0' xmlns='jabber:client' \
                      xmlns:stream='http://etherx.jabber.org/streams'>";
const FEATURES: &str = "<stream:features/>";
const TAG: &str = "</stream:stream>";

fn probe(args: &[&str]) -> Output {
    probe_with(args, &[])
}

fn probe_with(args: &[&str], env: &[(&str, &Path)]) -> Output {
    static PROBE: OnceLock<PathBuf> = OnceLock::new();
    // That of another system: see .ci/windows.
    let given = || std::env::var_os("XMPP_CLOSE_PROBE").map(PathBuf::from);
    example::run(PROBE.get_or_init(|| given().unwrap_or_else(|| example::build("probe"))), args, env)
}

/// A server on a free port, for one connection.
fn server(serve: impl FnOnce(TcpStream) -> io::Result<()> + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    // How a broken connection looked from here does not matter: the probe's words about it are what is tested.
    thread::spawn(move || serve(listener.accept()?.0));
    address.to_string()
}

/// Reads up to and including `text`.
fn await_text(peer: &mut impl Read, text: &str) -> io::Result<()> {
    let mut got = Vec::new();
    while !got.ends_with(text.as_bytes()) {
        let mut byte = [0];
        peer.read_exact(&mut byte)?;
        got.push(byte[0]);
    }
    Ok(())
}

fn read_to_end(peer: &mut impl Read) -> io::Result<()> {
    io::copy(peer, &mut io::sink()).map(drop)
}

/// A file name of this process's own.
fn scratch(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("xmpp-close-probe-{}-{name}", std::process::id()))
}

/// It failed with this code, and said why in one line.
fn assert_failure(output: &Output, code: i32, words: &str) {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    assert_eq!(output.stderr.lines().count(), 1, "{output:?}");
    assert!(output.stderr.starts_with("probe: ") && output.stderr.contains(words), "{output:?}");
}

/// What it printed, which has to be one JSON value.
fn json(output: &Output) -> Value {
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// What a test expects in a JSON value, or fails.
trait Expected {
    fn number(&self) -> f64;
    fn text(&self) -> &str;
    fn array(&self) -> &[Value];
    /// Whether an object has this member, and it is null.
    fn says_null(&self, member: &str) -> bool;
}

impl Expected for Value {
    fn number(&self) -> f64 {
        self.as_f64().unwrap_or_else(|| panic!("{self} is no number"))
    }

    fn text(&self) -> &str {
        self.as_str().unwrap_or_else(|| panic!("{self} is no string"))
    }

    fn array(&self) -> &[Value] {
        self.as_array().unwrap_or_else(|| panic!("{self} is no array"))
    }

    fn says_null(&self, member: &str) -> bool {
        self.get(member) == Some(&Value::Null)
    }
}

/// The text elements of a diagram, which has to be well-formed.
fn svg_texts(file: &PathBuf) -> Vec<String> {
    let svg = fs::read_to_string(file).expect("the diagram");
    let mut events = EventReader::from_str(&svg).into_iter().map(|event| event.expect("well-formed XML"));
    let root = events.find(|event| matches!(event, XmlEvent::StartElement { .. }));
    let Some(XmlEvent::StartElement { name, .. }) = root else { panic!("no root") };
    assert_eq!((name.local_name.as_str(), name.namespace.as_deref()), ("svg", Some("http://www.w3.org/2000/svg")));
    let mut texts = Vec::new();
    for event in events {
        match event {
            XmlEvent::StartElement { name, .. } if name.local_name == "text" => texts.push(String::new()),
            XmlEvent::Characters(text) => texts.last_mut().into_iter().for_each(|last| last.push_str(&text)),
            _ => {}
        }
    }
    fs::remove_file(file).expect("a file of ours");
    texts
}

#[test]
fn the_handshake_loses_nothing_where_the_old_way_does() {
    let file = scratch("demo.svg");
    let output = probe(&["--json", "--svg", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let result = json(&output);
    let (new, old) = (&result["handshake"], &result["old_way"]);
    for direction in ["to_us", "to_peer"] {
        assert_eq!(new[direction]["lost"].number(), 0.0, "{direction}");
        assert!(new[direction]["arrived"].number() >= 100.0, "{direction}");
        assert_eq!(new[direction]["arrived"], new[direction]["meant"], "{direction}");
    }
    assert_eq!(new["report"]["outcome"].text(), "clean");
    assert_eq!(new["report"]["stanzas"], new["to_us"]["arrived"]);
    assert!(old["to_us"]["lost"].number() > 0.0, "{old:?}");
    assert!(old.says_null("report"));

    let timeline = new["timeline"].array();
    let ours: Vec<_> = timeline.iter().filter(|entry| entry["from"].text() == "us").collect();
    let kinds: Vec<_> = ours.iter().map(|entry| entry["kind"].text()).collect();
    let tag = ours.iter().position(|entry| entry["what"].text().ends_with(TAG)).expect("our tag");
    assert_eq!(kinds[tag + 1..], ["fin"], "after our tag");
    // Those read before our tag was written have an entry of their own.
    let late = timeline
        .iter()
        .filter(|entry| entry["what"].text().starts_with("<message/>") && entry["from"].text() == "peer");
    let messages: f64 = late.map(|entry| entry["frames"]["<message/>"].number()).sum();
    assert_eq!(messages, new["to_us"]["arrived"].number());
    let states: Vec<_> = timeline.iter().map(|entry| entry["state"].text()).collect();
    assert_eq!(states[states.len() - 4..], ["wait", "bye", "linger", "done"]);

    let texts = svg_texts(&file);
    for wanted in ["By handshake", "</stream:stream>", "FIN"] {
        assert!(texts.iter().any(|text| text.contains(wanted)), "{wanted} in {texts:?}");
    }
    let lost =
        format!("{} of {} messages to us were lost", old["to_us"]["lost"].number(), old["to_us"]["meant"].number());
    assert!(texts.contains(&lost), "{lost} in {texts:?}");
}

#[test]
fn without_arguments_the_probe_prints_both_endings_for_people() {
    let output = probe(&[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    assert!(output.stdout.contains("clean: both closing tags were exchanged"), "{}", output.stdout);
    assert!(output.stdout.contains("all arrived") && output.stdout.contains(" lost"), "{}", output.stdout);
    assert!(output.stdout.contains("close(2)"), "{}", output.stdout);
    assert!(!output.stdout.contains('\x1b'), "colours without a terminal");
    let widest = output.stdout.lines().max_by_key(|line| line.chars().count()).unwrap_or_default();
    assert!(widest.chars().count() <= 86, "{widest}");
}

#[test]
fn bad_arguments_are_refused() {
    for (args, words) in [
        (&["--nonsense"][..], "unknown option --nonsense"),
        (&["localhost"], "HOST:PORT is wanted"),
        (&["localhost:x"], "HOST:PORT is wanted"),
        (&["localhost:0"], "HOST:PORT is wanted"),
        (&["localhost:99999"], "HOST:PORT is wanted"),
        (&["::1:5222"], "HOST:PORT is wanted"),
        (&[":5222"], "HOST:PORT is wanted"),
        (&["127.0.0.1:1", "127.0.0.1:2"], "one server is enough"),
        (&["127.0.0.1:1", "--total"], "--total needs a value"),
        (&["127.0.0.1:1", "--total", "soon"], "--total wants seconds"),
        (&["127.0.0.1:1", "--total=soon"], "--total wants seconds"),
        (&["--json=yes"], "--json"),
        (&["-x"], "unknown option -x"),
        (&["127.0.0.1:1", "--total", "-1"], "--total wants seconds"),
        (&["127.0.0.1:1", "--total", "NaN"], "--total wants seconds"),
        (&["127.0.0.1:1", "--total", "1e300"], "--total wants seconds"),
        (&["127.0.0.1:1", "--jid", "a@b"], "--jid needs --password"),
        (&["127.0.0.1:1", "--password", "x"], "--password needs --jid"),
        (&["127.0.0.1:1", "--jid", "alice", "--password", "x"], "--jid wants user@domain"),
        (&["127.0.0.1:1", "--tls", "maybe"], "--tls wants starttls, direct or no"),
        (&["127.0.0.1:1", "--tls", "no", "--insecure"], "--insecure makes no sense without TLS"),
        (&["127.0.0.1:1", "--component", "c"], "--component needs --secret"),
        (&["127.0.0.1:1", "--secret", "c"], "--secret needs --component"),
        (&["127.0.0.1:1", "--component", "c", "--secret", "s", "--tls", "starttls"], "components know no STARTTLS"),
        (&["127.0.0.1:1", "--component", "c", "--secret", "s", "--insecure"], "without TLS"),
        (&["127.0.0.1:1", "--component", "c", "--secret", "s", "--jid", "a@b", "--password", "x"], "either --jid or"),
        (&["127.0.0.1:1", "--detach"], "--detach needs --jid"),
        (&["127.0.0.1:1", "--component", "c", "--secret", "s", "--detach"], "--detach needs --jid"),
        (&["127.0.0.1:1", "--jid", "a@b", "--password", "x", "--detach", "--half-close"], "either --detach or"),
        (&["--detach"], "without HOST:PORT"),
        (&["--insecure"], "without HOST:PORT"),
        (&["--half-close"], "without HOST:PORT"),
        (&["--total", "1"], "without HOST:PORT"),
    ] {
        let output = probe(args);
        assert_failure(&output, 2, words);
        assert!(output.stdout.is_empty(), "{output:?}");
    }
}

#[test]
fn help_names_every_exit_code_and_version_is_ours() {
    let help = probe(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    for code in 0..=9 {
        assert!(help.stdout.lines().any(|line| line.starts_with(&format!("  {code}  "))), "{code}");
    }
    let version = probe(&["--version"]);
    assert_eq!(version.stdout, concat!("probe ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn a_refused_connection_has_its_own_code() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    assert_failure(&probe(&[&address]), 3, "refused");
}

#[test]
fn what_is_not_xmpp_has_its_own_code() {
    let http = server(|mut tcp| {
        await_text(&mut tcp, ">")?;
        tcp.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")?;
        read_to_end(&mut tcp)
    });
    assert_failure(&probe(&[&http]), 4, "no XMPP stream");
    let other_xml = server(|mut tcp| {
        await_text(&mut tcp, "streams'>")?;
        tcp.write_all(b"<rss xmlns='http://example.org/' version='2.0'><channel/>")?;
        read_to_end(&mut tcp)
    });
    assert_failure(&probe(&[&other_xml]), 4, "no XMPP stream");
    let hangs_up = server(|mut tcp| await_text(&mut tcp, "streams'>"));
    assert_failure(&probe(&[&hangs_up]), 4, "no XMPP stream");
}

#[test]
fn a_silent_server_is_given_up() {
    let silent = server(|mut tcp| read_to_end(&mut tcp));
    assert_failure(&probe(&[&silent, "--total", "0.3"]), 4, "in time");
}

#[test]
fn a_server_that_sends_a_byte_now_and_then_is_given_up() {
    let start = Instant::now();
    let slow = server(|mut tcp| {
        for byte in HEADER.bytes().chain(std::iter::repeat(b' ')) {
            tcp.write_all(&[byte])?;
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    });
    assert_failure(&probe(&[&slow, "--total", "0.5"]), 4, "in time");
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[test]
fn a_server_that_never_closes_in_return_is_no_clean_close() {
    let start = |mut tcp: TcpStream| {
        await_text(&mut tcp, "streams'>")?;
        tcp.write_all(format!("{HEADER}{FEATURES}").as_bytes())?;
        await_text(&mut tcp, TAG)?;
        tcp.write_all(b"<message><body>late</body></message>")?;
        read_to_end(&mut tcp)?;
        // Open until the probe has gone.
        tcp.write_all(b" ")
    };
    let file = scratch("mute.svg");
    let output = probe(&[&server(start), "--total", "2", "--json", "--svg", file.to_str().unwrap()]);
    assert_failure(&output, 1, "timed-out");
    let result = json(&output);
    assert_eq!(result["report"]["outcome"].text(), "timed-out");
    assert_eq!(result["report"]["clean"], false);
    assert_eq!(result["report"]["stanzas"].number(), 1.0);
    assert!(svg_texts(&file).iter().any(|text| text.starts_with("timed-out")));
    let for_people = probe(&[&server(start), "--total", "2"]);
    assert_failure(&for_people, 1, "timed-out");
    assert!(for_people.stdout.contains("ours only"), "{}", for_people.stdout);
}

#[test]
fn a_clean_close_shows_what_came_late() {
    let late = server(|mut tcp| {
        await_text(&mut tcp, "streams'>")?;
        tcp.write_all(format!("{HEADER}{FEATURES}").as_bytes())?;
        await_text(&mut tcp, TAG)?;
        tcp.write_all(format!("{}<presence/>{TAG}", "<message/>".repeat(3)).as_bytes())?;
        read_to_end(&mut tcp)
    });
    let output = probe(&[&late, "--json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let result = json(&output);
    assert_eq!(result["report"]["outcome"].text(), "clean");
    assert_eq!(result["report"]["stanzas"].number(), 4.0);
    let timeline = result["timeline"].array();
    let entry =
        timeline.iter().find(|entry| entry["what"].text() == "<message/> ×3 <presence/>").expect("late stanzas");
    assert_eq!((entry["from"].text(), entry["state"].text()), ("peer", "wait"));
}

#[test]
fn a_server_that_does_not_open_the_stream_has_its_own_code() {
    let unknown = server(|mut tcp| {
        await_text(&mut tcp, "streams'>")?;
        let error = "<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>";
        tcp.write_all(format!("{HEADER}{error}{TAG}").as_bytes())?;
        read_to_end(&mut tcp)
    });
    assert_failure(&probe(&[&unknown]), 6, "--domain");
    let talkative = server(|mut tcp| {
        await_text(&mut tcp, "streams'>")?;
        let ns = "xmlns='urn:ietf:params:xml:ns:xmpp-streams'";
        let error = format!("<stream:error><reset {ns}/><text {ns}>one\ntwo\x1b[31m</text></stream:error>");
        tcp.write_all(format!("{HEADER}{}{TAG}", error.replace('\x1b', "\u{85}")).as_bytes())?;
        read_to_end(&mut tcp)
    });
    let output = probe(&[&talkative]);
    assert_failure(&output, 6, "reset");
    assert!(!output.stderr.trim_end().contains(char::is_control), "{output:?}");
}

/// Plays a login whose password is not shown anywhere, with more features behind it.
fn log_in(tcp: &mut TcpStream, more: &str) -> io::Result<()> {
    const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
    await_text(tcp, "streams'>")?;
    let plain = format!("<mechanisms xmlns='{SASL}'><mechanism>PLAIN</mechanism></mechanisms>");
    tcp.write_all(format!("{HEADER}<stream:features>{plain}</stream:features>").as_bytes())?;
    await_text(tcp, "</auth>")?;
    tcp.write_all(format!("<success xmlns='{SASL}'/>").as_bytes())?;
    await_text(tcp, "streams'>")?;
    let bind = "bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'";
    tcp.write_all(format!("{HEADER}<stream:features><{bind}/>{more}</stream:features>").as_bytes())?;
    await_text(tcp, "</iq>")?;
    tcp.write_all(format!("<iq type='result' id='bind'><{bind}><jid>a@localhost/1</jid></bind></iq>").as_bytes())
}

#[test]
fn a_password_is_not_shown() {
    let address = server(|mut tcp| {
        log_in(&mut tcp, "")?;
        await_text(&mut tcp, TAG)?;
        tcp.write_all(TAG.as_bytes())?;
        read_to_end(&mut tcp)
    });
    let output = probe(&[&address, "--jid", "a@localhost", "--password", "open sesame", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(json(&output)["jid"].text(), "a@localhost/1");
    assert!(output.stdout.contains("<auth/>"), "{output:?}");
    // Plain, and in base64 behind "\0a\0".
    for secret in ["sesame", "AGEAb3BlbiBzZXNhbWU", "b3Blbi"] {
        assert!(!format!("{output:?}").contains(secret), "{output:?}");
    }
}

#[test]
fn a_login_that_fails_has_its_own_code() {
    let address = server(|mut tcp| {
        await_text(&mut tcp, "streams'>")?;
        tcp.write_all(format!("{HEADER}{FEATURES}").as_bytes())?;
        await_text(&mut tcp, TAG)?;
        tcp.write_all(TAG.as_bytes())?;
        read_to_end(&mut tcp)
    });
    assert_failure(&probe(&[&address, "--jid", "a@localhost", "--password", "x"]), 5, "login failed");
}

#[test]
fn a_diagram_that_cannot_be_written_is_reported() {
    let output = probe(&["--svg", "/nonexistent/probe.svg"]);
    assert_failure(&output, 7, "/nonexistent/probe.svg");
}
