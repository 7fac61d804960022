//! The calls of the C API that close.
#![allow(unsafe_code, reason = "this is the C API")]

use std::{
    cell::Cell,
    ffi::{c_int, c_void},
    io,
    net::TcpStream,
    ptr,
    time::Duration,
};

use xmpp_close::{
    Limit, Outcome,
    ffi::{self, xmpp_close_options, xmpp_close_report, xmpp_close_want::*},
};

use crate::{
    callbacks::{self, Callbacks},
    case::{Case, Ending},
    local::{codes::EAGAIN, lent, number},
    peer::{self, PATIENCE},
    phases,
    rows::Setting,
    rust::{events, poll_for},
    toy_tls::transport,
};

pub fn empty_report() -> xmpp_close_report {
    // SAFETY: plain numbers, like XMPP_CLOSE_REPORT_INIT.
    let mut report: xmpp_close_report = unsafe { std::mem::zeroed() };
    report.struct_size = size_of::<xmpp_close_report>();
    report
}

/// Limits that end nothing.
pub fn plain_options(farewell: &[u8]) -> xmpp_close_options {
    // SAFETY: numbers and pointers, like XMPP_CLOSE_OPTIONS_INIT.
    let mut options: xmpp_close_options = unsafe { std::mem::zeroed() };
    options.struct_size = size_of::<xmpp_close_options>();
    options.total_ms = ms(PATIENCE);
    options.no_progress_ms = ms(PATIENCE);
    options.linger_ms = ms(PATIENCE);
    options.farewell = farewell.as_ptr().cast();
    options.farewell_len = farewell.len();
    options.on_log = Some(phases::on_log);
    options
}

fn ms(limit: Duration) -> u32 {
    limit.as_millis() as u32
}

unsafe extern "C" fn stop(_: *mut c_void, _: *const u8, _: usize) -> c_int {
    1
}

pub fn c_options(case: &Case, farewell: &[u8]) -> xmpp_close_options {
    let mut options = plain_options(farewell);
    options.total_ms = ms(case.limit(Limit::Total));
    options.no_progress_ms = ms(case.limit(Limit::NoProgress));
    options.linger_ms = ms(case.limit(Limit::Linger));
    options.half_close = case.is(Setting::HalfClose).into();
    options.peer_closed = case.row.setting.peer_closed().into();
    options.on_stanza = case.is(Setting::Stop).then_some(stop);
    options
}

/// A call that closes, and gives its report.
pub type Close = fn(&TcpStream, bool, &xmpp_close_options) -> xmpp_close_report;

pub fn with_fd(tcp: &TcpStream, _: bool, options: &xmpp_close_options) -> xmpp_close_report {
    let mut report = empty_report();
    // SAFETY: all pointers are to live values that say their size.
    assert_eq!(unsafe { ffi::xmpp_close_fd(number(tcp), options, &raw mut report) }, 0);
    report
}

pub fn with_callbacks(tcp: &TcpStream, tls: bool, options: &xmpp_close_options) -> xmpp_close_report {
    let mut userdata: Box<dyn Callbacks> = Box::new(transport(tcp, tls));
    let transport = callbacks::transport(&mut userdata, number(tcp), tls);
    let mut report = empty_report();
    // SAFETY: all pointers are to live values that say their size.
    assert_eq!(unsafe { ffi::xmpp_close_with(&raw const transport, options, &raw mut report) }, 0);
    report
}

/// A batch of one stream, which `add` puts in, and `drive` brings to its end.
fn with_batch(
    add: impl FnOnce(*mut ffi::xmpp_close_batch) -> c_int,
    drive: fn(*mut ffi::xmpp_close_batch),
) -> xmpp_close_report {
    let mut batch = ptr::null_mut();
    let mut report = empty_report();
    // SAFETY: stored on success.
    assert_eq!(unsafe { ffi::xmpp_close_batch_new(&raw mut batch) }, 0);
    assert_eq!(add(batch), 0);
    drive(batch);
    // SAFETY: the batch is live and freed once, the report says its size.
    unsafe {
        assert_eq!(ffi::xmpp_close_batch_report(batch, 0, &raw mut report), 0);
        ffi::xmpp_close_batch_free(batch);
    }
    report
}

