//! The state machine: any events in any order, in Rust and in C.

#![allow(unsafe_code)]

use std::{ffi::c_int, ptr, time::Duration};

use xmpp_close::{Action, Event, Handshake, Limits, Outcome, State, ffi::*};

use super::bytes::Bytes;

fn event(bytes: &mut Bytes) -> Event {
    let number = bytes.byte();
    match number % 20 {
        0 => Event::Begin,
        1 => Event::Detach,
        2 => Event::Written(bytes.byte().into()),
        3 => Event::Flushed,
        4 => Event::Received(usize::from(bytes.u16()) << (number / 20)),
        5 => Event::Stanza,
        6 => Event::Oversize,
        7 => Event::StreamError,
        8 => Event::PeerClosed,
        9 => Event::Malformed,
        10 => Event::Eof { inside: false },
        11 => Event::Eof { inside: true },
        12 => Event::CloseNotify { inside: false },
        13 => Event::Truncated,
        14 => Event::Failed(bytes.byte().into()),
        15 => Event::OutputFailed(bytes.byte().into()),
        16 => Event::TlsFailed,
        17 => Event::Cancel,
        18 => Event::Arrived(bytes.byte().into()),
        _ => Event::Tick,
    }
}

/// # Safety
/// `h` is a handshake.
unsafe fn tell(h: *mut xmpp_close_handshake, event: Event, now: u64) -> c_int {
    // SAFETY: as the caller promises.
    unsafe {
        match event {
            Event::Begin => xmpp_close_handshake_begin(h, now),
            Event::Detach => xmpp_close_handshake_detach(h, now),
            Event::Arrived(n) => xmpp_close_handshake_arrived(h, n, now),
            Event::Written(n) => xmpp_close_handshake_written(h, n, now),
            Event::Flushed => xmpp_close_handshake_flushed(h, now),
            Event::Received(n) => xmpp_close_handshake_received(h, n, now),
            Event::Stanza => xmpp_close_handshake_stanza(h, now),
            Event::Oversize => xmpp_close_handshake_oversize(h, now),
            Event::StreamError => xmpp_close_handshake_stream_error(h, ptr::null(), now),
            Event::PeerClosed => xmpp_close_handshake_peer_closed(h, now),
            Event::Malformed => xmpp_close_handshake_malformed(h, now),
            Event::Eof { inside: false } => xmpp_close_handshake_eof(h, now),
            Event::Eof { inside: true } | Event::Truncated => xmpp_close_handshake_truncated(h, now),
            Event::CloseNotify { .. } => xmpp_close_handshake_close_notify(h, now),
            Event::Failed(code) => xmpp_close_handshake_failed(h, code, now),
            Event::OutputFailed(code) => xmpp_close_handshake_output_failed(h, code, now),
            Event::TlsFailed => xmpp_close_handshake_tls_failed(h, now),
            Event::Cancel => xmpp_close_handshake_cancel(h, now),
            _ => xmpp_close_handshake_tick(h, now),
        }
    }
}

/// A handshake, the same one of C, and what was seen of it.
struct Run {
    machine: Handshake,
    c: *mut xmpp_close_handshake,
    total: u64,
    now: u64,
    began: Option<u64>,
    tags: usize,
    ends: usize,
    /// No stanza may follow any more.
    shut: bool,
    /// What was reported when it was over.
    outcome: Option<String>,
}

impl Run {
    fn new(bytes: &mut Bytes) -> Self {
        let flags = bytes.byte();
        let mut millis = || 1 + u32::from(bytes.u16());
        let (total_ms, no_progress_ms, linger_ms, answer_ms) = (millis(), millis(), millis(), millis());
        let [half_close, tls, answers] = [1, 2, 4].map(|bit| u32::from(flags & bit != 0));
        let ms = |number: u32| Duration::from_millis(number.into());
        let half = half_close == 1;
        let mut machine = Handshake::new(Limits {
            total: ms(total_ms),
            no_progress: ms(no_progress_ms),
            linger: ms(linger_ms),
            half_close: half,
        });
        if tls == 1 {
            machine = machine.over_tls();
        }
        if answers == 1 {
            machine = machine.answer_within(ms(answer_ms));
        }
        // SAFETY: zero is the default of every member, and the pointers are to variables.
        let c = unsafe {
            let mut options: xmpp_close_options = std::mem::zeroed();
            options.struct_size = size_of::<xmpp_close_options>();
            (options.total_ms, options.no_progress_ms, options.linger_ms) = (total_ms, no_progress_ms, linger_ms);
            (options.half_close, options.tls, options.answer_ms) = (half_close, tls, answers * answer_ms);
            let mut c = ptr::null_mut();
            assert_eq!(xmpp_close_handshake_new(&options, 0, &mut c), 0);
            c
        };
        Self { machine, c, total: total_ms.into(), now: 0, began: None, tags: 0, ends: 0, shut: false, outcome: None }
    }

