//! The engine in Rust and the same one in C, which must answer alike.

#![allow(unsafe_code)]

use std::{ffi::CString, ptr, time::Duration};

use xmpp_close::{CloseOptions, Condition, Engine, Fact, Found, Report, SendError, StreamError, Tls, ffi::*};

use super::{incoming::Kind, model::Limits};

/// How an engine is made.
pub struct Set {
    pub limits: Limits,
    pub tls: Tls,
    pub half_close: bool,
    pub peer_closed: bool,
    pub header: &'static str,
    pub farewell: &'static str,
    pub output_limit: usize,
    /// The engine parses.
    pub parses: bool,
}

pub struct Both {
    pub rust: Engine,
    c: *mut xmpp_close_stream,
    parses: bool,
}

impl Both {
    pub fn new(set: &Set) -> Self {
        let Limits { total, linger, answer, no_progress } = set.limits;
        let mut options = CloseOptions::new().total(total).linger(linger).answer(answer).farewell(set.farewell);
        options = options
            .half_close(set.half_close)
            .peer_closed(set.peer_closed)
            .output_limit(set.output_limit)
            .stanza_limit(10_000);
        if let Some(limit) = no_progress {
            options = options.no_progress(limit);
        }
        if !set.header.is_empty() {
            options = options.header(set.header);
        }
        let rust = Engine::new(&options, set.tls).unwrap();
        let ms = |time: Duration| time.as_millis() as u32;
        // SAFETY: zero is the default of every member, and the pointers are to variables.
        let c = unsafe {
            let mut options: xmpp_close_options = std::mem::zeroed();
            options.struct_size = size_of::<xmpp_close_options>();
            (options.total_ms, options.linger_ms, options.answer_ms) = (ms(total), ms(linger), ms(answer));
            options.no_progress_ms = no_progress.map_or(0, ms);
            (options.half_close, options.peer_closed) = (set.half_close.into(), set.peer_closed.into());
            (options.tls, options.own_parser, options.output_limit) =
                (set.tls as u32, u32::from(!set.parses), set.output_limit);
            options.stanza_limit = 10_000;
            (options.header, options.header_len) = (set.header.as_ptr().cast(), set.header.len());
            (options.farewell, options.farewell_len) = (set.farewell.as_ptr().cast(), set.farewell.len());
            let mut c = ptr::null_mut();
            assert_eq!(xmpp_close_new(&options, 0, &mut c), 0);
            c
        };
        Self { rust, c, parses: set.parses }
    }

    pub fn send(&mut self, bytes: &[u8]) -> Result<(), SendError> {
        let sent = self.rust.send(bytes);
        // SAFETY: a live stream, here and below.
        let c = unsafe { xmpp_close_send(self.c, bytes.as_ptr().cast(), bytes.len()) };
        assert_eq!(
            c,
            match sent {
                Ok(()) => 0,
                Err(SendError::Refused) => 1,
                Err(_) => 2,
            }
        );
        sent
    }

    pub fn finish(&mut self, condition: Option<&str>, now: Duration) {
        self.rust.finish(condition.map(|name| StreamError::new(name.parse().unwrap()).unwrap()).as_ref(), now);
        let name = condition.map(|name| CString::new(name).unwrap());
        let error = xmpp_close_error {
            struct_size: size_of::<xmpp_close_error>(),
            condition: name.as_ref().map_or(ptr::null(), |name| name.as_ptr()),
            text: ptr::null(),
            address: ptr::null(),
            element: ptr::null(),
        };
        let error = if name.is_some() { &raw const error } else { ptr::null() };
        // SAFETY: as above, and the error is live.
        assert_eq!(unsafe { xmpp_close_finish(self.c, error, ms(now)) }, 0);
    }

    pub fn detach(&mut self, now: Duration) {
        self.rust.detach(now);
        // SAFETY: as above.
        assert_eq!(unsafe { xmpp_close_detach(self.c, ms(now)) }, 0);
    }

