//! The `idle_server` example: idle streams are closed by handshake, and nothing is lost on the way.

#[path = "support/example.rs"]
mod example;

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{OnceLock, mpsc},
    thread,
    time::Duration,
};

const HEADER: &str = "<?xml version='1.0'?><stream:stream to='localhost' version='1.0' xmlns='jabber:client' \
                      xmlns:stream='http://etherx.jabber.org/streams'>";
const TAG: &str = "</stream:stream>";
const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
/// Only a bug could make a test wait so long.
const PATIENCE: Duration = Duration::from_secs(20);

fn program() -> &'static Path {
    static PROGRAM: OnceLock<std::path::PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| example::build("idle_server"))
}

/// A running server; dropping it stops it.
struct Server {
    child: Child,
    address: String,
    lines: mpsc::Receiver<String>,
}

impl Server {
    fn start(idle: &str) -> Self {
        let mut command = Command::new(program());
        command.args(["127.0.0.1:0", "--idle", idle]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the server starts");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let mut server = Self { child, address: String::new(), lines };
        let first = server.line("listening on ");
        server.address = first.trim_start_matches("listening on ").to_owned();
        server
    }

    /// The next line that begins so.
    fn line(&self, start: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no line begins with {start}"));
            if line.starts_with(start) {
                return line;
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client of the plainest kind.
struct Client {
    tcp: TcpStream,
    /// Read, and not yet looked at.
    kept: String,
}

impl Client {
    fn connect(server: &Server) -> Self {
        let tcp = TcpStream::connect(&server.address).unwrap();
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        tcp.set_nodelay(true).unwrap();
        let mut client = Self { tcp, kept: String::new() };
        client.send(HEADER);
        client.until("</stream:features>");
        client
    }

    /// With the resource "test".
    fn log_in(server: &Server, token: &str) -> Self {
        let mut client = Self::connect(server);
        client.send(&format!("<auth xmlns='{SASL}' mechanism='PLAIN'>{token}</auth>"));
        client.until("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
        client.send(HEADER);
        client.until("</stream:features>");
        client.send("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>test</resource></bind></iq>");
        let bound = client.until("</iq>");
        assert!(bound.contains("@localhost/test</jid>"), "{bound}");
        client
    }

    fn alice(server: &Server) -> Self {
        Self::log_in(server, "AGFsaWNlAHNlY3JldA==")
    }

    fn bob(server: &Server) -> Self {
        Self::log_in(server, "AGJvYgBzZWNyZXQ=")
    }

    fn send(&mut self, xml: &str) {
        self.tcp.write_all(xml.as_bytes()).unwrap();
    }

    /// What comes up to and including `end`.
    fn until(&mut self, end: &str) -> String {
        loop {
            if let Some(at) = self.kept.find(end) {
                let rest = self.kept.split_off(at + end.len());
                return std::mem::replace(&mut self.kept, rest);
            }
            let mut buffer = [0; 4096];
            let count =
                self.tcp.read(&mut buffer).unwrap_or_else(|error| panic!("no {end} but {error}: {}", self.kept));
            assert!(count > 0, "the end in place of {end}: {}", self.kept);
            self.kept += std::str::from_utf8(&buffer[..count]).unwrap();
        }
    }

    /// What comes up to the end of TCP.
    fn rest(mut self) -> String {
        self.tcp.read_to_string(&mut self.kept).expect("the end of TCP, and no reset");
        self.kept
    }
}

/// The numbers of the messages in `xml`, in their order.
fn numbers(xml: &str) -> Vec<u32> {
    xml.split("<body>").skip(1).map(|rest| rest.split('<').next().unwrap().parse().unwrap()).collect()
}

#[test]
fn late_stanzas_are_processed_in_order_and_nothing_follows_the_tag() {
    let server = Server::start("1");
    let mut alice = Client::alice(&server);
    // Nobody says anything, until the server closes.
    let before = alice.until(TAG);
    assert_eq!(before, TAG, "an idle stream is closed without an error");
    // It waits for our tag, and does not end TCP.
    alice.tcp.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let waiting = alice.tcp.read(&mut [0; 64]).map_err(|error| error.kind());
    assert_eq!(waiting, Err(io::ErrorKind::WouldBlock));
    alice.tcp.set_read_timeout(Some(PATIENCE)).unwrap();

    let mut bob = Client::bob(&server);
    let mut late: String =
        (0..200).map(|n| format!("<message to='bob@localhost' type='chat'><body>{n}</body></message>")).collect();
    // None of these is answered any more: nothing may follow the closing tag.
    late += "<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq><message to='nobody@localhost'/>";
    alice.send(&late);
    alice.send(TAG);
    let received = bob.until("<body>199</body>");
    assert_eq!(numbers(&received), (0..200).collect::<Vec<_>>());
    assert!(received.starts_with("<message from='alice@localhost/test' to="), "{received}");
    assert_eq!(alice.rest(), "", "after the server's tag");

    let line = server.line("alice@localhost/test: ");
    assert!(line.contains("clean") && line.contains("begun by us") && line.contains("202 late stanzas"), "{line}");
}

#[test]
fn a_client_that_closes_first_gets_what_is_owed_and_then_the_tag() {
    let server = Server::start("60");
    let mut alice = Client::alice(&server);
    alice.send(&format!("<iq type='get' id='p1'><ping xmlns='urn:xmpp:ping'/></iq>{TAG}"));
    assert_eq!(alice.rest(), format!("<iq type='result' id='p1'></iq>{TAG}"));
    let line = server.line("alice@localhost/test: ");
    assert!(line.contains("clean") && line.contains("begun by peer"), "{line}");
}

#[test]
fn clients_talk_to_each_other() {
    let server = Server::start("60");
    let (mut alice, mut bob) = (Client::alice(&server), Client::bob(&server));
    alice.send("<message to='bob@localhost/test'><body>1</body></message>");
    let got = bob.until("</message>");
    assert_eq!(got, "<message from='alice@localhost/test' to='bob@localhost/test'><body>1</body></message>");
    bob.send("<message to='alice@localhost'><body>2</body></message>");
    let got = alice.until("</message>");
    assert_eq!(got, "<message from='bob@localhost/test' to='alice@localhost'><body>2</body></message>");
    for (mut client, name) in [(alice, "alice"), (bob, "bob")] {
        client.send(TAG);
        assert_eq!(client.rest(), TAG);
        let line = server.line(&format!("{name}@localhost/test: "));
        assert!(line.contains("clean"), "{line}");
    }
}

#[test]
fn what_cannot_be_done_is_answered_with_an_error() {
    let server = Server::start("60");
    let mut alice = Client::alice(&server);
    for stanza in ["message to='bob@localhost'", "iq type='get'", "iq type='set' to='bob@localhost/test'"] {
        let name = stanza.split(' ').next().unwrap();
        alice.send(&format!("<{stanza} id='x&amp;y'><what xmlns='urn:ever'/></{name}>"));
        let answer = alice.until(&format!("</{name}>"));
        let start = format!("<{name} type='error' id='x&amp;y' ");
        assert!(answer.starts_with(&start) && answer.contains("<service-unavailable "), "{answer}");
    }
    // Neither an error nor a result is answered: the ping's answer is the next to come.
    alice.send("<message type='error' to='bob@localhost'/><iq type='result' id='r'/><presence/>");
    alice.send("<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>");
    assert_eq!(alice.until("</iq>"), "<iq type='result' id='p'></iq>");
}

#[test]
fn a_resource_that_is_taken_is_not_given_twice() {
    let server = Server::start("60");
    let _alice = Client::alice(&server);
    let mut other = Client::connect(&server);
    other.send(&format!("<auth xmlns='{SASL}' mechanism='PLAIN'>AGFsaWNlAHNlY3JldA==</auth>"));
    other.until("/>");
    other.send(HEADER);
    other.until("</stream:features>");
    other.send(
        "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>test</resource></bind></iq>",
    );
    let bound = other.until("</iq>");
    assert!(bound.contains("<jid>alice@localhost/") && !bound.contains("/test<"), "{bound}");
}

#[test]
fn a_wrong_password_or_none_is_refused() {
    let server = Server::start("60");
    let mut client = Client::connect(&server);
    client.send(&format!("<auth xmlns='{SASL}' mechanism='PLAIN'>AGFsaWNlAHdyb25n</auth>"));
    let answer = client.until("</failure>");
    assert!(answer.contains("<not-authorized/>"), "{answer}");
    client.send("<message to='bob@localhost'/>");
    let error = client.until(TAG);
    assert!(error.contains("<not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"), "{error}");
    client.send(TAG);
    assert_eq!(client.rest(), "");
}

#[test]
fn a_forged_sender_is_a_stream_error() {
    let server = Server::start("60");
    let mut alice = Client::alice(&server);
    alice.send("<message from='bob@localhost/test' to='alice@localhost'/>");
    let error = alice.until(TAG);
    assert!(error.starts_with("<stream:error><invalid-from "), "{error}");
}

#[test]
fn a_malformed_stream_is_closed_with_an_error_and_the_end() {
    let server = Server::start("60");
    let mut alice = Client::alice(&server);
    alice.send("<message></iq><and><more>");
    let error = alice.until(TAG);
    assert!(error.starts_with("<stream:error><not-well-formed "), "{error}");
    assert_eq!(alice.rest(), "", "nothing but the end follows");
    let line = server.line("alice@localhost/test: ");
    assert!(line.contains("malformed"), "{line}");
}

#[test]
fn an_unknown_option_is_answered_with_the_usage() {
    let output = example::run(program(), &["--bogus"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(output.stderr.starts_with("usage: idle_server ") && output.stdout.is_empty(), "{output:?}");
}
