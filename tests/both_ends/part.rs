//! What is on its way between two ends.

const TAG: &[u8] = b"</stream:stream>";
const ERROR: &[u8] = b"<stream:error><not-well-formed xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>";
pub const HEADER: &str =
    "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";
pub const STANZA: &[u8] = b"<a></a>";

/// The smallest parts between which TCP may cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    Header,
    /// The first half of a stanza.
    Begins,
    /// Its second half.
    Ends,
    /// A whole stream error.
    Error,
    Tag,
    /// What is no XML.
    Garbage,
    Notify,
    Fin,
    Reset,
}

impl Part {
    pub fn is_data(self) -> bool {
        !matches!(self, Self::Fin | Self::Reset)
    }

    pub fn bytes(self) -> &'static [u8] {
        match self {
            Self::Header => HEADER.as_bytes(),
            Self::Begins => b"<a>",
            Self::Ends => b"</a>",
            Self::Error => ERROR,
            Self::Tag => TAG,
            Self::Garbage => b"\0",
            Self::Notify | Self::Fin | Self::Reset => b"",
        }
    }

    pub fn len(self) -> usize {
        self.bytes().len()
    }

    /// The part that `bytes` begin with.
    pub fn first(bytes: &[u8]) -> Self {
        let all = [Self::Header, Self::Begins, Self::Ends, Self::Error, Self::Tag];
        let found = all.into_iter().find(|part| bytes.starts_with(part.bytes()));
        found.unwrap_or_else(|| panic!("{}", bytes.escape_ascii()))
    }
}
