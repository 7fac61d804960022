//! One close through each API: how it ended, and what was delivered.
#![allow(unsafe_code, reason = "half of this is the C API")]

use std::{
    ffi::{c_int, c_void},
    io::{self, ErrorKind},
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    ptr,
    time::Duration,
};

use xmpp_close::{
    Batch, BatchOptions, CloseOptions, Interest, Outcome, Report, Transport,
    ffi::{self, xmpp_close_options, xmpp_close_report, xmpp_close_transport},
};

use crate::{
    case::{Case, Side},
    event_loop,
};

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Api {
    /// Rust's close.
    Stanzas,
    Fd,
    With,
    Loop,
    LoopInC,
    Batch,
    BatchInC,
}

impl Api {
    pub const ALL: [Self; 7] =
        [Self::Stanzas, Self::Fd, Self::With, Self::Loop, Self::LoopInC, Self::Batch, Self::BatchInC];

    pub fn is_loop(self) -> bool {
        matches!(self, Self::Loop | Self::LoopInC)
    }

    /// Its transport, callbacks, cannot say what has come already.
    pub fn asks_callbacks(self) -> bool {
        matches!(self, Self::With | Self::BatchInC)
    }

    pub fn close(self, case: &Case, fd: BorrowedFd<'_>) -> Ended {
        match self {
            Self::Stanzas => {
                let mut closing = options(case).begin(transport(case, fd)).unwrap();
                let delivered = (&mut closing).map(|stanza| stanza.as_str().to_owned()).collect();
                Ended::new(&closing.finish(), delivered)
            }
            Self::Batch => {
                let mut delivered = Vec::new();
                let mut batch = Batch::new().unwrap();
                let on_stanza = |stanza: xmpp_close::Stanza| delivered.push(stanza.as_str().to_owned());
                batch.add(transport(case, fd), &options(case), on_stanza).unwrap();
                let done = batch.run(BatchOptions::new().total(case.total() * 2)).unwrap();
                drop(batch);
                Ended::new(&done.reports[0], delivered)
            }
            Self::Loop => event_loop::in_rust(case, fd),
            Self::LoopInC => event_loop::in_c(case, fd),
            Self::Fd => in_c(case, |options, report| {
                // SAFETY: all pointers are to live values that say their size.
                assert_eq!(unsafe { ffi::xmpp_close_fd(fd.as_raw_fd(), options, report) }, 0);
            }),
            Self::With => in_c(case, |options, report| {
                let mut userdata = transport(case, fd);
                let transport = callbacks(&mut userdata, fd);
                // SAFETY: as above.
                assert_eq!(unsafe { ffi::xmpp_close_with(&raw const transport, options, report) }, 0);
            }),
            Self::BatchInC => in_c(case, |options, report| batch_in_c(case, fd, options, report)),
        }
    }
}

pub struct Ended {
    pub outcome: Outcome,
    pub numbers: xmpp_close_report,
    pub delivered: Vec<String>,
}

impl Ended {
    pub fn new(report: &Report, delivered: Vec<String>) -> Self {
        let numbers = xmpp_close_report {
            outcome: report.outcome as u32,
            initiator: report.initiator.map_or(0, |initiator| initiator as u32),
            tag_sent: report.tag_sent.into(),
            tag_received: report.tag_received.into(),
            stanzas: report.stanzas as u32,
            bytes_read: report.bytes_read,
            bytes_after_tag: report.bytes_after_tag,
            bytes_unsent: report.bytes_unsent,
            bytes_unacked: report.bytes_unacked,
            os_error: report.os_error.unwrap_or(0),
            elapsed_ms: report.elapsed.as_millis() as u32,
            ..empty_report()
        };
        Self { outcome: report.outcome, numbers, delivered }
    }

    pub fn in_c(numbers: xmpp_close_report, delivered: Vec<String>) -> Self {
        Self { outcome: Outcome::ALL[numbers.outcome as usize], numbers, delivered }
    }
}

fn options(case: &Case) -> CloseOptions {
    CloseOptions::new()
        .total(case.total())
        .no_progress(case.total())
        .linger(case.linger())
        .farewell(case.farewell())
        .peer_closed(case.side == Side::Responder)
}

pub fn empty_report() -> xmpp_close_report {
    // SAFETY: plain numbers, like XMPP_CLOSE_REPORT_INIT.
    let mut report: xmpp_close_report = unsafe { std::mem::zeroed() };
    report.struct_size = size_of::<xmpp_close_report>();
    report
}

pub fn c_options(case: &Case) -> xmpp_close_options {
    // SAFETY: numbers and pointers, like XMPP_CLOSE_OPTIONS_INIT.
    let mut options: xmpp_close_options = unsafe { std::mem::zeroed() };
    options.struct_size = size_of::<xmpp_close_options>();
    options.total_ms = case.total().as_millis() as u32;
    options.idle_ms = options.total_ms;
    options.linger_ms = case.linger().as_millis() as u32;
    options
}

