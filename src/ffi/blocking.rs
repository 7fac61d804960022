//! One call

use std::{cell::Cell, ffi::c_int};

use super::{
    guard::{INVALID, Refusal, guard},
    options::{self, Logger, Taker, User, xmpp_close_options},
    report::xmpp_close_report,
    sized::Out,
    socket::xmpp_close_socket,
};
use crate::{
    closing::{Driver, Parsed},
    options::CloseOptions,
    report::Report,
    transport::{BorrowedSocket, Transport, check_connected, codes, numbered, os_error},
};

/// Closes the stream on a connected stream socket, and ends TCP. Blocks for
/// total_ms at most. A socket that was never connected, or is not yet, is
/// XMPP_CLOSE_ERR_INVALID. A socket whose peer is gone is accepted.
///
/// The socket may be blocking or not. Its flags, timeouts and options are left as
/// they are. Close the descriptor when the call has returned: that loses nothing
/// then.
///
/// options NULL: all defaults. Refused as XMPP_CLOSE_ERR_INVALID: tls, own_parser
/// and output_limit. report NULL: not wanted.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_fd(
    fd: xmpp_close_socket,
    options: *const xmpp_close_options,
    report: *mut xmpp_close_report,
) -> c_int {
    guard(|| {
        // SAFETY: the header says what the pointers must be.
        unsafe { close(options, report, || connected_socket(fd)) }
    })
}

/// Closes over the transport that `open` makes. `open` is called when the options are known to make sense.
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
        let (options, taker, parsed, logger) = unsafe {
            let options = options::read(options)?;
            (options.to_rust(User::Call)?, options.taker()?, options.parsed()?, options.logger())
        };
        run(open()?, options, &taker, &parsed, logger)
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

fn run<T: Transport>(
    transport: T,
    options: CloseOptions,
    taker: &Taker,
    parsed: &Parsed,
    logger: Option<Logger>,
) -> Result<Report, Refusal> {
    let mut driver = Driver::new(transport, options)?;
    driver.stands(parsed);
    driver.log_to(logger.map(|logger| logger.until(|| false)));
    driver.begin();
    while driver.next_chunk() {
        taker.take(&mut driver, &Cell::new(false), &mut |_| ());
    }
    Ok(driver.report())
}

impl Taker {
    /// Hands over what was read. If a callback asks something of the stream, `carry_out` does that first, and what the callback
    /// returned counts after that. If the callback has freed the stream, what it returned does not count.
    pub(super) fn take<T: Transport>(
        &self,
        driver: &mut Driver<T>,
        is_freed: &Cell<bool>,
        carry_out: &mut dyn FnMut(&mut Driver<T>),
    ) {
        match *self {
            Self::Nobody => {
                driver.frame(None);
            }
            Self::Stanzas(callback, userdata) => {
                let mut answer = 0;
                driver.frame(Some(&mut |stanza| {
                    let xml = stanza.as_bytes();
                    // SAFETY: the header says what the function must be; the bytes outlive the call.
                    answer = unsafe { callback(userdata, xml.as_ptr(), xml.len()) };
                }));
                if answer != 0 && !is_freed.get() {
                    driver.cancel();
                }
            }
            Self::Data(callback, userdata) => {
                // SAFETY: as above.
                let mut parse = |data: &[u8]| match unsafe { callback(userdata, data.as_ptr(), data.len()) } {
                    _ if is_freed.get() => Parsed::Open,
                    result => options::parsed(result),
                };
                driver.parse(&mut parse, carry_out);
            }
        }
    }
}

/// A connected socket, or an error: a wrong descriptor is misuse, but a connection that broke is an outcome.
pub(super) fn connected_socket<'fd>(fd: xmpp_close_socket) -> Result<BorrowedSocket<'fd>, Refusal> {
    let fd = lent(fd)?;
    check_connected(fd).map_err(|error| INVALID.because(os_error(&error)))?;
    Ok(fd)
}

/// A descriptor that the program promises to leave open.
pub(super) fn lent<'fd>(fd: xmpp_close_socket) -> Result<BorrowedSocket<'fd>, Refusal> {
    // SAFETY: the header demands that it is open and stays open. If it is not, system calls fail with EBADF, and the close with
    // them.
    unsafe { numbered(fd) }.ok_or(INVALID.because(codes::EBADF))
}
