//! A session's stream: what it tells apart, what it refuses, and how it ends.

#[path = "support/local.rs"]
mod local;
#[path = "stream/negotiation.rs"]
mod negotiation;
#[path = "support/peer.rs"]
mod peer;
#[path = "stream/silence.rs"]
mod silence;
#[path = "stream/unopened.rs"]
mod unopened;

use std::{
    io::ErrorKind,
    time::{Duration, Instant},
};

use local::codes::ECONNRESET;
use peer::{PATIENCE, TAG};
use xmpp_close::{CloseOptions, Condition, Error, Incoming, Initiator, Outcome, Stream, StreamError};

const HEADER: &str =
    "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";
const PLAIN_HEADER: &str = "<stream xmlns='http://etherx.jabber.org/streams' xmlns:c='jabber:client' version='1.0'>";

#[test]
fn what_comes_is_told_apart() {
    let (ours, theirs) = peer::pair();
    let peer = peer::peer(theirs, |mut peer| {
        peer.send("<?xml version='1.0'?>").send(HEADER).send("<message><body>1</body></message> ");
        peer.send("<message>").send("x".repeat(20_000)).send("</message>");
        peer.send("<stream:error><system-shutdown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>");
        peer.send(TAG).rest().unwrap();
    });
    let mut stream = Stream::new(ours);
    stream.stanza_limit(10_000);
    assert!(matches!(stream.receive().unwrap(), Incoming::Header(header) if header == HEADER));
    assert!(matches!(stream.receive().unwrap(), Incoming::Stanza(stanza) if stanza.name() == "message"));
    assert!(matches!(stream.receive().unwrap(), Incoming::Oversize(20_019)));
    assert!(
        matches!(stream.receive().unwrap(), Incoming::StreamError(e) if e.condition() == Condition::SystemShutdown)
    );
    assert!(matches!(stream.send("<presence/>"), Err(Error::Closed)), "ER-02: only the close makes sense now");
    assert!(matches!(stream.receive().unwrap(), Incoming::PeerClosed));
    assert!(matches!(stream.receive(), Err(Error::Closed)));
    drop(stream);
    peer.join().unwrap();
}

#[test]
fn a_stanza_can_be_read_with_the_namespaces_of_the_stream() {
    use xmpp_close::xml::XmlEvent;
    let (ours, theirs) = peer::pair();
    let peer = peer::peer(theirs, |mut peer| {
        peer.send(PLAIN_HEADER).send("<c:message to='a'><c:body>hi &amp; bye</c:body></c:message>").rest().unwrap();
    });
    let mut stream = Stream::new(ours);
    assert!(matches!(stream.receive().unwrap(), Incoming::Header(_)));
    let Incoming::Stanza(stanza) = stream.receive().unwrap() else { panic!() };
    let mut reader = stanza.reader();
    let XmlEvent::StartElement { name, .. } = reader.next().unwrap() else { panic!() };
    assert_eq!((name.local_name.as_str(), name.namespace.as_deref()), ("message", Some("jabber:client")));
    drop(stream);
    peer.join().unwrap();
}

#[test]
fn an_end_without_tag_is_an_error_of_receive_and_an_outcome_of_close() {
    let (ours, theirs) = peer::pair();
    peer::peer(theirs, |mut peer| {
        peer.send(HEADER);
    })
    .join()
    .unwrap();
    let mut stream = Stream::new(ours);
    stream.send(HEADER).unwrap();
    assert!(matches!(stream.receive().unwrap(), Incoming::Header(_)));
    match stream.receive() {
        Err(Error::Io(error)) => assert!(matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset)),
        other => panic!("{other:?}"),
    }
    let report = stream.close(&CloseOptions::new()).unwrap();
    assert!(matches!(report.outcome, Outcome::PeerEof | Outcome::Reset), "{report}");
    assert_eq!(report.initiator, Some(Initiator::Peer));
}

