//! Deadlines on a fake clock.

use std::time::Duration;

use xmpp_close::{Action, Event, Handshake, Limits, Outcome, State};

use crate::{EOF, after, run, secs};

const TOTAL: Duration = Duration::from_secs(30);
const NO_PROGRESS: Duration = Duration::from_secs(10);
const IMPATIENT: Limits = Limits { total: TOTAL, no_progress: NO_PROGRESS, linger: LINGER, half_close: false };
const LINGER: Duration = Duration::from_secs(2);

#[test]
fn the_total_deadline_is_never_extended_by_traffic() {
    let mut handshake = after(&[Event::Begin, Event::Flushed]);
    let mut now = secs(2);
    while now < secs(1) + TOTAL {
        let _ = handshake.handle(Event::Received(1), now);
        let _ = handshake.handle(Event::Stanza, now);
        assert_eq!(handshake.handle(Event::Tick, now), Action::Nothing);
        now += Duration::from_millis(100);
    }
    assert_eq!(handshake.handle(Event::Tick, now), Action::Teardown);
    assert_eq!(handshake.report(now).outcome, Outcome::TimedOut);
    assert_eq!(handshake.report(now).elapsed, TOTAL);
}

#[test]
fn silence_is_bounded_by_the_total_alone_unless_a_limit_is_set() {
    let defaults = Limits { no_progress: Duration::MAX, ..IMPATIENT };
    assert_eq!(Limits::default(), defaults);
    let ways: [&[Event]; 4] = [
        &[Event::Begin],
        &[Event::Begin, Event::Flushed],
        &[Event::PeerClosed, Event::Begin],
        &[Event::Begin, Event::Malformed],
    ];
    for way in ways {
        let mut handshake = after(way);
        assert_eq!(handshake.deadline(), Some(secs(1) + TOTAL), "{way:?}");
        assert_eq!(handshake.handle(Event::Tick, secs(30)), Action::Nothing, "{way:?}");
        assert_eq!(handshake.handle(Event::Tick, secs(1) + TOTAL), Action::Teardown, "{way:?}");
    }
}

#[test]
fn without_progress_it_ends_sooner() {
    let mut handshake = run(Handshake::new(IMPATIENT), &[Event::Begin, Event::Flushed]);
    assert_eq!(handshake.deadline(), Some(secs(2) + NO_PROGRESS));
    let _ = handshake.handle(Event::Received(1), secs(5));
    assert_eq!(handshake.deadline(), Some(secs(5) + NO_PROGRESS));
    let _ = handshake.handle(Event::Received(0), secs(7));
    assert_eq!(handshake.deadline(), Some(secs(5) + NO_PROGRESS), "no byte is no progress");
    assert_eq!(handshake.handle(Event::Tick, secs(15)), Action::Teardown);
}

#[test]
fn written_bytes_are_progress_and_bytes_after_the_tag_are_not() {
    let mut handshake = run(Handshake::new(IMPATIENT), &[Event::PeerClosed, Event::Begin]);
    let _ = handshake.handle(Event::Written(1), secs(8));
    assert_eq!(handshake.deadline(), Some(secs(8) + NO_PROGRESS));
    let _ = handshake.handle(Event::Written(0), secs(9));
    let _ = handshake.handle(Event::Received(1), secs(9));
    assert_eq!(handshake.deadline(), Some(secs(8) + NO_PROGRESS));
}

#[test]
fn the_application_has_the_whole_time_to_answer() {
    let handshake = run(Handshake::new(IMPATIENT), &[Event::PeerClosed]);
    assert_eq!(handshake.deadline(), Some(secs(1) + TOTAL), "no progress can come from a peer that closed");
}

#[test]
fn a_detach_after_the_peers_tag_does_not_start_the_time_anew() {
    let mut handshake = Handshake::new(Limits::default());
    assert_eq!(handshake.handle(Event::PeerClosed, secs(1)), Action::Answer);
    let _ = handshake.handle(Event::Detach, secs(20));
    assert_eq!(handshake.deadline(), Some(secs(1) + TOTAL));
    assert_eq!(handshake.handle(Event::Tick, secs(1) + TOTAL), Action::Teardown);
    assert_eq!(handshake.report(secs(40)).elapsed, TOTAL);
}

#[test]
fn a_peer_that_closed_is_answered_within_the_limit_that_was_set() {
    let mut handshake = Handshake::new(Limits::default()).answer_within(secs(3));
    assert_eq!(handshake.handle(Event::PeerClosed, secs(1)), Action::Answer);
    assert!(handshake.must_answer() && handshake.may_write());
    assert_eq!(handshake.deadline(), Some(secs(4)));
    assert_eq!(handshake.handle(Event::Tick, secs(3)), Action::Nothing);
    assert_eq!(handshake.handle(Event::Tick, secs(4)), Action::SendTag);
    assert!(!handshake.must_answer() && !handshake.may_write());
    assert_eq!(handshake.handle(Event::Begin, secs(5)), Action::Nothing, "the tag goes out once");
    assert_eq!(handshake.handle(Event::Flushed, secs(6)), Action::EndOutput);
}

#[test]
fn after_the_whole_time_there_is_no_answer_any_more() {
    let mut handshake = Handshake::new(Limits::default()).answer_within(2 * TOTAL);
    let _ = handshake.handle(Event::PeerClosed, secs(1));
    assert_eq!(handshake.deadline(), Some(secs(1) + TOTAL));
    assert_eq!(handshake.handle(Event::Tick, secs(1) + TOTAL), Action::Teardown);
    assert_eq!(handshake.report(secs(31)).outcome, Outcome::Stalled);
}

