//! The handshake on a fake clock: every cell of the table of states and events, the limits, and the report.

mod counts;
mod input;
mod limits;
mod stream;
mod table;

use stream::{Event::*, *};
use xmpp_close::{CloseOptions, Engine, Found, Initiator, Outcome, StreamError, Tls};

fn after(events: &[Event]) -> Stream {
    Stream::new().after(events)
}

#[test]
fn the_initiator_is_who_was_first_and_crossing_tags_are_told_apart() {
    let initiator = |events: &[Event]| after(events).report().initiator;
    assert_eq!(initiator(&[]), None);
    assert_eq!(initiator(&[Finish, WRITE, CLOSED]), Some(Initiator::Us));
    assert_eq!(initiator(&[CLOSED, Finish, WRITE]), Some(Initiator::Peer));
    assert_eq!(initiator(&[Finish, CLOSED, WRITE]), Some(Initiator::Crossing));
    assert_eq!(initiator(&[stream_error(), CLOSED, WRITE]), Some(Initiator::Peer));
    assert_eq!(initiator(&[EOF]), Some(Initiator::Peer));
    assert_eq!(initiator(&[READ_FAILED]), Some(Initiator::Peer));
    assert_eq!(initiator(&[WRITE_FAILED]), Some(Initiator::Peer));
    assert_eq!(initiator(&[TLS_FAILED]), Some(Initiator::Peer));
    assert_eq!(initiator(&[CANCEL]), None);
    assert_eq!(initiator(&[Finish, WRITE_FAILED]), Some(Initiator::Us));
    assert_eq!(initiator(&[Finish, WRITE_FAILED, CLOSED]), Some(Initiator::Crossing), "ours was not written");
    assert_eq!(initiator(&[Finish, stream_error()]), Some(Initiator::Crossing));
    assert_eq!(initiator(&[Finish, WRITE, stream_error()]), Some(Initiator::Us));
}

#[test]
fn what_had_arrived_before_our_tag_was_written_makes_it_a_crossing() {
    let ends = |events: &[Event]| {
        let initiators =
            [CLOSED, stream_error()].map(|end| after(&[events, &[end]].concat()).report().initiator.unwrap());
        assert_eq!(initiators[0], initiators[1], "{events:?}");
        initiators[0]
    };
    let (us, peer, crossing) = (Initiator::Us, Initiator::Peer, Initiator::Crossing);
    assert_eq!(ends(&[arrived(16), Finish, WRITE, Receive(16)]), crossing);
    assert_eq!(ends(&[Finish, arrived(16), WRITE, Receive(16)]), crossing);
    assert_eq!(ends(&[arrived(16), Finish, WRITE, Receive(8), Receive(8)]), crossing);
    assert_eq!(ends(&[arrived(16), Finish, WRITE, Receive(17)]), us, "its last byte came later");
    assert_eq!(ends(&[arrived(0), Finish, WRITE, Receive(16)]), us);
    assert_eq!(ends(&[Finish, WRITE, arrived(16), Receive(16)]), us, "too late to tell");
    assert_eq!(ends(&[Finish, Receive(4), arrived(16), WRITE, Receive(16)]), crossing);
    assert_eq!(ends(&[arrived(16), arrived(0), Finish, WRITE, Receive(16)]), crossing, "it does not go away again");
    assert_eq!(ends(&[arrived(16), Receive(4), Finish, WRITE, Receive(12)]), crossing, "four were handled before");
    assert_eq!(ends(&[arrived(16), Receive(4), Finish, WRITE, Receive(13)]), us);
    assert_eq!(ends(&[arrived(16), Receive(16), Finish, WRITE, Receive(1)]), us, "nothing was left of them");
    assert_eq!(ends(&[arrived(16), Receive(16)]), peer, "nobody had begun");
    assert_eq!(ends(&[arrived(16), Finish, WRITE_FAILED, Receive(16)]), crossing);
    assert_eq!(ends(&[Finish, WRITE]), us, "although no byte was told of");
    assert_eq!(ends(&[Receive(5), arrived(u64::MAX), Finish, arrived(u64::MAX), WRITE, Receive(5)]), crossing);
}

#[test]
fn clean_means_both_tags_whoever_was_first() {
    for way in [
        [Finish, WRITE, CLOSED, End, EOF],
        [Finish, CLOSED, WRITE, End, EOF],
        [CLOSED, Finish, WRITE, End, EOF],
        [Finish, WRITE, CLOSED, EOF, EOF],
    ] {
        let report = after(&way).report();
        assert_eq!(report.outcome, Outcome::Clean, "{way:?}");
        assert!(report.tag_sent && report.tag_received);
    }
}

