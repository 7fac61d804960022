//! What a wait costs, and that it ends in time, whatever poll(2) says, and whatever a forked child does with what it
//! has inherited.
#![allow(unsafe_code, reason = "sockets are prepared, and processes made, through libc")]

#[path = "../support/peer.rs"]
mod peer;

mod cost;
mod forks;
mod hidden;
mod ways;

use std::{
    io, mem,
    os::fd::AsRawFd,
    time::{Duration, Instant},
};

/// The processor time that this thread has used.
fn thread_time() -> Duration {
    // SAFETY: zero is a time, and the system stores one.
    let time = unsafe {
        let mut time: libc::timespec = mem::zeroed();
        assert_eq!(libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time), 0);
        time
    };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// A wait of `limit` may cost 0.05 s in 3 s. A busy machine can only add to that, so there are five tries.
fn assert_cheap(what: &str, limit: Duration, mut wait: impl FnMut()) {
    for tries_left in (0..5).rev() {
        let (start, before) = (Instant::now(), thread_time());
        wait();
        let (took, cost) = (start.elapsed(), thread_time() - before);
        println!("{what}: {cost:?} of processor time in {took:?}");
        assert!(took >= limit.mul_f32(0.9), "{what}: {took:?} is no wait");
        if cost.as_secs_f64() < took.as_secs_f64() * 0.05 / 3.0 {
            return;
        }
        assert!(tries_left > 0, "{what}: {cost:?} in {took:?}");
    }
}

fn set(socket: &impl AsRawFd, name: libc::c_int, value: libc::c_int) {
    let length = size_of_val(&value) as libc::socklen_t;
    // SAFETY: the value is as long as it is said to be.
    let result =
        unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, name, (&raw const value).cast(), length) };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
}
