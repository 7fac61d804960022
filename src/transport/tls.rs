//! TLS sessions of any crate as transports: [`over`].

use std::{
    error, fmt, io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
    time::{Duration, Instant},
};

use socket2::SockRef;

use super::{Interest, Pace, Transport};
use crate::process::Owner;

/// As much as one TLS record holds: then a session that is blocked has no more of our bytes than that.
pub(super) const RECORD: usize = 16 * 1024;

/// A session of a TLS crate over a non-blocking socket, for [`over`].
///
/// Each function makes one attempt and does not wait. What the session reads or writes for itself meanwhile, such as
/// `KeyUpdate` and `NewSessionTicket`, is its own affair: it asks for the direction that it needs.
pub trait TlsSession {
    /// Reads once. `Ok(0)` is the peer's `close_notify`, and nothing else; [`TlsError::Eof`] is the end of TCP without it.
    /// A session that cannot tell the two apart says [`TlsError::EndUnknown`].
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, TlsError>;

    /// Writes once; returns how much was encrypted and taken by the kernel, or by [`flush`](Self::flush). After [`TlsError::WantRead`] and
    /// [`TlsError::WantWrite`] it is called again with the same bytes, which may have moved.
    fn write(&mut self, bytes: &[u8]) -> Result<usize, TlsError>;

    /// Sends `close_notify`, and does not wait for the peer's. Called again until it succeeds, and never after
    /// [`TlsError::Failed`].
    fn close_notify(&mut self) -> Result<(), TlsError>;

    /// For a session that encrypts into memory: moves on to the socket what is encrypted and not written there yet, and
    /// returns how many bytes are left. What it encrypts while it reads or shakes hands it moves on by itself. 0, the default:
    /// all that was taken is with the kernel.
    fn flush(&mut self) -> Result<usize, TlsError> {
        Ok(0)
    }

    /// Goes on with the TLS handshake, for [`OverTls::handshake`]. By default it is done already.
    fn handshake(&mut self) -> Result<(), TlsError> {
        Ok(())
    }

    /// How many decrypted bytes could be read at once; 0 where nobody knows.
    fn pending(&self) -> usize {
        0
    }
}

/// Why an attempt of a [`TlsSession`] moved nothing.
#[derive(Debug)]
#[non_exhaustive]
pub enum TlsError {
    /// It waits for the socket to be readable.
    WantRead,
    /// It waits for the socket to be writable.
    WantWrite,
    /// TCP ended without `close_notify`.
    Eof,
    /// The end, with `close_notify` or without: `native-tls` shows both as 0 bytes. It counts as an end without: who cuts
    /// the connection could bring it about, so before the peer's tag it is [`Truncated`](crate::Outcome::Truncated), and
    /// [`TlsAlerts::received`](crate::TlsAlerts) stays false.
    EndUnknown,
    /// The TLS layer failed, or the peer said so by a fatal alert: nothing more is sent (TL-12).
    Failed(Box<dyn error::Error + Send + Sync>),
    /// The socket failed. [`WouldBlock`](io::ErrorKind::WouldBlock) is allowed here too, when it is about the obvious
    /// direction.
    Io(io::Error),
}

impl From<io::Error> for TlsError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WantRead => f.write_str("TLS waits for something to read"),
            Self::WantWrite => f.write_str("TLS waits to write"),
            Self::Eof => f.write_str("TCP ended without close_notify"),
            Self::EndUnknown => f.write_str("TLS ended, with close_notify or without"),
            Self::Failed(_) => f.write_str("the TLS layer failed"),
            Self::Io(_) => f.write_str("the connection below TLS failed"),
        }
    }
}

impl error::Error for TlsError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Failed(error) => Some(error.as_ref()),
            Self::Io(error) => Some(error),
            _ => None,
        }
    }
}

/// Any TLS crate's session over a socket, as a transport. See [`over`].
pub struct OverTls<S: TlsSession, T: Transport + AsFd> {
    session: S,
    socket: T,
    was_nonblocking: bool,
    owner: Owner,
    read_wants: Interest,
    write_wants: Interest,
    /// How many bytes the write that is blocked was about: some libraries insist on the same again.
    blocked: usize,
    failed: bool,
}

