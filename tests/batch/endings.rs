//! Each stream of a batch ends as it would end alone.

use std::{sync::Mutex, thread, time::Duration};

use xmpp_close::{
    Batch, BatchOptions, CloseOptions, Condition, Incoming, Initiator, Outcome, Stanza, Stream, StreamError,
};

use crate::peer::{self, PATIENCE, Peer, TAG};

type Script = fn(&mut Peer);

fn ignore(_: Stanza<&str>) {}

#[test]
fn each_stream_has_its_own_ending() {
    const SCRIPTS: [(Outcome, Script); 7] = [
        (Outcome::Clean, |peer| {
            peer.read_tag().send("<message/>").send(TAG).expect_eof();
        }),
        (Outcome::PeerEof, |peer| {
            peer.read_tag().send("<message/>");
        }),
        (Outcome::Truncated, |peer| {
            peer.read_tag().send("<message><body>");
        }),
        (Outcome::Reset, |peer| {
            peer.read_tag().reset_at_drop();
        }),
        (Outcome::TimedOut, |peer| {
            peer.read_tag().expect_eof();
        }),
        (Outcome::Malformed, |peer| {
            peer.read_tag().send("<a></b>").expect_eof();
        }),
        (Outcome::Clean, |peer| {
            peer.read_tag().send("<x/>".repeat(5000)).send(TAG).expect_eof();
        }),
    ];
    let mut batch = Batch::new().unwrap();
    let mut peers = Vec::new();
    for (number, (outcome, script)) in SCRIPTS.into_iter().enumerate() {
        let (ours, theirs) = peer::pair();
        peers.push(peer::peer(theirs, move |mut peer| script(&mut peer)));
        let total = if outcome == Outcome::TimedOut { Duration::from_millis(300) } else { PATIENCE };
        assert_eq!(batch.add(ours, &CloseOptions::new().total(total), ignore).unwrap(), number);
    }
    let done = batch.run(BatchOptions::new().total(PATIENCE)).unwrap();
    for peer in peers {
        peer.join().unwrap();
    }
    let resets = peer::resets_show();
    for ((outcome, _), report) in SCRIPTS.into_iter().zip(&done.reports) {
        let outcome = if outcome == Outcome::Reset && !resets { Outcome::PeerEof } else { outcome };
        assert_eq!(report.outcome, outcome, "{report}");
    }
    assert_eq!(done.summary.count(Outcome::Clean), 2);
    assert_eq!(done.summary.count(Outcome::TimedOut), 1);
    assert_eq!(done.summary.count(Outcome::Pending), 0);
    assert_eq!((done.summary.streams, done.summary.begun, done.summary.ended), (7, 7, 7));
    assert_eq!(done.summary.stanzas, 5002);
    let (eof, reset) = if resets { (1, "1 reset, ") } else { (2, "") };
    let words = format!("7 streams: 2 clean, {eof} peer-eof, 1 truncated, {reset}1 timed-out, 1 malformed; 5002 late");
    assert!(done.summary.to_string().starts_with(&words), "{}", done.summary);
}

#[test]
fn late_stanzas_of_many_streams_arrive_in_order() {
    const STREAMS: usize = peer::many(50);
    const STANZAS: usize = 2000;
    let got = Mutex::new(vec![0; STREAMS]);
    let mut batch = Batch::new().unwrap();
    let mut peers = Vec::new();
    for number in 0..STREAMS {
        let (ours, theirs) = peer::pair();
        peers.push(peer::peer(theirs, |mut peer| {
            peer.read_tag().send(peer::stanzas(STANZAS)).send(TAG).expect_eof();
        }));
        let got = &got;
        let options = CloseOptions::new().total(PATIENCE);
        let on_stanza = move |stanza: Stanza<&str>| {
            let next = &mut got.lock().unwrap()[number];
            assert!(stanza.as_str().starts_with(&format!("<message id='{next}'>")), "{stanza}");
            *next += 1;
        };
        batch.add(ours, &options, on_stanza).unwrap();
    }
    let done = batch.run(BatchOptions::new().total(PATIENCE)).unwrap();
    for peer in peers {
        peer.join().unwrap();
    }
    assert!(done.reports.iter().all(|report| report.is_clean()), "{}", done.summary);
    assert!(got.lock().unwrap().iter().all(|count| *count == STANZAS));
    assert_eq!(done.summary.stanzas, (STREAMS * STANZAS) as u64);
}

#[test]
fn our_output_and_theirs_move_at_once_on_every_stream() {
    const STREAMS: usize = 4;
    let mut batch = Batch::new().unwrap();
    let mut peers = Vec::new();
    let ours_to_send = "<presence/>".repeat(100_000);
    for _ in 0..STREAMS {
        let (ours, theirs) = peer::pair_with_buffers(1 << 16);
        let expected = ours_to_send.len() + TAG.len();
        peers.push(peer::peer(theirs, move |mut peer| {
            peer.send(peer::stanzas(20_000)).send(TAG); // all of it before it reads
            peer.rest().unwrap();
            assert_eq!(peer.got.len(), expected);
        }));
        let options = CloseOptions::new().total(PATIENCE).farewell(ours_to_send.clone());
        batch.add(ours, &options, ignore).unwrap();
    }
    let done = batch.run(BatchOptions::new().total(PATIENCE)).unwrap();
    for peer in peers {
        peer.join().unwrap();
    }
    assert_eq!(done.summary.count(Outcome::Clean), STREAMS, "{}", done.summary);
    assert_eq!(done.summary.stanzas, (STREAMS * 20_000) as u64);
}

