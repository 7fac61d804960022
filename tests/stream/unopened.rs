//! A stream that ends before our header is out: header, error, closing tag (RFC 6120 section 4.9.1.2).

use xmpp_close::{
    CloseOptions, Condition, Error, Incoming, Initiator, Outcome, Report, Stream, StreamError, xml::Header,
};

use crate::{HEADER, PLAIN_HEADER, TAG, peer};

const LEAST: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
                     xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";
const OPENED_AND_CLOSED: &str =
    "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'></stream:stream>";
/// The beginning of a TLS ClientHello.
const CLIENT_HELLO: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03random bytes";

fn error(condition: &str) -> String {
    format!("<stream:error><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>")
}

type Tcp = Stream<std::net::TcpStream>;

/// What a peer gets that says `says`, and `answer` when our tag has come; and what the close reports.
fn closed(says: &[u8], prepare: fn(&mut Tcp), options: &CloseOptions, answer: &'static str) -> (String, Report) {
    let (ours, theirs) = peer::pair();
    let says = says.to_vec();
    let peer = peer::peer(theirs, move |mut peer| {
        peer.send(&says).read_tag().send(answer).expect_eof();
        String::from_utf8(peer.got).unwrap()
    });
    let mut stream = Stream::new(ours);
    prepare(&mut stream);
    let report = stream.close(options).unwrap();
    (peer.join().unwrap(), report)
}

fn read_one(stream: &mut Tcp) {
    let _ = stream.receive();
}

#[test]
fn a_peer_that_speaks_no_xmpp_gets_header_error_and_tag() {
    let utf16: Vec<u8> = "\u{feff}<?xml version='1.0'?>".encode_utf16().flat_map(u16::to_be_bytes).collect();
    for (says, condition) in [
        (&b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..], "not-well-formed"),
        (CLIENT_HELLO, "not-well-formed"),
        (&utf16, "not-well-formed"),
        (b"<!DOCTYPE html>", "restricted-xml"),
        (b"<?xml version='1.0' encoding='UTF-16'?>", "unsupported-encoding"),
    ] {
        let (got, report) = closed(says, read_one, &CloseOptions::new(), "");
        assert_eq!(got, [LEAST, &error(condition), TAG].concat());
        assert_eq!((report.outcome, report.tag_sent), (Outcome::Malformed, true), "{report}");
    }
}

#[test]
fn a_close_before_any_header_sends_header_and_tag() {
    let (got, report) = closed(HEADER.as_bytes(), |_| (), &CloseOptions::new(), TAG);
    assert_eq!(got, [LEAST, TAG].concat(), "and it need not have been read");
    assert!(report.is_clean(), "{report}");
    let options = CloseOptions::new().stream_error(StreamError::new(Condition::SystemShutdown).unwrap());
    let (got, report) = closed(b"", |_| (), &options, OPENED_AND_CLOSED);
    assert_eq!(got, [LEAST, &error("system-shutdown"), TAG].concat());
    assert_eq!((report.outcome, report.initiator), (Outcome::Clean, Some(Initiator::Us)), "{report}");
}

#[test]
fn the_header_of_the_peer_is_answered() {
    let header = "<?xml version='1.0'?><stream:stream xmlns='jabber:server' from='romeo.example' to='juliet.example' \
                  xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";
    let options = CloseOptions::new().stream_error(StreamError::new(Condition::PolicyViolation).unwrap());
    let (got, report) = closed(header.as_bytes(), read_one, &options, TAG);
    let ours = got.strip_suffix(&(error("policy-violation") + TAG)).expect(&got);
    let ours = Header::parse(ours.strip_prefix("<?xml version='1.0'?>").expect(&got)).unwrap();
    assert!(report.is_clean() && ours.is_stream, "{report}");
    assert_eq!((ours.namespace.as_deref(), ours.version.as_deref()), (Some("jabber:server"), Some("1.0")));
    assert_eq!((ours.from.as_deref(), ours.to.as_deref()), (Some("juliet.example"), Some("romeo.example")));
    assert!(ours.id.is_some());
}

/// NG-05: also until the header that follows SASL is out, and in the same kind of stream.
#[test]
fn after_a_restart_a_close_sends_a_new_header_and_the_tag() {
    let server = HEADER.replace("jabber:client", "jabber:server");
    let prepare = |stream: &mut Tcp| {
        stream.send(PLAIN_HEADER).unwrap();
        assert!(matches!(stream.receive().unwrap(), Incoming::Header(_)));
        stream.restart();
    };
    let (got, report) = closed(server.as_bytes(), prepare, &CloseOptions::new(), OPENED_AND_CLOSED);
    let rest = got.strip_prefix(PLAIN_HEADER).expect(&got).strip_suffix(TAG).expect(&got);
    let ours = Header::parse(rest.strip_prefix("<?xml version='1.0'?>").expect(&got)).unwrap();
    assert_eq!((ours.root.as_str(), ours.namespace.as_deref()), ("stream:stream", Some("jabber:server")), "{got}");
    assert!(report.is_clean(), "{report}");
}

