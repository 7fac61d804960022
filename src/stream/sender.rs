//! What other threads send on a stream: they queue it, and the stream's own thread writes it.

use std::{
    fmt, mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    cancel::Waker,
    engine::SendError,
    error::Invalid,
    framing::{Frame, Framer},
    options::DEFAULT_OUTPUT_LIMIT,
};

/// Sends stanzas on a [`Stream`](crate::Stream) from any thread, while the stream's own thread receives. Made by
/// [`Stream::sender`](crate::Stream::sender); clones send on the same stream.
///
/// Only a thread that waits in [`Stream::receive`](crate::Stream::receive) is woken. An event loop that waits in poll(2) does not
/// notice what a `Sender` queues: it [sends](crate::Stream::send) by itself, with a [write
/// limit](crate::Stream::write_limit) of zero.
///
/// ```
/// use std::{io::Write, net::Shutdown, os::unix::net::UnixStream, thread};
/// use xmpp_close::{CloseOptions, Incoming, SendError, Stream};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (socket, mut peer) = UnixStream::pair()?;
/// # peer.write_all(b"<stream:stream xmlns='jabber:client' \
/// #     xmlns:stream='http://etherx.jabber.org/streams'></stream:stream>")?;
/// # peer.shutdown(Shutdown::Write)?;
/// let mut stream = Stream::new(socket);
/// stream.send(
///     "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' \
///     to='localhost' version='1.0'>",
/// )?;
/// let sender = stream.sender()?;
/// let other = thread::spawn(move || match sender.send("<presence/>") {
///     Ok(()) => println!("queued: it is written in front of our closing tag"),
///     Err(SendError::Refused) => println!("the stream is being closed: store the stanza"),
///     Err(error) => println!("{error}"),
/// });
/// while !matches!(stream.receive()?, Incoming::PeerClosed) {}
/// let report = stream.close(&CloseOptions::new())?;
/// # drop(other.join());
/// # assert_eq!(report.outcome, xmpp_close::Outcome::Clean);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Sender {
    outbox: Arc<Outbox>,
    waker: Waker,
}

impl Sender {
    /// Queues whole stanzas, without waiting. The thread that receives is woken and writes them in the order in which they
    /// were queued, but not before our header.
    ///
    /// A close writes what is still queued in front of our closing tag. What cannot be written any more is counted in
    /// [`Report::bytes_unsent`](crate::Report::bytes_unsent). A stream that is dropped without a close drops its queue.
    ///
    /// # Errors
    /// Nothing was queued then:
    ///
    /// - [`SendError::Refused`] when the stream is being closed, is in a batch, has received the peer's stream error, or is
    ///   broken;
    /// - [`SendError::Full`] when more than 16 MiB would be waiting to be written;
    /// - [`SendError::Invalid`] when `xml` is not whole stanzas, as [`Stream::send`](crate::Stream::send) says.
    pub fn send(&self, xml: impl AsRef<[u8]>) -> Result<(), SendError> {
        let xml = xml.as_ref();
        check(&mut Framer::inside(None), xml).map_err(SendError::Invalid)?;
        if self.outbox.put(xml)? {
            self.waker.nudge();
        }
        Ok(())
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

/// Checks that `xml` is whole elements and nothing else, behind what `framer` has seen. The error says what is wrong.
pub(super) fn check(framer: &mut Framer, xml: &[u8]) -> Result<(), Invalid> {
    let stray = framer.stray_bytes();
    let mut rest = xml;
    while let Some(frame) = framer.next(&mut rest) {
        match frame {
            Frame::End => return Err(Invalid::TagByHand),
            Frame::Malformed(_) => return Err(Invalid::NotWellFormed),
            Frame::Header(_) | Frame::Stanza(_) | Frame::Oversize(_) => {}
        }
    }
    if !framer.between_stanzas() {
        return Err(Invalid::NotWhole);
    }
    if framer.stray_bytes() > stray { Err(Invalid::Text) } else { Ok(()) }
}

/// The stream's end of the queue. When it is dropped, senders are refused.
pub(super) struct Mailbox(Arc<Outbox>);

impl Mailbox {
    pub(super) fn new() -> Self {
        Self(Arc::default())
    }

    pub(super) fn sender(&self, waker: Waker) -> Sender {
        Sender { outbox: self.0.clone(), waker }
    }

    /// Takes what was queued. `ahead` is how many bytes the stream has taken before, and not written yet.
    pub(super) fn take(&self, ahead: usize) -> Vec<u8> {
        let mut queue = self.0.lock();
        queue.ahead = ahead + queue.bytes.len();
        mem::take(&mut queue.bytes)
    }

    /// Says how many bytes the stream has taken, and not written yet.
    pub(super) fn note(&self, ahead: usize) {
        self.0.lock().ahead = ahead;
    }

    /// Refuses all that is sent from now on.
    pub(super) fn shut(&self) {
        self.0.lock().shut = true;
    }

    /// Refuses all that is sent from now on, and takes what is queued.
    pub(super) fn close(self) -> Vec<u8> {
        let mut queue = self.0.lock();
        queue.shut = true;
        mem::take(&mut queue.bytes)
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        self.shut();
    }
}

#[derive(Default)]
struct Outbox(Mutex<Queue>);

#[derive(Default)]
struct Queue {
    bytes: Vec<u8>,
    /// How many bytes the stream has taken before these, and not written yet.
    ahead: usize,
    shut: bool,
}

impl Outbox {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues bytes. Returns true when the queue was empty, so that the stream's thread must be woken.
    fn put(&self, bytes: &[u8]) -> Result<bool, SendError> {
        let mut queue = self.lock();
        let before = queue.bytes.len();
        if queue.shut {
            return Err(SendError::Refused);
        }
        if queue.ahead.saturating_add(before).saturating_add(bytes.len()) > DEFAULT_OUTPUT_LIMIT {
            return Err(SendError::Full);
        }
        queue.bytes.try_reserve(bytes.len()).map_err(|_| SendError::Full)?;
        queue.bytes.extend_from_slice(bytes);
        Ok(before == 0 && !bytes.is_empty())
    }
}