#[test]
fn a_reset_that_receive_has_seen_is_still_one_for_the_close() {
    // TC-04: the system reports it once.
    let (ours, theirs) = peer::pair();
    let mut peer = peer::Peer { tcp: theirs, got: Vec::new() };
    let mut stream = Stream::new(ours);
    stream.send(HEADER).unwrap();
    peer.send(HEADER).read_until(HEADER);
    peer.reset();
    assert!(matches!(stream.receive().unwrap(), Incoming::Header(_)));
    let told = stream.receive();
    let shows = peer::resets_show();
    let kind = if shows { ErrorKind::ConnectionReset } else { ErrorKind::UnexpectedEof };
    assert!(matches!(&told, Err(Error::Io(error)) if error.kind() == kind), "{told:?}");
    let report = stream.close(&CloseOptions::new()).unwrap();
    if shows {
        assert_eq!((report.outcome, report.os_error), (Outcome::Reset, Some(ECONNRESET)), "{report}");
    } else {
        assert_eq!(report.outcome, Outcome::PeerEof, "{report}");
    }
}

#[test]
fn a_stream_error_that_had_come_before_our_tag_is_a_crossing() {
    let (ours, theirs) = peer::pair();
    let error = "<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>";
    let mut peer = peer::Peer { tcp: theirs, got: Vec::new() };
    peer.send(error);
    peer::wait_until(|| ours.peek(&mut [0; 256]).unwrap() == error.len());
    let peer = std::thread::spawn(move || peer.read_tag().send(TAG).expect_eof());
    let report = CloseOptions::new().close(ours).unwrap();
    assert_eq!((report.outcome, report.initiator), (Outcome::Clean, Some(Initiator::Crossing)), "{report}");
    peer.join().unwrap();
}

#[test]
fn the_closing_tag_is_that_of_our_own_header() {
    // HS-13
    for (header, tag) in [(HEADER, TAG), (PLAIN_HEADER, "</stream>")] {
        let (ours, theirs) = peer::pair();
        let peer = peer::peer(theirs, move |mut peer| {
            peer.send(HEADER).read_until(tag).send(TAG).expect_eof();
            assert_eq!(String::from_utf8_lossy(&peer.got), header.to_owned() + tag);
        });
        let mut stream = Stream::new(ours);
        stream.send(header).unwrap();
        assert!(stream.close(&CloseOptions::new()).unwrap().is_clean());
        peer.join().unwrap();
    }
}

#[test]
fn a_close_with_a_stream_error_ends_with_error_and_tag() {
    // ER-01, ER-11, ER-12: condition, text, and the application's element as it is.
    let element = "<handled-count-too-high xmlns='urn:xmpp:sm:3' h='10' send-count='8'/>";
    let (ours, theirs) = peer::pair();
    let peer = peer::peer(theirs, move |mut peer| {
        peer.send(HEADER).read_tag().send(TAG).expect_eof();
        let error = format!(
            "<stream:error><undefined-condition xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>\
             <text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>you &lt;acked&gt; too much</text>{element}</stream:error>"
        );
        assert_eq!(
            String::from_utf8_lossy(&peer.got),
            [HEADER, "<presence type='unavailable'/>", &error, TAG].concat()
        );
    });
    let mut stream = Stream::new(ours);
    stream.send(HEADER).unwrap();
    let error = StreamError::undefined(element).with_text("you <acked> too much");
    let options = CloseOptions::new().farewell("<presence type='unavailable'/>").stream_error(error);
    let report = stream.close(&options).unwrap();
    assert_eq!((report.outcome, report.stream_error), (Outcome::Clean, None), "ours is not theirs");
    peer.join().unwrap();
}

