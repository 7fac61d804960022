//! One close through each API: how it ended, and what was handed over.
#![allow(unsafe_code, reason = "half of this is the C API")]

use std::{
    ffi::{c_int, c_void},
    ptr,
};

use xmpp_close::{
    Batch, BatchOptions, CloseOptions, Outcome, Report,
    ffi::{self, xmpp_close_options, xmpp_close_report},
};

use super::{
    callbacks,
    case::{Case, How, Side},
    local::number,
    ours::Ours,
    through_loop,
};

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Api {
    /// Rust's close.
    Stanzas,
    /// A whole session's.
    Stream,
    Fd,
    With,
    Loop,
    LoopInC,
    Batch,
    BatchInC,
}

impl Api {
    pub const ALL: [Self; 8] =
        [Self::Stanzas, Self::Stream, Self::Fd, Self::With, Self::Loop, Self::LoopInC, Self::Batch, Self::BatchInC];

    /// Its transport is callbacks, which cannot say how much has arrived.
    pub fn asks_callbacks(self) -> bool {
        matches!(self, Self::With | Self::BatchInC)
    }

    pub fn close(self, case: &Case, ours: &mut Ours) -> Ended {
        match self {
            Self::Stanzas if case.how == How::Detach => {
                Ended::new(&options(case, ours).detach(ours.owned_transport()).unwrap(), Vec::new())
            }
            Self::Stream if case.how == How::Detach => {
                Ended::new(&ours.stream().detach(&options(case, ours)).unwrap(), Vec::new())
            }
            Self::Stanzas | Self::Stream => {
                let options = options(case, ours);
                let mut closing = match self {
                    Self::Stream => ours.stream().begin(&options.peer_closed(false)).unwrap(),
                    _ => options.begin(ours.owned_transport()).unwrap(),
                };
                let delivered = (&mut closing).map(|stanza| stanza.as_str().to_owned()).collect();
                Ended::new(&closing.finish(), delivered)
            }
            Self::Batch => {
                let mut delivered = Vec::new();
                let mut batch = Batch::new().unwrap();
                let on_stanza = |stanza: xmpp_close::Stanza<&str>| delivered.push(stanza.as_str().to_owned());
                let options = options(case, ours);
                batch.add(ours.transport(), &options, on_stanza).unwrap();
                let done = batch.run(BatchOptions::new().total(case.total() * 2)).unwrap();
                drop(batch);
                Ended::new(&done.reports[0], delivered)
            }
            Self::Loop => through_loop::in_rust(case, ours),
            Self::LoopInC => through_loop::in_c(case, ours),
            Self::Fd => in_c(case, ours, |ours, options, report| {
                // SAFETY: all pointers are to live values that say their size.
                assert_eq!(unsafe { ffi::xmpp_close_fd(number(&ours.fd), options, report) }, 0);
            }),
            Self::With => in_c(case, ours, |ours, options, report| {
                let fd = number(&ours.fd);
                let mut userdata = ours.callbacks();
                let transport = callbacks::transport(&mut userdata, fd, case.is_tls());
                // SAFETY: as above.
                assert_eq!(unsafe { ffi::xmpp_close_with(&raw const transport, options, report) }, 0);
            }),
            Self::BatchInC => in_c(case, ours, |ours, options, report| batch_in_c(case, ours, options, report)),
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

fn options(case: &Case, ours: &Ours) -> CloseOptions {
    let mut options = CloseOptions::new();
    if let Some(stop) = &ours.stop {
        options = options.canceller(&stop.canceller);
    }
    options
        .total(case.total())
        .no_progress(case.total())
        .linger(case.linger())
        .farewell(case.farewell())
        .half_close(case.how == How::HalfClose && !case.is_tls()) // refused over TLS
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
    options.total_ms = (case.total().as_millis() as u32).max(1); // 0 is the default
    options.no_progress_ms = options.total_ms;
    options.linger_ms = case.linger().as_millis() as u32;
    options.half_close = (case.how == How::HalfClose && !case.is_tls()).into(); // refused over TLS
    options
}

fn in_c(
    case: &Case,
    ours: &mut Ours,
    close: impl FnOnce(&mut Ours, *const xmpp_close_options, *mut xmpp_close_report),
) -> Ended {
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
    options.detach = (case.how == How::Detach).into();
    options.canceller = ours.stop.as_ref().map_or(ptr::null(), |stop| stop.in_c);
    close(ours, &raw const options, &raw mut report);
    Ended::in_c(report, delivered)
}

fn batch_in_c(case: &Case, ours: &mut Ours, options: *const xmpp_close_options, report: *mut xmpp_close_report) {
    let (fd, plain) = (number(&ours.fd), ours.is_plain_socket());
    let mut userdata = ours.callbacks();
    let transport = callbacks::transport(&mut userdata, fd, case.is_tls());
    let mut batch = ptr::null_mut();
    // SAFETY: all are live until the batch is freed, once; the report says its size.
    unsafe {
        assert_eq!(ffi::xmpp_close_batch_new(&raw mut batch), 0);
        let added = if plain {
            ffi::xmpp_close_batch_add(batch, fd, options, ptr::null_mut())
        } else {
            ffi::xmpp_close_batch_add_with(batch, &raw const transport, options, ptr::null_mut())
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
