//! What goes out, in this order: our header, the stanzas that were queued, the farewell, a stream error, our tag.

use std::{borrow::Cow, mem};

use crate::stream_error::StreamError;

/// How many bytes are handed out at a time. What was handed out is fixed, so a stream error can go in front of our tag only
/// while the tag was not handed out. The last bytes come whole, so that they leave in one segment.
const PORTION: usize = 64 * 1024;
/// At least this many bytes that were taken are forgotten at a time, so that the bytes behind them are seldom moved.
const FORGET: usize = 64 * 1024;

/// Bytes are appended at the end, handed out from the front, and forgotten when they are taken. Bytes that were handed out
/// never change: a TLS layer insists on being given the same bytes again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Outgoing {
    /// Our stream header, if the application does not send it itself.
    header: Box<[u8]>,
    /// The header has not gone out: it goes in front of whatever is sent first (HS-11).
    header_due: bool,
    bytes: Vec<u8>,
    /// How many of `bytes` were taken.
    taken: usize,
    /// How many of `bytes` were handed out.
    handed: usize,
    /// How many bytes were taken, but are not with the kernel: they lie in the application's own queue or its TLS layer.
    pending: usize,
    last: Last,
    /// Where the last part is, once it is among `bytes`.
    tail: Option<Tail>,
    /// The qualified name of our root, whose prefix a stream error takes.
    root: Cow<'static, str>,
}

/// What comes last.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Last {
    /// Goes in front of the stream error and our tag.
    pub(super) farewell: Vec<u8>,
    /// The stream error that the options ask for; it takes the place of any other.
    pub(super) error: Option<Box<StreamError>>,
    /// Whether our tag is sent. If not, the application has sent it already, or we detach.
    pub(super) tag: bool,
}

impl Default for Last {
    fn default() -> Self {
        Self { farewell: Vec::new(), error: None, tag: true }
    }
}

/// Positions in [`Outgoing::bytes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Tail {
    /// Where the farewell begins.
    start: usize,
    /// Where the farewell ends, and a stream error fits in. `None`: bytes behind this place were taken already.
    farewell_end: Option<usize>,
    /// No stream error can be put in: there is one already, or no tag follows.
    full: bool,
}

impl Outgoing {
    /// Nothing is queued. Our header is out, or the application sends it first.
    pub(super) fn new(root: Cow<'static, str>) -> Self {
        Self {
            header: Box::default(),
            header_due: false,
            bytes: Vec::new(),
            taken: 0,
            handed: 0,
            pending: 0,
            last: Last::default(),
            tail: None,
            root,
        }
    }

    /// Sets the name of our root, our header if it is still to be sent, and what comes last. Returns false when the system
    /// refuses the memory.
    pub(super) fn set(&mut self, root: Cow<'static, str>, header: Vec<u8>, last: Last) -> bool {
        self.root = root;
        self.header_due = !header.is_empty();
        self.header = header.into();
        self.last = last;
        let error = self.last.error.as_ref().map_or(0, |error| error.to_xml(&self.root).len());
        let ending = error + "</>".len() + self.root.len();
        if self.bytes.is_empty() && !self.header_due {
            self.last.farewell.try_reserve_exact(ending).is_ok()
        } else {
            let header = if self.header_due { self.header.len() } else { 0 };
            self.bytes.try_reserve_exact(header + self.last.farewell.len() + ending).is_ok()
        }
    }

    /// Forgets what [`set`](Self::set) said. From now on the application sends our header itself; returns true when that is
    /// not out.
    #[cfg(feature = "batch")]
    pub(super) fn unset(&mut self) -> bool {
        self.last = Last::default();
        self.header = Box::default();
        mem::take(&mut self.header_due)
    }

    /// Takes what comes last away from the bytes again; false when it was not among them. Nothing of it was handed out.
    pub(super) fn take_tail_back(&mut self) -> bool {
        let Some(tail) = self.tail.take() else { return false };
        debug_assert!(self.handed <= tail.start);
        self.bytes.truncate(tail.start);
        true
    }

    /// Appends what the application sends.
    pub(super) fn queue(&mut self, bytes: &[u8]) {
        debug_assert!(self.tail.is_none());
        self.append_header();
        self.bytes.extend_from_slice(bytes);
    }

