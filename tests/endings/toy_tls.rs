//! TLS for the rows whose endings exist only over TLS.

use std::{
    cell::Cell,
    io::{self, ErrorKind},
    net::TcpStream,
    time::Duration,
};

use xmpp_close::{BorrowedSocket, CloseOptions, Interest, Outcome, Transport};

use crate::{
    local::lent,
    peer::{self, TAG},
};

/// What no XML holds stands for a fatal alert, and for `close_notify`.
pub const FATAL_ALERT: &str = "\u{1}";
pub const CLOSE_NOTIFY: &str = "\u{2}";

/// TLS for tests: the bytes as they are, up to an alert.
pub struct ToyTls<'a> {
    socket: BorrowedSocket<'a>,
    alert: Option<u8>,
}

impl<'a> ToyTls<'a> {
    pub fn over(tcp: &'a TcpStream) -> Self {
        Self { socket: lent(tcp), alert: None }
    }

    /// Nothing comes behind an alert.
    fn end(&self) -> io::Result<usize> {
        match self.alert {
            None => Err(ErrorKind::UnexpectedEof.into()),
            Some(alert) if alert == CLOSE_NOTIFY.as_bytes()[0] => Ok(0),
            Some(_) => Err(ErrorKind::InvalidData.into()),
        }
    }
}

impl Transport for ToyTls<'_> {
    fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.alert.is_some() {
            return self.end();
        }
        let count = Transport::try_read(&mut self.socket, buf)?;
        let alert = buf[..count].iter().position(|byte| [FATAL_ALERT, CLOSE_NOTIFY].concat().as_bytes().contains(byte));
        self.alert = alert.map(|at| buf[at]);
        match alert.unwrap_or(count) {
            0 => self.end(),
            plain => Ok(plain),
        }
    }

    fn drain(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        Transport::try_read(&mut self.socket, buf)
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Transport::try_write(&mut self.socket, bytes)
    }

    fn notify(&mut self) -> io::Result<()> {
        Transport::try_write(&mut self.socket, CLOSE_NOTIFY.as_bytes()).map(drop)
    }

    fn shut(&mut self) -> io::Result<()> {
        Transport::shut(&mut self.socket)
    }

    fn wait(&mut self, what: Interest, limit: Duration, wake: Option<BorrowedSocket<'_>>) -> io::Result<Interest> {
        Transport::wait(&mut self.socket, what, limit, wake)
    }

    fn watch(&self, what: Interest) -> Option<(BorrowedSocket<'_>, Interest)> {
        Transport::watch(&self.socket, what)
    }

    fn is_tls(&self) -> bool {
        true
    }

    fn unread(&self) -> u64 {
        self.socket.unread()
    }
}

/// A plain socket, or toy TLS over it.
pub fn transport(tcp: &TcpStream, tls: bool) -> Box<dyn Transport + Send + '_> {
    if tls { Box::new(ToyTls::over(tcp)) } else { Box::new(lent(tcp)) }
}

/// TLS whose `close_notify` fails.
struct NoNotify<'a>(ToyTls<'a>, &'a Cell<u32>);

impl Transport for NoNotify<'_> {
    fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buf)
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn shut(&mut self) -> io::Result<()> {
        panic!("nothing is to be said on a connection that failed")
    }

    fn notify(&mut self) -> io::Result<()> {
        self.1.set(self.1.get() + 1);
        Err(ErrorKind::InvalidData.into())
    }

    fn wait(&mut self, what: Interest, limit: Duration, wake: Option<BorrowedSocket<'_>>) -> io::Result<Interest> {
        self.0.wait(what, limit, wake)
    }

    fn is_tls(&self) -> bool {
        true
    }
}

#[test]
fn a_tls_layer_that_failed_is_left_alone() {
    // TL-12: OpenSSL forbids SSL_shutdown after a fatal error.
    let (ours, theirs) = peer::pair();
    let peer = peer::peer(theirs, |mut peer| {
        peer.read_tag().send(TAG);
        peer.rest().unwrap_or_default();
    });
    let ends = Cell::new(0);
    let report = CloseOptions::new().close(NoNotify(ToyTls::over(&ours), &ends)).unwrap();
    assert_eq!((report.outcome, report.tls.sent, ends.get()), (Outcome::Clean, false, 1), "{report}");
    drop(ours);
    peer.join().unwrap();
}
