//! An end tag that is not the root's ends no stream: what comes behind it is not thrown away as trailing bytes.
#![allow(unsafe_code, reason = "the machine and framer of C are among them")]

use std::{ffi::c_char, ptr};

use xmpp_close::{
    CloseOptions, Frame, Framer, Outcome,
    ffi::{self, xmpp_close_fact::*, xmpp_close_want::XMPP_CLOSE_PARSE},
};

use crate::{
    c_api::empty_report,
    peer::{self, TAG},
    ways::{Ended, HEADER, WAYS, open},
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

#[test]
fn an_end_tag_that_is_not_the_roots_is_never_clean_through_any_api() {
    for (input, count) in INPUTS {
        for (way, close) in WAYS {
            let (ours, theirs) = peer::pair();
            let peer = peer::peer(theirs, move |mut peer| {
                open(way, &mut peer);
                peer.read_tag().send([input, "<message id='behind'/>", TAG].concat()).expect_eof();
            });
            let (outcome, late) = close(ours, "");
            peer.join().unwrap();
            check(way, input, count, outcome, &late);
        }
        check_loops(input, count);
    }
}

#[test]
fn the_peers_root_is_named_as_our_closing_tag_when_its_header_is_unknown() {
    for (ours, theirs, outcome) in [
        ("</stream>", "</stream:stream>", Outcome::Clean),
        ("</x:stream>", "</stream>", Outcome::Clean),
        ("</x:flow>", "</y:flow>", Outcome::Clean),
        ("</flow>", "</flow>", Outcome::Clean),
        ("</x:flow>", "</stream:stream>", Outcome::Malformed),
        ("</x:flow>", "</x>", Outcome::Malformed),
    ] {
        let (tcp, other) = peer::pair();
        let peer = peer::peer(other, move |mut peer| peer.read_until(ours).send(theirs).expect_eof());
        let report = CloseOptions::new().closing_tag(ours).close(tcp).unwrap();
        peer.join().unwrap();
        assert_eq!(report.outcome, outcome, "{ours} {theirs}");
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
fn machine_in_c(root: Option<*const c_char>, mut bytes: &[u8]) -> Ended {
    let (mut framer, mut s, mut late) = (ptr::null_mut(), ptr::null_mut(), Vec::new());
    let mut report = empty_report();
    // SAFETY: all pointers are to live values, and the handles are freed once.
    unsafe {
        match root {
            None => assert_eq!(ffi::xmpp_close_framer_new(0, &raw mut framer), 0),
            Some(root) => assert_eq!(ffi::xmpp_close_framer_new_inside(root, 0, &raw mut framer), 0),
        }
        let mut options: ffi::xmpp_close_options = std::mem::zeroed();
        (options.struct_size, options.own_parser) = (size_of_val(&options), 1);
        assert_eq!(ffi::xmpp_close_new(&raw const options, 0, &raw mut s), 0);
        let tell = |fact: ffi::xmpp_close_fact, detail| {
            assert_eq!(ffi::xmpp_close_tell(s, fact as u32, detail, 4), 0);
        };
        let write = || {
            let len = ffi::xmpp_close_output(s, ptr::null_mut());
            assert_eq!(ffi::xmpp_close_wrote(s, len, 0, 2), 0);
        };
        assert_eq!(ffi::xmpp_close_finish(s, ptr::null(), 1), 0);
        write();
        assert_eq!(ffi::xmpp_close_received(s, bytes.len(), 3), 1);
        while ffi::xmpp_close_wants(s) & XMPP_CLOSE_PARSE as u32 != 0 {
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
                    tell(XMPP_CLOSE_FACT_STANZAS, 1);
                }
                4 => tell(XMPP_CLOSE_FACT_PEER_CLOSED, bytes.len() as u64),
                5 => tell(XMPP_CLOSE_FACT_MALFORMED, 0),
                other => panic!("{other}"),
            }
        }
        tell(XMPP_CLOSE_FACT_DID_SHUT, 0);
        tell(XMPP_CLOSE_FACT_EOF, 0);
        assert_eq!(ffi::xmpp_close_get_report(s, &raw mut report), 0);
        ffi::xmpp_close_free(s);
        ffi::xmpp_close_framer_free(framer);
    }
    (Outcome::ALL[report.outcome as usize], late)
}
