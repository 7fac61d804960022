//! Cancelling

use std::ffi::c_int;

use super::{
    guard::{self, guard},
    options::xmpp_close_canceller,
};
use crate::cancel::Canceller;

/// Stores a canceller, for the member canceller of any number of options. It
/// holds two descriptors.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_canceller_new(out: *mut *mut xmpp_close_canceller) -> c_int {
    guard(|| {
        // SAFETY: the header says that `out` is NULL or can be written.
        unsafe {
            guard::writable(out)?;
            guard::give(xmpp_close_canceller(Canceller::new()?), out)
        }
    })
}

/// Stops at once every close that has this canceller or will have it; the outcome
/// is XMPP_CLOSE_CANCELLED. May be called from any thread and any number of
/// times, but not from a signal handler.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_canceller_cancel(canceller: *const xmpp_close_canceller) -> c_int {
    guard(|| {
        // SAFETY: NULL, or from xmpp_close_canceller_new() and not freed, as the header says.
        unsafe { guard::shared(canceller) }?.0.cancel();
        Ok(0)
    })
}

/// Frees it; NULL is fine. Closes that have this canceller are not disturbed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_canceller_free(canceller: *mut xmpp_close_canceller) {
    // SAFETY: NULL, or from xmpp_close_canceller_new() and not freed, as the header says.
    unsafe { guard::take_back(canceller) }
}
