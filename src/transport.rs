//! Byte streams that can be read and written in small, bounded steps.
//!
//! The driver makes non-blocking attempts and waits in between. So it can read while output is pending (TC-13: two peers
//! that only write would wait for each other for ever), and one deadline covers everything.

mod boxed;
mod pace;
#[cfg(feature = "batch")]
mod readiness;
#[cfg(feature = "rustls")]
mod rustls;
mod session;
mod socket;
mod system;
mod tls;

use std::{io, time::Duration};

#[cfg(feature = "batch")]
pub(crate) use pace::PAUSED;
pub(crate) use pace::{PAUSE, Pace};
#[cfg(feature = "batch")]
pub(crate) use readiness::Readiness;
#[cfg(feature = "rustls")]
pub use rustls::RustlsTransport;
pub use session::{TlsError, TlsSession};
#[cfg(feature = "batch")]
pub(crate) use system::RawSocket;
#[cfg(any(feature = "batch", feature = "log"))]
pub(crate) use system::number;
pub use system::{AsSocket, BorrowedSocket, OwnedSocket};
#[cfg(feature = "capi")]
pub(crate) use system::{NO_SOCKET, check_connected, numbered, poll};
pub(crate) use system::{Pair, codes, holds_back, lends_socket, unread};
pub use tls::{OverTls, over};

/// The `errno` of an error. An error of the caller's own transport may have none: that is `EIO`.
pub(crate) fn os_error(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(codes::EIO)
}

/// Whether the attempt is to be made again, at once or after a wait.
pub(crate) fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// A time as poll(2) takes it, in milliseconds. It is rounded up: a wait that ends early would turn into a busy loop.
pub(crate) fn poll_millis(limit: Duration) -> i32 {
    i32::try_from(limit.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX)
}

/// Which directions of a connection to wait for, or which are ready.
///
/// ```
/// use xmpp_close::Interest;
///
/// let mut interest = Interest::default(); // neither direction
/// interest.write = true;
/// assert_eq!(interest, Interest::WRITE);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Interest {
    /// There is something to read, or the end of the input.
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

