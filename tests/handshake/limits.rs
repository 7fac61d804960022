//! Deadlines on a fake clock.

use std::time::Duration;

use xmpp_close::{CloseOptions, Limit, Limits, Outcome, Tls};

use crate::{
    after,
    stream::{Event::*, *},
};

const TOTAL: Duration = Duration::from_secs(30);
const NO_PROGRESS: Duration = Duration::from_secs(10);
const LINGER: Duration = Duration::from_secs(2);

fn plain(options: &CloseOptions) -> Stream {
    Stream::with(options, Tls::No)
}

fn impatient() -> CloseOptions {
    CloseOptions::new().no_progress(NO_PROGRESS)
}

#[test]
fn the_total_deadline_is_never_extended_by_traffic() {
    let mut stream = after(&[Finish, WRITE]);
    let mut now = secs(2);
    while now < secs(1) + TOTAL {
        stream.at(&Receive(1), now);
        stream.at(&STANZA, now);
        assert_eq!(stream.at(&Tick, now), "RP");
        now += Duration::from_millis(100);
    }
    assert_eq!(stream.at(&Tick, now), "O");
    assert_eq!(stream.report().outcome, Outcome::TimedOut);
    assert_eq!(stream.report().elapsed, TOTAL);
    assert_eq!(stream.report().limit, Some(Limit::Total));
}

#[test]
fn silence_is_bounded_by_the_total_alone_unless_a_limit_is_set() {
    let Limits { total, no_progress, linger, half_close, .. } = Limits::default();
    assert_eq!((total, no_progress, linger, half_close), (TOTAL, Duration::MAX, LINGER, false));
    let ways: [&[Event]; 4] = [&[Finish], &[Finish, WRITE], &[CLOSED, Finish], &[Finish, MALFORMED]];
    for way in ways {
        let mut stream = after(way);
        assert_eq!(stream.deadline(), Some(secs(1) + TOTAL), "{way:?}");
        stream.at(&Tick, secs(30));
        assert!(!stream.is_over(), "{way:?}");
        assert_eq!(stream.at(&Tick, secs(1) + TOTAL), "O", "{way:?}");
    }
}

#[test]
fn without_progress_a_close_ends_sooner() {
    for half_close in [false, true] {
        let mut stream = plain(&impatient().half_close(half_close)).after(&[Finish, WRITE, End]);
        assert_eq!(stream.deadline(), Some(secs(2) + NO_PROGRESS));
        stream.at(&Receive(1), secs(5));
        assert_eq!(stream.deadline(), Some(secs(5) + NO_PROGRESS));
        stream.at(&Receive(0), secs(7));
        assert_eq!(stream.deadline(), Some(secs(5) + NO_PROGRESS), "no byte is no progress");
        assert_eq!(stream.at(&Tick, secs(15)), "O");
        assert_eq!(stream.report().limit, Some(Limit::NoProgress));
    }
}

#[test]
fn written_bytes_are_progress_and_bytes_after_the_tag_are_not() {
    let mut stream = plain(&impatient()).after(&[CLOSED, Finish]);
    stream.at(&Write(1), secs(8));
    assert_eq!(stream.deadline(), Some(secs(8) + NO_PROGRESS));
    stream.at(&Write(0), secs(9));
    stream.at(&Receive(1), secs(9));
    assert_eq!(stream.deadline(), Some(secs(8) + NO_PROGRESS));
}

#[test]
fn what_leaves_the_applications_own_queue_is_progress() {
    let mut stream = plain(&impatient()).after(&[Finish]);
    let tag = stream.engine.output().len();
    stream.engine.wrote(tag, tag, secs(2));
    assert_eq!(stream.deadline(), Some(secs(2) + NO_PROGRESS));
    stream.engine.wrote(0, tag - 1, secs(5));
    assert_eq!(stream.deadline(), Some(secs(5) + NO_PROGRESS));
    stream.engine.wrote(0, tag - 1, secs(8));
    assert_eq!(stream.deadline(), Some(secs(5) + NO_PROGRESS), "nothing left it");
}