#[test]
fn an_empty_queue_is_no_progress_once_the_tag_is_out() {
    let mut handshake = run(Handshake::new(IMPATIENT), &[Event::Begin, Event::Flushed]);
    assert_eq!(handshake.deadline(), Some(secs(2) + NO_PROGRESS));
    assert_eq!(handshake.handle(Event::Flushed, secs(5)), Action::Nothing);
    assert_eq!(handshake.deadline(), Some(secs(2) + NO_PROGRESS));
}

#[test]
fn the_end_of_our_output_is_no_progress_when_the_peers_stream_is_over_already() {
    let mut handshake = Handshake::new(Limits::default()).over_tls();
    for event in [Event::Begin, Event::Malformed] {
        let _ = handshake.handle(event, secs(1));
    }
    assert_eq!(handshake.handle(Event::Flushed, secs(2)), Action::EndOutput);
    assert_eq!(handshake.deadline(), Some(secs(2) + LINGER));
    assert_eq!(handshake.handle(Event::Flushed, secs(3)), Action::Nothing);
    assert_eq!(handshake.deadline(), Some(secs(2) + LINGER));
    assert!(handshake.report(secs(3)).tls.sent);

    // The same for the other limit: what is written last is progress, and that it is all written is none.
    let mut handshake = Handshake::new(Limits { no_progress: secs(2), linger: TOTAL, ..Limits::default() });
    for event in [Event::Begin, Event::Malformed] {
        let _ = handshake.handle(event, secs(1));
    }
    for second in [2, 3] {
        let _ = handshake.handle(Event::Flushed, secs(second));
        assert_eq!(handshake.deadline(), Some(secs(2 + 2)));
    }
}

#[test]
fn a_failed_write_starts_the_time_of_a_stream_that_was_open() {
    let handshake = after(&[Event::OutputFailed(32)]);
    assert_eq!(handshake.deadline(), Some(secs(1) + LINGER));
    assert_eq!(handshake.report(secs(2)).elapsed, secs(1));
}

#[test]
fn linger_is_short_and_inside_the_total() {
    let handshake = after(&[Event::Begin, Event::Flushed, Event::PeerClosed]);
    assert_eq!(handshake.deadline(), Some(secs(3) + LINGER));
    let mut late = after(&[Event::Begin, Event::Flushed]);
    let _ = late.handle(Event::PeerClosed, secs(30));
    assert_eq!(late.deadline(), Some(secs(1) + TOTAL));
}

#[test]
fn when_our_output_is_lost_a_peer_that_goes_on_sending_is_heard_out() {
    let mut handshake = after(&[Event::Begin, Event::OutputFailed(32)]);
    for second in 3..30 {
        let _ = handshake.handle(Event::Received(10), secs(second));
        let _ = handshake.handle(Event::Stanza, secs(second));
        let _ = handshake.handle(Event::Received(0), secs(second) + Duration::from_millis(900));
        assert_eq!(handshake.deadline(), Some((secs(second) + LINGER).min(secs(1) + TOTAL)), "linger counts silence");
        assert_eq!(handshake.handle(Event::Tick, secs(second + 1)), Action::Nothing);
    }
    let mut silent = handshake.clone();
    assert_eq!(silent.handle(Event::Tick, secs(29) + LINGER), Action::Teardown);
    assert_eq!(silent.report(secs(31)).outcome, Outcome::Reset);
    let _ = handshake.handle(Event::Received(10), secs(30));
    assert_eq!(handshake.handle(Event::Tick, secs(1) + TOTAL), Action::Teardown, "inside the total");
    assert_eq!((handshake.report(secs(31)).outcome, handshake.report(secs(31)).stanzas), (Outcome::Reset, 27));
}

#[test]
fn an_open_or_finished_stream_has_no_deadline() {
    assert_eq!(after(&[]).deadline(), None);
    assert_eq!(after(&[Event::Begin, Event::Cancel]).deadline(), None);
}

#[test]
fn endless_limits_do_not_overflow() {
    let limits = Limits { total: Duration::MAX, no_progress: Duration::MAX, linger: Duration::MAX, half_close: false };
    let mut handshake = Handshake::new(limits);
    let _ = handshake.handle(Event::Begin, Duration::MAX);
    let _ = handshake.handle(Event::Flushed, Duration::ZERO); // a clock that went back
    assert_eq!(handshake.handle(Event::Tick, secs(5)), Action::Nothing);
    assert_eq!(handshake.report(Duration::ZERO).elapsed, Duration::ZERO);
}

#[test]
fn half_close_ends_the_output_right_after_our_tag_and_only_once() {
    let limits = Limits { half_close: true, ..Limits::default() };
    let mut handshake = Handshake::new(limits);
    let _ = handshake.handle(Event::Begin, secs(1));
    assert_eq!(handshake.handle(Event::Flushed, secs(2)), Action::EndOutput);
    assert_eq!(handshake.state(), State::Wait);
    assert_eq!(handshake.handle(Event::Flushed, secs(2)), Action::Nothing);
    assert_eq!(handshake.handle(Event::PeerClosed, secs(3)), Action::Nothing);
    assert_eq!(handshake.state(), State::Linger);
    assert_eq!(handshake.handle(EOF, secs(3)), Action::Teardown);
    assert_eq!(handshake.report(secs(3)).outcome, Outcome::Clean);
}

#[test]
fn zero_total_sends_the_tag_and_does_not_wait() {
    let mut handshake = Handshake::new(Limits { total: Duration::ZERO, ..Limits::default() });
    assert_eq!(handshake.handle(Event::Begin, secs(1)), Action::SendTag);
    assert_eq!(handshake.deadline(), Some(secs(1)));
    let _ = handshake.handle(Event::Flushed, secs(1));
    assert_eq!(handshake.handle(Event::Tick, secs(1)), Action::Teardown);
    assert_eq!(handshake.report(secs(1)).outcome, Outcome::TimedOut);
}
