//! Bytes that have come are found although poll(2) does not tell of them, and counted although FIONREAD does not.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    os::{fd::AsFd, fd::AsRawFd, unix::net::UnixStream},
    thread,
    time::{Duration, Instant},
};

use socket2::SockRef;
use xmpp_close::{CloseOptions, Incoming, Initiator, Stream};

use crate::{
    peer::{self, PATIENCE, TAG},
    set,
    ways::{CLOSES, thin},
};

/// Far above what it takes on a machine that has other work, far below a second, which is what a read may wait for
/// data.
const SOON: Duration = Duration::from_millis(500);
const TRIES: usize = 5;

/// The time from the peer's last word to the end of TCP, at best: a busy machine can only lengthen it.
fn fastest(what: &str, mut once: impl FnMut() -> Duration) {
    let mut best = Duration::MAX;
    for _ in 0..TRIES {
        best = best.min(once());
        if best < SOON {
            break;
        }
    }
    println!("{what}: {best:?}");
    assert!(best < SOON, "{what}: {best:?}");
}

/// Answers the tag after our side has begun to wait for the answer, and waits for the end.
fn answer_late(mut theirs: impl Read + Write, end_output: impl FnOnce()) -> Duration {
    theirs.read_exact(&mut [0; TAG.len()]).unwrap();
    thread::sleep(Duration::from_millis(100)); // by now it waits
    let start = Instant::now();
    theirs.write_all(TAG.as_bytes()).unwrap();
    assert_eq!(theirs.read(&mut [0]).unwrap(), 0);
    let took = start.elapsed();
    end_output();
    took
}

#[test]
fn a_tag_shorter_than_so_rcvlowat_is_seen_at_once() {
    for (name, close) in CLOSES {
        fastest(name, || {
            let (ours, theirs) = peer::pair();
            set(&ours, libc::SO_RCVLOWAT, 4096);
            let end = theirs.try_clone().unwrap();
            let peer = thread::spawn(move || answer_late(theirs, move || end.shutdown(Shutdown::Write).unwrap()));
            let report = close(ours, CloseOptions::new());
            assert!(report.is_clean(), "{name}: {report}");
            peer.join().unwrap()
        });
    }
    fastest("a Unix socket", || {
        let (ours, theirs) = UnixStream::pair().unwrap();
        set(&ours, libc::SO_RCVLOWAT, 4096);
        let end = theirs.try_clone().unwrap();
        let peer = thread::spawn(move || answer_late(theirs, move || end.shutdown(Shutdown::Write).unwrap()));
        assert!(CloseOptions::new().close(ours).unwrap().is_clean());
        peer.join().unwrap()
    });
}

#[test]
fn a_borrowed_socket_keeps_its_so_rcvlowat() {
    let (ours, theirs) = peer::pair();
    set(&ours, libc::SO_RCVLOWAT, 4096);
    let peer = peer::peer(theirs, |mut peer| {
        peer.read_tag().send(TAG);
    });
    assert!(CloseOptions::new().close(ours.as_fd()).unwrap().is_clean());
    peer.join().unwrap();
    let mut value: libc::c_int = 0;
    let mut length = size_of_val(&value) as libc::socklen_t;
    let (level, name) = (libc::SOL_SOCKET, libc::SO_RCVLOWAT);
    // SAFETY: the system stores an int.
    let result = unsafe { libc::getsockopt(ours.as_raw_fd(), level, name, (&raw mut value).cast(), &raw mut length) };
    assert_eq!((result, value), (0, 4096));
}

type Receive = fn(TcpStream) -> Duration;

#[test]
fn a_stanza_shorter_than_so_rcvlowat_is_received_at_once() {
    fn received<T: xmpp_close::Transport>(mut stream: Stream<T>) -> Duration {
        assert!(matches!(stream.receive_within(PATIENCE), Ok(Incoming::Header(_))));
        let start = Instant::now();
        assert!(matches!(stream.receive_within(PATIENCE), Ok(Incoming::Stanza(_))));
        start.elapsed()
    }
    let ways: [(&str, Receive); 3] = [
        ("a stream", |tcp| received(Stream::new(tcp))),
        ("a stream with a waker", |tcp| {
            let mut stream = Stream::new(tcp);
            stream.waker().unwrap();
            received(stream)
        }),
        ("a stream below TLS", |tcp| received(Stream::new(thin(tcp)))),
    ];
    for (name, receive) in ways {
        fastest(name, || {
            let (ours, mut theirs) = peer::pair();
            set(&ours, libc::SO_RCVLOWAT, 4096);
            let peer = thread::spawn(move || {
                theirs.write_all(b"<stream:stream>").unwrap();
                thread::sleep(Duration::from_millis(100)); // it waits for the stanza
                theirs.write_all(b"<message/>").unwrap();
                theirs // open until all is over
            });
            let took = receive(ours);
            drop(peer.join().unwrap());
            took
        });
    }
}

/// Waits until our kernel has all that the peer has sent.
fn await_arrival(theirs: &TcpStream) {
    peer::wait_until(|| {
        let mut unacked: libc::c_int = 0;
        // SAFETY: the system stores an int.
        assert_eq!(unsafe { libc::ioctl(theirs.as_raw_fd(), libc::TIOCOUTQ, &raw mut unacked) }, 0);
        unacked == 0
    });
}

/// What lies behind the mark of urgent data counts as arrived, too. The urgent byte itself is not part of the stream.
#[test]
fn a_tag_behind_urgent_data_that_came_before_ours_crosses_it() {
    for before in ["", "<a/>", "<a/><b/>"] {
        // Urgent data has no place below TLS.
        for (name, close) in CLOSES.into_iter().filter(|(name, _)| !name.contains("TLS")) {
            let (ours, mut theirs) = peer::pair();
            theirs.write_all(before.as_bytes()).unwrap();
            SockRef::from(&theirs).send_with_flags(b"!", libc::MSG_OOB).unwrap();
            theirs.write_all(TAG.as_bytes()).unwrap();
            await_arrival(&theirs);
            let peer = peer::peer(theirs, |mut peer| peer.read_tag().expect_eof());
            let report = close(ours, CloseOptions::new());
            peer.join().unwrap();
            assert!(report.is_clean(), "{name}: {report}");
            assert_eq!(report.initiator, Some(Initiator::Crossing), "{name}, behind {before:?}: {report}");
            assert_eq!(report.bytes_read, (before.len() + TAG.len()) as u64);
        }
    }
}
