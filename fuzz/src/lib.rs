//! What must hold for every input. The fuzzer runs these functions, and so does tests/fuzz_corpus.rs, which includes
//! this file: over the corpus, and over mutations of the corpus.

mod bytes;
mod capi;
mod closes;
mod engine;
mod expat;
mod framing;
mod liar;
mod session;
mod worst;

pub use capi::capi;
pub use engine::engine;
pub use framing::framing;
pub use session::{header, session};
pub use worst::{SHAPES, input, worst};
