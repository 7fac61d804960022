//! The state machine on a fake clock: every cell of the table of states and events, then what a cell cannot show.

use std::time::Duration;

use xmpp_close::{Action, Event, Handshake, Initiator, Limits, Outcome, State};

const TOTAL: Duration = Duration::from_secs(30);
const NO_PROGRESS: Duration = Duration::from_secs(10);
const LINGER: Duration = Duration::from_secs(2);

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Runs `events`, a second apart from second 1 on.
fn after(events: &[Event]) -> Handshake {
    run(Handshake::new(Limits::default()), events)
}

fn run(mut handshake: Handshake, events: &[Event]) -> Handshake {
    for (second, event) in (1..).zip(events) {
        let _ = handshake.handle(*event, secs(second));
    }
    handshake
}

const EOF: Event = Event::Eof { inside: false };
const EOF_INSIDE: Event = Event::Eof { inside: true };
const NOTIFY: Event = Event::CloseNotify { inside: false };
const NOTIFY_INSIDE: Event = Event::CloseNotify { inside: true };

/// How to come to each state, in the order of the columns below. `Void` has two: before and after our output is written.
const COLUMNS: [(State, &[Event]); 10] = [
    (State::Open, &[]),
    (State::Answer, &[Event::PeerClosed]),
    (State::Flush, &[Event::Begin]),
    (State::Wait, &[Event::Begin, Event::Flushed]),
    (State::Reply, &[Event::PeerClosed, Event::Begin]),
    (State::Bye, &[Event::Begin, Event::Flushed, Event::PeerClosed]),
    (State::Linger, &[Event::Begin, Event::Flushed, Event::PeerClosed, Event::Flushed]),
    (State::Void, &[Event::Begin, Event::Malformed]),
    (State::Void, &[Event::Begin, Event::Flushed, Event::Malformed]),
    (State::Done, &[Event::Begin, Event::Flushed, Event::PeerClosed, Event::Flushed, EOF]),
];

/// `.`: nothing happens. `wait`: the next state, without an action. `wait+tag`: with one. `=reset`: over, with that outcome.
#[rustfmt::skip]
const TABLE: [(Event, [&str; 10]); 21] = [
    //                        Open         Answer     Flush      Wait        Reply     Bye     Linger  Void        Void (written) Done
    (Event::Begin,           ["flush+tag", "reply+tag", ".",     ".",        ".",      ".",    ".",    ".",        ".",           "=clean"]),
    (Event::Detach,          ["void",      "void",    ".",       ".",        ".",      ".",    ".",    ".",        ".",           "=clean"]),
    (Event::Written(5),      [".",         ".",       ".",       ".",        ".",      ".",    ".",    ".",        ".",           "=clean"]),
    (Event::Flushed,         [".",         ".",       "wait",    ".",        "bye+end", "linger", ".",  "void+end", ".",           "=clean"]),
    (Event::Received(5),     [".",         ".",       ".",       ".",        ".",      ".",    ".",    ".",        ".",           "=clean"]),
    (Event::Stanza,          [".",         ".",       ".",       ".",        ".",      ".",    ".",    ".",        ".",           "=clean"]),
    (Event::Oversize,        [".",         ".",       ".",       ".",        ".",      ".",    ".",    ".",        ".",           "=clean"]),
    (Event::StreamError,     ["flush+tag", ".",       ".",       ".",        ".",      ".",    ".",    ".",        ".",           "=clean"]),
    (Event::PeerClosed,      ["answer+answer", ".",   "reply",   "bye+end",  ".",      ".",    ".",    ".",        ".",           "=clean"]),
    (Event::Malformed,       ["void+tag",  ".",       "void",    "void+end", ".",      ".",    ".",    ".",        ".",           "=clean"]),
    (EOF,                    ["void+tag",  ".",       "void",    "=peer-eof", ".",     "=clean", "=clean", ".",    "=malformed",  "=clean"]),
    (EOF_INSIDE,             ["void+tag",  ".",       "void",    "=truncated", ".",    "=clean", "=clean", ".",    "=malformed",  "=clean"]),
    (NOTIFY,                 ["void+tag",  ".",       "void",    "=peer-eof", ".",     ".",    ".",    ".",        "=malformed",  "=clean"]),
    (NOTIFY_INSIDE,          ["void+tag",  ".",       "void",    "=truncated", ".",    ".",    ".",    ".",        "=malformed",  "=clean"]),
    (Event::Truncated,       ["void+tag",  ".",       "void",    "=truncated", ".",    "=clean", "=clean", ".",    "=malformed",  "=clean"]),
    (Event::Failed(104),     ["=reset",    "=reset",  "=reset",  "=reset",   "=reset", "=clean", "=clean", "=malformed", "=malformed", "=clean"]),
    (Event::OutputFailed(32), ["wait",     "=reset",  "wait",    ".",        "=reset", "linger", ".",  "=malformed", "=malformed", "=clean"]),
    (Event::TlsFailed,       ["=tls-failed", "=tls-failed", "=tls-failed", "=tls-failed", "=tls-failed", "=clean", "=clean", "=malformed", "=malformed", "=clean"]),
    (Event::Tick,            [".",         ".",       ".",       ".",        ".",      ".",    ".",    ".",        ".",           "=clean"]),
    (Event::Cancel,          ["=cancelled", "=cancelled", "=cancelled", "=cancelled", "=cancelled", "=cancelled", "=cancelled", "=cancelled", "=cancelled", "=clean"]),
    // The same once every limit has passed.
    (LATE_TICK,              [".",         "=stalled", "=stalled", "=timed-out", "=stalled", "=clean", "=clean", "=malformed", "=malformed", "=clean"]),
];
/// Stands for a tick long after the start.
const LATE_TICK: Event = Event::Written(usize::MAX);