fn in_c(case: &Case, close: impl FnOnce(*const xmpp_close_options, *mut xmpp_close_report)) -> Ended {
    // SAFETY: `userdata` is the Vec below, and the stanza has `len` bytes.
    unsafe extern "C" fn on_stanza(userdata: *mut c_void, xml: *const u8, len: usize) -> c_int {
        // SAFETY: as said above.
        let (delivered, xml) = unsafe { (&mut *userdata.cast::<Vec<String>>(), std::slice::from_raw_parts(xml, len)) };
        delivered.push(String::from_utf8_lossy(xml).into_owned());
        0
    }
    let mut delivered: Vec<String> = Vec::new();
    let farewell = case.farewell();
    let mut options = c_options(case);
    options.peer_closed = (case.side == Side::Responder).into();
    options.farewell = farewell.as_ptr().cast();
    options.farewell_len = farewell.len();
    options.on_stanza = Some(on_stanza);
    options.userdata = (&raw mut delivered).cast();
    let mut report = empty_report();
    close(&raw const options, &raw mut report);
    Ended::in_c(report, delivered)
}

fn batch_in_c(case: &Case, fd: BorrowedFd<'_>, options: *const xmpp_close_options, report: *mut xmpp_close_report) {
    let mut userdata = transport(case, fd);
    let transport = callbacks(&mut userdata, fd);
    let mut batch = ptr::null_mut();
    // SAFETY: all are live until the batch is freed, once; the report says its size.
    unsafe {
        assert_eq!(ffi::xmpp_close_batch_new(&raw mut batch), 0);
        let added = if case.chops() {
            ffi::xmpp_close_batch_add_with(batch, &raw const transport, options, ptr::null_mut())
        } else {
            ffi::xmpp_close_batch_add(batch, fd.as_raw_fd(), options, ptr::null_mut())
        };
        assert_eq!(added, 0);
        let mut set: ffi::xmpp_close_batch_options = std::mem::zeroed();
        set.struct_size = size_of::<ffi::xmpp_close_batch_options>();
        set.total_ms = 2 * case.total().as_millis() as u32;
        assert_eq!(ffi::xmpp_close_batch_run(batch, &raw const set, ptr::null_mut()), 0);
        assert_eq!(ffi::xmpp_close_batch_report(batch, 0, report), 0);
        ffi::xmpp_close_batch_free(batch);
    }
}

/// The socket, or callbacks that move a few bytes at a time and are often interrupted.
pub fn transport<'a>(case: &Case, fd: BorrowedFd<'a>) -> Box<dyn Transport + 'a> {
    if case.chops() { Box::new(Chopped { fd, calls: 0 }) } else { Box::new(fd) }
}

struct Chopped<'a> {
    fd: BorrowedFd<'a>,
    calls: usize,
}

impl Chopped<'_> {
    /// How much the next call moves at most.
    fn most(&mut self, len: usize) -> io::Result<usize> {
        self.calls += 1;
        match self.calls % 5 {
            0 => Err(ErrorKind::Interrupted.into()),
            calls => Ok(len.min([1, 3, 700, 40_000][calls - 1])),
        }
    }
}

impl Transport for Chopped<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let most = self.most(buf.len())?;
        Transport::read(&mut self.fd, &mut buf[..most])
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let most = self.most(bytes.len())?;
        Transport::write(&mut self.fd, &bytes[..most])
    }

    fn end_output(&mut self) -> io::Result<()> {
        Transport::end_output(&mut self.fd)
    }

    fn wait(&mut self, what: Interest, limit: Duration, wake: Option<BorrowedFd<'_>>) -> io::Result<Interest> {
        Transport::wait(&mut self.fd, what, limit, wake)
    }

    fn unread(&self) -> u64 {
        Transport::unread(&self.fd)
    }

    fn watch(&self, what: Interest) -> Option<(BorrowedFd<'_>, Interest)> {
        Some((self.fd.as_fd(), what))
    }
}

fn callbacks(userdata: &mut Box<dyn Transport + '_>, fd: BorrowedFd<'_>) -> xmpp_close_transport {
    xmpp_close_transport {
        struct_size: size_of::<xmpp_close_transport>(),
        userdata: ptr::from_mut(userdata).cast(),
        read: Some(read),
        write: Some(write),
        end_output: Some(end_output),
        fd: fd.as_raw_fd(),
        tls: 0,
    }
}

fn answer(result: io::Result<usize>, count: &mut usize) -> c_int {
    match result {
        Ok(moved) => {
            *count = moved;
            0
        }
        Err(error) if error.kind() == ErrorKind::Interrupted => libc::EINTR,
        Err(error) => error.raw_os_error().unwrap(),
    }
}

// SAFETY: `transport` is the Box of `callbacks`, the buffer has `len` bytes, and `n` points to a number.
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
