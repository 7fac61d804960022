//! An event loop of the simplest kind around the state machine of Rust, and around that of C.
#![allow(unsafe_code, reason = "half of this is the C API")]

use std::{
    io::ErrorKind,
    os::fd::BorrowedFd,
    ptr,
    time::{Duration, Instant},
};

use xmpp_close::{Action, Event, Frame, Framer, Handshake, Interest, Limits, ffi};

use crate::{
    apis::{Ended, c_options, empty_report, transport},
    case::{Case, Side},
    peer::TAG,
};

type Handle<'a> = &'a mut dyn FnMut(Event, Duration) -> Action;

/// Returns what was delivered.
fn event_loop(case: &Case, fd: BorrowedFd<'_>, clock: Instant, handle: Handle<'_>) -> Vec<String> {
    let mut transport = transport(case, fd);
    let mut framer = Framer::inside(None);
    let (mut queue, mut delivered) = (Vec::new(), Vec::new());
    let (mut ending_output, mut reads) = (false, true);
    let mut events = vec![Event::Begin];
    if case.side == Side::Responder {
        events.insert(0, Event::PeerClosed);
    }
    let mut discards = case.side == Side::Responder;
    let mut buffer = vec![0; 4096];
    loop {
        for event in std::mem::take(&mut events) {
            match handle(event, clock.elapsed()) {
                Action::SendTag => queue = [&case.farewell()[..], TAG.as_bytes()].concat(),
                Action::EndOutput => ending_output = true,
                Action::Teardown => return delivered,
                _ => {}
            }
        }
        let mut idle = true;
        while reads {
            match transport.read(&mut buffer) {
                Ok(0) => {
                    reads = false;
                    idle = false;
                    events.push(Event::Eof { inside: !discards && !framer.between_stanzas() });
                }
                Ok(count) => {
                    idle = false;
                    events.push(Event::Received(count));
                    let mut rest = &buffer[..count];
                    while !discards {
                        let Some(frame) = framer.next(&mut rest) else { break };
                        discards = matches!(frame, Frame::End { .. } | Frame::Malformed(_));
                        events.push(match frame {
                            Frame::Stanza(xml) if xml.starts_with(b"<stream:error") => Event::StreamError,
                            Frame::Stanza(xml) => {
                                delivered.push(String::from_utf8_lossy(xml).into_owned());
                                Event::Stanza
                            }
                            Frame::End { .. } => Event::PeerClosed,
                            Frame::Malformed(_) => Event::Malformed,
                            other => panic!("{other:?}"),
                        });
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => {
                    (reads, idle) = (false, false);
                    events.push(Event::Failed(error.raw_os_error().unwrap()));
                }
            }
        }
        if !events.is_empty() {
            continue; // what was read comes before what is written
        }
        if !queue.is_empty() {
            match transport.write(&queue) {
                Ok(count) => {
                    queue.drain(..count);
                    events.push(if queue.is_empty() { Event::Flushed } else { Event::Written(count) });
                    idle = false;
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(error) => {
                    queue.clear();
                    events.push(Event::OutputFailed(error.raw_os_error().unwrap()));
                }
            }
        } else if std::mem::take(&mut ending_output) {
            let _ = transport.end_output(); // a peer that is gone needs none
            events.push(Event::Flushed);
        }
        if idle && events.is_empty() {
            let what = Interest { read: reads, write: !queue.is_empty() };
            transport.wait(what, Duration::from_millis(10), None).unwrap();
        }
        events.push(Event::Tick);
    }
}

pub fn in_rust(case: &Case, fd: BorrowedFd<'_>) -> Ended {
    let clock = Instant::now();
    let limits = Limits { total: case.total(), no_progress: case.total(), linger: case.linger(), half_close: false };
    let mut machine = Handshake::new(limits);
    let delivered = event_loop(case, fd, clock, &mut |event, now| machine.handle(event, now));
    Ended::new(&machine.report(clock.elapsed()), delivered)
}

pub fn in_c(case: &Case, fd: BorrowedFd<'_>) -> Ended {
    let options = c_options(case);
    let mut h = ptr::null_mut();
    let mut report = empty_report();
    // SAFETY: the options and the report say their size, and the handle is freed once, at the end.
    unsafe {
        assert_eq!(ffi::xmpp_close_handshake_new(&raw const options, 0, &raw mut h), 0);
        let delivered =
            event_loop(case, fd, Instant::now(), &mut |event, now| handle(h, event, now.as_millis() as u64));
        assert_eq!(ffi::xmpp_close_handshake_report(h, &raw mut report), 0);
        ffi::xmpp_close_handshake_free(h);
        Ended::in_c(report, delivered)
    }
}

fn handle(h: *mut ffi::xmpp_close_handshake, event: Event, now: u64) -> Action {
    // SAFETY: `h` is a live handle.
    let action = unsafe {
        match event {
            Event::Begin => ffi::xmpp_close_handshake_begin(h, now),
            Event::Written(count) => ffi::xmpp_close_handshake_written(h, count, now),
            Event::Flushed => ffi::xmpp_close_handshake_flushed(h, now),
            Event::Received(count) => ffi::xmpp_close_handshake_received(h, count, now),
            Event::Stanza => ffi::xmpp_close_handshake_stanza(h, now),
            Event::StreamError => ffi::xmpp_close_handshake_stream_error(h, ptr::null(), now),
            Event::PeerClosed => ffi::xmpp_close_handshake_peer_closed(h, now),
            Event::Malformed => ffi::xmpp_close_handshake_malformed(h, now),
            Event::Eof { inside: false } => ffi::xmpp_close_handshake_eof(h, now),
            Event::Eof { inside: true } => ffi::xmpp_close_handshake_truncated(h, now),
            Event::Failed(code) => ffi::xmpp_close_handshake_failed(h, code, now),
            Event::OutputFailed(code) => ffi::xmpp_close_handshake_output_failed(h, code, now),
            Event::Tick => ffi::xmpp_close_handshake_tick(h, now),
            other => panic!("{other:?}"),
        }
    };
    [Action::Nothing, Action::SendTag, Action::Answer, Action::EndOutput, Action::Teardown][action as usize]
}
