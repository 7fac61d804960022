//! How much waits in a socket, to be read or to be acknowledged.

use std::os::fd::{AsRawFd, BorrowedFd};

use socket2::SockRef;

#[cfg(any(target_os = "linux", target_vendor = "apple"))]
use super::option;

/// How many bytes that were written the peer has not acknowledged; 0 where the system cannot tell.
pub(crate) fn unacked(fd: BorrowedFd<'_>) -> u64 {
    match unsent(fd) {
        0 => 0,
        // For Unix sockets it is a size of memory, not a number of bytes.
        bytes if SockRef::from(&fd).local_addr().is_ok_and(|name| name.is_ipv4() || name.is_ipv6()) => bytes,
        _ => 0,
    }
}

/// TIOCOUTQ is another name of SIOCOUTQ.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn unsent(fd: BorrowedFd<'_>) -> u64 {
    queue_length(fd, libc::TIOCOUTQ as Request)
}

#[cfg(any(target_os = "freebsd", target_os = "netbsd"))]
fn unsent(fd: BorrowedFd<'_>) -> u64 {
    queue_length(fd, libc::FIONWRITE as Request)
}

#[cfg(target_vendor = "apple")]
fn unsent(fd: BorrowedFd<'_>) -> u64 {
    option(fd, libc::SOL_SOCKET, libc::SO_NWRITE, 0).map_or(0, |bytes: libc::c_int| u64::try_from(bytes).unwrap_or(0))
}

/// Other systems do not tell.
#[cfg(not(any(
    target_os = "linux",
    target_os = "android",
    target_os = "freebsd",
    target_os = "netbsd",
    target_vendor = "apple"
)))]
fn unsent(_: BorrowedFd<'_>) -> u64 {
    0
}

/// FIONREAD counts up to the mark of urgent data, at which a read stops, too. What lies behind the mark is counted by a look.
pub(crate) fn unread(fd: BorrowedFd<'_>) -> u64 {
    match queue_length(fd, libc::FIONREAD as Request) {
        0 => behind_mark(fd),
        bytes => bytes,
    }
}

/// How many bytes follow the mark of urgent data, if the mark comes next. The urgent byte itself does not count: no read
/// returns it.
#[cfg(all(target_os = "linux", not(any(target_arch = "mips", target_arch = "mips64"))))]
fn behind_mark(fd: BorrowedFd<'_>) -> u64 {
    const SIOCATMARK: Request = 0x8905;
    if queue_length(fd, SIOCATMARK) == 0 {
        return 0;
    }
    let flags = libc::MSG_PEEK | libc::MSG_TRUNC | super::ATTEMPT;
    #[allow(unsafe_code)]
    // SAFETY: with these flags TCP only counts. If it did store something, NULL would be no memory, and the result EFAULT.
    let bytes = unsafe { libc::recv(fd.as_raw_fd(), std::ptr::null_mut(), libc::c_int::MAX as usize, flags) };
    u64::try_from(bytes).unwrap_or(0)
}

#[cfg(not(all(target_os = "linux", not(any(target_arch = "mips", target_arch = "mips64")))))]
fn behind_mark(_: BorrowedFd<'_>) -> u64 {
    0
}

/// The type of ioctl's second parameter, of which libc has a name on some systems only.
#[cfg(any(target_os = "linux", target_os = "l4re", target_os = "android"))]
type Request = libc::Ioctl;
#[cfg(any(target_os = "solaris", target_os = "illumos", target_os = "aix", target_os = "haiku"))]
type Request = libc::c_int;
#[cfg(not(any(
    target_os = "linux",
    target_os = "l4re",
    target_os = "android",
    target_os = "solaris",
    target_os = "illumos",
    target_os = "aix",
    target_os = "haiku"
)))]
type Request = libc::c_ulong;

fn queue_length(fd: BorrowedFd<'_>, queue: Request) -> u64 {
    let mut bytes: libc::c_int = 0;
    #[allow(unsafe_code)]
    // SAFETY: each of these requests stores one int through the pointer.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), queue, &raw mut bytes) };
    if result == 0 { u64::try_from(bytes).unwrap_or(0) } else { 0 }
}

/// Whether both queues of a TCP socket are empty, found out by one system call.
#[cfg(target_os = "linux")]
pub(crate) fn queues_are_empty(fd: BorrowedFd<'_>) -> bool {
    const QUEUES: [libc::c_int; 3] =
        [libc::SK_MEMINFO_RMEM_ALLOC, libc::SK_MEMINFO_WMEM_QUEUED, libc::SK_MEMINFO_BACKLOG];
    let memory = option(fd, libc::SOL_SOCKET, libc::SO_MEMINFO, [1_u32; libc::SK_MEMINFO_DROPS as usize + 1]);
    memory.is_ok_and(|memory| QUEUES.iter().all(|queue| memory[*queue as usize] == 0))
}

/// Other systems cannot tell by one call.
#[cfg(not(target_os = "linux"))]
pub(crate) fn queues_are_empty(_: BorrowedFd<'_>) -> bool {
    false
}
