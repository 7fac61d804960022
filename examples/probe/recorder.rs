//! A transport that writes down everything that goes through another one.

use std::{
    io,
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use xmpp_close::{BorrowedSocket, Fact, Interest, Transport};

use crate::timeline::{Log, Side, Timeline, What};

/// A transport that writes down everything that goes through it. It sits above TLS, where the stream is plaintext.
pub struct Recorder<T> {
    inner: T,
    timeline: Timeline,
    /// Over TLS: how TCP ends below it.
    below: Option<Arc<Ends>>,
}

impl<T: Transport> Recorder<T> {
    pub fn new(inner: T, timeline: Timeline) -> Self {
        Self { inner, timeline, below: None }
    }

    /// Around a TLS session whose socket has a [`Tap`] with these ends.
    pub fn over_tls(inner: T, timeline: Timeline, below: Arc<Ends>) -> Self {
        timeline.over_tls();
        Self { inner, timeline, below: Some(below) }
    }

    pub fn into_inner(self) -> T {
        self.inner
    }

    fn came(&self, buf: &[u8], result: &io::Result<usize>) {
        let mut log = self.timeline.log();
        let inside = log.inside();
        match result {
            Ok(0) if self.below.is_some() => {
                log.tell(Fact::Notified { inside });
                log.push(Side::Peer, What::CloseNotify, 0);
            }
            Ok(0) => log.ended(inside, false),
            Ok(bytes) => log.passed(Side::Peer, &buf[..*bytes]),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && self.below.is_some() => {
                log.ended(inside, true);
            }
            Err(error) => log.failed(Side::Peer, error),
        }
        self.look_below(&mut log);
    }

    /// Writes down what has happened below TLS since.
    fn look_below(&self, log: &mut Log) {
        let Some(ends) = &self.below else { return };
        if ends.ours.swap(false, Ordering::Relaxed) {
            log.push(Side::Us, What::Fin { unannounced: false }, 0);
        }
        if ends.theirs.swap(false, Ordering::Relaxed) {
            log.ended(false, false);
        }
    }
}

impl Recorder<TcpStream> {
    /// close(2), as programs without this library do it: bytes that have come and were not read are counted and thrown
    /// away.
    pub fn close_at_once(self) -> io::Result<()> {
        let mut unread = vec![0; 1 << 20];
        self.inner.set_nonblocking(true)?;
        let unread = self.inner.peek(&mut unread).unwrap_or(0) as u64;
        let mut log = self.timeline.log();
        log.tell(Fact::Cancel);
        log.push(Side::Us, What::Close { unread }, 0);
        drop(self.inner);
        Ok(())
    }
}

impl<T: Transport> Transport for Recorder<T> {
    fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let result = self.inner.try_read(buf);
        self.came(buf, &result);
        result
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Written down before the peer can answer.
        let timeline = self.timeline.clone();
        let mut log = timeline.log();
        let result = self.inner.try_write(bytes);
        match &result {
            Ok(taken) => log.passed(Side::Us, &bytes[..*taken]),
            Err(error) => log.failed(Side::Us, error),
        }
        result
    }

    fn notify(&mut self) -> io::Result<()> {
        let timeline = self.timeline.clone();
        let mut log = timeline.log();
        let result = self.inner.notify();
        if result.is_ok() {
            log.ended_output();
            log.push(Side::Us, What::CloseNotify, 0);
        }
        result
    }

    fn shut(&mut self) -> io::Result<()> {
        let timeline = self.timeline.clone();
        let mut log = timeline.log();
        let result = self.inner.shut();
        // The peer has reset the connection: no FIN went out.
        let gone = result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotConnected);
        if result.is_ok() || gone {
            log.ended_output();
        }
        if self.below.is_none() && result.is_ok() {
            log.push(Side::Us, What::Fin { unannounced: false }, 0);
        }
        self.look_below(&mut log);
        result
    }

    fn wait(&mut self, interest: Interest, limit: Duration, wake: Option<BorrowedSocket<'_>>) -> io::Result<Interest> {
        self.inner.wait(interest, limit, wake)
    }

    fn read_within(&mut self, buf: &mut [u8], limit: Duration) -> io::Result<usize> {
        let result = self.inner.read_within(buf, limit);
        self.came(buf, &result);
        result
    }

    fn no_delay(&mut self) {
        self.inner.no_delay();
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }

    fn unread(&self) -> u64 {
        self.inner.unread()
    }

    fn drain(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let result = self.inner.drain(buf);
        let mut log = self.timeline.log();
        if let Err(error) = &result {
            log.failed(Side::Peer, error);
        }
        self.look_below(&mut log);
        result
    }

    fn unacked(&self) -> u64 {
        self.inner.unacked()
    }
}

/// Which directions of TCP have ended since somebody looked.
#[derive(Default)]
pub struct Ends {
    ours: AtomicBool,
    theirs: AtomicBool,
}

/// Sits below TLS, and notices how TCP ends.
pub struct Tap<T> {
    inner: T,
    ends: Arc<Ends>,
}

impl<T: Transport> Tap<T> {
    pub fn new(inner: T, ends: Arc<Ends>) -> Self {
        Self { inner, ends }
    }
}

impl<T: Transport> Transport for Tap<T> {
    fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let result = self.inner.try_read(buf);
        if matches!(result, Ok(0)) && !buf.is_empty() {
            self.ends.theirs.store(true, Ordering::Relaxed);
        }
        result
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inner.try_write(bytes)
    }

    fn no_delay(&mut self) {
        self.inner.no_delay();
    }

    fn shut(&mut self) -> io::Result<()> {
        self.inner.shut()?;
        self.ends.ours.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn wait(&mut self, interest: Interest, limit: Duration, wake: Option<BorrowedSocket<'_>>) -> io::Result<Interest> {
        self.inner.wait(interest, limit, wake)
    }

    fn unread(&self) -> u64 {
        self.inner.unread()
    }

    fn unacked(&self) -> u64 {
        self.inner.unacked()
    }
}
