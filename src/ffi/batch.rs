//! Many streams at once
//!
//! For a server that goes down, or cleans up: closes thousands of streams in one
//! thread, each by its own handshake, and all under one deadline. What a stream
//! costs does not grow with their number.
//!
//! ```text
//! xmpp_close_batch_new(&batch);
//! for each stream
//!     xmpp_close_batch_add(batch, fd, &options, &index);
//! xmpp_close_batch_run(batch, &batch_options, &summary);
//! for each index
//!     xmpp_close_batch_report(batch, index, &report);
//! xmpp_close_batch_free(batch);
//! ```
//!
//! ```c
//! #define XMPP_CLOSE_SUMMARY_INIT                                                \
//!     { sizeof(xmpp_close_summary), 0, 0, 0, 0, { 0 }, 0 }
//!
//! #define XMPP_CLOSE_BATCH_OPTIONS_INIT                                          \
//!     { sizeof(xmpp_close_batch_options), 0, 0, NULL, NULL, NULL, NULL, NULL, NULL, \
//!       NULL }
//! ```

#![allow(non_camel_case_types, reason = "the names are those of the C API")]

use std::{
    cell::{Cell, RefCell},
    ffi::{c_char, c_int, c_void},
    mem::offset_of,
    ptr,
    rc::Rc,
    time::Duration,
};

use super::{
    blocking::connected_socket,
    callbacks::{Callbacks, xmpp_close_transport},
    guard::{self, INVALID, Refusal, SYSTEM, guard},
    options::{self, xmpp_close_canceller, xmpp_close_options},
    report::xmpp_close_report,
    sized::{self, Out, Versioned},
    stream_error::Words,
};
use crate::{
    batch::{AnyTransport, Batch, BatchOptions, Intake, Summary},
    closing::Driver,
    report::{Outcome, Report},
    transport::Transport,
};

/// How many streams ended how. Numbers that do not fit are the largest that do.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct xmpp_close_summary {
    /// Set by XMPP_CLOSE_SUMMARY_INIT.
    pub struct_size: usize,
    /// How many there are.
    pub streams: u32,
    /// How many closes have begun.
    pub begun: u32,
    /// How many are over.
    pub ended: u32,
    /// From the start of the batch.
    pub elapsed_ms: u32,
    /// How many ended how, by xmpp_close_outcome; under XMPP_CLOSE_PENDING those
    /// that have not ended.
    pub outcomes: [u32; 10],
    /// Late stanzas of all streams that are over; those of streams with on_data
    /// are not counted.
    pub stanzas: u64,
}

// SAFETY: repr(C), the size comes first, and zero is a number.
unsafe impl Versioned for xmpp_close_summary {}

/// What holds for all streams of a batch. NULL in place of a pointer to it means
/// all defaults.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct xmpp_close_batch_options {
    /// Set by XMPP_CLOSE_BATCH_OPTIONS_INIT.
    pub struct_size: usize,
    /// For the whole set, from _run on. 0: 30000. The limits of each stream hold
    /// inside it.
    pub total_ms: u32,
    /// The closing tags are sent over this time, evenly and in random order, so
    /// that not all peers come back at once. Less than total_ms. Until its turn
    /// comes, a stream is read like an open one, and its stanzas are not counted
    /// as late; if its peer closes first, it is answered at once. 0: all at once.
    pub spread_ms: u32,
    /// Stops all. NULL: cannot be cancelled.
    pub canceller: *const xmpp_close_canceller,
    /// A stream error for every stream whose options have none and whose peer
    /// has not closed yet: "system-shutdown". NULL: none.
    pub stream_error: *const c_char,
    /// A text for people to go with it; it is escaped. NULL: none.
    pub stream_error_text: *const c_char,
    /// Called about ten times a second, and once at the end: a moment for what
    /// else the thread has to do. Return 0 to go on, anything else to stop all
    /// at once.
    pub on_progress: Option<unsafe extern "C" fn(userdata: *mut c_void, so_far: *const xmpp_close_summary) -> c_int>,
    /// Called as soon as a stream has ended: its descriptor is not used any more
    /// and may be closed. stream_userdata is the userdata of its options, index
    /// what _add has stored.
    pub on_end:
        Option<unsafe extern "C" fn(stream_userdata: *mut c_void, index: usize, report: *const xmpp_close_report)>,
    /// Passed to on_progress as it is.
    pub userdata: *mut c_void,
    /// To go with stream_error "see-other-host", as in xmpp_close_options. NULL:
    /// none.
    pub stream_error_address: *const c_char,
}

// SAFETY: repr(C), the size comes first, and zero is a number, NULL, or no function.
unsafe impl Versioned for xmpp_close_batch_options {
    const EARLIER: &'static [usize] = &[offset_of!(xmpp_close_batch_options, stream_error_address)];
}

