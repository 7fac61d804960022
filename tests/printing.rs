//! What a log shows of the public types, and the shortest form of a close.

#[path = "support/local.rs"]
mod local;
#[path = "support/session.rs"]
mod session;

use std::{
    error::Error as _,
    io::{self, Write},
    net::Shutdown,
};

use local::Local;
use session::Session;
use xmpp_close::{CloseOptions, Error, Invalid, Limit, Outcome, SendError, Stream, TlsError, TlsSession};

/// A stream whose peer has said this, and nothing more will come.
fn stream(said: &str) -> Local {
    let (ours, mut theirs) = local::pair();
    theirs.write_all(said.as_bytes()).unwrap();
    theirs.shutdown(Shutdown::Write).unwrap();
    // It stays open, so that what we send is taken.
    std::thread::spawn(move || io::copy(&mut theirs, &mut io::sink()));
    ours
}

#[test]
fn the_shortest_form_closes() {
    let report = xmpp_close::close(stream("<late/></stream:stream>"));
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.stanzas, 1);
}

#[test]
fn an_error_says_what_is_wrong_and_leads_to_its_cause() {
    let invalid = CloseOptions::new().closing_tag("</").begin(stream("")).unwrap_err();
    assert!(matches!(invalid, Error::Invalid(Invalid::ClosingTag)), "{invalid:?}");
    assert_eq!(invalid.to_string(), "the closing tag is not an end tag such as </stream:stream>");
    assert!(invalid.source().is_none());

    let ended = Stream::new(stream("")).receive().unwrap_err();
    let Error::Io(cause) = &ended else { panic!("{ended:?}") };
    assert_eq!(cause.kind(), io::ErrorKind::UnexpectedEof);
    assert_eq!(ended.source().unwrap().to_string(), cause.to_string());
    assert!(!ended.to_string().contains(&cause.to_string()), "who prints the chain would say it twice: {ended}");

    let malformed = Stream::new(stream("no XML")).receive().unwrap_err();
    assert!(malformed.to_string().ends_with("not-well-formed"), "{malformed}");
    assert_eq!(Error::Closed.to_string(), "the stream is closed");
    for (refused, said) in [
        (SendError::Refused, "nothing more is sent on this stream"),
        (SendError::Full, "too much is queued for sending"),
        (SendError::Invalid(Invalid::ClosingTag), &*invalid.to_string()),
    ] {
        assert_eq!(refused.to_string(), said);
    }
}

#[test]
fn a_report_names_the_stream_error_of_the_peer() {
    let said =
        "<stream:error><system-shutdown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>";
    let report = CloseOptions::new().close(stream(said)).unwrap();
    assert!(report.to_string().contains("stream error system-shutdown"), "{report}");
}

#[test]
fn a_report_says_which_limit_ended_it_and_what_did_not_go_out() {
    let mut report = CloseOptions::new().close(stream("</stream:stream>")).unwrap();
    for (limit, said) in [
        (Limit::Total, "the total limit ended it"),
        (Limit::NoProgress, "the no-progress limit ended it"),
        (Limit::Linger, "the linger limit ended it"),
        (Limit::Batch, "the batch limit ended it"),
        (Limit::Answer, "the answer limit made our tag due without an answer"),
    ] {
        report.limit = Some(limit);
        report.outcome = Outcome::Clean;
        assert_eq!(report.to_string().contains(said), limit == Limit::Answer, "a clean end needs no limit: {report}");
        report.outcome = Outcome::Stalled;
        assert!(report.to_string().contains(said), "{report}");
    }
    (report.bytes_unsent, report.refused) = (16, 3);
    let line = report.to_string();
    assert!(line.contains("; 16 bytes unsent; 3 sends that came too late; "), "{line}");
}

#[test]
fn a_report_says_who_began_and_counts_only_what_was_counted() {
    let mut report = CloseOptions::new().close(stream("<a/></stream:stream>")).unwrap();
    let line = report.to_string();
    assert!(line.contains("; begun by both sides; 1 late stanza, 20 bytes read; "), "the tag had arrived: {line}");
    report.stanzas = 0; // none came, or a parser of the application's has read them
    assert!(report.to_string().contains("; begun by both sides; 20 bytes read; "), "{report}");
}

/// What the system said at the end, when both tags had been exchanged, reads like a fault.
#[test]
fn a_clean_report_says_nothing_of_what_explains_other_endings() {
    let mut report = CloseOptions::new().close(stream("</stream:stream>")).unwrap();
    assert!(report.is_clean(), "{report}");
    let code = 104; // ECONNRESET, on Linux
    let said = io::Error::from_raw_os_error(code).to_string();
    (report.os_error, report.bytes_unacked) = (Some(code), 24);
    let line = report.to_string();
    assert!(!line.contains(&said) && !line.contains("unacknowledged"), "{line}");
    assert!(line.starts_with("clean: both closing tags were exchanged; begun by "), "{line}");
    report.bytes_after_tag = 2; // which came, and was thrown away
    assert!(report.to_string().contains("2 bytes after the peer's tag"), "{report}");
    report.outcome = Outcome::Reset;
    let line = report.to_string();
    assert!(line.contains(&said) && line.contains("24 bytes unacknowledged"), "{line}");
}

