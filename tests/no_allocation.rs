//! The state machine allocates its handle and nothing else, so that an event loop never waits for an allocator.

#![allow(unsafe_code)]

// The functions are those of the crate, found by the linker.
use xmpp_close as _;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    ffi::{c_char, c_int, c_void},
    ptr,
};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u32> = const { Cell::new(0) };
}

// SAFETY: all is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations_of(work: impl FnOnce()) -> u32 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

type Handle = *mut c_void;

unsafe extern "C" {
    fn xmpp_close_handshake_new(options: *const c_void, now_ms: u64, out: *mut Handle) -> c_int;
    fn xmpp_close_handshake_free(h: Handle);
    fn xmpp_close_handshake_begin(h: Handle, now_ms: u64) -> c_int;
    fn xmpp_close_handshake_written(h: Handle, n: usize, now_ms: u64) -> c_int;
    fn xmpp_close_handshake_flushed(h: Handle, now_ms: u64) -> c_int;
    fn xmpp_close_handshake_received(h: Handle, n: usize, now_ms: u64) -> c_int;
    fn xmpp_close_handshake_stanza(h: Handle, now_ms: u64) -> c_int;
    fn xmpp_close_handshake_stream_error(h: Handle, condition: *const c_char, now_ms: u64) -> c_int;
    fn xmpp_close_handshake_peer_closed(h: Handle, now_ms: u64) -> c_int;
    fn xmpp_close_handshake_eof(h: Handle, now_ms: u64) -> c_int;
    fn xmpp_close_handshake_tick(h: Handle, now_ms: u64) -> c_int;
    fn xmpp_close_handshake_deadline(h: Handle) -> u64;
    fn xmpp_close_handshake_report(h: Handle, report: *mut c_void) -> c_int;
}

#[test]
fn only_a_new_handshake_allocates() {
    let mut h = ptr::null_mut();
    let mut report = [0_usize; 16];
    report[0] = size_of_val(&report);
    // SAFETY: `h` is a handshake from its beginning to its end, and the report is as long as it says.
    unsafe {
        assert_eq!(allocations_of(|| assert_eq!(xmpp_close_handshake_new(ptr::null(), 0, &mut h), 0)), 1);
        let events = allocations_of(|| {
            assert_eq!(xmpp_close_handshake_begin(h, 1), 1);
            assert_eq!(xmpp_close_handshake_written(h, 100, 2), 0);
            assert_eq!(xmpp_close_handshake_flushed(h, 3), 0);
            assert_eq!(xmpp_close_handshake_received(h, 100, 4), 0);
            assert_eq!(xmpp_close_handshake_stanza(h, 4), 0);
            assert_eq!(xmpp_close_handshake_stream_error(h, c"system-shutdown".as_ptr(), 5), 0);
            assert_eq!(xmpp_close_handshake_stream_error(h, c"none-that-is-known".as_ptr(), 5), 0);
            assert_eq!(xmpp_close_handshake_tick(h, 6), 0);
            assert_eq!(xmpp_close_handshake_peer_closed(h, 7), 3);
            assert_eq!(xmpp_close_handshake_flushed(h, 8), 0);
            assert_eq!(xmpp_close_handshake_deadline(h), 2007);
            assert_eq!(xmpp_close_handshake_eof(h, 9), 4);
            assert_eq!(xmpp_close_handshake_report(h, report.as_mut_ptr().cast()), 0);
        });
        assert_eq!(events, 0);
        xmpp_close_handshake_free(h);
    }
    let outcome = report[1] & 0xffff_ffff;
    assert!(cfg!(target_endian = "big") || outcome == 1, "{report:?}");
}