#[test]
fn without_both_tags_nothing_is_clean() {
    // Every way of at most five events.
    let events = [
        Finish,
        WRITE,
        CLOSED,
        EOF,
        NOTIFIED,
        EOF_INSIDE,
        MALFORMED,
        stream_error(),
        READ_FAILED,
        WRITE_FAILED,
        TLS_FAILED,
        CANCEL,
        Detach,
    ];
    let count = events.len();
    for index in 0..count.pow(5) {
        let mut stream = Stream::new();
        let way = (0..5).map(|digit| &events[index / count.pow(digit) % count]);
        (1..).zip(way.clone()).for_each(|(second, event)| _ = stream.at(event, secs(second)));
        let began = stream.report().initiator.is_some();
        stream.at(&Tick, secs(1000));
        let report = stream.report();
        let both = report.tag_sent && report.tag_received;
        assert_eq!(report.outcome == Outcome::Clean, both, "{:?}", Vec::from_iter(way));
        assert!(!began || stream.is_over(), "{:?}: not over long after its deadline", Vec::from_iter(way));
    }
}

#[test]
fn one_tag_is_written_whatever_happens_and_nothing_behind_it() {
    let error = stream_error();
    let events =
        [&Finish, &WRITE, &CLOSED, &EOF, &NOTIFIED, &MALFORMED, &error, &WRITE_FAILED, &Send(1), &Detach, &Tick];
    let count = events.len();
    for index in 0..count.pow(5) {
        let mut stream = Stream::new();
        for digit in 0..5 {
            let could_send = stream.engine.wants().may_send();
            stream.at(events[index / count.pow(digit) % count], secs(u64::from(digit)));
            assert!(could_send || !stream.engine.wants().may_send(), "again at {index}");
        }
        stream.at(&WRITE, secs(6));
        let wire = String::from_utf8(stream.wire.clone()).unwrap();
        let tags = wire.matches("</stream:stream>").count();
        assert!(tags <= 1 && (tags == 0 || wire.ends_with("</stream:stream>")), "{wire} at {index}");
        assert!(tags == 0 || !stream.engine.wants().may_send());
        assert_eq!(stream.report().tag_sent, tags == 1, "{wire} at {index}");
    }
}

#[test]
fn no_close_notify_leaves_before_the_peers_tag() {
    // TL-04: half_close cannot be had.
    assert!(Engine::new(&CloseOptions::new().half_close(true), Tls::Yes).is_err());
    let mut stream = Stream::over_tls();
    stream.at(&Finish, secs(1));
    assert_eq!(stream.at(&WRITE, secs(2)), "RP");
    assert_eq!(stream.at(&CLOSED, secs(3)), "RN");
    // Nor by STARTTLS.
    let mut stream = Stream::with(&CloseOptions::new().half_close(true), Tls::No);
    stream.at(&Tell(xmpp_close::Fact::Restarted { tls: Tls::Yes }), secs(1));
    stream.at(&Finish, secs(1));
    assert_eq!(stream.at(&WRITE, secs(2)), "RP");
}

#[test]
fn tag_and_alert_give_four_results() {
    // TL-07, TL-08: with and without the peer's tag, with and without its close_notify.
    let result = |events: &[Event]| {
        let report = Stream::over_tls().after(events).report();
        (report.outcome, report.tls.received)
    };
    let tag = [Finish, WRITE, CLOSED, End];
    assert_eq!(result(&[&tag[..], &[NOTIFIED, End, EOF]].concat()), (Outcome::Clean, true));
    assert_eq!(result(&[&tag[..], &[EOF]].concat()), (Outcome::Clean, false));
    assert_eq!(result(&[Finish, WRITE, NOTIFIED, End, EOF]), (Outcome::PeerEof, true));
    assert_eq!(result(&[Finish, WRITE, EOF]), (Outcome::Truncated, false));
}

#[test]
fn the_end_of_tcp_without_close_notify_is_a_truncation_whoever_calls_it_eof() {
    let outcome = |events: &[Event]| Stream::over_tls().after(events).report().outcome;
    assert_eq!(outcome(&[Finish, WRITE, EOF]), Outcome::Truncated);
    assert_eq!(outcome(&[EOF, Finish, WRITE]), Outcome::Truncated);
    assert_eq!(outcome(&[Finish, NOTIFIED, EOF, WRITE]), Outcome::PeerEof);
    assert_eq!(outcome(&[Finish, WRITE, CLOSED, End, EOF]), Outcome::Clean);
}

