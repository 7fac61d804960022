//! Whole closes by the C functions: of a socket and over callbacks, one by one and in a batch.

#![allow(unsafe_code)]

use std::{
    ffi::{c_int, c_void},
    io::Write,
    mem::offset_of,
    net::Shutdown,
    ptr,
    time::{Duration, Instant},
};

use xmpp_close::ffi::*;

use super::{
    bytes::Bytes,
    capi::{BATCH_OPTIONS, INVALID, Memory, NULL, OK, OPTIONS, REPORT, SUMMARY, TRANSPORT, Texts, put, report},
    liar::{self, Liar},
    local::{self, Local, number},
};

/// A socket whose peer has said `payload` and is gone.
fn socket(payload: &[u8]) -> Local {
    let (ours, mut theirs) = local::pair();
    let _ = theirs.write_all(payload);
    theirs.shutdown(Shutdown::Both).unwrap();
    ours
}

/// A transport of callbacks, which may lack one.
fn transport(bytes: &mut Bytes, liar: &mut Liar, fd: xmpp_close_socket) -> Memory {
    type Read = unsafe extern "C" fn(*mut c_void, *mut u8, usize, *mut usize) -> c_int;
    type Write = unsafe extern "C" fn(*mut c_void, *const u8, usize, *mut usize) -> c_int;
    type End = unsafe extern "C" fn(*mut c_void) -> c_int;
    type Flush = unsafe extern "C" fn(*mut c_void, *mut usize) -> c_int;
    let mut memory = Memory::new(bytes, TRANSPORT);
    let lack = bytes.byte();
    put!(
        memory,
        xmpp_close_transport,
        userdata = liar.pointer(),
        read = (lack != 1).then_some(liar::read as Read),
        write = (lack != 2).then_some(liar::write as Write),
        notify = (lack != 3).then_some(liar::notify as End),
        shut = (lack != 6).then_some(liar::shut as End),
        fd = if lack == 4 { local::NONE } else { fd },
        tls = if lack == 5 { 2 } else { u32::from(liar.is_tls) },
        flush = (lack % 4 == 3).then_some(liar::flush as Flush),
    );
    memory
}

/// The options, with a userdata of this stream's own.
fn options_for(options: &Memory, liar: &mut Liar) -> Memory {
    let mut options = options.clone();
    put!(options, xmpp_close_options, userdata = liar.pointer());
    options
}

/// What every report of a close that took place says.
fn check(report: &xmpp_close_report, liar: &Liar, residual: usize) {
    assert!((1..=9).contains(&report.outcome), "{}", report.outcome);
    assert_eq!(report.outcome == 1, report.tag_sent == 1 && report.tag_received == 1, "{report:?}");
    assert!(!liar.stopped || report.outcome == 9, "stopped, but {report:?}");
    assert!(report.bytes_read + report.bytes_after_tag <= liar.given + residual as u64, "{report:?}");
    assert!(report.tag_sent == 0 || report.bytes_unsent == 0, "{report:?}");
}

/// One close, over a socket or callbacks.
pub(super) fn blocking<'a>(bytes: &mut Bytes<'a>, options: &Memory, payload: &'a [u8]) {
    let is_socket = bytes.byte() % 4 == 1;
    let ours = socket(if is_socket { payload } else { b"" });
    let mut liar = Liar::new(bytes, payload);
    let transport = transport(bytes, &mut liar, number(&ours));
    let options = options_for(options, &mut liar);
    let mut memory = Memory::new(bytes, REPORT);
    let before = memory.clone();
    let began = Instant::now();
    // SAFETY: the structs are as the header demands, and what they point to outlives the call.
    let result = unsafe {
        let (options, target) = (options.0.as_ptr().cast(), memory.0.as_mut_ptr().cast());
        if is_socket {
            xmpp_close_fd(number(&ours), options, target)
        } else {
            xmpp_close_with(transport.0.as_ptr().cast(), options, target)
        }
    };
    assert!([OK, NULL, INVALID].contains(&result), "{result}");
    assert!(began.elapsed() < Duration::from_secs(9), "it waited for nothing");
    memory.check_written(&before, REPORT, result);
    let valid = options.is_struct(OPTIONS) && (is_socket || transport.is_struct(TRANSPORT));
    assert!(valid || result != OK);
    if before.is_struct(REPORT) && before.size() >= REPORT.now {
        // SAFETY: as long as one, aligned, and every content is one.
        let report = unsafe { memory.0.as_ptr().cast::<xmpp_close_report>().read() };
        if result == OK {
            liar.given += if is_socket { payload.len() as u64 } else { 0 };
            check(&report, &liar, payload.len());
        } else {
            assert_eq!((report.outcome, report.bytes_read), (0, 0));
        }
    }
}

/// The userdata of on_progress.
struct Progress<'a> {
    script: Bytes<'a>,
    streams: u32,
    last: Option<xmpp_close_summary>,
    stopped: bool,
}

