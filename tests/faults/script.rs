//! What a faulty peer does, as data: generated, printed as Rust when a case fails, and played on a real socket.

use std::{
    io::{ErrorKind, Read, Write},
    mem::MaybeUninit,
    net::{Shutdown, TcpStream},
    sync::{Arc, mpsc::Receiver},
    thread,
    time::{Duration, Instant},
};

use socket2::{SockRef, Socket};
use xmpp_close::{Interest, Transport};

use super::{
    local::lent,
    peer::{self, TAG},
    stop::Stop,
};

/// One action of the peer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    /// So many stanzas, in one write.
    Stanzas(u8),
    /// Stanzas, or a closing tag, byte by byte.
    Split(u8),
    SplitTag,
    /// Half a stanza.
    Half,
    /// Stanzas and closing tag, in one write.
    Coalesced(u8),
    Tag,
    Error,
    Garbage,
    /// Milliseconds.
    Delay(u8),
    /// Reads until our closing tag, all at once or slowly.
    Read,
    ReadSlowly,
    /// Ends its output; over TLS, close_notify goes first.
    HalfClose,
    /// Our application cancels the close.
    Cancel,
    /// Over TLS: close_notify alone, and FIN alone.
    Notify,
    Cut,
}
use Step::*;

/// How it ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum End {
    Close,
    Reset,
    /// Reads on, and ends only after us.
    Hold,
    /// Does nothing any more, until after us.
    Stall,
}

pub type Script = (Vec<Step>, End);

pub const ERROR: &str = "<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>";
const HALF: &str = "<message id='half'><body>";

impl Step {
    /// What this action sends; the stanzas are numbered from `next` on.
    pub fn bytes(self, next: usize) -> String {
        let stanzas = |count: u8| (next..next + usize::from(count)).map(stanza).collect::<String>();
        match self {
            Stanzas(count) | Split(count) => stanzas(count),
            Coalesced(count) => stanzas(count) + TAG,
            Tag | SplitTag => TAG.to_owned(),
            Half => HALF.to_owned(),
            Error => ERROR.to_owned(),
            Garbage => "<a></b>".to_owned(),
            Delay(_) | Read | ReadSlowly | HalfClose | Notify | Cut | Cancel => String::new(),
        }
    }

    pub fn is_tag(self) -> bool {
        matches!(self, Tag | SplitTag | Coalesced(_))
    }

    pub fn is_output(self) -> bool {
        !matches!(self, Delay(_) | Read | ReadSlowly)
    }

    /// In how many writes it sends that.
    pub fn writes(self) -> usize {
        if let Split(_) | SplitTag = self { self.bytes(0).len() } else { 1 }
    }

    pub fn count(self) -> usize {
        if let Stanzas(count) | Split(count) | Coalesced(count) = self { count.into() } else { 0 }
    }
}

pub fn stanza(number: usize) -> String {
    format!("<message id='{number}'><body>hello</body></message>")
}

/// What the peer saw.
#[derive(Debug, Default)]
pub struct Seen {
    pub got: Vec<u8>,
    /// When each step was done.
    pub done: Vec<Instant>,
    /// When the last of it came, if it was waited for after the last step.
    pub last_byte: Option<Instant>,
    /// Nothing of ours is missing in `got`: it was read to its end.
    pub to_the_end: bool,
    /// Something came between our tag and the peer's: bytes, close_notify, FIN.
    pub unquiet: Option<bool>,
}

/// The peer's end of a connection, which blocks.
pub trait Line: Read + Write + Send {
    /// The socket, below TLS.
    fn socket(&self) -> SockRef<'_>;
    /// Sends close_notify; false when there is no TLS.
    fn notify(&mut self) -> bool {
        false
    }
    /// What has come and was not read, without reading it, as far as it can be told.
    fn peek(&mut self) -> Vec<u8> {
        Vec::new()
    }
}

impl Line for Socket {
    fn socket(&self) -> SockRef<'_> {
        self.into()
    }

    fn peek(&mut self) -> Vec<u8> {
        let socket = TcpStream::from(self.try_clone().unwrap());
        let mut bytes = vec![0; 1 << 20];
        let count = socket.set_nonblocking(true).and_then(|()| socket.peek(&mut bytes)).unwrap_or(0);
        bytes.truncate(count);
        bytes
    }
}