#[test]
fn a_report_counts_in_the_singular_as_well() {
    let mut report = CloseOptions::new().close(stream("<a/></stream:stream>")).unwrap();
    (report.oversize, report.bytes_after_tag, report.bytes_unsent, report.refused) = (1, 1, 1, 1);
    let line = report.to_string();
    for said in ["1 late stanza, 20 bytes read", "1 stanza over", "1 byte after", "1 byte unsent", "1 send that came"] {
        assert!(line.contains(&format!("; {said}")), "{said}: {line}");
    }
    #[cfg(feature = "batch")]
    {
        let mut batch = xmpp_close::Batch::new().unwrap();
        batch.add(stream("<a/></stream:stream>"), &CloseOptions::new(), |_| ()).unwrap();
        let line = batch.run(xmpp_close::BatchOptions::new()).unwrap().summary.to_string();
        assert!(line.starts_with("1 stream: 1 clean; 1 late stanza; "), "{line}");
    }
}

/// Without the alert, the end of what the peer sent may have been cut off by an attacker.
#[test]
fn a_report_says_when_the_end_over_tls_is_not_proved() {
    const SAID: &str = " the peer's close_notify was not seen; ";
    let mut report = CloseOptions::new().close(stream("</stream:stream>")).unwrap();
    assert!(!report.to_string().contains(SAID), "in plaintext there is none: {report}");
    report.tls.used = true;
    for (outcome, received, is_said) in [
        (Outcome::Clean, false, true),
        (Outcome::Clean, true, false),
        (Outcome::Truncated, false, true),
        (Outcome::Truncated, true, false),
        (Outcome::TimedOut, false, false), // goes without saying
    ] {
        (report.outcome, report.tls.received) = (outcome, received);
        assert_eq!(report.to_string().contains(SAID), is_said, "{report}");
    }
}

/// A connection that was cut, and a peer that sends half a stanza, are looked for in different places.
#[test]
fn a_truncated_report_says_what_cut_the_peers_stream() {
    let mut report = CloseOptions::new().close(stream("<message><bo")).unwrap();
    let line = report.to_string();
    assert!(line.starts_with("truncated: the peer's stream ended inside an element; begun by us; "), "{line}");
    report.tls.used = true;
    let line = report.to_string();
    assert!(
        line.starts_with("truncated: TLS ended, and the peer's close_notify was not seen; begun by us; "),
        "{line}"
    );
    report.tls.received = true;
    assert!(report.to_string().starts_with("truncated: the peer's stream ended inside an element; "), "{report}");
}

#[test]
fn what_holds_a_connection_can_be_printed() {
    let options = CloseOptions::new().farewell_with(Vec::new);
    assert!(format!("{options:?}").contains("LastWords"), "{options:?}");
    let idle = Stream::new(stream(""));
    assert!(format!("{idle:?}").starts_with("Stream {"), "{idle:?}");
    let mut closing = options.begin(stream("</stream:stream>")).unwrap();
    assert!(format!("{closing:?}").starts_with("Closing {"), "{closing:?}");
    assert!(format!("{:?}", closing.bytes()).starts_with("LateBytes"));
    assert_eq!(closing.finish().outcome, Outcome::Clean);
    #[cfg(feature = "batch")]
    assert!(format!("{:?}", xmpp_close::Batch::new().unwrap()).starts_with("Batch { streams: 0"));
}

#[test]
fn a_tls_session_can_be_looked_at_and_its_errors_be_printed() {
    let mut tls = xmpp_close::over(Session, stream("")).unwrap();
    tls.handshake(std::time::Duration::from_secs(60)).unwrap(); // done already, unless it says otherwise
    assert_eq!(tls.session().pending(), 0);
    assert!(format!("{tls:?}").starts_with("OverTls {"), "{tls:?}");
    let failed = TlsError::Failed("no such certificate".into());
    assert_eq!(failed.to_string(), "the TLS layer failed");
    assert_eq!(failed.source().unwrap().to_string(), "no such certificate");
    let below = TlsError::from(io::Error::from(io::ErrorKind::ConnectionReset));
    assert_eq!(below.to_string(), "the connection below TLS failed");
    assert_eq!(below.source().unwrap().to_string(), io::Error::from(io::ErrorKind::ConnectionReset).to_string());
    assert_eq!(TlsError::WantRead.to_string(), "TLS waits for something to read");
    assert_eq!(TlsError::WantWrite.to_string(), "TLS waits to write");
    assert_eq!(TlsError::Eof.to_string(), "TCP ended without close_notify");
}
