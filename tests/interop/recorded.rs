//! What each server says over a whole plaintext session, as it stands in the corpus of the fuzz targets.
//!
//! Nothing in it may look malformed to the framer. `RECORD=1 cargo test --all-features --test interop whole` writes it to
//! `fuzz/corpus`, under the name and the version of the server: each document for `framing`, what follows its header for
//! `session`, and the headers that differ for `header`.

use std::{
    cell::RefCell,
    env, fs,
    io::{self, Write},
    mem,
    net::TcpStream,
    os::fd::BorrowedFd,
    path::Path,
    rc::Rc,
    time::Duration,
};

use xmpp_close::{CloseOptions, Frame, Framer, Incoming, Interest, Stream, Transport};

use crate::{
    client::{Connect, USUAL, connect},
    daemon::{COMPONENT, DOMAIN, PASSWORD, PATIENCE},
    login::{Session, login},
    party::{Account, Party, bob},
    servers::Server,
    session::{expect, open, send, take_resource},
};

/// How a message of ours is written, which servers write in their own ways.
const MESSAGE: &str = "<message to='alice@localhost' type='chat' id='1'><body>caf\u{e9} &amp;&#x3c;\u{1f600}]]&gt; \"'\
    <![CDATA[</stream:stream>]]></body><x:y xmlns:x='urn:x' x:a='&gt;\"'/></message>";

/// The sessions whose headers differ in more than an id.
const HEADERS: [&str; 4] = ["close", "host-unknown", "component-refused", "s2s-close"];

/// Bytes as they come.
#[derive(Clone, Default)]
struct Tape(Rc<RefCell<Vec<u8>>>);

/// A connection that puts what is read on a tape.
struct Recorder(TcpStream, Tape);

impl Transport for Recorder {
    fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = Transport::try_read(&mut self.0, buf)?;
        self.1.0.borrow_mut().extend_from_slice(&buf[..count]);
        Ok(count)
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Transport::try_write(&mut self.0, bytes)
    }

    fn shut(&mut self) -> io::Result<()> {
        self.0.shut()
    }

    fn wait(&mut self, interest: Interest, limit: Duration, wake: Option<BorrowedFd<'_>>) -> io::Result<Interest> {
        self.0.wait(interest, limit, wake)
    }
}

impl Connect for Tape {
    type Transport = Recorder;
    const NAME: &'static str = "recorded";

    fn log_in(&self, tcp: TcpStream, account: &str) -> Result<Session<Recorder>, String> {
        self.0.borrow_mut().clear();
        login(Recorder(tcp, self.clone()), DOMAIN, account, PASSWORD, PATIENCE).map_err(|error| error.to_string())
    }
}

/// Where a server's sessions go to.
struct Records {
    server: String,
}

impl Records {
    /// Checks the last document of a session, and writes it down.
    fn take(&self, name: &str, tape: &Tape) {
        let said = mem::take(&mut *tape.0.borrow_mut());
        let start = said.windows(14).rposition(|part| part == b"<stream:stream").expect("a header");
        let start = said[..start].windows(5).rposition(|part| part == b"<?xml").unwrap_or(start);
        if start > 0 {
            self.document("login", &said[..start]);
        }
        let ends = self.document(name, &said[start..]);
        assert!(ends || !name.ends_with("close"), "{name} does not end: {}", said.escape_ascii());
    }

    /// Whether it ends: not always, where the server ends it.
    fn document(&self, name: &str, xml: &[u8]) -> bool {
        let (mut framer, mut rest) = (Framer::new(), xml);
        let Some(Frame::Header(header)) = framer.next(&mut rest) else {
            panic!("no header: {}", xml.escape_ascii());
        };
        if HEADERS.contains(&name) {
            self.write("header", name, header);
        }
        let inside = rest;
        while framer.next(&mut rest).is_some() {}
        assert_eq!(framer.malformed(), None, "{}", xml.escape_ascii());
        self.write("framing", name, xml);
        // Its first byte says how TCP ends: between stanzas.
        self.write("session", name, &[b" ", inside].concat());
        framer.is_over()
    }