unsafe extern "C" fn progress(userdata: *mut c_void, so_far: *const xmpp_close_summary) -> c_int {
    // SAFETY: as the header promises.
    let (progress, so_far) = unsafe { (userdata.cast::<Progress>().as_mut(), *so_far) };
    let Some(progress) = progress else { return 0 };
    check_summary(&so_far, progress.streams);
    assert!(progress.last.is_none_or(|last| last.ended <= so_far.ended && last.begun <= so_far.begun));
    progress.last = Some(so_far);
    let stops = progress.script.byte() >= 192;
    progress.stopped |= stops;
    if stops { -1 } else { 0 }
}

fn check_summary(summary: &xmpp_close_summary, streams: u32) {
    assert_eq!((summary.streams, summary.outcomes.iter().sum()), (streams, streams));
    assert_eq!(summary.outcomes[0], streams - summary.ended);
    assert!(summary.begun <= streams);
}

/// A batch of a socket and a stream over callbacks.
pub(super) fn batch<'a>(bytes: &mut Bytes<'a>, texts: &Texts, options: &Memory, payload: &'a [u8]) {
    let ours = [socket(payload), socket(b"")];
    let mut run_options = Memory::new(bytes, BATCH_OPTIONS);
    let short = |bytes: &mut Bytes| u32::from(bytes.byte() % 8);
    type Tell = unsafe extern "C" fn(*mut c_void, *const xmpp_close_summary) -> c_int;
    type End = unsafe extern "C" fn(*mut c_void, usize, *const xmpp_close_report);
    put!(
        run_options,
        xmpp_close_batch_options,
        total_ms = 1 + short(bytes),
        spread_ms = short(bytes) / 2,
        canceller = ptr::null::<c_void>(),
        stream_error = texts.pick(bytes),
        stream_error_text = texts.pick(bytes),
        stream_error_address = texts.pick(bytes),
        on_progress = Some(progress as Tell),
        on_end = Some(liar::end as End)
    );
    let mut memory = Memory::new(bytes, SUMMARY);
    let before = memory.clone();
    let mut liars = [0, 1].map(|_| Liar::new(bytes, payload));
    let transport = transport(bytes, &mut liars[1], number(&ours[1]));
    let [first, second] = &mut liars;
    let (first, second) = (options_for(options, first), options_for(options, second));
    let mut progress = Progress { script: Bytes(bytes.take(2)), streams: 0, last: None, stopped: false };
    put!(run_options, xmpp_close_batch_options, userdata = ptr::from_mut(&mut progress).cast::<c_void>());
    // SAFETY: the pointers are to memory of this function's own that is large enough for every size that is accepted.
    unsafe {
        let (mut batch, mut indexes) = (ptr::null_mut(), [7; 2]);
        assert_eq!(xmpp_close_batch_new(&mut batch), OK);
        let with = transport.0.as_ptr().cast();
        let added = [
            xmpp_close_batch_add(batch, number(&ours[0]), first.0.as_ptr().cast(), &mut indexes[0]),
            xmpp_close_batch_add_with(batch, with, second.0.as_ptr().cast(), &mut indexes[1]),
        ];
        let mut next = 0;
        for (added, index) in added.into_iter().zip(indexes) {
            assert!([OK, NULL, INVALID].contains(&added), "{added}");
            assert_eq!(index, if added == OK { next } else { 7 });
            next += usize::from(added == OK);
        }
        progress.streams = next as u32;
        let options_valid = run_options.is_struct(BATCH_OPTIONS);
        let result = xmpp_close_batch_run(batch, run_options.0.as_ptr().cast(), memory.0.as_mut_ptr().cast());
        assert!(result == OK && options_valid || result == INVALID, "{result}");
        memory.check_written(&before, SUMMARY, result);
        if result == OK {
            let summary = memory.0.as_ptr().cast::<xmpp_close_summary>().read();
            check_summary(&summary, next as u32);
            assert_eq!(summary.ended as usize, next);
            assert!(progress.last.is_none_or(|last| last.ended as usize == next));
            for (liar, index) in liars.iter_mut().zip(indexes).filter(|(_, index)| *index < 7) {
                check_end(batch, index, liar, payload.len(), progress.stopped);
            }
        }
        report(bytes, |target| xmpp_close_batch_report(batch, indexes[0], target), added[0] == OK);
        xmpp_close_batch_free(batch);
    }
}

/// The report of a stream that has ended is what on_end was told.
///
/// # Safety
/// The batch is one that has run.
unsafe fn check_end(batch: *const xmpp_close_batch, index: usize, liar: &mut Liar, payload: usize, stopped: bool) {
    let mut report: xmpp_close_report;
    // SAFETY: zero is a value of every member, and the batch is as the caller promises.
    unsafe {
        report = std::mem::zeroed();
        report.struct_size = size_of::<xmpp_close_report>();
        assert_eq!(xmpp_close_batch_report(batch, index, &mut report), OK);
    }
    liar.given += if index == 0 { payload as u64 } else { 0 };
    if stopped {
        assert!((1..=9).contains(&report.outcome));
    } else {
        check(&report, liar, payload);
    }
    if let Some((told, ended)) = liar.ended {
        assert_eq!(told, index);
        assert_eq!(format!("{report:?}"), format!("{ended:?}"));
    }
}
