//! Byte streams that can be read and written in small, bounded steps.
//!
//! The driver makes non-blocking attempts and waits in between, so that both directions move while output is pending
//! (TC-13: two peers that only write would wait for each other for ever) and one deadline covers it all.

#[cfg(feature = "capi")]
mod connected;
mod option;
mod pace;
mod poll;
#[cfg(feature = "batch")]
mod readiness;
#[cfg(feature = "rustls")]
mod rustls;
mod socket;
mod tls;

use std::{io, os::fd::BorrowedFd, time::Duration};

#[cfg(feature = "capi")]
pub(crate) use connected::check_connected;
#[cfg(feature = "batch")]
pub(crate) use pace::PAUSED;
pub(crate) use pace::{PAUSE, Pace};
pub(crate) use poll::poll;
#[cfg(feature = "batch")]
pub(crate) use readiness::Readiness;
#[cfg(feature = "rustls")]
pub use rustls::RustlsTransport;
pub(crate) use socket::holds_back;
pub use tls::{OverTls, TlsError, TlsSession, over};

/// The `errno` of an error; `EIO` for one that has none, from a transport of the caller's.
pub(crate) fn os_error(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(libc::EIO)
}

/// The attempt is to be made again, at once or after a wait.
pub(crate) fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// As poll(2) takes it. Rounded up: a wait that ends early would turn into a busy loop.
pub(crate) fn poll_millis(limit: Duration) -> i32 {
    i32::try_from(limit.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX)
}

/// Which directions to wait for, or which are ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interest {
    /// There is something to read, or the end.
    pub read: bool,
    /// Something can be written.
    pub write: bool,
}

impl Interest {
    /// Reading only.
    pub const READ: Self = Self { read: true, write: false };
    /// Writing only.
    pub const WRITE: Self = Self { read: false, write: true };
    /// Both directions.
    pub const BOTH: Self = Self { read: true, write: true };
    /// No direction: whoever waits for that makes a pause.
    pub(crate) const NEITHER: Self = Self { read: false, write: false };
}

/// A connected byte stream: a socket, or a TLS session over one.
///
/// Implemented for [`TcpStream`](std::net::TcpStream), [`UnixStream`](std::os::unix::net::UnixStream) and
/// [`OwnedFd`](std::os::fd::OwnedFd), blocking or not; and for [`BorrowedFd`], whose flags and timeouts are never
/// touched. On purpose not for references: they would leave the caller a way to write after the closing tag.
///
/// No function has a name of [`Read`](io::Read) or [`Write`](io::Write): a program can have all three in scope.
///
/// ```no_run
/// use std::{io::{Read, Write}, net::TcpStream};
/// use xmpp_close::Transport;
///
/// # fn main() -> std::io::Result<()> {
/// let mut tcp = TcpStream::connect("localhost:5222")?;
/// tcp.write(b"<presence/>")?;
/// tcp.flush()?;
/// tcp.read(&mut [0; 100])?;
/// println!("{} bytes could be read", tcp.unread());
/// # Ok(()) }
/// ```
///
/// What an error means: [`WouldBlock`](io::ErrorKind::WouldBlock) is "wait, then ask again" and
/// [`Interrupted`](io::ErrorKind::Interrupted) "ask again"; over TLS, [`UnexpectedEof`](io::ErrorKind::UnexpectedEof)
/// is the end of TCP without `close_notify`, or an end of which nobody can tell whether there was one, and
/// [`InvalidData`](io::ErrorKind::InvalidData) a failure of the TLS layer (both as in rustls); anything else is the end of
/// the connection.
pub trait Transport {
    /// Reads once, without waiting. 0 is the end: of TCP, or over TLS the peer's `close_notify`.
    fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize>;

    /// Writes once, without waiting and without raising a signal; returns how much was taken.
    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Moves on, without waiting, what [`try_write`](Self::try_write) and [`notify`](Self::notify) have taken and the kernel
    /// has not, such as what a TLS layer has encrypted into memory; returns how many bytes of that are left, encrypted or
    /// not. Only when nothing is left does what was written count as sent. 0, the default: nothing is ever kept.
    fn try_flush(&mut self) -> io::Result<usize> {
        Ok(0)
    }

    /// For certain there is nothing to read, and nothing written that the peer has not acknowledged: the close then begins
    /// without looking for what came before it, and without [`no_delay`](Self::no_delay). `false`, the default, where
    /// nobody knows.
    fn is_quiet(&self) -> bool {
        false
    }

    /// What is written from now on leaves at once: the closing tag must not wait until the peer has acknowledged what
    /// was sent before it (Nagle's algorithm, 40 ms). Called once at most, when the close begins.
    fn no_delay(&mut self) {}

