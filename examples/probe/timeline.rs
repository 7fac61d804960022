//! What goes over the wire, and when.

use std::{
    io, mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use xmpp_close::{CloseOptions, Engine, Fact, Frame, Framer, Tls};

use crate::state::State;

/// Longer names are cut, because they come from strangers.
const NAME: usize = 32;

/// Who did it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Us,
    Peer,
}

/// What went over the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Headers, stanzas, closing tags: each name once, with how often it came.
    Frames(Vec<(String, u64)>),
    /// Only blanks.
    Whitespace,
    /// Less than a stanza.
    Part,
    /// No XMPP, or something after the closing tag.
    Junk(String),
    /// The TLS handshake, in words.
    Tls(String),
    /// The alert that ends one direction of TLS.
    CloseNotify,
    /// The end of one direction of TCP; over TLS also an end without the alert.
    Fin { unannounced: bool },
    /// A reset, with which some servers end TCP; by then nothing can be lost.
    Rst,
    /// close(2), with this many bytes unread.
    Close { unread: u64 },
    /// An operation failed, with this reason.
    Failed(String),
    /// What the embedded peer says of itself.
    Note(String),
}

#[derive(Clone, Debug)]
pub struct Entry {
    pub at: Duration,
    /// When the last byte of this entry was read or written.
    pub until: Duration,
    pub side: Side,
    pub what: What,
    pub bytes: u64,
    /// The state of the handshake after this entry, as far as the wire shows it.
    pub state: State,
    /// Nothing is added to it any more.
    sealed: bool,
}

impl Entry {
    pub fn label(&self) -> String {
        match &self.what {
            What::Frames(frames) => {
                let shown = frames.iter().take(3).map(|(name, count)| match count {
                    1 => name.clone(),
                    _ => format!("{name} ×{count}"),
                });
                let more = if frames.len() > 3 { " …" } else { "" };
                shown.collect::<Vec<_>>().join(" ") + more
            }
            What::Whitespace => "whitespace".into(),
            What::Part => "part of a stanza".into(),
            What::Junk(start) => format!("not XMPP: \"{start}\""),
            What::CloseNotify => "close_notify".into(),
            What::Fin { unannounced: false } => "FIN".into(),
            What::Fin { unannounced: true } => "FIN without close_notify".into(),
            What::Rst => "RST".into(),
            What::Close { unread: 0 } => "close(2)".into(),
            What::Close { unread } => format!("close(2), {} unread", size(*unread)),
            What::Tls(words) | What::Failed(words) | What::Note(words) => words.clone(),
        }
    }
}

