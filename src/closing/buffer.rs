//! Bytes that were read, and are not handled yet.

use std::io;

/// The size of the first read: enough for most of what is still in flight when an idle stream is closed.
const FIRST: usize = 1024;
/// The size of a read after one that filled its buffer: large enough that a system call costs little for each byte, small
/// enough that a closing stream takes less than 10 KiB, its part of the thread's stack included.
const CHUNK: usize = 5 * 1024;

#[derive(Default)]
pub(crate) struct Buffer {
    /// As long as the largest read so far, so that each byte is zeroed once only.
    bytes: Vec<u8>,
    taken: usize,
    filled: usize,
}

impl Buffer {
    pub(crate) fn holding(bytes: Vec<u8>) -> Self {
        Self { filled: bytes.len(), bytes, taken: 0 }
    }

    /// What is still to be handled.
    pub(crate) fn rest(&self) -> &[u8] {
        &self.bytes[self.taken..self.filled]
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.taken == self.filled
    }

    /// Whether the last read did not fill its buffer, so that it got all there was.
    pub(crate) fn is_drained(&self) -> bool {
        self.filled < self.bytes.len()
    }

    /// Whether the buffer has no room, because nothing was read yet.
    #[cfg(feature = "batch")]
    pub(crate) fn is_unused(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Whether the buffer is larger than one read needs, because it held what was read before the close, or while something
    /// was sent.
    pub(crate) fn is_large(&self) -> bool {
        self.bytes.capacity() > CHUNK
    }

    /// Gives back the memory of a buffer that is larger than one read needs, when all of it has been handled.
    pub(crate) fn shrink(&mut self) {
        if self.is_large() && self.is_empty() {
            *self = Self::default();
        }
    }

    /// What is still to be handled, and the count of handled bytes, which the caller raises while it looks at them.
    pub(crate) fn parts(&mut self) -> (&[u8], &mut usize) {
        (&self.bytes[self.taken..self.filled], &mut self.taken)
    }

    /// The `count` bytes that were handled last.
    pub(crate) fn handled(&self, count: usize) -> &[u8] {
        &self.bytes[self.taken - count..self.taken]
    }

    /// This many bytes of the rest have been handled.
    pub(crate) fn take(&mut self, bytes: usize) {
        self.taken += bytes;
    }

    /// Reads once, over what was in the buffer: all of that has been handled, or is dropped.
    pub(crate) fn fill(&mut self, read: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> io::Result<usize> {
        self.taken = self.filled;
        self.fill_behind(read)
    }

    /// Reads once, behind what is still to be handled.
    pub(crate) fn fill_behind(&mut self, read: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> io::Result<usize> {
        // When the last read filled its buffer, there was perhaps more to read.
        let full = !self.bytes.is_empty() && self.filled == self.bytes.len();
        let more = if full { CHUNK } else { FIRST };
        // What is kept moves to the front only when at least as many bytes have been handled. So moving costs no more than
        // handling did, however small the pieces are in which the peer sends.
        if self.filled - self.taken <= self.taken {
            self.bytes.copy_within(self.taken..self.filled, 0);
            self.filled -= self.taken;
            self.taken = 0;
        }
        if self.bytes.len() < self.filled + more {
            self.bytes.resize(self.filled + more, 0);
        }
        let result = read(&mut self.bytes[self.filled..]);
        self.filled = self.bytes.len().min(self.filled + result.as_ref().unwrap_or(&0));
        result
    }

    /// Appends what the application has read.
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        self.bytes.truncate(self.filled);
        self.bytes.extend_from_slice(bytes);
        self.filled = self.bytes.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_become_large_once_one_was_full() {
        let mut buffer = Buffer::default();
        let mut room = |count: usize| {
            let mut offered = 0;
            let read = |buf: &mut [u8]| {
                offered = buf.len();
                Ok(count.min(offered))
            };
            buffer.fill(read).unwrap();
            offered
        };
        assert_eq!([room(10), room(FIRST), room(usize::MAX)], [FIRST, FIRST, CHUNK]);
        assert_eq!([room(10), room(10)], [CHUNK, CHUNK], "what was made longer stays so");
    }

    #[test]
    fn what_is_kept_is_not_moved_for_each_byte_behind_it() {
        let mut buffer = Buffer::holding(vec![b'x'; 100_000]);
        buffer.take(10);
        let mut moved = 0;
        for _ in 0..10_000 {
            let front = buffer.rest().as_ptr() as usize - buffer.bytes.as_ptr() as usize;
            buffer.fill_behind(|_| Ok(1)).unwrap();
            let now = buffer.rest().as_ptr() as usize - buffer.bytes.as_ptr() as usize;
            moved += usize::from(now != front);
        }
        assert_eq!((buffer.rest().len(), moved), (109_990, 0));
        buffer.take(100_000);
        buffer.fill_behind(|_| Ok(1)).unwrap();
        assert_eq!((buffer.rest().len(), buffer.taken), (9_991, 0), "once more was handled than is kept");
    }
}