    fn append_header(&mut self) {
        if mem::take(&mut self.header_due) {
            self.bytes.extend_from_slice(&self.header);
        }
    }

    /// Appends the farewell, now that nothing more is sent in front of it.
    pub(super) fn queue_farewell(&mut self) {
        if !self.last.farewell.is_empty() {
            self.append_header();
        }
        if self.bytes.capacity() == 0 {
            self.bytes = mem::take(&mut self.last.farewell); // `set` made room in it for what follows
        } else {
            self.bytes.append(&mut self.last.farewell);
        }
    }

    /// Makes the farewell longer. Returns false when the bytes behind the farewell were handed out already.
    pub(super) fn add_farewell(&mut self, words: &[u8]) -> bool {
        let Some(tail) = &mut self.tail else {
            self.last.farewell.extend_from_slice(words);
            return true;
        };
        let Some(at) = tail.farewell_end.filter(|at| self.handed <= *at) else { return false };
        let header = if mem::take(&mut self.header_due) { &*self.header } else { &[] };
        tail.farewell_end = Some(at + header.len() + words.len());
        self.bytes.splice(at..at, [header, words].concat());
        true
    }

    /// Appends what comes last. `error` is used only if the options ask for no other stream error.
    pub(super) fn finish(&mut self, error: Option<&StreamError>) {
        let start = self.bytes.len();
        self.queue_farewell();
        let error = self.last.error.as_deref().or(error).filter(|_| self.last.tag);
        let error = error.map_or(String::new(), |error| error.to_xml(&self.root));
        if self.last.tag || !error.is_empty() {
            self.append_header();
        }
        let farewell_end = Some(self.bytes.len());
        self.bytes.reserve_exact(error.len() + "</>".len() + self.root.len());
        self.bytes.extend_from_slice(error.as_bytes());
        if self.last.tag {
            for part in ["</", &self.root, ">"] {
                self.bytes.extend_from_slice(part.as_bytes());
            }
        }
        self.tail = Some(Tail { start, farewell_end, full: !error.is_empty() || !self.last.tag });
    }

    /// Appends the farewell alone, without an error and without a tag.
    pub(super) fn detach(&mut self) {
        (self.last.error, self.last.tag) = (None, false);
        self.finish(None);
    }

    /// Puts a stream error in front of our tag, if that is still possible.
    pub(super) fn insert_error(&mut self, error: &StreamError) {
        let Some(tail) = self.tail.as_mut().filter(|tail| !tail.full) else { return };
        let Some(at) = tail.farewell_end else { return };
        let xml = error.to_xml(&self.root);
        if self.handed <= at && self.bytes.try_reserve_exact(xml.len()).is_ok() {
            self.bytes.extend_from_slice(xml.as_bytes());
            self.bytes[at..].rotate_right(xml.len());
            tail.full = true;
        }
    }

    /// The next bytes to write. When the tail begins in this portion, it comes whole, so that it leaves in one segment.
    pub(super) fn next(&mut self) -> &[u8] {
        let queued = self.tail.map_or(self.bytes.len(), |tail| tail.start);
        let portion = self.taken + PORTION;
        let end = if queued <= portion { self.bytes.len() } else { portion };
        // What was handed out once and not taken is handed out again.
        self.handed = self.handed.max(end);
        &self.bytes[self.taken..self.handed]
    }

    /// Takes back what was handed out and not taken: it may change again.
    pub(super) fn take_back(&mut self) {
        self.handed = self.taken;
    }

    /// How many bytes were handed out, and not taken.
    pub(super) fn handed(&self) -> usize {
        self.handed - self.taken
    }

