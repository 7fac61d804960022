//! A simple event loop around the engine of Rust or that of C. The loop owns the socket, the clock and perhaps the
//! parser.
#![allow(unsafe_code, reason = "half of this is the C API")]

use std::{
    io::{self, ErrorKind},
    ptr,
    time::{Duration, Instant},
};

use xmpp_close::{
    Condition, Engine, Fact, Found, Frame, Framer, Interest, StreamError, Transport,
    ffi::{self, xmpp_close_fact::*, xmpp_close_options, xmpp_close_report, xmpp_close_want::*},
};

use crate::local::codes::ECONNRESET;

/// The engine, here with the numbers of C for what it wants.
pub trait Machine {
    fn send(&mut self, bytes: &[u8]);
    fn finish(&mut self, now: Duration);
    fn detach(&mut self, now: Duration);
    fn output(&mut self) -> &[u8];
    fn wrote(&mut self, count: usize, pending: usize, now: Duration);
    fn received(&mut self, count: usize, now: Duration) -> bool;
    /// Goes on in what came, with the engine's own parser; a stanza, or something else, or nothing more.
    fn input(&mut self, data: &mut &[u8], now: Duration) -> Option<Option<Vec<u8>>>;
    /// So would the stream end, if it did now, as the engine's own parser sees it.
    fn is_inside(&self) -> bool;
    fn tell(&mut self, fact: Fact, now: Duration);
    fn tick(&mut self, now: Duration);
    fn wants(&self, what: ffi::xmpp_close_want) -> bool;
}

/// One close of one stream.
pub struct Loop<'a> {
    pub clock: Instant,
    pub transport: &'a mut dyn Transport,
    pub machine: &'a mut dyn Machine,
    /// The application has seen the peer's tag.
    pub peer_closed: bool,
    /// Reads what has arrived before it writes. Else it asks the socket how much that is, and writes first.
    pub reads_first: bool,
    /// The loop has a parser, which is not the engine's.
    pub own_parser: bool,
    pub detach: bool,
    /// Goes out before our tag.
    pub farewell: Vec<u8>,
    pub is_cancelled: &'a dyn Fn() -> bool,
    /// Takes a late stanza; false stops.
    pub on_stanza: &'a mut dyn FnMut(&[u8]) -> bool,
}

impl Loop<'_> {
    pub fn run(mut self) {
        let (mut framer, mut below_tls) = (Framer::inside(None), false);
        self.begin();
        loop {
            // One time for each round: what has arrived by then is read before the limits are applied.
            let now = self.clock.elapsed();
            if (self.is_cancelled)() {
                self.machine.tell(Fact::Cancel, now);
            }
            let moved = self.read(&mut framer, &mut below_tls, now) | self.write(now);
            self.machine.tick(now);
            if self.machine.wants(XMPP_CLOSE_NOTIFY) {
                let _ = self.transport.notify(); // a peer that is gone needs none
                self.machine.tell(Fact::DidNotify, now);
                self.machine.wrote(0, self.transport.try_flush().unwrap_or(0), now);
            }
            if self.machine.wants(XMPP_CLOSE_SHUT) {
                let _ = self.transport.shut();
                self.machine.tell(Fact::DidShut, now);
            }
            if self.machine.wants(XMPP_CLOSE_OVER) {
                return;
            }
            if !moved {
                let (read, write) = (self.machine.wants(XMPP_CLOSE_READ), self.machine.wants(XMPP_CLOSE_WRITE));
                self.transport.wait(Interest { read, write }, Duration::from_millis(10), None).unwrap();
            }
        }
    }

    fn begin(&mut self) {
        let now = self.clock.elapsed();
        if self.peer_closed {
            self.machine.tell(Fact::PeerClosed { behind: 0 }, now);
        }
        self.machine.send(&self.farewell);
        if !self.reads_first {
            self.machine.tell(Fact::Arrived(self.transport.unread()), now);
        }
        if self.detach {
            self.machine.detach(now);
        } else {
            self.machine.finish(now);
        }
        if !self.reads_first {
            self.write(now);
        }
    }

    /// Whether something moved.
    fn read(&mut self, framer: &mut Framer, below_tls: &mut bool, now: Duration) -> bool {
        let (mut buffer, mut moved) = (vec![0; 4096], false);
        while self.machine.wants(XMPP_CLOSE_READ) {
            let result =
                if *below_tls { self.transport.drain(&mut buffer) } else { self.transport.try_read(&mut buffer) };
            let inside = if self.own_parser { !framer.between_stanzas() } else { self.machine.is_inside() };
            let fact = match result {
                Ok(0) if self.transport.is_tls() && !*below_tls => {
                    *below_tls = true;
                    Fact::Notified { inside }
                }
                Ok(0) => Fact::Eof { inside },
                Ok(count) => {
                    moved = true;
                    if !self.own_parser {
                        self.hand_in(&buffer[..count], now);
                    } else if self.machine.received(count, now) {
                        self.parse(framer, &buffer[..count], now);
                    }
                    continue;
                }
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => continue,
                    ErrorKind::WouldBlock => break,
                    ErrorKind::UnexpectedEof => Fact::Eof { inside },
                    ErrorKind::InvalidData => Fact::TlsFailed,
                    _ => Fact::ReadFailed(code(&error)),
                },
            };
            moved = true;
            self.machine.tell(fact, now);
        }
        moved
    }

    fn hand_in(&mut self, mut rest: &[u8], now: Duration) {
        while let Some(found) = self.machine.input(&mut rest, now) {
            if found.is_some_and(|xml| !(self.on_stanza)(&xml)) {
                self.machine.tell(Fact::Cancel, now);
            }
        }
    }

    fn parse(&mut self, framer: &mut Framer, mut rest: &[u8], now: Duration) {
        while let Some(frame) = framer.next(&mut rest) {
            let fact = match frame {
                Frame::Stanza(xml) if xml.starts_with(b"<stream:error") => {
                    Fact::StreamError(StreamError::new(Condition::Conflict).unwrap())
                }
                Frame::Stanza(xml) => {
                    self.machine.tell(Fact::Stanzas(1), now);
                    if (self.on_stanza)(xml) {
                        continue;
                    }
                    Fact::Cancel
                }
                Frame::End => Fact::PeerClosed { behind: rest.len() as u64 },
                Frame::Malformed(_) => Fact::Malformed,
                other => panic!("{other:?}"),
            };
            self.machine.tell(fact, now);
            if !self.machine.wants(XMPP_CLOSE_PARSE) {
                return;
            }
        }
    }

    /// Whether something moved.
    fn write(&mut self, now: Duration) -> bool {
        let mut moved = false;
        while self.machine.wants(XMPP_CLOSE_WRITE) {
            let output = self.machine.output();
            let taken = if output.is_empty() { Ok(0) } else { self.transport.try_write(output) };
            let result = taken.and_then(|count| Ok((count, self.transport.try_flush()?)));
            match result {
                Ok((count, pending)) => {
                    self.machine.wrote(count, pending, now);
                    if count == 0 {
                        break;
                    }
                }
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::Interrupted => break,
                    ErrorKind::InvalidData => self.machine.tell(Fact::TlsFailed, now),
                    _ => self.machine.tell(Fact::WriteFailed(code(&error)), now),
                },
            }
            moved = true;
        }
        moved
    }
}