#[test]
fn the_application_has_half_of_the_whole_time_to_answer() {
    let stream = plain(&impatient()).after(&[CLOSED]);
    assert_eq!(stream.deadline(), Some(secs(1) + TOTAL / 2), "no progress can come from a peer that closed");
}

#[test]
fn a_detach_after_the_peers_tag_does_not_start_the_time_anew() {
    let mut stream = plain(&CloseOptions::new());
    stream.at(&Send(1), secs(0));
    assert_eq!(stream.at(&CLOSED, secs(1)), "RWMA");
    assert_eq!(stream.at(&Detach, secs(10)), "RW");
    assert_eq!(stream.deadline(), Some(secs(1) + TOTAL));
    assert_eq!(stream.at(&Tick, secs(1) + TOTAL), "O");
    assert_eq!(stream.report().elapsed, TOTAL);
}

#[test]
fn a_peer_that_closed_is_answered_within_the_limit_that_was_set() {
    let mut stream = plain(&CloseOptions::new().total(secs(6)));
    assert_eq!(stream.at(&CLOSED, secs(1)), "RMA");
    assert_eq!(stream.deadline(), Some(secs(4)));
    assert_eq!(stream.at(&Tick, secs(3)), "RMA");
    assert_eq!(stream.at(&Tick, secs(4)), "RW");
    assert_eq!(stream.at(&Finish, secs(5)), "RW");
    assert_eq!(stream.at(&WRITE, secs(6)), "RS");
    assert_eq!(stream.wire, b"</stream:stream>", "the tag goes out once");
}

#[test]
fn after_the_whole_time_there_is_no_answer_any_more() {
    let mut stream = after(&[CLOSED]);
    assert_eq!(stream.at(&Tick, secs(1) + TOTAL), "O");
    assert_eq!(stream.report().outcome, Outcome::Stalled);
    assert_eq!(stream.report().limit, Some(Limit::Total));
}

#[test]
fn an_empty_queue_is_no_progress_once_the_tag_is_out() {
    let mut stream = plain(&impatient()).after(&[Finish, WRITE]);
    assert_eq!(stream.deadline(), Some(secs(2) + NO_PROGRESS));
    stream.engine.wrote(0, 0, secs(5));
    assert_eq!(stream.deadline(), Some(secs(2) + NO_PROGRESS));
}

#[test]
fn the_end_of_our_output_is_no_progress_when_the_peers_stream_is_over_already() {
    let mut stream = Stream::over_tls();
    for event in [Finish, MALFORMED] {
        stream.at(&event, secs(1));
    }
    assert_eq!(stream.at(&WRITE, secs(2)), "RN");
    assert_eq!(stream.deadline(), Some(secs(2) + LINGER));
    assert_eq!(stream.at(&End, secs(3)), "R");
    assert_eq!(stream.deadline(), Some(secs(2) + LINGER));
    assert!(stream.report().tls.sent);

    // The same for the other limit: the last write is progress, the end of our output is not.
    let mut stream = plain(&CloseOptions::new().no_progress(secs(2)).linger(TOTAL));
    for event in [Finish, MALFORMED] {
        stream.at(&event, secs(1));
    }
    assert_eq!(stream.deadline(), Some(secs(1 + 2)));
    stream.at(&WRITE, secs(2));
    assert_eq!(stream.deadline(), Some(secs(1) + TOTAL), "linger alone bounds what is only drained");
}

#[test]
fn a_failed_write_starts_the_time_of_a_stream_that_was_open() {
    let mut stream = after(&[WRITE_FAILED]);
    assert_eq!(stream.deadline(), Some(secs(1) + LINGER));
    stream.at(&Tick, secs(2));
    assert_eq!(stream.report().elapsed, secs(1));
}