fn run(batch: *mut ffi::xmpp_close_batch) {
    // SAFETY: numbers and pointers, like XMPP_CLOSE_BATCH_OPTIONS_INIT.
    let mut options: ffi::xmpp_close_batch_options = unsafe { std::mem::zeroed() };
    options.struct_size = size_of::<ffi::xmpp_close_batch_options>();
    options.total_ms = 2 * ms(PATIENCE);
    // SAFETY: the batch is live, the options say their size.
    assert_eq!(unsafe { ffi::xmpp_close_batch_run(batch, &raw const options, ptr::null_mut()) }, 0);
}

/// As an event loop does that watches the descriptor of the batch.
#[cfg(unix)]
fn turn(batch: *mut ffi::xmpp_close_batch) {
    loop {
        // SAFETY: the batch is live, and its descriptor open.
        let (left, fd, timeout) = unsafe {
            let left = ffi::xmpp_close_batch_turn(batch, 0);
            let fd = std::os::fd::BorrowedFd::borrow_raw(ffi::xmpp_close_batch_fd(batch));
            (left, fd, ffi::xmpp_close_batch_timeout(batch))
        };
        assert!(left >= 0, "{left}");
        if left == 0 {
            return;
        }
        poll_for(fd, events(true, false), timeout);
    }
}

/// As a program does where a batch has no descriptor.
#[cfg(windows)]
fn turn(batch: *mut ffi::xmpp_close_batch) {
    // SAFETY: the batch is live.
    unsafe {
        assert_eq!(ffi::xmpp_close_batch_fd(batch), crate::local::NONE);
        while ffi::xmpp_close_batch_turn(batch, ms(PATIENCE) as c_int) > 0 {}
    }
}

fn in_batch(tcp: &TcpStream, options: &xmpp_close_options, drive: fn(*mut ffi::xmpp_close_batch)) -> xmpp_close_report {
    // What the batch needs of the options it copies.
    let options = Box::new(*options);
    let add = move |batch| {
        // SAFETY: both are live, and the socket outlives the batch.
        unsafe { ffi::xmpp_close_batch_add(batch, number(tcp), &raw const *options, ptr::null_mut()) }
    };
    with_batch(add, drive)
}

fn in_batch_with(
    tcp: &TcpStream,
    tls: bool,
    options: &xmpp_close_options,
    drive: fn(*mut ffi::xmpp_close_batch),
) -> xmpp_close_report {
    let mut userdata: Box<dyn Callbacks> = Box::new(transport(tcp, tls));
    let transport = callbacks::transport(&mut userdata, number(tcp), tls);
    let add = |batch| {
        // SAFETY: all are live, and what the callbacks use outlives the batch.
        unsafe { ffi::xmpp_close_batch_add_with(batch, &raw const transport, options, ptr::null_mut()) }
    };
    with_batch(add, drive)
}

pub fn with_batch_add(tcp: &TcpStream, _: bool, options: &xmpp_close_options) -> xmpp_close_report {
    in_batch(tcp, options, run)
}

pub fn with_batch_add_with(tcp: &TcpStream, tls: bool, options: &xmpp_close_options) -> xmpp_close_report {
    in_batch_with(tcp, tls, options, run)
}

fn with_turns(tcp: &TcpStream, _: bool, options: &xmpp_close_options) -> xmpp_close_report {
    in_batch(tcp, options, turn)
}

fn with_turns_with(tcp: &TcpStream, tls: bool, options: &xmpp_close_options) -> xmpp_close_report {
    in_batch_with(tcp, tls, options, turn)
}

/// Steps in a loop of the caller's own, once it is closed.
fn step(s: *mut ffi::xmpp_close_stream, tcp: &TcpStream) -> xmpp_close_report {
    let mut report = empty_report();
    // SAFETY: the handle is live and freed once, the report says its size.
    unsafe {
        assert_eq!(ffi::xmpp_close_finish(s, ptr::null(), 0), 0);
        loop {
            let wants = ffi::xmpp_close_step(s);
            if wants & XMPP_CLOSE_OVER as u32 != 0 {
                break;
            }
            let has = |want| wants & want as u32 != 0;
            let on = events(has(XMPP_CLOSE_READ), has(XMPP_CLOSE_WRITE));
            poll_for(lent(tcp), on, ffi::xmpp_close_timeout(s, 0));
        }
        assert_eq!(ffi::xmpp_close_get_report(s, &raw mut report), 0);
        ffi::xmpp_close_free(s);
    }
    report
}

