//! One run of an example against the script of its peer.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::PathBuf,
    sync::{LazyLock, mpsc},
    thread,
};

use openssl::ssl::Ssl;
use socket2::SockRef;

use crate::{
    peer::PATIENCE,
    program::{Example, Output, Program, Variant},
    script::{self, Got, TlsPeer},
    setup::{self, Case, Library, NAME, Version},
};

pub const HEADER: &str =
    "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";

/// One cell of the matrix.
#[derive(Clone, Copy, Debug)]
pub struct Cell {
    pub example: Example,
    pub theirs: Library,
    pub version: Version,
    pub variant: Variant,
}

impl Cell {
    /// Each example with each version. The libraries at the other end take turns: the example sees TLS, not them.
    pub fn all() -> Vec<Self> {
        use {Example::*, Library::Rustls, Version::*};
        [
            (Openssl, Rustls, Tls12),
            (Openssl, Library::Openssl, Tls13),
            (Gnutls, Library::Openssl, Tls12),
            (Gnutls, Rustls, Tls13),
        ]
        .map(|(example, theirs, version)| Self { example, theirs, version, variant: Variant::Plain })
        .to_vec()
    }

    /// The same against rustls, which does what it is told.
    pub fn against_rustls() -> Vec<Self> {
        Self::all().into_iter().map(|cell| Self { theirs: Library::Rustls, ..cell }).collect()
    }

    /// Both examples under the tools that find errors of memory.
    pub fn checked() -> Vec<Self> {
        let cells = Self::against_rustls().into_iter().filter(|cell| cell.version == Version::Tls13);
        cells.flat_map(|cell| [Variant::Sanitized, Variant::Valgrind].map(|variant| Self { variant, ..cell })).collect()
    }

    /// What the scripted peer needs to know.
    pub fn case(self) -> Case {
        // It never looks at our library, which is none of those it knows.
        Case { ours: self.theirs, theirs: self.theirs, version: self.version, client: true, batch: false }
    }
}

/// Runs a test in every cell; what it says of a cell that fails is under the cell's name.
pub fn each(cells: Vec<Cell>, test: impl Fn(Cell)) {
    assert!(!cells.is_empty());
    for cell in cells {
        println!("{cell:?}");
        cell.example.command(cell.variant); // builds it before a peer waits for it
        test(cell);
    }
}

/// The same, all cells at once: for tests that wait.
pub fn each_at_once(cells: Vec<Cell>, test: impl Fn(Cell) + Sync) {
    assert!(!cells.is_empty());
    for cell in &cells {
        cell.example.command(cell.variant);
    }
    thread::scope(|scope| {
        let threads: Vec<_> = cells.iter().map(|cell| (cell, scope.spawn(|| test(*cell)))).collect();
        for (cell, thread) in threads {
            assert!(thread.join().is_ok(), "{cell:?} failed, see above");
        }
    });
}

/// A file with the certificate that the scripted peer shows.
pub fn certificate() -> PathBuf {
    static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
        let server: Ssl = setup::openssl(Version::Tls13, false);
        let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("c_tls-{}.pem", std::process::id()));
        fs::write(&file, server.certificate().unwrap().to_pem().unwrap()).unwrap();
        file
    });
    FILE.clone()
}

/// Where an example is to connect to.
pub struct Listener(TcpListener);

impl Listener {
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        SockRef::from(&listener).set_read_timeout(Some(PATIENCE)).unwrap();
        Self(listener)
    }

    /// The same with receive buffers of (about) `bytes`.
    pub fn with_buffer(self, bytes: usize) -> Self {
        SockRef::from(&self.0).set_recv_buffer_size(bytes).unwrap();
        self
    }

    pub fn port(&self) -> String {
        self.0.local_addr().unwrap().port().to_string()
    }

    pub fn accept(&self) -> TcpStream {
        let (tcp, _) = self.0.accept().expect("the program has not connected");
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        tcp.set_write_timeout(Some(PATIENCE)).unwrap();
        tcp
    }
}

/// What the example says of its stream's end.
#[derive(Debug, PartialEq, Eq)]
pub struct Report {
    pub outcome: String,
    pub stanzas: usize,
    /// Whether our close_notify was sent, and the peer's came.
    pub alerts: (bool, bool),
    pub unsent: u64,
    pub behind_the_tag: u64,
    pub errno: i32,
    pub elapsed_ms: u64,
}

