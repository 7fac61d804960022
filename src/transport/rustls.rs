//! TLS through rustls (feature `rustls`), driven in single attempts: [`RustlsTransport`].

use std::{
    fmt,
    io::{self, IoSlice, Read, Write},
    mem,
    time::Duration,
};

use rustls::{Connection, StreamOwned};

use super::{
    BorrowedSocket, Interest, Transport, lends_socket,
    tls::{RECORD, attempt_within, handshake_within, is_blocked},
};

/// How often one read goes to the socket at most. Without this bound a peer could send records without data, and hold us
/// past the deadline.
const READS: u32 = 16;

/// A rustls session over a socket.
///
/// Both directions move in single attempts, so the deadlines of a close hold inside TLS as well. Our `close_notify` goes out
/// behind our closing tag, and the peer's is awaited before TCP is ended.
///
/// ```no_run
/// # use std::net::TcpStream;
/// # fn f(stream: xmpp_close::Stream<TcpStream>, authority: rustls::pki_types::CertificateDer<'static>)
/// # -> Result<(), Box<dyn std::error::Error>> {
/// use std::{error::Error, sync::Arc, time::Duration};
/// use rustls::{ClientConfig, ClientConnection, RootCertStore};
/// use xmpp_close::RustlsTransport;
///
/// let mut roots = RootCertStore::empty();
/// roots.add(authority)?; // or those of the system: the crate rustls-native-certs
/// let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
/// let config = Arc::new(config);
///
/// // `stream` is a Stream<TcpStream>, on which the peer's <proceed/> has come.
/// let mut stream = stream.upgrade(|tcp| -> Result<_, Box<dyn Error>> {
///     let session = ClientConnection::new(config, "example.org".try_into()?)?;
///     let mut tls = RustlsTransport::new(session, tcp);
///     tls.handshake(Duration::from_secs(10))?;
///     Ok(tls)
/// })?;
/// # Ok(()) }
/// ```
///
/// Over direct TLS (XEP-0368), TLS comes first, and the stream begins inside it:
///
/// ```no_run
/// use std::{error::Error, net::TcpStream, sync::Arc, time::Duration};
/// use rustls::{ClientConfig, ClientConnection};
/// use xmpp_close::{RustlsTransport, Stream};
///
/// type Encrypted = Stream<RustlsTransport<TcpStream>>;
///
/// fn connect(mut config: ClientConfig) -> Result<Encrypted, Box<dyn Error>> {
///     config.alpn_protocols = vec![b"xmpp-client".to_vec()];
///     let session = ClientConnection::new(Arc::new(config), "example.org".try_into()?)?;
///     let mut tls = RustlsTransport::new(session, TcpStream::connect("example.org:5223")?);
///     tls.handshake(Duration::from_secs(10))?;
///     Ok(Stream::new(tls))
/// }
/// ```
///
/// Call [`handshake`](Self::handshake) in both cases. Its error holds what rustls says, for example that a certificate has
/// expired. A TLS handshake that fails later, inside a close, is no more than
/// [`Outcome::TlsFailed`](crate::Outcome::TlsFailed).
///
/// For a test, `openssl req -x509` makes the certificate of an authority, which rustls refuses as that of a server. With
/// `-addext basicConstraints=critical,CA:FALSE -addext subjectAltName=DNS:localhost` it makes one that rustls takes as that of
/// `localhost`, if `roots` holds it.
///
/// `ClientConfig::builder` takes the provider of cryptography that the program's Cargo.toml chooses by a feature of rustls:
///
/// ```toml
/// [dependencies]
/// xmpp-close = { version = "0.1", features = ["rustls"] }
/// rustls = { version = "0.23", default-features = false, features = ["std", "tls12", "ring"] }
/// rustls-native-certs = "0.8" # the certificates that the system trusts
/// ```
///
/// A program that uses a [`StreamOwned`] hands it over at the end of the stream:
///
/// ```no_run
/// # fn f(tls: rustls::StreamOwned<rustls::ServerConnection, std::net::TcpStream>) -> Result<(), xmpp_close::Error> {
/// let report = xmpp_close::close(xmpp_close::RustlsTransport::from(tls));
/// # Ok(()) }
/// ```
///
/// In a build with debug assertions, rustls 0.23 itself panics when the peer sends a broken record after our `close_notify`
/// (rustls#959). In a release build the close ends as it should. For debug builds, the program's Cargo.toml switches these
/// assertions of rustls off:
///
/// ```toml
/// [profile.dev.package.rustls]
/// debug-assertions = false
/// ```
pub struct RustlsTransport<T> {
    session: Connection,
    socket: T,
    /// How many bytes of the application are encrypted, but have not all left yet.
    taken: usize,
    /// How many bytes are decrypted, but not read yet.
    plaintext: usize,
    failure: Option<rustls::Error>,
    /// Why a record of TLS itself could not be written while we were reading: the first error counts (TC-04).
    write_error: Option<io::Error>,
    output_broken: bool,
    /// Our `close_notify` is on its way. No alert may go behind it.
    notified: bool,
}

