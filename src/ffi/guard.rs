// Between C and Rust: every exported function runs in `guard`, and every pointer passes one of the functions below.

use std::{
    alloc::{self, Layout},
    ffi::{CStr, c_char, c_int, c_void},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    slice,
};

use super::codes::xmpp_close_result;
use crate::error::Error;

/// A program's own pointer, handed back as it is.
#[derive(Clone, Copy)]
pub(super) struct Userdata(pub(super) *mut c_void);

// SAFETY: the library does not look at it. The header says that the program uses one object in one thread at a time.
unsafe impl Send for Userdata {}

impl Userdata {
    pub(super) fn get(self) -> *mut c_void {
        self.0
    }
}

/// Why a call is refused: its result, and an `errno` for the report where there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) result: xmpp_close_result,
    pub(super) os_error: c_int,
}

pub(super) const NULL: Refusal = Refusal { result: xmpp_close_result::XMPP_CLOSE_ERR_NULL, os_error: 0 };
pub(super) const INVALID: Refusal = Refusal { result: xmpp_close_result::XMPP_CLOSE_ERR_INVALID, os_error: 0 };
pub(super) const SYSTEM: Refusal = Refusal { result: xmpp_close_result::XMPP_CLOSE_ERR_SYSTEM, os_error: 0 };
pub(super) const PANIC: Refusal = Refusal { result: xmpp_close_result::XMPP_CLOSE_ERR_PANIC, os_error: 0 };

impl Refusal {
    pub(super) const fn because(self, os_error: c_int) -> Self {
        Self { os_error, ..self }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error {
            Error::Io(error) => error.into(),
            _ => INVALID,
        }
    }
}

/// What the system refused.
impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        let code = match error.kind() {
            io::ErrorKind::OutOfMemory => libc::ENOMEM,
            _ => 0,
        };
        SYSTEM.because(error.raw_os_error().unwrap_or(code))
    }
}

/// Runs the body of a function that returns an int: what it answers, its refusal, or `XMPP_CLOSE_ERR_PANIC`.
pub(super) fn guard(body: impl FnOnce() -> Result<c_int, Refusal>) -> c_int {
    uncancelled(|| guard_pure(body))
}

/// The same for one that makes no system call: there the thread cannot be cancelled, and an event loop calls it often.
pub(super) fn guard_pure(body: impl FnOnce() -> Result<c_int, Refusal>) -> c_int {
    guard_or(xmpp_close_result::XMPP_CLOSE_ERR_PANIC as c_int, || {
        body().unwrap_or_else(|refusal| refusal.result as c_int)
    })
}

/// Runs the body of a function whose answer to a panic is `otherwise`.
pub(super) fn guard_or<R>(otherwise: R, body: impl FnOnce() -> R) -> R {
    // Unwind safety: what a panic leaves half done is an object that only the caller of the failed call holds.
    catch_unwind(AssertUnwindSafe(body)).unwrap_or(otherwise)
}

/// pthread_cancel(3) unwinds from within a system call, which cannot pass through Rust: the process would be aborted. So it
/// is put off until the caller's own next system call.
pub(super) fn uncancelled<R>(body: impl FnOnce() -> R) -> R {
    let before = set_cancel_state(PTHREAD_CANCEL_DISABLE);
    let result = body();
    if let Some(state) = before {
        set_cancel_state(state);
    }
    result
}

/// The same everywhere but there.
const PTHREAD_CANCEL_DISABLE: c_int = if cfg!(any(target_vendor = "apple", target_os = "hurd")) { 0 } else { 1 };

/// The state before, if there is such a thing.
#[cfg(not(target_os = "android"))]
fn set_cancel_state(state: c_int) -> Option<c_int> {
    unsafe extern "C" {
        fn pthread_setcancelstate(state: c_int, before: *mut c_int) -> c_int;
    }
    let mut before = 0;
    // SAFETY: the system stores an int to `before`.
    (unsafe { pthread_setcancelstate(state, &raw mut before) } == 0).then_some(before)
}

#[cfg(target_os = "android")]
fn set_cancel_state(_: c_int) -> Option<c_int> {
    None
}

/// # Safety
/// `pointer` is NULL, or valid for reads of a `T` that nobody writes to during `'a`.
pub(super) unsafe fn shared<'a, T>(pointer: *const T) -> Result<&'a T, Refusal> {
    // SAFETY: as the caller promises.
    unsafe { pointer.as_ref() }.ok_or(NULL)
}

