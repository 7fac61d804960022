//! The blocking close: [`close`], and [`Closing`] for the stanzas that still arrive.

mod buffer;
mod driver;
mod step;

use std::{
    fmt,
    io::{self, Read},
};

pub(crate) use buffer::Buffer;
pub(crate) use driver::Driver;
#[cfg(feature = "batch")]
pub(crate) use driver::Progress;
pub(crate) use driver::Spent;
#[cfg(feature = "capi")]
pub(crate) use driver::{OnLog, Parsed};
pub use step::{Step, Wait};

use crate::{error::Error, options::CloseOptions, report::Report, transport::Transport, xml::Stanza};

/// Closes the stream on `transport` with the default [`CloseOptions`], then TCP. Blocks for 30 s at most
/// ([`Limits::total`](crate::Limits::total)).
///
/// Stanzas that still arrive are counted and discarded. A program should process them instead, as the handshake asks: with
/// [`CloseOptions::begin`]. This cannot fail: the report says how the stream ended, also when the connection broke.
///
/// ```
/// use std::{io::Write, net::Shutdown, os::unix::net::UnixStream};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (socket, mut peer) = UnixStream::pair()?;
/// peer.write_all(b"</stream:stream>")?;
/// peer.shutdown(Shutdown::Write)?;
///
/// let report = xmpp_close::close(socket);
/// println!("{report}");
/// assert_eq!(report.outcome, xmpp_close::Outcome::Clean);
/// # Ok(()) }
/// ```
///
/// `close` takes the transport, so nothing can be written behind the closing tag:
///
/// ```compile_fail,E0382
/// # use std::{io::Write, net::TcpStream};
/// # fn f(mut tcp: TcpStream) -> std::io::Result<()> {
/// xmpp_close::close(tcp);
/// tcp.write_all(b"<presence/>")?; // borrow of moved value: `tcp`
/// # Ok(()) }
/// ```
pub fn close<T: Transport>(transport: T) -> Report {
    Closing::begin(Driver::usual(transport)).finish()
}

impl CloseOptions {
    /// Closes the stream, then TCP. Stanzas that still arrive are counted and discarded. Blocks for
    /// [`total`](Self::total) at most.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the options contradict each other, or one of them is not the tag, header or whole stanzas that
    /// it must be ([`Invalid`](crate::Invalid) lists the reasons); [`Error::Io`] when the system refuses the memory for a large farewell. Nothing has been sent then, and
    /// the transport is dropped. The report says how the stream ended, also when the connection broke.
    pub fn close<T: Transport>(&self, transport: T) -> Result<Report, Error> {
        Ok(self.begin(transport)?.finish())
    }

    /// Begins to close the stream. What can be written without waiting leaves at once, our closing tag if possible. The
    /// [`Closing`] hands over the stanzas that still arrive, and does the rest. With [`residual`](Self::residual), our tag leaves
    /// when the stanzas in these bytes have been taken from the [`Closing`].
    ///
    /// ```
    /// use std::{io::Write, net::Shutdown, os::unix::net::UnixStream, time::Duration};
    /// use xmpp_close::{CloseOptions, Outcome};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (socket, mut peer) = UnixStream::pair()?;
    /// peer.write_all(b"<message id='late'/></stream:stream>")?;
    /// peer.shutdown(Shutdown::Write)?;
    ///
    /// let mut closing = CloseOptions::new().total(Duration::from_secs(10)).begin(socket)?;
    /// let late: Vec<String> = closing.by_ref().map(|stanza| stanza.to_string()).collect();
    /// assert_eq!(late, ["<message id='late'/>"]);
    /// assert_eq!(closing.finish().outcome, Outcome::Clean);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As for [`close`](Self::close).
    pub fn begin<T: Transport>(&self, transport: T) -> Result<Closing<T>, Error> {
        self.check()?;
        Ok(Closing::begin(Driver::new(transport, self.clone())?))
    }

    /// Sends the farewell, then ends TCP without a closing tag, so that an XEP-0198 session stays resumable. What still
    /// arrives is discarded: it is not acknowledged, so the peer sends it again when the session is resumed.
    ///
    /// The outcome is [`Cancelled`](crate::Outcome::Cancelled) when nothing goes wrong;
    /// [`Report::bytes_unsent`](crate::Report::bytes_unsent) is 0 when all went out.
    ///
    /// # Errors
    /// As for [`close`](Self::close), and [`Error::Invalid`] for options with a stream error, because a stream error always
    /// closes the stream.
    // SE-04
    pub fn detach<T: Transport>(&self, transport: T) -> Result<Report, Error> {
        Ok(Self { detach: true, ..self.clone() }.begin(transport)?.finish())
    }
}

