//! An event loop that is not the library's: epoll(7) alone, and connections on which it sends back what comes.
#![allow(unsafe_code)]
#![allow(dead_code, reason = "each test file uses its part")]

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd},
    time::Instant,
};

pub struct Epoll(OwnedFd);

impl Epoll {
    pub fn new() -> Self {
        // SAFETY: it takes a number and returns a new descriptor, which nobody else owns.
        Self(unsafe { OwnedFd::from_raw_fd(checked(libc::epoll_create1(libc::EPOLL_CLOEXEC))) })
    }

    /// Waits for `fd` to become readable, too.
    pub fn watch(&self, fd: impl AsFd, key: u64) {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: key };
        let (epoll, fd) = (self.0.as_raw_fd(), fd.as_fd().as_raw_fd());
        // SAFETY: both descriptors are open, and the event is a live struct.
        checked(unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, fd, &raw mut event) });
    }

    pub fn forget(&self, fd: impl AsFd) {
        let (epoll, fd) = (self.0.as_raw_fd(), fd.as_fd().as_raw_fd());
        // SAFETY: both descriptors are open, and no event is needed.
        checked(unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_DEL, fd, std::ptr::null_mut()) });
    }

    /// The keys of what is readable by `deadline`; `None` is for ever.
    pub fn wait(&self, deadline: Option<Instant>) -> Vec<u64> {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let millis = left.map_or(-1, |left| left.as_nanos().div_ceil(1_000_000).try_into().unwrap_or(i32::MAX));
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 256];
        // SAFETY: the system stores at most as many events as there is room for.
        let count = checked(unsafe { libc::epoll_wait(self.0.as_raw_fd(), events.as_mut_ptr(), 256, millis) });
        events[..usize::try_from(count).unwrap()].iter().map(|event| event.u64).collect()
    }
}

fn checked(result: libc::c_int) -> libc::c_int {
    assert!(result >= 0, "{}", io::Error::last_os_error());
    result
}

/// Sends back what has come on a connection; false at its end.
pub fn echo(mut tcp: &TcpStream) -> bool {
    let mut bytes = [0; 4096];
    let count = tcp.read(&mut bytes).unwrap();
    tcp.write_all(&bytes[..count]).unwrap();
    count > 0
}

/// The time within which 99 of 100 ended.
pub fn ninety_ninth<T: Ord + Copy>(times: &mut [T]) -> T {
    times.sort_unstable();
    times[times.len() * 99 / 100]
}
