//! The calls of the C API that close.
#![allow(unsafe_code, reason = "this is the C API")]

use std::{
    cell::Cell,
    ffi::{c_int, c_void},
    io,
    net::TcpStream,
    os::fd::AsRawFd,
    ptr,
};

use xmpp_close::{
    Outcome,
    ffi::{self, xmpp_close_options, xmpp_close_report},
};

use crate::{
    Setting,
    callbacks::{self, Callbacks},
    farewell,
    peer::{self, PATIENCE},
    total,
    toy_tls::transport,
};

pub fn empty_report() -> xmpp_close_report {
    // SAFETY: plain numbers, like XMPP_CLOSE_REPORT_INIT.
    let mut report: xmpp_close_report = unsafe { std::mem::zeroed() };
    report.struct_size = size_of::<xmpp_close_report>();
    report
}

pub fn c_options(outcome: Outcome, setting: Setting, farewell: &[u8]) -> xmpp_close_options {
    unsafe extern "C" fn stop(_: *mut c_void, _: *const u8, _: usize) -> c_int {
        1
    }
    // SAFETY: numbers and pointers, like XMPP_CLOSE_OPTIONS_INIT.
    let mut options: xmpp_close_options = unsafe { std::mem::zeroed() };
    options.struct_size = size_of::<xmpp_close_options>();
    options.total_ms = total(outcome).as_millis() as u32;
    options.no_progress_ms = PATIENCE.as_millis() as u32;
    options.linger_ms = PATIENCE.as_millis() as u32;
    options.peer_closed = (setting == Setting::PeerClosed).into();
    options.farewell = farewell.as_ptr().cast();
    options.farewell_len = farewell.len();
    options.on_stanza = (setting == Setting::Stop).then_some(stop);
    options
}

/// A call that closes, and gives outcome and initiator.
pub type Close = fn(&TcpStream, Setting, &xmpp_close_options) -> (u32, u32);

pub fn with_fd(tcp: &TcpStream, _: Setting, options: &xmpp_close_options) -> (u32, u32) {
    let mut report = empty_report();
    // SAFETY: all pointers are to live values that say their size.
    assert_eq!(unsafe { ffi::xmpp_close_fd(tcp.as_raw_fd(), options, &raw mut report) }, 0);
    (report.outcome, report.initiator)
}

pub fn with_callbacks(tcp: &TcpStream, setting: Setting, options: &xmpp_close_options) -> (u32, u32) {
    let mut userdata: Box<dyn Callbacks> = Box::new(transport(tcp, setting));
    let transport = callbacks::transport(&mut userdata, tcp.as_raw_fd(), setting == Setting::Tls);
    let mut report = empty_report();
    // SAFETY: all pointers are to live values that say their size.
    assert_eq!(unsafe { ffi::xmpp_close_with(&raw const transport, options, &raw mut report) }, 0);
    (report.outcome, report.initiator)
}

/// A batch of one stream, which `add` puts in.
fn with_batch(add: impl FnOnce(*mut ffi::xmpp_close_batch) -> c_int) -> (u32, u32) {
    let mut batch = ptr::null_mut();
    let mut report = empty_report();
    // SAFETY: stored on success.
    assert_eq!(unsafe { ffi::xmpp_close_batch_new(&raw mut batch) }, 0);
    assert_eq!(add(batch), 0);
    // SAFETY: numbers and pointers, like XMPP_CLOSE_BATCH_OPTIONS_INIT.
    let mut options: ffi::xmpp_close_batch_options = unsafe { std::mem::zeroed() };
    options.struct_size = size_of::<ffi::xmpp_close_batch_options>();
    options.total_ms = 2 * PATIENCE.as_millis() as u32;
    // SAFETY: the batch is live and freed once, the options and the report say their size.
    unsafe {
        assert_eq!(ffi::xmpp_close_batch_run(batch, &raw const options, ptr::null_mut()), 0);
        assert_eq!(ffi::xmpp_close_batch_report(batch, 0, &raw mut report), 0);
        ffi::xmpp_close_batch_free(batch);
    }
    (report.outcome, report.initiator)
}

pub fn with_batch_add(tcp: &TcpStream, _: Setting, options: &xmpp_close_options) -> (u32, u32) {
    // What the batch needs of the options it copies.
    let options = Box::new(*options);
    // SAFETY: both are live, and the socket outlives the batch.
    with_batch(move |batch| unsafe {
        ffi::xmpp_close_batch_add(batch, tcp.as_raw_fd(), &raw const *options, ptr::null_mut())
    })
}

pub fn with_batch_add_with(tcp: &TcpStream, setting: Setting, options: &xmpp_close_options) -> (u32, u32) {
    let mut userdata: Box<dyn Callbacks> = Box::new(transport(tcp, setting));
    let transport = callbacks::transport(&mut userdata, tcp.as_raw_fd(), setting == Setting::Tls);
    // SAFETY: all are live, and what the callbacks use outlives the batch.
    with_batch(|batch| unsafe { ffi::xmpp_close_batch_add_with(batch, &raw const transport, options, ptr::null_mut()) })
}

fn close(how: Close, tcp: &TcpStream, outcome: Outcome, setting: Setting) -> (u32, u32) {
    let farewell = farewell(setting);
    how(tcp, setting, &c_options(outcome, setting, &farewell))
}

pub fn through_fd(tcp: &TcpStream, outcome: Outcome, setting: Setting) -> (u32, u32) {
    close(with_fd, tcp, outcome, setting)
}

pub fn through_with(tcp: &TcpStream, outcome: Outcome, setting: Setting) -> (u32, u32) {
    close(with_callbacks, tcp, outcome, setting)
}

pub fn through_batch_add(tcp: &TcpStream, outcome: Outcome, setting: Setting) -> (u32, u32) {
    close(with_batch_add, tcp, outcome, setting)
}

pub fn through_batch_add_with(tcp: &TcpStream, outcome: Outcome, setting: Setting) -> (u32, u32) {
    close(with_batch_add_with, tcp, outcome, setting)
}

/// A peer whose stanzas are there at once, and the count of calls that end our output.
struct AtOnce<'a>(&'a [u8], &'a Cell<u32>);

impl Callbacks for AtOnce<'_> {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, c_int> {
        if self.0.is_empty() { Err(libc::EAGAIN) } else { io::Read::read(&mut self.0, buf).map_err(callbacks::code) }
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
    let transport = callbacks::transport(&mut userdata, socket.as_raw_fd(), false);
    let options = c_options(Outcome::Cancelled, Setting::Stop, b"");
    let mut report = empty_report();
    // SAFETY: all pointers are to live values that say their size.
    let result = unsafe { ffi::xmpp_close_with(&raw const transport, &raw const options, &raw mut report) };
    assert_eq!((result, report.outcome, report.stanzas), (0, Outcome::Cancelled as u32, 1));
    assert_eq!(ends.get(), 1);
}
