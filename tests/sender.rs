//! What other threads send on a stream while its own thread receives: everything that was accepted is on the wire, in
//! order and in front of our tag, or is counted as unsent.

#[path = "support/peer.rs"]
mod peer;

use std::{
    net::TcpStream,
    sync::{
        Arc, Barrier,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::Duration,
};

use peer::{PATIENCE, TAG};
use xmpp_close::{CloseOptions, Error, Incoming, Outcome, SendError, Sender, Stream};

const HEADER: &str =
    "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";

/// A stream whose header is out.
fn open(tcp: TcpStream) -> (Stream<TcpStream>, Sender) {
    let mut stream = Stream::new(tcp);
    stream.send(HEADER).unwrap();
    let sender = stream.sender().unwrap();
    (stream, sender)
}

fn stanza(thread: usize, number: usize) -> String {
    format!("<message from='{thread}' id='{number}'/>")
}

/// The numbers in what came, thread by thread; each is one more than the one before, and nothing else came.
fn counts(got: &str, threads: usize) -> Vec<usize> {
    let mut counts = vec![0; threads];
    for piece in got.split_inclusive('>') {
        let number = |part: &str| piece.split('\'').nth(part.len()).and_then(|text| text.parse::<usize>().ok());
        let (Some(thread), Some(id)) = (number("1"), number("...")) else { panic!("{piece:?}") };
        assert_eq!(piece, stanza(thread, id));
        assert_eq!(id, counts[thread], "of thread {thread}");
        counts[thread] += 1;
    }
    counts
}

fn assert_sync<T: Send + Sync + Clone>(_: &T) {}

/// Nothing but a sender ends the wait: the peer says nothing, and there is no limit of time.
#[test]
fn what_several_threads_send_is_written_by_the_one_that_receives() {
    const THREADS: usize = 4;
    const EACH: usize = 500;
    let (ours, theirs) = peer::pair();
    let last = stanza(THREADS - 1, EACH);
    let peer = peer::peer(theirs, move |mut peer| {
        peer.read_until(&last).send(HEADER).send(TAG).read_tag().expect_eof();
        String::from_utf8(peer.got).unwrap()
    });
    let (mut stream, sender) = open(ours);
    assert_sync(&sender);
    thread::scope(|scope| {
        let sending: Vec<_> = (0..THREADS)
            .map(|thread| {
                let sender = sender.clone();
                scope.spawn(move || (0..EACH).for_each(|number| sender.send(stanza(thread, number)).unwrap()))
            })
            .collect();
        scope.spawn(move || {
            sending.into_iter().for_each(|thread| thread.join().unwrap());
            sender.send(stanza(THREADS - 1, EACH)).unwrap(); // behind all others
        });
        assert!(matches!(stream.receive().unwrap(), Incoming::Header(_)));
        assert!(matches!(stream.receive().unwrap(), Incoming::PeerClosed));
    });
    assert!(stream.close(&CloseOptions::new()).unwrap().is_clean());
    let got = peer.join().unwrap();
    let got = got.strip_prefix(HEADER).unwrap().strip_suffix(TAG).unwrap();
    assert_eq!(counts(got, THREADS), [EACH, EACH, EACH, EACH + 1]);
}

/// Round by round the close comes at another moment. Whatever was accepted is in front of the tag.
#[test]
fn a_close_loses_nothing_that_was_accepted() {
    const THREADS: usize = 3;
    for round in 0..60 {
        let (ours, theirs) = peer::pair();
        let peer = peer::peer(theirs, |mut peer| {
            peer.send(HEADER).read_tag().send(TAG).expect_eof();
            String::from_utf8(peer.got).unwrap()
        });
        let (mut stream, sender) = open(ours);
        let begin = Barrier::new(THREADS + 1);
        let so_far = AtomicUsize::new(0);
        let (report, accepted) = thread::scope(|scope| {
            let sending: Vec<_> = (0..THREADS)
                .map(|thread| {
                    let (sender, begin, so_far) = (sender.clone(), &begin, &so_far);
                    scope.spawn(move || {
                        begin.wait();
                        let refused = (0..).find(|number| match sender.send(stanza(thread, *number)) {
                            Ok(()) => so_far.fetch_add(1, SeqCst) > 1_000_000,
                            Err(SendError::Full) => panic!("{number} are too many"),
                            Err(_) => true,
                        });
                        refused.unwrap()
                    })
                })
                .collect();
            begin.wait();
            while so_far.load(SeqCst) < 10 * round {
                stream.receive_within(Duration::ZERO).unwrap();
            }
            let report = stream.close(&CloseOptions::new().total(PATIENCE).farewell("<bye/>")).unwrap();
            (report, sending.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>())
        });
        assert_eq!((report.outcome, report.bytes_unsent), (Outcome::Clean, 0), "{report}");
        let got = peer.join().unwrap();
        let got = got.strip_prefix(HEADER).unwrap().strip_suffix(TAG).unwrap().strip_suffix("<bye/>").unwrap();
        assert_eq!(counts(got, THREADS), accepted, "round {round}");
        assert_eq!(sender.send("<a/>"), Err(SendError::Refused));
    }
}

/// The peer does not read until the close has ended.
#[test]
fn what_cannot_be_written_is_full_in_the_end_and_counted_in_the_report() {
    const SIZE: usize = 1 << 16;
    let (ours, theirs) = peer::pair_with_buffers(1 << 16);
    let (read, ended) = mpsc::channel();
    let peer = peer::peer(theirs, move |mut peer| {
        ended.recv().unwrap();
        peer.rest().unwrap();
        peer.got.len() as u64
    });
    let (mut stream, sender) = open(ours);
    let large = stanza(0, 0).replace("/>", &format!("> {}</message>", "x".repeat(SIZE)));
    let mut accepted = HEADER.len() as u64;
    let result = loop {
        match sender.send(&large) {
            Ok(()) => accepted += large.len() as u64,
            Err(error) => break error,
        }
        assert!(matches!(stream.receive_within(Duration::ZERO).unwrap(), Incoming::TimedOut));
    };
    assert_eq!(result, SendError::Full);
    assert!(accepted > 16_000_000, "{accepted}");
    let small = "<a/>".len() as u64;
    while sender.send("<a/>").is_ok() {
        accepted += small; // what fits is still taken
    }
    let report = stream.close(&CloseOptions::new().total(Duration::from_millis(200))).unwrap();
    assert_eq!((report.outcome, report.tag_sent), (Outcome::Stalled, false), "{report}");
    read.send(()).unwrap();
    let came = peer.join().unwrap();
    assert_eq!(came + report.bytes_unsent, accepted + TAG.len() as u64, "{report}");
    assert_eq!(sender.send("<a/>"), Err(SendError::Refused));
}

/// A peer that reads again makes room.
#[test]
fn room_comes_back_when_the_peer_reads() {
    let (ours, theirs) = peer::pair_with_buffers(1 << 16);
    let (read, go_on) = mpsc::channel();
    let peer = peer::peer(theirs, move |mut peer| {
        go_on.recv().unwrap();
        peer.send(HEADER).read_tag().send(TAG).expect_eof();
        peer.got.len()
    });
    let (mut stream, sender) = open(ours);
    let large = format!("<a>{}</a>", "x".repeat(1 << 20));
    let mut accepted = 0;
    while sender.send(&large).is_ok() {
        accepted += large.len();
    }
    read.send(()).unwrap();
    let sending = thread::spawn(move || {
        while sender.send(&large) == Err(SendError::Full) {
            thread::sleep(Duration::from_millis(1));
        }
        sender.send("<message><end/></message>").unwrap();
        large.len()
    });
    assert!(matches!(stream.receive().unwrap(), Incoming::Header(_)));
    while !sending.is_finished() {
        stream.receive_within(Duration::from_millis(1)).unwrap();
    }
    accepted += sending.join().unwrap() + "<message><end/></message>".len();
    assert!(stream.close(&CloseOptions::new().total(PATIENCE)).unwrap().is_clean());
    assert_eq!(peer.join().unwrap(), HEADER.len() + accepted + TAG.len());
}

#[test]
fn a_stanza_waits_for_our_header_also_after_a_restart() {
    let (ours, theirs) = peer::pair();
    let peer = peer::peer(theirs, |mut peer| {
        peer.send(HEADER).read_until("<success/>").send(HEADER).read_tag().send(TAG).expect_eof();
        String::from_utf8(peer.got).unwrap()
    });
    let mut stream = Stream::new(ours);
    let sender = stream.sender().unwrap();
    sender.send("<a/>").unwrap();
    assert!(matches!(stream.receive().unwrap(), Incoming::Header(_)));
    assert!(matches!(stream.receive_within(Duration::ZERO).unwrap(), Incoming::TimedOut));
    stream.send(HEADER).unwrap();
    assert!(matches!(stream.receive_within(Duration::ZERO).unwrap(), Incoming::TimedOut));
    sender.send("<b/>").unwrap();
    assert!(matches!(stream.receive_within(Duration::ZERO).unwrap(), Incoming::TimedOut));
    stream.send("<success/>").unwrap();
    stream.restart();
    sender.send("<c/>").unwrap();
    assert!(matches!(stream.receive().unwrap(), Incoming::Header(_)));
    stream.send(HEADER).unwrap();
    assert!(stream.close(&CloseOptions::new()).unwrap().is_clean());
    assert_eq!(peer.join().unwrap(), format!("{HEADER}<a/><b/><success/>{HEADER}<c/>{TAG}"));
}

#[test]
fn what_no_stream_could_carry_is_refused() {
    let (ours, theirs) = peer::pair();
    let peer = peer::peer(theirs, |mut peer| {
        peer.send(HEADER).read_tag().send(TAG).expect_eof();
        String::from_utf8(peer.got).unwrap()
    });
    let (stream, sender) = open(ours);
    for wrong in ["<a>", "</a>", TAG, "<a/>text", "<a></b>", HEADER, "<a/><b", "<?xml version='1.0'?>"] {
        assert!(matches!(sender.send(wrong), Err(SendError::Invalid(_))), "{wrong}");
    }
    sender.send("").unwrap();
    sender.send(" <a/>\n<b/> ").unwrap();
    assert!(stream.close(&CloseOptions::new()).unwrap().is_clean());
    assert_eq!(peer.join().unwrap(), format!("{HEADER} <a/>\n<b/> {TAG}"));
}

#[test]
fn a_stream_that_is_gone_or_failed_takes_nothing_more() {
    let (ours, _theirs) = peer::pair();
    let (stream, sender) = open(ours);
    drop(stream);
    assert_eq!(sender.send("<a/>"), Err(SendError::Refused));

    // The peer's stream error: our tag is due, and what was accepted before still goes out in front of it.
    let (ours, theirs) = peer::pair();
    let peer = peer::peer(theirs, |mut peer| {
        peer.send(HEADER).send("<stream:error/>").send(TAG).read_tag().expect_eof();
        String::from_utf8(peer.got).unwrap()
    });
    let (mut stream, sender) = open(ours);
    while !matches!(stream.receive().unwrap(), Incoming::StreamError(_)) {}
    sender.send("<late/>").unwrap();
    assert!(matches!(stream.receive_within(Duration::ZERO).unwrap(), Incoming::PeerClosed | Incoming::TimedOut));
    assert_eq!(sender.send("<later/>"), Err(SendError::Refused));
    let report = stream.close(&CloseOptions::new()).unwrap();
    assert_eq!(report.bytes_unsent, 0, "{report}");
    assert_eq!(peer.join().unwrap(), format!("{HEADER}<late/>{TAG}"));

    // A connection that is reset.
    let (ours, theirs) = peer::pair();
    let (mut stream, sender) = open(ours);
    peer::peer(theirs, |mut peer| peer.read_until(HEADER).reset_at_drop()).join().unwrap();
    assert!(matches!(stream.receive().unwrap_err(), Error::Io(_)));
    // A peer that has only ended its half may still read.
    let refused = if peer::resets_show() { Err(SendError::Refused) } else { Ok(()) };
    assert_eq!(sender.send("<a/>"), refused);
}

/// A sender and a waker ring the same bell; the application is told only of the waker's ring.
#[test]
fn a_sender_is_no_wake_and_no_wake_is_lost_beside_it() {
    const WAKES: usize = 200;
    let (ours, theirs) = peer::pair();
    let peer = peer::peer(theirs, |mut peer| {
        peer.read_tag().send(HEADER).send(TAG).expect_eof();
    });
    let (mut stream, sender) = open(ours);
    let waker = stream.waker().unwrap();
    let woken = Arc::new(AtomicUsize::new(0));
    thread::scope(|scope| {
        let stop = Arc::new(AtomicUsize::new(0));
        let sending = stop.clone();
        scope.spawn(move || while sending.load(SeqCst) == 0 && sender.send("<a/>") != Err(SendError::Refused) {});
        let seen = woken.clone();
        scope.spawn(move || {
            for wake in 0..WAKES {
                waker.wake();
                peer::wait_until(|| seen.load(SeqCst) > wake);
            }
        });
        while woken.load(SeqCst) < WAKES {
            assert!(matches!(stream.receive().unwrap(), Incoming::Woken));
            woken.fetch_add(1, SeqCst);
        }
        stop.store(1, SeqCst);
    });
    assert!(matches!(stream.receive_within(Duration::ZERO).unwrap(), Incoming::TimedOut), "as many as there were");
    assert!(stream.close(&CloseOptions::new().total(PATIENCE)).unwrap().is_clean());
    peer.join().unwrap();
}
