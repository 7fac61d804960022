//! What a session of a TLS crate has to do: [`TlsSession`].

use std::{error, fmt, io};

/// A session of a TLS crate over a non-blocking socket, for [`over`](super::over).
///
/// Each function makes one attempt and does not wait. A session may also read or write records of TLS itself, such as
/// `KeyUpdate` and `NewSessionTicket`. The caller does not see them: when the session needs a direction for them, it returns
/// [`TlsError::WantRead`] or [`TlsError::WantWrite`].
///
/// [`over`](super::over) has complete sessions for two crates. This one shows the required functions, over a TLS crate that reports
/// everything as [`io::Error`]:
///
/// ```
/// use std::io::{ErrorKind, Read, Write};
/// use xmpp_close::{TlsError, TlsSession};
///
/// # trait CloseNotify { fn send_close_notify(&mut self) -> std::io::Result<()>; }
/// struct Session<S>(S); // the session type of the TLS crate
///
/// impl<S: Read + Write + CloseNotify> TlsSession for Session<S> {
///     fn read(&mut self, buf: &mut [u8]) -> Result<usize, TlsError> {
///         self.0.read(buf).map_err(|error| match error.kind() {
///             ErrorKind::UnexpectedEof => TlsError::Eof, // TCP ended without close_notify
///             ErrorKind::InvalidData => TlsError::Failed(error.into()),
///             _ => TlsError::Io(error), // WouldBlock, too
///         })
///     }
///
///     fn write(&mut self, bytes: &[u8]) -> Result<usize, TlsError> {
///         Ok(self.0.write(bytes)?)
///     }
///
///     fn close_notify(&mut self) -> Result<(), TlsError> {
///         Ok(self.0.send_close_notify()?)
///     }
/// }
/// ```
pub trait TlsSession {
    /// Reads once and returns the number of bytes. `Ok(0)` is the peer's `close_notify`, and nothing else.
    ///
    /// # Errors
    /// [`TlsError::Eof`] when TCP ended without `close_notify`; [`TlsError::EndUnknown`] from a session that cannot tell these
    /// two ends apart; otherwise why nothing was read.
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, TlsError>;

    /// Writes once; returns how many bytes were encrypted, and taken by the kernel or kept for [`flush`](Self::flush).
    ///
    /// # Errors
    /// Why nothing was written. After [`TlsError::WantRead`] and [`TlsError::WantWrite`] this is called again with the same
    /// bytes, which may lie elsewhere in memory.
    fn write(&mut self, bytes: &[u8]) -> Result<usize, TlsError>;

    /// Sends `close_notify`, and does not wait for the peer's. Called again until it succeeds, but never after
    /// [`TlsError::Failed`].
    ///
    /// # Errors
    /// Why `close_notify` was not sent.
    fn close_notify(&mut self) -> Result<(), TlsError>;

    /// For a session that encrypts into memory: writes to the socket what is encrypted and not written yet, and returns how
    /// many bytes are left. The session has to do this by itself for what it encrypts while it reads, and during the TLS
    /// handshake.
    ///
    /// The default returns 0: the kernel has all that was taken.
    ///
    /// # Errors
    /// Why nothing was written.
    fn flush(&mut self) -> Result<usize, TlsError> {
        Ok(0)
    }

    /// Continues the TLS handshake, for [`OverTls::handshake`](super::OverTls::handshake).
    ///
    /// The default returns `Ok`: the TLS handshake has been completed before.
    ///
    /// # Errors
    /// Why the TLS handshake is not complete.
    fn handshake(&mut self) -> Result<(), TlsError> {
        Ok(())
    }

    /// How many decrypted bytes could be read without waiting; 0 when this is unknown.
    fn pending(&self) -> usize {
        0
    }
}

/// Why an attempt of a [`TlsSession`] moved nothing.
///
/// An [`io::Error`] becomes [`TlsError::Io`] by `?`. Sort out the errors that mean something else before:
///
/// ```
/// use std::io::{self, ErrorKind};
/// use xmpp_close::TlsError;
///
/// fn judge(error: io::Error) -> TlsError {
///     match error.kind() {
///         ErrorKind::UnexpectedEof => TlsError::Eof,
///         ErrorKind::InvalidData => TlsError::Failed(error.into()),
///         _ => error.into(), // WouldBlock, too
///     }
/// }
///
/// let error = judge(ErrorKind::UnexpectedEof.into());
/// assert_eq!(error.to_string(), "TCP ended without close_notify");
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum TlsError {
    /// The session waits until the socket is readable.
    WantRead,
    /// The session waits until the socket is writable.
    WantWrite,
    /// TCP ended without `close_notify`.
    Eof,
    /// The end, and nobody can tell whether `close_notify` came: `native-tls` shows both ends as 0 bytes. This counts as an
    /// end without `close_notify`, since somebody who cuts the connection could cause it. So before the peer's tag the outcome
    /// is [`Truncated`](crate::Outcome::Truncated), and [`TlsAlerts::received`](crate::TlsAlerts) stays false.
    EndUnknown,
    /// The TLS layer failed, or the peer sent a fatal alert. Nothing more is sent, and nothing more is read. A write that the
    /// system refuses is an [`Io`](Self::Io), after which the close reads on: OpenSSL since 3.2 hides such an error among its
    /// own, where the adapters that [`over`](crate::over) shows find it.
    Failed(Box<dyn error::Error + Send + Sync>),
    /// The socket failed. [`WouldBlock`](io::ErrorKind::WouldBlock) is allowed here, too: a read or a handshake then waits
    /// until the socket is readable, anything else until it is writable.
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
