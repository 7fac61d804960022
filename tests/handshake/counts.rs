//! What is counted, and up to which limits.

use xmpp_close::{CloseOptions, Outcome, SendError, TRAILING_LIMIT, Tls};

use crate::{
    after,
    stream::{Event::*, *},
};

#[test]
fn trailing_bytes_are_counted_and_capped() {
    let mut stream = after(&[Finish, WRITE, CLOSED, End]);
    assert_eq!(stream.at(&Receive(TRAILING_LIMIT as usize), secs(4)), "R");
    assert_eq!(stream.at(&Receive(1), secs(4)), "O");
    let report = stream.report();
    assert_eq!((report.outcome, report.bytes_after_tag), (Outcome::Clean, TRAILING_LIMIT + 1));
}

#[test]
fn bytes_after_the_end_are_capped_however_the_peers_stream_ended() {
    let flood = 64 << 20;
    let mut stream = after(&[Finish, WRITE, MALFORMED, End]);
    assert_eq!(stream.at(&Receive(flood), secs(5)), "O");
    let report = stream.report();
    assert_eq!((report.outcome, report.bytes_read, report.bytes_after_tag), (Outcome::Malformed, 64 << 20, 0));
    // Detached, and what was queued is written.
    let mut stream = after(&[Detach, WRITE, End]);
    assert_eq!(stream.at(&Receive(flood), secs(5)), "O");
    // While our own output is still to be written, or to be ended, it goes on, without reading more.
    for (way, wants) in
        [(&[Finish, MALFORMED][..], "W"), (&[Finish, CLOSED], "W"), (&[CLOSED], "MA"), (&[Finish, WRITE, CLOSED], "S")]
    {
        assert_eq!(after(way).at(&Receive(flood), secs(5)), wants, "{way:?}");
    }
}

#[test]
fn counters_stay_at_the_largest_number() {
    let counts = |stream: &Stream| {
        let report = stream.report();
        [report.bytes_read, report.bytes_after_tag]
    };
    // With 64 bits, one of these is the largest number already.
    let full = Receive(usize::MAX);
    let times = |count| (usize::MAX as u64).saturating_mul(count);
    assert_eq!(counts(&after(&[Finish, full.clone(), full.clone(), full.clone()])), [times(3), 0]);
    assert_eq!(counts(&after(&[Finish, CLOSED, full.clone(), full.clone()])), [0, times(2)]);
    assert_eq!(counts(&after(&[Finish, full.clone(), MALFORMED, full.clone(), full.clone()])), [times(3), 0]);
    // A limit that was passed stays passed.
    let mut stream = after(&[Finish, CLOSED, full, Receive(1), WRITE]);
    assert_eq!(stream.at(&End, secs(6)), "O");
    assert_eq!(counts(&stream), [0, times(1).saturating_add(1)]);
    let stanzas = Tell(xmpp_close::Fact::Stanzas(u64::MAX));
    let oversize = Tell(xmpp_close::Fact::Oversize(u64::MAX));
    let report = after(&[Finish, stanzas.clone(), stanzas, oversize.clone(), oversize]).report();
    assert_eq!((report.stanzas, report.oversize), (u64::MAX, u64::MAX));
}

#[test]
fn bytes_are_counted_by_what_they_were_when_they_came() {
    let counts = |events: &[Event]| {
        let report = after(events).report();
        (report.tag_received, report.bytes_read, report.bytes_after_tag)
    };
    let (seven, hundred) = (|| Receive(7), || Receive(100));
    assert_eq!(counts(&[CLOSED, seven(), Detach, hundred()]), (true, 0, 107));
    assert_eq!(counts(&[CLOSED, seven(), Finish, hundred(), WRITE, hundred()]), (true, 0, 207));
    assert_eq!(counts(&[Finish, seven(), CLOSED, hundred()]), (true, 7, 100));
    assert_eq!(counts(&[Finish, seven(), MALFORMED, hundred()]), (false, 107, 0));
    assert_eq!(counts(&[seven(), Detach, hundred()]), (false, 100, 0), "seven came before the close");
    assert_eq!(counts(&[Finish, seven(), WRITE_FAILED, hundred(), CLOSED]), (true, 107, 0));
    let behind = |behind| Tell(xmpp_close::Fact::PeerClosed { behind });
    assert_eq!(counts(&[Finish, hundred(), behind(84), seven()]), (true, 16, 91));
    assert_eq!(counts(&[Finish, seven(), behind(100)]), (true, 0, 7), "no more lies behind the tag than came");
}

#[test]
fn only_what_comes_while_closing_is_counted() {
    let mut stream = Stream::new();
    let step = |stream: &mut Stream| {
        for event in [Receive(100), STANZA, OVERSIZE] {
            stream.at(&event, secs(1));
        }
    };
    step(&mut stream);
    stream.at(&Finish, secs(1));
    step(&mut stream);
    stream.at(&WRITE, secs(1));
    step(&mut stream);
    stream.at(&CLOSED, secs(1));
    stream.at(&Receive(100), secs(1));
    let counted = |stream: &Stream| {
        let report = stream.report();
        (report.bytes_read, report.stanzas, report.oversize, report.bytes_after_tag)
    };
    assert_eq!(counted(&stream), (200, 2, 2, 100));
    stream.at(&EOF, secs(1));
    step(&mut stream);
    assert_eq!(counted(&stream), (200, 2, 2, 100), "and nothing behind its end");
    // A close that was over before it began has nothing to count.
    let mut stream = Stream::new();
    step(&mut stream);
    stream.at(&CANCEL, secs(1));
    step(&mut stream);
    assert_eq!(counted(&stream), (0, 0, 0, 0));
}

#[test]
fn what_is_sent_and_not_taken_is_limited_and_what_comes_last_is_not() {
    let options = CloseOptions::new().output_limit(10).farewell("<presence type='unavailable'/>");
    let mut stream = Stream::with(&options, Tls::No);
    assert_eq!(stream.engine.send(b"0123456789"), Ok(()));
    assert_eq!(stream.engine.send(b"x"), Err(SendError::Full));
    stream.at(&Write(1), secs(1));
    assert_eq!(stream.engine.send(b"xy"), Err(SendError::Full), "all or nothing");
    assert_eq!(stream.engine.send(b"x"), Ok(()));
    stream.at(&Finish, secs(1));
    assert_eq!(stream.engine.send(b""), Err(SendError::Refused));
    stream.at(&WRITE, secs(1));
    assert_eq!(stream.wire, b"0123456789x<presence type='unavailable'/></stream:stream>");
    assert_eq!(stream.report().refused, 1);
}

#[test]
#[should_panic(expected = "more was taken than was handed out")]
fn more_than_was_handed_out_cannot_be_taken() {
    let mut stream = after(&[Send(10), Write(4), Send(10)]);
    assert_eq!(stream.engine.output().len(), 16);
    stream.engine.wrote(17, 0, secs(4));
}