/// For people: `"812 B"`, `"4.1 kB"`.
pub fn size(bytes: u64) -> String {
    #[allow(clippy::cast_precision_loss)]
    match bytes {
        0..1000 => format!("{bytes} B"),
        1000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

/// What was written down; clones share it.
#[derive(Clone)]
pub struct Timeline(Arc<Mutex<Log>>);

pub(super) struct Log {
    clock: Instant,
    entries: Vec<Entry>,
    ours: Framer,
    theirs: Framer,
    /// The library's own engine, which is told what the wire shows.
    engine: Engine,
    /// The peer's FIN or the failure of the connection was written down.
    ended: bool,
}

impl Timeline {
    pub fn new(half_close: bool) -> Self {
        let options = CloseOptions::new().half_close(half_close);
        Self(Arc::new(Mutex::new(Log {
            clock: Instant::now(),
            entries: Vec::new(),
            ours: Framer::new(),
            theirs: Framer::new(),
            engine: Engine::new(&options, Tls::No).expect("options that go together"),
            ended: false,
        })))
    }

    /// Adds a step of the TLS handshake, whose bytes are not recorded.
    pub fn tls(&self, side: Side, words: impl Into<String>) {
        self.log().push(side, What::Tls(words.into()), 0);
    }

    /// New headers follow, over TLS.
    pub fn over_tls(&self) {
        let mut log = self.log();
        log.tell(Fact::Restarted { tls: Tls::Yes });
        log.restart();
    }

    /// TCP is going to be ended without a closing tag of ours.
    pub fn detach(&self) {
        let mut log = self.log();
        let now = log.clock.elapsed();
        log.engine.detach(now);
    }

    /// Adds what the embedded peer says of itself.
    pub fn note(&self, words: impl Into<String>) {
        self.log().push(Side::Peer, What::Note(words.into()), 0);
    }

    /// In the order of time.
    pub fn entries(&self) -> Vec<Entry> {
        self.log().entries.clone()
    }

    pub(super) fn log(&self) -> MutexGuard<'_, Log> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log {
    pub(super) fn tell(&mut self, fact: Fact) {
        // Only a restart behind output of ours could be refused, and none goes through this engine.
        let _ = self.engine.tell(fact, self.clock.elapsed());
    }

    /// Our closing tag went out.
    fn closed(&mut self) {
        let now = self.clock.elapsed();
        self.engine.finish(None, now);
        let tag = self.engine.output().len();
        self.engine.wrote(tag, 0, now);
    }

    /// Our output was ended.
    pub(super) fn ended_output(&mut self) {
        self.tell(Fact::DidNotify);
        self.tell(Fact::DidShut);
    }

    pub(super) fn push(&mut self, side: Side, what: What, bytes: u64) {
        let (now, state) = (self.clock.elapsed(), State::of(&self.engine));
        self.entries.push(Entry { at: now, until: now, side, what, bytes, state, sealed: false });
    }

    fn restart(&mut self) {
        self.ours.restart();
        self.theirs.restart();
    }

    pub(super) fn passed(&mut self, side: Side, mut bytes: &[u8]) {
        // A closing tag of ours stays together with what went out in the same segment.
        let apart = side == Side::Us && ends(self.ours.clone(), bytes);
        if apart {
            self.seal();
        }
        while !bytes.is_empty() {
            let framer = if side == Side::Us { &mut self.ours } else { &mut self.theirs };
            let mut rest = bytes;
            let seen = if framer.is_over() { Seen::Junk } else { Seen::from(framer.next(&mut rest)) };
            let count = (bytes.len() - rest.len()) as u64;
            match seen {
                Seen::Frame(name) => {
                    // SASL is done: new headers follow (RFC 6120 section 6.4.6).
                    if side == Side::Peer && name == "<success/>" {
                        self.restart();
                    }
                    self.add(side, What::Frames(vec![(name, 1)]), count);
                }
                Seen::End => {
                    let tag = format!("</{}>", shortened(framer.root().unwrap_or("stream:stream")));
                    if !apart {
                        self.seal();
                    }
                    if side == Side::Us {
                        self.closed();
                    } else {
                        self.tell(Fact::PeerClosed { behind: 0 });
                    }
                    self.add(side, What::Frames(vec![(tag, 1)]), count);
                    self.seal();
                }
                Seen::Part => {
                    let what = if framer.between_stanzas() { What::Whitespace } else { What::Part };
                    self.add(side, what, count);
                }
                Seen::Junk => {
                    if side == Side::Peer {
                        self.tell(Fact::Malformed);
                    }
                    return self.push(side, What::Junk(start(bytes)), bytes.len() as u64);
                }
            }
            bytes = rest;
        }
    }

    /// Adds to the last entry if it is the same side's turn still.
    fn add(&mut self, side: Side, what: What, bytes: u64) {
        let (now, state) = (self.clock.elapsed(), State::of(&self.engine));
        let wire = |entry: &&mut Entry| {
            entry.side == side && !entry.sealed && matches!(entry.what, What::Frames(_) | What::Whitespace | What::Part)
        };
        let Some(last) = self.entries.last_mut().filter(wire) else {
            return self.push(side, what, bytes);
        };
        (last.until, last.state, last.bytes) = (now, state, last.bytes + bytes);
        match (&mut last.what, what) {
            (What::Frames(frames), What::Frames(more)) => {
                for (name, count) in more {
                    match frames.iter_mut().find(|frame| frame.0 == name) {
                        Some(frame) => frame.1 += count,
                        None => frames.push((name, count)),
                    }
                }
            }
            (What::Frames(_), _) | (What::Part, What::Whitespace) => {}
            (last, what) => *last = what,
        }
    }

    fn seal(&mut self) {
        if let Some(last) = self.entries.last_mut() {
            last.sealed = true;
        }
    }

    /// The peer's stream is between stanzas, or not: then its end cuts one off.
    pub(super) fn inside(&self) -> bool {
        !self.theirs.between_stanzas()
    }

    /// The peer's end of TCP.
    pub(super) fn ended(&mut self, inside: bool, unannounced: bool) {
        self.tell(Fact::Eof { inside });
        if !mem::replace(&mut self.ended, true) {
            self.push(Side::Peer, What::Fin { unannounced }, 0);
        }
    }

    pub(super) fn failed(&mut self, side: Side, error: &io::Error) {
        let code = error.raw_os_error().unwrap_or_default();
        let closed = matches!(State::of(&self.engine), State::Bye | State::Linger);
        self.tell(match (error.kind(), side) {
            (io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted, _) => return,
            (io::ErrorKind::InvalidData, _) => Fact::TlsFailed,
            (_, Side::Us) => Fact::WriteFailed(code),
            (_, Side::Peer) => Fact::ReadFailed(code),
        });
        if !mem::replace(&mut self.ended, true) {
            let reset = closed && error.kind() == io::ErrorKind::ConnectionReset;
            self.push(side, if reset { What::Rst } else { What::Failed(error.to_string()) }, 0);
        }
    }
}

/// What the framer found, without its bytes.
enum Seen {
    Frame(String),
    End,
    Part,
    Junk,
}

impl Seen {
    fn from(frame: Option<Frame<'_>>) -> Self {
        match frame {
            Some(Frame::Header(tag) | Frame::Stanza(tag)) => Self::Frame(name(tag)),
            Some(Frame::Oversize(_)) => Self::Frame("<…/>".into()),
            Some(Frame::End) => Self::End,
            Some(Frame::Malformed(_)) => Self::Junk,
            _ => Self::Part,
        }
    }
}

/// Whether the closing tag is among `bytes`.
fn ends(mut framer: Framer, mut bytes: &[u8]) -> bool {
    loop {
        match framer.next(&mut bytes) {
            Some(Frame::End) => return true,
            Some(_) => {}
            None => return false,
        }
    }
}

/// `"<message/>"`; of a header and of a stream error a little more. Never their contents, for one is a password.
fn name(tag: &[u8]) -> String {
    let text = String::from_utf8_lossy(tag);
    let word = |text: &str| text.split([' ', '\t', '\r', '\n', '/', '>']).next().unwrap_or_default().to_owned();
    let name = shortened(&word(&text[1..]));
    match name.rsplit(':').next() {
        Some("stream") => format!("<{name}>"),
        Some("error") => {
            let condition = text.get(1..).and_then(|rest| rest.split_once('<')).map(|(_, child)| word(child));
            format!("<{name}> {}", shortened(&condition.unwrap_or_default())).trim_end().to_owned()
        }
        _ => format!("<{name}/>"),
    }
}

fn shortened(name: &str) -> String {
    match name.char_indices().nth(NAME) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}

/// The beginning of what is no XMPP, fit to be printed.
fn start(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(4 * NAME)]);
    shortened(&text.escape_debug().to_string())
}
