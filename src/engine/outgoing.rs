//! What goes out, in the order in which it goes: our header, what was queued, the farewell, a stream error, our tag.

use std::{borrow::Cow, mem};

use crate::stream_error::StreamError;

/// As much is handed out at a time, so that an error can still go in front of a tag that is far behind; but what comes last
/// leaves in one segment.
const PORTION: usize = 64 * 1024;
/// As much of what was taken is forgotten at a time: so each byte is moved less than once.
const FORGET: usize = 64 * 1024;

/// Bytes are appended at the end, handed out from the front, and forgotten once they are taken. What was handed out
/// never changes: TLS insists on being given the same bytes again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Outgoing {
    /// Our stream header, if it is known: as long as it is not out, it goes in front of whatever is said first (HS-11).
    header: Vec<u8>,
    header_out: bool,
    bytes: Vec<u8>,
    /// So many of `bytes` were taken.
    taken: usize,
    /// So many were handed out.
    handed: usize,
    /// Taken, but not with the kernel: in the application's own queue, or in its TLS layer.
    pending: usize,
    /// What comes last, once that is known.
    tail: Option<Tail>,
    /// The qualified name of our root, whose prefix a stream error takes.
    root: Cow<'static, str>,
}

/// Positions in [`Outgoing::bytes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Tail {
    /// Where it begins: with the farewell.
    start: usize,
    /// Where a stream error still fits in: in front of the tag. `None`: there is one, or no tag.
    error_at: Option<usize>,
}

impl Outgoing {
    /// `bytes` are queued already, behind the header.
    pub(super) fn new(root: Cow<'static, str>, header: Vec<u8>, bytes: Vec<u8>) -> Self {
        Self { header, header_out: false, bytes, taken: 0, handed: 0, pending: 0, tail: None, root }
    }

    /// Appends what the application sends.
    pub(super) fn queue(&mut self, bytes: &[u8]) {
        debug_assert!(self.tail.is_none());
        self.open();
        self.bytes.extend_from_slice(bytes);
    }

    fn open(&mut self) {
        if !mem::replace(&mut self.header_out, true) {
            self.bytes.extend_from_slice(&self.header);
        }
    }

    /// Appends what comes last.
    pub(super) fn finish(&mut self, farewell: &[u8], error: Option<&StreamError>, tag: bool) {
        let start = self.bytes.len();
        let error = error.map_or(String::new(), |error| error.to_xml(&self.root));
        if tag || !farewell.is_empty() || !error.is_empty() {
            self.open();
        }
        self.bytes.extend_from_slice(farewell);
        let error_at = Some(self.bytes.len()).filter(|_| tag && error.is_empty());
        self.bytes.extend_from_slice(error.as_bytes());
        if tag {
            for part in ["</", &self.root, ">"] {
                self.bytes.extend_from_slice(part.as_bytes());
            }
        }
        self.tail = Some(Tail { start, error_at });
    }

    /// Puts a stream error in front of the tag, if it still can be.
    pub(super) fn insert_error(&mut self, error: &StreamError) {
        let Some(Tail { error_at: Some(at), start }) = self.tail else { return };
        let error = error.to_xml(&self.root).into_bytes();
        if self.handed <= at && self.bytes.try_reserve_exact(error.len()).is_ok() {
            self.bytes.splice(at..at, error);
            self.tail = Some(Tail { start, error_at: None });
        }
    }

    /// The next bytes to write. Where the tail is next, or fits in, it comes whole, so that it leaves in one segment.
    pub(super) fn next(&mut self) -> &[u8] {
        let queued = self.tail.map_or(self.bytes.len(), |tail| tail.start);
        let portion = self.taken + PORTION;
        let end = if queued <= portion { self.bytes.len() } else { portion };
        // What was handed out once is handed out again.
        self.handed = self.handed.max(end);
        &self.bytes[self.taken..self.handed]
    }

    /// What was handed out and not taken is as if it had not been.
    pub(super) fn take_back(&mut self) {
        self.handed = self.taken;
    }

