//! An end tag that is not the root's ends no stream: what comes behind it is not thrown away as if all had been said.
#![allow(unsafe_code, reason = "half of this is the C API")]

use std::{
    ffi::{c_int, c_void},
    net::TcpStream,
    ptr,
};

use xmpp_close::{Batch, BatchOptions, CloseOptions, Frame, Framer, Incoming, Outcome, Stream, ffi};

use crate::{
    BATCH_ADD, FD, Setting,
    c_api::{self, c_options, empty_report},
    peer::{self, PATIENCE, TAG},
};

/// What the peer sends behind our tag, and how many stanzas it has up to the end that is none.
const INPUTS: [(&str, usize); 6] = [
    ("</x>", 0),
    ("<message id='1'/></message>", 1),
    ("<message id='1'/></message><message id='2'/></message><message id='3'/>", 1),
    ("<message id='1'><body>x</body></message><iq id='2'></iq></iq>", 2),
    ("</body></message><message id='2'/>", 0),
    ("</stream:streams>", 0),
];
const HEADER: &str = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

/// Outcome, and what was delivered.
type Ended = (Outcome, Vec<String>);

fn options() -> CloseOptions {
    CloseOptions::new().total(PATIENCE)
}

fn through_close(tcp: TcpStream) -> Ended {
    let mut closing = options().begin(tcp).unwrap();
    let late = closing.by_ref().map(|stanza| stanza.to_string()).collect();
    (closing.finish().outcome, late)
}

fn through_stream(tcp: TcpStream) -> Ended {
    let mut stream = Stream::new(tcp);
    stream.send(HEADER).unwrap();
    assert!(matches!(stream.receive_within(PATIENCE), Ok(Incoming::Header(_))));
    let mut closing = stream.begin(&options()).unwrap();
    let late = closing.by_ref().map(|stanza| stanza.to_string()).collect();
    (closing.finish().outcome, late)
}

fn through_batch(tcp: TcpStream) -> Ended {
    let mut late = Vec::new();
    let mut batch = Batch::new().unwrap();
    batch.add(tcp, &options(), |stanza| late.push(stanza.to_string())).unwrap();
    let outcome = batch.run(BatchOptions::new().total(PATIENCE)).unwrap().reports[0].outcome;
    drop(batch);
    (outcome, late)
}

fn in_c(tcp: TcpStream, close: c_api::Close) -> Ended {
    // SAFETY: `userdata` is the Vec below, and the stanza has `len` bytes.
    unsafe extern "C" fn on_stanza(userdata: *mut c_void, xml: *const u8, len: usize) -> c_int {
        // SAFETY: as said above.
        let (late, xml) = unsafe { (&mut *userdata.cast::<Vec<String>>(), std::slice::from_raw_parts(xml, len)) };
        late.push(String::from_utf8_lossy(xml).into_owned());
        0
    }
    let mut late = Vec::<String>::new();
    let mut options = c_options(Outcome::Malformed, Setting::Plain, b"");
    options.on_stanza = Some(on_stanza);
    options.userdata = (&raw mut late).cast();
    let (outcome, _) = close(&tcp, Setting::Plain, &options);
    (Outcome::ALL[outcome as usize], late)
}

#[test]
fn an_end_tag_that_is_not_the_roots_is_never_clean_through_any_api() {
    let ways: [(&str, bool, &dyn Fn(TcpStream) -> Ended); 7] = [
        ("close", false, &through_close),
        ("Stream", true, &through_stream),
        ("Batch", false, &through_batch),
        (FD, false, &|tcp| in_c(tcp, c_api::with_fd)),
        ("xmpp_close_with", false, &|tcp| in_c(tcp, c_api::with_callbacks)),
        (BATCH_ADD, false, &|tcp| in_c(tcp, c_api::with_batch_add)),
        ("xmpp_close_batch_add_with", false, &|tcp| in_c(tcp, c_api::with_batch_add_with)),
    ];
    for (input, count) in INPUTS {
        for (way, header, close) in ways {
            let (ours, theirs) = peer::pair();
            let peer = peer::peer(theirs, move |mut peer| {
                if header {
                    peer.send(HEADER);
                }
                peer.read_tag().send([input, "<message id='behind'/>", TAG].concat()).expect_eof();
            });
            let (outcome, late) = close(ours);
            peer.join().unwrap();
            check(way, input, count, outcome, &late);
        }
        check_loops(input, count);
    }
}