fn show(before: State, handshake: &Handshake, action: Action, now: Duration) -> String {
    if handshake.state() == State::Done {
        assert_eq!(action, Action::Teardown);
        return format!("={}", handshake.report(now).outcome);
    }
    let state = format!("{:?}", handshake.state()).to_lowercase();
    match action {
        Action::Nothing if handshake.state() == before => ".".to_owned(),
        Action::Nothing => state,
        Action::SendTag => state + "+tag",
        Action::Answer => state + "+answer",
        Action::EndOutput => state + "+end",
        _ => state + "+teardown",
    }
}

#[test]
fn every_event_in_every_state_does_what_the_table_says() {
    let mut wrong = Vec::new();
    for (event, cells) in TABLE {
        for ((state, way), cell) in COLUMNS.iter().zip(cells) {
            let mut handshake = after(way);
            assert_eq!(handshake.state(), *state);
            let late = event == LATE_TICK;
            let now = secs(if late { 1000 } else { way.len() as u64 });
            let action = handshake.handle(if late { Event::Tick } else { event }, now);
            let seen = show(*state, &handshake, action, now);
            if seen != cell {
                wrong.push(format!("{event:?} in {state:?} after {way:?}: {seen}, not {cell}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn nothing_may_be_written_from_the_closing_tag_on() {
    for (state, way) in COLUMNS {
        assert_eq!(after(way).may_write(), matches!(state, State::Open | State::Answer), "{state:?}");
    }
}

#[test]
fn input_is_wanted_until_it_ended() {
    for (state, way) in COLUMNS {
        assert_eq!(after(way).wants_input(), state != State::Done, "{state:?}");
    }
    for way in [&[Event::PeerClosed, EOF][..], &[Event::Begin, EOF], &[Event::PeerClosed, Event::Begin, NOTIFY]] {
        assert!(!after(way).wants_input(), "{way:?}");
    }
}

#[test]
fn stanzas_are_expected_until_the_peers_tag() {
    for (state, way) in COLUMNS {
        let expected = matches!(state, State::Open | State::Flush | State::Wait);
        assert_eq!(after(way).expects_stanzas(), expected, "{state:?}");
    }
}

#[test]
fn the_initiator_is_who_was_first_and_crossing_tags_are_told_apart() {
    let initiator = |events: &[Event]| after(events).report(secs(9)).initiator;
    assert_eq!(initiator(&[]), None);
    assert_eq!(initiator(&[Event::Begin, Event::Flushed, Event::PeerClosed]), Some(Initiator::Us));
    assert_eq!(initiator(&[Event::PeerClosed, Event::Begin, Event::Flushed]), Some(Initiator::Peer));
    assert_eq!(initiator(&[Event::Begin, Event::PeerClosed, Event::Flushed]), Some(Initiator::Crossing));
    assert_eq!(initiator(&[Event::StreamError, Event::PeerClosed, Event::Flushed]), Some(Initiator::Peer));
    assert_eq!(initiator(&[EOF]), Some(Initiator::Peer));
}

#[test]
fn clean_means_both_tags_whoever_was_first() {
    for way in [
        [Event::Begin, Event::Flushed, Event::PeerClosed, Event::Flushed, EOF],
        [Event::Begin, Event::PeerClosed, Event::Flushed, Event::Flushed, EOF],
        [Event::PeerClosed, Event::Begin, Event::Flushed, Event::Flushed, EOF],
        [Event::Begin, Event::Flushed, Event::PeerClosed, EOF, EOF],
    ] {
        let report = after(&way).report(secs(9));
        assert_eq!(report.outcome, Outcome::Clean, "{way:?}");
        assert!(report.tag_sent && report.tag_received);
    }
}

#[test]
fn without_both_tags_nothing_is_clean() {
    // Every way of at most four events that ends without one of the tags.
    let events = [
        Event::Begin,
        Event::Flushed,
        Event::PeerClosed,
        EOF,
        NOTIFY,
        Event::Truncated,
        Event::Malformed,
        Event::StreamError,
        Event::Failed(104),
        Event::OutputFailed(32),
        Event::TlsFailed,
        Event::Cancel,
        Event::Detach,
    ];
    let count = events.len();
    for index in 0..count.pow(5) {
        let way: Vec<Event> = (0..5).map(|digit| events[index / count.pow(digit) % count]).collect();
        let mut handshake = after(&way);
        let _ = handshake.handle(Event::Tick, secs(1000));
        let report = handshake.report(secs(1000));
        if report.outcome == Outcome::Clean {
            assert!(report.tag_sent && report.tag_received, "{way:?}");
        }
        let began = report.initiator.is_some() || handshake.state() == State::Done;
        assert!(!began || handshake.state() == State::Done, "{way:?}: not over long after its deadline");
    }
}

#[test]
fn one_tag_is_asked_for_whatever_happens() {
    let events = [
        Event::Begin,
        Event::Flushed,
        Event::PeerClosed,
        EOF,
        NOTIFY,
        Event::Malformed,
        Event::StreamError,
        Event::OutputFailed(32),
        Event::Begin,
        Event::Detach,
        Event::Tick,
    ];
    let count = events.len();
    for index in 0..count.pow(5) {
        let mut handshake = Handshake::new(Limits::default());
        let mut tags = 0;
        for digit in 0..5 {
            let action = handshake.handle(events[index / count.pow(digit) % count], secs(u64::from(digit)));
            tags += u32::from(action == Action::SendTag);
            if tags > 0 {
                assert!(!handshake.may_write());
            }
        }
        assert!(tags <= 1, "{tags} tags at {index}");
    }
}

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
fn without_progress_it_ends_sooner() {
    let mut handshake = after(&[Event::Begin, Event::Flushed]);
    assert_eq!(handshake.deadline(), Some(secs(2) + NO_PROGRESS));
    let _ = handshake.handle(Event::Received(1), secs(5));
    assert_eq!(handshake.deadline(), Some(secs(5) + NO_PROGRESS));
    let _ = handshake.handle(Event::Received(0), secs(7));
    assert_eq!(handshake.deadline(), Some(secs(5) + NO_PROGRESS), "no byte is no progress");
    assert_eq!(handshake.handle(Event::Tick, secs(15)), Action::Teardown);
}

#[test]
fn written_bytes_are_progress_and_bytes_after_the_tag_are_not() {
    let mut handshake = after(&[Event::PeerClosed, Event::Begin]);
    let _ = handshake.handle(Event::Written(1), secs(8));
    assert_eq!(handshake.deadline(), Some(secs(8) + NO_PROGRESS));
    let _ = handshake.handle(Event::Received(1), secs(9));
    assert_eq!(handshake.deadline(), Some(secs(8) + NO_PROGRESS));
}

#[test]
fn the_application_has_the_whole_time_to_answer() {
    let handshake = after(&[Event::PeerClosed]);
    assert_eq!(handshake.deadline(), Some(secs(1) + TOTAL), "no progress can come from a peer that closed");
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
fn no_close_notify_leaves_before_the_peers_tag() {
    // TL-04, even when half_close is asked for.
    let limits = Limits { half_close: true, ..Limits::default() };
    let mut handshake = Handshake::new(limits).over_tls();
    let _ = handshake.handle(Event::Begin, secs(1));
    assert_eq!(handshake.handle(Event::Flushed, secs(2)), Action::Nothing);
    assert_eq!(handshake.handle(Event::PeerClosed, secs(3)), Action::EndOutput);
}

#[test]
fn tag_and_alert_give_four_results() {
    // TL-07, TL-08: with and without the peer's tag, with and without its close_notify.
    let result = |events: &[Event]| {
        let report = run(Handshake::new(Limits::default()).over_tls(), events).report(secs(9));
        (report.outcome, report.tls.received)
    };
    let tag = [Event::Begin, Event::Flushed, Event::PeerClosed, Event::Flushed];
    assert_eq!(result(&[&tag[..], &[NOTIFY, EOF]].concat()), (Outcome::Clean, true));
    assert_eq!(result(&[&tag[..], &[Event::Truncated]].concat()), (Outcome::Clean, false));
    assert_eq!(result(&[Event::Begin, Event::Flushed, NOTIFY]), (Outcome::PeerEof, true));
    assert_eq!(result(&[Event::Begin, Event::Flushed, Event::Truncated]), (Outcome::Truncated, false));
}

#[test]
fn after_the_peers_close_notify_our_tag_and_alert_still_go_out() {
    // TL-05 for TLS 1.3: the peer sent tag and alert in one burst before our answer was written.
    let mut handshake = Handshake::new(Limits::default()).over_tls();
    for event in [Event::PeerClosed, NOTIFY, Event::Begin] {
        let _ = handshake.handle(event, secs(1));
    }
    assert_eq!(handshake.handle(Event::Flushed, secs(2)), Action::EndOutput);
    assert_eq!(handshake.handle(Event::Flushed, secs(3)), Action::Teardown);
    let report = handshake.report(secs(3));
    assert_eq!(report.outcome, Outcome::Clean);
    assert!(report.tls.used && report.tls.sent && report.tls.received);
}

#[test]
fn a_half_closed_peer_gets_the_rest_and_our_tag() {
    let mut handshake = after(&[Event::PeerClosed, EOF]);
    assert!(handshake.may_write());
    assert_eq!(handshake.handle(Event::Begin, secs(3)), Action::SendTag);
    assert_eq!(handshake.handle(Event::Flushed, secs(4)), Action::Teardown);
    assert_eq!(handshake.report(secs(4)).outcome, Outcome::Clean);
}

#[test]
fn eof_without_tag_while_flushing_leaves_a_short_time_for_our_output() {
    let mut handshake = after(&[Event::Begin, EOF]);
    assert_eq!(handshake.deadline(), Some(secs(2) + LINGER));
    assert_eq!(handshake.handle(Event::Flushed, secs(3)), Action::Teardown);
    let report = handshake.report(secs(3));
    assert_eq!((report.outcome, report.tag_sent), (Outcome::PeerEof, true));
}

#[test]
fn after_a_failed_write_what_the_peer_sent_is_still_read() {
    let mut handshake = after(&[Event::Begin, Event::OutputFailed(32)]);
    assert!(handshake.wants_input() && handshake.expects_stanzas());
    assert_eq!(handshake.handle(Event::Stanza, secs(3)), Action::Nothing);
    assert_eq!(handshake.handle(Event::PeerClosed, secs(3)), Action::Teardown);
    let report = handshake.report(secs(3));
    // Their tag came, ours did not get out: not clean, but nothing of theirs is missing.
    assert_eq!((report.outcome, report.tag_sent, report.tag_received), (Outcome::Reset, false, true));
    assert_eq!((report.os_error, report.stanzas), (Some(32), 1));
}

#[test]
fn an_eof_after_a_failed_write_is_the_reset_it_hides() {
    // TC-04: the pending error was reported once, by the write; the read then looks like a clean end.
    let handshake = after(&[Event::Begin, Event::OutputFailed(104), EOF]);
    let report = handshake.report(secs(3));
    assert_eq!((report.outcome, report.os_error), (Outcome::Reset, Some(104)));
}

#[test]
fn the_first_os_error_is_kept() {
    let handshake = after(&[Event::Begin, Event::OutputFailed(32), Event::Failed(104)]);
    assert_eq!(handshake.report(secs(3)).os_error, Some(32));
}

#[test]
fn a_reset_after_both_tags_is_clean_with_the_error_as_detail() {
    let handshake = after(&[Event::Begin, Event::Flushed, Event::PeerClosed, Event::Failed(104)]);
    let report = handshake.report(secs(4));
    assert_eq!((report.outcome, report.os_error), (Outcome::Clean, Some(104)));
}

#[test]
fn trailing_bytes_are_counted_and_capped() {
    let mut handshake = after(&[Event::Begin, Event::Flushed, Event::PeerClosed]);
    let _ = handshake.handle(Event::Received(xmpp_close::TRAILING_LIMIT as usize), secs(3));
    assert_eq!(handshake.state(), State::Bye);
    assert_eq!(handshake.handle(Event::Received(1), secs(3)), Action::Teardown);
    let report = handshake.report(secs(3));
    assert_eq!((report.outcome, report.bytes_after_tag), (Outcome::Clean, xmpp_close::TRAILING_LIMIT + 1));
}

#[test]
fn only_what_comes_while_closing_is_counted() {
    let mut handshake = Handshake::new(Limits::default());
    let step = |handshake: &mut Handshake| {
        for event in [Event::Received(100), Event::Stanza, Event::Oversize] {
            let _ = handshake.handle(event, secs(1));
        }
    };
    step(&mut handshake);
    let _ = handshake.handle(Event::Begin, secs(1));
    step(&mut handshake);
    let _ = handshake.handle(Event::Flushed, secs(1));
    step(&mut handshake);
    let _ = handshake.handle(Event::PeerClosed, secs(1));
    step(&mut handshake);
    let report = handshake.report(secs(1));
    assert_eq!((report.bytes_read, report.stanzas, report.oversize, report.bytes_after_tag), (200, 2, 2, 100));
}

#[test]
fn detach_sends_no_tag_and_leaves_the_session_resumable() {
    // SE-04
    let mut handshake = after(&[Event::Detach]);
    assert!(!handshake.may_write());
    assert_eq!(handshake.handle(Event::Begin, secs(2)), Action::Nothing);
    assert_eq!(handshake.handle(Event::Flushed, secs(2)), Action::EndOutput);
    assert_eq!(handshake.handle(EOF, secs(3)), Action::Teardown);
    let report = handshake.report(secs(3));
    assert_eq!((report.outcome, report.tag_sent), (Outcome::Cancelled, false));
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

#[test]
fn the_machine_is_small() {
    assert!(size_of::<Handshake>() <= 400, "{}", size_of::<Handshake>());
}
