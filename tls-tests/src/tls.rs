//! TLS under a case: rustls or OpenSSL at our end, rustls at the other.

use std::{
    ffi::c_int,
    net::{Shutdown, TcpStream},
    os::fd::AsFd,
    thread,
};

use openssl::ssl::SslStream;
use rustls::{ServerConnection, StreamOwned};
use socket2::SockRef;
use xmpp_close::{RustlsTransport, TlsError, TlsSession, over};

use crate::{
    callbacks::{self, Callbacks},
    faults::{
        apis::Api,
        ours::{Ours, Over},
        script::Line,
    },
    openssl_session::OpensslSession,
    peer::PATIENCE,
    setup::{self, Library, Version},
};

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tls(pub Library, pub Version);

impl Tls {
    /// Both ends, with the TLS handshake done.
    pub fn open(self, api: Api, ours: TcpStream, theirs: TcpStream) -> (Ours, Box<dyn Line>) {
        let Self(library, version) = self;
        thread::scope(|scope| {
            let theirs = scope.spawn(move || {
                let mut line = StreamOwned::new(setup::rustls_server(version), theirs);
                while line.conn.is_handshaking() || line.conn.wants_write() {
                    line.conn.complete_io(&mut line.sock).unwrap();
                }
                line
            });
            let fd = ours.try_clone().unwrap();
            let over = match library {
                Library::Rustls => {
                    let mut transport = RustlsTransport::new(setup::rustls_client(version), ours);
                    transport.handshake(PATIENCE).unwrap();
                    Over::Tls(Some(Box::new(transport)))
                }
                Library::Openssl => {
                    let ssl = setup::openssl(version, true);
                    let session = OpensslSession(SslStream::new(ssl, ours.try_clone().unwrap()).unwrap());
                    if api.asks_callbacks() {
                        let mut session = session;
                        session.handshake().unwrap(); // the socket still blocks
                        ours.set_nonblocking(true).unwrap();
                        Over::Callbacks(Some(Box::new(session)))
                    } else {
                        let mut transport = over(session, ours).unwrap();
                        transport.handshake(PATIENCE).unwrap();
                        Over::Tls(Some(Box::new(transport)))
                    }
                }
            };
            (Ours::new(fd, over), Box::new(theirs.join().unwrap()) as Box<dyn Line>)
        })
    }
}

impl Line for StreamOwned<ServerConnection, TcpStream> {
    fn socket(&self) -> SockRef<'_> {
        SockRef::from(&self.sock)
    }

    fn notify(&mut self) -> bool {
        self.conn.send_close_notify();
        while self.conn.wants_write() && self.conn.write_tls(&mut self.sock).is_ok() {}
        true
    }
}

/// As the OpenSSL example in C has them.
impl Callbacks for OpensslSession {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, c_int> {
        TlsSession::read(self, buf).map_err(code)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<usize, c_int> {
        TlsSession::write(self, bytes).map_err(code)
    }

    fn notify(&mut self) -> Result<(), c_int> {
        self.close_notify().map_err(code)
    }

    fn shut(&mut self) -> Result<(), c_int> {
        SockRef::from(&self.0.get_ref().as_fd()).shutdown(Shutdown::Write).map_err(callbacks::code)
    }
}

fn code(error: TlsError) -> c_int {
    match error {
        TlsError::WantRead => -1, // XMPP_CLOSE_WANT_READ
        TlsError::WantWrite => -2,
        TlsError::Eof => -3,
        TlsError::Io(error) => callbacks::code(error),
        _ => -4,
    }
}
