// Closes through the C functions, over transports whose functions misbehave. Tests that need a C compiler, or a process of their
// own, are in ffi-tests.

use std::{
    ffi::{c_int, c_void},
    io::{Read, Write},
    ptr, slice, thread,
    time::{Duration, Instant},
};

use super::{
    blocking::xmpp_close_fd,
    callbacks::{xmpp_close_transport, xmpp_close_with},
    options::xmpp_close_options,
    report::xmpp_close_report,
    stream::{
        self, xmpp_close_detach, xmpp_close_finish, xmpp_close_free, xmpp_close_get_report, xmpp_close_output,
        xmpp_close_peer_error, xmpp_close_received, xmpp_close_send, xmpp_close_step, xmpp_close_tell, xmpp_close_tick,
        xmpp_close_timeout, xmpp_close_want, xmpp_close_wants, xmpp_close_wrote,
    },
};
use crate::{
    report::Outcome,
    transport::{BorrowedSocket, Interest, NO_SOCKET, Transport, codes},
};

#[path = "../../tests/support/local.rs"]
mod local;
use local::Local;

const TAG: &[u8] = b"</stream:stream>";

/// What a transport does when asked to read.
type Reading = Box<dyn FnMut(&mut [u8], &mut usize) -> c_int>;

struct Script {
    reading: Reading,
    written: Vec<u8>,
    reads: u32,
}

unsafe extern "C" fn read(script: *mut c_void, buf: *mut u8, len: usize, n: *mut usize) -> c_int {
    // SAFETY: the library passes on the script, and a buffer of this length.
    let (script, buf, n) = unsafe { (&mut *script.cast::<Script>(), slice::from_raw_parts_mut(buf, len), &mut *n) };
    script.reads += 1;
    (script.reading)(buf, n)
}

unsafe extern "C" fn write(script: *mut c_void, buf: *const u8, len: usize, n: *mut usize) -> c_int {
    // SAFETY: as above.
    let (script, bytes) = unsafe { (&mut *script.cast::<Script>(), slice::from_raw_parts(buf, len)) };
    script.written.extend_from_slice(bytes);
    // SAFETY: as above.
    unsafe { n.write(len) };
    0
}

unsafe extern "C" fn notify(_: *mut c_void) -> c_int {
    0
}

/// Closes over a transport that reads as `reading` does, above `fd`.
fn close(
    fd: &Local,
    tls: u32,
    total_ms: u32,
    reading: impl FnMut(&mut [u8], &mut usize) -> c_int + 'static,
) -> (xmpp_close_report, Script) {
    let mut script = Script { reading: Box::new(reading), written: Vec::new(), reads: 0 };
    let transport = xmpp_close_transport {
        struct_size: size_of::<xmpp_close_transport>(),
        userdata: ptr::from_mut(&mut script).cast(),
        read: Some(read),
        write: Some(write),
        notify: Some(notify),
        shut: None,
        fd: local::number(fd),
        tls,
        flush: None,
    };
    let size = size_of::<xmpp_close_options>();
    let options = xmpp_close_options { struct_size: size, total_ms, linger_ms: 100, ..xmpp_close_options::defaults() };
    let mut report = xmpp_close_report::empty();
    // SAFETY: three structs that live longer than the call.
    assert_eq!(unsafe { xmpp_close_with(&transport, &options, &mut report) }, 0);
    (report, script)
}

/// A descriptor that is always readable.
fn readable() -> (Local, Local) {
    let (ours, mut theirs) = local::pair();
    theirs.write_all(b"x").unwrap();
    (ours, theirs)
}

/// A descriptor that is never readable.
fn silent() -> (Local, Local) {
    local::pair()
}

#[test]
fn what_tls_holds_already_is_read_without_waiting_for_the_descriptor() {
    let (fd, _peer) = silent();
    let mut rest = TAG;
    let start = Instant::now();
    let (report, script) = close(&fd, 1, 60_000, move |buf, n| {
        *n = rest.read(buf).unwrap();
        0
    });
    assert_eq!((report.outcome, report.tls), (Outcome::Clean as u32, 7));
    assert_eq!(script.written, TAG);
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
}

