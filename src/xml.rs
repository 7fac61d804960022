//! What needs XML's meaning and not only its boundaries: the stream header, stream errors, limits, reading a stanza.
//!
//! What the library itself wants to know of the peer's XML it reads by a walk of its own, in time linear in what came. The `xml`
//! crate, which was called `xml-rs` for its first ten years, reads whole stanzas for applications; this module is its
//! only door.

mod header;
mod limits;
mod scope;
mod stanza;
mod stream_error;
mod walk;

pub use header::Header;
pub use limits::idle_seconds;
#[cfg(feature = "capi")]
pub(crate) use limits::idle_seconds_in;
pub(crate) use scope::{NS_STREAMS, Scope};
pub use stanza::Stanza;
pub(crate) use stream_error::{is_stream_error, stream_error};
pub use xml_rs::reader::{EventReader, XmlEvent};

/// The local name of the element that `element` begins with.
fn local_name(element: &[u8]) -> &[u8] {
    let name = element.get(1..).unwrap_or_default();
    let end = name.iter().position(|byte| b" \t\r\n/>".contains(byte)).unwrap_or(name.len());
    name[..end].rsplit(|&byte| byte == b':').next().unwrap_or_default()
}
