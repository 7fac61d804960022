//! Going down: on SIGTERM the server accepts nothing new, and closes all streams under one deadline. A stream whose
//! turn comes later is served until then.

use std::{
    collections::HashMap,
    io,
    net::{Shutdown as Direction, TcpListener},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    thread,
    time::{Duration, Instant},
};

use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};
use socket2::SockRef;
use xmpp_close::{Batch, Canceller, Condition, StreamError, Waker};

use crate::Server;

/// What all sessions know of the shutdown.
pub struct Shutdown {
    limit: Duration,
    spread: Duration,
    begun: OnceLock<Instant>,
    /// The second signal uses it, so that the server does not wait for peers.
    hurry: Canceller,
    /// The wakers of the sessions that talk and are not being closed yet, by the address of the connection.
    open: Mutex<HashMap<String, Waker>>,
}

impl Shutdown {
    pub fn new(limit: Duration, spread: Duration) -> io::Result<Self> {
        Ok(Self { limit, spread, begun: OnceLock::new(), hurry: Canceller::new()?, open: Mutex::default() })
    }

    pub fn has_begun(&self) -> bool {
        self.begun.get().is_some()
    }

    /// How long a session may still go on, once the shutdown has begun; `share` says when in the spread its turn comes,
    /// from 0 to 1.
    pub fn time_left(&self, share: f64) -> Option<Duration> {
        self.begun.get().map(|begun| (*begun + self.spread.mul_f64(share)).saturating_duration_since(Instant::now()))
    }

    pub fn opened(&self, address: &str, waker: &Waker) {
        self.open().insert(address.to_owned(), waker.clone());
    }

    pub fn closes(&self, address: &str) {
        self.open().remove(address);
    }

    fn open(&self) -> MutexGuard<'_, HashMap<String, Waker>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes all streams, and returns when all are closed or the time is up.
    pub fn run(&self, server: &Server, batch: &mut Batch<'static>, listener: &TcpListener) -> io::Result<()> {
        let deadline = Instant::now() + self.limit;
        SockRef::from(listener).shutdown(Direction::Both)?; // ends accept()
        println!("going down: {} sessions", self.open().len());
        // From here on this holds for the streams that come, and for those that are being closed already.
        let options = server
            .closer
            .options()
            .total(self.limit)
            .canceller(&self.hurry)
            .stream_error(StreamError::new(Condition::SystemShutdown).map_err(io::Error::other)?)
            .on_progress(|so_far| println!("{so_far}"));
        batch.set(options).map_err(io::Error::other)?;
        self.open().values().for_each(Waker::wake);
        loop {
            let time = deadline.saturating_duration_since(Instant::now());
            let left = batch.turn(time)?;
            // The server does not wait for sessions that are stuck in a write.
            let done = self.open().is_empty() || time.is_zero() || self.hurry.is_cancelled();
            if left == 0 && done {
                return Ok(());
            }
        }
    }
}

/// SIGTERM, or Ctrl-C: the first begins the shutdown, the second does not wait.
pub fn on_signals(server: Arc<Server>) -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    thread::spawn(move || {
        for _ in signals.forever() {
            if server.shutdown.begun.set(Instant::now()).is_err() {
                server.shutdown.hurry.cancel();
            }
            server.closer.wake();
        }
    });
    Ok(())
}
