//! What other threads send on a stream: a queue, which the stream's own thread writes.

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

/// Sends stanzas on a [`Stream`](crate::Stream) from any thread, beside the one that receives: see
/// [`Stream::sender`](crate::Stream::sender). Clones send on the same stream.
#[derive(Clone)]
pub struct Sender {
    outbox: Arc<Outbox>,
    waker: Waker,
}

impl Sender {
    /// Queues whole stanzas, without waiting. The thread that receives is woken and writes them, in the order in which they
    /// were queued, and as soon as our header is out.
    ///
    /// What was queued is on the wire in front of our closing tag, also when the stream is closed before it was written; or
    /// it is counted in [`Report::bytes_unsent`](crate::Report::bytes_unsent). Only with a stream that is dropped without a
    /// close it is dropped as well.
    ///
    /// # Errors
    /// [`SendError::Refused`] as soon as the stream is being closed or is in a batch, has received the peer's stream error, or
    /// is broken; [`SendError::Full`] when 16 MiB are not written yet; [`SendError::Invalid`] for anything but whole stanzas,
    /// as [`Stream::send`](crate::Stream::send) says. Nothing was queued then.
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

/// Whether `xml` is whole elements and nothing else, behind what `framer` has seen; why not.
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

/// The stream's end of it. When it is dropped, nothing more is taken.
pub(super) struct Mailbox(Arc<Outbox>);

impl Mailbox {
    pub(super) fn new() -> Self {
        Self(Arc::default())
    }

    pub(super) fn sender(&self, waker: Waker) -> Sender {
        Sender { outbox: self.0.clone(), waker }
    }

    /// What was queued. `ahead` bytes are with the stream and not written.
    pub(super) fn take(&self, ahead: usize) -> Vec<u8> {
        let mut queue = self.0.lock();
        queue.ahead = ahead + queue.bytes.len();
        mem::take(&mut queue.bytes)
    }

    /// So many bytes are with the stream and not written.
    pub(super) fn note(&self, ahead: usize) {
        self.0.lock().ahead = ahead;
    }

    /// Takes no more.
    pub(super) fn shut(&self) {
        self.0.lock().shut = true;
    }

    /// The same, and what is left.
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
    /// What is in front of them.
    ahead: usize,
    shut: bool,
}

impl Outbox {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it was empty, so that nobody is on the way to take it.
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