fn check(way: &str, input: &str, count: usize, outcome: Outcome, late: &[String]) {
    assert_eq!((outcome, late.len()), (Outcome::Malformed, count), "{way}: {input}: {late:?}");
    assert!(input.starts_with(&late.concat()), "{way}: {input}: {late:?}");
}

/// The framers, and the machine as they tell it what they have found; each from the header on, and from behind it.
fn check_loops(input: &str, count: usize) {
    let behind = [input, "<message id='behind'/>", TAG].concat();
    let all = [HEADER, &behind].concat();
    for (framer, mut rest) in [
        (Framer::new(), all.as_bytes()),
        (Framer::inside(Some("stream:stream")), behind.as_bytes()),
        (Framer::inside(None), behind.as_bytes()),
    ] {
        let (mut framer, mut late, mut last) = (framer, Vec::new(), None);
        while let Some(frame) = framer.next(&mut rest) {
            match frame {
                Frame::Header(_) => {}
                Frame::Stanza(xml) => late.push(String::from_utf8(xml.to_vec()).unwrap()),
                Frame::Malformed(_) => last = Some(Outcome::Malformed),
                other => panic!("{input}: {other:?}"),
            }
        }
        check("Framer", input, count, last.unwrap(), &late);
    }
    for (way, root, bytes) in [
        ("xmpp_close_framer_new", None, &all),
        ("xmpp_close_framer_new_inside with a root", Some(c"stream:stream".as_ptr()), &behind),
        ("xmpp_close_framer_new_inside", Some(ptr::null()), &behind),
    ] {
        let (outcome, late) = machine_in_c(root, bytes.as_bytes());
        check(way, input, count, outcome, &late);
    }
}

/// An event loop that was told to close, whose peer then sends `bytes`, and ends TCP.
fn machine_in_c(root: Option<*const std::ffi::c_char>, mut bytes: &[u8]) -> Ended {
    let (mut framer, mut h, mut late) = (ptr::null_mut(), ptr::null_mut(), Vec::new());
    let mut report = empty_report();
    // SAFETY: all pointers are to live values, and the handles are freed once.
    unsafe {
        match root {
            None => assert_eq!(ffi::xmpp_close_framer_new(0, &raw mut framer), 0),
            Some(root) => assert_eq!(ffi::xmpp_close_framer_new_inside(root, 0, &raw mut framer), 0),
        }
        assert_eq!(ffi::xmpp_close_handshake_new(ptr::null(), 0, &raw mut h), 0);
        ffi::xmpp_close_handshake_begin(h, 1);
        ffi::xmpp_close_handshake_flushed(h, 2);
        ffi::xmpp_close_handshake_received(h, bytes.len(), 3);
        while ffi::xmpp_close_handshake_expects_stanzas(h) == 1 {
            let (mut used, mut xml, mut len) = (0, ptr::null(), 0);
            let found = ffi::xmpp_close_framer_next(
                framer,
                bytes.as_ptr().cast(),
                bytes.len(),
                &raw mut used,
                &raw mut xml,
                &raw mut len,
            );
            bytes = &bytes[used..];
            match found {
                1 => {} // the header
                2 => {
                    late.push(String::from_utf8_lossy(std::slice::from_raw_parts(xml, len)).into_owned());
                    ffi::xmpp_close_handshake_stanza(h, 4);
                }
                4 => drop(ffi::xmpp_close_handshake_peer_closed(h, 4)),
                5 => drop(ffi::xmpp_close_handshake_malformed(h, 4)),
                other => panic!("{other}"),
            }
        }
        ffi::xmpp_close_handshake_flushed(h, 5);
        ffi::xmpp_close_handshake_eof(h, 6);
        assert_eq!(ffi::xmpp_close_handshake_report(h, &raw mut report), 0);
        ffi::xmpp_close_handshake_free(h);
        ffi::xmpp_close_framer_free(framer);
    }
    (Outcome::ALL[report.outcome as usize], late)
}
