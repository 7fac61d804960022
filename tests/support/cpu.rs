//! CPU time of this thread, which other programs hardly change.

use std::time::Duration;

#[cfg(unix)]
pub fn thread_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a live timespec that the call fills.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) }, 0);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[cfg(windows)]
pub fn thread_time() -> Duration {
    use std::ffi::c_void;
    #[link(name = "kernel32")]
    unsafe extern "system" {
        fn GetCurrentThread() -> *mut c_void;
        fn GetThreadTimes(
            thread: *mut c_void,
            creation: *mut u64,
            exit: *mut u64,
            kernel: *mut u64,
            user: *mut u64,
        ) -> i32;
    }
    let [mut creation, mut exit, mut kernel, mut user] = [0; 4];
    // SAFETY: the handle needs no care, and the call fills four live numbers of 64 bits.
    let known =
        unsafe { GetThreadTimes(GetCurrentThread(), &raw mut creation, &raw mut exit, &raw mut kernel, &raw mut user) };
    assert_ne!(known, 0);
    Duration::from_nanos(100 * (kernel + user))
}
