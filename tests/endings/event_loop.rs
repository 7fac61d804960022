//! An event loop around the state machine of Rust, and around that of C.
#![allow(unsafe_code, reason = "half of this is the C API")]

use std::{
    io::ErrorKind,
    net::TcpStream,
    ptr,
    time::{Duration, Instant},
};

use xmpp_close::{Action, Event, Frame, Framer, Handshake, Interest, Limits, Outcome, Transport, ffi};

use crate::{
    Setting::{self, *},
    c_api::{c_options, empty_report},
    farewell,
    peer::{PATIENCE, TAG},
    total,
    toy_tls::transport,
};

/// The actions and queries of a machine in Rust, and of one in C.
trait Machine {
    fn handle(&mut self, event: Event, now: Duration) -> Action;
    fn wants_input(&self) -> bool;
    fn ending(&self) -> (u32, u32);
}

impl Machine for Handshake {
    fn handle(&mut self, event: Event, now: Duration) -> Action {
        Handshake::handle(self, event, now)
    }

    fn wants_input(&self) -> bool {
        Handshake::wants_input(self)
    }

    fn ending(&self) -> (u32, u32) {
        let report = self.report(Duration::ZERO);
        (report.outcome as u32, report.initiator.map_or(0, |initiator| initiator as u32))
    }
}

/// An event loop of the simplest kind, with the socket, the parser and the clock in its own hands.
fn event_loop(tcp: &TcpStream, setting: Setting, machine: &mut dyn Machine) -> (u32, u32) {
    let clock = Instant::now();
    let mut transport = transport(tcp, setting);
    let mut framer = Framer::inside(None);
    let mut queue = Vec::new();
    let mut ending_output = false;
    let mut events = vec![Event::Begin];
    if setting == PeerClosed {
        events.insert(0, Event::PeerClosed);
    }
    let mut buffer = vec![0; 4096];
    loop {
        for event in std::mem::take(&mut events) {
            match machine.handle(event, clock.elapsed()) {
                Action::SendTag => {
                    queue = farewell(setting);
                    queue.extend_from_slice(TAG.as_bytes());
                }
                Action::EndOutput => ending_output = true,
                Action::Teardown => return machine.ending(),
                Action::Nothing | Action::Answer => {}
                other => panic!("{other:?}"),
            }
        }
        let mut idle = true;
        if !queue.is_empty() {
            match transport.write(&queue) {
                Ok(count) => {
                    queue.drain(..count);
                    events.push(if queue.is_empty() { Event::Flushed } else { Event::Written(count) });
                    idle = false;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => {
                    queue.clear();
                    events.push(Event::OutputFailed(error.raw_os_error().unwrap()));
                }
            }
        } else if std::mem::take(&mut ending_output) {
            transport.end_output().unwrap();
            events.push(Event::Flushed);
        }
        if machine.wants_input() {
            match transport.read(&mut buffer) {
                Ok(0) => events.push(Event::Eof { inside: !framer.between_stanzas() && !framer.is_over() }),
                Ok(count) => {
                    idle = false;
                    events.push(Event::Received(count));
                    let mut rest = &buffer[..count];
                    while let Some(frame) = framer.next(&mut rest) {
                        events.push(match frame {
                            Frame::Stanza(_) if setting == Stop => Event::Cancel,
                            Frame::Stanza(_) => Event::Stanza,
                            Frame::End { .. } => Event::PeerClosed,
                            Frame::Malformed(_) => Event::Malformed,
                            other => panic!("{other:?}"),
                        });
                    }
                }
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => {}
                    ErrorKind::UnexpectedEof => events.push(Event::Truncated),
                    ErrorKind::InvalidData => events.push(Event::TlsFailed),
                    _ => events.push(Event::Failed(error.raw_os_error().unwrap())),
                },
            }
        }
        if idle && events.is_empty() {
            let what = Interest { read: machine.wants_input(), write: !queue.is_empty() };
            transport.wait(what, Duration::from_millis(20), None).unwrap();
        }
        events.push(Event::Tick);
    }
}

pub fn in_rust(tcp: &TcpStream, outcome: Outcome, setting: Setting) -> (u32, u32) {
    let limits = Limits { total: total(outcome), no_progress: PATIENCE, linger: PATIENCE, half_close: false };
    let machine = Handshake::new(limits);
    event_loop(tcp, setting, &mut if setting == Tls { machine.over_tls() } else { machine })
}

struct CMachine(*mut ffi::xmpp_close_handshake);

impl Machine for CMachine {
    fn handle(&mut self, event: Event, now: Duration) -> Action {
        let (h, now) = (self.0, now.as_millis() as u64);
        // SAFETY: `h` is a live handle.
        let action = unsafe {
            match event {
                Event::Begin => ffi::xmpp_close_handshake_begin(h, now),
                Event::Written(count) => ffi::xmpp_close_handshake_written(h, count, now),
                Event::Flushed => ffi::xmpp_close_handshake_flushed(h, now),
                Event::Received(count) => ffi::xmpp_close_handshake_received(h, count, now),
                Event::Stanza => ffi::xmpp_close_handshake_stanza(h, now),
                Event::PeerClosed => ffi::xmpp_close_handshake_peer_closed(h, now),
                Event::Malformed => ffi::xmpp_close_handshake_malformed(h, now),
                Event::Eof { inside: false } => ffi::xmpp_close_handshake_eof(h, now),
                Event::Eof { inside: true } | Event::Truncated => ffi::xmpp_close_handshake_truncated(h, now),
                Event::Failed(code) => ffi::xmpp_close_handshake_failed(h, code, now),
                Event::OutputFailed(code) => ffi::xmpp_close_handshake_output_failed(h, code, now),
                Event::TlsFailed => ffi::xmpp_close_handshake_tls_failed(h, now),
                Event::Tick => ffi::xmpp_close_handshake_tick(h, now),
                Event::Cancel => ffi::xmpp_close_handshake_cancel(h, now),
                other => panic!("{other:?}"),
            }
        };
        [Action::Nothing, Action::SendTag, Action::Answer, Action::EndOutput, Action::Teardown][action as usize]
    }

    fn wants_input(&self) -> bool {
        // SAFETY: as above.
        unsafe { ffi::xmpp_close_handshake_wants_input(self.0) == 1 }
    }

    fn ending(&self) -> (u32, u32) {
        let mut report = empty_report();
        // SAFETY: as above; the report says its size.
        assert_eq!(unsafe { ffi::xmpp_close_handshake_report(self.0, &raw mut report) }, 0);
        (report.outcome, report.initiator)
    }
}

pub fn in_c(tcp: &TcpStream, outcome: Outcome, setting: Setting) -> (u32, u32) {
    let mut options = c_options(outcome, PeerClosed, &[]);
    options.peer_closed = 0; // told by an event
    options.tls = (setting == Tls).into();
    let mut handle = ptr::null_mut();
    // SAFETY: the options are live, and the handle is freed once.
    unsafe {
        assert_eq!(ffi::xmpp_close_handshake_new(&raw const options, 0, &raw mut handle), 0);
        let ending = event_loop(tcp, setting, &mut CMachine(handle));
        ffi::xmpp_close_handshake_free(handle);
        ending
    }
}
