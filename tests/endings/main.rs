//! Nine endings, nine outcome values: the same through Rust's close, `xmpp_close_fd`, `xmpp_close_with`, the state machine
//! in an event loop, and a batch, from Rust and from C. (`ffi-tests/endings.c` has more rows, for C alone.)

#[path = "../support/callbacks.rs"]
mod callbacks;
#[path = "../support/event_loop.rs"]
mod event_loop;
#[path = "../support/peer.rs"]
mod peer;

mod c_api;
mod no_end;
mod rust;
mod scripted;
mod steady;
mod through_loop;
mod toy_tls;
mod traces;
mod ways;

use std::{
    net::TcpStream,
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

use peer::{PATIENCE, Peer, TAG};
use xmpp_close::{Initiator, Outcome};

/// What a row sets beside the script of the peer.
#[derive(Clone, Copy, PartialEq)]
enum Setting {
    Plain,
    /// The application has seen the peer's tag.
    PeerClosed,
    /// Our last bytes do not fit into any buffer.
    BigFarewell,
    /// The application stops at the first late stanza.
    Stop,
    /// The stream runs over [`toy_tls::ToyTls`].
    Tls,
}
use Setting::*;

/// The second argument gets its end when our side has closed its socket.
type Script = fn(&mut Peer, &Receiver<()>);

#[rustfmt::skip]
const ROWS: [(&str, Outcome, Setting, Script); 14] = [
    ("both tags, ours first", Outcome::Clean, Plain, |peer, _| { peer.read_tag().send("<message/>").send(TAG).expect_eof(); }),
    ("both tags, theirs first", Outcome::Clean, PeerClosed, |peer, _| { peer.read_tag().expect_eof(); }),
    ("both tags, crossing", Outcome::Clean, BigFarewell, |peer, _| { peer.send(TAG).read_tag().expect_eof(); }),
    ("an end between stanzas", Outcome::PeerEof, Plain, |peer, _| { peer.read_tag().send("<message/>"); }),
    ("an end inside a stanza", Outcome::Truncated, Plain, |peer, _| { peer.read_tag().send("<message><body>"); }),
    ("an end inside the tag", Outcome::Truncated, Plain, |peer, _| { peer.read_tag().send("</stream:stream"); }),
    ("an end of TCP without close_notify", Outcome::Truncated, Tls, |peer, _| { peer.read_tag().send("<message/>"); }),
    ("a reset", Outcome::Reset, Plain, |peer, _| { peer.read_tag().reset_at_drop(); }),
    ("silence", Outcome::TimedOut, Plain, |peer, over| { peer.read_tag(); let _ = over.recv(); }),
    ("a peer that does not read", Outcome::Stalled, BigFarewell, |_, over| { let _ = over.recv(); }),
    ("what is not XML", Outcome::Malformed, Plain, |peer, _| { peer.read_tag().send("<a></b>").expect_eof(); }),
    ("what is not XMPP", Outcome::Malformed, Plain, |peer, _| { peer.read_tag().send("<!-- x -->").expect_eof(); }),
    ("a failure of TLS", Outcome::TlsFailed, Tls, |peer, over| { peer.read_tag().send("<message/>\u{1}"); let _ = over.recv(); }),
    ("the application stops it", Outcome::Cancelled, Stop, |peer, over| { peer.read_tag().send("<a/><b/>"); let _ = over.recv(); }),
];

/// Outcome and initiator, by the numbers of the C API.
type Close = fn(&TcpStream, Outcome, Setting) -> (u32, u32);

const FD: &str = "xmpp_close_fd";
const BATCH_ADD: &str = "xmpp_close_batch_add";
const APIS: [(&str, Close); 8] = [
    ("Rust", rust::through_closing),
    ("a batch in Rust", rust::through_batch),
    ("an event loop in Rust", through_loop::in_rust),
    ("an event loop in C", through_loop::in_c),
    (FD, c_api::through_fd),
    ("xmpp_close_with", c_api::through_with),
    (BATCH_ADD, c_api::through_batch_add),
    ("xmpp_close_batch_add_with", c_api::through_batch_add_with),
];

#[test]
fn each_ending_has_its_outcome_through_every_api() {
    let mut wrong = Vec::new();
    let mut outcomes = std::collections::HashSet::new();
    for (name, outcome, setting, script) in ROWS {
        let mut initiators = Vec::new();
        for (api, close) in APIS {
            if setting == Tls && [FD, BATCH_ADD].contains(&api) {
                continue; // a plain socket has no TLS
            }
            // Small enough that no single write takes all of a big farewell, however fast the peer reads.
            let (ours, theirs) = peer::pair_with_buffers(1 << 16);
            let (over, is_over) = channel();
            let peer = peer::peer(theirs, move |mut peer| script(&mut peer, &is_over));
            if (outcome, setting) == (Outcome::Clean, BigFarewell) {
                // A crossing: their tag has come before ours can be written.
                peer::wait_until(|| ours.peek(&mut [0; 64]).unwrap() == TAG.len());
            }
            let (got, initiator) = close(&ours, outcome, setting);
            drop((ours, over));
            peer.join().unwrap_or_else(|_| panic!("{name}, {api}: the peer"));
            if got != outcome as u32 {
                wrong.push(format!("{name}, {api}: {:?}, not {outcome:?}", Outcome::ALL[got as usize]));
            }
            initiators.push(initiator);
        }
        initiators.dedup();
        assert_eq!(initiators.len(), 1, "{name}: who began depends on the API");
        outcomes.insert(outcome);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(outcomes.len(), 9);
}

#[test]
fn one_wire_has_one_initiator_through_every_api() {
    const ERROR: &str = "<stream:error><reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>";
    // What has arrived before we begin, what comes when the peer has read our tag, and who then began.
    let wires = [
        ("its tag", TAG.to_owned(), "", Initiator::Crossing),
        ("stanzas and its tag", peer::stanzas(10) + TAG, "", Initiator::Crossing),
        ("more than one read gives, and its tag", peer::stanzas(1000) + TAG, "", Initiator::Crossing),
        ("an error and its tag", ERROR.to_owned() + TAG, "", Initiator::Crossing),
        ("an error", ERROR.to_owned(), TAG, Initiator::Crossing),
        ("half of its tag", "</stream:str".to_owned(), "eam>", Initiator::Us),
        ("a stanza", "<message/>".to_owned(), TAG, Initiator::Us),
        ("nothing", String::new(), TAG, Initiator::Us),
    ];
    // A loop that writes at once can only say what has arrived.
    let at_once: [(&str, Close); 2] =
        [("a hasty event loop in Rust", through_loop::in_rust_at_once), ("in C", through_loop::in_c_at_once)];
    let mut wrong = Vec::new();
    for (name, before, behind, initiator) in &wires {
        for (api, close) in APIS.into_iter().chain(at_once) {
            let (ours, theirs) = peer::pair();
            let mut peer = Peer { tcp: theirs, got: Vec::new() };
            peer.send(before);
            peer::wait_until(|| before.is_empty() || ours.peek(&mut [0; 1 << 16]).unwrap() == before.len());
            let behind = *behind;
            let peer = std::thread::spawn(move || peer.read_tag().send(behind).expect_eof());
            let ended = close(&ours, Outcome::Clean, Plain);
            drop(ours);
            peer.join().unwrap();
            if ended != (Outcome::Clean as u32, *initiator as u32) {
                wrong.push(format!("{name} had arrived, {api}: {ended:?}, not {initiator}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn total(outcome: Outcome) -> Duration {
    match outcome {
        Outcome::TimedOut | Outcome::Stalled => Duration::from_millis(300),
        _ => PATIENCE,
    }
}

fn farewell(setting: Setting) -> Vec<u8> {
    if setting == BigFarewell { b"<presence/>".repeat(1_000_000) } else { Vec::new() }
}
