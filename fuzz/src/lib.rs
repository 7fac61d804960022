//! What must hold for every input. The fuzzer runs these functions, and so does tests/fuzz_corpus.rs, which includes
//! this file: over the corpus, and over mutations of the corpus.

mod bytes;
mod capi;
mod closes;
mod engine;
#[cfg(unix)]
mod expat;
mod framing;
mod liar;
#[path = "../../tests/support/local.rs"]
mod local;
mod session;
// The CPU time of a thread, which this is about, comes in steps that are too coarse on Windows.
#[cfg(unix)]
mod worst;

pub use capi::capi;
pub use engine::engine;
pub use framing::framing;
pub use session::{header, session};
#[cfg(unix)]
pub use worst::{SHAPES, input, worst};
