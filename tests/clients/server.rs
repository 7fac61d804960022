//! The `idle_server` example as a running program, and a very simple client.

use std::{
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{OnceLock, mpsc},
    thread,
    time::Duration,
};

pub const HEADER: &str = "<?xml version='1.0'?><stream:stream to='localhost' version='1.0' xmlns='jabber:client' \
                          xmlns:stream='http://etherx.jabber.org/streams'>";
pub const TAG: &str = "</stream:stream>";
pub const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
/// Only a bug could make a test wait so long.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Builds the example with the features of the running test.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| crate::example::build("idle_server"))
}

/// A running server; dropping it stops it.
pub struct Server {
    child: Child,
    pub address: String,
    lines: mpsc::Receiver<String>,
}

impl Server {
    pub fn start(options: &[&str]) -> Self {
        // setpriv: the kernel ends the server when this thread dies, so nothing is left behind by a test that was
        // killed.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(program()).arg("127.0.0.1:0").args(options);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the server starts");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let mut server = Self { child, address: String::new(), lines };
        server.address = server.line("listening on ").trim_start_matches("listening on ").to_owned();
        server
    }

    #[allow(dead_code, reason = "each test program uses its part")]
    pub fn terminate(&self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    }

    /// The server's exit code.
    #[allow(dead_code, reason = "each test program uses its part")]
    pub fn wait(&mut self) -> Option<i32> {
        // It prints nothing more once it has ended, so this waits for that.
        while self
            .lines
            .recv_timeout(PATIENCE)
            .map_err(|error| assert_eq!(error, mpsc::RecvTimeoutError::Disconnected))
            .is_ok()
        {}
        self.child.wait().unwrap().code()
    }

    /// The next line that has this in it.
    pub fn line(&self, part: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no line has {part}"));
            if line.contains(part) {
                return line;
            }
        }
    }

    /// How the stream of this full JID was closed.
    pub fn report(&self, jid: &str) -> String {
        let start = format!("{jid}: ");
        loop {
            let line = self.line(&start);
            if let Some(report) = line.strip_prefix(&start).filter(|report| *report != "closing") {
                return report.to_owned();
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

/// A client that has nothing between its test and the wire.
pub struct Client {
    pub tcp: TcpStream,
    /// The first that the server offered.
    pub features: String,
    /// Read, and not yet looked at.
    kept: String,
}

impl Client {
    pub fn connect(server: &Server) -> Self {
        let tcp = TcpStream::connect(&server.address).unwrap();
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        tcp.set_nodelay(true).unwrap();
        let mut client = Self { tcp, features: String::new(), kept: String::new() };
        client.send(HEADER);
        client.features = client.until("</stream:features>");
        client
    }

    /// Returns what the server says to the wish for the resource "test".
    pub fn log_in(server: &Server, token: &str) -> (Self, String) {
        let mut client = Self::connect(server);
        client.send(&format!("<auth xmlns='{SASL}' mechanism='PLAIN'>{token}</auth>"));
        client.until("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
        client.send(HEADER);
        client.until("</stream:features>");
        client.send("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>test</resource></bind></iq>");
        let bound = client.until("</iq>");
        (client, bound)
    }

    #[allow(dead_code, reason = "each test program uses its part")]
    pub fn alice(server: &Server) -> Self {
        Self::log_in(server, "AGFsaWNlAHNlY3JldA==").0
    }

    #[allow(dead_code, reason = "each test program uses its part")]
    pub fn carol(server: &Server) -> Self {
        Self::log_in(server, "AGNhcm9sAHNlY3JldA==").0
    }

    pub fn bob(server: &Server) -> Self {
        Self::log_in(server, "AGJvYgBzZWNyZXQ=").0
    }

    pub fn send(&mut self, xml: &str) {
        self.tcp.write_all(xml.as_bytes()).unwrap();
    }

    /// What comes up to and including `end`.
    pub fn until(&mut self, end: &str) -> String {
        loop {
            if let Some(at) = self.kept.find(end) {
                let rest = self.kept.split_off(at + end.len());
                return std::mem::replace(&mut self.kept, rest);
            }
            let mut buffer = [0; 4096];
            let count = match self.tcp.read(&mut buffer) {
                // With a timeout, also of a machine that stood still in between.
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                read => read.unwrap_or_else(|error| panic!("no {end} but {error}: {}", self.kept)),
            };
            assert!(count > 0, "the end in place of {end}: {}", self.kept);
            self.kept += std::str::from_utf8(&buffer[..count]).unwrap();
        }
    }

    /// What comes up to the end of TCP.
    pub fn rest(mut self) -> String {
        self.tcp.read_to_string(&mut self.kept).expect("the end of TCP, and no reset");
        self.kept
    }
}

/// The numbers of the messages in `xml`, in their order.
pub fn numbers(xml: &str) -> Vec<usize> {
    xml.split("<body>").skip(1).map(|rest| rest.split('<').next().unwrap().parse().unwrap()).collect()
}