#[test]
fn linger_is_short_and_inside_the_total() {
    let mut stream = after(&[Finish, WRITE, CLOSED]);
    assert_eq!(stream.deadline(), Some(secs(3) + LINGER));
    assert_eq!(stream.at(&Tick, secs(3) + LINGER), "O");
    assert_eq!((stream.report().outcome, stream.report().limit), (Outcome::Clean, Some(Limit::Linger)));
    let mut late = after(&[Finish, WRITE]);
    late.at(&CLOSED, secs(30));
    assert_eq!(late.deadline(), Some(secs(1) + TOTAL));
}

#[test]
fn when_our_output_is_lost_a_peer_that_goes_on_sending_is_heard_out() {
    let mut stream = after(&[Finish, WRITE_FAILED]);
    for second in 3..30 {
        stream.at(&Receive(10), secs(second));
        stream.at(&STANZA, secs(second));
        stream.at(&Receive(0), secs(second) + Duration::from_millis(900));
        assert_eq!(stream.deadline(), Some((secs(second) + LINGER).min(secs(1) + TOTAL)), "linger counts silence");
        assert_eq!(stream.at(&Tick, secs(second + 1)), "RP");
    }
    let mut silent = stream.clone();
    assert_eq!(silent.at(&Tick, secs(29) + LINGER), "O");
    assert_eq!(silent.report().outcome, Outcome::Reset);
    stream.at(&Receive(10), secs(30));
    assert_eq!(stream.at(&Tick, secs(1) + TOTAL), "O", "inside the total");
    assert_eq!((stream.report().outcome, stream.report().stanzas), (Outcome::Reset, 27));
}

#[test]
fn a_pause_of_ours_does_not_count_as_the_peers_silence() {
    let mut stream = plain(&impatient()).after(&[Finish, WRITE]);
    let paused = |paused| Tell(xmpp_close::Fact::Paused(paused));
    assert_eq!(stream.at(&paused(true), secs(5)), "P");
    assert_eq!(stream.deadline(), Some(secs(1) + TOTAL));
    assert_eq!(stream.at(&paused(false), secs(20)), "RP");
    assert_eq!(stream.deadline(), Some(secs(20) + NO_PROGRESS));
}

#[test]
fn an_open_or_finished_stream_has_no_deadline() {
    assert_eq!(after(&[]).deadline(), None);
    assert_eq!(after(&[Send(1), WRITE, Receive(1), Tick]).deadline(), None);
    assert_eq!(after(&[Finish, CANCEL]).deadline(), None);
}

#[test]
fn endless_limits_do_not_overflow() {
    let endless = CloseOptions::new().total(Duration::MAX).no_progress(Duration::MAX).linger(Duration::MAX);
    let mut stream = plain(&endless);
    stream.at(&Finish, Duration::MAX - secs(5));
    stream.at(&WRITE, Duration::ZERO); // a clock that went back
    assert_eq!(stream.at(&Tick, secs(5)), "RP");
    assert_eq!(stream.report().elapsed, Duration::ZERO);
}

#[test]
fn half_close_ends_the_output_right_after_our_tag_and_only_once() {
    let mut stream = plain(&CloseOptions::new().half_close(true));
    stream.at(&Finish, secs(1));
    assert_eq!(stream.at(&WRITE, secs(2)), "RPS");
    assert_eq!(stream.at(&End, secs(2)), "RP");
    assert_eq!(stream.at(&End, secs(2)), "RP");
    assert_eq!(stream.at(&CLOSED, secs(3)), "R");
    assert_eq!(stream.at(&EOF, secs(3)), "O");
    assert_eq!(stream.report().outcome, Outcome::Clean);
}

#[test]
fn zero_total_sends_the_tag_and_does_not_wait() {
    let mut stream = plain(&CloseOptions::new().total(Duration::ZERO));
    assert_eq!(stream.at(&Finish, secs(1)), "RWP");
    assert_eq!(stream.deadline(), Some(secs(1)));
    assert_eq!(stream.at(&WRITE, secs(1)), "RP");
    assert_eq!(stream.at(&Tick, secs(1)), "O");
    assert_eq!(stream.report().outcome, Outcome::TimedOut);
}
