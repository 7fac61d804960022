//! What a batch keeps of streams that have ended: their indices, and the reports that nobody is told.

use xmpp_close::{Batch, BatchOptions, CloseOptions};

use crate::{
    live::{Ends, gone, ignore, telling, turn_to_the_end},
    peer::PATIENCE,
};

#[test]
fn no_index_is_used_twice() {
    let mut batch = Batch::new().unwrap();
    for round in 0..3 {
        for number in 0..4 {
            assert_eq!(batch.add(gone(), &CloseOptions::new(), ignore).unwrap(), 8 * round + number);
        }
        let done = batch.run(BatchOptions::new().total(PATIENCE)).unwrap();
        assert_eq!((done.summary.streams, done.reports.len()), (4, 4));
        for number in 4..8 {
            assert_eq!(batch.add(gone(), &CloseOptions::new(), ignore).unwrap(), 8 * round + number);
        }
        turn_to_the_end(&mut batch);
    }
}

#[test]
fn reports_are_kept_where_nobody_is_told() {
    let mut batch = Batch::new().unwrap();
    let first = batch.add(gone(), &CloseOptions::new(), ignore).unwrap();
    assert!(batch.report(first).is_none(), "it has not ended");
    turn_to_the_end(&mut batch);
    let ends = Ends::default();
    batch.set(telling(&ends)).unwrap();
    let second = batch.add(gone(), &CloseOptions::new(), ignore).unwrap();
    turn_to_the_end(&mut batch);
    assert!(batch.report(first).unwrap().is_clean());
    assert!(batch.report(second).is_none());
    assert!(ends.lock().unwrap()[&second].is_clean());
    let third = batch.add(gone(), &CloseOptions::new(), ignore).unwrap();
    assert_eq!(batch.run(BatchOptions::new().total(PATIENCE)).unwrap().reports.len(), 1);
    assert!(batch.report(third).is_none() && batch.report(first).is_some());
    assert_eq!(ends.lock().unwrap().len(), 1, "a run has its own options, and after it there are none");
}
