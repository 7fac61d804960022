//! The state machine on a fake clock: every cell of the table of states and events, its limits, and what it reports.

mod limits;
mod table;

use std::time::Duration;

use xmpp_close::{Action, Event, Handshake, Initiator, Limits, Outcome, State};

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

#[test]
fn the_initiator_is_who_was_first_and_crossing_tags_are_told_apart() {
    let initiator = |events: &[Event]| after(events).report(secs(9)).initiator;
    assert_eq!(initiator(&[]), None);
    assert_eq!(initiator(&[Event::Begin, Event::Flushed, Event::PeerClosed]), Some(Initiator::Us));
    assert_eq!(initiator(&[Event::PeerClosed, Event::Begin, Event::Flushed]), Some(Initiator::Peer));
    assert_eq!(initiator(&[Event::Begin, Event::PeerClosed, Event::Flushed]), Some(Initiator::Crossing));
    assert_eq!(initiator(&[Event::StreamError, Event::PeerClosed, Event::Flushed]), Some(Initiator::Peer));
    assert_eq!(initiator(&[EOF]), Some(Initiator::Peer));
    assert_eq!(initiator(&[Event::Failed(104)]), Some(Initiator::Peer));
    assert_eq!(initiator(&[Event::OutputFailed(32)]), Some(Initiator::Peer));
    assert_eq!(initiator(&[Event::Begin, Event::OutputFailed(32)]), Some(Initiator::Us));
    assert_eq!(initiator(&[Event::Begin, Event::StreamError]), Some(Initiator::Crossing));
    assert_eq!(initiator(&[Event::Begin, Event::Flushed, Event::StreamError]), Some(Initiator::Us));
}