#[test]
fn one_error_for_all_goes_to_those_that_have_none_and_did_not_close_themselves() {
    let mut batch = Batch::new().unwrap();
    let mut peers = Vec::new();
    let options = CloseOptions::new().total(PATIENCE);
    let members = [
        options.clone(),
        options.clone().stream_error(StreamError::new(Condition::PolicyViolation).unwrap()),
        options.clone().peer_closed(true),
        options.closing_tag("</x:stream>"),
    ];
    for (number, options) in members.iter().enumerate() {
        let (ours, theirs) = peer::pair();
        peers.push(peer::peer(theirs, move |mut peer| {
            let tag = if number == 3 { "</x:stream>" } else { TAG };
            peer.read_until(tag).send(TAG).expect_eof();
            peer.text()
        }));
        batch.add(ours, options, ignore).unwrap();
    }
    let done = batch
        .run(BatchOptions::new().total(PATIENCE).stream_error(StreamError::new(Condition::SystemShutdown).unwrap()))
        .unwrap();
    let got: Vec<_> = peers.into_iter().map(|peer| peer.join().unwrap()).collect();
    let error = |prefix: &str| {
        let xmlns = "urn:ietf:params:xml:ns:xmpp-streams";
        format!("<{prefix}:error><system-shutdown xmlns='{xmlns}'/></{prefix}:error></{prefix}:stream>")
    };
    assert_eq!(got[0], error("stream"));
    assert!(got[1].contains("policy-violation") && !got[1].contains("system-shutdown"), "{}", got[1]);
    assert_eq!(got[2], TAG);
    assert_eq!(got[3], error("x"));
    assert_eq!(done.summary.count(Outcome::Clean), 4);
    assert_eq!(done.reports[2].initiator, Some(Initiator::Peer));
}

#[test]
fn a_whole_session_goes_on_where_it_was_and_loses_nothing() {
    let (ours, theirs) = peer::pair();
    let peer = peer::peer(theirs, |mut peer| {
        peer.read_until("'>").send("<s:stream xmlns:s='http://etherx.jabber.org/streams' xmlns='jabber:client'>");
        peer.send("<a/><b/><c"); // <b/> is read with <a/>, and half of <c/>
        peer.read_tag().send("/><d/></s:stream>").expect_eof();
    });
    let mut stream = Stream::new(ours);
    stream.send("<stream:stream xmlns:stream='http://etherx.jabber.org/streams' xmlns='jabber:client'>").unwrap();
    assert!(matches!(stream.receive().unwrap(), Incoming::Header(_)));
    assert!(matches!(stream.receive().unwrap(), Incoming::Stanza(stanza) if stanza.as_str() == "<a/>"));
    let got = Mutex::new(Vec::new());
    let mut batch = Batch::new().unwrap();
    let on_stanza = |stanza: Stanza<&str>| got.lock().unwrap().push(stanza.as_str().to_owned());
    batch.add_stream(stream, &CloseOptions::new().total(PATIENCE), on_stanza).unwrap();
    let done = batch.run(BatchOptions::new().total(PATIENCE)).unwrap();
    peer.join().unwrap();
    assert!(done.reports[0].is_clean(), "{}", done.reports[0]);
    assert_eq!(*got.lock().unwrap(), ["<b/>", "<c/>", "<d/>"]);
}

#[test]
fn an_empty_batch_is_done_at_once() {
    let mut batch = Batch::new().unwrap();
    assert!(batch.is_empty());
    let done = batch.run(BatchOptions::new()).unwrap();
    assert_eq!((done.summary.streams, done.reports.len()), (0, 0));
}

#[test]
fn a_batch_that_never_runs_sends_nothing() {
    let (ours, theirs) = peer::pair();
    let mut batch = Batch::new().unwrap();
    batch.add(ours, &CloseOptions::new(), ignore).unwrap();
    assert_eq!(batch.len(), 1);
    drop(batch);
    peer::peer(theirs, |mut peer| peer.expect_eof()).join().unwrap();
}

#[test]
fn a_batch_is_run_by_the_thread_that_has_it() {
    let (ours, theirs) = peer::pair();
    let peer = peer::peer(theirs, |mut peer| {
        peer.read_tag().send(TAG).expect_eof();
    });
    let closer = thread::spawn(move || {
        let mut batch = Batch::new().unwrap();
        batch.add(ours, &CloseOptions::new(), ignore).unwrap();
        batch.run(BatchOptions::new()).unwrap().summary
    });
    peer.join().unwrap();
    assert_eq!(closer.join().unwrap().count(Outcome::Clean), 1);
}
