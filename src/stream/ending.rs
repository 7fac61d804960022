//! How an open [`Stream`] ends: its driver gets all that a close needs, and closes.

#[cfg(feature = "batch")]
use std::time::Instant;

use super::{Stream, header};
#[cfg(feature = "batch")]
use crate::framing::Framer;
use crate::{
    closing::{Closing, Driver},
    error::Error,
    options::CloseOptions,
    report::Report,
    transport::Transport,
};

impl<T: Transport> Stream<T> {
    /// Closes the stream, then TCP. Stanzas that still arrive are counted and discarded. Blocks for
    /// [`CloseOptions::total`] at most.
    ///
    /// When our header has not been sent since the stream was made or [restarted](Self::restart), it goes out now, because
    /// neither a stream error nor a closing tag can stand without it (RFC 6120 section 4.9.1.2): the header of
    /// [`CloseOptions::header`], or else the shortest one that answers the peer's.
    ///
    /// # Errors
    /// As for [`CloseOptions::close`]; the stream is dropped then, which ends TCP. The report says how the stream ended, also
    /// when the connection broke.
    ///
    /// ```compile_fail,E0382
    /// # fn f(mut stream: xmpp_close::Stream<std::net::TcpStream>) -> Result<(), xmpp_close::Error> {
    /// let report = stream.close(&xmpp_close::CloseOptions::new())?;
    /// stream.send("<presence/>")?; // borrow of moved value: `stream`
    /// # Ok(()) }
    /// ```
    pub fn close(self, options: &CloseOptions) -> Result<Report, Error> {
        Ok(self.begin(options)?.finish())
    }

    /// Begins to close the stream. The [`Closing`] hands over the stanzas that still arrive; to process them is what the
    /// handshake asks for.
    ///
    /// What has arrived and was not received yet is handed over as well, but behind our closing tag, where nothing can be
    /// answered any more. To answer it, first receive with a limit of zero. After [`Incoming::Idle`](crate::Incoming::Idle) that
    /// is not needed, because a silence is told only when nothing is left to receive.
    ///
    /// ```
    /// use std::time::Duration;
    /// use xmpp_close::{CloseOptions, Closing, Error, Incoming, Stanza, Stream, Transport};
    ///
    /// fn answer_and_close<T: Transport>(
    ///     mut stream: Stream<T>,
    ///     answer: impl Fn(&mut Stream<T>, Stanza), // a send that fails shows in the report
    /// ) -> Result<Closing<T>, Error> {
    ///     loop {
    ///         match stream.receive_within(Duration::ZERO) {
    ///             Ok(Incoming::Stanza(stanza)) => answer(&mut stream, stanza),
    ///             Ok(Incoming::TimedOut | Incoming::PeerClosed) | Err(_) => break,
    ///             Ok(_) => {}
    ///         }
    ///     }
    ///     stream.begin(&CloseOptions::new())
    /// }
    /// ```
    ///
    /// # Errors
    /// As for [`close`](Self::close).
    pub fn begin(self, options: &CloseOptions) -> Result<Closing<T>, Error> {
        Ok(Closing::begin(self.into_driver(options)?))
    }

    /// The driver, with all that a close needs: our closing tag is that of our header, which is out or goes out first.
    pub(crate) fn into_driver(self, options: &CloseOptions) -> Result<Driver<T>, Error> {
        let mut options = options.clone();
        match self.outgoing.root() {
            Some(root) => {
                options.header = None;
                options.closing_tag.get_or_insert_with(|| format!("</{root}>"));
            }
            None if options.header.is_none() => {
                // After a restart, the peer's new header may not have come yet: then its header before shows the kind of stream.
                let before = self.driver.header().start_tag();
                let peer = if self.unanswered.is_empty() { before.as_bytes() } else { &self.unanswered };
                options.header = Some(header::compose(peer, options.stream_error.as_ref()));
                options.closing_tag = None;
            }
            None => {}
        }
        self.hand_over(options)
    }

    /// A stream that was to be closed, and now is not.
    #[cfg(feature = "batch")]
    pub(crate) fn of(mut driver: Driver<T>) -> Self {
        let root = driver.unset();
        let unanswered = if root.is_none() { driver.header().start_tag().as_bytes().to_vec() } else { Vec::new() };
        Self {
            outgoing: root.map_or_else(Framer::new, |root| Framer::inside(Some(&root))),
            unanswered,
            driver,
            idle_after: None,
            silent_since: Instant::now(),
            write_limit: crate::DEFAULT_TOTAL,
            waker: None,
            mailbox: None,
        }
    }

    /// Sends what is queued, then ends TCP without a closing tag, so that an XEP-0198 session stays resumable: see
    /// [`CloseOptions::detach`].
    ///
    /// # Errors
    /// As for [`CloseOptions::detach`].
    pub fn detach(self, options: &CloseOptions) -> Result<Report, Error> {
        Ok(Closing::begin(self.hand_over(CloseOptions { detach: true, ..options.clone() })?).finish())
    }

    /// The driver, which closes the stream as `options` say.
    fn hand_over(mut self, mut options: CloseOptions) -> Result<Driver<T>, Error> {
        if let Some(mailbox) = self.mailbox {
            let mut queued = mailbox.close();
            // When nothing can be sent any more, or our header must go out first, the farewell begins with what was queued.
            if self.outgoing.root().is_none() || self.driver.send(&queued).is_err() {
                queued.append(&mut options.farewell);
                options.farewell = queued;
            }
        }
        options.is_open = true;
        options.check()?;
        self.driver.set(options)?;
        Ok(self.driver)
    }
}
