//! One call

use std::{
    ffi::c_int,
    io,
    os::fd::{BorrowedFd, RawFd},
};

use super::{
    guard::{INVALID, Refusal, guard},
    options::{self, Taker, XMPP_CLOSE_PEER_CLOSED, xmpp_close_options},
    report::xmpp_close_report,
    sized::Out,
};
use crate::{
    closing::{Driver, Opened, Parsed},
    options::CloseOptions,
    report::Report,
    transport::{Transport, os_error},
};

/// Closes the stream on a connected stream socket, and TCP after it. Blocks
/// for total_ms at most.
///
/// The socket may be blocking or not; its flags, timeouts and options are left
/// alone. It stays yours to close(), which loses nothing then. Nothing else
/// may read from it or write to it during the call.
///
/// options NULL: all defaults. report NULL: not wanted.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_fd(
    fd: c_int,
    options: *const xmpp_close_options,
    report: *mut xmpp_close_report,
) -> c_int {
    guard(|| {
        // SAFETY: the header says what the pointers must be.
        unsafe { close(options, report, || connected_socket(fd)) }
    })
}

/// Closes over whatever transport `open` makes, once the options are known to make sense.
///
/// # Safety
/// The pointers are NULL, or what the header says.
pub(super) unsafe fn close<T: Transport>(
    options: *const xmpp_close_options,
    report: *mut xmpp_close_report,
    open: impl FnOnce() -> Result<T, Refusal>,
) -> Result<c_int, Refusal> {
    // SAFETY: as the caller promises.
    let mut out = unsafe { Out::open_or_null(report) }?;
    let answer = || {
        // SAFETY: as the caller promises.
        let (options, taker) = unsafe {
            let options = options::read(options)?;
            (options.to_rust()?, options.taker()?)
        };
        run(open()?, &options, &taker)
    };
    match answer() {
        Ok(result) => {
            if let Some(out) = &mut out {
                out.write(&xmpp_close_report::from(&result));
            }
            Ok(0)
        }
        Err(refusal) => {
            if let Some(out) = &mut out {
                out.write(&xmpp_close_report { os_error: refusal.os_error, ..xmpp_close_report::empty() });
            }
            Err(refusal)
        }
    }
}

fn run<T: Transport>(transport: T, options: &CloseOptions, taker: &Taker) -> Result<Report, Refusal> {
    let mut driver = Driver::new(transport, options, taker.opened(options)?)?;
    driver.start();
    while driver.next_chunk() {
        taker.take(&mut driver);
    }
    Ok(driver.report())
}

impl Taker {
    /// The library does not frame for a program that has a parser.
    pub(super) fn opened(&self, options: &CloseOptions) -> Result<Opened, Refusal> {
        let mut opened = Opened::between_stanzas(options)?;
        if let Self::Data(..) = self {
            opened.framer = None;
        }
        Ok(opened)
    }

    /// Hands on what has been read.
    pub(super) fn take<T: Transport>(&self, driver: &mut Driver<T>) {
        match *self {
            Self::Nobody => {
                driver.frame(None);
            }
            Self::Stanzas(callback, userdata) => {
                let mut answer = 0;
                // SAFETY: the header says what the function must be; the bytes outlive the call.
                driver.frame(Some(&mut |xml, _| answer = unsafe { callback(userdata, xml.as_ptr(), xml.len()) }));
                if answer != 0 {
                    driver.cancel();
                }
            }
            Self::Data(callback, userdata) => {
                // SAFETY: as above.
                driver.parse(&mut |data| match unsafe { callback(userdata, data.as_ptr(), data.len()) } {
                    0 => Parsed::Open,
                    XMPP_CLOSE_PEER_CLOSED => Parsed::PeerClosed,
                    _ => Parsed::Stop,
                });
            }
        }
    }
}

/// Misuse is told apart from a connection that broke, which is an outcome.
pub(super) fn connected_socket<'fd>(fd: RawFd) -> Result<BorrowedFd<'fd>, Refusal> {
    let option = |name| socket_option(fd, name).map_err(|error| INVALID.because(os_error(&error)));
    if option(libc::SO_TYPE)? != libc::SOCK_STREAM {
        return Err(INVALID.because(libc::EPROTOTYPE));
    }
    if option(libc::SO_ACCEPTCONN)? != 0 {
        return Err(INVALID.because(libc::ENOTCONN));
    }
    // SAFETY: it is open; that it stays so during the call is the header's condition. Should it not, system calls fail
    // with EBADF, and the close with them.
    Ok(unsafe { BorrowedFd::borrow_raw(fd) })
}

fn socket_option(fd: RawFd, name: c_int) -> io::Result<c_int> {
    let mut value: c_int = 0;
    let mut len = size_of_val(&value) as libc::socklen_t;
    // SAFETY: the system stores at most `len` bytes to `value`; a number that is no descriptor gives EBADF.
    let result = unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, name, (&raw mut value).cast(), &raw mut len) };
    if result == 0 { Ok(value) } else { Err(io::Error::last_os_error()) }
}