/// A connected byte stream: a socket, or a TLS session over a socket.
///
/// These types are transports:
///
/// - [`TcpStream`](std::net::TcpStream), [`UnixStream`](std::os::unix::net::UnixStream) and
///   [`OwnedSocket`], in blocking or non-blocking mode;
/// - [`BorrowedSocket`], whose flags, timeouts and options are left as they are. On Windows it is non-blocking afterwards,
///   because Winsock has no other attempt that does not wait; on Apple's systems it has SO_NOSIGPIPE;
/// - `RustlsTransport` (feature `rustls`), and what [`over`] makes of a session of any other TLS crate.
///
/// References to sockets are not transports, on purpose: the caller of a close would keep a way to write after the closing
/// tag.
///
/// ```compile_fail,E0277
/// # fn f(tcp: std::net::TcpStream) {
/// xmpp_close::close(&tcp); // `&TcpStream` is no `Transport`
/// # }
/// ```
///
/// The trait has no function with a name of [`Read`](io::Read) or [`Write`](io::Write), so a program can import all three:
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
/// # A transport of your own
///
/// Four functions are required: [`try_read`](Self::try_read), [`try_write`](Self::try_write), [`shut`](Self::shut) and
/// [`wait`](Self::wait). Here a stream runs through two channels:
///
/// ```
/// use std::{io, sync::mpsc, time::Duration};
/// use xmpp_close::{BorrowedSocket, CloseOptions, Interest, Outcome, Transport};
///
/// struct Tunnel {
///     input: mpsc::Receiver<Vec<u8>>,
///     output: Option<mpsc::Sender<Vec<u8>>>, // none: our output is ended
///     unread: Vec<u8>,                       // has come, but was not read yet
/// }
///
/// impl Transport for Tunnel {
///     fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
///         if self.unread.is_empty() {
///             match self.input.try_recv() {
///                 Ok(bytes) => self.unread = bytes,
///                 Err(mpsc::TryRecvError::Empty) => return Err(io::ErrorKind::WouldBlock.into()),
///                 Err(mpsc::TryRecvError::Disconnected) => return Ok(0), // the end
///             }
///         }
///         let count = buf.len().min(self.unread.len());
///         buf[..count].copy_from_slice(&self.unread[..count]);
///         self.unread.drain(..count);
///         Ok(count)
///     }
///
///     fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
///         let output = self.output.as_ref().ok_or(io::ErrorKind::NotConnected)?;
///         output.send(bytes.to_vec()).map_err(|_| io::ErrorKind::BrokenPipe)?;
///         Ok(bytes.len())
///     }
///
///     fn shut(&mut self) -> io::Result<()> {
///         self.output = None;
///         Ok(())
///     }
///
///     fn wait(
///         &mut self,
///         interest: Interest,
///         limit: Duration,
///         _wake: Option<BorrowedSocket<'_>>,
///     ) -> io::Result<Interest> {
///         if interest.write {
///             return Ok(Interest::WRITE); // this channel takes everything
///         }
///         if self.unread.is_empty() {
///             // A channel cannot wait for `wake`. After a short wait, cancellers are looked at.
///             match self.input.recv_timeout(limit.min(Duration::from_millis(100))) {
///                 Ok(bytes) => self.unread = bytes,
///                 Err(mpsc::RecvTimeoutError::Timeout) => return Ok(Interest::default()),
///                 Err(mpsc::RecvTimeoutError::Disconnected) => {} // the end can be read
///             }
///         }
///         Ok(Interest::READ)
///     }
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (peer, input) = mpsc::channel();
/// let (output, sent) = mpsc::channel();
/// peer.send(b"<message id='1'/>".to_vec())?;
/// peer.send(b"</stream:stream>".to_vec())?;
/// drop(peer);
///
/// let tunnel = Tunnel { input, output: Some(output), unread: Vec::new() };
/// let mut closing = CloseOptions::new().begin(tunnel)?;
/// let stanzas: Vec<_> = closing.by_ref().map(|stanza| stanza.to_string()).collect();
/// assert_eq!(stanzas, ["<message id='1'/>"]);
/// assert_eq!(closing.finish().outcome, Outcome::Clean);
/// assert_eq!(sent.iter().flatten().collect::<Vec<u8>>(), b"</stream:stream>");
/// # Ok(()) }
/// ```
///
/// # Errors
///
/// What the kind of an error says about the connection, whichever function returns the error:
///
/// | kind | meaning |
/// |---|---|
/// | [`WouldBlock`](io::ErrorKind::WouldBlock) | nothing can move now: the close waits, then calls again |
/// | [`Interrupted`](io::ErrorKind::Interrupted) | nothing has moved: the close calls again at once |
/// | [`UnexpectedEof`](io::ErrorKind::UnexpectedEof), over TLS | TCP ended without `close_notify`, or nobody can tell whether a `close_notify` came |
/// | [`InvalidData`](io::ErrorKind::InvalidData), over TLS | the TLS layer failed |
/// | any other | the connection is gone |
///
/// The two kinds for TLS are those of rustls.
pub trait Transport {
    /// Reads once, without waiting, and returns the number of bytes. 0 is the end: of TCP, or over TLS the peer's
    /// `close_notify`.
    ///
    /// # Errors
    /// As in the [table](Transport#errors).
    fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize>;

    /// Writes once, without waiting and without raising a signal; returns how many bytes were taken.
    ///
    /// # Errors
    /// As in the [table](Transport#errors).
    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// For a transport that keeps bytes in memory, such as a TLS layer that encrypts into a buffer: moves on, without
    /// waiting, what [`try_write`](Self::try_write) and [`notify`](Self::notify) have taken and the kernel does not have yet.
    /// Returns how many of these bytes are left, counted encrypted or plain. Bytes count as sent only when nothing is left.
    ///
    /// The default returns 0: the transport keeps nothing.
    ///
    /// # Errors
    /// As in the [table](Transport#errors).
    fn try_flush(&mut self) -> io::Result<usize> {
        Ok(0)
    }

    /// Whether it is certain that there is nothing to read, and that the peer has acknowledged all that was written. A close
    /// then begins without looking for what has arrived, and without [`no_delay`](Self::no_delay).
    ///
    /// The default returns `false`: it is not certain.
    fn is_quiet(&self) -> bool {
        false
    }

