use std::net::TcpStream;

use openssl::ssl::{Error, ErrorCode, SslStream};
use xmpp_close::{TlsError, TlsSession};

/// A session of the `openssl` crate, whose side was chosen by `set_connect_state` or `set_accept_state`. Its context needs
/// `SslMode::ENABLE_PARTIAL_WRITE` and `SslMode::ACCEPT_MOVING_WRITE_BUFFER`, as `SslConnector` and `SslAcceptor` set them.
pub struct OpensslSession(pub SslStream<TcpStream>);

/// OpenSSL 3 calls it an error of the protocol when TCP ends without close_notify.
const SSL_R_UNEXPECTED_EOF_WHILE_READING: i32 = 294;

impl TlsSession for OpensslSession {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, TlsError> {
        match self.0.ssl_read(buf) {
            Err(error) if error.code() == ErrorCode::ZERO_RETURN => Ok(0), // close_notify
            result => result.map_err(Self::judge),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<usize, TlsError> {
        self.0.ssl_write(bytes).map_err(Self::judge)
    }

    fn close_notify(&mut self) -> Result<(), TlsError> {
        self.0.shutdown().map(|_| ()).map_err(Self::judge)
    }

    fn handshake(&mut self) -> Result<(), TlsError> {
        self.0.do_handshake().map_err(Self::judge)
    }

    fn pending(&self) -> usize {
        self.0.ssl().pending()
    }
}

impl OpensslSession {
    /// What an error of OpenSSL means for a close.
    pub fn judge(error: Error) -> TlsError {
        let cut_off = |error: &openssl::error::Error| error.reason_code() == SSL_R_UNEXPECTED_EOF_WHILE_READING;
        match error.code() {
            ErrorCode::WANT_READ => TlsError::WantRead,
            ErrorCode::WANT_WRITE => TlsError::WantWrite,
            // So a write is said to have failed, whatever the reason, once the peer's close_notify has come.
            ErrorCode::ZERO_RETURN => TlsError::Io(std::io::ErrorKind::BrokenPipe.into()),
            _ if error.ssl_error().is_some_and(|stack| stack.errors().iter().any(cut_off)) => TlsError::Eof,
            ErrorCode::SYSCALL if error.io_error().is_none() && error.ssl_error().is_none() => TlsError::Eof, // OpenSSL 1.1
            _ => match error.into_io_error() {
                Ok(error) => TlsError::Io(error),
                Err(error) => TlsError::Failed(error.into()),
            },
        }
    }
}
