//! Waiting for many descriptors at once, at a cost that does not grow with their number (feature `batch`).
//!
//! A descriptor is watched with a key until it is forgotten, and must be forgotten before it is closed. It is an error to
//! watch a descriptor twice ([`AlreadyExists`](std::io::ErrorKind::AlreadyExists)), or one that cannot be waited for, such as
//! a file ([`PermissionDenied`](std::io::ErrorKind::PermissionDenied)).

#[cfg(any(target_os = "linux", target_os = "android"))]
mod epoll;
#[cfg(any(test, not(any(target_os = "linux", target_os = "android"))))]
mod portable;

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) use epoll::Readiness;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) use portable::Readiness;

use super::Interest;

/// How many descriptors one wait can report. The next wait reports the others.
const AT_ONCE: usize = 1024;

/// Both kinds, where both can be tried.
#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::{
        io::{ErrorKind, Write},
        os::{fd::AsFd, unix::net::UnixStream},
        time::{Duration, Instant},
    };

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);
    const NOTHING: Duration = Duration::from_millis(20);

    macro_rules! tests {
        ($kind:ident) => {
            mod $kind {
                use super::{super::$kind::Readiness, *};

                fn ready(readiness: &Readiness, limit: Duration) -> Vec<usize> {
                    let mut keys = Vec::new();
                    readiness.wait(limit, &mut keys).unwrap();
                    keys.sort_unstable();
                    keys
                }

                #[test]
                fn what_is_ready_is_told_by_its_key_as_long_as_it_is() {
                    let (ours, mut theirs) = UnixStream::pair().unwrap();
                    let (other, _peer) = UnixStream::pair().unwrap();
                    let readiness = Readiness::new().unwrap();
                    readiness.watch(ours.as_fd(), 7, None, Some(Interest::READ)).unwrap();
                    readiness.watch(other.as_fd(), 8, None, Some(Interest::READ)).unwrap();
                    assert_eq!(ready(&readiness, NOTHING), []);
                    theirs.write_all(b"x").unwrap();
                    assert_eq!(ready(&readiness, PATIENCE), [7]);
                    assert_eq!(ready(&readiness, PATIENCE), [7]);
                    readiness.watch(other.as_fd(), 8, Some(Interest::READ), Some(Interest::WRITE)).unwrap();
                    assert_eq!(ready(&readiness, PATIENCE), [7, 8]);
                    readiness.watch(ours.as_fd(), 7, Some(Interest::READ), None).unwrap();
                    readiness.forget(other.as_fd());
                    assert_eq!(ready(&readiness, NOTHING), []);
                }

                #[test]
                fn the_end_is_something_to_read() {
                    let (ours, theirs) = UnixStream::pair().unwrap();
                    let readiness = Readiness::new().unwrap();
                    readiness.watch(ours.as_fd(), 1, None, Some(Interest::READ)).unwrap();
                    drop(theirs);
                    assert_eq!(ready(&readiness, PATIENCE), [1]);
                    readiness.forget(ours.as_fd());
                }

                #[test]
                fn many_are_told_at_once() {
                    let pairs: Vec<_> = (0..AT_ONCE / 4).map(|_| UnixStream::pair().unwrap()).collect();
                    let readiness = Readiness::new().unwrap();
                    for (key, (ours, _)) in pairs.iter().enumerate() {
                        readiness.watch(ours.as_fd(), key, None, Some(Interest::WRITE)).unwrap();
                    }
                    assert_eq!(ready(&readiness, PATIENCE), Vec::from_iter(0..pairs.len()));
                    pairs.iter().for_each(|(ours, _)| readiness.forget(ours.as_fd()));
                    assert_eq!(ready(&readiness, NOTHING), []);
                }

                #[test]
                fn a_wait_never_ends_early() {
                    let readiness = Readiness::new().unwrap();
                    let start = Instant::now();
                    assert_eq!(ready(&readiness, NOTHING), []);
                    assert!(start.elapsed() >= NOTHING);
                    assert_eq!(ready(&readiness, Duration::ZERO), []);
                }

                #[test]
                fn what_cannot_be_watched_is_refused() {
                    let (ours, _theirs) = UnixStream::pair().unwrap();
                    let readiness = Readiness::new().unwrap();
                    readiness.watch(ours.as_fd(), 1, None, Some(Interest::READ)).unwrap();
                    let kind = |result: std::io::Result<()>| result.unwrap_err().kind();
                    let again = readiness.watch(ours.as_fd(), 2, None, Some(Interest::READ));
                    assert_eq!(kind(again), ErrorKind::AlreadyExists);
                    let file = std::fs::File::open("/proc/self/exe").unwrap();
                    let result = readiness.watch(file.as_fd(), 3, None, Some(Interest::READ));
                    assert_eq!(kind(result), ErrorKind::PermissionDenied);
                    readiness.forget(file.as_fd()); // does nothing
                    readiness.forget(ours.as_fd());
                }
            }
        };
    }

    tests!(epoll);
    tests!(portable);
}
