//! Many streams at once
//!
//! A batch closes thousands of streams in one thread, each by its own handshake.
//! A server can hand over idle streams and go on serving, or hand over all
//! streams when it goes down, under one deadline. The cost of a stream does not
//! grow with their number.
//!
//! Beside an event loop, which watches the descriptor of the batch like its own:
//!
//! ```text
//! xmpp_close_batch_new(&batch);
//! xmpp_close_batch_set(batch, &batch_options); // on_end, say
//! // at any time, also in callbacks, for each stream that is to end:
//! xmpp_close_batch_add(batch, fd, &options, &index);
//! // in the loop, which polls xmpp_close_batch_fd() for reading, and waits no
//! // longer than xmpp_close_batch_timeout():
//! xmpp_close_batch_turn(batch, 0);
//! ```
//!
//! Or by itself:
//!
//! ```text
//! for each stream
//!     xmpp_close_batch_add(batch, fd, &options, &index);
//! xmpp_close_batch_run(batch, &batch_options, &summary);
//! for each index
//!     xmpp_close_batch_report(batch, index, &report);
//! xmpp_close_batch_free(batch);
//! ```
//!
//! To go on using a stream in a batch, for example to send what is still owed,
//! start the stream yourself, and hand it over by xmpp_close_batch_add_stream().
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
    cell::Cell,
    collections::HashMap,
    ffi::{c_char, c_int, c_void},
    mem::{self, offset_of},
    ptr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

mod members;
mod turns;

use members::Member;
pub use members::*;
pub use turns::*;

use super::{
    guard::{self, INVALID, Refusal, Userdata, guard},
    options::xmpp_close_canceller,
    report::xmpp_close_report,
    sized::{self, Versioned},
    stream_error::Words,
};
use crate::{
    batch::{Batch, BatchOptions, Intake, Summary},
    report::{Outcome, Report},
};

/// How many streams ended how. A number that does not fit is the largest that
/// does.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct xmpp_close_summary {
    /// Set by XMPP_CLOSE_SUMMARY_INIT.
    pub struct_size: usize,
    /// How many streams there are.
    pub streams: u32,
    /// How many closes have begun.
    pub begun: u32,
    /// How many streams have ended.
    pub ended: u32,
    /// The time since _run or _set was called.
    pub elapsed_ms: u32,
    /// How many streams ended how, by xmpp_close_outcome. Under
    /// XMPP_CLOSE_PENDING: how many have not ended.
    pub outcomes: [u32; 10],
    /// Late stanzas of all streams that have ended. Streams with on_data do not
    /// count theirs.
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
    /// The limit for all: every stream that is in the batch, or is added, has
    /// ended so long after the call of _set or _run. The limits of each stream
    /// hold inside it. 0: 30000 for _run; for _set no limit but those of the
    /// streams.
    pub total_ms: u32,
    /// The closing tags are sent over this time, evenly and in random order, so
    /// that not all peers come back at once. Less than total_ms. Until its turn
    /// comes, a stream is read like an open one, and its stanzas do not count as
    /// late. If its peer closes first, it is answered at once. A stream that is
    /// added after _set gets a random moment of what is left of this time. 0: all
    /// tags at once.
    pub spread_ms: u32,
    /// Stops all closes. NULL: nothing can.
    pub canceller: *const xmpp_close_canceller,
    /// A stream error for every stream whose options have none and whose peer has
    /// not closed yet, such as "system-shutdown". NULL: none. A started stream that
    /// you finished before _add_stream keeps what _finish said: add it unfinished,
    /// and the batch finishes it with this error.
    pub stream_error: *const c_char,
    /// A text for people to go with stream_error. It is escaped. NULL: none.
    pub stream_error_text: *const c_char,
    /// Called about ten times a second while there are streams, and once when
    /// none are left. In _run it gives the thread a moment for other work. Return
    /// 0 to go on, anything else to stop all closes at once.
    pub on_progress: Option<unsafe extern "C" fn(userdata: *mut c_void, so_far: *const xmpp_close_summary) -> c_int>,
    /// Called as soon as a stream has ended. Its descriptor is not used any more
    /// and may be closed. stream_userdata is the userdata of the stream's
    /// options, index is what _add stored. NULL: the reports are kept for
    /// _report.
    pub on_end:
        Option<unsafe extern "C" fn(stream_userdata: *mut c_void, index: usize, report: *const xmpp_close_report)>,
    /// Passed to on_progress as it is.
    pub userdata: *mut c_void,
    /// Where the peers are to go instead, for stream_error "see-other-host", as
    /// in xmpp_close_options. NULL: none.
    pub stream_error_address: *const c_char,
}

// SAFETY: repr(C), the size comes first, and zero is a number, NULL, or no function.
unsafe impl Versioned for xmpp_close_batch_options {
    const EARLIER: &'static [usize] = &[offset_of!(xmpp_close_batch_options, stream_error_address)];
}

// A callback may use the batch that calls it, so everything in the batch is changed through a shared reference.

/// Streams that are closed together.
pub struct xmpp_close_batch {
    /// `None` during a turn, and after a panic.
    batch: Cell<Option<Batch<'static>>>,
    intake: Arc<Intake<'static>>,
    known: Arc<Mutex<Known>>,
    in_turn: Cell<bool>,
    /// The batch is to be freed at the end of the turn.
    is_freed: Cell<bool>,
}

/// Streams that are still in the batch, and have a handle, go back to it.
impl Drop for xmpp_close_batch {
    fn drop(&mut self) {
        drop(self.batch.take());
        // Each member refers to `known`, and `known` to the member.
        drop(mem::take(&mut lock(&self.known).members));
    }
}

