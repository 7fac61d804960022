use std::{
    io::{self, ErrorKind, Read, Write},
    net::TcpStream,
};

use native_tls::TlsStream;
use xmpp_close::{TlsError, TlsSession};

/// A session of the `native-tls` crate. `connect` or `accept` has completed its TLS handshake.
pub struct NativeSession(pub TlsStream<TcpStream>);

impl TlsSession for NativeSession {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, TlsError> {
        match self.0.read(buf).map_err(judge)? {
            0 if !buf.is_empty() => Err(TlsError::EndUnknown), // with close_notify or without
            count => Ok(count),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<usize, TlsError> {
        self.0.write(bytes).map_err(|error| self.judge_write(error))
    }

    fn close_notify(&mut self) -> Result<(), TlsError> {
        self.0.shutdown().map_err(|error| self.judge_write(error))
    }

    fn pending(&self) -> usize {
        self.0.buffered_read_size().unwrap_or(0)
    }
}

impl NativeSession {
    /// OpenSSL, since version 3.2, calls it a failure of its own when the connection is gone. Then the socket has no peer.
    fn judge_write(&self, error: io::Error) -> TlsError {
        match self.0.get_ref().peer_addr() {
            Err(_) if error.kind() == ErrorKind::Other => TlsError::Io(ErrorKind::BrokenPipe.into()),
            _ => judge(error),
        }
    }
}

fn judge(error: io::Error) -> TlsError {
    match error.kind() {
        ErrorKind::Other => TlsError::Failed(error.into()), // a failure of the TLS layer
        _ => TlsError::Io(error),
    }
}