// A callback may use the batch that it is called by, so everything in it is changed through a shared reference.

/// Streams that are to be closed together. Its callbacks may use it: each
/// function says what it does then.
pub struct xmpp_close_batch {
    /// `None` while it runs, and afterwards.
    batch: Cell<Option<Batch<'static>>>,
    /// Where to add; `None` once it has run.
    intake: RefCell<Option<Rc<Intake<'static>>>>,
    streams: RefCell<Vec<Known>>,
    is_running: Cell<bool>,
    /// It is to be freed when it has run.
    is_freed: Cell<bool>,
}

/// What is known of a stream in a batch.
struct Known {
    userdata: *mut c_void,
    /// How it ended, once it has.
    report: Option<Report>,
}

/// Stores an empty batch. It holds a few descriptors.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_batch_new(out: *mut *mut xmpp_close_batch) -> c_int {
    guard(|| {
        // SAFETY: the header says that `out` is NULL or can be written.
        unsafe {
            guard::writable(out)?;
            let batch = Batch::new()?;
            let made = xmpp_close_batch {
                intake: RefCell::new(Some(batch.intake())),
                batch: Cell::new(Some(batch)),
                streams: RefCell::default(),
                is_running: Cell::new(false),
                is_freed: Cell::new(false),
            };
            guard::give(made, out)
        }
    })
}

/// Adds a stream on a connected stream socket, as for xmpp_close_fd(). Nothing
/// is read or written before _run; from _add until its end, or until _free, the
/// descriptor must stay open, and the callbacks and their userdata valid. All
/// else is copied. index NULL: not wanted; the first is 0, the next 1.
///
/// A callback of the batch may add streams, too: they are closed by the same
/// _run, and begin as soon as the callback has returned, without regard to
/// spread_ms.
///
/// XMPP_CLOSE_ERR_INVALID, beside the usual reasons: the descriptor is in the
/// batch already, the batch has run, or its time is up.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_batch_add(
    batch: *mut xmpp_close_batch,
    fd: c_int,
    options: *const xmpp_close_options,
    index: *mut usize,
) -> c_int {
    // SAFETY: the header says what the pointers must be.
    guard(|| unsafe { add(batch, options, index, || connected_socket(fd)) })
}

/// The same over a transport of your own, as for xmpp_close_with(). Its
/// descriptor must be one that epoll or kqueue can wait for.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_batch_add_with(
    batch: *mut xmpp_close_batch,
    transport: *const xmpp_close_transport,
    options: *const xmpp_close_options,
    index: *mut usize,
) -> c_int {
    // SAFETY: the header says what the pointers must be.
    guard(|| unsafe { add(batch, options, index, || Callbacks::new(transport)) })
}

/// # Safety
/// The pointers are NULL, or what the header says.
unsafe fn add<T: Transport + 'static>(
    batch: *mut xmpp_close_batch,
    options: *const xmpp_close_options,
    index: *mut usize,
    open: impl FnOnce() -> Result<T, Refusal>,
) -> Result<c_int, Refusal> {
    // SAFETY: as the caller promises.
    let (batch, options) = unsafe { (guard::shared(batch)?, options::read(options)?) };
    let taker = options.taker()?;
    // SAFETY: as the caller promises.
    let rust = unsafe { options.to_rust() }?;
    let intake = batch.intake.borrow();
    let intake = intake.as_ref().ok_or(INVALID)?;
    let mut streams = batch.streams.borrow_mut();
    streams.try_reserve(1).map_err(|_| SYSTEM.because(libc::ENOMEM))?;
    let driver = Driver::new(Box::new(open()?) as AnyTransport<'static>, rust)?;
    let added = intake.add(driver, Box::new(move |driver| taker.take(driver)))?;
    streams.push(Known { userdata: options.userdata, report: None });
    if !index.is_null() {
        // SAFETY: not NULL, so it can be written, as the caller promises.
        unsafe { index.write(added) };
    }
    Ok(0)
}

/// Closes all streams and blocks until all have ended, for total_ms at most. It
/// runs once: a second time, and from its own callbacks, it is
/// XMPP_CLOSE_ERR_INVALID. When options make no sense nothing was sent, and it
/// can still be run.
///
/// options NULL: all defaults. summary NULL: not wanted.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_batch_run(
    batch: *mut xmpp_close_batch,
    options: *const xmpp_close_batch_options,
    summary: *mut xmpp_close_summary,
) -> c_int {
    let mut ran = false;
    let result = guard(|| {
        // SAFETY: the header says what the pointers must be.
        let (mut out, batch, options) =
            unsafe { (Out::open_or_null(summary)?, guard::shared(batch)?, read_options(options)?) };
        let mut members = batch.batch.take().ok_or(INVALID)?;
        ran = true;
        batch.is_running.set(true);
        // SAFETY: as above.
        let done = match unsafe { to_rust(&options, batch) }.and_then(|options| Ok(members.run(options)?)) {
            Ok(done) => done,
            Err(refusal) => {
                batch.batch.set(Some(members)); // nothing was begun
                return Err(refusal);
            }
        };
        *batch.intake.borrow_mut() = None;
        if let Some(out) = &mut out {
            out.write(&xmpp_close_summary::from(&done.summary));
        }
        Ok(0)
    });
    if ran {
        // SAFETY: it was not NULL, and could not be freed while it ran. No reference to it is left.
        unsafe {
            (*batch).is_running.set(false);
            if (*batch).is_freed.get() {
                guard::take_back(batch);
            }
        }
    }
    result
}

