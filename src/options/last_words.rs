//! What the application says right in front of our closing tag.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

/// What was said when the last words were asked for.
#[allow(dead_code, reason = "the C API is to use all of it")]
pub(crate) enum Said {
    /// These, and that was all.
    All(Vec<u8>),
    /// These, and perhaps more when it is asked again; none: that was all.
    #[cfg(feature = "capi")]
    Some(Vec<u8>),
    /// The first were sent by another way while it was asked, and go in front; perhaps more when it is asked again.
    #[cfg(feature = "capi")]
    Sent(Vec<u8>, Vec<u8>),
    /// Nothing yet: the application will say itself when all is said.
    #[cfg(feature = "capi")]
    Later,
    /// The close is to be stopped.
    #[cfg(feature = "capi")]
    Stop,
}

/// Composes what is said last. Clones of the options share it.
#[derive(Clone)]
pub(crate) struct LastWords(Arc<Mutex<dyn FnMut() -> Said + Send>>);

impl LastWords {
    pub(crate) fn new(compose: impl FnMut() -> Said + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(compose)))
    }

    pub(crate) fn ask(&self) -> Said {
        // One that has panicked is asked again.
        (self.0.lock().unwrap_or_else(PoisonError::into_inner))()
    }
}

impl fmt::Debug for LastWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LastWords")
    }
}