impl<T: Transport> RustlsTransport<T> {
    /// Makes a transport of a session and its socket. The TLS handshake may be complete or not, and the socket may be in
    /// blocking or non-blocking mode.
    pub fn new(session: impl Into<Connection>, socket: T) -> Self {
        let mut session = session.into();
        // No limit, or a record would be made in pieces. Nothing piles up: each record leaves before the next is made.
        session.set_buffer_limit(None);
        let mut transport = Self {
            session,
            socket,
            taken: 0,
            plaintext: 0,
            failure: None,
            write_error: None,
            output_broken: false,
            notified: false,
        };
        transport.process();
        transport
    }

    /// Completes the TLS handshake, in at most `limit`. A program that does not call this leaves the TLS handshake to the first
    /// read or write, and a close that fails there cannot say why. When rustls refuses the peer or its certificate, its alert
    /// goes out, so that the peer learns why.
    ///
    /// # Errors
    /// [`TimedOut`](io::ErrorKind::TimedOut) after `limit`; [`InvalidData`](io::ErrorKind::InvalidData), with a
    /// [`rustls::Error`] inside, when rustls refuses the peer or its certificate;
    /// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) when TCP ended; any other error of the socket.
    pub fn handshake(&mut self, limit: Duration) -> io::Result<()> {
        handshake_within(self, limit, Self::shake_hands)
    }

    /// The session, to look at its certificates or its protocol. Look before the close begins: a
    /// [`Closing`](crate::Closing) hands out nothing that could write.
    ///
    /// ```
    /// # fn f(tls: &xmpp_close::RustlsTransport<std::net::TcpStream>) -> std::io::Result<()> {
    /// let certificates = tls.session().peer_certificates();
    /// let address = tls.get_ref().peer_addr()?;
    /// # Ok(()) }
    /// ```
    ///
    /// ```compile_fail,E0599
    /// # fn f(closing: &xmpp_close::Closing<xmpp_close::RustlsTransport<std::net::TcpStream>>) {
    /// closing.session(); // no method named `session`
    /// # }
    /// ```
    pub fn session(&self) -> &Connection {
        &self.session
    }

    /// The socket below TLS, to look at its addresses. Bytes that a program writes to it break the session. A
    /// [`Closing`](crate::Closing) hands out no socket:
    ///
    /// ```compile_fail,E0599
    /// # fn f(closing: &xmpp_close::Closing<xmpp_close::RustlsTransport<std::net::TcpStream>>) {
    /// closing.get_ref(); // no method named `get_ref`
    /// # }
    /// ```
    pub fn get_ref(&self) -> &T {
        &self.socket
    }

