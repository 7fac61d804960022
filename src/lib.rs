//! Ends an XMPP stream without losing a byte: the closing handshake of RFC 6120 section 4.4, XEP-0190 and the
//! ProtoJEP "Best Practice for Closing Idle Streams".
//!
//! ```text
//!   we                                   the peer
//!    │ ── <message/> </stream:stream> ───► │     our closing tag, then not a byte more
//!    │ ◄────────── <message/> <message/> ── │     what was in flight is still read and processed
//!    │ ◄──────────────── </stream:stream> ── │     its closing tag
//!    │ ── FIN ───────────────────────────► │     only now is TCP ended…
//!    │ ◄─────────────────────────── FIN ── │     …and drained, so that no RST destroys the last bytes
//! ```
//!
//! One call does it all:
//!
//! ```no_run
//! # fn f(tcp: std::net::TcpStream) {
//! let report = xmpp_close::close(tcp);
//! println!("{report}");
//! # }
//! ```
//!
//! | for | use |
//! |---|---|
//! | a connection whose stream is to end | [`close`], [`CloseOptions`] |
//! | the stanzas that still arrive | [`CloseOptions::begin`], [`Closing`] |
//! | a whole session on one thread | [`Stream`] |
//! | a connection over TLS | `RustlsTransport` (feature `rustls`), or [`over`] any other TLS crate |
//! | many connections at once, under one deadline | `Batch` (feature `batch`) |
//! | one connection beside others in an event loop of one's own | [`Closing::step`] |
//! | an event loop with its own socket, TLS and parser | [`Engine`], which says what is to be done; [`Framer`] |
//! | C and C++ | `include/xmpp_close.h` (feature `capi`) |

#[cfg(feature = "batch")]
mod batch;
mod cancel;
mod closing;
mod condition;
mod engine;
mod error;
mod framing;
mod names;
mod options;
#[cfg(any(feature = "capi", feature = "log"))]
mod phase;
mod process;
mod report;
mod stream;
mod stream_error;
mod transport;
pub mod xml;

#[cfg(feature = "capi")]
#[allow(unsafe_code)]
pub mod ffi;

#[cfg(feature = "batch")]
pub use batch::{Batch, BatchHandle, BatchOptions, BatchReport, Removed, Summary};
pub use cancel::{Canceller, Waker};
pub use closing::{Closing, LateBytes, Step, Wait, close};
pub use condition::Condition;
pub use engine::{Engine, Fact, Found, SendError, TRAILING_LIMIT, Tls, Wants};
pub use error::{Error, Invalid};
pub use framing::{DEFAULT_STANZA_LIMIT, Frame, Framer, MIN_STANZA_LIMIT, Malformed};
pub use names::UnknownName;
pub use options::{CloseOptions, DEFAULT_LINGER, DEFAULT_TOTAL, Limits};
pub use report::{Initiator, Limit, Outcome, Report, TlsAlerts};
pub use stream::{Incoming, Sender, Stream};
pub use stream_error::StreamError;
#[cfg(feature = "rustls")]
pub use transport::RustlsTransport;
pub use transport::{Interest, OverTls, TlsError, TlsSession, Transport, over};
pub use xml::Stanza;

// The README's Rust is compiled with the documentation tests; tests/readme.rs compiles its C.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
