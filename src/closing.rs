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
#[cfg(feature = "capi")]
pub(crate) use driver::{OnLog, Parsed};
pub use step::{Step, Wait};

use crate::{error::Error, options::CloseOptions, report::Report, transport::Transport, xml::Stanza};

/// Closes the stream on `transport` with the default [`CloseOptions`], and TCP after it.
///
/// What still arrives is read and counted but not kept: to process it, as the handshake asks, use
/// [`CloseOptions::begin`]. Blocks for [`Limits::total`](crate::Limits::total) at most.
///
/// # Errors
/// Only for options that make no sense, so never here; however the stream ended, it is in the report.
///
/// Nothing can be written after the closing tag, for the stream is gone:
///
/// ```compile_fail,E0382
/// # use std::{io::Write, net::TcpStream};
/// # fn f(mut tcp: TcpStream) -> Result<(), Box<dyn std::error::Error>> {
/// xmpp_close::close(tcp)?;
/// tcp.write_all(b"<presence/>")?; // borrow of moved value: `tcp`
/// # Ok(()) }
/// ```
pub fn close<T: Transport>(transport: T) -> Result<Report, Error> {
    CloseOptions::new().close(transport)
}

impl CloseOptions {
    /// Closes the stream; what still arrives is read and counted, but not kept.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the closing tag is not one; nothing has been sent then.
    pub fn close<T: Transport>(&self, transport: T) -> Result<Report, Error> {
        Ok(self.begin(transport)?.finish())
    }

    /// Begins to close the stream; the closing tag leaves as far as it can without
    /// waiting, and the [`Closing`] does the rest and hands over what still arrives.
    ///
    /// # Errors
    /// As for [`close`](Self::close).
    pub fn begin<T: Transport>(&self, transport: T) -> Result<Closing<T>, Error> {
        self.check()?;
        Ok(Closing::begin(Driver::new(transport, self.clone())?))
    }

    /// Ends TCP without a closing tag, so that an XEP-0198 session stays resumable (SE-04), once the farewell is sent.
    /// What still arrives is discarded: it is unacknowledged, so the peer sends it again.
    ///
    /// # Errors
    /// [`Error::Invalid`] for options with a stream error, which is always a close. Otherwise the report's outcome is
    /// [`Cancelled`](crate::Outcome::Cancelled), and its `bytes_unsent` tells whether all went out.
    pub fn detach<T: Transport>(&self, transport: T) -> Result<Report, Error> {
        Ok(Self { detach: true, ..self.clone() }.begin(transport)?.finish())
    }
}

/// A stream that is being closed: still readable, never writable.
///
/// Iterates over the stanzas that arrive until the peer's closing tag, or the end. Then [`finish`](Self::finish) tells
/// how it ended. Dropping it abandons the handshake: TCP is ended at once, without waiting.
///
/// ```no_run
/// # fn f(tcp: std::net::TcpStream) -> Result<(), xmpp_close::Error> {
/// let mut closing = xmpp_close::CloseOptions::new().begin(tcp)?;
/// for stanza in &mut closing {
///     println!("still came: {stanza}");
/// }
/// let report = closing.finish();
/// # Ok(()) }
/// ```
///
/// There is nothing to write with while it closes (RFC 6120 section 4.4):
///
/// ```compile_fail,E0599
/// # use std::{io::Write, net::TcpStream};
/// # fn f(tcp: TcpStream) -> Result<(), Box<dyn std::error::Error>> {
/// let mut closing = xmpp_close::CloseOptions::new().begin(tcp)?;
/// closing.write_all(b"<presence/>")?; // no method named `write_all`
/// # Ok(()) }
/// ```
///
/// Not even a look at the transport: one at a `TcpStream` is enough to write to it. What is wanted of it is asked before, of
/// the [`Stream`](crate::Stream::get_ref).
///
/// ```compile_fail,E0599
/// # use std::{io::Write, net::TcpStream};
/// # fn f(tcp: TcpStream) -> Result<(), Box<dyn std::error::Error>> {
/// let closing = xmpp_close::CloseOptions::new().begin(tcp)?;
/// closing.get_ref().write_all(b"<presence/>")?; // no method named `get_ref`
/// # Ok(()) }
/// ```
#[must_use = "dropping it abandons the handshake"]
pub struct Closing<T: Transport> {
    driver: Driver<T>,
}

impl<T: Transport> Closing<T> {
    pub(crate) fn begin(mut driver: Driver<T>) -> Self {
        driver.begin();
        Self { driver }
    }

    /// The close goes on that somebody else has begun.
    #[cfg(feature = "batch")]
    pub(crate) fn of(driver: Driver<T>) -> Self {
        Self { driver }
    }

    /// Reads and counts what is left, waits for the end, and ends TCP.
    pub fn finish(mut self) -> Report {
        while self.driver.next_chunk() {
            self.driver.frame(None);
        }
        self.driver.report()
    }

    /// What still arrives as plain bytes, for a parser of one's own: up to and including the peer's closing tag, then
    /// the end of file. Bytes of a stanza that the iterator has begun to collect are not among them.
    pub fn bytes(&mut self) -> LateBytes<'_, T> {
        LateBytes { closing: self, buffer: Vec::new(), taken: 0 }
    }
}

impl<T: Transport> Iterator for Closing<T> {
    type Item = Stanza;

    /// Blocks until a stanza came, or none can come any more.
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

/// The late bytes of a [`Closing`]; reading them never fails, for how the stream ended is in the report.
pub struct LateBytes<'a, T: Transport> {
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
