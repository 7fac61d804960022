// Between C and Rust: every exported function runs in `guard`, and every pointer passes one of the functions below.

use std::{
    alloc::{self, Layout},
    ffi::{CStr, c_char, c_int, c_void},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    slice,
};

use super::codes::xmpp_close_result;
use crate::{error::Error, transport::codes};

/// A program's own pointer, which is passed back as it is.
#[derive(Clone, Copy)]
pub(super) struct Userdata(pub(super) *mut c_void);

// SAFETY: the library does not follow the pointer. The header says that a program uses an object in one thread at a time.
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

/// The system refused something.
impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        let code = match error.kind() {
            io::ErrorKind::OutOfMemory => codes::ENOMEM,
            _ => 0,
        };
        SYSTEM.because(error.raw_os_error().unwrap_or(code))
    }
}

/// Runs the body of a function that returns an int: the body's answer, its refusal, or `XMPP_CLOSE_ERR_PANIC`.
pub(super) fn guard(body: impl FnOnce() -> Result<c_int, Refusal>) -> c_int {
    uncancelled(|| guard_pure(body))
}

/// Runs the body of a function that makes no system call. Such a call cannot be cancelled, so it does not pay for that; event
/// loops call it often.
pub(super) fn guard_pure(body: impl FnOnce() -> Result<c_int, Refusal>) -> c_int {
    guard_or(xmpp_close_result::XMPP_CLOSE_ERR_PANIC as c_int, || {
        body().unwrap_or_else(|refusal| refusal.result as c_int)
    })
}

/// Runs the body of a function whose answer to a panic is `otherwise`.
pub(super) fn guard_or<R>(otherwise: R, body: impl FnOnce() -> R) -> R {
    // Unwind safety: a panic leaves an object half changed, and only the caller of the failed call holds that object.
    catch_unwind(AssertUnwindSafe(body)).unwrap_or(otherwise)
}

/// Puts pthread_cancel(3) off until the caller's own next system call. It unwinds from inside a system call, and that cannot
/// pass through Rust: the process would be aborted.
pub(super) fn uncancelled<R>(body: impl FnOnce() -> R) -> R {
    let before = set_cancel_state(PTHREAD_CANCEL_DISABLE);
    let result = body();
    if let Some(state) = before {
        set_cancel_state(state);
    }
    result
}

/// Its value, which differs between systems.
const PTHREAD_CANCEL_DISABLE: c_int = if cfg!(any(target_vendor = "apple", target_os = "hurd")) { 0 } else { 1 };

/// Sets the state, and returns the state before, on systems that have it. Windows and Miri have not.
#[cfg(not(any(windows, target_os = "android", miri)))]
fn set_cancel_state(state: c_int) -> Option<c_int> {
    unsafe extern "C" {
        fn pthread_setcancelstate(state: c_int, before: *mut c_int) -> c_int;
    }
    let mut before = 0;
    // SAFETY: the system stores an int to `before`.
    (unsafe { pthread_setcancelstate(state, &raw mut before) } == 0).then_some(before)
}

#[cfg(any(windows, target_os = "android", miri))]
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

/// Checks a pointer at which an output is to be stored. The memory there may be uninitialised.
pub(super) fn writable<T>(pointer: *mut T) -> Result<*mut T, Refusal> {
    if pointer.is_null() { Err(NULL) } else { Ok(pointer) }
}

/// Bytes with a length. With length 0 the pointer is not looked at.
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

/// Gives a new object to C, unless the system refuses the memory for it.
///
/// # Safety
/// `out` is valid for a write of a pointer.
pub(super) unsafe fn give<T>(object: T, out: *mut *mut T) -> Result<c_int, Refusal> {
    const { assert!(size_of::<T>() > 0, "there would be nothing to allocate") };
    // Not by `Box::new`, which ends the process when there is no memory.
    // SAFETY: the layout is not of size 0.
    let place = unsafe { alloc::alloc(Layout::new::<T>()) }.cast::<T>();
    if place.is_null() {
        return Err(SYSTEM.because(codes::ENOMEM));
    }
    // SAFETY: the memory is new and as large and aligned as a `T`; for `out` as the caller promises.
    unsafe {
        place.write(object);
        out.write(place);
    }
    Ok(0)
}

/// Takes back what `give` gave, and drops it. NULL is fine.
///
/// # Safety
/// `object` is NULL, or came from `give` and is used by nobody any more.
pub(super) unsafe fn take_back<T>(object: *mut T) {
    if !object.is_null() {
        // SAFETY: the memory is from the allocator of Box, with the layout of a `T`, and holds a `T`. Nothing else releases it.
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
        assert_eq!(guard(|| Err(INVALID.because(codes::EBADF))), -2);
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
