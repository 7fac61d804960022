//! Nine endings, nine outcome values: the same through Rust's close, `xmpp_close_fd`, `xmpp_close_with`, and the state
//! machine in an event loop, from Rust and from C. (`ffi-tests/endings.c` has more rows, for C alone.)
#![allow(unsafe_code, reason = "most of this is the C API")]

#[path = "support/peer.rs"]
mod peer;

use std::{
    cell::Cell,
    ffi::{c_int, c_void},
    io::{self, ErrorKind},
    net::TcpStream,
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    ptr,
    sync::mpsc::{Receiver, channel},
    time::{Duration, Instant},
};

use peer::{PATIENCE, Peer, TAG};
use xmpp_close::{
    Action, Canceller, CloseOptions, Closing, Event, Frame, Framer, Handshake, Interest, Limits, Outcome, Transport,
    ffi::{self, xmpp_close_options, xmpp_close_report, xmpp_close_transport},
};

/// What a row sets beside the script of the peer.
#[derive(Clone, Copy, PartialEq)]
enum Setting {
    Plain,
    /// The application has seen the peer's tag.
    PeerClosed,
    /// Our last bytes do not fit into any buffer.
    BigFarewell,
    /// The application stops at the first late stanza.
    Stop,
    /// The stream runs over [`ToyTls`].
    Tls,
}
use Setting::*;

/// The second argument gets its end when our side has closed its socket.
type Script = fn(&mut Peer, &Receiver<()>);

#[rustfmt::skip]
const ROWS: [(&str, Outcome, Setting, Script); 14] = [
    ("both tags, ours first", Outcome::Clean, Plain, |peer, _| { peer.read_tag().send("<message/>").send(TAG).expect_eof(); }),
    ("both tags, theirs first", Outcome::Clean, PeerClosed, |peer, _| { peer.read_tag().expect_eof(); }),
    ("both tags, crossing", Outcome::Clean, BigFarewell, |peer, _| { peer.send(TAG).read_tag().expect_eof(); }),
    ("an end between stanzas", Outcome::PeerEof, Plain, |peer, _| { peer.read_tag().send("<message/>"); }),
    ("an end inside a stanza", Outcome::Truncated, Plain, |peer, _| { peer.read_tag().send("<message><body>"); }),
    ("an end inside the tag", Outcome::Truncated, Plain, |peer, _| { peer.read_tag().send("</stream:stream"); }),
    ("an end of TCP without close_notify", Outcome::Truncated, Tls, |peer, _| { peer.read_tag().send("<message/>"); }),
    ("a reset", Outcome::Reset, Plain, |peer, _| { peer.read_tag().reset_at_drop(); }),
    ("silence", Outcome::TimedOut, Plain, |peer, over| { peer.read_tag(); let _ = over.recv(); }),
    ("a peer that does not read", Outcome::Stalled, BigFarewell, |_, over| { let _ = over.recv(); }),
    ("what is not XML", Outcome::Malformed, Plain, |peer, _| { peer.read_tag().send("<a></b>").expect_eof(); }),
    ("what is not XMPP", Outcome::Malformed, Plain, |peer, _| { peer.read_tag().send("<!-- x -->").expect_eof(); }),
    ("a failure of TLS", Outcome::TlsFailed, Tls, |peer, over| { peer.read_tag().send("<message/>\u{1}"); let _ = over.recv(); }),
    ("the application stops it", Outcome::Cancelled, Stop, |peer, over| { peer.read_tag().send("<a/><b/>"); let _ = over.recv(); }),
];

type Close = fn(&TcpStream, Outcome, Setting) -> (u32, u32);

