//! What a `Stream` sends, and the restarts on the way to a session.

use std::time::Duration;

use xmpp_close::{CloseOptions, Condition, Error, Incoming, Stream, StreamError};

use crate::{HEADER, PLAIN_HEADER, TAG, peer};

const SUCCESS: &str = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";

#[test]
fn text_beside_stanzas_is_refused_and_nothing_is_sent() {
    let (ours, theirs) = peer::pair();
    let peer = peer::peer(theirs, |mut peer| {
        peer.send(HEADER).read_tag().send(TAG).expect_eof();
        assert_eq!(
            peer.text(),
            [HEADER, " \n", "<message>hello<![CDATA[!]]></message>\t", "<presence/>", TAG].concat()
        );
    });
    let mut stream = Stream::new(ours);
    let stray = [
        "hello",
        "<iq/>hello",
        "hello<iq/>",
        "<iq/>x<iq/>",
        "<![CDATA[]]>",
        "<iq/><![CDATA[ ]]>",
        "&amp;",
        "&#32;",
        "\u{a0}",
    ];
    let broken = ["<iq>", "<iq", "</iq>", "<iq/", "&", "<!-- -->", "<?a?>", TAG, "<iq/></stream:stream>", "\u{1}"];
    for xml in ["hello", "\u{feff}", "&amp;"] {
        let xml = format!("{xml}{HEADER}");
        assert!(matches!(stream.send(&xml), Err(Error::Invalid(_))), "{xml:?} before the header");
    }
    stream.send(HEADER).unwrap();
    for xml in stray.iter().chain(&broken) {
        assert!(matches!(stream.send(xml), Err(Error::Invalid(_))), "{xml:?}");
    }
    for xml in [" \n", "<message>hello<![CDATA[!]]></message>\t", "<presence/>", ""] {
        stream.send(xml).unwrap();
    }
    assert!(stream.close(&CloseOptions::new()).unwrap().is_clean());
    peer.join().unwrap();
}

#[test]
fn after_a_restart_a_new_header_follows_in_both_directions() {
    // NG-01: no tag in between.
    let (ours, theirs) = peer::pair();
    let peer = peer::peer(theirs, |mut peer| {
        peer.send(HEADER).send(SUCCESS).read_until(PLAIN_HEADER);
        peer.send("<?xml version='1.0'?>").send(PLAIN_HEADER).send("</stream>").read_until("</stream>").expect_eof();
        assert_eq!(String::from_utf8_lossy(&peer.got), [HEADER, PLAIN_HEADER, "</stream>"].concat());
    });
    let mut stream = Stream::new(ours);
    stream.send(HEADER).unwrap();
    assert!(matches!(stream.receive().unwrap(), Incoming::Header(_)));
    assert!(matches!(stream.receive().unwrap(), Incoming::Stanza(stanza) if stanza.name() == "success"));
    stream.restart();
    stream.send(PLAIN_HEADER).unwrap();
    assert!(matches!(stream.receive().unwrap(), Incoming::Header(header) if header == PLAIN_HEADER));
    assert!(matches!(stream.receive().unwrap(), Incoming::PeerClosed));
    assert!(stream.close(&CloseOptions::new()).unwrap().is_clean());
    peer.join().unwrap();
}

#[test]
fn the_end_of_a_line_behind_what_agreed_to_a_restart_may_come_later() {
    let (ours, theirs) = peer::pair();
    let mut peer = peer::Peer { tcp: theirs, got: Vec::new() };
    let mut stream = Stream::new(ours);
    stream.send(HEADER).unwrap();
    peer.send(HEADER).send(SUCCESS);
    assert!(matches!(stream.receive().unwrap(), Incoming::Header(_)));
    assert!(matches!(stream.receive().unwrap(), Incoming::Stanza(stanza) if stanza.name() == "success"));
    stream.restart();
    assert!(matches!(stream.send(format!("\n<?xml version='1.0'?>{PLAIN_HEADER}")), Err(Error::Invalid(_))), "ours");
    peer.send("\n<?xml version='1.0'?>").send(PLAIN_HEADER);
    assert!(matches!(stream.receive().unwrap(), Incoming::Header(header) if header == PLAIN_HEADER));
}

/// XEP-0305: who is sure of the answer sends on at once. It has all come before the restart.
#[test]
fn what_a_peer_sent_ahead_of_a_restart_is_kept() {
    for between in ["", "\n", " \r\n\t"] {
        let (ours, theirs) = peer::pair();
        let auth = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'/>";
        let said =
            [HEADER, auth, between, "<?xml version='1.0'?>", PLAIN_HEADER, "<message/><iq", " type='get'/>"].concat();
        let mut peer = peer::Peer { tcp: theirs, got: Vec::new() };
        peer.send(&said);
        peer::wait_until(|| ours.peek(&mut [0; 1024]).unwrap() == said.len());
        let mut stream = Stream::new(ours);
        assert!(matches!(stream.receive().unwrap(), Incoming::Header(_)));
        stream.send(HEADER).unwrap();
        assert!(matches!(stream.receive().unwrap(), Incoming::Stanza(stanza) if stanza.as_str() == auth));
        stream.send(SUCCESS).unwrap();
        stream.restart();
        let mut next = || stream.receive_within(Duration::from_secs(5)).unwrap();
        assert!(matches!(next(), Incoming::Header(header) if header == PLAIN_HEADER));
        assert!(matches!(next(), Incoming::Stanza(stanza) if stanza.name() == "message"));
        assert!(matches!(next(), Incoming::Stanza(stanza) if stanza.as_str() == "<iq type='get'/>"));
    }
}

