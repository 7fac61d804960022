//! A case: what the peer does, and how and where we close.

use std::{
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        mpsc::{RecvTimeoutError, channel},
    },
    thread,
    time::{Duration, Instant},
};

use socket2::{Domain, Socket, Type};
use xmpp_close::OwnedSocket;

use super::{
    apis::Api,
    local,
    model::Model,
    ours::{Ours, Over},
    peer::{PATIENCE, TAG},
    script::{End, Line, Peer, Script, Step},
    stop::Stop,
    tls::Tls,
};

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Side {
    Initiator,
    /// The application has seen the peer's tag already.
    Responder,
    /// The peer's tag has come, and nobody has seen it yet.
    Crossing,
}

#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(dead_code, reason = "with TLS or without is for each test to say")]
pub enum Wire {
    Tcp,
    /// TCP with small buffers, through callbacks that move few bytes at a time, where the API has any.
    Chopped,
    Unix,
    Tls(Tls),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum How {
    Close,
    /// Half-closes behind our tag.
    HalfClose,
    /// Ends TCP without a tag.
    Detach,
}

pub const HEADER: &str =
    "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";

#[derive(Clone, Debug)]
pub struct Case {
    pub script: Script,
    pub side: Side,
    pub wire: Wire,
    pub api: Api,
    pub how: How,
    /// In bytes, about.
    pub farewell: usize,
    /// What the peer sends first has arrived when we begin.
    pub ready: bool,
    /// How long we wait when nothing else ends it.
    pub patience: Duration,
}

const LINGER: Duration = Duration::from_millis(20);
/// How long a close may take that something else than a limit must end: short, so that what misses its end is told soon.
const ENOUGH: Duration = Duration::from_secs(if cfg!(windows) { 60 } else { 20 });
/// A Unix socket has room for some 270 writes, however short.
const ROOM: usize = 250;
/// How much later than it must a close may return; under Wine one process answers the system calls of all.
const SLACK: Duration = Duration::from_millis(if cfg!(windows) { 5000 } else { 250 });
/// How often a case is played at most until it ends in time.
const TRIES: usize = 12;

impl Case {
    /// Only a socket is closed as a descriptor, and no stream of a batch in Rust is detached.
    pub fn exists(&self) -> bool {
        !(self.api == Api::Fd && self.is_tls() || self.api == Api::Batch && self.how == How::Detach)
    }

    /// All that we write before the tag.
    pub fn output(&self) -> Vec<u8> {
        let header = if self.api == Api::Stream { HEADER } else { "" };
        [header.as_bytes(), &self.farewell()].concat()
    }

    pub fn farewell(&self) -> Vec<u8> {
        b"<presence/>".repeat(self.farewell / 11)
    }

    /// Short only where nothing else ends it, so that a busy machine decides nothing.
    pub fn total(&self) -> Duration {
        if Model::new(self).stuck { self.patience } else { ENOUGH }
    }

    /// The peer that holds is waited for as long as this.
    pub fn linger(&self) -> Duration {
        LINGER
    }

    /// How many steps are played before we begin: of those that only send, as many as our socket has room for.
    pub fn before(&self) -> usize {
        let (ready, mut writes) = (self.ready || self.side == Side::Crossing, 0);
        let fits = |step: &&Step| {
            writes += step.writes();
            ready && step.is_output() && writes <= ROOM
        };
        self.script.0.iter().take_while(fits).count()
    }

    pub fn chops(&self) -> bool {
        self.wire == Wire::Chopped
    }

    pub fn is_tls(&self) -> bool {
        matches!(self.wire, Wire::Tls(_))
    }

    fn open(&self) -> (Ours, Box<dyn Line>) {
        if self.wire == Wire::Unix {
            let (ours, theirs) = local::pair();
            theirs.set_read_timeout(Some(PATIENCE)).unwrap();
            theirs.set_write_timeout(Some(PATIENCE)).unwrap();
            return (Ours::new(ours, Over::Nothing), Box::new(Socket::from(OwnedSocket::from(theirs))));
        }
        let (ours, theirs) = if self.chops() { SMALL.with(Pairs::pair) } else { USUAL.with(Pairs::pair) };
        theirs.set_nodelay(true).unwrap(); // each step is on the wire at once
        match self.wire {
            Wire::Tls(tls) => tls.open(self.api, ours, theirs),
            Wire::Chopped => (Ours::new(ours, Over::Chopped), Box::new(Socket::from(theirs))),
            _ => (Ours::new(ours, Over::Nothing), Box::new(Socket::from(theirs))),
        }
    }

