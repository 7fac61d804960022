//! What the program is asked to do next.

use std::fmt;

/// What the program has to do next, as [`Engine::wants`](crate::Engine::wants) says. Each question stands for itself, and
/// more than one can be true. What is not done is asked for again.
///
/// ```
/// use std::time::Duration;
/// use xmpp_close::{CloseOptions, Engine, Tls};
///
/// # fn main() -> Result<(), xmpp_close::Error> {
/// let mut engine = Engine::new(&CloseOptions::new(), Tls::No)?;
/// assert!(engine.wants().read() && engine.wants().may_send());
/// engine.finish(None, Duration::ZERO);
/// let wants = engine.wants(); // our closing tag is to be written, the peer's is awaited
/// assert!(wants.read() && wants.write() && !wants.may_send());
/// # Ok(()) }
/// ```
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
    /// Wait until the connection is readable, read, and hand in what comes, even when it is only discarded.
    READ read = 1;
    /// Wait until the connection is writable, and write: some bytes of ours are not yet with the kernel.
    WRITE write = 2;
    /// The program may still send stanzas. Once false, this stays false.
    MAY_SEND may_send = 4;
    /// The peer's stream has ended: send what is still owed to the peer, then call
    /// [`finish`](crate::Engine::finish).
    ANSWER answer = 8;
    /// What is read is still the peer's stream. Once false, this stays false.
    PARSE parse = 16;
    /// Send `close_notify` now, then tell [`DidNotify`](crate::Fact::DidNotify). Together with `over`: try it once, without
    /// waiting.
    NOTIFY notify = 32;
    /// Call `shutdown(SHUT_WR)` now, then tell [`DidShut`](crate::Fact::DidShut).
    SHUT shut = 64;
    /// The outcome is fixed and the report complete: close the connection.
    OVER over = 128;
}

impl Wants {
    /// These wants with `what`, or without it.
    pub(crate) fn with(self, what: Self, is_wanted: bool) -> Self {
        Self(if is_wanted { self.0 | what.0 } else { self.0 & !what.0 })
    }
}

/// The names of what is wanted: `READ | PARSE`.
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
