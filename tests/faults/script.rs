//! What a faulty peer does, as data: generated, printed as Rust when a case fails, and played on a real socket.

use std::{
    io::{ErrorKind, Read, Write},
    net::Shutdown,
    os::fd::OwnedFd,
    sync::mpsc::Receiver,
    thread,
    time::{Duration, Instant},
};

use proptest::{collection::vec, prelude::*};
use socket2::{SockRef, Socket};

use crate::peer::TAG;

/// One deed of the peer.
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
    HalfClose,
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

pub fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1..9u8).prop_map(Stanzas),
        1 => (1..3u8).prop_map(Split),
        1 => Just(SplitTag),
        1 => Just(Half),
        1 => (0..4u8).prop_map(Coalesced),
        2 => Just(Tag),
        1 => Just(Error),
        1 => Just(Garbage),
        2 => (1..20u8).prop_map(Delay),
        4 => Just(Read),
        1 => Just(ReadSlowly),
        1 => Just(HalfClose),
    ]
}

pub fn script() -> impl Strategy<Value = Script> {
    let end = prop_oneof![4 => Just(End::Close), 2 => Just(End::Reset), 2 => Just(End::Hold), 1 => Just(End::Stall)];
    (vec(step(), 0..8), end)
}

pub const ERROR: &str = "<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>";
const HALF: &str = "<message id='half'><body>";

impl Step {
    /// What it sends; the stanzas are numbered from `next` on.
    pub fn bytes(self, next: usize) -> String {
        let stanzas = |count: u8| (next..next + usize::from(count)).map(stanza).collect::<String>();
        match self {
            Stanzas(count) | Split(count) => stanzas(count),
            Coalesced(count) => stanzas(count) + TAG,
            Tag | SplitTag => TAG.to_owned(),
            Half => HALF.to_owned(),
            Error => ERROR.to_owned(),
            Garbage => "<a></b>".to_owned(),
            Delay(_) | Read | ReadSlowly | HalfClose => String::new(),
        }
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
    /// Nothing of ours is missing in `got`: it was read to its end.
    pub to_the_end: bool,
}

/// Plays it; `over` is told when our side has closed its socket. Steps before `from` were played already.
pub fn play((steps, end): &Script, from: usize, fd: OwnedFd, over: &Receiver<()>) -> Seen {
    let mut socket = Socket::from(fd);
    let mut seen = Seen { done: vec![Instant::now(); from], ..Seen::default() };
    let mut next = steps[..from].iter().map(|step| step.count()).sum();
    for step in &steps[from..] {
        let bytes = step.bytes(next);
        next += step.count();
        match step {
            Split(_) | SplitTag => bytes.as_bytes().chunks(1).for_each(|byte| send(&mut socket, byte)),
            Delay(pause) => thread::sleep(Duration::from_millis((*pause).into())),
            Read => read_tag(&mut socket, &mut seen.got, 65536, Duration::ZERO),
            ReadSlowly => read_tag(&mut socket, &mut seen.got, 32768, Duration::from_millis(3)),
            HalfClose => drop(socket.shutdown(Shutdown::Write)),
            _ => send(&mut socket, bytes.as_bytes()),
        }
        seen.done.push(Instant::now());
    }
    match end {
        End::Close => {}
        End::Reset => SockRef::from(&socket).set_linger(Some(Duration::ZERO)).unwrap_or_default(),
        End::Hold => seen.to_the_end = socket.read_to_end(&mut seen.got).is_ok(),
        End::Stall => {
            let _ = over.recv();
            seen.to_the_end = socket.read_to_end(&mut seen.got).is_ok();
        }
    }
    seen
}

/// Once we are gone nothing can be sent any more.
pub fn send(socket: &mut Socket, bytes: &[u8]) {
    let _ = socket.write_all(bytes);
}

fn read_tag(socket: &mut Socket, got: &mut Vec<u8>, most: usize, pause: Duration) {
    let mut chunk = vec![0; most];
    while !got.ends_with(TAG.as_bytes()) {
        match socket.read(&mut chunk) {
            Ok(0) => return,
            Ok(count) => got.extend_from_slice(&chunk[..count]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return,
            Err(error) => panic!("the peer's patience has ended: {error}"),
        }
        if !pause.is_zero() {
            thread::sleep(pause);
        }
    }
}