#[test]
fn a_peers_stream_error_is_answered_and_reported() {
    // ER-02, ER-06, ER-10; with and without the tag that should follow.
    for (tag, outcome) in [(TAG, Outcome::Clean), ("", Outcome::PeerEof)] {
        let (ours, theirs) = peer::pair();
        let peer = peer::peer(theirs, move |mut peer| {
            peer.send(HEADER).send(
                "<stream:error><fizzbuzz xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>\
                 <text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>why</text></stream:error>",
            );
            peer.send(tag).tcp.shutdown(std::net::Shutdown::Write).unwrap();
            peer.read_tag().expect_eof();
        });
        let mut stream = Stream::new(ours);
        stream.send(HEADER).unwrap();
        while !matches!(stream.receive().unwrap(), Incoming::StreamError(_)) {}
        let report = stream.close(&CloseOptions::new()).unwrap();
        assert_eq!((report.outcome, report.initiator), (outcome, Some(Initiator::Peer)), "{report}");
        let error = report.stream_error.unwrap();
        assert_eq!((error.condition(), error.unknown_condition()), (Condition::UndefinedCondition, Some("fizzbuzz")));
        assert_eq!(error.text(), Some("why"));
        peer.join().unwrap();
    }
}

#[test]
fn what_is_not_xml_is_refused_with_a_stream_error_only_before_our_tag() {
    // ER-01 against ER-09: the same garbage, before and after our closing tag has left.
    let error = "<stream:error><CONDITION xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>";
    let conditions = [
        ("<a></b>", "not-well-formed"),
        ("<!-- comment -->", "restricted-xml"),
        ("<a>&foo;</a>", "restricted-xml"),
        ("<a>\u{1}</a>", "not-well-formed"),
    ];
    for (garbage, condition) in conditions {
        // The peer does not read until we have begun, and no buffer takes all of our output: so the tag has not left.
        let (ours, theirs) = peer::pair();
        let farewell = peer::stanzas(400_000);
        let length = farewell.len();
        let (begun, has_begun) = std::sync::mpsc::channel::<()>();
        let peer = peer::peer(theirs, move |mut peer| {
            has_begun.recv().unwrap();
            peer.read_tag().expect_eof();
            let last = String::from_utf8_lossy(&peer.got[length..]).into_owned();
            assert_eq!(last, error.replace("CONDITION", condition) + TAG);
        });
        let closing = CloseOptions::new().residual(garbage).farewell(farewell).begin(ours).unwrap();
        begun.send(()).unwrap();
        let report = closing.finish();
        assert_eq!(report.outcome, Outcome::Malformed, "{report}");
        peer.join().unwrap();

        // Bytes that were read before the close are in memory, so they are looked at before our tag is written.
        let (ours, theirs) = peer::pair();
        let peer = peer::peer(theirs, |mut peer| {
            peer.read_tag().expect_eof();
            peer.text()
        });
        let report = CloseOptions::new().residual(garbage).close(ours).unwrap();
        assert_eq!(report.outcome, Outcome::Malformed, "{report}");
        assert_eq!(peer.join().unwrap(), error.replace("CONDITION", condition) + TAG);

        let (ours, theirs) = peer::pair();
        let peer = peer::peer(theirs, move |mut peer| peer.read_tag().send(garbage).expect_eof());
        let report = CloseOptions::new().close(ours).unwrap();
        assert_eq!(report.outcome, Outcome::Malformed, "{report}");
        peer.join().unwrap();
    }
}

#[test]
fn detach_flushes_and_ends_tcp_without_a_tag() {
    // SE-04
    let (ours, theirs) = peer::pair();
    let peer = peer::peer(theirs, |mut peer| {
        peer.send(HEADER).send(peer::stanzas(100));
        peer.rest().unwrap();
        assert_eq!(String::from_utf8_lossy(&peer.got), [HEADER, "<a xmlns='urn:xmpp:sm:3' h='0'/>"].concat());
    });
    let mut stream = Stream::new(ours);
    stream.send(HEADER).unwrap();
    let report = stream.detach(&CloseOptions::new().farewell("<a xmlns='urn:xmpp:sm:3' h='0'/>")).unwrap();
    assert_eq!((report.outcome, report.tag_sent, report.bytes_unsent), (Outcome::Cancelled, false, 0), "{report}");
    peer.join().unwrap();
}

