//! getsockopt(2), for the options that socket2 does not know.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
};

/// A value of whole numbers only: any bytes are a valid value.
pub(super) trait Numbers: Copy {}
impl Numbers for libc::c_int {}
impl<const N: usize> Numbers for [u32; N] {}

/// Asks for an option. Numbers that this system does not store stay as they are in `value`.
pub(super) fn option<V: Numbers>(
    fd: BorrowedFd<'_>,
    level: libc::c_int,
    name: libc::c_int,
    mut value: V,
) -> io::Result<V> {
    let mut length = size_of::<V>() as libc::socklen_t;
    #[allow(unsafe_code)]
    // SAFETY: the system stores at most `length` bytes to `value`, and whatever they are, they are numbers.
    let result = unsafe { libc::getsockopt(fd.as_raw_fd(), level, name, (&raw mut value).cast(), &raw mut length) };
    if result == 0 { Ok(value) } else { Err(io::Error::last_os_error()) }
}