#[test]
fn a_header_of_the_applications_own_is_sent_once_and_names_our_tag() {
    let options = CloseOptions::new().header(format!("<?xml version='1.0'?>{PLAIN_HEADER}\n"));
    let (ours, theirs) = peer::pair();
    let peer = peer::peer(theirs, |mut peer| {
        peer.send(HEADER).read_until("</stream>").send(TAG).expect_eof();
        assert_eq!(peer.text(), format!("<?xml version='1.0'?>{PLAIN_HEADER}\n</stream>"));
    });
    assert!(Stream::new(ours).close(&options).unwrap().is_clean());
    peer.join().unwrap();
    // Also without a `Stream`.
    let (ours, theirs) = peer::pair();
    let peer = peer::peer(theirs, |mut peer| {
        peer.read_until("</stream>").send(TAG).expect_eof();
        assert!(peer.text().contains("<error><reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></error></stream>"));
    });
    let report = options.clone().stream_error(StreamError::new(Condition::Reset).unwrap()).close(ours).unwrap();
    assert!(report.is_clean(), "{report}");
    peer.join().unwrap();
    // One that is out already is not sent again.
    let send = |stream: &mut Tcp| stream.send(HEADER).unwrap();
    let (got, report) = closed(HEADER.as_bytes(), send, &options, TAG);
    assert_eq!((got, report.is_clean()), ([HEADER, TAG].concat(), true));
}

#[test]
fn a_text_that_is_no_header_is_refused_before_anything_is_sent() {
    for header in ["", "<stream:stream", "<stream:stream/>", "<a></a>", "<a>text", "<a><b/>", "<a><b>", "</a>", "hello"]
    {
        let (ours, theirs) = peer::pair();
        let result = Stream::new(ours).close(&CloseOptions::new().header(header));
        assert!(matches!(result, Err(Error::Invalid(_))), "{header:?}: {result:?}");
        peer::peer(theirs, |mut peer| peer.expect_eof()).join().unwrap();
    }
}

#[test]
fn a_detach_before_any_header_says_nothing() {
    for options in [CloseOptions::new(), CloseOptions::new().header(HEADER)] {
        let (ours, theirs) = peer::pair();
        let report = Stream::new(ours).detach(&options).unwrap();
        assert_eq!((report.outcome, report.tag_sent), (Outcome::Cancelled, false), "{report}");
        peer::peer(theirs, |mut peer| peer.expect_eof()).join().unwrap();
    }
}

#[cfg(feature = "batch")]
#[test]
fn a_batch_takes_streams_that_were_never_opened() {
    use xmpp_close::{Batch, BatchOptions};
    let mut batch = Batch::new().unwrap();
    let mut peers = Vec::new();
    let down = error("system-shutdown");
    for (says, expected) in
        [(&b""[..], down.clone()), (CLIENT_HELLO, error("not-well-formed")), (HEADER.as_bytes(), down)]
    {
        let (ours, theirs) = peer::pair();
        peers.push(peer::peer(theirs, move |mut peer| {
            peer.send(says).read_tag().send(if says.is_empty() { OPENED_AND_CLOSED } else { TAG }).expect_eof();
            assert_eq!(peer.text(), [LEAST, &expected, TAG].concat());
        }));
        peer::wait_until(|| says.is_empty() || ours.peek(&mut [0; 256]).unwrap() == says.len());
        let mut stream = Stream::new(ours);
        if says == CLIENT_HELLO {
            assert!(matches!(stream.receive(), Err(Error::Malformed(_))));
        }
        batch.add_stream(stream, &CloseOptions::new(), |_| {}).unwrap();
    }
    let options = BatchOptions::new().stream_error(StreamError::new(Condition::SystemShutdown).unwrap());
    let reports = batch.run(options).unwrap().reports;
    let outcomes: Vec<_> = reports.iter().map(|report| report.outcome).collect();
    assert_eq!(outcomes, [Outcome::Clean, Outcome::Malformed, Outcome::Clean], "{reports:?}");
    peers.into_iter().for_each(|peer| peer.join().unwrap());
}