    /// Over TLS only: sends `close_notify`, without waiting. Called again until it succeeds, and never after
    /// [`InvalidData`](io::ErrorKind::InvalidData).
    fn notify(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Ends TCP's output, without waiting: `shutdown(SHUT_WR)`. Called when all is written and, over TLS, both
    /// `close_notify` are through: RFC 6120 section 4.4 wants the peer's awaited before TCP is ended (TL-02).
    /// [`NotConnected`](io::ErrorKind::NotConnected), there being nothing to end, is no failure.
    fn shut(&mut self) -> io::Result<()>;

    /// Waits until a direction of `interest` may move, `wake` becomes readable, or `limit` has passed. Early returns are
    /// allowed: when several in a row bring nothing, the caller makes a pause of 5 ms before it tries again.
    fn wait(&mut self, interest: Interest, limit: Duration, wake: Option<BorrowedFd<'_>>) -> io::Result<Interest>;

    /// For a batch, which waits for many at once: the descriptor on which readiness for `interest` shows once an attempt
    /// has found nothing to move, and what it must become ready for; neither direction: it is to be tried again after a
    /// pause. `None`, the default: there is none, so this cannot be in a batch. The descriptor must stay the same.
    fn watch(&self, interest: Interest) -> Option<(BorrowedFd<'_>, Interest)> {
        let _ = interest;
        None
    }

    /// Reads once, waiting `limit` at most; [`WouldBlock`](io::ErrorKind::WouldBlock) when nothing came.
    fn read_within(&mut self, buf: &mut [u8], limit: Duration) -> io::Result<usize> {
        self.wait(Interest::READ, limit, None)?;
        self.try_read(buf)
    }

    /// The socket, if it is this transport's own and what it receives is what [`try_read`](Self::try_read) reads: then a
    /// wait for it can be a recv(2) that waits itself, for as long as its SO_RCVTIMEO is set to, and costs no call of its
    /// own. `None`, the default: [`read_within`](Self::read_within) is called.
    fn own_socket(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// After the peer's `close_notify`: reads once from below TLS, without waiting, for what is to be discarded. 0 is the end (TL-11).
    fn drain(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let _ = buf;
        Ok(0)
    }

    /// Whether this is TLS, so that an end without `close_notify` is told apart from one with it.
    fn is_tls(&self) -> bool {
        false
    }

    /// The TLS layer sends and awaits `close_notify` by itself, for example in [`shut`](Self::shut):
    /// [`notify`](Self::notify) is never called, and the peer's not awaited.
    fn hides_alerts(&self) -> bool {
        false
    }

    /// The last [`try_read`](Self::try_read) was not made, because nothing is to be read for now: it said
    /// [`WouldBlock`](io::ErrorKind::WouldBlock), and is tried again after a while, whether the socket becomes readable or
    /// not. The limit on no progress does not count such a time.
    fn is_paused(&self) -> bool {
        false
    }

    /// How many bytes could be read without waiting; 0 where nobody knows.
    fn unread(&self) -> u64 {
        0
    }

    /// How many bytes written are not acknowledged by the peer's kernel (TC-11); 0 where nobody knows.
    fn unacked(&self) -> u64 {
        0
    }
}

/// For transports of several kinds in one collection.
impl<T: Transport + ?Sized> Transport for Box<T> {
    fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (**self).try_read(buf)
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (**self).try_write(bytes)
    }

    fn is_quiet(&self) -> bool {
        (**self).is_quiet()
    }

    fn no_delay(&mut self) {
        (**self).no_delay();
    }

    fn try_flush(&mut self) -> io::Result<usize> {
        (**self).try_flush()
    }

    fn notify(&mut self) -> io::Result<()> {
        (**self).notify()
    }

    fn shut(&mut self) -> io::Result<()> {
        (**self).shut()
    }

    fn wait(&mut self, interest: Interest, limit: Duration, wake: Option<BorrowedFd<'_>>) -> io::Result<Interest> {
        (**self).wait(interest, limit, wake)
    }

    fn watch(&self, interest: Interest) -> Option<(BorrowedFd<'_>, Interest)> {
        (**self).watch(interest)
    }

    fn read_within(&mut self, buf: &mut [u8], limit: Duration) -> io::Result<usize> {
        (**self).read_within(buf, limit)
    }

    fn own_socket(&self) -> Option<BorrowedFd<'_>> {
        (**self).own_socket()
    }

    fn drain(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (**self).drain(buf)
    }

    fn is_tls(&self) -> bool {
        (**self).is_tls()
    }

    fn hides_alerts(&self) -> bool {
        (**self).hides_alerts()
    }

    fn is_paused(&self) -> bool {
        (**self).is_paused()
    }

    fn unread(&self) -> u64 {
        (**self).unread()
    }

    fn unacked(&self) -> u64 {
        (**self).unacked()
    }
}
