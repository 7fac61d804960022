//! An event loop of the simplest kind, with the socket, the parser and the clock in its own hands, around the state
//! machine of Rust or that of C.
#![allow(unsafe_code, reason = "half of this is the C API")]

use std::{
    io::ErrorKind,
    mem, ptr,
    time::{Duration, Instant},
};

use xmpp_close::{
    Action, Event, Frame, Framer, Handshake, Interest, Transport,
    ffi::{self, xmpp_close_options, xmpp_close_report},
};

use crate::peer::TAG;

pub trait Machine {
    fn handle(&mut self, event: Event, now: Duration) -> Action;
}

impl Machine for Handshake {
    fn handle(&mut self, event: Event, now: Duration) -> Action {
        Handshake::handle(self, event, now)
    }
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
    pub detach: bool,
    /// Goes out before our tag.
    pub farewell: Vec<u8>,
    pub is_cancelled: &'a dyn Fn() -> bool,
    /// Takes a late stanza; false stops.
    pub on_stanza: &'a mut dyn FnMut(&[u8]) -> bool,
    pub output: Output,
}

/// What is still to be written, and whether it is to be ended.
#[derive(Default)]
pub struct Output {
    queue: Vec<u8>,
    ending: bool,
    over: bool,
}

impl Loop<'_> {
    pub fn run(mut self) {
        let (mut reads, mut below_tls, mut discards) = (true, false, self.peer_closed || self.detach);
        let (mut framer, mut buffer) = (Framer::inside(None), vec![0; 4096]);
        self.begin();
        while !self.output.over {
            // One time for each round: what has arrived by then is read before the limits are applied.
            let now = self.clock.elapsed();
            let mut idle = true;
            if (self.is_cancelled)() {
                self.tell(Event::Cancel, now);
            }
            while reads && !self.output.over {
                let inside = !discards && !framer.between_stanzas();
                let Some(event) = self.read(&mut buffer, inside, below_tls) else { break };
                idle = false;
                below_tls |= matches!(event, Event::CloseNotify { .. });
                reads = matches!(event, Event::Received(_) | Event::CloseNotify { .. });
                self.tell(event, now);
                let Event::Received(count) = event else { continue };
                let mut rest = &buffer[..count];
                while !discards {
                    let Some(frame) = framer.next(&mut rest) else { break };
                    discards = matches!(frame, Frame::End | Frame::Malformed(_));
                    let event = match frame {
                        Frame::Stanza(xml) if xml.starts_with(b"<stream:error") => Event::StreamError,
                        Frame::Stanza(xml) if (self.on_stanza)(xml) => Event::Stanza,
                        Frame::Stanza(_) => Event::Cancel,
                        Frame::End => Event::PeerClosed,
                        Frame::Malformed(_) => Event::Malformed,
                        other => panic!("{other:?}"),
                    };
                    self.tell(event, now);
                }
            }
            idle &= !self.write(now);
            self.tell(Event::Tick, now);
            if idle && !self.output.over {
                let what = Interest { read: reads, write: !self.output.queue.is_empty() };
                self.transport.wait(what, Duration::from_millis(10), None).unwrap();
            }
        }
    }

    fn tell(&mut self, event: Event, now: Duration) {
        match self.machine.handle(event, now) {
            Action::SendTag => self.output.queue = [&self.farewell[..], TAG.as_bytes()].concat(),
            Action::EndOutput => self.output.ending = true,
            Action::Teardown => self.output.over = true,
            _ => {}
        }
    }

    fn begin(&mut self) {
        if self.peer_closed {
            self.tell(Event::PeerClosed, self.clock.elapsed());
        }
        if !self.reads_first {
            let unread = usize::try_from(self.transport.unread()).unwrap();
            self.tell(Event::Arrived(unread), self.clock.elapsed());
        }
        self.tell(if self.detach { Event::Detach } else { Event::Begin }, self.clock.elapsed());
        if self.detach {
            self.output.queue = mem::take(&mut self.farewell);
            if self.output.queue.is_empty() {
                self.tell(Event::Flushed, self.clock.elapsed());
            }
        }
        if !self.reads_first {
            self.write(self.clock.elapsed());
        }
    }

    /// `None` when nothing has come.
    fn read(&mut self, buffer: &mut [u8], inside: bool, below_tls: bool) -> Option<Event> {
        loop {
            let result = if below_tls { self.transport.drain(buffer) } else { self.transport.try_read(buffer) };
            return Some(match result {
                Ok(0) if self.transport.is_tls() && !below_tls => Event::CloseNotify { inside },
                Ok(0) => Event::Eof { inside },
                Ok(count) => Event::Received(count),
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => continue,
                    ErrorKind::WouldBlock => return None,
                    ErrorKind::UnexpectedEof => Event::Truncated,
                    ErrorKind::InvalidData => Event::TlsFailed,
                    _ => Event::Failed(error.raw_os_error().unwrap_or(libc::ECONNRESET)),
                },
            });
        }
    }

    /// Whether something moved.
    fn write(&mut self, now: Duration) -> bool {
        if self.output.over {
            return false;
        }
        if self.output.queue.is_empty() {
            if mem::take(&mut self.output.ending) {
                let _ = self.transport.end_output(); // a peer that is gone needs none
                self.tell(Event::Flushed, now);
            }
            return false;
        }
        let event = match self.transport.try_write(&self.output.queue) {
            Ok(count) => {
                self.output.queue.drain(..count);
                if self.output.queue.is_empty() { Event::Flushed } else { Event::Written(count) }
            }
            Err(error) => {
                match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::Interrupted => return false,
                    _ => self.output.queue.clear(),
                }
                let code = error.raw_os_error().unwrap_or(libc::EPIPE);
                if error.kind() == ErrorKind::InvalidData { Event::TlsFailed } else { Event::OutputFailed(code) }
            }
        };
        self.tell(event, now);
        true
    }
}