    /// How many bytes the last [`next`](Self::next) handed out that were not taken since.
    pub(super) fn handed(&self) -> usize {
        self.handed - self.taken
    }

    /// So many of those handed out were taken; `pending` are not with the kernel.
    pub(super) fn took(&mut self, count: usize, pending: usize) {
        self.taken += count;
        self.pending = pending;
        if self.taken == self.bytes.len() && self.tail.is_none() {
            self.bytes.clear();
            (self.taken, self.handed) = (0, 0);
        } else if self.taken >= FORGET && self.taken * 2 >= self.bytes.len() {
            self.bytes.drain(..self.taken);
            self.handed -= self.taken;
            if let Some(tail) = &mut self.tail {
                tail.start = tail.start.saturating_sub(self.taken);
                tail.error_at = tail.error_at.and_then(|at| at.checked_sub(self.taken));
            }
            self.taken = 0;
        }
    }

    /// What is not with the kernel.
    pub(super) fn unsent(&self) -> usize {
        self.bytes.len() - self.taken + self.pending
    }

    /// So much was queued by the application and not taken.
    pub(super) fn queued(&self) -> usize {
        self.bytes.len() - self.taken
    }

    pub(super) fn pending(&self) -> usize {
        self.pending
    }

    /// Our header goes out another way, or is to be sent (again) after all.
    pub(super) fn set_header_out(&mut self, out: bool) {
        self.header_out = out;
    }

    pub(super) fn root(&self) -> &str {
        &self.root
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outgoing(header: &str) -> Outgoing {
        Outgoing::new("stream:stream".into(), header.into(), Vec::new())
    }

    fn next(outgoing: &mut Outgoing) -> String {
        String::from_utf8(outgoing.next().to_vec()).unwrap()
    }

    #[test]
    fn everything_goes_out_in_order_and_in_one_piece() {
        let mut outgoing = outgoing("<H>");
        outgoing.queue(b"<a/>");
        outgoing.finish(b"<bye/>", Some(&StreamError::defined("reset")), true);
        let all = next(&mut outgoing);
        assert!(
            all.starts_with("<H><a/><bye/><stream:error><reset ") && all.ends_with("</stream:error></stream:stream>")
        );
        assert_eq!(next(&mut outgoing), all, "asked twice it is the same");
    }

    #[test]
    fn an_error_goes_in_front_of_the_tag_only_while_the_tag_was_not_handed_out() {
        let error = StreamError::defined("not-well-formed");
        let mut early = outgoing("");
        early.finish(b"", None, true);
        early.insert_error(&error);
        assert!(next(&mut early).starts_with("<stream:error>"));
        let mut late = outgoing("");
        late.finish(b"", None, true);
        let handed = next(&mut late);
        late.insert_error(&error);
        assert_eq!(next(&mut late), handed);
    }

    #[test]
    fn a_long_queue_is_handed_out_in_portions_and_the_tail_comes_whole() {
        let mut outgoing = outgoing("");
        outgoing.queue(&[b'x'; 3 * PORTION]);
        let farewell = [b'y'; 2 * PORTION];
        outgoing.finish(&farewell, None, true);
        let mut sizes = Vec::new();
        loop {
            let count = outgoing.next().len();
            if count == 0 {
                break;
            }
            sizes.push(count);
            outgoing.took(count, 0);
        }
        assert_eq!(sizes, [PORTION, PORTION, 3 * PORTION + "</stream:stream>".len()]);
        assert_eq!(outgoing.unsent(), 0);
    }

    #[test]
    fn what_is_taken_is_forgotten_and_what_is_pending_is_unsent() {
        let mut outgoing = outgoing("");
        for _ in 0..1000 {
            outgoing.queue(&[b'x'; 1000]);
            let count = outgoing.next().len();
            outgoing.took(count, 7);
            assert_eq!(outgoing.unsent(), 7);
        }
        assert!(outgoing.bytes.capacity() < 100_000);
    }
}
