//! What each event does in each state.

use std::time::Duration;

use xmpp_close::{Action, Event, Handshake, State};

use crate::{EOF, EOF_INSIDE, NOTIFY, NOTIFY_INSIDE, after, secs};

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
const TABLE: [(Event, [&str; 10]); 22] = [
    //                        Open         Answer     Flush      Wait        Reply     Bye     Linger  Void        Void (written) Done
    (Event::Begin,           ["flush+tag", "reply+tag", ".",     ".",        ".",      ".",    ".",    ".",        ".",           "=clean"]),
    (Event::Detach,          ["void",      "void",    ".",       ".",        ".",      ".",    ".",    ".",        ".",           "=clean"]),
    (Event::Written(5),      [".",         ".",       ".",       ".",        ".",      ".",    ".",    ".",        ".",           "=clean"]),
    (Event::Flushed,         [".",         ".",       "wait",    ".",        "bye+end", "linger", ".",  "void+end", ".",           "=clean"]),
    (Event::Arrived(5),      [".",         ".",       ".",       ".",        ".",      ".",    ".",    ".",        ".",           "=clean"]),
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