impl Report {
    fn parse(line: &str) -> Option<Self> {
        let (outcome, rest) = line.split_once(": ")?;
        let [stanzas, alerts, bytes, errno, elapsed] = rest.split("; ").collect::<Vec<_>>().try_into().ok()?;
        let (sent, received) = alerts.strip_prefix("close_notify ")?.split_once(", ")?;
        let (unsent, behind_the_tag) = bytes.split_once(" bytes unsent, ")?;
        let said =
            |text, word: &str| if text == word { Some(true) } else { (text == format!("not {word}")).then_some(false) };
        Some(Self {
            outcome: outcome.to_owned(),
            stanzas: stanzas.strip_suffix(" late stanzas")?.parse().ok()?,
            alerts: (said(sent, "sent")?, said(received, "received")?),
            unsent: unsent.parse().ok()?,
            behind_the_tag: behind_the_tag.strip_suffix(" behind the tag")?.parse().ok()?,
            errno: errno.strip_prefix("errno ")?.parse().ok()?,
            elapsed_ms: elapsed.strip_suffix(" ms")?.parse().ok()?,
        })
    }
}

/// What a close came to.
#[derive(Debug)]
pub struct Closed<R> {
    pub report: Report,
    /// The late stanzas.
    pub late: Vec<String>,
    pub processor_ms: u64,
    /// What the script returned.
    pub peer: R,
}

impl<R> Closed<R> {
    /// The outcome, the number of late stanzas, and which alerts went and came.
    pub fn expect(&self, outcome: &str, late: usize, alerts: (bool, bool)) {
        let Report { outcome: was, stanzas, alerts: were, .. } = &self.report;
        assert_eq!((was.as_str(), self.late.len(), *were), (outcome, late, alerts), "{:?}", self.report);
        assert_eq!(*stanzas, late, "{:?}", self.report);
    }
}

/// Closes one stream, against a script that begins when the example has opened it.
pub fn close<R: Send + 'static>(
    cell: Cell,
    arguments: &[&str],
    script: impl FnOnce(TlsPeer) -> R + Send + 'static,
) -> Closed<R> {
    close_over(cell, &Listener::new(), arguments, |mut peer| {
        read_header(&mut peer);
        peer.send(HEADER);
        script(peer)
    })
}

/// The same, against a script that begins with TLS.
pub fn close_over<R: Send + 'static>(
    cell: Cell,
    listener: &Listener,
    arguments: &[&str],
    script: impl FnOnce(TlsPeer) -> R + Send + 'static,
) -> Closed<R> {
    let mut command = cell.example.command(cell.variant);
    command.arg("--ca").arg(certificate()).args(["--domain", NAME]).args(arguments);
    let (delivered, deliveries) = mpsc::channel();
    let program = Program::start(command.args(["127.0.0.1", &listener.port()]), delivered);
    let peer = script::start(cell.case(), listener.accept(), deliveries, script);
    let Output { mut lines, errors, code, processor_ms } = program.wait();
    let peer = peer.join();
    assert_eq!(errors, "", "{code:?}, {lines:#?}");
    let last = lines.pop().unwrap_or_default();
    let report = Report::parse(&last).unwrap_or_else(|| panic!("{last:?} is no report"));
    assert_eq!(code, Some(i32::from(report.outcome != "clean")), "{report:?}");
    let late = lines.iter().map(|line| line.strip_prefix("late: ").expect("nothing else is said").to_owned()).collect();
    Closed { report, late, processor_ms, peer }
}

/// Reads what the example says first.
pub fn read_header(peer: &mut TlsPeer) {
    read_header_to(peer, NAME);
}

pub fn read_header_to(peer: &mut TlsPeer, domain: &str) {
    while !peer.got.ends_with(b"streams'>") {
        assert_eq!(peer.receive(), Got::Data, "after {:?}", peer.text());
    }
    assert!(peer.got.starts_with(format!("<stream:stream to='{domain}' ").as_bytes()), "{:?}", peer.text());
    peer.got.clear();
}
