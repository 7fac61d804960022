//! Ends an XMPP stream so that nothing that is still on its way is lost: with the closing handshake of RFC 6120 section 4.4,
//! XEP-0190 and the ProtoJEP "Best Practice for Closing Idle Streams".
//!
//! ```text
//!   we                          peer
//!   │                              │
//! 1 │─<message/> </stream:stream>─►│
//!   │                              │
//! 2 │◄────<message/> <message/>────│
//!   │                              │
//! 3 │◄───────</stream:stream>──────│
//!   │                              │
//! 4 │─────────────FIN─────────────►│
//!   │                              │
//! 5 │◄────────────FIN──────────────│
//! ```
//!
//! 1. Our last stanzas and our closing tag go out. Nothing may be sent behind the tag.
//! 2. What the peer sent before it saw our tag still comes. The program processes it.
//! 3. The peer answers with its own closing tag. Only now both streams are over.
//! 4. Only now TCP ends. Over TLS, `close_notify` goes first.
//! 5. We read TCP to its end, so that no reset destroys our last bytes.
//!
//! One deadline covers all of it, and a [`Report`] says how the stream ended.
//!
//! # First example
//!
//! ```
//! use std::{net::TcpStream, time::Duration};
//! use xmpp_close::CloseOptions;
//!
//! fn end(tcp: TcpStream) -> Result<(), xmpp_close::Error> {
//!     let mut closing = CloseOptions::new().total(Duration::from_secs(20)).begin(tcp)?;
//!     for stanza in &mut closing {
//!         println!("still came: {stanza}"); // process it, as in the open stream
//!     }
//!     let report = closing.finish();
//!     println!("{report}"); // clean: both closing tags were exchanged; …
//!     # assert_eq!((report.outcome, report.stanzas), (xmpp_close::Outcome::Clean, 1));
//!     Ok(())
//! }
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use std::{io::{Read, Write}, net::TcpListener, thread};
//! # let listener = TcpListener::bind("127.0.0.1:0")?;
//! # let tcp = TcpStream::connect(listener.local_addr()?)?;
//! # let (mut peer, _) = listener.accept()?;
//! # peer.write_all(b"<message/>")?;
//! # let peer = thread::spawn(move || -> std::io::Result<()> {
//! #     peer.read_exact(&mut [0; b"</stream:stream>".len()])?;
//! #     peer.write_all(b"</stream:stream>")
//! # });
//! # end(tcp)?;
//! # peer.join().unwrap()?;
//! # Ok(()) }
//! ```
//!
//! # Which part for which program
//!
//! | the program has | it uses |
//! |---|---|
//! | a connected socket whose stream is to end | [`CloseOptions::begin`], which returns a [`Closing`] |
//! | the same, and no use for what still comes | [`close`], [`CloseOptions::close`] |
//! | one thread for each connection | [`Stream`], for the whole session; [`Sender`] for other threads |
//! | an event loop, or async code | [`Closing::step`] |
//! | an event loop with its own socket, TLS or parser | [`Engine`], which does no I/O; [`Framer`] |
//! | many connections at once | [`Batch`] (feature `batch`) |
//! | a connection over TLS | [`RustlsTransport`] (feature `rustls`), or [`over`] with any other TLS crate |
//! | something else that reads and writes bytes | an implementation of [`Transport`] |
//! | C or C++ | the headers in `include/` (feature `capi`) |
//!
//! [`Canceller`] stops closes from another thread. [`xml`] reads stanzas and stream headers.
//!
//! # Outcomes and errors
//!
//! How a stream ended is an [`Outcome`] in the report, and never an error: also when the peer did not answer in time, or
//! the connection broke. An [`Error`] says that the close did not begin, or that a call does not fit the stream. Only
//! [`Stream::send`] and [`Stream::receive`], which work on the open stream, return a broken connection as an error.
//!
//! ```
//! use std::os::unix::net::UnixStream;
//! use xmpp_close::{CloseOptions, Error, Invalid};
//!
//! # fn main() -> std::io::Result<()> {
//! # let (socket, peer) = UnixStream::pair()?;
//! # drop(peer);
//! match CloseOptions::new().closing_tag("</stream>").close(socket) {
//!     Ok(report) if report.is_clean() => println!("both closing tags were exchanged"),
//!     Ok(report) => println!("not clean, and nothing more can be done: {report}"),
//!     Err(Error::Invalid(Invalid::ClosingTag)) => eprintln!("mend the options"),
//!     Err(error) => eprintln!("nothing was sent: {error}"),
//! }
//! # Ok(()) }
//! ```
//!
//! # How to use the engine
//!
//! Use the [`Engine`] when the program cannot lend its connection to the library: because it owns the TLS session, or
//! because an XML parser of its own reads the bytes. Otherwise [`Closing::step`] is shorter.
//!
//! 1. While the stream is open, hand in what comes ([`Engine::input`]), and send through the engine
//!    ([`Engine::send`]).
//! 2. To close, read until a read would block, and answer what came. Then call [`Engine::finish`]. A program that does not
//!    read first tells how much is unread ([`Fact::Arrived`]).
//! 3. In each turn of the loop, do what [`Engine::wants`] says:
//!    - `read`: read once, and hand the bytes to [`Engine::input`]; [tell](Engine::tell) the end, or an error.
//!    - `write`: write [`Engine::output`], and call [`Engine::wrote`]; tell an error.
//!    - `answer`: send what is still owed to the peer, then call [`Engine::finish`].
//!    - `notify`: send TLS's `close_notify`, and tell [`Fact::DidNotify`].
//!    - `shut`: call `shutdown(SHUT_WR)`, and tell [`Fact::DidShut`].
//!    - `over`: take the [`Engine::report`], and close the connection.
//! 4. At [`Engine::deadline`], and whenever it is convenient, call [`Engine::tick`].
//!
//! The page of [`Engine`] has the whole loop as an example, [`Fact`] one with a parser of the program's own.
//!
//! # Features
//!
//! None is on by default.
//!
//! - `batch`: [`Batch`], many streams in one thread.
//! - `rustls`: [`RustlsTransport`], a stream over the `rustls` crate.
//! - `serde`: `Serialize` and `Deserialize` for [`Report`], `Summary`, `BatchReport`, [`StreamError`] and the enums in them;
//!   each value has the name that its `Display` writes.
//! - `log`: one event of the `log` crate for each phase of a close, with the target `xmpp_close`. The end is logged at the
//!   level `info`, the other phases at `debug`. An [`Engine`] of the program's own logs nothing.
//! - `capi`: the functions of `include/xmpp_close.h`; contains `batch`. Rust programs do not need it.
//! - `header`: for maintainers of this crate only, makes `include/xmpp_close.h`.
//!
//! The crate runs on Unix-like systems and on Windows. It starts no thread, and needs no async runtime.
//!
#![cfg_attr(feature = "batch", doc = " [`Batch`]: Batch")]
#![cfg_attr(not(feature = "batch"), doc = " [`Batch`]: crate#features")]
#![cfg_attr(feature = "rustls", doc = " [`RustlsTransport`]: RustlsTransport")]
#![cfg_attr(not(feature = "rustls"), doc = " [`RustlsTransport`]: crate#features")]
// The registry's documentation says with which feature a type comes.
#![cfg_attr(docsrs, feature(doc_cfg))]
// `# Errors` and `# Panics` stand wherever they belong.
#![deny(clippy::missing_errors_doc, clippy::missing_panics_doc)]

#[cfg(not(any(unix, windows)))]
compile_error!("xmpp-close needs the sockets of Unix or of Windows, and this target has neither");

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
pub use transport::{AsSocket, BorrowedSocket, Interest, OverTls, OwnedSocket, TlsError, TlsSession, Transport, over};
pub use xml::Stanza;

// The README's Rust is compiled with the documentation tests; tests/readme.rs compiles its C.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