/// The machine of the C API.
pub struct InC(*mut ffi::xmpp_close_handshake);

impl InC {
    pub fn new(options: &xmpp_close_options) -> Self {
        let mut handle = ptr::null_mut();
        // SAFETY: the options say their size.
        assert_eq!(unsafe { ffi::xmpp_close_handshake_new(options, 0, &raw mut handle) }, 0);
        Self(handle)
    }

    pub fn report(&self, report: &mut xmpp_close_report) {
        // SAFETY: the handle is live, the report says its size.
        assert_eq!(unsafe { ffi::xmpp_close_handshake_report(self.0, report) }, 0);
    }
}

impl Drop for InC {
    fn drop(&mut self) {
        // SAFETY: freed once.
        unsafe { ffi::xmpp_close_handshake_free(self.0) }
    }
}

impl Machine for InC {
    fn handle(&mut self, event: Event, now: Duration) -> Action {
        let (h, now) = (self.0, now.as_millis() as u64);
        // SAFETY: `h` is a live handle.
        let action = unsafe {
            match event {
                Event::Begin => ffi::xmpp_close_handshake_begin(h, now),
                Event::Detach => ffi::xmpp_close_handshake_detach(h, now),
                Event::Arrived(count) => ffi::xmpp_close_handshake_arrived(h, count, now),
                Event::Written(count) => ffi::xmpp_close_handshake_written(h, count, now),
                Event::Flushed => ffi::xmpp_close_handshake_flushed(h, now),
                Event::Received(count) => ffi::xmpp_close_handshake_received(h, count, now),
                Event::Stanza => ffi::xmpp_close_handshake_stanza(h, now),
                Event::StreamError => ffi::xmpp_close_handshake_stream_error(h, ptr::null(), now),
                Event::PeerClosed => ffi::xmpp_close_handshake_peer_closed(h, now),
                Event::Malformed => ffi::xmpp_close_handshake_malformed(h, now),
                Event::Eof { inside: false } => ffi::xmpp_close_handshake_eof(h, now),
                Event::CloseNotify { inside: false } => ffi::xmpp_close_handshake_close_notify(h, now),
                Event::Eof { .. } | Event::CloseNotify { .. } | Event::Truncated => {
                    ffi::xmpp_close_handshake_truncated(h, now)
                }
                Event::Failed(code) => ffi::xmpp_close_handshake_failed(h, code, now),
                Event::OutputFailed(code) => ffi::xmpp_close_handshake_output_failed(h, code, now),
                Event::TlsFailed => ffi::xmpp_close_handshake_tls_failed(h, now),
                Event::Cancel => ffi::xmpp_close_handshake_cancel(h, now),
                Event::Tick => ffi::xmpp_close_handshake_tick(h, now),
                other => panic!("{other:?}"),
            }
        };
        [Action::Nothing, Action::SendTag, Action::Answer, Action::EndOutput, Action::Teardown][action as usize]
    }
}