/// A stream that is being closed: the program can still read from it, and not write to it.
///
/// The iterator blocks and returns the stanzas that still arrive; it ends with the peer's closing tag, or the end of the
/// connection. Then [`finish`](Self::finish) waits for the end of TCP and says how the stream ended. To drop a `Closing`
/// abandons the handshake: TCP ends at once, without waiting.
///
/// ```
/// use std::{io::Write, net::Shutdown, os::unix::net::UnixStream};
/// use xmpp_close::CloseOptions;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (socket, mut peer) = UnixStream::pair()?;
/// # peer.write_all(b"<message/></stream:stream>")?;
/// # peer.shutdown(Shutdown::Write)?;
/// let mut closing = CloseOptions::new().begin(socket)?;
/// for stanza in &mut closing {
///     println!("still came: {stanza}");
/// }
/// let report = closing.finish();
/// println!("{report}");
/// # assert_eq!((report.outcome, report.stanzas), (xmpp_close::Outcome::Clean, 1));
/// # Ok(()) }
/// ```
///
/// A program with an event loop calls [`step`](Self::step) instead of the iterator. A `Closing` cannot join a batch: a server
/// that goes down cancels it at its deadline, or has begun it with a total no longer than that of its shutdown.
///
/// Nothing may be sent behind the closing tag (RFC 6120 section 4.4), so a `Closing` has nothing to write with:
///
/// ```compile_fail,E0599
/// # use std::{io::Write, net::TcpStream};
/// # fn f(tcp: TcpStream) -> Result<(), Box<dyn std::error::Error>> {
/// let mut closing = xmpp_close::CloseOptions::new().begin(tcp)?;
/// closing.write_all(b"<presence/>")?; // no method named `write_all`
/// # Ok(()) }
/// ```
///
/// It does not lend the transport either, because a program can write to a `&TcpStream`. A program that needs something of
/// the transport asks for it before the close ([`Stream::get_ref`](crate::Stream::get_ref)), or after its end
/// ([`into_transport`](Self::into_transport)).
///
/// ```compile_fail,E0599
/// # use std::{io::Write, net::TcpStream};
/// # fn f(tcp: TcpStream) -> Result<(), Box<dyn std::error::Error>> {
/// let closing = xmpp_close::CloseOptions::new().begin(tcp)?;
/// closing.get_ref().write_all(b"<presence/>")?; // no method named `get_ref`
/// # Ok(()) }
/// ```
#[must_use = "dropping it abandons the handshake"]
pub struct Closing<T> {
    driver: Driver<T>,
    /// What the steps since the last [`Wait`] have done.
    spent: Spent,
}

impl<T: Transport> Closing<T> {
    pub(crate) fn begin(mut driver: Driver<T>) -> Self {
        driver.begin();
        Self { driver, spent: Spent::default() }
    }

    /// A close that has begun already, and goes on.
    #[cfg(feature = "batch")]
    pub(crate) fn of(driver: Driver<T>) -> Self {
        Self { driver, spent: Spent::default() }
    }

    /// Reads, counts and discards the stanzas that are left, waits for the end of the stream, and ends TCP. Blocks for
    /// [`CloseOptions::total`] at most, counted from the beginning of the close.
    pub fn finish(mut self) -> Report {
        while self.driver.next_chunk() {
            self.driver.frame(None);
        }
        self.driver.report()
    }

    /// What still arrives, as plain bytes for the program's own parser: all bytes up to the peer's closing tag, with the tag,
    /// then the end of file. Where the iterator has begun to collect a stanza, the bytes of that stanza that came before are
    /// missing.
    pub fn bytes(&mut self) -> LateBytes<'_, T> {
        LateBytes { closing: self, buffer: Vec::new(), taken: 0 }
    }
}

impl<T: Transport> Iterator for Closing<T> {
    type Item = Stanza;

    /// Blocks until a stanza has come, or none can come any more.
    fn next(&mut self) -> Option<Stanza> {
        let mut stanza = None;
        self.driver.next_stanza(&mut |lent| stanza = Some(lent.into_owned()));
        stanza
    }
}

impl<T: Transport> fmt::Debug for Closing<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Closing").field("report", &self.driver.report()).finish_non_exhaustive()
    }
}

/// What still arrives on a [`Closing`], as plain bytes: made by [`Closing::bytes`]. Reading never fails: however the stream
/// ended, the bytes end, and the report says how.
///
/// ```
/// use std::{io::{Read, Write}, net::Shutdown, os::unix::net::UnixStream};
/// use xmpp_close::{CloseOptions, Outcome};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (socket, mut peer) = UnixStream::pair()?;
/// # peer.write_all(b"<message/></stream:stream>")?;
/// # peer.shutdown(Shutdown::Write)?;
/// let mut closing = CloseOptions::new().begin(socket)?;
/// let mut late = String::new();
/// closing.bytes().read_to_string(&mut late)?; // for the program's own parser
/// assert_eq!(late, "<message/></stream:stream>");
/// assert_eq!(closing.finish().outcome, Outcome::Clean);
/// # Ok(()) }
/// ```
pub struct LateBytes<'a, T> {
    closing: &'a mut Closing<T>,
    buffer: Vec<u8>,
    taken: usize,
}

impl<T: Transport> Read for LateBytes<'_, T> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.taken == self.buffer.len() && !buf.is_empty() {
            self.buffer.clear();
            self.taken = 0;
            if !self.closing.driver.next_bytes(&mut |bytes| self.buffer.extend_from_slice(bytes)) {
                return Ok(0);
            }
        }
        let count = (&self.buffer[self.taken..]).read(buf)?;
        self.taken += count;
        Ok(count)
    }
}

impl<T: Transport> fmt::Debug for LateBytes<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LateBytes").finish_non_exhaustive()
    }
}
