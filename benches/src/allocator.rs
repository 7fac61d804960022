//! An allocator that counts what a thread allocates, while the thread asks for that. Otherwise it only looks at a flag
//! of the thread.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

/// What one thread has allocated.
#[derive(Clone, Copy, Default)]
pub struct Counts {
    pub allocations: u64,
    /// Bytes that are held now, and the most that were held.
    pub held: i64,
    pub most: i64,
    /// Bytes that may have been moved because a block grew or shrank.
    pub moved: u64,
}

struct Counting;

thread_local! {
    static ON: Cell<bool> = const { Cell::new(false) };
    static COUNTS: Cell<Counts> = const { Cell::new(Counts { allocations: 0, held: 0, most: 0, moved: 0 }) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What this thread has allocated since [`count`] began.
pub fn counts() -> Counts {
    COUNTS.get()
}

/// What this thread allocates during `work`.
pub fn count<T>(work: impl FnOnce() -> T) -> (Counts, T) {
    COUNTS.set(Counts::default());
    ON.set(true);
    let result = work();
    ON.set(false);
    (COUNTS.get(), result)
}

#[inline]
fn note(allocations: u64, change: i64, moved: usize) {
    if ON.get() {
        let mut counts = COUNTS.get();
        counts.allocations += allocations;
        counts.held += change;
        counts.most = counts.most.max(counts.held);
        counts.moved += moved as u64;
        COUNTS.set(counts);
    }
}

// SAFETY: all is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(1, layout.size() as i64, 0);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(1, layout.size() as i64, 0);
        // SAFETY: as the caller promises.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        note(0, -(layout.size() as i64), 0);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(1, size as i64 - layout.size() as i64, layout.size().min(size));
        // SAFETY: as the caller promises.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