/// What is known of the streams beside what the batch itself knows.
#[derive(Default)]
struct Known {
    /// The streams that are in the batch.
    members: HashMap<usize, Member>,
    /// The reports of streams that ended without on_end.
    kept: HashMap<usize, Report>,
    /// The reports of streams that ended in the last _run, with on_end.
    of_run: HashMap<usize, Report>,
}

/// Locks it. No callback may be called while it is locked.
fn lock(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Stores an empty batch. It holds a few descriptors.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_batch_new(out: *mut *mut xmpp_close_batch) -> c_int {
    guard(|| {
        // SAFETY: the header says that `out` is NULL or can be written.
        unsafe {
            guard::writable(out)?;
            let mut batch = Batch::new()?;
            let known = Arc::default();
            set_nothing(&mut batch, &known)?;
            let made = xmpp_close_batch {
                intake: batch.intake(),
                batch: Cell::new(Some(batch)),
                known,
                in_turn: Cell::new(false),
                is_freed: Cell::new(false),
            };
            guard::give(made, out)
        }
    })
}

/// Sets what holds from this call on, for all streams that are in the batch or
/// are added, in place of what was set before. At first nothing is set. options
/// NULL: nothing is set. When options make no sense, and in a callback of the
/// batch, it is XMPP_CLOSE_ERR_INVALID and nothing changes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_batch_set(
    batch: *mut xmpp_close_batch,
    options: *const xmpp_close_batch_options,
) -> c_int {
    // SAFETY: the header says what the pointers must be.
    turn(
        batch,
        || unsafe { read_options(options) },
        |batch, members, options| {
            // SAFETY: as above.
            members.set(unsafe { to_rust(&options, &batch.known, false) }?)?;
            Ok(0)
        },
    )
}

/// Does what no callback of the batch may do. `read` checks the arguments first. During `body` the batch is taken out, and at
/// the end it is freed, if a callback has asked for that.
fn turn<T>(
    batch: *mut xmpp_close_batch,
    read: impl FnOnce() -> Result<T, Refusal>,
    body: impl FnOnce(&xmpp_close_batch, &mut Batch<'static>, T) -> Result<c_int, Refusal>,
) -> c_int {
    let mut took = false;
    let result = guard(|| {
        // SAFETY: the header says what the pointer must be.
        let (input, shared) = (read()?, unsafe { guard::shared(batch) }?);
        let mut members = shared.batch.take().ok_or(INVALID)?;
        took = true;
        shared.in_turn.set(true);
        let result = body(shared, &mut members, input);
        shared.batch.set(Some(members));
        result
    });
    if !took {
        return result;
    }
    // SAFETY: `batch` was not NULL, and could not be freed in the turn. No reference to it is left.
    unsafe {
        (*batch).in_turn.set(false);
        if (*batch).is_freed.get() {
            guard::take_back(batch);
            return result.min(0); // none are left
        }
    }
    result
}

/// Sets the batch as if all options were zero.
fn set_nothing(batch: &mut Batch<'static>, known: &Arc<Mutex<Known>>) -> Result<(), Refusal> {
    // SAFETY: these options have no pointers.
    Ok(batch.set(unsafe { to_rust(&read_options(ptr::null())?, known, false) }?)?)
}

/// # Safety
/// `options` is NULL, or as long as it says.
unsafe fn read_options(options: *const xmpp_close_batch_options) -> Result<xmpp_close_batch_options, Refusal> {
    if options.is_null() {
        // SAFETY: `Versioned` says that all zero bytes are valid. Zero means the default.
        return Ok(unsafe { std::mem::zeroed() });
    }
    // SAFETY: as the caller promises.
    unsafe { sized::copy_in(options) }
}

/// # Safety
/// The pointers are what the header says.
unsafe fn to_rust(
    options: &xmpp_close_batch_options,
    known: &Arc<Mutex<Known>>,
    runs: bool,
) -> Result<BatchOptions<'static>, Refusal> {
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
        let mine = Userdata(options.userdata);
        // SAFETY: the header says what the function must be; the summary outlives the call.
        rust = rust.while_progress(move |so_far| unsafe { tell(mine.get(), &xmpp_close_summary::from(so_far)) } == 0);
    }
    let (tell, known) = (options.on_end, known.clone());
    Ok(rust.on_end(move |index, report| {
        let mut streams = lock(&known);
        let Some(Member { userdata, .. }) = streams.members.remove(&index) else { return };
        match (tell, runs) {
            (None, _) => drop(streams.kept.insert(index, report.clone())),
            (Some(_), true) => drop(streams.of_run.insert(index, report.clone())),
            (Some(_), false) => {}
        }
        drop(streams); // the callback may add one
        if let Some(tell) = tell {
            // SAFETY: as above.
            unsafe { tell(userdata.get(), index, &xmpp_close_report::from(report)) }
        }
    }))
}

/// Frees it; NULL is fine. Streams that have not ended are left as they are, and
/// their descriptors open. In a callback of the batch, it is freed at the end of
/// _turn; in _run, when all streams have ended.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_batch_free(batch: *mut xmpp_close_batch) {
    // SAFETY: NULL, or from xmpp_close_batch_new() and not freed, as the header says.
    match unsafe { batch.as_ref() } {
        Some(turning) if turning.in_turn.get() => turning.is_freed.set(true),
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
            outcomes: std::array::from_fn(|number| saturate(summary.count(Outcome::ALL[number]))),
            stanzas: summary.stanzas,
        }
    }
}

#[cfg(all(test, target_pointer_width = "64"))]
mod tests {
    use super::*;

    #[test]
    fn there_is_no_padding_in_which_a_later_member_could_land() {
        assert_eq!(size_of::<xmpp_close_summary>(), 72);
        assert_eq!(size_of::<xmpp_close_batch_options>(), 72);
    }
}
