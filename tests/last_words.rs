//! What goes out last: words composed at the last moment, a detach, and a closing tag that was sent before.

#[path = "support/peer.rs"]
mod peer;

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use peer::{PATIENCE, Peer, TAG};
use xmpp_close::{Canceller, CloseOptions, Condition, Error, Incoming, Initiator, Outcome, Stream, StreamError};

const HEADER: &str = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

/// Stanzas that were handled, as XEP-0198 counts them, and how often that was asked for.
#[derive(Clone, Default)]
struct Handled(Arc<(AtomicU32, AtomicU32)>);

impl Handled {
    fn one_more(&self) {
        self.0.0.fetch_add(1, Relaxed);
    }

    fn asked(&self) -> u32 {
        self.0.1.load(Relaxed)
    }

    /// Options that say it last.
    fn options(&self) -> CloseOptions {
        let handled = self.clone();
        CloseOptions::new().total(PATIENCE).farewell("<f/>").farewell_with(move || {
            handled.0.1.fetch_add(1, Relaxed);
            format!("<a h='{}'/>", handled.0.0.load(Relaxed)).into_bytes()
        })
    }
}

fn wait_for(tcp: &TcpStream, bytes: usize) {
    peer::wait_until(|| tcp.peek(&mut vec![0; bytes]).unwrap() == bytes);
}

#[test]
fn the_last_words_count_every_stanza_that_had_arrived() {
    const STANZAS: usize = 5000; // more than one read takes
    let (ours, theirs) = peer::pair();
    let peer = peer::peer(theirs, |mut peer| {
        peer.send("<b/>".repeat(STANZAS)).read_tag().send("<late/>").send(TAG).expect_eof();
        peer.text()
    });
    wait_for(&ours, 4 * STANZAS);
    let handled = Handled::default();
    let mut closing = handled.options().residual("<r/><r/>").begin(ours).unwrap();
    assert_eq!(handled.asked(), 0, "nothing was handled yet");
    for _ in &mut closing {
        handled.one_more();
    }
    let report = closing.finish();
    assert!(report.is_clean(), "{report}");
    assert_eq!(peer.join().unwrap(), format!("<f/><a h='{}'/>{TAG}", STANZAS + 2));
    assert_eq!((handled.asked(), report.stanzas), (1, STANZAS as u64 + 3));
}

#[test]
fn last_words_are_said_when_nobody_takes_the_stanzas_and_when_these_are_taken_as_bytes() {
    let handled = Handled::default();
    let options = handled.options(); // for several closes
    for round in 1..4 {
        let (ours, theirs) = peer::pair();
        let peer = peer::peer(theirs, |mut peer| {
            peer.read_tag().send("<late/>").send(TAG).expect_eof();
            peer.text()
        });
        let mut closing = options.begin(ours).unwrap();
        if round == 3 {
            let mut bytes = String::new();
            closing.bytes().read_to_string(&mut bytes).unwrap();
            assert_eq!(bytes, format!("<late/>{TAG}"));
        }
        assert!(closing.finish().is_clean());
        assert_eq!(peer.join().unwrap(), format!("<f/><a h='0'/>{TAG}"));
        assert_eq!(handled.asked(), round);
    }
}

#[test]
fn a_whole_sessions_last_words_count_what_it_had_read_but_not_handled() {
    let (ours, theirs) = peer::pair();
    let peer = peer::peer(theirs, |mut peer| {
        peer.send(HEADER).send("<b/><b/><b/>").read_tag().send(TAG).expect_eof();
        peer.text()
    });
    wait_for(&ours, HEADER.len() + 12); // so that all of it is read at once
    let handled = Handled::default();
    let mut stream = Stream::new(ours);
    stream.send(HEADER).unwrap();
    assert!(matches!(stream.receive().unwrap(), Incoming::Header(_)));
    assert!(matches!(stream.receive().unwrap(), Incoming::Stanza(_)));
    handled.one_more();
    let mut closing = stream.begin(&handled.options()).unwrap();
    for _ in &mut closing {
        handled.one_more();
    }
    assert!(closing.finish().is_clean());
    assert_eq!(peer.join().unwrap(), format!("{HEADER}<f/><a h='3'/>{TAG}"));
}

