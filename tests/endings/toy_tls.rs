//! TLS for those rows whose endings only TLS knows.

use std::{
    cell::Cell,
    io::{self, ErrorKind},
    net::TcpStream,
    os::fd::{AsFd, BorrowedFd},
    time::Duration,
};

use xmpp_close::{CloseOptions, Interest, Outcome, Transport};

use crate::{
    Setting,
    peer::{self, TAG},
};

/// TLS for tests: the byte 1, which no XML holds, is a fatal alert, and the end of TCP comes without `close_notify`.
pub struct ToyTls<'a> {
    socket: BorrowedFd<'a>,
    failed: bool,
}

impl<'a> ToyTls<'a> {
    pub fn over(tcp: &'a TcpStream) -> Self {
        Self { socket: tcp.as_fd(), failed: false }
    }
}

impl Transport for ToyTls<'_> {
    fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = if self.failed { 0 } else { Transport::try_read(&mut self.socket, buf)? };
        let alert = buf[..count].iter().position(|byte| *byte == 1);
        match alert.unwrap_or(count) {
            0 if self.failed || alert.is_some() => Err(ErrorKind::InvalidData.into()),
            0 => Err(ErrorKind::UnexpectedEof.into()),
            plain => {
                self.failed = alert.is_some();
                Ok(plain)
            }
        }
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Transport::try_write(&mut self.socket, bytes)
    }

    /// The end of TCP is all that it knows.
    fn notify(&mut self) -> io::Result<()> {
        Transport::shut(&mut self.socket)
    }

    fn shut(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn wait(&mut self, what: Interest, limit: Duration, wake: Option<BorrowedFd<'_>>) -> io::Result<Interest> {
        Transport::wait(&mut self.socket, what, limit, wake)
    }

    fn watch(&self, what: Interest) -> Option<(BorrowedFd<'_>, Interest)> {
        Transport::watch(&self.socket, what)
    }

    fn is_tls(&self) -> bool {
        true
    }
}

/// A plain socket, or toy TLS over it.
pub fn transport(tcp: &TcpStream, setting: Setting) -> Box<dyn Transport + Send + '_> {
    if setting == Setting::Tls { Box::new(ToyTls::over(tcp)) } else { Box::new(tcp.as_fd()) }
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

    fn wait(&mut self, what: Interest, limit: Duration, wake: Option<BorrowedFd<'_>>) -> io::Result<Interest> {
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
