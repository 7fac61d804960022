//! What a stream waits for.

use std::fmt;

/// What is to be done next for a stream. It is level-triggered: what is not acted on is asked for again.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Wants(u16);

macro_rules! wants {
    ($($(#[$doc:meta])* $bit:ident $name:ident = $number:literal;)*) => {
        impl Wants {
            $(
                pub(crate) const $bit: Self = Self($number);

                $(#[$doc])*
                pub const fn $name(self) -> bool {
                    self.0 & $number != 0
                }
            )*

            const NAMES: &[(Self, &str)] = &[$((Self::$bit, stringify!($bit))),*];
        }
    };
}

wants! {
    /// Wait for the connection to be readable: what comes is handed in, also when it is only to be discarded.
    READ read = 1;
    /// Wait for the connection to be writable: there is something of ours that the kernel has not taken.
    WRITE write = 2;
    /// Stanzas may still be sent. Once false, it stays so.
    MAY_SEND may_send = 4;
    /// The peer has said its last: what is still owed is to be sent, and then our closing tag is due.
    ANSWER answer = 8;
    /// What is read is still the peer's stream. Once false, it stays so.
    PARSE parse = 16;
    /// `close_notify` is to be sent now. Together with `over`: it is tried once, without waiting.
    NOTIFY notify = 32;
    /// `shutdown(SHUT_WR)` is to be called now.
    SHUT shut = 64;
    /// The outcome is fixed: the report is complete, the connection is to be closed.
    OVER over = 128;
}

impl Wants {
    /// The same with `what`, or without it.
    pub(crate) fn with(self, what: Self, is_wanted: bool) -> Self {
        Self(if is_wanted { self.0 | what.0 } else { self.0 & !what.0 })
    }
}

/// The names of all that is wanted: `READ | PARSE`.
impl fmt::Debug for Wants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Self::NAMES.iter().filter(|(what, _)| self.0 & what.0 != 0).map(|(_, name)| *name);
        f.write_str(&names.collect::<Vec<_>>().join(" | "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_twice_is_wanted() {
        let both = Wants::READ.with(Wants::READ, true).with(Wants::OVER, true);
        assert!(both.read() && both.over() && !both.write());
        assert_eq!(format!("{both:?}"), "READ | OVER");
        assert_eq!(both.with(Wants::OVER, false).with(Wants::OVER, false), Wants::READ);
    }
}
