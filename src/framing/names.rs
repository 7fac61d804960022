//! The names of the elements that are open, so that an end tag is held against its start tag.

use std::borrow::Cow;

/// Bytes of names kept at a time.
const MAX_BYTES: usize = 4096;
/// Elements whose names are kept at a time.
const MAX_LEVELS: usize = 128;

/// What an end tag outside every stanza is held against.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Root {
    /// The qualified name of the root.
    Named(String),
    /// No header was seen: any qualified name with this local part closes the root, whatever its prefix.
    Unknown { local: Cow<'static, str> },
}

impl Root {
    /// When nothing is known of the root.
    pub const UNKNOWN: Self = Self::Unknown { local: Cow::Borrowed("stream") };

    /// Says what the local name is, should nothing be known of the root.
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

    /// Whether an end tag with this qualified name is that of the root.
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

/// A stack with a bottom but no ceiling: elements nested deeper than its bounds are counted, and
/// their end tags are believed. A peer cannot make it grow, and no stanza is nested so deep.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Names {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// Open elements above the last one in `ends`.
    unnamed: u64,
    /// The name at the end of `bytes`, not yet in `ends`, has become too long.
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

    /// The name that is being read; `None` when it is too long to be kept.
    pub fn current(&self) -> Option<&[u8]> {
        (!self.too_long).then(|| &self.bytes[self.end()..])
    }

    /// The name that was read belongs to an element that is now open.
    #[inline]
    pub fn push(&mut self) {
        if self.unnamed > 0 || self.too_long || self.ends.len() == MAX_LEVELS {
            self.unnamed += 1;
            self.forget();
        } else {
            self.ends.push(self.bytes.len());
        }
    }

    /// The name that was read is not needed.
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
