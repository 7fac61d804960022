//! A close that is cancelled by another thread, whichever API it goes through.
#![allow(unsafe_code, reason = "half of this is the C API")]

use std::ptr;

use xmpp_close::{
    Canceller,
    ffi::{self, xmpp_close_canceller},
};

pub struct Stop {
    pub canceller: Canceller,
    pub in_c: *mut xmpp_close_canceller,
}

// SAFETY: a canceller is for all threads.
unsafe impl Send for Stop {}
// SAFETY: as above.
unsafe impl Sync for Stop {}

impl Stop {
    pub fn new() -> Self {
        let mut in_c = ptr::null_mut();
        // SAFETY: stored on success.
        assert_eq!(unsafe { ffi::xmpp_close_canceller_new(&raw mut in_c) }, 0);
        Self { canceller: Canceller::new().unwrap(), in_c }
    }

    pub fn cancel(&self) {
        self.canceller.cancel();
        // SAFETY: live until the drop.
        assert_eq!(unsafe { ffi::xmpp_close_canceller_cancel(self.in_c) }, 0);
    }
}

impl Drop for Stop {
    fn drop(&mut self) {
        // SAFETY: freed once.
        unsafe { ffi::xmpp_close_canceller_free(self.in_c) }
    }
}
