//! What must hold in every world that the exploration reaches.

use std::time::Duration;

use xmpp_close::{Initiator, Outcome};

use crate::world::World;

/// The linger limit, as it is by default.
const LINGER: Duration = Duration::from_secs(2);

impl World {
    /// What must hold now, whatever has happened.
    pub fn check(&self) {
        let [a, b] = &self.sides;
        let reports = [a.engine.report(), b.engine.report()];
        for (me, report) in self.sides.iter().zip(&reports).take(self.engines()) {
            assert!(me.tags <= 1, "more than one tag");
            assert!(!me.detached || me.tags == 0, "a tag, although the application has detached");
            assert!(!report.tag_sent || me.tags == 1, "a tag is said to be sent that is not");
            let over = me.engine.wants().over();
            assert!(over || me.engine.deadline().is_some() || me.engine.wants().may_send(), "somebody waits for ever");
            assert_eq!(over, report.outcome != Outcome::Pending);
            let both = report.tag_sent && me.seen.tag.is_some();
            assert_eq!(
                over && both,
                report.outcome == Outcome::Clean,
                "clean means both tags, and both tags mean clean"
            );
            if both && !over {
                let latest = self.now + LINGER;
                assert!(me.engine.deadline().is_some_and(|limit| limit <= latest), "nothing ends the wait for the end");
            }
            match report.initiator {
                Some(Initiator::Us) if report.tag_received => {
                    assert!(!me.crossed, "what was there before is taken for an answer")
                }
                Some(Initiator::Crossing) => assert!(me.crossed, "an answer is taken for a tag that crossed ours"),
                _ => {}
            }
        }
        if self.peer.is_none() && reports.iter().all(|report| report.outcome == Outcome::Clean) {
            assert_eq!((a.delivered, b.delivered), (b.sent, a.sent), "clean on both sides, and stanzas were lost");
        }
    }

    /// What must hold when nothing more can happen.
    pub fn check_end(&self) {
        for side in &self.sides[..self.engines()] {
            assert!(side.closed, "a connection is never closed");
        }
        if !self.disturbed && self.peer.is_none() {
            for side in &self.sides {
                assert_eq!(
                    side.engine.report().outcome,
                    Outcome::Clean,
                    "nothing went wrong, and the end is not clean"
                );
            }
        }
    }
}