fn code(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(ECONNRESET)
}

impl Machine for Engine {
    fn send(&mut self, bytes: &[u8]) {
        Self::send(self, bytes).unwrap();
    }

    fn finish(&mut self, now: Duration) {
        Self::finish(self, None, now);
    }

    fn detach(&mut self, now: Duration) {
        Self::detach(self, now);
    }

    fn output(&mut self) -> &[u8] {
        Self::output(self)
    }

    fn wrote(&mut self, count: usize, pending: usize, now: Duration) {
        Self::wrote(self, count, pending, now);
    }

    fn received(&mut self, count: usize, now: Duration) -> bool {
        Self::received(self, count, now)
    }

    fn input(&mut self, data: &mut &[u8], now: Duration) -> Option<Option<Vec<u8>>> {
        Self::input(self, data, now).map(|found| match found {
            Found::Stanza(stanza) => Some(stanza.as_bytes().to_vec()),
            _ => None,
        })
    }

    fn is_inside(&self) -> bool {
        Self::is_inside(self)
    }

    fn tell(&mut self, fact: Fact, now: Duration) {
        Self::tell(self, fact, now).unwrap();
    }

    fn tick(&mut self, now: Duration) {
        Self::tick(self, now);
    }

    fn wants(&self, what: ffi::xmpp_close_want) -> bool {
        let wants = Self::wants(self);
        match what {
            XMPP_CLOSE_READ => wants.read(),
            XMPP_CLOSE_WRITE => wants.write(),
            XMPP_CLOSE_PARSE => wants.parse(),
            XMPP_CLOSE_NOTIFY => wants.notify(),
            XMPP_CLOSE_SHUT => wants.shut(),
            XMPP_CLOSE_OVER => wants.over(),
            other => panic!("{other:?}"),
        }
    }
}

/// The engine of the C API.
pub struct InC(*mut ffi::xmpp_close_stream);

impl InC {
    pub fn new(options: &xmpp_close_options) -> Self {
        let mut handle = ptr::null_mut();
        // SAFETY: the options say their size.
        assert_eq!(unsafe { ffi::xmpp_close_new(options, 0, &raw mut handle) }, 0);
        Self(handle)
    }

    pub fn report(&self, report: &mut xmpp_close_report) {
        // SAFETY: the handle is live, the report says its size.
        assert_eq!(unsafe { ffi::xmpp_close_get_report(self.0, report) }, 0);
    }
}

