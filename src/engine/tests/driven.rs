//! What only the library's own driver asks of the engine.

use super::*;

#[test]
fn our_last_bytes_end_with_a_fin_when_nothing_speaks_against_it() {
    let ends = |t: &mut Trace| t.engine.may_end_output();
    let timed_out = |mut t: Trace| {
        t.finish().writes().at(30_000).tick();
        t
    };
    assert!(ends(&mut timed_out(Trace::new())));
    assert!(ends(Trace::new().send("A").finish().at(30_000).tick()), "stalled, and all that the kernel has is sent");
    assert!(!ends(Trace::new().finish().tell(Fact::Cancel)), "stopped in front of our tag");
    assert!(!ends(Trace::new().finish().writes().tell(Fact::ReadFailed(104))), "reset");
    assert!(!ends(Trace::new().finish().writes().closed().tell(Fact::WriteFailed(32)).eof()), "broken");
    // Over TLS the peer's close_notify, or its end, comes first (TL-02).
    assert!(!ends(&mut timed_out(Trace::over_tls())));
    let closed = || {
        let mut t = Trace::over_tls();
        t.finish().writes().closed().tell(Fact::DidNotify);
        t
    };
    assert!(!ends(closed().tell(Fact::Cancel)));
    assert!(ends(closed().tell(Fact::Notified { inside: false }).tell(Fact::Cancel)));
    assert!(ends(closed().eof()));
}

#[test]
fn what_is_over_or_broken_is_written_no_more() {
    assert!(Trace::new().finish().engine.may_write());
    assert!(!Trace::new().finish().tell(Fact::WriteFailed(32)).engine.may_write());
    assert!(!Trace::new().finish().writes().tell(Fact::WriteFailed(32)).engine.may_write());
    assert!(!Trace::new().finish().tell(Fact::Cancel).engine.may_write());
}

#[test]
#[cfg(feature = "batch")]
fn a_set_with_a_shorter_time_shortens_the_time_to_answer() {
    let mut t = Trace::new();
    t.closed().within(15_000);
    t.engine.bound(ms(10_000), t.now);
    t.within(5000).engine.bound(ms(60_000), ms(0));
    t.within(5000).at(5000).tick().wants("RW").within(5000);
}

#[test]
fn what_is_queued_and_never_written_is_the_rest_of_what_was_sent() {
    let mut t = Trace::new();
    t.send("ABC").takes(1, 5);
    assert_eq!((t.engine.unsent(), t.engine.pending()), (7, 5));
    assert!(t.engine.parses() && !t.engine.is_over() && !t.engine.is_finishing());
    t.engine.finishing(t.now);
    t.wants("RWMP");
    assert!(t.engine.is_finishing() && t.engine.owes_output());
    t.finish().writes();
    assert!(!t.engine.is_finishing() && !t.engine.owes_output());
}

#[test]
fn last_words_go_in_front_of_our_tag_or_count_as_unsent() {
    let mut t = Trace::new();
    t.finish();
    t.engine.add_farewell(b"AB", t.now);
    t.says(&format!("AB{TAG}")).takes(3, 0);
    t.engine.add_farewell(b"CDE", t.now);
    t.writes();
    t.engine.add_farewell(b"FGHI", t.now);
    t.closed().tell(Fact::DidShut).eof().ends(Outcome::Clean, Initiator::Us, (true, true));
    assert_eq!(t.engine.report().bytes_unsent, 3 + 4);

    let mut t = Trace::new();
    t.finish().tell(Fact::Cancel);
    t.engine.add_farewell(b"AB", t.now);
    assert_eq!(t.engine.report().bytes_unsent as usize, TAG.len() + 2);
}

#[test]
fn a_farewell_that_an_end_overtakes_counts_as_unsent() {
    let mut t = Trace::with(&CloseOptions::new().farewell("<f/>"), Tls::No);
    t.engine.queue_farewell(t.now);
    t.tell(Fact::ReadFailed(104));
    assert_eq!(t.engine.report().bytes_unsent, 4);
}

#[test]
fn the_time_to_answer_ends_with_its_limit() {
    let mut t = Trace::new();
    assert!(t.engine.has_time_to_answer());
    t.closed().at(14_999).tick();
    assert!(t.engine.has_time_to_answer());
    t.at(15_000).tick();
    assert!(!t.engine.has_time_to_answer());
}