    pub fn output(&mut self) -> Vec<u8> {
        let output = self.rust.output().to_vec();
        let mut bytes = ptr::null();
        // SAFETY: as above; so many bytes are there.
        unsafe {
            let len = xmpp_close_output(self.c, &mut bytes);
            let in_c: &[u8] = if len == 0 { &[] } else { std::slice::from_raw_parts(bytes, len) };
            assert!(output == in_c, "C hands out something else");
        }
        output
    }

    pub fn wrote(&mut self, taken: usize, pending: usize, now: Duration) {
        self.rust.wrote(taken, pending, now);
        // SAFETY: as above.
        assert_eq!(unsafe { xmpp_close_wrote(self.c, taken, pending, ms(now)) }, 0);
    }

    pub fn received(&mut self, count: usize, now: Duration) -> bool {
        let parse = self.rust.received(count, now);
        // SAFETY: as above.
        assert_eq!(unsafe { xmpp_close_received(self.c, count, ms(now)) }, i32::from(parse));
        parse
    }

    /// One thing that is found in `data`, by the engine in Rust.
    pub fn input(&mut self, data: &mut &[u8], now: Duration) -> Option<Kind> {
        self.rust.input(data, now).map(|found| match found {
            Found::Header(_) => Kind::Header,
            Found::Stanza(_) => Kind::Stanza,
            Found::Oversize(_) => Kind::Oversize,
            Found::StreamError(_) => Kind::Error,
            Found::PeerClosed => Kind::End,
            Found::Malformed(_) => Kind::Malformed,
            other => panic!("{other:?}"),
        })
    }

    /// C finds the same, but for stream errors, which it takes in without a word.
    pub fn input_in_c(&mut self, input: &[u8], found: &[Kind], now: Duration) {
        let (mut data, mut len) = (input.as_ptr(), input.len());
        let said = found.iter().filter(|kind| **kind != Kind::Error);
        for expected in said.map(Some).chain([None]) {
            // SAFETY: as above; `len` bytes are there.
            let frame =
                unsafe { xmpp_close_input(self.c, &mut data, &mut len, ms(now), ptr::null_mut(), ptr::null_mut()) };
            let expected = expected.map_or(0, |kind| match kind {
                Kind::Header => 1,
                Kind::Stanza => 2,
                Kind::Oversize => 3,
                Kind::End => 4,
                Kind::Malformed => 5,
                Kind::Error => panic!("left out"),
            });
            assert_eq!(frame, expected);
        }
        assert_eq!(len, 0);
    }

    pub fn tell(&mut self, fact: Fact, now: Duration) -> bool {
        use xmpp_close_fact::*;
        let (code, detail) = match &fact {
            Fact::Cancel => (XMPP_CLOSE_FACT_CANCEL, 0),
            Fact::PeerClosed { behind } => (XMPP_CLOSE_FACT_PEER_CLOSED, *behind),
            Fact::Malformed => (XMPP_CLOSE_FACT_MALFORMED, 0),
            Fact::Paused(paused) => (XMPP_CLOSE_FACT_PAUSED, (*paused).into()),
            Fact::Restarted { tls } => (XMPP_CLOSE_FACT_RESTARTED, *tls as u64),
            Fact::HeaderOut => (XMPP_CLOSE_FACT_HEADER_OUT, 0),
            Fact::Arrived(count) => (XMPP_CLOSE_FACT_ARRIVED, *count),
            Fact::Eof { inside } => (XMPP_CLOSE_FACT_EOF, (*inside).into()),
            Fact::Notified { inside } => (XMPP_CLOSE_FACT_NOTIFIED, (*inside).into()),
            Fact::ReadFailed(code) => (XMPP_CLOSE_FACT_READ_FAILED, *code as u64),
            Fact::WriteFailed(code) => (XMPP_CLOSE_FACT_WRITE_FAILED, *code as u64),
            Fact::TlsFailed => (XMPP_CLOSE_FACT_TLS_FAILED, 0),
            Fact::DidNotify => (XMPP_CLOSE_FACT_DID_NOTIFY, 0),
            Fact::DidShut => (XMPP_CLOSE_FACT_DID_SHUT, 0),
            Fact::Stanzas(count) => (XMPP_CLOSE_FACT_STANZAS, *count),
            Fact::Oversize(count) => (XMPP_CLOSE_FACT_OVERSIZE, *count),
            other => panic!("{other:?}"),
        };
        let told = self.rust.tell(fact, now).is_ok();
        // SAFETY: as above.
        let c = unsafe { xmpp_close_tell(self.c, code as u32, detail, ms(now)) };
        assert_eq!(c == 0, told);
        told
    }