/// Makes a transport of a session of any TLS crate, and of the socket under it, which is polled, half-closed and, after
/// the peer's `close_notify`, read to its end (TL-11). The socket is a second handle of the one that the session uses,
/// as of [`TcpStream::try_clone`](std::net::TcpStream::try_clone); it is made non-blocking, and again what it was when
/// the transport is dropped. Rustls needs none of this: see `RustlsTransport` (feature `rustls`).
///
/// With the `openssl` crate, for example (compiled and run by the tests of this library, but not with its documentation):
///
/// ```text
#[doc = include_str!("../../tests/tls/openssl_session.rs")]
/// ssl.set_connect_state(); // we are the client; a server calls set_accept_state()
/// let session = OpensslSession(openssl::ssl::SslStream::new(ssl, tcp.try_clone()?)?);
/// let mut transport = xmpp_close::over(session, tcp)?;
/// transport.handshake(std::time::Duration::from_secs(10))?;
/// let mut stream = xmpp_close::Stream::new(transport);
/// ```
///
/// With the `native-tls` crate, which neither tells `close_notify` from the end of TCP nor has a TLS handshake in steps:
///
/// ```text
#[doc = include_str!("../../tests/tls/native_session.rs")]
/// let session = NativeSession(connector.connect("example.org", tcp.try_clone()?)?); // blocks
/// let mut stream = xmpp_close::Stream::new(xmpp_close::over(session, tcp)?);
/// ```
///
/// # Errors
/// When the socket cannot be made non-blocking.
pub fn over<S: TlsSession, T: Transport + AsFd>(session: S, socket: T) -> io::Result<OverTls<S, T>> {
    let was_nonblocking = SockRef::from(&socket).nonblocking()?;
    SockRef::from(&socket).set_nonblocking(true)?;
    Ok(OverTls {
        session,
        socket,
        was_nonblocking,
        owner: Owner::this_process(),
        read_wants: Interest::READ,
        write_wants: Interest::WRITE,
        blocked: 0,
        failed: false,
    })
}

impl<S: TlsSession, T: Transport + AsFd> OverTls<S, T> {
    /// Completes the TLS handshake.
    ///
    /// # Errors
    /// [`TimedOut`](io::ErrorKind::TimedOut) after `limit`, [`InvalidData`](io::ErrorKind::InvalidData) for a failure
    /// of the TLS layer, and what the socket says.
    pub fn handshake(&mut self, limit: Duration) -> io::Result<()> {
        handshake_within(self, limit, |transport| {
            let result = transport.session.handshake();
            transport.note(result, |transport| &mut transport.read_wants, Interest::READ)
        })
    }

    /// The session: its certificates, its protocol. For what is wanted of it when the stream has ended, it is to be asked
    /// before: a [`Closing`](crate::Closing) hands out nothing that could write.
    ///
    /// ```compile_fail,E0599
    /// # use xmpp_close::{Closing, OverTls, TlsSession};
    /// # fn f<S: TlsSession>(closing: &Closing<OverTls<S, std::net::TcpStream>>) {
    /// closing.session(); // no method named `session`
    /// # }
    /// ```
    pub fn session(&self) -> &S {
        &self.session
    }

    /// The socket under it: its addresses. What is written to it directly breaks the session.
    ///
    /// ```compile_fail,E0599
    /// # use xmpp_close::{Closing, OverTls, TlsSession};
    /// # fn f<S: TlsSession>(closing: &Closing<OverTls<S, std::net::TcpStream>>) {
    /// closing.get_ref(); // no method named `get_ref`
    /// # }
    /// ```
    pub fn get_ref(&self) -> &T {
        &self.socket
    }

    /// Judges an attempt, and remembers what it waits for.
    fn note<R>(&mut self, result: Result<R, TlsError>, wants: Wants<Self>, natural: Interest) -> io::Result<R> {
        let error = match result {
            Ok(value) => return Ok(value),
            Err(TlsError::WantRead) => return blocked(wants(self), Interest::READ),
            Err(TlsError::WantWrite) => return blocked(wants(self), Interest::WRITE),
            Err(TlsError::Io(error)) if is_blocked(&error) => return blocked(wants(self), natural),
            Err(TlsError::Eof | TlsError::EndUnknown) => io::ErrorKind::UnexpectedEof.into(),
            Err(TlsError::Failed(error)) => io::Error::new(io::ErrorKind::InvalidData, error),
            Err(TlsError::Io(error)) => error,
        };
        self.failed |= error.kind() == io::ErrorKind::InvalidData;
        Err(error)
    }

    /// What the socket must become ready for, so that a direction of `interest` can move.
    fn below(&self, interest: Interest) -> Interest {
        let mut on = Interest::NEITHER;
        for (asked, wants) in [(interest.read, self.read_wants), (interest.write, self.write_wants)] {
            on.read |= asked && wants.read;
            on.write |= asked && wants.write;
        }
        on
    }

    fn unbroken(&self) -> io::Result<()> {
        if self.failed {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the TLS layer has failed before"));
        }
        Ok(())
    }
}

type Wants<T> = fn(&mut T) -> &mut Interest;

fn blocked<R>(wants: &mut Interest, direction: Interest) -> io::Result<R> {
    *wants = direction;
    Err(io::ErrorKind::WouldBlock.into())
}