    /// Makes what is written from now on leave at once. Without this the closing tag could wait until the peer has
    /// acknowledged what was sent before the tag (Nagle's algorithm: 40 ms). Called once at most, when the close begins.
    ///
    /// The default does nothing.
    fn no_delay(&mut self) {}

    /// Over TLS: sends `close_notify`, without waiting. This is called again until it succeeds, but never after
    /// [`InvalidData`](io::ErrorKind::InvalidData).
    ///
    /// The default does nothing.
    ///
    /// # Errors
    /// As in the [table](Transport#errors).
    fn notify(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Ends TCP's output, without waiting: `shutdown(SHUT_WR)`. Called when all is written and, over TLS, both sides have
    /// sent `close_notify`: RFC 6120 section 4.4 wants the peer's `close_notify` to be awaited before TCP is ended.
    ///
    /// # Errors
    /// As in the [table](Transport#errors); [`NotConnected`](io::ErrorKind::NotConnected) counts as success, since there is
    /// nothing to end.
    fn shut(&mut self) -> io::Result<()>;

    /// Waits until a direction of `interest` may move, `wake` becomes readable, or `limit` has passed; returns what may
    /// move. Early returns are allowed: when several in a row bring nothing, the caller pauses for 5 ms before it tries
    /// again.
    ///
    /// `wake` is the descriptor of a [`Canceller`](crate::Canceller) or [`Waker`](crate::Waker). Nothing is to be read from it.
    ///
    /// # Errors
    /// As in the [table](Transport#errors).
    fn wait(&mut self, interest: Interest, limit: Duration, wake: Option<BorrowedSocket<'_>>) -> io::Result<Interest>;

    /// For a program or a batch that waits for many descriptors at once: the descriptor to poll, and what it must become
    /// ready for so that a direction of `interest` may move. The answer counts after an attempt that has found nothing to
    /// move. An [`Interest`] with neither direction means that the attempt is repeated after a pause. The descriptor must
    /// stay the same as long as the transport lives.
    ///
    /// The default returns `None`: there is no such descriptor, so this transport cannot be in a batch.
    fn watch(&self, interest: Interest) -> Option<(BorrowedSocket<'_>, Interest)> {
        let _ = interest;
        None
    }

    /// Reads once, and waits for something to read, for `limit` at most.
    ///
    /// # Errors
    /// As in the [table](Transport#errors); [`WouldBlock`](io::ErrorKind::WouldBlock) when nothing came.
    fn read_within(&mut self, buf: &mut [u8], limit: Duration) -> io::Result<usize> {
        self.wait(Interest::READ, limit, None)?;
        self.try_read(buf)
    }

    /// The socket, if this transport owns it and [`try_read`](Self::try_read) returns the very bytes that the socket receives.
    /// The close then saves a system call for each wait: it sets SO_RCVTIMEO of the socket, and lets recv(2) wait.
    ///
    /// The default returns `None`: [`read_within`](Self::read_within) is called.
    fn own_socket(&self) -> Option<BorrowedSocket<'_>> {
        None
    }

    /// Over TLS, after the peer's `close_notify`: reads once from below TLS, without waiting. What is read is discarded; 0
    /// is the end of TCP.
    ///
    /// The default returns 0.
    ///
    /// # Errors
    /// As in the [table](Transport#errors).
    fn drain(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let _ = buf;
        Ok(0)
    }

    /// Whether this is TLS. Over TLS, the end of TCP without `close_notify` is no proper end.
    fn is_tls(&self) -> bool {
        false
    }

    /// Whether the TLS layer sends and awaits `close_notify` by itself, for example in [`shut`](Self::shut). Then
    /// [`notify`](Self::notify) is never called, and the close does not wait for the peer's `close_notify`.
    fn hides_alerts(&self) -> bool {
        false
    }

    /// Whether this transport does not read for now, be it for a rate limit: the last [`try_read`](Self::try_read) returned
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) without an attempt. The next step of an event loop calls `try_read` again; a
    /// blocking close and a batch do so after 100 ms. The limit on no progress does not count this time.
    fn is_paused(&self) -> bool {
        false
    }

    /// How many bytes could be read without waiting; 0 when this is unknown.
    fn unread(&self) -> u64 {
        0
    }

    /// How many of the bytes written are not acknowledged by the peer's kernel; 0 when this is unknown.
    fn unacked(&self) -> u64 {
        0
    }
}
