//! What a batch tells its callbacks while it runs.

use std::{
    io::Write,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Mutex,
    thread,
    time::Duration,
};

use xmpp_close::{Batch, BatchOptions, CloseOptions, Outcome, Stanza};

use crate::peer::{self, PATIENCE, TAG};

fn ignore(_: Stanza<&str>) {}

#[test]
fn progress_counts_up_to_the_end() {
    let mut batch = Batch::new().unwrap();
    let mut peers = Vec::new();
    for number in 0..5 {
        let (ours, theirs) = peer::pair();
        peers.push(peer::peer(theirs, move |mut peer| {
            peer.read_tag();
            thread::sleep(Duration::from_millis(150 * number)); // so that there is more than one line of progress
            peer.send(TAG).expect_eof();
        }));
        batch.add(ours, &CloseOptions::new(), ignore).unwrap();
    }
    let told = Mutex::new(Vec::new());
    let options = BatchOptions::new().total(PATIENCE).on_progress(|so_far| told.lock().unwrap().push(so_far.clone()));
    let done = batch.run(options).unwrap();
    for peer in peers {
        peer.join().unwrap();
    }
    let told = told.into_inner().unwrap();
    assert!(told.len() > 1, "{told:?}");
    assert!(told.iter().all(|so_far| so_far.streams == 5 && so_far.count(Outcome::Pending) + so_far.ended == 5));
    assert!(told.is_sorted_by_key(|so_far| (so_far.ended, so_far.elapsed)));
    assert_eq!(told.last().unwrap().to_string().split(';').next(), Some("5 streams: 5 clean"));
    assert_eq!(done.summary.ended, 5);
}

#[test]
fn each_end_is_told_once_and_its_socket_is_closed_by_then() {
    let mut batch = Batch::new().unwrap();
    let mut peers = Vec::new();
    for _ in 0..10 {
        let (ours, theirs) = peer::pair();
        peers.push(peer::peer(theirs, |mut peer| peer.read_tag().send(TAG).expect_eof()));
        batch.add(ours, &CloseOptions::new(), ignore).unwrap();
    }
    let mut ended = Vec::new();
    let options = BatchOptions::new().total(PATIENCE).on_end(|index, report| {
        assert!(report.is_clean(), "{report}");
        ended.push(index);
    });
    let done = batch.run(options).unwrap();
    for peer in peers {
        peer.join().unwrap();
    }
    ended.sort_unstable();
    assert_eq!(ended, (0..10).collect::<Vec<_>>());
    assert_eq!(done.reports.len(), 10);
}

#[test]
fn the_last_words_count_every_stanza_that_had_arrived() {
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    };
    let mut batch = Batch::new().unwrap();
    let mut peers = Vec::new();
    for number in 1..4 {
        let (ours, theirs) = peer::pair();
        let handled = Arc::new(AtomicU32::new(0));
        let count = handled.clone();
        let options = CloseOptions::new()
            .residual("<r/>".repeat(number))
            .farewell("<bye/>")
            .farewell_with(move || format!("<a h='{}'/>", count.load(Ordering::Relaxed)).into_bytes());
        peers.push(peer::peer(theirs, |mut peer| {
            peer.read_tag().send("<late/>").send(TAG).expect_eof();
            peer.text()
        }));
        batch
            .add(ours, &options, move |_| {
                handled.fetch_add(1, Ordering::Relaxed);
            })
            .unwrap();
    }
    batch.run(BatchOptions::new().total(PATIENCE)).unwrap();
    let got: Vec<_> = peers.into_iter().map(|peer| peer.join().unwrap()).collect();
    assert_eq!(got, [1, 2, 3].map(|number| format!("<bye/><a h='{number}'/>{TAG}")));
}

#[test]
fn after_a_callback_has_panicked_the_batch_is_empty() {
    let mut batch = Batch::new().unwrap();
    let add = |batch: &mut Batch<'static>| {
        let (ours, theirs) = peer::pair();
        batch.add(ours, &CloseOptions::new(), |_| {}).unwrap();
        peer::peer(theirs, |mut peer| {
            // The panic may drop the other stream before it has said anything.
            let _ = peer.tcp.write_all(TAG.as_bytes());
            let _ = peer.rest();
        })
    };
    let mut peers = vec![add(&mut batch), add(&mut batch)];
    let options = BatchOptions::new().total(PATIENCE).on_end(|_, _| panic!("on purpose"));
    assert!(catch_unwind(AssertUnwindSafe(|| batch.run(options))).is_err());
    assert!(batch.is_empty());
    peers.push(add(&mut batch));
    let done = batch.run(BatchOptions::new().total(PATIENCE)).unwrap();
    assert_eq!((done.summary.streams, done.summary.count(Outcome::Clean)), (1, 1), "{}", done.summary);
    for peer in peers {
        peer.join().unwrap();
    }
}