#[test]
fn after_the_peers_close_notify_our_tag_and_alert_still_go_out() {
    // TL-05 for TLS 1.3: the peer sent tag and alert in one burst before our answer was written.
    let mut stream = Stream::over_tls();
    for event in [CLOSED, NOTIFIED, Finish] {
        stream.at(&event, secs(1));
    }
    assert_eq!(stream.at(&WRITE, secs(2)), "RN");
    assert_eq!(stream.at(&End, secs(3)), "R");
    assert_eq!(stream.at(&EOF, secs(3)), "O");
    let report = stream.report();
    assert_eq!(report.outcome, Outcome::Clean);
    assert!(report.tls.used && report.tls.sent && report.tls.received);
}

#[test]
fn close_notify_is_tried_once_also_where_nothing_waits_for_it_any_more() {
    // TL-01: with TCP ended, or the time up, it is still to be tried, without waiting.
    for way in [&[Finish, WRITE, CLOSED, EOF][..], &[Finish, WRITE, CANCEL], &[EOF, Finish, WRITE]] {
        let mut stream = Stream::over_tls().after(way);
        assert_eq!(stream.wants(), "NO", "{way:?}");
        assert_eq!(stream.at(&End, secs(9)), "O");
        assert!(stream.report().tls.sent);
    }
    // But never behind half of our output, nor on a connection that failed.
    for way in [&[Finish, CANCEL][..], &[Finish, WRITE, READ_FAILED], &[Finish, WRITE, WRITE_FAILED, CLOSED, EOF]] {
        assert_eq!(Stream::over_tls().after(way).wants(), "O", "{way:?}");
    }
}

#[test]
fn a_half_closed_peer_gets_the_rest_and_our_tag() {
    let mut stream = after(&[CLOSED, EOF]);
    assert_eq!(stream.wants(), "MA");
    assert_eq!(stream.at(&Finish, secs(3)), "W");
    assert_eq!(stream.at(&WRITE, secs(4)), "O");
    assert_eq!(stream.report().outcome, Outcome::Clean);
}

#[test]
fn after_an_eof_without_tag_our_output_has_the_time_it_needs() {
    // The peer may have half-closed, and read on steadily: linger begins when our output is written.
    for events in [[Finish, EOF], [EOF, Finish], [NOTIFIED, Finish]] {
        let mut stream = Stream::new();
        stream.at(&Send(100_000), secs(0));
        let mut stream = stream.after(&events);
        assert_eq!(stream.deadline(), Some(secs(1 + 30)), "{events:?}");
        for second in 3..30 {
            stream.at(&Write(100), secs(second));
            stream.at(&Tick, secs(second));
            assert!(!stream.is_over());
        }
        let mut stuck = stream.clone();
        stream.at(&WRITE, secs(30));
        stream.at(&EOF, secs(30));
        assert!(stream.is_over(), "{events:?}");
        let report = stream.report();
        assert_eq!((report.outcome, report.tag_sent), (Outcome::PeerEof, true));
        assert_eq!(stuck.at(&Tick, secs(31)), "O", "but not longer than the total");
        assert_eq!((stuck.report().outcome, stuck.report().tag_sent), (Outcome::PeerEof, false));
    }
}

#[test]
fn after_a_failed_write_what_the_peer_sent_is_still_read() {
    let mut stream = after(&[Finish, WRITE_FAILED]);
    assert_eq!(stream.wants(), "RP");
    assert_eq!(stream.deadline(), Some(secs(2 + 2)), "but no longer than the linger limit when it is silent");
    assert_eq!(stream.at(&STANZA, secs(3)), "RP");
    assert_eq!(stream.at(&CLOSED, secs(3)), "O");
    let report = stream.report();
    // The peer's tag came, ours did not get out: not clean, but nothing of the peer's stream is missing.
    assert_eq!((report.outcome, report.tag_sent, report.tag_received), (Outcome::Reset, false, true));
    assert_eq!((report.os_error, report.stanzas), (Some(32), 1));
}

#[test]
fn an_eof_after_a_failed_write_is_the_reset_it_hides() {
    // TC-04: the pending error was reported once, by the write; the read then looks like a clean end.
    let report = after(&[Finish, WRITE_FAILED, EOF]).report();
    assert_eq!((report.outcome, report.os_error), (Outcome::Reset, Some(32)));
}