#[test]
fn bytes_that_were_read_before_are_handled_first() {
    // F-28: a boundary between stanzas, then half a stanza, then the rest from the socket.
    let (ours, theirs) = peer::pair();
    let peer = peer::peer(theirs, |mut peer| peer.read_tag().send("body></message><c/>").send(TAG).expect_eof());
    let mut closing = CloseOptions::new().residual("<a/> <message><body>hi</").begin(ours).unwrap();
    let late: Vec<_> = (&mut closing).map(|stanza| stanza.to_string()).collect();
    assert_eq!(late, ["<a/>", "<message><body>hi</body></message>", "<c/>"]);
    assert!(closing.finish().is_clean());
    peer.join().unwrap();
}

#[test]
fn a_text_that_is_no_closing_tag_is_refused_before_anything_is_sent() {
    for tag in ["", "</>", "stream", "</a b>", "</stream:stream>\n", "<stream:stream/>", "</a></b>"] {
        let (ours, theirs) = peer::pair();
        assert!(matches!(CloseOptions::new().closing_tag(tag).close(ours), Err(Error::Invalid(_))), "{tag:?}");
        peer::peer(theirs, |mut peer| peer.expect_eof()).join().unwrap();
    }
}

#[test]
fn a_send_that_cannot_be_written_in_time_is_kept_for_the_close() {
    let (ours, theirs) = peer::pair();
    let mut stream = Stream::new(ours);
    stream.write_limit(Duration::from_millis(100));
    stream.send(HEADER).unwrap();
    let stanzas = peer::stanzas(200_000);
    match stream.send(&stanzas) {
        Err(Error::Io(error)) => {
            assert_eq!(error.kind(), ErrorKind::TimedOut);
            assert!(error.to_string().contains("write limit"), "it says what timed out: {error}");
        }
        other => panic!("{other:?}"),
    }
    let expected = HEADER.to_owned() + &stanzas + TAG;
    let peer = peer::peer(theirs, move |mut peer| {
        peer.send(HEADER).read_tag().send(TAG).expect_eof();
        assert!(peer.got == expected.as_bytes());
    });
    let report = stream.close(&CloseOptions::new().total(PATIENCE)).unwrap();
    assert_eq!(report.outcome, Outcome::Clean, "{report}");
    peer.join().unwrap();
}

#[test]
fn without_a_write_limit_a_send_takes_its_text_behind_the_rest_and_an_empty_one_goes_on_with_it() {
    let (ours, theirs) = peer::pair();
    let mut stream = Stream::new(ours);
    stream.write_limit(Duration::ZERO);
    stream.send("").unwrap(); // nothing waits, not even our header
    stream.send(HEADER).unwrap();
    let stanzas = peer::stanzas(200_000);
    let is_out = |result| match result {
        Err(Error::Io(error)) if error.kind() == ErrorKind::TimedOut => false,
        other => other.map(|()| true).unwrap(),
    };
    assert!(!is_out(stream.send(&stanzas)) && !is_out(stream.send("<iq id='last'/>")));
    let expected = HEADER.to_owned() + &stanzas + "<iq id='last'/>" + TAG;
    let peer = peer::peer(theirs, move |mut peer| {
        peer.send(HEADER).read_tag().send(TAG).expect_eof();
        assert!(peer.got == expected.as_bytes());
    });
    peer::wait_until(|| is_out(stream.send("")));
    assert!(stream.close(&CloseOptions::new().total(PATIENCE)).unwrap().is_clean());
    peer.join().unwrap();
}

