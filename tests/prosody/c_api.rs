//! The backlog, and the session whose stanzas are acknowledged, with a program that reads by itself and then closes or
//! detaches by `xmpp_close_fd`.

use std::{
    ffi::{c_int, c_void},
    io::Read,
    mem,
    net::TcpStream,
    os::fd::AsRawFd,
    slice,
};

use xmpp_close::{
    Frame, Framer, Outcome,
    ffi::{xmpp_close_fd, xmpp_close_options, xmpp_close_report},
};

use crate::{
    backlog,
    client::Client,
    prosody::Prosody,
    relay::Relay,
    sm::Handled,
    stream_management::{ALL, Messages, READ, assert_final_ack, close_on, detach_and_resume, sent},
};

/// What the callbacks know.
struct Known<'a> {
    late: Vec<usize>,
    handled: &'a Handled,
}

/// # Safety
/// `userdata` points to a `Known` that nobody else uses, and `xml` to `len` bytes.
#[allow(unsafe_code)]
unsafe extern "C" fn on_stanza(userdata: *mut c_void, xml: *const u8, len: usize) -> c_int {
    // SAFETY: see above.
    let (known, xml) = unsafe { (&mut *userdata.cast::<Known<'_>>(), slice::from_raw_parts(xml, len)) };
    if let Some(number) = number(xml) {
        known.late.push(number);
        known.handled.count_one();
    }
    0
}

/// # Safety
/// `userdata` points to a `Known` that nobody else uses, `buf` to `len` bytes, and `n` to a number.
#[allow(unsafe_code)]
unsafe extern "C" fn on_farewell(userdata: *mut c_void, buf: *mut u8, len: usize, n: *mut usize) -> c_int {
    // SAFETY: see above.
    let (known, buf) = unsafe { (&mut *userdata.cast::<Known<'_>>(), slice::from_raw_parts_mut(buf, len)) };
    let last = known.handled.acknowledge();
    buf[..last.len()].copy_from_slice(last.as_bytes());
    // SAFETY: see above.
    unsafe { n.write(last.len()) };
    0
}

/// The number in a message's `id`, as a C program would look for it; `None` when it is no message.
fn number(xml: &[u8]) -> Option<usize> {
    let xml = std::str::from_utf8(xml).unwrap().strip_prefix("<message ")?;
    let id = xml.split("id='").nth(1).and_then(|rest| rest.split('\'').next());
    Some(id.and_then(|id| id.parse().ok()).unwrap_or_else(|| panic!("not a numbered message: {xml}")))
}

/// Reads so many messages from the socket itself, and returns what came behind them in the last read.
fn read(mut tcp: &TcpStream, count: usize, handled: &Handled) -> (Vec<usize>, Vec<u8>) {
    let mut framer = Framer::inside(None);
    let mut numbers = Vec::new();
    let mut chunk = [0; 16 * 1024];
    loop {
        let length = tcp.read(&mut chunk).unwrap();
        assert!(length > 0, "ended after {} messages", numbers.len());
        let mut rest = &chunk[..length];
        while let Some(frame) = framer.next(&mut rest) {
            match frame {
                Frame::Stanza(xml) => number(xml).into_iter().for_each(|number| {
                    numbers.push(number);
                    handled.count_one();
                }),
                other => panic!("{other:?}"),
            }
            if numbers.len() == count {
                return (numbers, rest.to_vec());
            }
        }
    }
}

/// Reads `count` messages and ends the stream with these options and more.
#[allow(unsafe_code)]
fn end(
    alice: Client,
    count: usize,
    handled: &Handled,
    change: impl FnOnce(&mut xmpp_close_options),
) -> (Vec<usize>, xmpp_close_report) {
    let Client { stream, raw, .. } = alice;
    drop(stream);
    let (read, residual) = read(&raw, count, handled);
    assert_eq!(read, Vec::from_iter(0..count));
    let mut known = Known { late: Vec::new(), handled };
    let mut options = xmpp_close_options {
        struct_size: size_of::<xmpp_close_options>(),
        residual: residual.as_ptr().cast(),
        residual_len: residual.len(),
        on_stanza: Some(on_stanza),
        userdata: (&raw mut known).cast(),
        // SAFETY: zero is a number, NULL or no function.
        ..unsafe { mem::zeroed() }
    };
    change(&mut options);
    // SAFETY: zero is a number.
    let mut report = xmpp_close_report { struct_size: size_of::<xmpp_close_report>(), ..unsafe { mem::zeroed() } };
    // SAFETY: the fd is open, all pointers point to what the header says, and `known` is used by the callbacks only.
    let result = unsafe { xmpp_close_fd(raw.as_raw_fd(), &raw const options, &raw mut report) };
    assert_eq!(result, 0);
    (known.late, report)
}

#[test]
fn a_backlog_arrives_in_order_through_c() {
    let mut server = Prosody::start();
    let addr = server.addr;
    let (fate, report) =
        backlog::backlog(&mut server, addr, |alice| end(alice, backlog::READ, &Handled::default(), |_| ()));
    fate.print("xmpp_close_fd");
    assert_eq!((report.outcome, report.initiator), (Outcome::Clean as u32, 1));
    assert_eq!((report.tag_sent, report.tag_received, report.oversize), (1, 1, 0));
    assert_eq!(report.stanzas as usize, backlog::ALL - backlog::READ);
    assert_eq!(fate.late, Vec::from_iter(backlog::READ..backlog::ALL));
}

#[test]
fn the_final_acknowledgement_counts_what_was_handled_through_c() {
    let mut server = Prosody::start();
    let relay = Relay::to(server.addr);
    let (fate, report) = close_on(&mut server, relay.addr, Messages::Wait, |alice, session| {
        end(alice, READ, &session.handled, |options| options.on_farewell = Some(on_farewell))
    });
    fate.print("xmpp_close_fd, on_farewell");
    assert_eq!((report.outcome, report.tag_sent, report.tag_received), (Outcome::Clean as u32, 1, 1));
    assert!(fate.acknowledged >= READ, "{}", fate.acknowledged);
    assert_eq!(fate.late, Vec::from_iter(READ..ALL));
    assert_eq!(fate.stored, Vec::from_iter(fate.acknowledged..ALL), "exactly what was not acknowledged");
    assert_final_ack(&sent(relay), fate.acknowledged, "</stream:stream>");
}

#[test]
fn a_session_detached_through_c_is_resumed() {
    let mut server = Prosody::start();
    let relay = Relay::to(server.addr);
    let addr = relay.addr;
    detach_and_resume(&mut server, addr, |alice, session, owed| {
        let (late, report) = end(alice, READ, &session.handled, |options| {
            options.detach = 1;
            options.on_farewell = Some(on_farewell);
            options.farewell = owed.as_ptr().cast();
            options.farewell_len = owed.len();
        });
        assert!(late.is_empty(), "what still arrives is discarded: {late:?}");
        assert_eq!((report.outcome, report.tag_sent), (Outcome::Cancelled as u32, 0));
    });
    assert_final_ack(&sent(relay), READ, "");
}