#[test]
fn after_a_failed_write_every_end_but_the_peers_tag_is_the_reset_as_well() {
    // TC-04: the first error counts.
    for last in [MALFORMED, Tick] {
        let mut stream = after(&[Finish, WRITE_FAILED]);
        assert_eq!(stream.at(&last, secs(2 + 2)), "O", "{last:?}");
        let report = stream.report();
        assert_eq!((report.outcome, report.tag_sent, report.os_error), (Outcome::Reset, false, Some(32)), "{last:?}");
    }
}

#[test]
fn the_first_os_error_is_kept() {
    assert_eq!(after(&[Finish, WRITE_FAILED, READ_FAILED]).report().os_error, Some(32));
}

#[test]
fn a_reset_after_both_tags_is_clean_with_the_error_as_detail() {
    let report = after(&[Finish, WRITE, CLOSED, READ_FAILED]).report();
    assert_eq!((report.outcome, report.os_error), (Outcome::Clean, Some(104)));
}

#[test]
fn stopping_behind_both_tags_is_clean() {
    assert_eq!(after(&[Finish, WRITE, CLOSED, CANCEL]).report().outcome, Outcome::Clean);
    assert_eq!(after(&[Finish, CLOSED, CANCEL]).report().outcome, Outcome::Cancelled);
}

#[test]
fn the_peers_first_error_is_reported_whoever_parses() {
    let error = |name: &str| StreamError::new(name.parse().unwrap()).unwrap();
    let tell = |name: &str| Tell(xmpp_close::Fact::StreamError(error(name)));
    let stream = after(&[tell("conflict"), tell("reset")]);
    assert_eq!(stream.report().stream_error, Some(error("conflict")));
    assert_eq!(after(&[Finish, CLOSED, tell("reset")]).report().stream_error, None, "behind its tag");
    let mut stream = Stream::new();
    let mut data = "<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>".as_bytes();
    assert_eq!(stream.engine.input(&mut data, secs(1)), Some(Found::StreamError(&error("conflict"))));
    assert_eq!((stream.wants(), stream.report().stream_error), ("RWP".into(), Some(error("conflict"))));
}

#[test]
fn detach_sends_no_tag_and_leaves_the_session_resumable() {
    // SE-04
    let mut stream = after(&[Send(5), Detach]);
    assert_eq!(stream.at(&Finish, secs(2)), "RW");
    assert_eq!(stream.at(&WRITE, secs(2)), "RS");
    assert_eq!(stream.at(&End, secs(2)), "R");
    assert_eq!(stream.at(&EOF, secs(3)), "O");
    let report = stream.report();
    assert_eq!((report.outcome, report.tag_sent), (Outcome::Cancelled, false));
    assert_eq!(stream.wire, b"AAAAA");
}

/// Every order in which the steps of two halves can come.
fn orders<'a>(ours: &'a [Event], theirs: &'a [Event]) -> impl Iterator<Item = Vec<&'a Event>> {
    let count = ours.len() + theirs.len();
    // Each bit says whose step is next.
    (0_u32..1 << count).filter(|bits| bits.count_ones() as usize == theirs.len()).map(move |bits| {
        let (mut ours, mut theirs) = (ours.iter(), theirs.iter());
        (0..count).map(|bit| if bits >> bit & 1 == 1 { theirs.next() } else { ours.next() }.unwrap()).collect()
    })
}

#[test]
fn what_happens_on_one_half_does_not_depend_on_the_other() {
    let theirs: [&[Event]; 5] = [
        &[CLOSED, NOTIFIED, EOF],
        &[CLOSED, EOF],
        &[NOTIFIED, EOF],
        &[EOF_INSIDE],
        &[CLOSED, Receive(5), NOTIFIED_INSIDE, EOF],
    ];
    for tls in [Tls::No, Tls::Yes, Tls::Hidden] {
        for theirs in theirs {
            let mut seen = Vec::new();
            for order in orders(&[Send(9), Finish, WRITE, End], theirs) {
                let mut stream = Stream::with(&CloseOptions::new(), tls);
                // What could not be done when it came is done as soon as it is wanted.
                order.into_iter().chain([&End, &End]).for_each(|event| _ = stream.at(event, secs(1)));
                let report = stream.report();
                assert!(stream.is_over());
                seen.push((report.outcome, report.tag_sent, report.tag_received, stream.wire));
            }
            seen.dedup();
            assert_eq!(seen.len(), 1, "{tls:?} {theirs:?}: {seen:?}");
        }
    }
}

#[test]
fn the_machine_is_small() {
    assert!(size_of::<Engine>() <= 512, "{}", size_of::<Engine>());
}