    /// The peer's stream error, one that nobody can name.
    pub fn peer_error(&mut self, now: Duration) {
        self.rust.tell(Fact::StreamError(StreamError::new(Condition::Conflict).unwrap()), now).unwrap();
        // SAFETY: as above.
        assert_eq!(unsafe { xmpp_close_peer_error(self.c, ptr::null(), ms(now)) }, 0);
    }

    pub fn tick(&mut self, now: Duration) {
        self.rust.tick(now);
        // SAFETY: as above.
        assert_eq!(unsafe { xmpp_close_tick(self.c, ms(now)) }, self.bits());
    }

    /// What is wanted, in the numbers of C.
    fn bits(&self) -> u32 {
        use xmpp_close_want::*;
        let wants = self.rust.wants();
        [
            (wants.read(), XMPP_CLOSE_READ),
            (wants.write(), XMPP_CLOSE_WRITE),
            (wants.may_send(), XMPP_CLOSE_MAY_SEND),
            (wants.answer(), XMPP_CLOSE_ANSWER),
            (wants.parse(), XMPP_CLOSE_PARSE),
            (self.parses && self.rust.is_inside() && !wants.over(), XMPP_CLOSE_INSIDE),
            (wants.notify(), XMPP_CLOSE_NOTIFY),
            (wants.shut(), XMPP_CLOSE_SHUT),
            (wants.over(), XMPP_CLOSE_OVER),
        ]
        .into_iter()
        .map(|(is_set, bit)| u32::from(is_set) * bit as u32)
        .sum()
    }

    /// All that can be asked is answered alike.
    pub fn compare(&self, now: Duration, report: &Report) {
        // SAFETY: as above; the report says its size.
        unsafe {
            assert_eq!(xmpp_close_wants(self.c), self.bits());
            let left = self.rust.deadline().map(|deadline| deadline.saturating_sub(now).as_millis() as i32);
            assert_eq!(xmpp_close_timeout(self.c, ms(now)), left.unwrap_or(-1));
            let mut c: xmpp_close_report = std::mem::zeroed();
            c.struct_size = size_of::<xmpp_close_report>();
            assert_eq!(xmpp_close_get_report(self.c, &mut c), 0);
            assert_eq!(
                (c.outcome, c.tag_sent, c.tag_received),
                (report.outcome as u32, report.tag_sent.into(), report.tag_received.into())
            );
            assert_eq!(c.initiator, report.initiator.map_or(0, |initiator| initiator as u32));
            assert_eq!(
                (c.bytes_read, c.bytes_after_tag, c.bytes_unsent),
                (report.bytes_read, report.bytes_after_tag, report.bytes_unsent)
            );
            assert_eq!((u64::from(c.stanzas), u64::from(c.oversize)), (report.stanzas, report.oversize));
            assert_eq!((u128::from(c.elapsed_ms), c.refused), (report.elapsed.as_millis(), report.refused));
            assert_eq!(c.limit, report.limit.map_or(0, |limit| limit as u32));
        }
    }
}

impl Drop for Both {
    fn drop(&mut self) {
        // SAFETY: freed once.
        unsafe { xmpp_close_free(self.c) };
    }
}

fn ms(time: Duration) -> u64 {
    time.as_millis() as u64
}
