//! A scripted client of the example servers, on a plain socket.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

/// How long a test waits for what must come; it matters only when something is broken.
pub const PATIENCE: Duration = Duration::from_secs(120);
pub const TAG: &str = "</stream:stream>";
pub const FEATURES: &str = "<stream:features/>";
pub const HEADER: &str = "<?xml version='1.0'?><stream:stream to='localhost' version='1.0' xmlns='jabber:client' \
                          xmlns:stream='http://etherx.jabber.org/streams'>";

pub struct Client {
    pub tcp: TcpStream,
    /// Came, but was not asked for yet.
    ahead: Vec<u8>,
    /// The number that the server gave this stream.
    pub number: u32,
}

impl Client {
    /// Connects and says nothing.
    pub fn connect(port: u16) -> Self {
        let tcp = TcpStream::connect(("127.0.0.1", port)).expect("the server listens");
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        tcp.set_write_timeout(Some(PATIENCE)).unwrap();
        tcp.set_nodelay(true).unwrap();
        Self { tcp, ahead: Vec::new(), number: 0 }
    }

    /// Opens a stream, and says `first` in the same breath.
    pub fn open(port: u16, first: &str) -> Self {
        let mut client = Self::connect(port);
        client.send(&format!("{HEADER}{first}"));
        client.read_header();
        client
    }

    /// Reads the header of the server, up to its features.
    pub fn read_header(&mut self) {
        self.read_start();
        assert_eq!(self.read_until(FEATURES), FEATURES);
    }

    /// Reads the start tag of the server's stream, and takes its number.
    pub fn read_start(&mut self) {
        let header = self.read_until("streams'>");
        assert!(header.starts_with("<?xml version='1.0'?><stream:stream "), "{header}");
        let (_, rest) = header.split_once(" id='").expect("an id");
        self.number = rest.split('\'').next().and_then(|id| id.parse().ok()).expect("a number");
    }

    pub fn send(&mut self, xml: &str) {
        self.tcp.write_all(xml.as_bytes()).expect("the server takes it");
    }

    /// Waits until the server has taken from its socket what was sent, so that more comes to it in another piece.
    pub fn wait_until_read(&self) {
        // As /proc/net/tcp writes it: local address, remote address, state, transmit and receive queue.
        let hex = |port: u16| format!("0100007F:{port:04X}");
        let (server, client) = (self.tcp.peer_addr().unwrap().port(), self.tcp.local_addr().unwrap().port());
        let socket = format!(" {} {} ", hex(server), hex(client));
        let until = Instant::now() + PATIENCE;
        loop {
            let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
            let Some((_, line)) = table.split_once(&socket) else { return };
            if line.split_whitespace().nth(1).is_some_and(|queues| queues.ends_with(":00000000")) {
                return;
            }
            assert!(Instant::now() < until, "the server does not read: {line:.80}");
            std::thread::yield_now();
        }
    }

    /// What comes up to `end`, which must come.
    pub fn read_until(&mut self, end: &str) -> String {
        let mut searched = 0;
        loop {
            if let Some(at) = self.ahead[searched..].windows(end.len()).position(|window| window == end.as_bytes()) {
                let rest = self.ahead.split_off(searched + at + end.len());
                return String::from_utf8(std::mem::replace(&mut self.ahead, rest)).expect("UTF-8");
            }
            searched = self.ahead.len().saturating_sub(end.len() - 1);
            assert!(self.read_more(), "EOF instead of {end:?}: {}", String::from_utf8_lossy(&self.ahead));
        }
    }

    /// What still comes up to EOF. A reset is no EOF.
    pub fn read_to_end(&mut self) -> String {
        while self.read_more() {}
        String::from_utf8(std::mem::take(&mut self.ahead)).expect("UTF-8")
    }

    fn read_more(&mut self) -> bool {
        let mut bytes = [0; 65536];
        let n = match self.tcp.read(&mut bytes) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return true,
            read => read.expect("bytes or EOF, in time"),
        };
        self.ahead.extend_from_slice(&bytes[..n]);
        n > 0
    }

    /// At this moment there is neither a byte nor a FIN from the server.
    pub fn assert_silence(&self) {
        assert_eq!(String::from_utf8_lossy(&self.ahead), "");
        self.tcp.set_nonblocking(true).unwrap();
        let peeked = self.tcp.peek(&mut [0; 64]);
        self.tcp.set_nonblocking(false).unwrap();
        assert!(matches!(&peeked, Err(error) if error.kind() == ErrorKind::WouldBlock), "{peeked:?}");
    }
}

pub fn message(id: impl std::fmt::Display) -> String {
    format!("<message id='{id}'><body>a &lt; b &amp; <![CDATA[</stream:stream>]]></body></message>")
}

pub fn iq(id: impl std::fmt::Display) -> String {
    format!("<iq type='get' id='{id}'><ping xmlns='urn:xmpp:ping'/></iq>")
}

pub fn iq_result(id: impl std::fmt::Display) -> String {
    format!("<iq type='result' id='{id}'/>")
}
