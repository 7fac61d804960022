//! The process that an object belongs to.

/// After fork(2) the child has a copy of every object, but shares with its parent what the descriptors in it stand for.
/// What it does there reaches the parent, so it does nothing.
#[derive(Debug)]
pub(crate) struct Owner(u32);

impl Owner {
    pub(crate) fn this_process() -> Self {
        Self(std::process::id())
    }

    /// No: this is a child of that process.
    pub(crate) fn is_this_process(&self) -> bool {
        self.0 == std::process::id()
    }
}
