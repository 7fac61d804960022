//! The server with a certificate, and its clients.

use std::{
    fs,
    net::TcpStream,
    path::PathBuf,
    sync::{LazyLock, mpsc},
    thread,
};

use openssl::ssl::Ssl;

use crate::{
    client::{FEATURES, HEADER},
    peer::PATIENCE,
    programs::{Server, Variant},
    script::{Got, TlsPeer},
    setup::{self, Case, Library, Version},
    under_load::Peer,
};

pub const FOREVER: u32 = 100_000;

/// Both libraries at the other end, both versions.
pub fn cases() -> Vec<Case> {
    let ends = [Library::Rustls, Library::Openssl].into_iter();
    let pairs = ends.flat_map(|theirs| [Version::Tls12, Version::Tls13].map(|version| (theirs, version)));
    pairs
        .map(|(theirs, version)| Case { ours: Library::Openssl, theirs, version, client: false, batch: false })
        .collect()
}

/// The files of the certificate and its key.
fn identity() -> &'static [PathBuf; 2] {
    static FILES: LazyLock<[PathBuf; 2]> = LazyLock::new(|| {
        let server: Ssl = setup::openssl(Version::Tls13, false);
        let pem = [
            server.certificate().unwrap().to_pem().unwrap(),
            server.private_key().unwrap().private_key_to_pem_pkcs8().unwrap(),
        ];
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let files = ["certificate", "key"].map(|name| folder.join(format!("event_loop-{}-{name}", std::process::id())));
        for (file, pem) in files.iter().zip(pem) {
            fs::write(file, pem).unwrap();
        }
        files
    });
    &FILES
}

pub fn start(variant: Variant, idle_seconds: u32, limit_seconds: u32) -> Server {
    let [certificate, key] = identity();
    let files = [certificate.as_os_str(), key.as_os_str()];
    Server::start_with("event_loop", variant, idle_seconds, limit_seconds, &files)
}

/// One server for each variant, and all cases at once on each: for tests that wait.
pub fn each(
    variants: &[Variant],
    idle_seconds: u32,
    limit_seconds: u32,
    test: impl Fn(&Server, Case) + Sync,
    then: impl Fn(Server) + Sync,
) {
    thread::scope(|scope| {
        for variant in variants {
            let (test, then) = (&test, &then);
            scope.spawn(move || {
                let server = start(*variant, idle_seconds, limit_seconds);
                setup::each_at_once(cases(), |case| test(&server, case));
                then(server);
            });
        }
    });
}

/// A client whose stream is open.
pub struct TlsClient {
    pub tls: TlsPeer,
    pub number: u32,
}

impl TlsClient {
    /// TLS is negotiated, and nothing was said yet.
    pub fn connect(server: &Server, case: Case) -> TlsPeer {
        connect(server.port, case)
    }

    pub fn open(server: &Server, case: Case) -> Self {
        let mut client = Self { tls: connect(server.port, case), number: 0 };
        client.tls.send(HEADER);
        let header = client.read_until(FEATURES);
        client.number = header.split(" id='").nth(1).unwrap().split('\'').next().unwrap().parse().unwrap();
        client
    }
}

fn connect(port: u16, case: Case) -> TlsPeer {
    let tcp = TcpStream::connect(("127.0.0.1", port)).expect("the server listens");
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    tcp.set_write_timeout(Some(PATIENCE)).unwrap();
    TlsPeer::accept(case, tcp, mpsc::channel().1)
}

impl Peer for TlsClient {
    fn connect(port: u16, n: usize) -> Self {
        let cases = cases();
        Self { tls: connect(port, cases[n % cases.len()]), number: 0 }
    }

    fn send(&mut self, xml: &str) {
        self.tls.send(xml);
    }

    fn read_until(&mut self, end: &str) -> String {
        let mut searched = 0;
        loop {
            let got = &mut self.tls.got;
            if let Some(at) = got[searched..].windows(end.len()).position(|window| window == end.as_bytes()) {
                let rest = got.split_off(searched + at + end.len());
                return String::from_utf8(std::mem::replace(got, rest)).expect("UTF-8");
            }
            searched = got.len().saturating_sub(end.len() - 1);
            assert_eq!(self.tls.receive(), Got::Data, "instead of {end:?}, after {:?}", self.tls.text());
        }
    }

    fn expect_end(mut self) {
        assert_eq!(self.tls.text(), "");
        self.tls.expect_notify().notify().expect_fin();
    }
}