    fn write(&self, target: &str, name: &str, bytes: &[u8]) {
        if env::var_os("RECORD").is_some() {
            let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
            fs::write(corpus.join(target).join(format!("{}-{name}", self.server)), bytes).unwrap();
        }
    }
}

pub fn sessions_of(server: &mut dyn Server) {
    let version = server.version();
    let upstream = version.split(['-', '+', '~']).next().unwrap();
    let records = Records { server: format!("{}-{upstream}", server.package()) };
    let party = Account(Tape::default());
    let tape = &party.0;

    let mut alice = party.enter(server, USUAL);
    let mut bob = bob(server);
    bob.stream.send(MESSAGE).unwrap();
    alice.read_message(|_| ());
    let disco = "<query xmlns='http://jabber.org/protocol/disco#info'/>";
    alice
        .stream
        .send(format!("<iq type='get' to='{DOMAIN}' id='d'>{disco}</iq><iq type='get' id='u'><x/></iq>"))
        .unwrap();
    alice.ping();
    alice.close();
    records.take("close", tape);
    bob.close();
    server.wait_for_clients(0);

    for (name, how) in [("kicked", 0), ("kicked-with-error", 1), ("replaced", 2), ("malformed", 3), ("stopped", 4)] {
        let mut alice = party.enter(server, USUAL);
        let is_ended = match how {
            0 => server.kick("alice"),
            1 => server.kick_with_error("alice"),
            2 => (take_resource(server, &alice.jid), true).1,
            3 => alice.raw.write_all(b"<message></presence>").is_ok(),
            _ => (server.terminate(), true).1,
        };
        if is_ended {
            read_to_end(alice.stream);
            records.take(name, tape);
        } else {
            alice.close();
        }
        if how != 4 {
            server.wait_for_clients(0);
        }
    }
    server.restart();
    refusals(server, &records, tape);
}

/// Streams that do not come to a session.
fn refusals(server: &dyn Server, records: &Records, tape: &Tape) {
    let client = format!("xmlns='jabber:client' to='{DOMAIN}' version='1.0'");
    let begin = |addr, attributes: &str| {
        let mut stream = Stream::new(Recorder(connect(addr, USUAL), tape.clone()));
        open(&mut stream, attributes).unwrap();
        stream
    };
    read_to_end(begin(server.c2s(), "xmlns='jabber:client' to='nowhere.test' version='1.0'"));
    records.take("host-unknown", tape);

    let mut stream = begin(server.c2s(), &client);
    expect(&mut stream, "features").unwrap();
    let wrong = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGFsaWNlAHdyb25n</auth>";
    send(&mut stream, wrong).unwrap();
    expect(&mut stream, "failure").unwrap();
    assert!(stream.close(&CloseOptions::new()).unwrap().is_clean());
    records.take("not-authorized", tape);

    let mut stream = begin(server.component(), &format!("xmlns='jabber:component:accept' to='{COMPONENT}'"));
    send(&mut stream, "<handshake>0</handshake>").unwrap();
    read_to_end(stream);
    records.take("component-refused", tape);

    let namespaces = "xmlns='jabber:server' xmlns:db='jabber:server:dialback'";
    let mut stream = begin(server.s2s(), &format!("{namespaces} to='{DOMAIN}' from='peer.test' version='1.0'"));
    expect(&mut stream, "features").unwrap();
    assert!(stream.close(&CloseOptions::new()).unwrap().is_clean());
    records.take("s2s-close", tape);
}

/// The server ends the stream: reads all that it says, and answers.
fn read_to_end(mut stream: Stream<Recorder>) {
    while matches!(stream.receive_within(PATIENCE), Ok(Incoming::Stanza(_))) {}
    let _ = stream.close(&CloseOptions::new());
}