    /// `count` of the bytes that were handed out were taken; of all that were ever taken, `pending` are not with the kernel.
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
                tail.farewell_end = tail.farewell_end.and_then(|at| at.checked_sub(self.taken));
            }
            self.taken = 0;
        }
    }

    /// How many bytes are not with the kernel.
    pub(super) fn unsent(&self) -> usize {
        self.bytes.len() - self.taken + self.pending
    }

    /// How many bytes are queued, and not taken.
    pub(super) fn queued(&self) -> usize {
        self.bytes.len() - self.taken
    }

    pub(super) fn pending(&self) -> usize {
        self.pending
    }

    /// The application has written our header itself.
    pub(super) fn header_is_out(&mut self) {
        self.header_due = false;
    }

    /// A new header of ours follows.
    pub(super) fn restart(&mut self) {
        self.header_due = !self.header.is_empty();
    }

    /// Sets our stream error, unless there is one already, or our tag was sent by the application.
    #[cfg(any(feature = "capi", feature = "batch"))]
    pub(super) fn set_error(&mut self, error: &StreamError) {
        if self.last.tag {
            self.last.error.get_or_insert_with(|| Box::new(error.clone()));
        }
    }

    pub(super) fn root(&self) -> &str {
        &self.root
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::condition::Condition;

    fn outgoing(header: &str) -> Outgoing {
        let mut outgoing = Outgoing::new("stream:stream".into());
        assert!(outgoing.set("stream:stream".into(), header.into(), Last::default()));
        outgoing
    }

    fn next(outgoing: &mut Outgoing) -> String {
        String::from_utf8(outgoing.next().to_vec()).unwrap()
    }

    #[test]
    fn everything_goes_out_in_order_and_in_one_piece() {
        let mut outgoing = outgoing("<H>");
        outgoing.queue(b"<a/>");
        assert!(outgoing.add_farewell(b"<bye/>"));
        outgoing.finish(Some(&StreamError::defined(Condition::Reset)));
        let all = next(&mut outgoing);
        assert!(
            all.starts_with("<H><a/><bye/><stream:error><reset ") && all.ends_with("</stream:error></stream:stream>")
        );
        assert_eq!(next(&mut outgoing), all, "asked twice it is the same");
    }

    #[test]
    fn an_error_goes_in_front_of_the_tag_only_while_the_tag_was_not_handed_out() {
        let error = StreamError::defined(Condition::NotWellFormed);
        let mut early = outgoing("");
        early.finish(None);
        early.insert_error(&error);
        assert!(next(&mut early).starts_with("<stream:error>"));
        let mut late = outgoing("");
        late.finish(None);
        let handed = next(&mut late);
        late.insert_error(&error);
        assert_eq!(next(&mut late), handed);
    }

    #[test]
    fn more_is_said_in_front_of_the_tag_only_while_nothing_behind_it_was_handed_out() {
        let mut early = outgoing("<H>");
        early.last.farewell = b"<f/>".to_vec();
        early.finish(None);
        early.add_farewell(b"<w/>");
        early.insert_error(&StreamError::defined(Condition::Reset));
        early.add_farewell(b"<x/>");
        let all = next(&mut early);
        assert!(all.starts_with("<H><f/><w/><x/><stream:error>"), "{all}");
        early.add_farewell(b"<y/>");
        assert_eq!(next(&mut early), all);
        early.took(all.len(), 0);
        early.add_farewell(b"<y/>");
        assert_eq!(next(&mut early), "");
    }

    #[test]
    fn behind_a_header_that_is_not_out_a_detach_says_nothing_or_both() {
        for words in ["", "<w/>"] {
            let mut outgoing = outgoing("<H>");
            outgoing.detach();
            if !words.is_empty() {
                outgoing.add_farewell(words.as_bytes());
            }
            assert_eq!(next(&mut outgoing), if words.is_empty() { "" } else { "<H><w/>" });
        }
    }

    #[test]
    fn what_comes_last_can_be_said_anew_as_long_as_none_of_it_was_handed_out() {
        let mut outgoing = outgoing("");
        outgoing.queue(b"<a/>");
        outgoing.finish(Some(&StreamError::defined(Condition::NotWellFormed)));
        assert!(outgoing.take_tail_back() && !outgoing.take_tail_back());
        let last = Last { farewell: b"<f/>".to_vec(), ..Last::default() };
        assert!(outgoing.set("stream".into(), Vec::new(), last));
        outgoing.finish(None);
        assert_eq!(next(&mut outgoing), "<a/><f/></stream>");
    }

    #[test]
    fn a_long_queue_is_handed_out_in_portions_and_the_tail_comes_whole() {
        let mut outgoing = outgoing("");
        outgoing.queue(&[b'x'; 3 * PORTION]);
        let farewell = [b'y'; 2 * PORTION];
        assert!(outgoing.add_farewell(&farewell));
        outgoing.finish(None);
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
