//! A stream, what happens to it, and what went out.

use std::time::Duration;

use xmpp_close::{CloseOptions, Condition, Engine, Fact, Report, StreamError, Tls, Wants};

/// What can happen to a stream.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    Send(usize),
    Finish,
    Detach,
    /// The kernel takes so many bytes of ours, if there are as many.
    Write(usize),
    /// The end of our output is done, as far as it is due.
    End,
    Receive(usize),
    Tick,
    Tell(Fact),
}

pub const WRITE: Event = Event::Write(usize::MAX);
pub const CLOSED: Event = Event::Tell(Fact::PeerClosed { behind: 0 });
pub const MALFORMED: Event = Event::Tell(Fact::Malformed);
pub const EOF: Event = Event::Tell(Fact::Eof { inside: false });
pub const EOF_INSIDE: Event = Event::Tell(Fact::Eof { inside: true });
pub const NOTIFIED: Event = Event::Tell(Fact::Notified { inside: false });
pub const NOTIFIED_INSIDE: Event = Event::Tell(Fact::Notified { inside: true });
pub const READ_FAILED: Event = Event::Tell(Fact::ReadFailed(104));
pub const WRITE_FAILED: Event = Event::Tell(Fact::WriteFailed(32));
pub const TLS_FAILED: Event = Event::Tell(Fact::TlsFailed);
pub const CANCEL: Event = Event::Tell(Fact::Cancel);
pub const STANZA: Event = Event::Tell(Fact::Stanzas(1));
pub const OVERSIZE: Event = Event::Tell(Fact::Oversize(1));

pub fn arrived(bytes: u64) -> Event {
    Event::Tell(Fact::Arrived(bytes))
}

pub fn stream_error() -> Event {
    Event::Tell(Fact::StreamError(StreamError::new(Condition::Conflict).unwrap()))
}

pub fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[derive(Clone)]
pub struct Stream {
    pub engine: Engine,
    /// What the kernel took.
    pub wire: Vec<u8>,
}

impl Stream {
    pub fn with(options: &CloseOptions, tls: Tls) -> Self {
        Self { engine: Engine::new(options, tls).unwrap(), wire: Vec::new() }
    }

    pub fn new() -> Self {
        Self::with(&CloseOptions::new(), Tls::No)
    }

    pub fn over_tls() -> Self {
        Self::with(&CloseOptions::new(), Tls::Yes)
    }

    /// Runs `events`, a second apart from second 1 on.
    pub fn after(mut self, events: &[Event]) -> Self {
        for (second, event) in (1..).zip(events) {
            self.at(event, secs(second));
        }
        self
    }

    /// Says what is wanted then.
    pub fn at(&mut self, event: &Event, now: Duration) -> String {
        let engine = &mut self.engine;
        match event {
            Event::Send(bytes) => _ = engine.send(&vec![b'A'; *bytes]),
            Event::Finish => engine.finish(None, now),
            Event::Detach => engine.detach(now),
            Event::Write(most) => self.write(*most, now),
            Event::End => {
                for _ in 0..2 {
                    let wants = engine.wants();
                    if wants.notify() {
                        engine.tell(Fact::DidNotify, now).unwrap();
                    } else if wants.shut() {
                        engine.tell(Fact::DidShut, now).unwrap();
                    }
                }
            }
            Event::Receive(bytes) => _ = engine.received(*bytes, now),
            Event::Tick => engine.tick(now),
            Event::Tell(fact) => engine.tell(fact.clone(), now).unwrap(),
        }
        self.wants()
    }

    fn write(&mut self, mut left: usize, now: Duration) {
        loop {
            let bytes = self.engine.output();
            let count = left.min(bytes.len());
            if count == 0 {
                return;
            }
            self.wire.extend_from_slice(&bytes[..count]);
            left -= count;
            self.engine.wrote(count, 0, now);
        }
    }

    pub fn wants(&self) -> String {
        show(self.engine.wants())
    }

    pub fn is_over(&self) -> bool {
        self.engine.wants().over()
    }

    pub fn deadline(&self) -> Option<Duration> {
        self.engine.deadline()
    }

    pub fn report(&self) -> Report {
        self.engine.report()
    }
}

/// `R W M A P N S O`: read, write, may send, answer, parse, notify, shut, over.
fn show(wants: Wants) -> String {
    format!("{wants:?}").split(" | ").filter_map(|name| name.chars().next()).collect()
}