#[test]
fn a_stream_error_stands_behind_the_last_words() {
    let xmlns = "xmlns='urn:ietf:params:xml:ns:xmpp-streams'";
    let error = |name| format!("<f/><a h='0'/><stream:error><{name} {xmlns}/></stream:error>{TAG}");
    let handled = Handled::default();
    for (options, expected) in [
        (handled.options().stream_error(StreamError::new(Condition::Reset).unwrap()), error("reset")),
        (handled.options().residual("<a></b>"), error("not-well-formed")),
    ] {
        let (ours, theirs) = peer::pair();
        let peer = peer::peer(theirs, |mut peer| {
            peer.read_tag().send(TAG).expect_eof();
            peer.text()
        });
        assert!(options.close(ours).unwrap().tag_sent);
        assert_eq!(peer.join().unwrap(), expected);
    }
}

#[test]
fn malformed_bytes_that_had_arrived_are_told_the_peer_if_they_are_handled_before_our_tag() {
    let error = "<stream:error><not-well-formed xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>";
    let at_once = CloseOptions::new().total(PATIENCE);
    let handled_first = at_once.clone().farewell_with(Vec::new);
    for (options, said) in [(at_once, TAG.to_owned()), (handled_first, [error, TAG].concat())] {
        let (ours, theirs) = peer::pair();
        let peer = peer::peer(theirs, |mut peer| {
            peer.send("<a></b>").rest().unwrap();
            peer.text()
        });
        wait_for(&ours, "<a></b>".len());
        let report = options.close(ours).unwrap();
        assert_eq!((report.outcome, report.tag_sent, report.stanzas), (Outcome::Malformed, true, 0), "{report}");
        assert_eq!(peer.join().unwrap(), said);
    }
}

#[test]
fn last_words_belong_to_an_answer_too() {
    let (ours, theirs) = peer::pair();
    let peer = peer::peer(theirs, |mut peer| {
        peer.send(HEADER).send("<b/>").send(TAG).read_tag().expect_eof();
        peer.text()
    });
    let handled = Handled::default();
    let mut stream = Stream::new(ours);
    stream.send(HEADER).unwrap();
    while !matches!(stream.receive().unwrap(), Incoming::PeerClosed) {}
    handled.one_more();
    let report = stream.close(&handled.options()).unwrap();
    assert_eq!((report.outcome, report.initiator), (Outcome::Clean, Some(Initiator::Peer)), "{report}");
    assert_eq!(peer.join().unwrap(), format!("{HEADER}<f/><a h='1'/>{TAG}"));
}

#[test]
fn last_words_wait_until_a_long_queue_is_written() {
    let (ours, theirs) = peer::pair_with_buffers(1 << 16);
    let mut queue = vec![b' '; 3 << 20];
    queue[100_000..100_007].copy_from_slice(b"<mark/>");
    let peer = peer::peer(theirs, |mut peer| {
        let mut chunk = [0; 4096];
        while !peer.got.windows(7).any(|window| window == b"<mark/>") {
            let count = peer.tcp.read(&mut chunk).unwrap();
            peer.got.extend_from_slice(&chunk[..count]);
        }
        peer.send("<b/>".repeat(10)).read_tag().send(TAG).expect_eof();
        peer.text().trim_start().to_owned()
    });
    let handled = Handled::default();
    let mut closing = handled.options().farewell(queue).begin(ours).unwrap();
    for _ in &mut closing {
        handled.one_more();
    }
    assert!(closing.finish().is_clean());
    assert_eq!(peer.join().unwrap(), format!("<a h='10'/>{TAG}"));
}

