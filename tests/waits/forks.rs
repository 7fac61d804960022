//! A forked child may use what it has inherited: that does not disturb its parent.

use std::{
    io,
    net::TcpStream,
    os::fd::AsRawFd,
    thread,
    time::{Duration, Instant},
};

use xmpp_close::{Batch, BatchOptions, Canceller, CloseOptions, Error, Incoming, Invalid, Outcome, Stream};

use crate::{
    assert_cheap,
    peer::{self, PATIENCE, TAG},
    ways::thin,
};

const LIMIT: Duration = Duration::from_millis(1500);

/// Runs `body` in a forked child, which must find it to be true. Other threads run tests meanwhile, so it does little.
fn in_a_child(body: impl FnOnce() -> bool) {
    // SAFETY: the child runs what needs no other thread, and ends without returning.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            libc::_exit(i32::from(!body()));
        }
        let mut status = -1;
        assert_eq!(libc::waitpid(child, &raw mut status, 0), child, "{}", io::Error::last_os_error());
        assert_eq!(status, 0, "the child's status");
    }
}

#[test]
fn a_canceller_used_in_a_child_neither_wakes_its_parent_nor_makes_it_spin() {
    let canceller = Canceller::new().unwrap();
    in_a_child(|| {
        canceller.cancel();
        canceller.is_cancelled()
    });
    assert_cheap("a close", LIMIT, || {
        let (ours, _theirs) = peer::pair();
        let report = CloseOptions::new().canceller(&canceller).total(LIMIT).close(ours).unwrap();
        assert_eq!(report.outcome, Outcome::TimedOut, "{report}");
    });
}

/// And the child's does not take its wake away.
#[test]
fn a_canceller_used_in_a_child_still_stops_its_parents_closes() {
    for batch in [false, true] {
        let canceller = Canceller::new().unwrap();
        in_a_child(|| {
            canceller.cancel();
            true
        });
        let (ours, theirs) = peer::pair();
        let options = CloseOptions::new().canceller(&canceller).total(PATIENCE).no_progress(PATIENCE);
        let close = thread::spawn(move || {
            if !batch {
                return options.close(ours).unwrap().outcome;
            }
            let mut batch = Batch::new().unwrap();
            batch.add(ours, &options, |_| {}).unwrap();
            batch.run(BatchOptions::new().total(PATIENCE)).unwrap().reports[0].outcome
        });
        peer::peer(theirs.try_clone().unwrap(), |mut peer| {
            peer.read_tag();
        })
        .join()
        .unwrap();
        in_a_child(|| {
            canceller.cancel();
            true
        });
        let start = Instant::now();
        canceller.cancel();
        assert_eq!(close.join().unwrap(), Outcome::Cancelled);
        assert!(start.elapsed() < PATIENCE / 4, "{:?}", start.elapsed());
    }
}

#[test]
fn a_waker_used_in_a_child_neither_wakes_its_parent_nor_makes_it_spin() {
    let (ours, _theirs) = peer::pair();
    let mut stream = Stream::new(ours);
    let waker = stream.waker().unwrap();
    in_a_child(|| {
        waker.wake();
        true
    });
    let receives_nothing = |stream: &mut Stream<TcpStream>| {
        assert_cheap("a receive", LIMIT, || assert!(matches!(stream.receive_within(LIMIT), Ok(Incoming::TimedOut))));
    };
    receives_nothing(&mut stream);
    waker.wake();
    assert!(matches!(stream.receive_within(PATIENCE), Ok(Incoming::Woken)));
    receives_nothing(&mut stream);
}

/// Three streams whose peers answer.
fn batch_of_three() -> (Batch<'static>, Vec<thread::JoinHandle<()>>) {
    let mut batch = Batch::new().unwrap();
    let peers = (0..3).map(|_| {
        let (ours, theirs) = peer::pair();
        batch.add(ours, &CloseOptions::new(), |_| {}).unwrap();
        peer::peer(theirs, |mut peer| {
            peer.read_tag();
            thread::sleep(Duration::from_millis(100)); // by now it is waited for
            peer.send(TAG).expect_eof();
        })
    });
    let peers = peers.collect();
    (batch, peers)
}

#[test]
fn a_batch_dropped_in_a_child_still_closes_its_parents_streams() {
    let (batch, peers) = batch_of_three();
    let mut batch = Some(batch);
    in_a_child(|| {
        drop(batch.take());
        true
    });
    let report = batch.unwrap().run(BatchOptions::new()).unwrap();
    assert_eq!(report.summary.count(Outcome::Clean), 3, "{}", report.summary);
    assert!(report.summary.elapsed < PATIENCE / 12, "{}", report.summary);
    peers.into_iter().for_each(|peer| peer.join().unwrap());
}

#[test]
fn a_batch_can_neither_run_nor_grow_in_a_child() {
    let (mut batch, peers) = batch_of_three();
    let (ours, _theirs) = peer::pair();
    in_a_child(|| {
        let added = batch.add(ours, &CloseOptions::new(), |_| {});
        let set = batch.set(BatchOptions::new());
        let turned = batch.turn(Duration::ZERO).map_err(|error| error.kind());
        batch.handle().wake(); // which nobody notices
        matches!(added, Err(Error::Invalid(Invalid::Forked)))
            && matches!(set, Err(Error::Invalid(Invalid::Forked)))
            && turned == Err(io::ErrorKind::InvalidInput)
            && matches!(batch.run(BatchOptions::new()), Err(Error::Invalid(Invalid::Forked)))
    });
    let report = batch.run(BatchOptions::new()).unwrap();
    assert_eq!(report.summary.count(Outcome::Clean), 3, "{}", report.summary);
    peers.into_iter().for_each(|peer| peer.join().unwrap());
}

#[test]
fn a_transport_dropped_in_a_child_leaves_its_parents_socket_non_blocking() {
    fn flags(tcp: &TcpStream) -> i32 {
        // SAFETY: it only asks.
        unsafe { libc::fcntl(tcp.as_raw_fd(), libc::F_GETFL) }
    }
    let (ours, _theirs) = peer::pair();
    let seen = ours.try_clone().unwrap();
    let mut transport = Some(thin(ours));
    in_a_child(|| {
        drop(transport.take());
        true
    });
    assert_ne!(flags(&seen) & libc::O_NONBLOCK, 0);
    drop(transport);
    assert_eq!(flags(&seen) & libc::O_NONBLOCK, 0);
}
