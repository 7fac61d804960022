//! The other end of a stream, scripted: plain std sockets, and a record of what came.
#![allow(dead_code, reason = "each test file uses its part")]

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::OnceLock,
    thread::{self, JoinHandle},
    time::Duration,
};

use socket2::{Domain, SockRef, Socket, Type};

pub const TAG: &str = "</stream:stream>";
/// How long a test waits for what must come: generous, since it only matters when something is broken.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How much later than its deadline a close may return on a busy machine, with a sanitizer in it (`make sanitize`), in an
/// emulator (`make portable`), or in Wine (`make windows`).
pub const SLACK: Duration = Duration::from_secs(if option_env!("XMPP_CLOSE_SLOW").is_some() { 20 } else { 1 });

/// How many streams, or bytes in small pieces, a test of many has. Under Wine, where one process answers the system calls of
/// all, a tenth is as many.
pub const fn many(number: usize) -> usize {
    if cfg!(windows) { number / 10 } else { number }
}

/// Whether the system tells of a reset. Wine 8 does not: its recv returns 0 bytes, as at an orderly end, where Windows fails with
/// WSAECONNRESET. Here the system is asked without the library, and for a reset without anything before it.
pub fn resets_show() -> bool {
    static SHOW: OnceLock<bool> = OnceLock::new();
    cfg!(unix)
        || *SHOW.get_or_init(|| {
            let (mut ours, theirs) = pair();
            Peer { tcp: theirs, got: Vec::new() }.reset();
            ours.read(&mut [0]).is_err()
        })
}

/// Two ends of a TCP connection; ours first.
pub fn pair() -> (TcpStream, TcpStream) {
    connect(|_| {})
}

/// The same with send and receive buffers of (about) `bytes` on both ends.
pub fn pair_with_buffers(bytes: usize) -> (TcpStream, TcpStream) {
    // Before connecting: a window that shrinks afterwards makes TCP crawl.
    connect(|socket| {
        socket.set_recv_buffer_size(bytes).unwrap();
        socket.set_send_buffer_size(bytes).unwrap();
    })
}

fn connect(prepare: impl Fn(&Socket)) -> (TcpStream, TcpStream) {
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let (listener, ours) = (socket(), socket());
    prepare(&listener);
    prepare(&ours);
    listener.bind(&any.into()).unwrap();
    listener.listen(1).unwrap();
    ours.connect(&listener.local_addr().unwrap()).unwrap();
    let theirs = TcpStream::from(listener.accept().unwrap().0);
    theirs.set_read_timeout(Some(PATIENCE)).unwrap();
    theirs.set_write_timeout(Some(PATIENCE)).unwrap();
    (ours.into(), theirs)
}

fn socket() -> Socket {
    Socket::new(Domain::IPV4, Type::STREAM, None).unwrap()
}

/// Runs the script of the peer on a thread of its own.
pub fn peer<T: Send + 'static>(theirs: TcpStream, script: impl FnOnce(Peer) -> T + Send + 'static) -> JoinHandle<T> {
    thread::spawn(move || script(Peer { tcp: theirs, got: Vec::new() }))
}

pub struct Peer {
    pub tcp: TcpStream,
    /// Everything that came.
    pub got: Vec<u8>,
}

impl Peer {
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.tcp.write_all(bytes.as_ref()).unwrap();
        self
    }

    /// Reads until `end` is the last that came.
    pub fn read_until(&mut self, end: &str) -> &mut Self {
        self.read_while(end, |got| !got.ends_with(end.as_bytes()))
    }

    /// Reads as long as `what` has not come, which `lacks` tells.
    pub fn read_while(&mut self, what: &str, lacks: impl Fn(&[u8]) -> bool) -> &mut Self {
        let mut chunk = [0; 65536];
        while lacks(&self.got) {
            let count = match self.tcp.read(&mut chunk) {
                // With a timeout, also of a machine that stood still in between.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read.unwrap(),
            };
            assert!(count > 0, "EOF before {what:?}, after {:?}", self.text());
            self.got.extend_from_slice(&chunk[..count]);
        }
        self
    }

    pub fn read_tag(&mut self) -> &mut Self {
        self.read_until(TAG)
    }

    /// Reads to the end of the connection; what came after what is in `got` already.
    pub fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut rest = Vec::new();
        self.tcp.read_to_end(&mut rest)?;
        self.got.extend_from_slice(&rest);
        Ok(rest)
    }

    /// Nothing but an orderly end may follow.
    pub fn expect_eof(&mut self) {
        assert_eq!(String::from_utf8_lossy(&self.rest().unwrap()), "", "bytes after the closing tag");
    }

    /// Ends the connection with a RST.
    pub fn reset(self) {
        self.reset_at_drop();
    }

    pub fn reset_at_drop(&self) {
        SockRef::from(&self.tcp).set_linger(Some(Duration::ZERO)).unwrap();
    }

    pub fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.got);
        text.chars().skip(text.chars().count().saturating_sub(400)).collect()
    }

    /// How many closing tags came; there must never be two.
    pub fn tags(&self) -> usize {
        self.got.windows(TAG.len()).filter(|window| *window == TAG.as_bytes()).count()
    }
}

/// `count` numbered stanzas.
pub fn stanzas(count: usize) -> String {
    (0..count).map(|n| format!("<message id='{n}'><body>hello</body></message>")).collect()
}

/// Waits for a condition.
pub fn wait_until(mut condition: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "waited too long");
        thread::yield_now();
    }
}
