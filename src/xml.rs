//! Everything that needs the meaning of XML, and not only its boundaries: the stream header ([`Header`]), stanzas
//! ([`Stanza`]), and the limits that a server announces ([`idle_seconds`]).
//!
//! An application reads the content of a stanza with the parser of its choice, or with [`Stanza::reader`]:
//!
//! ```
//! use xmpp_close::{Incoming, Stream, xml::{Header, XmlEvent}};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use std::{io::Write, os::unix::net::UnixStream};
//! # let (ours, mut peer) = UnixStream::pair()?;
//! # peer.write_all(b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' id='7'>\
//! #     <message from='juliet@capulet.example'><body>Good night!</body></message>")?;
//! let mut stream = Stream::new(ours);
//! let Incoming::Header(start_tag) = stream.receive()? else { panic!("no header") };
//! let header = Header::parse(&start_tag)?;
//! assert_eq!(header.id.as_deref(), Some("7"));
//!
//! let Incoming::Stanza(message) = stream.receive()? else { panic!("no stanza") };
//! for event in message.reader() {
//!     match event? {
//!         XmlEvent::StartElement { name, .. } => println!("<{}>", name.local_name),
//!         XmlEvent::Characters(text) => println!("{text}"),
//!         _ => {}
//!     }
//! }
//! # Ok(()) }
//! ```

// What the library itself needs to know of the peer's XML is read by `walk`, in time linear in the length. The `xml` crate,
// which was called `xml-rs` in its first ten years, reads stanzas for applications only.

mod header;
mod limits;
mod reader;
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

/// The local name of the element at the start of `element`.
fn local_name(element: &[u8]) -> &[u8] {
    let name = element.get(1..).unwrap_or_default();
    let end = name.iter().position(|byte| b" \t\r\n/>".contains(byte)).unwrap_or(name.len());
    name[..end].rsplit(|&byte| byte == b':').next().unwrap_or_default()
}
