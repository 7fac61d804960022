//! A case: what the peer does, and how and where we close.

use std::{
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    sync::mpsc::{RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use socket2::Socket;
use xmpp_close::Transport;

use crate::{
    apis::Api,
    model::Model,
    peer::{self, PATIENCE},
    script::{self, End, Script, Step},
};

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Side {
    Initiator,
    /// The application has seen the peer's tag already.
    Responder,
    /// The peer's tag has come, and nobody has seen it yet: the first step is played before we begin.
    Crossing,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Wire {
    Tcp,
    /// TCP with small buffers, through callbacks that move few bytes at a time, where the API has any.
    Chopped,
    Unix,
}

#[derive(Clone, Debug)]
pub struct Case {
    pub script: Script,
    pub side: Side,
    pub wire: Wire,
    pub api: Api,
    /// In bytes, about.
    pub farewell: usize,
}

impl Case {
    pub fn farewell(&self) -> Vec<u8> {
        b"<presence/>".repeat(self.farewell / 11)
    }

    /// Short only where nothing else ends it, so that a busy machine decides nothing.
    pub fn total(&self) -> Duration {
        if Model::new(self).stuck { Duration::from_millis(150) } else { PATIENCE }
    }

    /// The peer that holds is waited for as long as this.
    pub fn linger(&self) -> Duration {
        Duration::from_millis(40)
    }

    pub fn chops(&self) -> bool {
        self.wire == Wire::Chopped
    }

    fn pair(&self) -> (OwnedFd, OwnedFd) {
        match self.wire {
            Wire::Unix => {
                let (ours, theirs) = UnixStream::pair().unwrap();
                theirs.set_read_timeout(Some(PATIENCE)).unwrap();
                theirs.set_write_timeout(Some(PATIENCE)).unwrap();
                (ours.into(), theirs.into())
            }
            Wire::Tcp | Wire::Chopped => {
                let (ours, theirs) = if self.chops() { peer::pair_with_buffers(1 << 16) } else { peer::pair() };
                theirs.set_nodelay(true).unwrap(); // a reset drops what is delayed
                (ours.into(), theirs.into())
            }
        }
    }

    /// Plays it, and says what is wrong. What never returns cannot be shrunk: it ends the tests.
    pub fn run(&self) -> Result<(), String> {
        let (result, returned) = channel();
        let case = self.clone();
        let runner = thread::spawn(move || result.send(case.play()));
        match returned.recv_timeout(2 * PATIENCE) {
            Ok(result) => result,
            Err(RecvTimeoutError::Disconnected) => Err(format!("a panic: {:?}", runner.join().err())),
            Err(RecvTimeoutError::Timeout) => {
                eprintln!("it hangs:\n    {self:?}");
                std::process::exit(1);
            }
        }
    }

    fn play(&self) -> Result<(), String> {
        let (ours, theirs) = self.pair();
        let mut from = 0;
        if self.side == Side::Crossing {
            let bytes = self.script.0[0].bytes(0);
            let mut socket = Socket::from(theirs.try_clone().unwrap());
            script::send(&mut socket, bytes.as_bytes());
            peer::wait_until(|| Transport::unread(&ours) == bytes.len() as u64);
            from = 1;
        }
        let (over, is_over) = channel();
        let start = Instant::now();
        let script = self.script.clone();
        let peer = thread::spawn(move || script::play(&script, from, theirs, &is_over));
        let ended = self.api.close(self, ours.as_fd());
        let took = start.elapsed();
        drop((ours, over));
        let seen = peer.join().map_err(|_| "the peer panicked".to_owned())?;
        Model::new(self).check(self, start, took, &ended, &seen)
    }
}

/// Crossing means that the tag comes first.
pub fn crossing(side: Side, (mut steps, end): Script) -> Script {
    if side == Side::Crossing {
        steps.insert(0, Step::Coalesced(2));
    }
    (steps, end)
}

pub const SIDES: [Side; 3] = [Side::Initiator, Side::Responder, Side::Crossing];
pub const WIRES: [Wire; 3] = [Wire::Tcp, Wire::Chopped, Wire::Unix];
pub const ENDS: [End; 4] = [End::Close, End::Reset, End::Hold, End::Stall];