/// RFC 6120 section 5.4.3.3: in the clear, anybody may have sent it.
#[test]
fn what_came_in_the_clear_ahead_of_an_upgrade_is_dropped() {
    let (ours, theirs) = peer::pair();
    let proceed = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
    let said = [HEADER, proceed, PLAIN_HEADER, "<message>injected</message>"].concat();
    let mut peer = peer::Peer { tcp: theirs, got: Vec::new() };
    peer.send(&said);
    peer::wait_until(|| ours.peek(&mut [0; 1024]).unwrap() == said.len());
    let mut stream = Stream::new(ours);
    assert!(matches!(stream.receive().unwrap(), Incoming::Header(_)));
    assert!(matches!(stream.receive().unwrap(), Incoming::Stanza(stanza) if stanza.as_str() == proceed));
    let mut stream = stream.upgrade(Ok::<_, ()>).unwrap();
    peer.send(HEADER).send("<message>secret</message>");
    assert!(matches!(stream.receive().unwrap(), Incoming::Header(header) if header == HEADER));
    assert!(matches!(stream.receive().unwrap(), Incoming::Stanza(stanza) if stanza.as_str().contains("secret")));
}

/// Whoever does a TLS handshake in the closure may read as blocking, and as long, as he had asked for.
/// On Windows a socket does not tell its mode.
/// On Windows it is non-blocking afterwards.
#[test]
#[cfg(unix)]
fn a_stream_leaves_its_socket_as_it_was_given() {
    use socket2::SockRef;
    for (nonblocking, timeout) in [(false, None), (false, Some(Duration::from_secs(7))), (true, None)] {
        let (ours, theirs) = peer::pair();
        let mut peer = peer::Peer { tcp: theirs, got: Vec::new() };
        ours.set_nonblocking(nonblocking).unwrap();
        ours.set_read_timeout(timeout).unwrap();
        ours.set_write_timeout(timeout).unwrap();
        let kept = ours.try_clone().unwrap();
        let check = |when| {
            let socket = SockRef::from(&kept);
            let found =
                (socket.nonblocking().unwrap(), socket.read_timeout().unwrap(), socket.write_timeout().unwrap());
            assert_eq!(found, (nonblocking, timeout, timeout), "{when}");
            assert_eq!((kept.nodelay().unwrap(), socket.linger().unwrap()), (false, None), "{when}");
        };
        let mut stream = Stream::new(ours);
        stream.idle_after(Some(Duration::from_millis(50)));
        stream.send(HEADER).unwrap();
        peer.send(HEADER);
        assert!(matches!(stream.receive().unwrap(), Incoming::Header(_)));
        assert!(matches!(stream.receive_within(Duration::from_millis(20)).unwrap(), Incoming::TimedOut));
        assert!(matches!(stream.receive().unwrap(), Incoming::Idle));
        check("while the stream is used");
        let stream = stream.upgrade(|tcp| {
            check("in the closure of an upgrade");
            Ok::<_, ()>(tcp)
        });
        drop(stream);
        check("after the stream");
    }
}

#[test]
fn limits_wakers_and_senders_stay_in_an_upgrade() {
    const LIMIT: Duration = Duration::from_millis(100);
    let (ours, theirs) = peer::pair();
    let mut peer = peer::Peer { tcp: theirs, got: Vec::new() };
    let mut stream = Stream::new(ours);
    stream.write_limit(LIMIT);
    stream.stanza_limit(10_000);
    let (waker, sender) = (stream.waker().unwrap(), stream.sender().unwrap());
    let mut stream = stream.upgrade(Ok::<_, ()>).unwrap();

    stream.send(HEADER).unwrap();
    peer.send(HEADER).send(format!("<a>{}</a>", "x".repeat(20_000)));
    assert!(matches!(stream.receive().unwrap(), Incoming::Header(_)));
    assert!(matches!(stream.receive().unwrap(), Incoming::Oversize(_)));
    sender.send("<b/>").unwrap();
    waker.wake();
    assert!(matches!(stream.receive().unwrap(), Incoming::Woken));
    while !matches!(stream.receive_within(Duration::ZERO).unwrap(), Incoming::TimedOut) {}
    peer.read_until("<b/>");
    let start = std::time::Instant::now();
    let error = stream.send(peer::stanzas(200_000)).unwrap_err();
    assert!(matches!(error, Error::Io(_)), "{error:?}");
    assert!(start.elapsed() < Duration::from_secs(20), "the default is 30 s");
}

#[test]
fn a_detach_says_nothing_about_what_was_wrong() {
    use xmpp_close::Outcome;
    let (ours, theirs) = peer::pair();
    let peer = peer::peer(theirs, |mut peer| {
        peer.send(HEADER).send("<a></b>").rest().unwrap();
        assert_eq!(String::from_utf8_lossy(&peer.got), HEADER);
    });
    let mut stream = Stream::new(ours);
    stream.send(HEADER).unwrap();
    while stream.receive().is_ok() {}
    let report = stream.detach(&CloseOptions::new()).unwrap();
    assert_eq!((report.outcome, report.tag_sent), (Outcome::Cancelled, false), "{report}");
    peer.join().unwrap();
    let (ours, _theirs) = peer::pair();
    let options = CloseOptions::new().stream_error(StreamError::new(Condition::Reset).unwrap());
    assert!(matches!(Stream::new(ours).detach(&options), Err(Error::Invalid(_))));
}
