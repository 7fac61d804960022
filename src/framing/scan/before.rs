//! What stands before the root, and whether the root was open already when the first tag came.

use super::{
    Malformed::{self, NotWellFormed},
    Scanner, State, is_space,
};

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

impl Scanner {
    pub(super) fn prolog(&mut self, rest: &mut &[u8]) -> Result<(), Malformed> {
        while let Some((&byte, tail)) = rest.split_first() {
            self.state = match self.state {
                State::Start { matched } if BYTE_ORDER_MARK.get(matched) == Some(&byte) => {
                    // RFC 6120 section 11.6 forbids a byte order mark, but it does no harm.
                    self.stray_bytes += 1;
                    State::Start { matched: matched + 1 }
                }
                State::Start { matched: 1 | 2 } => return Err(NotWellFormed),
                _ if byte == b'<' => return Ok(()),
                // XML allows nothing before its declaration, but some software ends the document before with a newline.
                State::Start { matched: 0 } if self.follows && is_space(byte) => self.state,
                _ if is_space(byte) => State::Prolog,
                _ => return Err(NotWellFormed),
            };
            *rest = tail;
        }
        Ok(())
    }

    /// The root was open before the first tag, if this is not known by now.
    pub(super) fn was_open(&mut self) {
        if std::mem::take(&mut self.open_perhaps) {
            self.depth = 1;
        }
    }

    /// The first start tag has come: if its name is not that of a root, it is a stanza's.
    pub(super) fn first_tag(&mut self) {
        if !self.names.current().is_some_and(|name| self.root.is_closed_by(name)) {
            self.was_open();
        }
        self.open_perhaps = false;
    }
}
