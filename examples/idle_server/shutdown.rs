//! Going down: on SIGTERM nothing new is accepted, and all streams are closed in one batch, under one deadline.

use std::{
    collections::HashMap,
    io,
    net::{Shutdown as Direction, TcpListener},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};
use socket2::SockRef;
use xmpp_close::{Batch, BatchOptions, Canceller, Error, StreamError, Waker};

/// How long the sessions have to hand over their streams; those that are stuck in a write do not.
const HAND_OVER: Duration = Duration::from_secs(1);

/// A session that leaves its stream to the shutdown: its name, and what puts the stream into the batch.
pub type Leaving = (String, Box<dyn FnOnce(&mut Batch<'static>) -> Result<usize, Error> + Send>);

/// Every session has a sender, so the receiver also learns when the last session is gone.
pub fn channel() -> (Sender<Leaving>, Receiver<Leaving>) {
    mpsc::channel()
}

/// What all sessions know of it.
pub struct Shutdown {
    limit: Duration,
    begun: AtomicBool,
    /// Who is to be woken, by the address of the connection: the sessions that talk, and do not close already.
    open: Mutex<HashMap<String, Waker>>,
}

impl Shutdown {
    pub fn new(limit: Duration) -> Self {
        Self { limit, begun: AtomicBool::new(false), open: Mutex::default() }
    }

    pub fn has_begun(&self) -> bool {
        self.begun.load(Ordering::SeqCst)
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
    pub fn run(&self, listener: &TcpListener, left: Receiver<Leaving>, signals: &Terminated) -> io::Result<()> {
        let deadline = Instant::now() + self.limit;
        let time = || deadline.saturating_duration_since(Instant::now());
        self.begun.store(true, Ordering::SeqCst);
        SockRef::from(listener).shutdown(Direction::Both)?; // ends accept()
        self.open().values().for_each(Waker::wake);

        let mut batch = Batch::new()?;
        let mut names = Vec::new();
        let hurry = Instant::now() + HAND_OVER;
        while !self.open().is_empty() && Instant::now() < hurry {
            if let Ok(leaving) = left.recv_timeout(Duration::from_millis(100)) {
                add(&mut batch, &mut names, leaving);
            }
        }
        left.try_iter().for_each(|leaving| add(&mut batch, &mut names, leaving));
        println!("going down: {} streams to close", batch.len());
        loop {
            let options = BatchOptions::new()
                .total(time())
                .canceller(&signals.again)
                .stream_error(StreamError::new("system-shutdown").map_err(io::Error::other)?)
                .on_progress(|so_far| println!("{so_far}"))
                .on_end(|index, report| println!("{}: {report}", names[index]));
            batch.run(options).map_err(io::Error::other)?;
            names.clear();
            // Who was closing already ends by itself; who was stuck in a write may still come.
            match left.recv_timeout(time()) {
                Ok(leaving) => add(&mut batch, &mut names, leaving),
                Err(_) => return Ok(()),
            }
        }
    }
}

fn add(batch: &mut Batch<'static>, names: &mut Vec<String>, (name, join): Leaving) {
    match join(batch) {
        Ok(_) => names.push(name),
        Err(error) => println!("{name}: {error}"),
    }
}

/// SIGTERM, or Ctrl-C.
pub struct Terminated {
    first: Receiver<()>,
    /// Used by the second: it does not wait for peers.
    again: Canceller,
}

pub fn signals() -> io::Result<Terminated> {
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    let (sender, first) = mpsc::channel();
    let again = Canceller::new()?;
    let second = again.clone();
    thread::spawn(move || {
        let mut came = signals.forever();
        let _ = came.next().map(|_| sender.send(()));
        let _ = came.next().map(|_| second.cancel());
    });
    Ok(Terminated { first, again })
}

impl Terminated {
    pub fn wait(&self) {
        let _ = self.first.recv();
    }
}