impl<S: TlsSession, T: Transport + AsFd> Transport for OverTls<S, T> {
    fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.unbroken()?;
        let result = self.session.read(buf);
        let result = self.note(result, |transport| &mut transport.read_wants, Interest::READ);
        result.map(|count| count.min(buf.len()))
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.unbroken()?;
        let most = if self.blocked > 0 { self.blocked } else { RECORD };
        let bytes = &bytes[..bytes.len().min(most)];
        let result = match self.session.write(bytes) {
            Ok(0) if !bytes.is_empty() => Err(TlsError::WantWrite),
            result => result,
        };
        let result = self.note(result, |transport| &mut transport.write_wants, Interest::WRITE);
        self.blocked = if result.is_err() { bytes.len() } else { 0 };
        result.map(|count| count.min(bytes.len()))
    }

    fn no_delay(&mut self) {
        self.socket.no_delay();
    }

    fn try_flush(&mut self) -> io::Result<usize> {
        self.unbroken()?;
        let result = self.session.flush();
        if result.as_ref().is_ok_and(|left| *left > 0) {
            self.write_wants = Interest::WRITE;
        }
        self.note(result, |transport| &mut transport.write_wants, Interest::WRITE)
    }

    fn notify(&mut self) -> io::Result<()> {
        self.unbroken()?;
        let result = self.session.close_notify();
        self.note(result, |transport| &mut transport.write_wants, Interest::WRITE)
    }

    fn shut(&mut self) -> io::Result<()> {
        self.socket.shut()
    }

    fn wait(&mut self, interest: Interest, limit: Duration, wake: Option<BorrowedFd<'_>>) -> io::Result<Interest> {
        if interest.read && self.session.pending() > 0 {
            return Ok(Interest::READ);
        }
        let ready = self.socket.wait(self.below(interest), limit, wake)?;
        let may_move = |wants: Interest| wants.read && ready.read || wants.write && ready.write;
        Ok(Interest {
            read: interest.read && may_move(self.read_wants),
            write: interest.write && may_move(self.write_wants),
        })
    }

    fn watch(&self, interest: Interest) -> Option<(BorrowedFd<'_>, Interest)> {
        self.socket.watch(self.below(interest))
    }

    fn read_within(&mut self, buf: &mut [u8], limit: Duration) -> io::Result<usize> {
        attempt_within(self, limit, |transport| transport.try_read(buf))
    }

    fn drain(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.read_wants = Interest::READ;
        self.socket.try_read(buf)
    }

    fn is_tls(&self) -> bool {
        true
    }

    fn unread(&self) -> u64 {
        self.session.pending() as u64
    }

    fn unacked(&self) -> u64 {
        self.socket.unacked()
    }
}

impl<S: TlsSession, T: Transport + AsFd> Drop for OverTls<S, T> {
    fn drop(&mut self) {
        // The flag is also that of a parent's socket, which goes on with its session.
        if self.owner.is_this_process() {
            let _ = SockRef::from(&self.socket).set_nonblocking(self.was_nonblocking);
        }
    }
}

/// That of the socket under it: to wait for, not to read from or to write to.
impl<S: TlsSession, T: Transport + AsFd> AsFd for OverTls<S, T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// That of the socket under it: to wait for, not to read from or to write to.
impl<S: TlsSession, T: Transport + AsFd + AsRawFd> AsRawFd for OverTls<S, T> {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl<S: TlsSession, T: Transport + AsFd> fmt::Debug for OverTls<S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OverTls").field("socket", &self.socket.as_fd()).finish_non_exhaustive()
    }
}

pub(super) fn is_blocked(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

/// An attempt, first without waiting, for what has been decrypted does not show in poll(2); and again after a wait, which
/// may have brought nothing but a part of a record.
pub(super) fn attempt_within<T: Transport, R>(
    transport: &mut T,
    limit: Duration,
    mut attempt: impl FnMut(&mut T) -> io::Result<R>,
) -> io::Result<R> {
    let result = attempt(transport);
    if !result.as_ref().is_err_and(is_blocked) {
        return result;
    }
    transport.wait(Interest::READ, limit, None)?;
    attempt(transport)
}

/// Repeats a step of the TLS handshake until it is done.
pub(super) fn handshake_within<T: Transport>(
    transport: &mut T,
    limit: Duration,
    mut step: impl FnMut(&mut T) -> io::Result<()>,
) -> io::Result<()> {
    let start = Instant::now();
    let mut pace = Pace::default();
    loop {
        match step(transport) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if is_blocked(&error) => {}
            result => return result,
        }
        let left = limit.saturating_sub(start.elapsed());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        match pace.wait(transport, Interest::READ, left, None) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
    }
}