#[test]
fn what_had_arrived_before_our_tag_was_written_makes_it_a_crossing() {
    use Event::{Arrived, Begin, Flushed, OutputFailed, PeerClosed, Received, StreamError};
    let ends = |events: &[Event]| {
        let initiators = [PeerClosed, StreamError].map(|end| {
            let report = after(&[events, &[end]].concat()).report(secs(9));
            report.initiator.unwrap()
        });
        assert_eq!(initiators[0], initiators[1], "{events:?}");
        initiators[0]
    };
    let (us, peer, crossing) = (Initiator::Us, Initiator::Peer, Initiator::Crossing);
    assert_eq!(ends(&[Arrived(16), Begin, Flushed, Received(16)]), crossing);
    assert_eq!(ends(&[Begin, Arrived(16), Flushed, Received(16)]), crossing);
    assert_eq!(ends(&[Arrived(16), Begin, Flushed, Received(8), Received(8)]), crossing);
    assert_eq!(ends(&[Arrived(16), Begin, Flushed, Received(17)]), us, "its last byte came later");
    assert_eq!(ends(&[Arrived(0), Begin, Flushed, Received(16)]), us);
    assert_eq!(ends(&[Begin, Flushed, Arrived(16), Received(16)]), us, "too late to tell");
    assert_eq!(ends(&[Begin, Received(4), Arrived(16), Flushed, Received(16)]), crossing);
    assert_eq!(ends(&[Arrived(16), Received(4), Begin, Flushed, Received(12)]), crossing, "four were handled before");
    assert_eq!(ends(&[Arrived(16), Received(4), Begin, Flushed, Received(13)]), us);
    assert_eq!(ends(&[Arrived(16), Received(16), Begin, Flushed, Received(1)]), us, "nothing was left of them");
    assert_eq!(ends(&[Arrived(16), Received(16)]), peer, "nobody had begun");
    assert_eq!(ends(&[Arrived(16), Begin, OutputFailed(32), Received(16)]), crossing);
    assert_eq!(ends(&[Begin, Flushed]), us, "although no byte was told of");
    assert_eq!(ends(&[Received(5), Arrived(usize::MAX), Begin, Arrived(usize::MAX), Flushed, Received(5)]), crossing);
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
fn the_end_of_tcp_without_close_notify_is_a_truncation_whoever_calls_it_eof() {
    let outcome = |events: &[Event]| run(Handshake::new(Limits::default()).over_tls(), events).report(secs(9)).outcome;
    assert_eq!(outcome(&[Event::Begin, Event::Flushed, EOF]), Outcome::Truncated);
    assert_eq!(outcome(&[EOF, Event::Flushed]), Outcome::Truncated);
    assert_eq!(outcome(&[Event::Begin, NOTIFY, EOF, Event::Flushed]), Outcome::PeerEof);
    assert_eq!(outcome(&[Event::Begin, Event::Flushed, Event::PeerClosed, Event::Flushed, EOF]), Outcome::Clean);
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
fn after_an_eof_without_tag_our_output_has_the_time_it_needs() {
    // The peer may have half-closed, and read on steadily: linger begins when our output is written.
    for events in [&[Event::Begin, EOF][..], &[EOF], &[NOTIFY]] {
        let mut handshake = after(events);
        let now = secs(events.len() as u64);
        assert_eq!(handshake.deadline(), Some(secs(1 + 30)), "{events:?}");
        for second in 3..30 {
            assert_eq!(handshake.handle(Event::Written(100), secs(second)), Action::Nothing);
            assert_eq!(handshake.handle(Event::Tick, secs(second)), Action::Nothing);
        }
        let mut stuck = handshake.clone();
        assert_eq!(handshake.handle(Event::Flushed, secs(30)), Action::Teardown, "{now:?}");
        let report = handshake.report(secs(30));
        assert_eq!((report.outcome, report.tag_sent), (Outcome::PeerEof, true));
        assert_eq!(stuck.handle(Event::Tick, secs(31)), Action::Teardown, "but not longer than the total");
        assert_eq!((stuck.report(secs(31)).outcome, stuck.report(secs(31)).tag_sent), (Outcome::PeerEof, false));
    }
}

#[test]
fn after_a_failed_write_what_the_peer_sent_is_still_read() {
    let mut handshake = after(&[Event::Begin, Event::OutputFailed(32)]);
    assert!(handshake.wants_input() && handshake.expects_stanzas());
    assert_eq!(handshake.deadline(), Some(secs(2 + 2)), "but no longer than the linger limit when it is silent");
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
fn after_a_failed_write_every_end_but_the_peers_tag_is_the_reset_as_well() {
    // TC-04: the first error counts.
    for last in [Event::Malformed, Event::Tick] {
        let mut handshake = after(&[Event::Begin, Event::OutputFailed(104)]);
        assert_eq!(handshake.handle(last, secs(2 + 2)), Action::Teardown, "{last:?}");
        let report = handshake.report(secs(4));
        assert_eq!((report.outcome, report.tag_sent, report.os_error), (Outcome::Reset, false, Some(104)), "{last:?}");
    }
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
fn bytes_after_the_end_are_capped_however_the_peers_stream_ended() {
    let flood = 64 << 20;
    let void = [Event::Begin, Event::Flushed, Event::Malformed, Event::Flushed];
    let mut handshake = after(&void);
    assert_eq!(handshake.handle(Event::Received(flood), secs(5)), Action::Teardown);
    let report = handshake.report(secs(5));
    assert_eq!((report.outcome, report.bytes_read, report.bytes_after_tag), (Outcome::Malformed, 64 << 20, 0));
    // Detached, and what was queued is written.
    let mut handshake = after(&[Event::Detach, Event::Flushed]);
    assert_eq!(handshake.handle(Event::Received(flood), secs(5)), Action::Teardown);
    // While our own output is still to be written it goes on: who does not read may be waited for by a peer that writes.
    for way in [&[Event::Begin, Event::Malformed][..], &[Event::Begin, Event::PeerClosed], &[Event::PeerClosed]] {
        let mut handshake = after(way);
        assert_eq!(handshake.handle(Event::Received(flood), secs(5)), Action::Nothing, "{way:?}");
        assert!(handshake.wants_input());
    }
}

#[test]
fn counters_stay_at_the_largest_number() {
    let counts = |handshake: &Handshake| {
        let report = handshake.report(secs(9));
        [report.bytes_read, report.bytes_after_tag, report.stanzas, report.oversize]
    };
    let most = usize::MAX as u64;
    let full = Event::Received(usize::MAX);
    assert_eq!(counts(&after(&[Event::Begin, full, full, full])), [most, 0, 0, 0]);
    assert_eq!(counts(&after(&[Event::Begin, Event::PeerClosed, full, full])), [0, most, 0, 0]);
    assert_eq!(counts(&after(&[Event::Begin, full, Event::Malformed, full, full])), [most, 0, 0, 0]);
    // A limit that was passed stays passed.
    let mut handshake = after(&[Event::Begin, Event::PeerClosed, full, Event::Received(1), Event::Flushed]);
    assert_eq!(handshake.handle(Event::Received(1), secs(6)), Action::Teardown);
    assert_eq!(counts(&handshake), [0, most, 0, 0]);
}

#[test]
fn what_came_is_counted_for_what_it_was_whatever_follows() {
    let counts = |events: &[Event]| {
        let report = after(events).report(secs(9));
        (report.tag_received, report.bytes_read, report.bytes_after_tag)
    };
    let (seven, hundred) = (Event::Received(7), Event::Received(100));
    assert_eq!(counts(&[Event::PeerClosed, seven, Event::Detach, hundred]), (true, 0, 107));
    assert_eq!(counts(&[Event::PeerClosed, seven, Event::Begin, hundred, Event::Flushed, hundred]), (true, 0, 207));
    assert_eq!(counts(&[Event::Begin, seven, Event::PeerClosed, hundred]), (true, 7, 100));
    assert_eq!(counts(&[Event::Begin, seven, Event::Malformed, hundred]), (false, 107, 0));
    assert_eq!(counts(&[seven, Event::Detach, hundred]), (false, 100, 0), "seven came before the close");
    assert_eq!(counts(&[Event::Begin, seven, Event::OutputFailed(32), hundred, Event::PeerClosed]), (true, 107, 0));
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
fn the_machine_is_small() {
    assert!(size_of::<Handshake>() <= 400, "{}", size_of::<Handshake>());
}
