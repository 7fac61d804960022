//! The process to which an object belongs.

/// After fork(2) the child has a copy of every object, but shares with its parent the sockets behind the descriptors. What
/// the child did to these sockets would reach the parent, so in the child the object does nothing.
#[derive(Debug)]
pub(crate) struct Owner(u32);

impl Owner {
    pub(crate) fn this_process() -> Self {
        Self(std::process::id())
    }

    /// Whether this is the process that made the object. Otherwise this is a forked child.
    pub(crate) fn is_this_process(&self) -> bool {
        self.0 == std::process::id()
    }
}