impl Drop for InC {
    fn drop(&mut self) {
        // SAFETY: freed once.
        unsafe { ffi::xmpp_close_free(self.0) }
    }
}

fn ms(time: Duration) -> u64 {
    time.as_millis() as u64
}

impl Machine for InC {
    fn send(&mut self, bytes: &[u8]) {
        // SAFETY: the handle is live, here and below.
        assert_eq!(unsafe { ffi::xmpp_close_send(self.0, bytes.as_ptr().cast(), bytes.len()) }, 0);
    }

    fn finish(&mut self, now: Duration) {
        // SAFETY: as above.
        assert_eq!(unsafe { ffi::xmpp_close_finish(self.0, ptr::null(), ms(now)) }, 0);
    }

    fn detach(&mut self, now: Duration) {
        // SAFETY: as above.
        assert_eq!(unsafe { ffi::xmpp_close_detach(self.0, ms(now)) }, 0);
    }

    fn output(&mut self) -> &[u8] {
        let mut bytes = ptr::null();
        // SAFETY: as above; so many bytes are there until the next call.
        unsafe {
            let len = ffi::xmpp_close_output(self.0, &raw mut bytes);
            if len == 0 { &[] } else { std::slice::from_raw_parts(bytes, len) }
        }
    }

    fn wrote(&mut self, count: usize, pending: usize, now: Duration) {
        // SAFETY: as above.
        assert_eq!(unsafe { ffi::xmpp_close_wrote(self.0, count, pending, ms(now)) }, 0);
    }

    fn received(&mut self, count: usize, now: Duration) -> bool {
        // SAFETY: as above.
        unsafe { ffi::xmpp_close_received(self.0, count, ms(now)) == 1 }
    }

    fn input(&mut self, data: &mut &[u8], now: Duration) -> Option<Option<Vec<u8>>> {
        let (mut at, mut len) = (data.as_ptr(), data.len());
        let (mut xml, mut xml_len) = (ptr::null(), 0);
        // SAFETY: as above; what is found has `xml_len` bytes until the next call.
        unsafe {
            let found =
                ffi::xmpp_close_input(self.0, &raw mut at, &raw mut len, ms(now), &raw mut xml, &raw mut xml_len);
            *data = &data[data.len() - len..];
            match found {
                0 => None, // more
                2 => Some(Some(std::slice::from_raw_parts(xml, xml_len).to_vec())),
                other => {
                    assert!(other > 0, "{other}");
                    Some(None)
                }
            }
        }
    }

    fn is_inside(&self) -> bool {
        self.wants(XMPP_CLOSE_INSIDE)
    }

    fn tell(&mut self, fact: Fact, now: Duration) {
        let (fact, detail) = match fact {
            Fact::Cancel => (XMPP_CLOSE_FACT_CANCEL, 0),
            Fact::PeerClosed { behind } => (XMPP_CLOSE_FACT_PEER_CLOSED, behind),
            Fact::Malformed => (XMPP_CLOSE_FACT_MALFORMED, 0),
            Fact::Arrived(bytes) => (XMPP_CLOSE_FACT_ARRIVED, bytes),
            Fact::Eof { inside } => (XMPP_CLOSE_FACT_EOF, inside.into()),
            Fact::Notified { inside } => (XMPP_CLOSE_FACT_NOTIFIED, inside.into()),
            Fact::ReadFailed(code) => (XMPP_CLOSE_FACT_READ_FAILED, code as u64),
            Fact::WriteFailed(code) => (XMPP_CLOSE_FACT_WRITE_FAILED, code as u64),
            Fact::TlsFailed => (XMPP_CLOSE_FACT_TLS_FAILED, 0),
            Fact::DidNotify => (XMPP_CLOSE_FACT_DID_NOTIFY, 0),
            Fact::DidShut => (XMPP_CLOSE_FACT_DID_SHUT, 0),
            Fact::Stanzas(count) => (XMPP_CLOSE_FACT_STANZAS, count),
            Fact::StreamError(_) => {
                // SAFETY: as above.
                return assert_eq!(unsafe { ffi::xmpp_close_peer_error(self.0, ptr::null(), ms(now)) }, 0);
            }
            other => panic!("{other:?}"),
        };
        // SAFETY: as above.
        assert_eq!(unsafe { ffi::xmpp_close_tell(self.0, fact as u32, detail, ms(now)) }, 0);
    }

    fn tick(&mut self, now: Duration) {
        // SAFETY: as above.
        let _ = unsafe { ffi::xmpp_close_tick(self.0, ms(now)) };
    }

    fn wants(&self, what: ffi::xmpp_close_want) -> bool {
        // SAFETY: as above.
        unsafe { ffi::xmpp_close_wants(self.0) & what as u32 != 0 }
    }
}
