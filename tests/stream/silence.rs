//! When a peer counts as idle: its silence is measured from call to call.

use std::{
    io,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use xmpp_close::{BorrowedSocket, Incoming, Interest, Stream, Transport};

use crate::{HEADER, PATIENCE, peer};

const SHORT: Duration = Duration::from_millis(100);

fn after(start: Instant, time: Duration) {
    peer::wait_until(|| start.elapsed() > time);
}

#[test]
fn idleness_is_told_only_when_asked_for_and_again_after_as_long_again() {
    let (ours, _theirs) = peer::pair();
    let mut stream = Stream::new(ours);
    assert!(matches!(stream.receive_within(2 * SHORT).unwrap(), Incoming::TimedOut));
    stream.idle_after(Some(SHORT));
    assert!(matches!(stream.receive().unwrap(), Incoming::Idle));
    for _ in 0..3 {
        let start = Instant::now();
        assert!(matches!(stream.receive().unwrap(), Incoming::Idle));
        assert!(start.elapsed() >= SHORT - Duration::from_millis(1), "{:?}: it would spin", start.elapsed());
    }
}

#[test]
fn a_silence_goes_on_whoever_wakes_the_stream() {
    let (ours, theirs) = peer::pair();
    let peer = peer::peer(theirs, |mut peer| {
        peer.send(HEADER).rest().unwrap();
    });
    let mut stream = Stream::new(ours);
    stream.send(HEADER).unwrap();
    assert!(matches!(stream.receive().unwrap(), Incoming::Header(_)));
    let start = Instant::now();
    stream.idle_after(Some(Duration::from_secs(1)));
    let waker = stream.waker().unwrap();
    let (stop, stopped) = mpsc::channel::<()>();
    let other = thread::spawn(move || {
        while stopped.recv_timeout(SHORT) == Err(mpsc::RecvTimeoutError::Timeout) {
            waker.wake();
        }
    });
    let mut woken = 0;
    loop {
        match stream.receive().unwrap() {
            Incoming::Idle => break,
            Incoming::Woken => stream.send("<message/>").unwrap(), // what we say does not break it
            other => panic!("{other:?}"),
        }
        woken += 1;
        assert!(start.elapsed() < PATIENCE, "{woken} times woken, and never idle");
    }
    assert!(woken > 0 && start.elapsed() > Duration::from_millis(900), "{woken}, {:?}", start.elapsed());
    drop(stop);
    other.join().unwrap();
    drop(stream);
    peer.join().unwrap();
}

#[test]
fn a_silence_goes_on_from_call_to_call() {
    let (ours, _theirs) = peer::pair();
    let mut stream = Stream::new(ours);
    stream.idle_after(Some(5 * SHORT));
    let start = Instant::now();
    let mut calls = 0;
    loop {
        match stream.receive_within(SHORT).unwrap() {
            Incoming::Idle => break,
            Incoming::TimedOut => calls += 1,
            other => panic!("{other:?}"),
        }
        assert!(start.elapsed() < PATIENCE, "never idle in {calls} calls");
    }
    assert!(calls > 0 && start.elapsed() >= 5 * SHORT);
    // And through a restart, whichever limit is set when.
    let start = Instant::now();
    stream.idle_after(None);
    assert!(matches!(stream.receive_within(2 * SHORT).unwrap(), Incoming::TimedOut));
    after(start, 2 * SHORT);
    stream.restart();
    stream.idle_after(Some(SHORT));
    assert!(matches!(stream.receive_within(Duration::ZERO).unwrap(), Incoming::Idle), "it was silent before");
}

#[test]
fn what_has_arrived_is_read_before_a_silence_or_the_end_of_the_time_is_told() {
    for idle_after in [Some(SHORT), None] {
        let (ours, theirs) = peer::pair();
        let mut peer = peer::Peer { tcp: theirs, got: Vec::new() };
        let start = Instant::now();
        peer.send(HEADER).send("<message>").send(peer::stanzas(5)).send("</message>");
        peer::wait_until(|| ours.peek(&mut [0; 4096]).unwrap() > HEADER.len() + 200);
        let mut stream = Stream::new(ours);
        stream.idle_after(idle_after);
        after(start, 2 * SHORT);
        assert!(matches!(stream.receive_within(Duration::ZERO).unwrap(), Incoming::Header(_)));
        assert!(matches!(stream.receive_within(Duration::ZERO).unwrap(), Incoming::Stanza(_)));
        let nothing = stream.receive_within(Duration::ZERO).unwrap();
        assert!(matches!(nothing, Incoming::TimedOut) || idle_after.is_some(), "{nothing:?}");
    }
}

#[test]
fn what_comes_while_we_write_breaks_a_silence() {
    const LIMIT: Duration = Duration::from_secs(2);
    let (ours, theirs) = peer::pair();
    let mut stream = Stream::new(ours);
    stream.idle_after(Some(LIMIT));
    let start = Instant::now();
    let peer = peer::peer(theirs, move |mut peer| {
        after(start, LIMIT); // while our output is blocked
        peer.send(" ");
        peer.rest().unwrap();
    });
    stream.send(HEADER).unwrap();
    stream.send(peer::stanzas(400_000)).unwrap();
    assert!(start.elapsed() > LIMIT);
    assert!(matches!(stream.receive_within(Duration::ZERO).unwrap(), Incoming::TimedOut), "it has just spoken");
    drop(stream);
    peer.join().unwrap();
}

#[test]
fn an_upgrade_breaks_a_silence() {
    const LIMIT: Duration = Duration::from_secs(1);
    let (ours, _theirs) = peer::pair();
    let mut stream = Stream::new(ours);
    assert!(matches!(stream.receive_within(LIMIT).unwrap(), Incoming::TimedOut));
    stream.idle_after(Some(LIMIT));
    let mut stream = stream.upgrade(Ok::<_, ()>).unwrap();
    assert!(
        matches!(stream.receive_within(Duration::ZERO).unwrap(), Incoming::TimedOut),
        "TLS has just been agreed on"
    );
}

#[test]
fn whitespace_is_life() {
    // I-13: any inbound byte counts.
    let (ours, theirs) = peer::pair();
    let (stop, stopped) = mpsc::channel();
    let peer = peer::peer(theirs, move |mut peer| {
        peer.send(HEADER);
        while stopped.recv_timeout(Duration::from_millis(50)).is_err() {
            peer.send(" ");
        }
        peer.send("<message/>").rest().unwrap();
    });
    let mut stream = Stream::new(ours);
    stream.idle_after(Some(Duration::from_secs(2)));
    assert!(matches!(stream.receive().unwrap(), Incoming::Header(_)));
    let timer = thread::spawn(move || {
        thread::sleep(Duration::from_secs(4)); // twice what would be idle
        stop.send(()).unwrap();
    });
    assert!(matches!(stream.receive().unwrap(), Incoming::Stanza(_)));
    timer.join().unwrap();
    drop(stream);
    peer.join().unwrap();
}

#[test]
fn a_stream_that_is_woken_all_the_time_still_reads() {
    let (ours, theirs) = peer::pair();
    let mut peer = peer::Peer { tcp: theirs, got: Vec::new() };
    let mut stream = Stream::new(ours);
    let waker = stream.waker().unwrap();
    peer.send(HEADER).send("<message/>");
    let (start, mut came) = (Instant::now(), Vec::new());
    while came.len() < 2 {
        waker.wake();
        match stream.receive().unwrap() {
            Incoming::Woken => assert!(start.elapsed() < PATIENCE, "woken all the time, and {came:?} came"),
            other => came.push(other),
        }
    }
    assert!(matches!(came[..], [Incoming::Header(_), Incoming::Stanza(_)]), "{came:?}");
}

/// A peer that never stops: each read is full of this.
struct Flood {
    opened: bool,
    of: [u8; 4],
}

impl Transport for Flood {
    fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if !std::mem::replace(&mut self.opened, true) {
            buf[..HEADER.len()].copy_from_slice(HEADER.as_bytes());
            return Ok(HEADER.len());
        }
        buf.chunks_exact_mut(4).for_each(|place| place.copy_from_slice(&self.of));
        Ok(buf.len() / 4 * 4)
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn shut(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn wait(&mut self, interest: Interest, _: Duration, _: Option<BorrowedSocket<'_>>) -> io::Result<Interest> {
        Ok(interest)
    }
}

#[test]
fn a_peer_that_never_stops_holds_back_no_wake_and_no_limit() {
    let mut stream = Stream::new(Flood { opened: false, of: *b"<a/>" });
    let waker = stream.waker().unwrap();
    assert!(matches!(stream.receive().unwrap(), Incoming::Header(_)));
    waker.wake();
    let mut receive = || stream.receive_within(Duration::ZERO).unwrap();
    let came = (0..10_000).take_while(|_| !matches!(receive(), Incoming::Woken)).count();
    assert!(came < 10_000, "never woken");
    let mut stream = Stream::new(Flood { opened: false, of: *b"    " });
    assert!(matches!(stream.receive().unwrap(), Incoming::Header(_)));
    assert!(matches!(stream.receive_within(Duration::from_millis(50)).unwrap(), Incoming::TimedOut));
}

#[test]
fn a_silence_that_is_over_is_told_before_a_limit_of_zero() {
    let (ours, _theirs) = peer::pair();
    let mut stream = Stream::new(ours);
    stream.idle_after(Some(Duration::from_secs(3600)));
    assert!(matches!(stream.receive_within(Duration::ZERO).unwrap(), Incoming::TimedOut));
    stream.idle_after(Some(SHORT));
    after(Instant::now(), SHORT);
    assert!(matches!(stream.receive_within(Duration::ZERO).unwrap(), Incoming::Idle));
    stream.idle_after(Some(Duration::from_secs(3600)));
    assert!(matches!(stream.receive_within(Duration::ZERO).unwrap(), Incoming::TimedOut));
}
