//! The embedded peer: a small XMPP server on a thread, which has stanzas in flight when our side closes.
//!
//! The peer is the witness of what was lost, and a well-meaning one: after every error it reads on, as long as its
//! kernel has bytes for it.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::mpsc,
    thread::{self, JoinHandle},
    time::Duration,
};

use socket2::SockRef;
use xmpp_close::{Frame, Framer};

use crate::timeline::Timeline;

/// What the peer has for us when we close.
pub const PEER_MESSAGES: u64 = 500;
/// Small receive buffers stand for the long way to a far peer: what does not fit is still on its way.
pub const RECEIVE_BUFFER: usize = 4096;
/// Large enough for everything that one side sends.
pub const SEND_BUFFER: usize = 256 * 1024;
/// How long the peer is busy before it reads again, like a peer under load, or one that is far away.
const BUSY: Duration = Duration::from_millis(40);
/// Only a bug could make the peer wait so long.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the peer knows in the end.
#[derive(Debug)]
pub struct Account {
    /// Messages that its kernel took.
    pub sent: u64,
    /// Messages of ours that reached it, in order.
    pub got: u64,
    /// How the stream ended for the peer, in words.
    pub end: String,
}

pub struct Peer {
    pub address: SocketAddr,
    thread: JoinHandle<io::Result<Account>>,
    start: mpsc::Sender<()>,
    under_way: mpsc::Receiver<()>,
}

impl Peer {
    /// Listens on a free port of the loopback interface, for one connection.
    pub fn start(timeline: Timeline) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        // Accepted sockets inherit it, and it counts before the handshake of TCP only.
        SockRef::from(&listener).set_recv_buffer_size(RECEIVE_BUFFER)?;
        let address = listener.local_addr()?;
        let (start, wait) = mpsc::channel();
        let (tell, under_way) = mpsc::channel();
        let thread = thread::spawn(move || Script::new(listener.accept()?.0, timeline)?.play(&wait, &tell));
        Ok(Self { address, thread, start, under_way })
    }

    /// The peer's contacts write to us, all at once: their messages are on their way when this returns.
    pub fn send_all(&self) -> io::Result<()> {
        let gone = |_| io::Error::other("the embedded peer has gone");
        self.start.send(()).map_err(|_| gone(()))?;
        self.under_way.recv().map_err(|_| gone(()))
    }

    pub fn account(self) -> io::Result<Account> {
        drop(self.start);
        self.thread.join().map_err(|_| io::Error::other("the embedded peer has failed"))?
    }
}

struct Script {
    tcp: TcpStream,
    timeline: Timeline,
    framer: Framer,
    got: u64,
    closed: bool,
}

impl Script {
    fn new(tcp: TcpStream, timeline: Timeline) -> io::Result<Self> {
        tcp.set_read_timeout(Some(PATIENCE))?;
        tcp.set_write_timeout(Some(PATIENCE))?;
        tcp.set_nodelay(true)?;
        SockRef::from(&tcp).set_send_buffer_size(SEND_BUFFER)?;
        Ok(Self { tcp, timeline, framer: Framer::new(), got: 0, closed: false })
    }

    fn play(mut self, start: &mpsc::Receiver<()>, under_way: &mpsc::Sender<()>) -> io::Result<Account> {
        while self.framer.root().is_none() {
            self.read()?;
        }
        self.tcp.write_all(
            b"<?xml version='1.0'?><stream:stream from='capulet.example' id='1' version='1.0' xmlns='jabber:client' \
              xmlns:stream='http://etherx.jabber.org/streams'><stream:features/>",
        )?;
        // Silence, until the other side finds the stream idle.
        let _ = start.recv();
        let mut sent = 0;
        while sent < PEER_MESSAGES {
            let message = format!(
                "<message from='juliet@capulet.example/balcony' type='chat' id='{sent}'>\
                 <body>What must be shall be, and what was sent shall arrive.</body></message>"
            );
            self.tcp.write_all(message.as_bytes())?;
            sent += 1;
        }
        let _ = under_way.send(());
        thread::sleep(BUSY);
        let (end, well) = loop {
            match self.read() {
                Ok(true) if !self.closed => {}
                Ok(true) => break self.answer().unwrap_or_else(|error| (words(&error), false)),
                Ok(false) => break ("end without a closing tag".into(), false),
                Err(error) => break (words(&error), false),
            }
        };
        if !well {
            self.timeline.note(format!("peer, having read {} messages: {end}", self.got));
        }
        Ok(Account { sent, got: self.got, end })
    }

    /// Answers our closing tag, and reads to the end of TCP.
    fn answer(&mut self) -> io::Result<(String, bool)> {
        self.tcp.write_all(b"</stream:stream>")?;
        self.tcp.shutdown(Shutdown::Write)?;
        Ok(match io::copy(&mut self.tcp, &mut io::sink())? {
            0 => ("both closing tags".into(), true),
            bytes => (format!("{bytes} bytes after the closing tag"), false),
        })
    }

    /// Reads and counts; false at the end of TCP.
    fn read(&mut self) -> io::Result<bool> {
        let mut buffer = [0; RECEIVE_BUFFER];
        let count = self.tcp.read(&mut buffer)?;
        let mut bytes = &buffer[..count];
        while let Some(frame) = self.framer.next(&mut bytes) {
            match frame {
                Frame::Stanza(stanza) if number(stanza) == Some(self.got) => self.got += 1,
                Frame::End => self.closed = true,
                _ => {}
            }
        }
        Ok(count > 0)
    }
}

/// The number in a message of this demonstration.
pub fn number(stanza: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(stanza).ok()?.strip_prefix("<message ")?;
    text.split_once(" id='")?.1.split('\'').next()?.parse().ok()
}

/// An error without its number.
fn words(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}