fn with_start(tcp: &TcpStream, _: bool, options: &xmpp_close_options) -> xmpp_close_report {
    let mut s = ptr::null_mut();
    // SAFETY: the options say their size; stored on success.
    assert_eq!(unsafe { ffi::xmpp_close_start(number(tcp), options, &raw mut s) }, 0);
    step(s, tcp)
}

/// A started stream over callbacks, for as long as `drive` takes.
fn started(
    tcp: &TcpStream,
    tls: bool,
    options: &xmpp_close_options,
    drive: impl FnOnce(*mut ffi::xmpp_close_stream) -> xmpp_close_report,
) -> xmpp_close_report {
    let mut userdata: Box<dyn Callbacks> = Box::new(transport(tcp, tls));
    let transport = callbacks::transport(&mut userdata, number(tcp), tls);
    let mut s = ptr::null_mut();
    // SAFETY: all pointers are to live values that say their size; what the callbacks use outlives the stream.
    assert_eq!(unsafe { ffi::xmpp_close_start_with(&raw const transport, options, &raw mut s) }, 0);
    drive(s)
}

fn with_start_with(tcp: &TcpStream, tls: bool, options: &xmpp_close_options) -> xmpp_close_report {
    started(tcp, tls, options, |s| step(s, tcp))
}

/// The stream stays its program's, and says of itself what the batch says of it.
fn with_turns_of_a_stream(tcp: &TcpStream, tls: bool, options: &xmpp_close_options) -> xmpp_close_report {
    started(tcp, tls, options, |s| {
        // SAFETY: both are live.
        let of_batch = with_batch(|batch| unsafe { ffi::xmpp_close_batch_add_stream(batch, s, ptr::null_mut()) }, turn);
        let mut report = empty_report();
        // SAFETY: the handle is live and freed once, the report says its size.
        unsafe {
            assert_eq!(ffi::xmpp_close_get_report(s, &raw mut report), 0);
            ffi::xmpp_close_free(s);
        }
        assert_eq!(Ending::from(&report), Ending::from(&of_batch));
        report
    })
}

fn close(how: Close, case: &Case) -> Ending {
    let farewell = case.farewell();
    Ending::from(&how(case.tcp, case.tls, &c_options(case, &farewell)))
}

pub fn through_fd(case: &Case) -> Ending {
    close(with_fd, case)
}

pub fn through_with(case: &Case) -> Ending {
    close(with_callbacks, case)
}

pub fn through_start(case: &Case) -> Ending {
    close(with_start, case)
}

pub fn through_start_with(case: &Case) -> Ending {
    close(with_start_with, case)
}

pub fn through_batch_add(case: &Case) -> Ending {
    close(with_batch_add, case)
}

pub fn through_batch_add_with(case: &Case) -> Ending {
    close(with_batch_add_with, case)
}

pub fn through_turns(case: &Case) -> Ending {
    close(with_turns, case)
}

pub fn through_turns_with(case: &Case) -> Ending {
    close(with_turns_with, case)
}

pub fn through_turns_of_a_stream(case: &Case) -> Ending {
    close(with_turns_of_a_stream, case)
}

/// A peer whose stanzas are there at once, and the count of calls that end our output.
struct AtOnce<'a>(&'a [u8], &'a Cell<u32>);

impl Callbacks for AtOnce<'_> {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, c_int> {
        if self.0.is_empty() { Err(EAGAIN) } else { io::Read::read(&mut self.0, buf).map_err(callbacks::code) }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<usize, c_int> {
        Ok(bytes.len())
    }

    fn shut(&mut self) -> Result<(), c_int> {
        self.1.set(self.1.get() + 1);
        Ok(())
    }
}

#[test]
fn a_close_that_is_stopped_ends_the_output_once_whatever_has_come_behind() {
    let (socket, _peer) = peer::pair();
    let ends = Cell::new(0);
    let mut userdata: Box<dyn Callbacks> = Box::new(AtOnce(b"<a/><b/>", &ends));
    let transport = callbacks::transport(&mut userdata, number(&socket), false);
    let mut options = plain_options(b"");
    options.on_stanza = Some(stop);
    let mut report = empty_report();
    // SAFETY: all pointers are to live values that say their size.
    let result = unsafe { ffi::xmpp_close_with(&raw const transport, &raw const options, &raw mut report) };
    assert_eq!((result, report.outcome, report.stanzas), (0, Outcome::Cancelled as u32, 1));
    assert_eq!(ends.get(), 1);
}