#[test]
fn each_ending_has_its_outcome_through_every_api() {
    let apis: [(&str, Close); 5] = [
        ("Rust", through_rust),
        ("event loop in Rust", through_event_loop),
        ("xmpp_close_fd", through_fd),
        ("xmpp_close_with", through_with),
        ("xmpp_close_handshake_*", through_c_handshake),
    ];
    let mut wrong = Vec::new();
    let mut outcomes = std::collections::HashSet::new();
    for (name, outcome, setting, script) in ROWS {
        let mut initiators = Vec::new();
        for (api, close) in apis {
            if setting == Tls && api == "xmpp_close_fd" {
                continue; // a plain socket has no TLS
            }
            // Small enough that no single write takes all of a big farewell, however fast the peer reads.
            let (ours, theirs) = peer::pair_with_buffers(1 << 16);
            let (over, is_over) = channel();
            let peer = peer::peer(theirs, move |mut peer| script(&mut peer, &is_over));
            if (outcome, setting) == (Outcome::Clean, BigFarewell) {
                // A crossing: their tag has come before ours can be written.
                peer::wait_until(|| ours.peek(&mut [0; 64]).unwrap() == TAG.len());
            }
            let (got, initiator) = close(&ours, outcome, setting);
            drop((ours, over));
            peer.join().unwrap_or_else(|_| panic!("{name}, {api}: the peer"));
            if got != outcome as u32 {
                wrong.push(format!("{name}, {api}: {:?}, not {outcome:?}", Outcome::ALL[got as usize]));
            }
            initiators.push(initiator);
        }
        initiators.dedup();
        assert_eq!(initiators.len(), 1, "{name}: who began depends on the API");
        outcomes.insert(outcome);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(outcomes.len(), 9);
}

fn total(outcome: Outcome) -> Duration {
    match outcome {
        Outcome::TimedOut | Outcome::Stalled => Duration::from_millis(300),
        _ => PATIENCE,
    }
}

fn farewell(setting: Setting) -> Vec<u8> {
    if setting == BigFarewell { b"<presence/>".repeat(1_000_000) } else { Vec::new() }
}

/// TLS for tests: the byte 1, which no XML holds, is a fatal alert, and the end of TCP comes without `close_notify`.
struct ToyTls<'a> {
    socket: BorrowedFd<'a>,
    failed: bool,
}

impl<'a> ToyTls<'a> {
    fn over(tcp: &'a TcpStream) -> Self {
        Self { socket: tcp.as_fd(), failed: false }
    }
}

impl Transport for ToyTls<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = if self.failed { 0 } else { Transport::read(&mut self.socket, buf)? };
        let alert = buf[..count].iter().position(|byte| *byte == 1);
        match alert.unwrap_or(count) {
            0 if self.failed || alert.is_some() => Err(ErrorKind::InvalidData.into()),
            0 => Err(ErrorKind::UnexpectedEof.into()),
            plain => {
                self.failed = alert.is_some();
                Ok(plain)
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Transport::write(&mut self.socket, bytes)
    }

    fn end_output(&mut self) -> io::Result<()> {
        Transport::end_output(&mut self.socket)
    }

    fn wait(&mut self, what: Interest, limit: Duration, wake: Option<BorrowedFd<'_>>) -> io::Result<Interest> {
        Transport::wait(&mut self.socket, what, limit, wake)
    }

    fn is_tls(&self) -> bool {
        true
    }
}

fn through_rust(tcp: &TcpStream, outcome: Outcome, setting: Setting) -> (u32, u32) {
    let canceller = Canceller::new().unwrap();
    let options = CloseOptions::new()
        .total(total(outcome))
        .no_progress(PATIENCE)
        .linger(PATIENCE)
        .farewell(farewell(setting))
        .peer_closed(setting == PeerClosed)
        .canceller(&canceller);
    fn run<T: Transport>(mut closing: Closing<T>, stop: Option<&Canceller>) -> (u32, u32) {
        for _ in &mut closing {
            stop.inspect(|canceller| canceller.cancel());
        }
        let report = closing.finish();
        (report.outcome as u32, report.initiator.map_or(0, |initiator| initiator as u32))
    }
    let stop = (setting == Stop).then_some(&canceller);
    if setting == Tls {
        run(options.begin(ToyTls::over(tcp)).unwrap(), stop)
    } else {
        run(options.begin(tcp.as_fd()).unwrap(), stop)
    }
}

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
    let mut transport: Box<dyn Transport> =
        if setting == Tls { Box::new(ToyTls::over(tcp)) } else { Box::new(tcp.as_fd()) };
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

