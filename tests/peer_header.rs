//! The peer's header, for a close of a stream that someone else has opened: stream errors are recognized under any
//! prefix.

#[path = "support/peer.rs"]
mod peer;

use peer::TAG;
use xmpp_close::{CloseOptions, Error, Outcome, Report};

const NS: &str = "urn:ietf:params:xml:ns:xmpp-streams";
const STREAMS: &str = "http://etherx.jabber.org/streams";

fn prefixed() -> String {
    format!("<s:error><system-shutdown xmlns='{NS}'/></s:error>")
}

fn unprefixed() -> String {
    format!("<error xmlns='{STREAMS}'><system-shutdown xmlns='{NS}'/></error>")
}

/// Closes a stream whose peer answers with `sent`; with the report, and the stanzas that were handed over.
fn close(options: &CloseOptions, sent: String) -> (Report, Vec<String>) {
    let (ours, theirs) = peer::pair();
    let peer = peer::peer(theirs, |mut peer| {
        peer.read_tag().send(sent).expect_eof();
    });
    let mut closing = options.begin(ours).unwrap();
    let stanzas = (&mut closing).map(|stanza| stanza.to_string()).collect();
    let report = closing.finish();
    peer.join().unwrap();
    (report, stanzas)
}

fn condition(report: &Report) -> Option<&str> {
    report.stream_error.as_ref().map(|error| error.condition().as_str())
}

#[test]
fn a_stream_error_is_seen_under_any_prefix_that_the_header_declares() {
    for (declaration, root, namespaces) in [
        ("", "s:stream", format!("xmlns:s='{STREAMS}' xmlns='jabber:client'")),
        ("", "stream", format!("xmlns='{STREAMS}' xmlns:s='{STREAMS}'")),
        ("<?xml version='1.0'?>\n", "stream:stream", format!("xmlns:stream='{STREAMS}' xmlns:s='{STREAMS}'")),
    ] {
        let header = format!("{declaration}<{root} {namespaces}>");
        let options = CloseOptions::new().peer_header(header.clone());
        for error in [prefixed(), unprefixed()] {
            let (report, stanzas) = close(&options, format!("<message/>{error}</{root}>"));
            assert_eq!(
                (report.outcome, condition(&report)),
                (Outcome::Clean, Some("system-shutdown")),
                "{header} {error}"
            );
            assert_eq!((stanzas, report.stanzas), (vec!["<message/>".to_owned()], 1), "{header} {error}");
        }
    }
}

#[test]
fn without_the_header_the_usual_one_counts() {
    let (report, stanzas) = close(&CloseOptions::new(), format!("{}{}{TAG}", prefixed(), unprefixed()));
    assert_eq!((condition(&report), stanzas), (Some("system-shutdown"), vec![prefixed()]));
}

#[test]
fn only_the_first_stream_error_is_read_and_none_is_a_stanza() {
    let later = format!("<stream:error><conflict xmlns='{NS}'/></stream:error>").repeat(10);
    let (report, stanzas) = close(&CloseOptions::new(), format!("{}<error/>{later}{TAG}", unprefixed()));
    assert_eq!((condition(&report), stanzas), (Some("system-shutdown"), vec!["<error/>".to_owned()]));
    assert_eq!(report.stanzas, 1);
}

#[test]
fn a_stanza_is_read_with_the_namespaces_of_the_header() {
    use xmpp_close::xml::XmlEvent;
    let (ours, theirs) = peer::pair();
    let peer = peer::peer(theirs, |mut peer| {
        peer.read_tag().send("<db:result/></s:stream>").expect_eof();
    });
    let header = format!("<s:stream xmlns:s='{STREAMS}' xmlns='jabber:server' xmlns:db='jabber:server:dialback'>");
    let mut closing = CloseOptions::new().peer_header(header).begin(ours).unwrap();
    let stanza = closing.next().unwrap();
    let XmlEvent::StartElement { name, .. } = stanza.reader().next().unwrap() else { panic!() };
    assert_eq!(name.to_string(), "{jabber:server:dialback}db:result");
    assert_eq!(closing.finish().outcome, Outcome::Clean);
    peer.join().unwrap();
}

#[test]
fn what_is_no_start_tag_is_refused() {
    for header in [
        "",
        "x",
        "<s:stream",
        "</s:stream>",
        "<s:stream/>",
        "<stream:stream id='a' />",
        "<a><b/>",
        "<!DOCTYPE a>",
        "<a b=c>",
    ] {
        let (ours, _theirs) = peer::pair();
        let refused = CloseOptions::new().peer_header(header).close(ours);
        assert!(matches!(refused, Err(Error::Invalid(_))), "{header}: {refused:?}");
    }
}

/// Where our own header has not been sent, the peer's may not have come: a silent connection that is closed, for example.
#[test]
fn a_header_that_comes_late_is_no_stanza() {
    let ours = format!("<stream:stream xmlns='jabber:server' xmlns:stream='{STREAMS}'>");
    let options = CloseOptions::new().header(ours.clone());
    let start = format!("xmlns='jabber:client' xmlns:s='{STREAMS}' xmlns:stream='{STREAMS}' version='1.0'>");
    let message = "<message><stream/></message>";
    for (sent, stanzas, outcome, error) in [
        (format!("<stream:stream {start}{message}{TAG}"), 1, Outcome::Clean, None),
        (format!("<?xml version='1.0'?>\n<s:stream {start}{message}</s:stream>"), 1, Outcome::Clean, None),
        (format!("<s:stream {start}{}</s:stream>", prefixed()), 0, Outcome::Clean, Some("system-shutdown")),
        // It came before, and was answered by nothing.
        (format!("{message}{message}{TAG}"), 2, Outcome::Clean, None),
        (format!("<presence/>{message}{TAG}"), 2, Outcome::Clean, None),
        (format!(" {TAG}"), 0, Outcome::Clean, None),
        // A second header is none, and a declaration stands in front of a header only.
        (format!("<stream:stream {start}<stream:stream {start}{TAG}</x>"), 1, Outcome::Malformed, None),
        ("<?xml version='1.0'?></stream:stream>".to_owned(), 0, Outcome::Malformed, None),
        ("</message>".to_owned(), 0, Outcome::Malformed, None),
        ("text".to_owned(), 0, Outcome::Malformed, None),
    ] {
        let (report, seen) = close(&options, sent.clone());
        assert_eq!((report.outcome, condition(&report), seen.len()), (outcome, error, stanzas), "{sent}: {report}");
        let residual = options.clone().residual(sent.clone()).close(peer_that_ends()).unwrap();
        assert_eq!((residual.outcome, residual.stanzas as usize), (outcome, stanzas), "{sent}: {residual}");
    }
    for (sent, outcome) in [("", Outcome::PeerEof), (" ", Outcome::PeerEof), ("<stream:st", Outcome::Truncated)] {
        let report = options.clone().residual(sent).close(peer_that_ends()).unwrap();
        assert_eq!(report.outcome, outcome, "{sent:?}: {report}");
    }
}

/// A connection whose peer says nothing, and ends TCP behind our tag.
fn peer_that_ends() -> std::net::TcpStream {
    let (ours, theirs) = peer::pair();
    peer::peer(theirs, |mut peer| {
        peer.read_tag();
    });
    ours
}