#[test]
fn who_never_stops_sending_cannot_hold_back_our_tag() {
    let (ours, theirs) = peer::pair();
    let reader = theirs.try_clone().unwrap();
    let flood = thread::spawn(move || {
        let mut tcp = theirs;
        let stanzas = "<b/>".repeat(10_000);
        while tcp.write_all(stanzas.as_bytes()).is_ok() {}
    });
    let peer = thread::spawn(move || {
        let mut peer = Peer { tcp: reader, got: Vec::new() };
        peer.read_tag();
    });
    let handled = Handled::default();
    let canceller = Canceller::new().unwrap();
    let mut closing = handled.options().canceller(&canceller).begin(ours).unwrap();
    for _ in &mut closing {
        if peer.is_finished() {
            canceller.cancel();
        }
    }
    assert!(closing.finish().tag_sent);
    peer.join().unwrap();
    flood.join().unwrap();
}

#[test]
fn a_detach_says_the_last_words_and_then_ends_tcp() {
    let handled = Handled::default();
    let end = |theirs| {
        peer::peer(theirs, |mut peer| {
            peer.send(HEADER).send("<b/>").rest().unwrap(); // to the EOF
            peer.text()
        })
    };
    let (ours, theirs) = peer::pair();
    let peer = end(theirs);
    let report = handled.options().detach(ours).unwrap();
    assert_eq!((report.outcome, report.tag_sent, report.bytes_unsent), (Outcome::Cancelled, false, 0), "{report}");
    assert_eq!(peer.join().unwrap(), "<f/><a h='0'/>");

    let (ours, theirs) = peer::pair();
    let peer = end(theirs);
    let mut stream = Stream::new(ours);
    stream.send(HEADER).unwrap();
    while !matches!(stream.receive().unwrap(), Incoming::Stanza(_)) {}
    handled.one_more();
    let report = stream.detach(&handled.options()).unwrap();
    assert_eq!((report.outcome, report.tag_sent, report.bytes_unsent), (Outcome::Cancelled, false, 0), "{report}");
    assert_eq!(peer.join().unwrap(), format!("{HEADER}<f/><a h='1'/>"));
    assert_eq!(handled.asked(), 2);
}

#[test]
fn a_detach_says_the_last_words_also_when_nothing_else_is_queued() {
    let (ours, theirs) = peer::pair();
    let peer = peer::peer(theirs, |mut peer| {
        peer.rest().unwrap(); // to the EOF
        peer.text()
    });
    let options = CloseOptions::new().total(PATIENCE).farewell_with(|| b"<a h='7'/>".to_vec());
    let report = options.detach(ours).unwrap();
    assert_eq!((report.outcome, report.tag_sent, report.bytes_unsent), (Outcome::Cancelled, false, 0), "{report}");
    assert_eq!(peer.join().unwrap(), "<a h='7'/>");
}

#[test]
fn a_detach_whose_last_words_are_refused_says_nothing_and_owes_no_tag() {
    let (ours, theirs) = peer::pair();
    let peer = peer::peer(theirs, |mut peer| {
        peer.rest().unwrap(); // to the EOF
        peer.text()
    });
    let options = CloseOptions::new().total(PATIENCE).farewell_with(|| b"<a".to_vec());
    let report = options.detach(ours).unwrap();
    assert_eq!((report.outcome, report.tag_sent, report.bytes_unsent), (Outcome::Cancelled, false, 0), "{report}");
    assert_eq!(peer.join().unwrap(), "");
}

/// Closes, and tells what came until our side ended TCP.
fn answer_at_once(mut peer: TcpStream) -> String {
    peer.write_all(TAG.as_bytes()).unwrap();
    listen(peer)
}

/// Says nothing, so that a close that is stopped leaves nothing unread, which would be answered by a RST; tells what
/// came.
fn listen(mut peer: TcpStream) -> String {
    let mut sent = String::new();
    peer.read_to_string(&mut sent).unwrap();
    sent
}