    /// Plays it, and says what is wrong. What never returns cannot be shrunk: it ends the tests.
    pub fn run(&self) -> Result<(), String> {
        let (result, returned) = channel();
        let case = self.clone();
        let runner = thread::spawn(move || result.send(case.play_in_time()));
        match returned.recv_timeout(2 * PATIENCE) {
            Ok(result) => result.map(drop),
            Err(RecvTimeoutError::Disconnected) => Err(format!("a panic: {:?}", runner.join().err())),
            Err(RecvTimeoutError::Timeout) => {
                eprintln!("it hangs:\n    {self:?}");
                std::process::exit(1);
            }
        }
    }

    /// Plays the case again when it ended too late, up to `TRIES` times, because a machine with other work may have let
    /// the case wait. A fault of the library makes the case end too late each time.
    pub fn play_in_time(&self) -> Result<Played, String> {
        let mut played = self.play()?;
        for again in 1..TRIES {
            if played.late > SLACK && played.late < ENOUGH / 2 {
                played = Played { again, ..self.play()? };
            }
        }
        if played.late > SLACK { Err(format!("too late: by {:?}", played.late)) } else { Ok(played) }
    }

    fn play(&self) -> Result<Played, String> {
        let (mut ours, theirs) = self.open();
        let ((steps, end), before) = (self.script.clone(), self.before());
        ours.stop = steps.contains(&Step::Cancel).then(|| Arc::new(Stop::new()));
        let mut peer = Peer::new(theirs, ours.stop.clone());
        if self.api == Api::Stream {
            peer.send(HEADER.as_bytes());
            if self.side == Side::Responder {
                peer.send(TAG.as_bytes());
            }
            ours.open_stream(self.side);
        }
        peer.play(&steps[..before]);
        peer.until_arrived();
        let (over, is_over) = channel();
        let start = Instant::now();
        let peer = thread::spawn(move || {
            peer.play(&steps[before..]);
            peer.end(end, &is_over)
        });
        let ended = self.api.close(self, &mut ours);
        let took = start.elapsed();
        drop((ours, over));
        let seen = peer.join().map_err(|_| "the peer panicked".to_owned())?;
        let late = Model::new(self).check(self, start, took, &ended, &seen)?;
        Ok(Played { outcome: ended.outcome, late, again: 0 })
    }
}

/// TCP connections, all through one listener: a million of them need more ports than there are, else.
struct Pairs(Socket, Option<usize>);

thread_local! {
    static USUAL: Pairs = Pairs::new(None);
    static SMALL: Pairs = Pairs::new(Some(1 << 16));
}

impl Pairs {
    /// With send and receive buffers of this size.
    fn new(buffers: Option<usize>) -> Self {
        let this = Self(Socket::new(Domain::IPV4, Type::STREAM, None).unwrap(), buffers);
        this.prepare(&this.0);
        this.0.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        this.0.listen(1).unwrap();
        this
    }

    fn prepare(&self, socket: &Socket) {
        if let Some(bytes) = self.1 {
            socket.set_recv_buffer_size(bytes).unwrap();
            socket.set_send_buffer_size(bytes).unwrap();
        }
    }

    fn pair(&self) -> (TcpStream, TcpStream) {
        let ours = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        self.prepare(&ours);
        ours.connect(&self.0.local_addr().unwrap()).unwrap();
        let theirs = TcpStream::from(self.0.accept().unwrap().0);
        theirs.set_read_timeout(Some(PATIENCE)).unwrap();
        theirs.set_write_timeout(Some(PATIENCE)).unwrap();
        (ours.into(), theirs)
    }
}

/// How a case went that broke no rule.
pub struct Played {
    pub outcome: xmpp_close::Outcome,
    /// How long after its limit it returned.
    pub late: Duration,
    /// How often it was late before.
    pub again: usize,
}

/// Crossing means that the tag comes first.
pub fn crossing(side: Side, (mut steps, end): Script) -> Script {
    if side == Side::Crossing {
        steps.insert(0, Step::Coalesced(2));
    }
    (steps, end)
}

pub const SIDES: [Side; 3] = [Side::Initiator, Side::Responder, Side::Crossing];
pub const ENDS: [End; 4] = [End::Close, End::Reset, End::Hold, End::Stall];
