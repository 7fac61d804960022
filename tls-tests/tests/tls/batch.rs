//! TLS of every kind, and streams without it, in one batch. (The other files
//! test what each ending leads to; all their cases are closed alone and in a batch.)

use std::{sync::Mutex, time::Duration};

use xmpp_close::{Batch, BatchOptions, CloseOptions, Outcome, Stanza};

use crate::{
    ours::connect,
    peer::{self, PATIENCE, TAG},
    setup::Case,
};

#[test]
fn every_kind_of_stream_ends_clean_in_one_batch_and_a_mute_one_in_time() {
    const LATE: usize = 300;
    let delivered = Mutex::new(Vec::new());
    let mut batch = Batch::new().unwrap();
    let (mut peers, mut deliveries) = (Vec::new(), Vec::new());
    let count = |index: usize| {
        delivered.lock().unwrap().resize(index + 1, 0);
        let delivered = &delivered;
        move |_: Stanza<&str>| delivered.lock().unwrap()[index] += 1
    };
    // Both alone and in a batch, so each twice.
    for case in Case::all() {
        let (ours, delivery, peer) = connect(case, peer::pair(), |mut peer| {
            peer.read_tag().send(peer::stanzas(LATE)).send(TAG).expect_notify().notify().expect_fin();
        });
        peers.push(peer);
        deliveries.push(delivery);
        batch.add(ours, &CloseOptions::new(), count(peers.len() - 1)).unwrap();
    }
    let (ours, theirs) = peer::pair();
    let plain = peer::peer(theirs, |mut peer| {
        peer.read_tag().send(peer::stanzas(LATE)).send(TAG).expect_eof();
    });
    batch.add(ours, &CloseOptions::new(), count(peers.len())).unwrap();
    let (ours, _delivery, mute) = connect(Case::all()[0], peer::pair(), |mut peer| {
        peer.read_tag().expect_notify();
    });
    let options = CloseOptions::new().no_progress(Duration::from_millis(300));
    batch.add(ours, &options, count(peers.len() + 1)).unwrap();

    let done = batch.run(BatchOptions::new().total(PATIENCE)).unwrap();
    let streams = peers.len() + 1;
    peers.into_iter().for_each(|peer| peer.join());
    plain.join().unwrap();
    mute.join();
    assert_eq!(done.summary.count(Outcome::Clean), streams, "{}", done.summary);
    assert_eq!(done.summary.count(Outcome::TimedOut), 1, "{}", done.summary);
    assert_eq!(delivered.lock().unwrap()[..streams], vec![LATE; streams]);
    let notified = done.reports.iter().filter(|report| report.tls.sent && report.tls.received).count();
    assert_eq!(notified, streams - 1);
}