fn through_event_loop(tcp: &TcpStream, outcome: Outcome, setting: Setting) -> (u32, u32) {
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

fn through_c_handshake(tcp: &TcpStream, outcome: Outcome, setting: Setting) -> (u32, u32) {
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

fn empty_report() -> xmpp_close_report {
    // SAFETY: plain numbers, like XMPP_CLOSE_REPORT_INIT.
    let mut report: xmpp_close_report = unsafe { std::mem::zeroed() };
    report.struct_size = size_of::<xmpp_close_report>();
    report
}

fn c_options(outcome: Outcome, setting: Setting, farewell: &[u8]) -> xmpp_close_options {
    unsafe extern "C" fn stop(_: *mut c_void, _: *const u8, _: usize) -> c_int {
        1
    }
    // SAFETY: numbers and pointers, like XMPP_CLOSE_OPTIONS_INIT.
    let mut options: xmpp_close_options = unsafe { std::mem::zeroed() };
    options.struct_size = size_of::<xmpp_close_options>();
    options.total_ms = total(outcome).as_millis() as u32;
    options.idle_ms = PATIENCE.as_millis() as u32;
    options.linger_ms = PATIENCE.as_millis() as u32;
    options.peer_closed = (setting == PeerClosed).into();
    options.farewell = farewell.as_ptr().cast();
    options.farewell_len = farewell.len();
    options.on_stanza = (setting == Stop).then_some(stop);
    options
}

fn through_fd(tcp: &TcpStream, outcome: Outcome, setting: Setting) -> (u32, u32) {
    let farewell = farewell(setting);
    let options = c_options(outcome, setting, &farewell);
    let mut report = empty_report();
    // SAFETY: all pointers are to live values that say their size.
    assert_eq!(unsafe { ffi::xmpp_close_fd(tcp.as_raw_fd(), &raw const options, &raw mut report) }, 0);
    (report.outcome, report.initiator)
}

fn through_with(tcp: &TcpStream, outcome: Outcome, setting: Setting) -> (u32, u32) {
    fn answer(result: io::Result<usize>, count: &mut usize) -> c_int {
        match result {
            Ok(moved) => {
                *count = moved;
                0
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock => libc::EAGAIN,
                ErrorKind::UnexpectedEof => -3, // XMPP_CLOSE_TLS_EOF
                ErrorKind::InvalidData => -4,   // XMPP_CLOSE_TLS_ERROR
                _ => error.raw_os_error().unwrap(),
            },
        }
    }
    // SAFETY: `transport` is the Box below, the buffer has `len` bytes, and `n` points to a number.
    unsafe extern "C" fn read(transport: *mut c_void, buf: *mut u8, len: usize, n: *mut usize) -> c_int {
        // SAFETY: as said above.
        unsafe {
            let transport = &mut *transport.cast::<Box<dyn Transport>>();
            answer(transport.read(std::slice::from_raw_parts_mut(buf, len)), &mut *n)
        }
    }
    // SAFETY: as above.
    unsafe extern "C" fn write(transport: *mut c_void, buf: *const u8, len: usize, n: *mut usize) -> c_int {
        // SAFETY: as said above.
        unsafe {
            let transport = &mut *transport.cast::<Box<dyn Transport>>();
            answer(transport.write(std::slice::from_raw_parts(buf, len)), &mut *n)
        }
    }
    // SAFETY: as above.
    unsafe extern "C" fn end_output(transport: *mut c_void) -> c_int {
        // SAFETY: as said above.
        let transport = unsafe { &mut *transport.cast::<Box<dyn Transport>>() };
        answer(transport.end_output().map(|()| 0), &mut 0)
    }
    let mut callbacks: Box<dyn Transport> =
        if setting == Tls { Box::new(ToyTls::over(tcp)) } else { Box::new(tcp.as_fd()) };
    let transport = xmpp_close_transport {
        struct_size: size_of::<xmpp_close_transport>(),
        userdata: (&raw mut callbacks).cast(),
        read: Some(read),
        write: Some(write),
        end_output: Some(end_output),
        fd: tcp.as_raw_fd(),
        tls: (setting == Tls).into(),
    };
    let farewell = farewell(setting);
    let options = c_options(outcome, setting, &farewell);
    let mut report = empty_report();
    // SAFETY: all pointers are to live values that say their size.
    let result = unsafe { ffi::xmpp_close_with(&raw const transport, &raw const options, &raw mut report) };
    assert_eq!(result, 0);
    (report.outcome, report.initiator)
}

/// TLS whose `close_notify` fails.
struct NoNotify<'a>(ToyTls<'a>, &'a Cell<u32>);

impl Transport for NoNotify<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn end_output(&mut self) -> io::Result<()> {
        self.1.set(self.1.get() + 1);
        Err(ErrorKind::InvalidData.into())
    }

    fn wait(&mut self, what: Interest, limit: Duration, wake: Option<BorrowedFd<'_>>) -> io::Result<Interest> {
        self.0.wait(what, limit, wake)
    }

    fn is_tls(&self) -> bool {
        true
    }
}

#[test]
fn a_tls_layer_that_failed_is_left_alone() {
    // TL-12: OpenSSL forbids SSL_shutdown after a fatal error.
    let (ours, theirs) = peer::pair();
    let peer = peer::peer(theirs, |mut peer| {
        peer.read_tag().send(TAG);
        peer.rest().unwrap_or_default();
    });
    let ends = Cell::new(0);
    let report = CloseOptions::new().close(NoNotify(ToyTls::over(&ours), &ends)).unwrap();
    assert_eq!((report.outcome, report.tls.sent, ends.get()), (Outcome::Clean, false, 1), "{report}");
    drop(ours);
    peer.join().unwrap();
}