#[test]
fn a_count_that_cannot_be_is_a_broken_transport() {
    let (fd, _peer) = readable();
    for lie in [usize::MAX, usize::MAX / 3, 8 * 1024 + 1] {
        let (report, _) = close(&fd, 0, 60_000, move |_, n| {
            *n = lie;
            0
        });
        assert_eq!((report.outcome, report.os_error), (Outcome::Reset as u32, codes::EPROTO));
        assert_eq!(report.bytes_read, 0);
    }
}

#[test]
fn a_result_that_means_nothing_is_a_broken_transport() {
    let (fd, _peer) = readable();
    for garbage in [-6, -4095, c_int::MIN] {
        let (report, _) = close(&fd, 1, 60_000, move |_, _| garbage);
        assert_eq!((report.outcome, report.os_error), (Outcome::Reset as u32, codes::EPROTO));
    }
    let (report, _) = close(&fd, 1, 60_000, |_, _| c_int::MAX);
    assert_eq!((report.outcome, report.os_error), (Outcome::Reset as u32, c_int::MAX));
}

#[test]
fn a_stored_count_means_nothing_beside_an_error() {
    let (fd, _peer) = readable();
    let (report, _) = close(&fd, 0, 60_000, |_, n| {
        *n = 100;
        codes::EIO
    });
    assert_eq!((report.outcome, report.bytes_read), (Outcome::Reset as u32, 0));
}

#[test]
fn tls_endings_are_told_apart_only_over_tls() {
    let (fd, _peer) = readable();
    let endings =
        [(-3, 1, Outcome::Truncated), (-3, 0, Outcome::Reset), (-4, 1, Outcome::TlsFailed), (-4, 0, Outcome::Reset)];
    for (code, tls, outcome) in endings {
        let (report, _) = close(&fd, tls, 60_000, move |_, _| code);
        assert_eq!(report.outcome, outcome as u32, "{code}, tls {tls}");
    }
}

#[test]
fn would_block_for_ever_on_a_ready_descriptor_is_no_hot_loop() {
    let (fd, _peer) = readable();
    for code in [codes::EAGAIN, codes::EINTR, -1] {
        let (report, script) = close(&fd, 0, 400, move |_, _| code);
        assert_eq!(report.outcome, Outcome::TimedOut as u32, "{code}");
        // A busy loop would make some hundred thousand reads.
        assert!(script.reads < 3_000, "{code}: {} reads", script.reads);
    }
}

#[test]
fn a_read_that_wants_to_write_waits_for_that() {
    let (fd, peer) = silent();
    let mut rest = TAG;
    let mut asked = false;
    // The descriptor is writable and never readable, so a wait for the wrong direction lasts for ever.
    let (report, _) = close(&fd, 1, 60_000, move |buf, n| {
        if !std::mem::replace(&mut asked, true) {
            return -2;
        }
        *n = rest.read(buf).unwrap();
        if *n == 0 {
            let _ = peer.shutdown(std::net::Shutdown::Both);
        }
        0
    });
    assert_eq!(report.outcome, Outcome::Clean as u32);
    assert!(report.elapsed_ms < 30_000);
}

#[test]
fn a_signal_now_and_then_is_no_obstacle() {
    let (fd, _peer) = readable();
    let mut rest = TAG;
    let mut calls = 0;
    let (report, _) = close(&fd, 0, 60_000, move |buf, n| {
        calls += 1;
        if calls % 7 != 0 {
            return codes::EINTR;
        }
        *n = rest.read(&mut buf[..1]).unwrap();
        0
    });
    assert_eq!((report.outcome, report.bytes_read), (Outcome::Clean as u32, TAG.len() as u64));
}

