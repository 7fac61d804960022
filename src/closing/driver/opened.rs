//! How far a stream has come before it is closed.

use std::io;

use crate::{
    error::Error,
    framing::{Frame, Framer},
    options::CloseOptions,
    stream_error::StreamError,
    xml::Scope,
};

/// What was begun before the close: how far both sides of the stream have come.
pub(crate) struct Opened {
    /// Frames the peer's stream; `None` when the caller's parser finds its end.
    pub(crate) framer: Option<Framer>,
    /// What the peer's header puts in scope.
    pub(crate) header: Scope,
    /// Queued before the close, so sent before all else.
    pub(crate) queued: Vec<u8>,
    /// The peer's stream error, if it was seen already.
    pub(crate) stream_error: Option<StreamError>,
    /// How the last read ended, when there is nothing more to read.
    pub(crate) end: Option<End>,
}

/// What a read said last: the end, or an error, which the system reports only once (TC-04).
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    Eof,
    Failed(io::ErrorKind, Option<i32>),
}

impl End {
    /// `None` when reading goes on.
    pub(crate) fn of(result: &io::Result<usize>) -> Option<Self> {
        match result {
            Ok(0) => Some(Self::Eof),
            Ok(_) => None,
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => None,
                kind => Some(Self::Failed(kind, error.raw_os_error())),
            },
        }
    }

    pub(super) fn again(self) -> io::Result<usize> {
        match self {
            Self::Eof => Ok(0),
            Self::Failed(_, Some(code)) => Err(io::Error::from_raw_os_error(code)),
            Self::Failed(kind, None) => Err(kind.into()),
        }
    }
}

impl Opened {
    /// Both headers have been exchanged; of the peer's is known what the options say.
    pub(crate) fn between_stanzas(options: &CloseOptions) -> Result<Self, Error> {
        let (framer, header) = match &options.peer_header {
            None => (Framer::inside(None), Scope::default()),
            Some(header) => {
                let mut framer = Framer::new().limit(usize::MAX);
                let mut rest = header.as_bytes();
                let scope = match framer.next(&mut rest) {
                    // `<stream:stream/>` would be the end of the stream as well.
                    Some(Frame::Header(tag)) if rest.is_empty() && !tag.ends_with(b"/>") => Scope::of(tag),
                    _ => return Err(Error::Invalid("the peer's header is not a start tag")),
                };
                (framer, scope)
            }
        };
        Ok(Self { framer: Some(framer), header, queued: Vec::new(), stream_error: None, end: None })
    }
}
