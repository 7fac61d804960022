//! The one descriptor of a batch, beside which an event loop serves others: streams come and end at any time, and no turn
//! takes long. On Windows there is none.

use std::{
    io::{Read, Write},
    net::TcpStream,
    os::fd::{AsFd, AsRawFd},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use xmpp_close::{Batch, BatchHandle, BatchOptions, CloseOptions, Report, Stanza};

use crate::{
    foreign::{Epoll, echo, ninety_ninth},
    live::{Ends, gone, ignore, mute, settle, slow, turn_to_the_end},
    peer::{self, PATIENCE, SLACK, TAG},
};

/// What is readable now.
pub fn is_readable(batch: &Batch<'_>) -> bool {
    let epoll = Epoll::new();
    epoll.watch(batch, 7);
    epoll.wait(Some(Instant::now())) == [7]
}

/// One more stream for the batch, until there are enough. The other end goes to the thread that plays the peers.
struct Crowd {
    handle: BatchHandle<'static>,
    peers: mpsc::Sender<(usize, TcpStream)>,
    late: Arc<Mutex<Vec<Vec<String>>>>,
}

impl Crowd {
    fn add(&self, most: usize) {
        let number = {
            let mut late = self.late.lock().unwrap();
            if late.len() >= most {
                return;
            }
            late.push(Vec::new());
            late.len() - 1
        };
        let (ours, theirs) = peer::pair();
        let late = self.late.clone();
        let take = move |stanza: Stanza<&str>| late.lock().unwrap()[number].push(stanza.as_str().to_owned());
        self.handle.add(ours, &CloseOptions::new().total(PATIENCE), take).unwrap();
        self.peers.send((number, theirs)).unwrap();
    }
}

/// The first half is there when the loop begins; the others are added from `on_end`, and by another thread.
#[test]
fn a_server_goes_on_serving_while_its_streams_are_closed() {
    const SERVED: usize = 50;
    const CLOSING: usize = 300;
    const ROUNDS: usize = 10;
    let epoll = Epoll::new();
    let (served, mut clients): (Vec<_>, Vec<_>) = (0..SERVED).map(|_| peer::pair()).unzip();
    for (number, tcp) in served.iter().enumerate() {
        epoll.watch(tcp, number as u64);
    }
    let mut batch = Batch::new().unwrap();
    epoll.watch(&batch, SERVED as u64);
    let (sender, receiver) = mpsc::channel::<(usize, TcpStream)>();
    let late = Arc::new(Mutex::new(Vec::new()));
    let crowd = Arc::new(Crowd { handle: batch.handle(), peers: sender, late: late.clone() });
    let (ends, adds) = (Ends::default(), crowd.clone());
    let kept = ends.clone();
    let options = BatchOptions::new().on_end(move |index, report| {
        assert!(kept.lock().unwrap().insert(index, report.clone()).is_none());
        adds.add(CLOSING - 1);
    });
    batch.set(options).unwrap();
    (0..CLOSING / 2).for_each(|_| crowd.add(CLOSING));

    // The first peer does not answer until all that are served have been, many times.
    let client = thread::spawn(move || {
        for _ in 0..ROUNDS {
            clients.iter_mut().for_each(|tcp| tcp.write_all(b"ping").unwrap());
            for tcp in &mut clients {
                let mut answer = [0; 4];
                tcp.read_exact(&mut answer).unwrap();
                assert_eq!(&answer, b"ping");
            }
        }
    });
    let more = crowd.clone();
    let peers = thread::spawn(move || {
        let answer = |(number, tcp): (usize, TcpStream)| {
            let mut peer = peer::Peer { tcp, got: Vec::new() };
            peer.read_tag().send(format!("<a n='{number}'/><b n='{number}'/>")).send(TAG);
            assert_eq!(peer.tags(), 1);
            peer
        };
        let first = receiver.recv().unwrap();
        let mut all: Vec<_> = (1..CLOSING - 1).map(|_| answer(receiver.recv().unwrap())).collect();
        more.add(CLOSING); // from another thread, while the loop waits
        all.push(answer(receiver.recv().unwrap()));
        client.join().unwrap();
        all.push(answer(first));
        all.iter_mut().for_each(peer::Peer::expect_eof);
    });
    let mut turns = Vec::new();
    let patience = Instant::now() + PATIENCE;
    while ends.lock().unwrap().len() < CLOSING {
        assert!(Instant::now() < patience, "{} have ended", ends.lock().unwrap().len());
        let ready = epoll.wait(batch.deadline().or(Some(patience)));
        for key in &ready {
            if let Some(tcp) = served.get(*key as usize).filter(|tcp| !echo(tcp)) {
                epoll.forget(tcp);
            }
        }
        let start = Instant::now();
        batch.turn(Duration::ZERO).unwrap();
        turns.push(start.elapsed());
    }
    peers.join().unwrap();
    assert!(batch.is_empty());
    let ends = ends.lock().unwrap();
    assert!(ends.values().all(Report::is_clean), "{ends:?}");
    assert!(ends.keys().copied().eq(0..CLOSING), "{:?}", ends.keys());
    for (number, late) in late.lock().unwrap().iter().enumerate() {
        assert_eq!(*late, [format!("<a n='{number}'/>"), format!("<b n='{number}'/>")]);
    }
    let (count, longest) = (turns.len(), ninety_ninth(&mut turns));
    println!("{count} turns, 99 of 100 within {longest:?}");
    assert!(longest < SLACK / 2, "{longest:?}"); // the figure for a quiet machine is in docs/performance.md
}

#[test]
fn a_batchs_descriptor_is_readable_while_a_turn_has_something_to_do() {
    let mut batch = Batch::new().unwrap();
    assert!(!is_readable(&batch));
    assert_eq!(batch.deadline(), None);
    let (_, mut theirs) = mute(&mut batch, &CloseOptions::new().total(PATIENCE));
    assert!(is_readable(&batch), "a stream is to begin");
    assert!(batch.deadline().unwrap() <= Instant::now());
    settle(&mut batch);
    let due = batch.deadline().unwrap();
    assert!(due > Instant::now() + PATIENCE / 2, "the total of its stream");
    theirs.write_all(b"<a/>").unwrap();
    peer::wait_until(|| is_readable(&batch));
    settle(&mut batch);
    theirs.write_all(TAG.as_bytes()).unwrap();
    peer::peer(theirs, |mut peer| {
        peer.read_tag().expect_eof();
    });
    turn_to_the_end(&mut batch);
    assert!(!is_readable(&batch));
    assert_eq!(batch.deadline(), None);
    assert_eq!(batch.report(0).unwrap().stanzas, 1);
}

/// What was read already shows on no descriptor.
#[test]
fn a_batchs_descriptor_is_readable_for_work_that_was_put_off() {
    let mut batch = Batch::new().unwrap();
    let handled = Arc::new(AtomicUsize::new(0));
    let count = handled.clone();
    let (ours, theirs) = peer::pair();
    batch.add(ours, &CloseOptions::new().residual("<a/>".repeat(100)), slow(&count)).unwrap();
    let mut turns = 0;
    while handled.load(Ordering::Relaxed) < 100 {
        assert!(is_readable(&batch) && batch.deadline().unwrap() <= Instant::now());
        assert_eq!(batch.turn(Duration::ZERO).unwrap(), 1);
        turns += 1;
    }
    assert!(turns > 10, "all of it in {turns} turns");
    let peer = peer::peer(theirs, |mut peer| peer.read_tag().send(TAG).expect_eof());
    turn_to_the_end(&mut batch);
    peer.join().unwrap();
}

#[test]
fn an_event_loop_watches_one_descriptor_however_many_streams_there_are() {
    let mut batch = Batch::new().unwrap();
    let before = batch.as_fd().try_clone_to_owned().unwrap();
    let epoll = Epoll::new();
    epoll.watch(&before, 1);
    for _ in 0..3 {
        (0..20).for_each(|_| assert!(batch.add(gone(), &CloseOptions::new(), ignore).is_ok()));
        while batch.turn(Duration::ZERO).unwrap() > 0 {
            assert_eq!(epoll.wait(Some(batch.deadline().unwrap())).len(), 1);
        }
    }
}

/// An event loop comes round only when there is something to do.
#[test]
fn a_batch_that_waits_costs_its_event_loop_no_turns() {
    const TIME: Duration = Duration::from_millis(500);
    for is_paused in [false, true] {
        let mut batch = Batch::new().unwrap();
        let (ours, _theirs) = peer::pair();
        if is_paused {
            // What comes does not show before it is so much: the stream is tried again and again, with pauses.
            let more_than_comes: libc::c_int = 100;
            let (level, name) = (libc::SOL_SOCKET, libc::SO_RCVLOWAT);
            let size = size_of_val(&more_than_comes) as libc::socklen_t;
            #[allow(unsafe_code)]
            // SAFETY: the option is an int, and the descriptor open.
            let set =
                unsafe { libc::setsockopt(ours.as_raw_fd(), level, name, (&raw const more_than_comes).cast(), size) };
            assert_eq!(set, 0);
        }
        batch.add(ours, &CloseOptions::new().total(PATIENCE), ignore).unwrap();
        settle(&mut batch);
        let (epoll, start, mut turns) = (Epoll::new(), Instant::now(), 0);
        epoll.watch(&batch, 0);
        while start.elapsed() < TIME {
            let until = batch.deadline().unwrap().min(start + TIME);
            epoll.wait(Some(until));
            batch.turn(Duration::ZERO).unwrap();
            turns += 1;
        }
        let most = if is_paused { 2 * TIME.as_millis() / 5 } else { 5 };
        assert!(turns <= most, "{turns} turns");
    }
}
