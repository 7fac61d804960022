//! Seven calls that close, each with the stanzas that it handed over.
#![allow(unsafe_code, reason = "half of this is the C API")]

use std::{
    ffi::{c_int, c_void},
    io::Read,
    net::TcpStream,
};

use xmpp_close::{Batch, BatchOptions, CloseOptions, Incoming, Outcome, Stream};

use crate::{
    BATCH_ADD, FD,
    c_api::{self, plain_options},
    peer::{PATIENCE, Peer},
};

pub const HEADER: &str = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

/// How it ended, and what was delivered.
pub type Ended = (Outcome, Vec<String>);

/// Closes with a farewell, and the default limit of linger.
pub type Way = fn(TcpStream, &str) -> Ended;

pub const STREAM: &str = "Stream";
pub const WAYS: [(&str, Way); 7] = [
    ("close", through_close),
    (STREAM, through_stream),
    ("Batch", through_batch),
    (FD, |tcp, farewell| in_c(tcp, farewell, c_api::with_fd)),
    ("xmpp_close_with", |tcp, farewell| in_c(tcp, farewell, c_api::with_callbacks)),
    (BATCH_ADD, |tcp, farewell| in_c(tcp, farewell, c_api::with_batch_add)),
    ("xmpp_close_batch_add_with", |tcp, farewell| in_c(tcp, farewell, c_api::with_batch_add_with)),
];

/// What the peer of a `Stream` does before the close: the headers are exchanged.
pub fn open(way: &str, peer: &mut Peer) {
    if way == STREAM {
        peer.send(HEADER).tcp.read_exact(&mut [0; HEADER.len()]).unwrap();
    }
}

fn options(farewell: &str) -> CloseOptions {
    CloseOptions::new().total(PATIENCE).farewell(farewell)
}

fn through_close(tcp: TcpStream, farewell: &str) -> Ended {
    let mut closing = options(farewell).begin(tcp).unwrap();
    let late = closing.by_ref().map(|stanza| stanza.to_string()).collect();
    (closing.finish().outcome, late)
}

fn through_stream(tcp: TcpStream, farewell: &str) -> Ended {
    let mut stream = Stream::new(tcp);
    stream.send(HEADER).unwrap();
    assert!(matches!(stream.receive_within(PATIENCE), Ok(Incoming::Header(_))));
    let mut closing = stream.begin(&options(farewell)).unwrap();
    let late = closing.by_ref().map(|stanza| stanza.to_string()).collect();
    (closing.finish().outcome, late)
}

fn through_batch(tcp: TcpStream, farewell: &str) -> Ended {
    let mut late = Vec::new();
    let mut batch = Batch::new().unwrap();
    batch.add(tcp, &options(farewell), |stanza| late.push(stanza.to_string())).unwrap();
    let outcome = batch.run(BatchOptions::new().total(PATIENCE)).unwrap().reports[0].outcome;
    drop(batch);
    (outcome, late)
}

fn in_c(tcp: TcpStream, farewell: &str, close: c_api::Close) -> Ended {
    // SAFETY: `userdata` is the Vec below, and the stanza has `len` bytes.
    unsafe extern "C" fn on_stanza(userdata: *mut c_void, xml: *const u8, len: usize) -> c_int {
        // SAFETY: as said above.
        let (late, xml) = unsafe { (&mut *userdata.cast::<Vec<String>>(), std::slice::from_raw_parts(xml, len)) };
        late.push(String::from_utf8_lossy(xml).into_owned());
        0
    }
    let mut late = Vec::<String>::new();
    let mut options = plain_options(farewell.as_bytes());
    options.linger_ms = 0;
    options.on_stanza = Some(on_stanza);
    options.userdata = (&raw mut late).cast();
    let report = close(&tcp, false, &options);
    (Outcome::ALL[report.outcome as usize], late)
}