/// # Safety
/// `options` is NULL, or as long as it says.
unsafe fn read_options(options: *const xmpp_close_batch_options) -> Result<xmpp_close_batch_options, Refusal> {
    if options.is_null() {
        // SAFETY: as `Versioned` says; and zero means the default.
        return Ok(unsafe { std::mem::zeroed() });
    }
    // SAFETY: as the caller promises.
    unsafe { sized::copy_in(options) }
}

/// # Safety
/// The pointers are what the header says.
unsafe fn to_rust<'a>(
    options: &xmpp_close_batch_options,
    batch: &'a xmpp_close_batch,
) -> Result<BatchOptions<'a>, Refusal> {
    let millis = |millis: u32| Duration::from_millis(u64::from(millis));
    let mut rust = BatchOptions::new().spread(millis(options.spread_ms));
    if options.total_ms != 0 {
        rust = rust.total(millis(options.total_ms));
    }
    // SAFETY: as the caller promises.
    unsafe {
        if let Some(canceller) = options.canceller.as_ref() {
            rust = rust.canceller(&canceller.0);
        }
        let words = Words {
            condition: options.stream_error,
            text: options.stream_error_text,
            address: options.stream_error_address,
            element: ptr::null(),
        };
        if let Some(error) = words.to_rust()? {
            rust = rust.stream_error(error);
        }
    }
    if let Some(tell) = options.on_progress {
        let mine = options.userdata;
        // SAFETY: the header says what the function must be; the summary outlives the call.
        rust = rust.while_progress(move |so_far| unsafe { tell(mine, &xmpp_close_summary::from(so_far)) } == 0);
    }
    let tell = options.on_end;
    Ok(rust.on_end(move |index, report| {
        let mut streams = batch.streams.borrow_mut();
        let Some(stream) = streams.get_mut(index) else { return };
        stream.report = Some(report.clone());
        let userdata = stream.userdata;
        drop(streams); // the callback may add one
        if let Some(tell) = tell {
            // SAFETY: as above.
            unsafe { tell(userdata, index, &xmpp_close_report::from(report)) }
        }
    }))
}

/// Stores how a stream ended. Until it has, its outcome is XMPP_CLOSE_PENDING. An
/// index that no _add has stored is XMPP_CLOSE_ERR_INVALID.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_batch_report(
    batch: *const xmpp_close_batch,
    index: usize,
    report: *mut xmpp_close_report,
) -> c_int {
    guard(|| {
        // SAFETY: the header says what the pointers must be.
        let (mut out, batch) = unsafe { (Out::open(report)?, guard::shared(batch)?) };
        let streams = batch.streams.borrow();
        let stream = streams.get(index).ok_or(INVALID)?;
        out.write(&stream.report.as_ref().map_or_else(xmpp_close_report::empty, xmpp_close_report::from));
        Ok(0)
    })
}

/// Frees it; NULL is fine. Streams that were not closed are left as they are.
/// From one of its callbacks: the batch runs to its end, and is freed before
/// _run returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_batch_free(batch: *mut xmpp_close_batch) {
    // SAFETY: NULL, or from xmpp_close_batch_new() and not freed, as the header says.
    match unsafe { batch.as_ref() } {
        Some(running) if running.is_running.get() => running.is_freed.set(true),
        // SAFETY: as above.
        _ => unsafe { guard::take_back(batch) },
    }
}

impl From<&Summary> for xmpp_close_summary {
    fn from(summary: &Summary) -> Self {
        let saturate = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Self {
            struct_size: size_of::<Self>(),
            streams: saturate(summary.streams),
            begun: saturate(summary.begun),
            ended: saturate(summary.ended),
            elapsed_ms: u32::try_from(summary.elapsed.as_millis()).unwrap_or(u32::MAX),
            outcomes: Outcome::ALL.map(|outcome| saturate(summary.count(outcome))),
            stanzas: summary.stanzas,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn there_is_no_padding_in_which_a_later_member_could_land() {
        assert_eq!(size_of::<xmpp_close_summary>(), 72);
        assert_eq!(size_of::<xmpp_close_batch_options>(), 72);
    }
}