#[test]
fn a_close_over_a_descriptor_is_clean_and_leaves_it_open() {
    let (fd, mut peer) = local::pair();
    let answering = thread::spawn(move || {
        let mut got = vec![0; TAG.len()];
        peer.read_exact(&mut got).unwrap();
        peer.write_all(b"<message/><message/></stream:stream>").unwrap();
        peer.read_to_end(&mut got).unwrap();
        got
    });
    let mut report = xmpp_close_report::empty();
    // SAFETY: a descriptor and a report that live longer than the call.
    assert_eq!(unsafe { xmpp_close_fd(local::number(&fd), ptr::null(), &mut report) }, 0);
    // It is open, and its output has ended.
    let refused = (&fd).write(b"x").unwrap_err();
    #[cfg(unix)]
    assert_eq!(refused.kind(), std::io::ErrorKind::BrokenPipe);
    // WSAESHUTDOWN, which std has no kind for.
    #[cfg(windows)]
    assert_eq!(refused.raw_os_error(), Some(10058));
    drop(fd);
    assert_eq!(answering.join().unwrap(), TAG);
    assert_eq!((report.outcome, report.stanzas, report.tag_sent), (Outcome::Clean as u32, 2, 1));
}

#[test]
fn a_refusal_is_told_in_the_report() {
    let mut report = xmpp_close_report { outcome: 77, bytes_read: 77, ..xmpp_close_report::empty() };
    // SAFETY: a report that lives longer than the call.
    assert_eq!(unsafe { xmpp_close_fd(NO_SOCKET, ptr::null(), &mut report) }, -2);
    assert_eq!((report.outcome, report.bytes_read, report.os_error), (0, 0, codes::EBADF));
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    // SAFETY: as above.
    assert_eq!(unsafe { xmpp_close_fd(local::number(&udp), ptr::null(), &mut report) }, -2);
    assert_eq!(report.os_error, codes::EPROTOTYPE);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    // SAFETY: as above.
    assert_eq!(unsafe { xmpp_close_fd(local::number(&listener), ptr::null(), &mut report) }, -2);
    assert_eq!(report.os_error, codes::ENOTCONN);
    // On Windows a file's handle is no number of a socket.
    #[cfg(unix)]
    {
        let file = std::fs::File::open("/dev/null").unwrap();
        // SAFETY: as above.
        assert_eq!(unsafe { xmpp_close_fd(local::number(&file), ptr::null(), &mut report) }, -2);
        assert_eq!(report.os_error, codes::ENOTSOCK);
    }
}

/// A transport that panics, as no transport of a C program can.
struct Panics;

impl Transport for Panics {
    fn try_read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        panic!("on purpose")
    }

    fn try_write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        panic!("on purpose")
    }

    fn shut(&mut self) -> std::io::Result<()> {
        panic!("on purpose")
    }

    fn wait(&mut self, _: Interest, _: Duration, _: Option<BorrowedSocket<'_>>) -> std::io::Result<Interest> {
        panic!("on purpose")
    }
}

#[test]
fn a_stream_is_dead_after_a_panic() {
    const OVER: u32 = xmpp_close_want::XMPP_CLOSE_OVER as u32;
    let mut s = ptr::null_mut();
    let mut report = xmpp_close_report::empty();
    // SAFETY: no options, and places for a handle and a report; the handle is used by this thread only, and freed once.
    unsafe {
        assert_eq!(stream::start(ptr::null(), &mut s, |_| Ok(Panics)), Ok(0));
        assert_eq!(xmpp_close_finish(s, ptr::null(), 0), 0);
        assert_eq!(xmpp_close_wants(s) & OVER, 0);
        assert_eq!(xmpp_close_step(s), OVER);
        // No loop waits for the stream, and no call does anything with what is left of it.
        assert_eq!((xmpp_close_wants(s), xmpp_close_tick(s, 0), xmpp_close_step(s)), (OVER, OVER, OVER));
        assert_eq!((xmpp_close_timeout(s, 0), xmpp_close_output(s, ptr::null_mut())), (-1, 0));
        assert_eq!(xmpp_close_send(s, c"<a/>".as_ptr().cast(), 4), -4);
        assert_eq!((xmpp_close_finish(s, ptr::null(), 0), xmpp_close_detach(s, 0)), (-4, -4));
        assert_eq!((xmpp_close_tell(s, 1, 0, 0), xmpp_close_peer_error(s, ptr::null(), 0)), (-4, -4));
        assert_eq!((xmpp_close_wrote(s, 0, 0, 0), xmpp_close_received(s, 1, 0)), (-4, -4));
        assert_eq!(xmpp_close_get_report(s, &mut report), -4);
        xmpp_close_free(s);
    }
}