    fn step(&mut self, event: Event) {
        let now = Duration::from_millis(self.now);
        let before = (self.machine.state(), self.machine.deadline());
        let action = self.machine.handle(event, now);
        // SAFETY: a handshake of this run's own.
        assert_eq!(unsafe { tell(self.c, event, self.now) }, action as c_int, "C answers otherwise");
        let (state, report) = (self.machine.state(), self.machine.report(now));

        self.tags += usize::from(action == Action::SendTag);
        self.ends += usize::from(action == Action::EndOutput);
        assert!(self.tags <= 1 && self.ends <= 1, "two tags, or two ends");
        assert!(action != Action::SendTag || !self.shut && self.ends == 0, "a tag after the end of output");
        self.shut |= action == Action::SendTag || event == Event::Detach && before.0 != state;
        assert!(!self.shut || !self.machine.may_write(), "output after the tag");
        assert!(self.ends == 0 || self.shut, "output is ended without a tag");
        assert!(!report.tag_sent || self.tags == 1, "a tag is reported that nobody asked for");

        let is_over = state == State::Done;
        assert_eq!(is_over, action == Action::Teardown);
        assert_eq!(is_over, report.outcome != Outcome::Pending);
        assert!(report.outcome != Outcome::Clean || report.tag_sent && report.tag_received, "{report:?}");
        assert!(!is_over || !self.machine.wants_input());
        assert!(!self.machine.expects_stanzas() || self.machine.wants_input());
        assert!(!self.machine.must_answer() || self.machine.may_write());
        if is_over && self.outcome.is_none() {
            self.outcome = Some(report.to_string());
        }
        if event == Event::Tick && before.1.is_none_or(|deadline| now < deadline) {
            assert_eq!(state, before.0, "a tick before the deadline did something");
        }
        if state != State::Open && self.began.is_none() {
            self.began = Some(self.now);
        }
        let deadline = self.machine.deadline();
        assert_eq!(deadline.is_some(), self.began.is_some() && !is_over, "{state:?}");
        let last = self.began.map(|began| Duration::from_millis(began + self.total));
        assert!(deadline.is_none_or(|deadline| Some(deadline) <= last));
        // SAFETY: as above.
        let c = unsafe { xmpp_close_handshake_deadline(self.c) };
        assert_eq!(c, deadline.map_or(u64::MAX, |deadline| deadline.as_millis() as u64));
    }
}

pub fn handshake(data: &[u8]) {
    let mut bytes = Bytes(data);
    let mut run = Run::new(&mut bytes);
    while !bytes.0.is_empty() {
        let event = event(&mut bytes);
        let wait = bytes.byte();
        run.now += if wait < 128 { 0 } else { u64::from(wait - 127).pow(2) };
        run.step(event);
    }
    // Whatever happened, a close that began is over once ticks have passed its deadlines, of which it has two.
    for _ in 0..2 {
        let Some(deadline) = run.machine.deadline() else { break };
        run.now = run.now.max(deadline.as_millis() as u64);
        run.step(Event::Tick);
    }
    assert!(matches!(run.machine.state(), State::Done | State::Open));
    let last = run.machine.report(Duration::from_millis(run.now)).to_string();
    assert!(run.outcome.is_none_or(|outcome| outcome == last), "an outcome changed");
    // SAFETY: it came from xmpp_close_handshake_new().
    unsafe { xmpp_close_handshake_free(run.c) };
}