/// Half a stanza would swallow our tag, or take it inside; a tag among them would end the stream twice.
#[test]
fn a_farewell_must_be_whole_stanzas() {
    let half = ["<message><body>half", "<presence/><iq", "hello", "<a/>hello", "rest</body></message>", "<a></b>", TAG];
    for farewell in half.into_iter().chain(["<a/></stream:stream>", "</stream>"]) {
        let (ours, mut theirs) = peer::pair();
        let result = CloseOptions::new().farewell(farewell).begin(ours);
        assert!(matches!(result, Err(Error::Invalid(_))), "{farewell}: {result:?}");
        let mut sent = String::new();
        theirs.read_to_string(&mut sent).unwrap();
        assert_eq!(sent, "", "{farewell}");
    }
    // With the tag, or without one, where that is not what was said.
    for (farewell, tag_sent) in [("<a/>", true), ("</stream:stream><a/>", true), ("</stream>", true), (TAG, false)] {
        let (ours, _theirs) = peer::pair();
        let result = CloseOptions::new().farewell(farewell).tag_sent(tag_sent).begin(ours);
        assert!(matches!(result, Err(Error::Invalid(_))), "{farewell}: {result:?}");
    }
    for (farewell, root) in [(" <a/>\n<b>text</b> ", TAG), ("<a/>", "</stream>")] {
        let (ours, theirs) = peer::pair();
        let peer = thread::spawn(|| answer_at_once(theirs));
        let options = CloseOptions::new().total(PATIENCE).closing_tag(root).farewell(farewell);
        assert_eq!(options.close(ours).unwrap().outcome, Outcome::Clean, "{farewell}");
        assert_eq!(peer.join().unwrap(), [farewell, root].concat());
    }
}

#[test]
fn words_that_are_no_whole_stanzas_are_not_said_and_stop_the_close() {
    for words in ["<a>", "text", "<a/>text", TAG] {
        let (ours, theirs) = peer::pair();
        let peer = thread::spawn(|| listen(theirs));
        let options = CloseOptions::new().total(PATIENCE).farewell("<f/>").farewell_with(|| words.into());
        let report = options.close(ours).unwrap();
        assert_eq!((report.outcome, report.tag_sent), (Outcome::Cancelled, false), "{words}: {report}");
        assert_eq!(peer.join().unwrap(), "<f/>", "{words}");
    }
}

/// Whose tag came first can be told only when the answer takes its time.
fn answer_later(mut peer: Peer) -> String {
    peer.read_tag();
    thread::sleep(Duration::from_millis(200));
    peer.send("<late/>").send(TAG).expect_eof();
    peer.text()
}

#[test]
fn a_tag_that_was_sent_is_not_sent_again() {
    let options = CloseOptions::new().total(PATIENCE).tag_sent(true);
    for written_before in [true, false] {
        let (mut ours, theirs) = peer::pair();
        let peer = peer::peer(theirs, answer_later);
        let mut closing = if written_before {
            ours.write_all(TAG.as_bytes()).unwrap();
            options.begin(ours).unwrap()
        } else {
            options.clone().farewell(["<f/>", TAG].concat()).begin(ours).unwrap()
        };
        assert_eq!(closing.next().unwrap().as_str(), "<late/>");
        let report = closing.finish();
        assert_eq!((report.outcome, report.initiator), (Outcome::Clean, Some(Initiator::Us)), "{report}");
        assert!(report.tag_sent);
        assert_eq!(peer.join().unwrap(), [if written_before { "" } else { "<f/>" }, TAG].concat());
    }
}

#[test]
fn a_sessions_farewell_may_end_in_the_tag() {
    let (ours, theirs) = peer::pair();
    let peer = peer::peer(theirs, |mut peer| {
        peer.send(HEADER);
        answer_later(peer)
    });
    let mut stream = Stream::new(ours);
    stream.send(HEADER).unwrap();
    let report = stream.close(&CloseOptions::new().farewell(["<f/>", TAG].concat()).tag_sent(true)).unwrap();
    assert!(report.is_clean() && report.tag_sent, "{report}");
    assert_eq!(peer.join().unwrap(), format!("{HEADER}<f/>{TAG}"));
}

