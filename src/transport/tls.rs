//! TLS sessions of any crate as transports: [`over`].

use std::{
    fmt, io,
    time::{Duration, Instant},
};

use socket2::SockRef;

use super::{
    AsSocket, BorrowedSocket, Interest, Pace, TlsError, TlsSession, Transport, lends_socket,
    system::{is_nonblocking, lent},
};
use crate::process::Owner;

/// The most bytes that one TLS record holds. No write is longer, so a session that is blocked has no more of our bytes.
pub(super) const RECORD: usize = 16 * 1024;

/// A session of any TLS crate over a socket, as a transport: what [`over`] returns.
///
/// ```no_run
/// use std::{net::TcpStream, time::Duration};
/// use xmpp_close::{Report, TlsSession};
///
/// fn close_over<S: TlsSession>(session: S, tcp: TcpStream) -> std::io::Result<Report> {
///     let mut transport = xmpp_close::over(session, tcp)?;
///     transport.handshake(Duration::from_secs(10))?; // unless that was done before
///     println!("a session with {}", transport.get_ref().peer_addr()?);
///     Ok(xmpp_close::close(transport))
/// }
/// ```
pub struct OverTls<S: TlsSession, T: Transport + AsSocket> {
    session: S,
    socket: T,
    was_nonblocking: bool,
    owner: Owner,
    read_wants: Interest,
    write_wants: Interest,
    /// The length of the write that is blocked, or 0: some TLS libraries insist on the same bytes when it is repeated.
    blocked: usize,
    failed: bool,
}

/// Makes a transport of a TLS session and the socket below it. For rustls use `RustlsTransport` (feature `rustls`) instead.
///
/// - `session` reads from and writes to the connection. [`TlsSession`] says what it has to do.
/// - `socket` is a second handle of the session's own socket, for example from
///   [`TcpStream::try_clone`](std::net::TcpStream::try_clone). The transport polls it, ends its output, and reads it to its end
///   after the peer's `close_notify`.
///
/// The socket is in non-blocking mode until the transport is dropped; then it gets back the mode that it had. On Windows it stays
/// in non-blocking mode, because nobody can ask for the mode there.
///
/// With the `openssl` crate (this library's tests compile and run this code):
///
/// ```text
#[doc = include_str!("../../examples/tls/openssl_session.rs")]
///
/// ssl.set_connect_state(); // we are the client; a server calls set_accept_state()
/// let session = OpensslSession(openssl::ssl::SslStream::new(ssl, tcp.try_clone()?)?);
/// let mut transport = xmpp_close::over(session, tcp)?;
/// transport.handshake(std::time::Duration::from_secs(10))?;
/// let mut stream = xmpp_close::Stream::new(transport);
/// ```
///
/// With the `native-tls` crate. That crate cannot tell the peer's `close_notify` from the end of TCP, and its TLS handshake
/// blocks:
///
/// ```text
#[doc = include_str!("../../examples/tls/native_session.rs")]
///
/// let session = NativeSession(connector.connect("example.org", tcp.try_clone()?)?); // blocks
/// let mut stream = xmpp_close::Stream::new(xmpp_close::over(session, tcp)?);
/// ```
///
/// # Errors
/// When the socket cannot be made non-blocking.
pub fn over<S: TlsSession, T: Transport + AsSocket>(session: S, socket: T) -> io::Result<OverTls<S, T>> {
    let was_nonblocking = is_nonblocking(lent(&socket))?;
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

impl<S: TlsSession, T: Transport + AsSocket> OverTls<S, T> {
    /// Completes the TLS handshake, in at most `limit`.
    ///
    /// # Errors
    /// [`TimedOut`](io::ErrorKind::TimedOut) after `limit`; [`InvalidData`](io::ErrorKind::InvalidData) when the TLS layer
    /// failed; [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) when TCP ended; any other error of the socket.
    pub fn handshake(&mut self, limit: Duration) -> io::Result<()> {
        handshake_within(self, limit, |transport| {
            let result = transport.session.handshake();
            transport.note(result, |transport| &mut transport.read_wants, Interest::READ)
        })
    }

    /// The session, to look at its certificates or its protocol. Look before the close begins: a
    /// [`Closing`](crate::Closing) hands out nothing that could write.
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

    /// The socket below TLS, to look at its addresses. Bytes that a program writes to it break the session. A
    /// [`Closing`](crate::Closing) hands out no socket:
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

    /// Turns the result of an attempt into that of a transport, and remembers what the session waits for.
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

    /// What the socket must become ready for so that a direction of `interest` can move.
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

impl<S: TlsSession, T: Transport + AsSocket> Transport for OverTls<S, T> {
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

    fn wait(&mut self, interest: Interest, limit: Duration, wake: Option<BorrowedSocket<'_>>) -> io::Result<Interest> {
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

    fn watch(&self, interest: Interest) -> Option<(BorrowedSocket<'_>, Interest)> {
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

impl<S: TlsSession, T: Transport + AsSocket> Drop for OverTls<S, T> {
    fn drop(&mut self) {
        // A forked child shares the flag with its parent, whose session goes on.
        if self.owner.is_this_process() {
            let _ = SockRef::from(&self.socket).set_nonblocking(self.was_nonblocking);
        }
    }
}

lends_socket! {
    /// The socket below TLS. Wait for it, but do not read from it or write to it.
    impl<[S: TlsSession, T: Transport + AsSocket]> OverTls<S, T>, of T, |tls| tls.socket
}

impl<S: TlsSession, T: Transport + AsSocket> fmt::Debug for OverTls<S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OverTls").field("socket", &lent(&self.socket)).finish_non_exhaustive()
    }
}

pub(super) fn is_blocked(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

/// Attempts, waits, and attempts again. The first attempt comes before the wait, since poll(2) does not show bytes that are
/// decrypted already. The second may find only a part of a record: then nothing came.
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
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the TLS handshake took too long"));
        }
        match pace.wait(transport, Interest::READ, left, None) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
    }
}
