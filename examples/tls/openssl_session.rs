use std::net::TcpStream;

use openssl::ssl::{Error, ErrorCode, SslStream};
use xmpp_close::{TlsError, TlsSession};

/// A session of the `openssl` crate. Before, call `set_connect_state` or `set_accept_state`. The
/// context needs `SslMode::ENABLE_PARTIAL_WRITE` and `SslMode::ACCEPT_MOVING_WRITE_BUFFER`; the
/// contexts of `SslConnector` and `SslAcceptor` have both.
pub struct OpensslSession(pub SslStream<TcpStream>);

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
        match error.code() {
            ErrorCode::WANT_READ => TlsError::WantRead,
            ErrorCode::WANT_WRITE => TlsError::WantWrite,
            // Once the peer's close_notify has come, OpenSSL reports any failed write so.
            ErrorCode::ZERO_RETURN => TlsError::Io(std::io::ErrorKind::BrokenPipe.into()),
            _ if Self::is_eof(&error) => TlsError::Eof,
            _ => match Self::system_error(&error).map_or_else(|| error.into_io_error(), Ok) {
                Ok(error) => TlsError::Io(error),
                Err(error) => TlsError::Failed(error.into()),
            },
        }
    }

    /// The error of a write to the socket, where OpenSSL counts it among its own: since version 3.2.
    fn system_error(error: &Error) -> Option<std::io::Error> {
        const ERR_LIB_SYS: i32 = 2;
        let system = error.ssl_error()?.errors().iter().find(|error| error.library_code() == ERR_LIB_SYS)?;
        Some(std::io::Error::from_raw_os_error(system.reason_code()))
    }

    /// Whether TCP ended without close_notify.
    fn is_eof(error: &Error) -> bool {
        const SSL_R_UNEXPECTED_EOF_WHILE_READING: i32 = 294;
        match (error.ssl_error(), error.io_error()) {
            // OpenSSL 3 calls this end an error of the protocol.
            (Some(stack), _) => {
                let mut reasons = stack.errors().iter().map(|error| error.reason_code());
                reasons.any(|reason| reason == SSL_R_UNEXPECTED_EOF_WHILE_READING)
            }
            (None, io_error) => error.code() == ErrorCode::SYSCALL && io_error.is_none(), // OpenSSL 1.1
        }
    }
}
