//! What differs between systems: how a socket is named, attempts that never wait, waits, and what the kernel knows of a
//! socket. The rest of the crate is the same everywhere.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub(crate) use unix::*;
#[cfg(unix)]
pub use unix::{AsSocket, BorrowedSocket, OwnedSocket};
#[cfg(windows)]
pub(crate) use windows::*;
#[cfg(windows)]
pub use windows::{AsSocket, BorrowedSocket, OwnedSocket};
