//! A transport in the form of the C API's callbacks.
#![allow(unsafe_code, reason = "this is the C API")]

use std::{
    ffi::{c_int, c_void},
    io::{self, ErrorKind},
    ptr, slice,
};

use xmpp_close::{
    Transport,
    ffi::{xmpp_close_socket, xmpp_close_transport},
};

use crate::local::codes;

/// What the callbacks do; an error is what they return instead of 0.
pub trait Callbacks {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, c_int>;
    fn write(&mut self, bytes: &[u8]) -> Result<usize, c_int>;
    fn notify(&mut self) -> Result<(), c_int> {
        Ok(())
    }
    fn shut(&mut self) -> Result<(), c_int>;
}

impl Callbacks for Box<dyn Transport + Send + '_> {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, c_int> {
        Transport::try_read(self, buf).map_err(code)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<usize, c_int> {
        Transport::try_write(self, bytes).map_err(code)
    }

    fn notify(&mut self) -> Result<(), c_int> {
        Transport::notify(self).map_err(code)
    }

    fn shut(&mut self) -> Result<(), c_int> {
        Transport::shut(self).map_err(code)
    }
}

pub fn code(error: io::Error) -> c_int {
    match error.kind() {
        ErrorKind::WouldBlock => codes::EAGAIN,
        ErrorKind::Interrupted => codes::EINTR,
        ErrorKind::UnexpectedEof => -3, // XMPP_CLOSE_TLS_EOF
        ErrorKind::InvalidData => -4,   // XMPP_CLOSE_TLS_ERROR
        _ => error.raw_os_error().unwrap_or(codes::EPIPE),
    }
}

type Userdata<'a> = Box<dyn Callbacks + 'a>;

/// `userdata` must stay where it is.
pub fn transport(userdata: &mut Userdata<'_>, fd: xmpp_close_socket, tls: bool) -> xmpp_close_transport {
    xmpp_close_transport {
        struct_size: size_of::<xmpp_close_transport>(),
        userdata: ptr::from_mut(userdata).cast(),
        read: Some(read),
        write: Some(write),
        notify: Some(notify),
        shut: Some(shut),
        fd,
        tls: tls.into(),
        flush: None,
    }
}

fn answer(result: Result<usize, c_int>, count: &mut usize) -> c_int {
    match result {
        Ok(moved) => {
            *count = moved;
            0
        }
        Err(code) => code,
    }
}

// SAFETY: `userdata` is that of `transport`, the buffer has `len` bytes, and `n` points to a number.
unsafe extern "C" fn read(userdata: *mut c_void, buf: *mut u8, len: usize, n: *mut usize) -> c_int {
    // SAFETY: as said above.
    unsafe { answer((*userdata.cast::<Userdata>()).read(slice::from_raw_parts_mut(buf, len)), &mut *n) }
}

// SAFETY: as above.
unsafe extern "C" fn write(userdata: *mut c_void, buf: *const u8, len: usize, n: *mut usize) -> c_int {
    // SAFETY: as said above.
    unsafe { answer((*userdata.cast::<Userdata>()).write(slice::from_raw_parts(buf, len)), &mut *n) }
}

// SAFETY: as above.
unsafe extern "C" fn notify(userdata: *mut c_void) -> c_int {
    // SAFETY: as said above.
    answer(unsafe { (*userdata.cast::<Userdata>()).notify() }.map(|()| 0), &mut 0)
}

// SAFETY: as above.
unsafe extern "C" fn shut(userdata: *mut c_void) -> c_int {
    // SAFETY: as said above.
    answer(unsafe { (*userdata.cast::<Userdata>()).shut() }.map(|()| 0), &mut 0)
}