#[test]
fn a_trickle_cannot_extend_a_bounded_receive() {
    let (ours, theirs) = peer::pair();
    let peer = peer::peer(theirs, |mut peer| {
        use std::io::Write;
        peer.send("<stream:stream a='");
        while peer.tcp.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(20)); // the trickle itself
        }
    });
    let mut stream = Stream::new(ours);
    let start = Instant::now();
    assert!(matches!(stream.receive_within(Duration::from_millis(300)), Ok(Incoming::TimedOut)));
    assert!(
        start.elapsed() >= Duration::from_millis(300) && start.elapsed() < Duration::from_millis(300) + peer::SLACK
    );
    drop(stream);
    peer.join().unwrap();
}

#[test]
fn a_stream_that_was_found_malformed_is_closed_with_the_error_and_does_not_hang() {
    let (ours, theirs) = peer::pair();
    let peer = peer::peer(theirs, |mut peer| {
        peer.send(HEADER).send("<a></b><c/>").read_tag().expect_eof();
        let error = "<stream:error><not-well-formed xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>";
        assert_eq!(String::from_utf8_lossy(&peer.got), [HEADER, error, TAG].concat());
    });
    let mut stream = Stream::new(ours);
    stream.send(HEADER).unwrap();
    assert!(matches!(stream.receive().unwrap(), Incoming::Header(_)));
    for _ in 0..2 {
        assert!(matches!(stream.receive(), Err(Error::Malformed(Condition::NotWellFormed))));
    }
    let report = stream.close(&CloseOptions::new()).unwrap();
    assert_eq!((report.outcome, report.initiator), (Outcome::Malformed, Some(Initiator::Us)), "{report}");
    peer.join().unwrap();
}

#[test]
fn another_thread_can_wake_the_one_that_waits_for_the_peer() {
    const COUNT: usize = 1000;
    let (ours, theirs) = peer::pair();
    let peer = peer::peer(theirs, |mut peer| {
        peer.send(HEADER).read_tag();
        peer.send(TAG).expect_eof();
        let got = String::from_utf8_lossy(&peer.got);
        assert!((0..COUNT).all(|n| got.contains(&format!("<message id='{n}'/>"))), "a wake was lost");
    });
    let mut stream = Stream::new(ours);
    stream.send(HEADER).unwrap();
    let waker = stream.waker().unwrap();
    let (mailbox, mail) = std::sync::mpsc::channel();
    let other = std::thread::spawn(move || {
        for n in 0..COUNT {
            mailbox.send(format!("<message id='{n}'/>")).unwrap();
            waker.wake();
        }
    });
    let mut sent = 0;
    while sent < COUNT {
        match stream.receive().unwrap() {
            Incoming::Woken => {
                for stanza in mail.try_iter() {
                    stream.send(stanza).unwrap();
                    sent += 1;
                }
            }
            Incoming::Header(_) => {}
            other => panic!("{other:?}"),
        }
    }
    other.join().unwrap();
    assert!(stream.close(&CloseOptions::new()).unwrap().is_clean());
    peer.join().unwrap();
}

/// Until the close nobody can do anything about its limits, so they begin with it.
#[test]
fn an_application_that_was_slow_to_close_has_the_whole_limit_from_then_on() {
    const TOTAL: Duration = Duration::from_secs(2);
    let (ours, theirs) = peer::pair();
    let peer = peer::peer(theirs, |mut peer| peer.send(HEADER).send("<a/>").send(TAG).read_tag().expect_eof());
    let mut stream = Stream::new(ours);
    stream.send(HEADER).unwrap();
    while !matches!(stream.receive().unwrap(), Incoming::PeerClosed) {}
    std::thread::sleep(TOTAL); // that is the time which is taken
    let report = stream.close(&CloseOptions::new().total(TOTAL)).unwrap();
    assert!(report.is_clean() && report.elapsed < TOTAL && report.stanzas == 0, "{report}");
    assert_eq!((report.initiator, report.limit), (Some(Initiator::Peer), None));
    peer.join().unwrap();
}