/// # Safety
/// `pointer` is NULL, or valid for reads and writes of a `T` that nobody else uses during `'a`.
pub(super) unsafe fn exclusive<'a, T>(pointer: *mut T) -> Result<&'a mut T, Refusal> {
    // SAFETY: as the caller promises.
    unsafe { pointer.as_mut() }.ok_or(NULL)
}

/// Checks where an output is to be stored; what is there now may be anything.
pub(super) fn writable<T>(pointer: *mut T) -> Result<*mut T, Refusal> {
    if pointer.is_null() { Err(NULL) } else { Ok(pointer) }
}

/// Bytes with a length; with length 0 the pointer is not looked at.
///
/// # Safety
/// With another length, `pointer` is NULL or valid for reads of `len` bytes that nobody writes to during `'a`.
pub(super) unsafe fn bytes<'a>(pointer: *const c_void, len: usize) -> Result<&'a [u8], Refusal> {
    if len == 0 {
        return Ok(&[]);
    }
    if pointer.is_null() {
        return Err(NULL);
    }
    if isize::try_from(len).is_err() {
        return Err(INVALID);
    }
    // SAFETY: not NULL, as long as the caller promises, and not longer than a slice may be.
    Ok(unsafe { slice::from_raw_parts(pointer.cast(), len) })
}

/// A string that ends in NUL; `None` for NULL.
///
/// # Safety
/// `pointer` is NULL or a string that ends in NUL and that nobody writes to during `'a`.
pub(super) unsafe fn text<'a>(pointer: *const c_char) -> Result<Option<&'a str>, Refusal> {
    if pointer.is_null() {
        return Ok(None);
    }
    // SAFETY: as the caller promises.
    unsafe { CStr::from_ptr(pointer) }.to_str().map(Some).map_err(|_| INVALID)
}

/// Hands a new object to C, unless the system refuses the memory for it.
///
/// # Safety
/// `out` is valid for a write of a pointer.
pub(super) unsafe fn give<T>(object: T, out: *mut *mut T) -> Result<c_int, Refusal> {
    const { assert!(size_of::<T>() > 0, "there would be nothing to allocate") };
    // `Box::new` ends the process when there is no memory.
    // SAFETY: the layout is not of size 0.
    let place = unsafe { alloc::alloc(Layout::new::<T>()) }.cast::<T>();
    if place.is_null() {
        return Err(SYSTEM.because(libc::ENOMEM));
    }
    // SAFETY: the memory is new and as large and aligned as a `T`; for `out` as the caller promises.
    unsafe {
        place.write(object);
        out.write(place);
    }
    Ok(0)
}

/// Takes back what `give` handed out, and drops it. NULL is fine.
///
/// # Safety
/// `object` is NULL, or came from `give` and is used by nobody any more.
pub(super) unsafe fn take_back<T>(object: *mut T) {
    if !object.is_null() {
        // SAFETY: it came from the allocator that a Box takes its memory from, with the layout of a `T`, which was stored
        // there; and this is its only release.
        uncancelled(|| guard_or((), || drop(unsafe { Box::from_raw(object) })));
    }
}

#[cfg(test)]
mod tests {
    use std::ptr;

    use super::*;

    #[test]
    fn a_panic_becomes_a_code() {
        assert_eq!(guard(|| panic!("on purpose")), xmpp_close_result::XMPP_CLOSE_ERR_PANIC as c_int);
        assert_eq!(guard_or(7, || panic!("on purpose")), 7);
    }

    #[test]
    fn a_refusal_becomes_its_code() {
        assert_eq!(guard(|| Err(NULL)), -1);
        assert_eq!(guard(|| Err(INVALID.because(libc::EBADF))), -2);
        assert_eq!(guard(|| Ok(3)), 3);
    }

    #[test]
    fn a_length_of_zero_means_that_the_pointer_is_not_looked_at() {
        let wild = ptr::without_provenance(1);
        // SAFETY: nothing is read for a length of 0, for NULL, or for a length no object has.
        unsafe {
            assert_eq!(bytes(ptr::null(), 0), Ok(&[][..]));
            assert_eq!(bytes(wild, 0), Ok(&[][..]));
            assert_eq!(bytes(ptr::null(), 1), Err(NULL));
            assert_eq!(bytes(wild, usize::MAX), Err(INVALID));
        }
    }

    #[test]
    fn text_must_be_utf_8() {
        // SAFETY: NULL, and two literals that end in NUL.
        unsafe {
            assert_eq!(text(ptr::null()), Ok(None));
            assert_eq!(text(c"ä".as_ptr()), Ok(Some("ä")));
            assert_eq!(text(c"\xff".as_ptr()), Err(INVALID));
        }
    }
}
