//! The names of the open elements, so that an end tag can be compared with its start tag.

use std::borrow::Cow;

/// How many bytes of names are kept at a time.
const MAX_BYTES: usize = 4096;
/// Of how many elements the names are kept at a time.
const MAX_LEVELS: usize = 128;

/// The name that an end tag between stanzas is compared with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Root {
    /// The qualified name of the root.
    Named(String),
    /// No header was seen: an end tag with this local name closes the root, whatever its prefix.
    Unknown { local: Cow<'static, str> },
}

impl Root {
    /// The root of a stream of which nothing is known.
    pub const UNKNOWN: Self = Self::Unknown { local: Cow::Borrowed("stream") };

    /// Sets the local name, if no header was seen.
    pub fn assume_local(&mut self, name: &str) {
        if let Self::Unknown { local } = self {
            if local != name {
                *local = name.to_owned().into();
            }
        }
    }

    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Named(name) => Some(name),
            Self::Unknown { .. } => None,
        }
    }

    /// Whether an end tag with this qualified name closes the root.
    pub fn is_closed_by(&self, name: &[u8]) -> bool {
        match self {
            Self::Named(root) => name == root.as_bytes(),
            Self::Unknown { local } => match name.strip_suffix(local.as_bytes()) {
                Some([]) => true,
                Some([prefix @ .., b':']) => !prefix.is_empty() && !prefix.contains(&b':'),
                _ => false,
            },
        }
    }
}

/// A stack of names that a peer cannot make grow. Elements that are nested deeper than its bounds are only counted, and their
/// end tags are believed. No real stanza is nested so deep.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Names {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// How many open elements there are above the last one in `ends`.
    unnamed: u64,
    /// The name that is being read has become too long to be kept.
    too_long: bool,
}

impl Names {
    /// Appends to the name that is being read.
    #[inline]
    pub fn append(&mut self, part: &[u8]) {
        if self.unnamed == 0 && !self.too_long {
            self.too_long = self.bytes.len() + part.len() > MAX_BYTES;
            if !self.too_long {
                self.bytes.extend_from_slice(part);
            }
        }
    }

    /// The name that is being read. `None`: it is too long to be kept.
    pub fn current(&self) -> Option<&[u8]> {
        (!self.too_long).then(|| &self.bytes[self.end()..])
    }

    /// The element of the name that was read is open now.
    #[inline]
    pub fn push(&mut self) {
        if self.unnamed > 0 || self.too_long || self.ends.len() == MAX_LEVELS {
            self.unnamed += 1;
            self.forget();
        } else {
            self.ends.push(self.bytes.len());
        }
    }

    /// The name that was read is not needed any more.
    #[inline]
    pub fn forget(&mut self) {
        self.bytes.truncate(self.end());
        self.too_long = false;
    }

    /// The name of the innermost open element, if it was kept.
    #[inline]
    pub fn top(&self) -> Option<&[u8]> {
        let (&end, below) = self.ends.split_last()?;
        (self.unnamed == 0).then(|| &self.bytes[below.last().copied().unwrap_or(0)..end])
    }

    /// The innermost open element ended.
    #[inline]
    pub fn pop(&mut self) {
        if self.unnamed > 0 {
            self.unnamed -= 1;
        } else {
            self.ends.pop();
        }
        self.forget();
    }

    #[inline]
    fn end(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }
}