    fn shake_hands(&mut self) -> io::Result<()> {
        loop {
            self.unbroken()?;
            self.flush()?;
            if !self.session.is_handshaking() {
                return Ok(());
            }
            if self.advance()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Writes all that TLS has to write.
    fn flush(&mut self) -> io::Result<()> {
        if let Some(error) = self.write_error.take() {
            return Err(error);
        }
        while self.session.wants_write() {
            if let Err(error) = self.session.write_tls(&mut Plain(&mut self.socket)) {
                self.output_broken |= !may_be_repeated(&error);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Reads once from the socket, and first writes what TLS wants to write. 0 is the end of TCP.
    fn advance(&mut self) -> io::Result<usize> {
        self.unbroken()?;
        if self.wants_write() && self.write_error.is_none() {
            self.write_error = self.flush().err().filter(|error| !may_be_repeated(error));
        }
        if self.session.is_handshaking() && !self.session.wants_read() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = self.session.read_tls(&mut Plain(&mut self.socket)).map_err(|error| self.first_error(error))?;
        self.process();
        Ok(count)
    }

    /// Decrypts what was read.
    fn process(&mut self) {
        match self.session.process_new_packets() {
            Ok(state) => self.plaintext = state.plaintext_bytes_to_read(),
            Err(error) => {
                // TL-12: our fatal alert is the last that we send, if it can go at once. A fatal alert of the peer has no answer.
                if !matches!(error, rustls::Error::AlertReceived(_)) && !self.notified {
                    let _ = self.flush();
                }
                self.failure = Some(error);
            }
        }
    }

    fn unbroken(&self) -> io::Result<()> {
        match &self.failure {
            Some(error) => Err(io::Error::new(io::ErrorKind::InvalidData, error.clone())),
            None => Ok(()),
        }
    }

    fn first_error(&mut self, error: io::Error) -> io::Error {
        if may_be_repeated(&error) { error } else { self.write_error.take().unwrap_or(error) }
    }

    /// What the socket must become ready for so that a direction of `interest` can move.
    fn below(&self, interest: Interest) -> Interest {
        if self.session.is_handshaking() {
            // Whichever direction is asked for: the TLS handshake must move first.
            Interest { read: self.session.wants_read(), write: self.wants_write() }
        } else {
            Interest { read: interest.read, write: interest.write || self.wants_write() }
        }
    }

    fn wants_write(&self) -> bool {
        self.session.wants_write() && !self.output_broken && self.failure.is_none()
    }
}

fn may_be_repeated(error: &io::Error) -> bool {
    is_blocked(error) || error.kind() == io::ErrorKind::Interrupted
}

impl<T: Transport> Transport for RustlsTransport<T> {
    fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        for _ in 0..READS {
            let result = match self.session.reader().read(buf) {
                Err(error) if is_blocked(&error) => {
                    self.advance()?;
                    continue;
                }
                result => result.map_err(|error| self.first_error(error)),
            };
            self.plaintext = self.plaintext.saturating_sub(*result.as_ref().unwrap_or(&0));
            return result;
        }
        Err(io::ErrorKind::Interrupted.into())
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.shake_hands()?;
        if self.taken == 0 && !bytes.is_empty() {
            self.taken = self.session.writer().write(&bytes[..bytes.len().min(RECORD)])?;
            if self.taken == 0 {
                return Err(io::ErrorKind::WriteZero.into()); // the keys are worn out
            }
        }
        self.flush()?;
        Ok(mem::take(&mut self.taken).min(bytes.len()))
    }

    fn no_delay(&mut self) {
        self.socket.no_delay();
    }

    fn notify(&mut self) -> io::Result<()> {
        self.unbroken()?;
        self.session.send_close_notify(); // once, however often it is called
        self.flush()?;
        self.notified = true;
        Ok(())
    }

    fn shut(&mut self) -> io::Result<()> {
        self.socket.shut()
    }

    fn wait(&mut self, interest: Interest, limit: Duration, wake: Option<BorrowedSocket<'_>>) -> io::Result<Interest> {
        if interest.read && self.plaintext > 0 {
            return Ok(Interest::READ);
        }
        self.socket.wait(self.below(interest), limit, wake)
    }

    fn watch(&self, interest: Interest) -> Option<(BorrowedSocket<'_>, Interest)> {
        self.socket.watch(self.below(interest))
    }

    fn read_within(&mut self, buf: &mut [u8], limit: Duration) -> io::Result<usize> {
        attempt_within(self, limit, |transport| transport.try_read(buf))
    }

    fn drain(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        // Rustls reads nothing after the peer's `close_notify`, but TCP has to be read to its end (TL-11).
        self.socket.try_read(buf)
    }

    fn is_tls(&self) -> bool {
        true
    }

    fn unread(&self) -> u64 {
        self.plaintext as u64
    }

    fn unacked(&self) -> u64 {
        self.socket.unacked()
    }
}

/// Takes over the session and the socket. Bytes that are decrypted and were not read yet are kept.
impl<C: Into<Connection>, T: Transport + Read + Write> From<StreamOwned<C, T>> for RustlsTransport<T> {
    fn from(stream: StreamOwned<C, T>) -> Self {
        Self::new(stream.conn, stream.sock)
    }
}

lends_socket! {
    /// The socket below TLS. Wait for it, but do not read from it or write to it.
    impl<[T]> RustlsTransport<T>, of T, |tls| tls.socket
}

impl<T> fmt::Debug for RustlsTransport<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RustlsTransport").field("session", &self.session).finish_non_exhaustive()
    }
}

/// The socket with the traits that rustls wants.
struct Plain<'a, T>(&'a mut T);

impl<T: Transport> Read for Plain<'_, T> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buf)
    }
}

impl<T: Transport> Write for Plain<'_, T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.try_write(bytes)? {
            0 if !bytes.is_empty() => Err(io::ErrorKind::WouldBlock.into()),
            count => Ok(count),
        }
    }

    /// Several records leave in one segment. In single segments, Nagle's algorithm would hold back all but the first.
    fn write_vectored(&mut self, records: &[IoSlice<'_>]) -> io::Result<usize> {
        match records {
            [record] => self.write(record),
            _ => self.write(&records.iter().flat_map(|record| record.iter().copied()).collect::<Vec<_>>()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