pub struct Peer {
    pub line: Box<dyn Line>,
    pub seen: Seen,
    /// The number of the next stanza.
    next: usize,
    has_ended: bool,
    stop: Option<Arc<Stop>>,
}

impl Peer {
    pub fn new(line: Box<dyn Line>, stop: Option<Arc<Stop>>) -> Self {
        Self { line, seen: Seen::default(), next: 0, has_ended: false, stop }
    }

    pub fn play(&mut self, steps: &[Step]) {
        for step in steps {
            let bytes = step.bytes(self.next);
            self.next += step.count();
            if step.is_tag() && self.seen.unquiet.is_none() {
                self.seen.unquiet = Some(self.seen.got.ends_with(TAG.as_bytes()) && self.something_came());
            }
            match step {
                Cancel => self.stop.as_ref().unwrap().cancel(),
                Delay(pause) => thread::sleep(Duration::from_millis((*pause).into())),
                Read => self.read_tag(65536, Duration::ZERO),
                ReadSlowly => self.read_tag(32768, Duration::from_millis(3)),
                _ if self.has_ended => {}
                Split(_) | SplitTag => bytes.as_bytes().chunks(1).for_each(|byte| self.send(byte)),
                HalfClose | Notify | Cut => self.end_output(*step),
                _ => self.send(bytes.as_bytes()),
            }
            self.seen.done.push(Instant::now());
        }
    }

    fn something_came(&self) -> bool {
        let socket = self.line.socket();
        let ready = Transport::wait(&mut lent(&*socket), Interest { read: true, write: false }, Duration::ZERO, None);
        ready.unwrap().read && socket.peek(&mut [MaybeUninit::uninit()]).is_ok()
    }

    /// Once we are gone nothing can be sent any more.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.line.write_all(bytes).and_then(|()| self.line.flush());
    }

    fn end_output(&mut self, how: Step) {
        self.has_ended = how != Cut && self.line.notify();
        if how != Notify {
            self.has_ended = true;
            let _ = self.line.socket().shutdown(Shutdown::Write); // we may be gone
        }
    }

    /// Everything that was sent is in our kernel, or nobody will ever take it.
    pub fn until_arrived(&self) {
        let socket = self.line.socket();
        peer::wait_until(|| {
            socket.peer_addr().is_err() || Transport::unacked(&lent(&*socket)) <= self.has_ended.into()
        });
    }

    /// `over` is told when our side has closed its socket.
    pub fn end(mut self, end: End, over: &Receiver<()>) -> Seen {
        match end {
            End::Close | End::Reset => {
                // What is under way when a socket is reset is lost, and that is no fault of ours.
                self.until_arrived();
                self.seen.got.extend(self.line.peek());
                if end == End::Reset {
                    self.line.socket().set_linger(Some(Duration::ZERO)).unwrap_or_default();
                }
                return self.seen;
            }
            End::Hold => {}
            End::Stall => {
                let _ = over.recv();
            }
        }
        let mut chunk = vec![0; 65536];
        while let Ok(count) = self.line.read(&mut chunk) {
            if count == 0 {
                self.seen.to_the_end = true;
                break;
            }
            self.seen.got.extend_from_slice(&chunk[..count]);
            if end == End::Hold {
                self.seen.last_byte = Some(Instant::now());
            }
        }
        self.seen
    }

    fn read_tag(&mut self, most: usize, pause: Duration) {
        let mut chunk = vec![0; most];
        while !self.seen.got.ends_with(TAG.as_bytes()) {
            match self.line.read(&mut chunk) {
                Ok(0) => return,
                Ok(count) => self.seen.got.extend_from_slice(&chunk[..count]),
                Err(error) => match error.kind() {
                    ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof => return,
                    _ => panic!("the peer's patience has ended: {error}"),
                },
            }
            if !pause.is_zero() {
                thread::sleep(pause);
            }
        }
    }
}
