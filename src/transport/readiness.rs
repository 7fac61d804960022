//! Waiting for many descriptors at once, at a cost that does not grow with their number (feature `batch`).
//!
//! A descriptor is watched with a key until it is forgotten, and must be forgotten before it is closed. It is an error to
//! watch a descriptor twice ([`AlreadyExists`](std::io::ErrorKind::AlreadyExists)), or one that cannot be waited for, such as
//! a file ([`PermissionDenied`](std::io::ErrorKind::PermissionDenied)).

#[cfg(any(test, not(any(target_os = "linux", target_os = "android"))))]
mod portable;

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) use super::system::Readiness;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) use portable::Readiness;

/// How many descriptors one wait can report. The next wait reports the others.
pub(crate) const AT_ONCE: usize = 1024;

/// All kinds that can be tried on this system.
#[cfg(test)]
mod tests {
    use std::{
        io::{ErrorKind, Write},
        net::{TcpListener, TcpStream},
        time::{Duration, Instant},
    };

    use super::*;
    use crate::transport::{Interest, system::lent};

    const PATIENCE: Duration = Duration::from_secs(60);
    const NONE: [usize; 0] = [];
    const NOTHING: Duration = Duration::from_millis(20);

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (ours, listener.accept().unwrap().0)
    }

    macro_rules! tests {
        ($name:ident, $kind:ty, $new:ident) => {
            mod $name {
                use super::*;

                fn new() -> $kind {
                    <$kind>::$new().unwrap()
                }

                fn ready(readiness: &$kind, limit: Duration) -> Vec<usize> {
                    let mut keys = Vec::new();
                    readiness.wait(limit, &mut keys).unwrap();
                    keys.sort_unstable();
                    keys
                }

                #[test]
                fn what_is_ready_is_told_by_its_key_as_long_as_it_is() {
                    let (ours, mut theirs) = pair();
                    let (other, _peer) = pair();
                    let readiness = new();
                    readiness.watch(lent(&ours), 7, None, Some(Interest::READ)).unwrap();
                    readiness.watch(lent(&other), 8, None, Some(Interest::READ)).unwrap();
                    assert_eq!(ready(&readiness, NOTHING), NONE);
                    theirs.write_all(b"x").unwrap();
                    assert_eq!(ready(&readiness, PATIENCE), [7]);
                    assert_eq!(ready(&readiness, PATIENCE), [7]);
                    readiness.watch(lent(&other), 8, Some(Interest::READ), Some(Interest::WRITE)).unwrap();
                    // One wait may report a part, but a key that is ready comes in the end.
                    let mut all = ready(&readiness, PATIENCE);
                    while !all.contains(&7) || !all.contains(&8) {
                        all.extend(ready(&readiness, PATIENCE));
                    }
                    assert!(all.iter().all(|key| [7, 8].contains(key)), "{all:?}");
                    readiness.watch(lent(&ours), 7, Some(Interest::READ), None).unwrap();
                    readiness.forget(lent(&other));
                    assert_eq!(ready(&readiness, NOTHING), NONE);
                }

                #[test]
                fn the_end_is_something_to_read() {
                    let (ours, theirs) = pair();
                    let readiness = new();
                    readiness.watch(lent(&ours), 1, None, Some(Interest::READ)).unwrap();
                    drop(theirs);
                    assert_eq!(ready(&readiness, PATIENCE), [1]);
                    readiness.forget(lent(&ours));
                }

                #[test]
                fn many_are_told_at_once() {
                    let pairs: Vec<_> = (0..AT_ONCE / 4).map(|_| pair()).collect();
                    let readiness = new();
                    for (key, (ours, _)) in pairs.iter().enumerate() {
                        readiness.watch(lent(ours), key, None, Some(Interest::WRITE)).unwrap();
                    }
                    assert_eq!(ready(&readiness, PATIENCE), Vec::from_iter(0..pairs.len()));
                    pairs.iter().for_each(|(ours, _)| readiness.forget(lent(ours)));
                    assert_eq!(ready(&readiness, NOTHING), NONE);
                }

                #[test]
                fn a_wait_never_ends_early() {
                    let readiness = new();
                    let start = Instant::now();
                    assert_eq!(ready(&readiness, NOTHING), NONE);
                    assert!(start.elapsed() >= NOTHING);
                    assert_eq!(ready(&readiness, Duration::ZERO), NONE);
                }

                #[test]
                fn what_is_watched_already_is_refused() {
                    let (ours, _theirs) = pair();
                    let readiness = new();
                    readiness.watch(lent(&ours), 1, None, Some(Interest::READ)).unwrap();
                    let kind = |result: std::io::Result<()>| result.unwrap_err().kind();
                    let again = readiness.watch(lent(&ours), 2, None, Some(Interest::READ));
                    assert_eq!(kind(again), ErrorKind::AlreadyExists);
                    readiness.forget(lent(&ours));
                }

                #[cfg(target_os = "linux")]
                #[test]
                fn a_file_is_refused() {
                    let readiness = new();
                    let file = std::fs::File::open("/proc/self/exe").unwrap();
                    let result = readiness.watch(lent(&file), 3, None, Some(Interest::READ));
                    assert_eq!(result.unwrap_err().kind(), ErrorKind::PermissionDenied);
                    readiness.forget(lent(&file)); // does nothing
                }
            }
        };
    }

    tests!(of_this_system, Readiness, new);
    tests!(by_polling, portable::Readiness, new);
    tests!(by_polling_that_tells_once, portable::Readiness, told_once);
}