#[test]
fn an_answer_that_came_before_the_close_crosses_only_a_tag_that_was_not_out_yet() {
    let options = CloseOptions::new().total(PATIENCE).tag_sent(true);
    for (written_before, initiator) in [(true, Initiator::Us), (false, Initiator::Crossing)] {
        let (mut ours, theirs) = peer::pair();
        let peer = peer::peer(theirs, |mut peer| peer.send(TAG).read_tag().expect_eof());
        if written_before {
            ours.write_all(TAG.as_bytes()).unwrap();
        }
        peer::wait_until(|| ours.peek(&mut [0; 64]).unwrap() == TAG.len());
        let farewell = if written_before { "" } else { TAG };
        let report = options.clone().farewell(farewell).close(ours).unwrap();
        assert_eq!((report.outcome, report.initiator), (Outcome::Clean, Some(initiator)), "{report}");
        peer.join().unwrap();
    }
}

#[test]
fn nothing_is_said_behind_a_tag_that_was_sent() {
    let (ours, theirs) = peer::pair();
    let peer = peer::peer(theirs, |mut peer| {
        peer.send("<a></b>").rest().unwrap();
        peer.text()
    });
    let report = CloseOptions::new().tag_sent(true).close(ours).unwrap();
    assert_eq!((report.outcome, report.tag_sent), (Outcome::Malformed, true), "{report}");
    assert_eq!(peer.join().unwrap(), "");
    let options = CloseOptions::new().tag_sent(true);
    for options in [
        options.clone().stream_error(StreamError::new(Condition::Reset).unwrap()),
        options.clone().farewell_with(Vec::new),
    ] {
        let (ours, theirs) = peer::pair();
        assert!(matches!(options.close(ours), Err(Error::Invalid(_))));
        peer::peer(theirs, |mut peer| peer.expect_eof()).join().unwrap();
    }
    let (ours, theirs) = peer::pair();
    assert!(matches!(options.detach(ours), Err(Error::Invalid(_))));
    peer::peer(theirs, |mut peer| peer.expect_eof()).join().unwrap();
}

/// Nagle's algorithm would hold the tag back until the peer has acknowledged what went before it: 40 ms, if it waits
/// with that. Where nothing went before, no system call is made for it.
#[test]
#[cfg(target_os = "linux")]
fn the_tag_never_waits_for_an_acknowledgement() {
    let nothing = CloseOptions::new;
    let more_than_fits = "<message/>".repeat(1_000_000);
    for (options, early, expected) in [
        (nothing(), "", false),
        (nothing().farewell("<presence type='unavailable'/>"), "", false), // one write with the tag
        (nothing().farewell("<presence type='unavailable'/>").farewell_with(|| b"<a h='1'/>".to_vec()), "", true),
        (nothing().farewell(more_than_fits), "", true),
        (nothing(), "<message/>", true), // what came may be an answer to what went before
    ] {
        let (ours, mut theirs) = peer::pair();
        theirs.write_all(early.as_bytes()).unwrap();
        peer::wait_until(|| early.is_empty() || ours.peek(&mut [0; 64]).unwrap() == early.len());
        let socket = ours.try_clone().unwrap();
        let closing = options.begin(ours).unwrap();
        assert_eq!(socket.nodelay().unwrap(), expected, "after {early:?}");
        drop(closing);
    }
}

#[test]
fn a_header_goes_out_once() {
    let twice = format!("{HEADER}<presence/>");
    let refused = |result| assert!(matches!(result, Err(Error::Invalid(_))), "{result:?}");
    let options = || CloseOptions::new().total(PATIENCE);
    let (ours, _theirs) = peer::pair();
    refused(options().header(HEADER).farewell(twice.clone()).close(ours));
    for is_open in [true, false] {
        let (ours, _theirs) = peer::pair();
        let mut stream = Stream::new(ours);
        if is_open {
            stream.send(HEADER).unwrap();
        }
        refused(stream.close(&options().farewell(twice.clone())));
    }
    let (ours, theirs) = peer::pair();
    let peer = thread::spawn(|| listen(theirs));
    let report = options().farewell("<f/>").farewell_with(move || twice.clone().into_bytes()).close(ours).unwrap();
    assert_eq!((report.outcome, peer.join().unwrap().as_str()), (Outcome::Cancelled, "<f/>"));
}
