//! One call, over a transport of your own
//!
//! For OpenSSL, GnuTLS, or any functions that make non-blocking attempts to read
//! and write.
//!
//! ```c
//! #define XMPP_CLOSE_TRANSPORT_INIT                                              \
//!     { sizeof(xmpp_close_transport), NULL, NULL, NULL, NULL, NULL,              \
//!       XMPP_CLOSE_NO_SOCKET, 0, NULL }
//! ```

#![allow(non_camel_case_types, reason = "the names are those of the C API")]

use std::{
    cell::Cell,
    ffi::{c_int, c_void},
    io,
    rc::Rc,
    time::Duration,
};

use super::{
    blocking::{self, lent},
    guard::{INVALID, NULL, Refusal, guard},
    options::xmpp_close_options,
    report::xmpp_close_report,
    sized::{self, Versioned, flag},
    socket::xmpp_close_socket,
};
use crate::transport::{BorrowedSocket, Interest, PAUSE, Transport, check_connected, codes, os_error, poll};

/// What the callbacks of a transport may return, beside 0 and errno values.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum xmpp_close_attempt {
    /// Nothing can be done before the descriptor is readable.
    XMPP_CLOSE_WANT_READ = -1,
    /// Nothing can be done before the descriptor is writable.
    XMPP_CLOSE_WANT_WRITE = -2,
    /// Over TLS: TCP ended without close_notify, or the TLS layer cannot tell
    /// whether a close_notify came.
    XMPP_CLOSE_TLS_EOF = -3,
    /// The TLS layer failed. What is not written will never be.
    XMPP_CLOSE_TLS_ERROR = -4,
    /// From read only: you do not want to read now. The descriptor is not polled
    /// for reading, and no_progress_ms does not count this time. The next
    /// xmpp_close_step() tries again; blocking calls and batches do so every 100
    /// ms.
    XMPP_CLOSE_PAUSED = -5,
}

/// A byte stream of your own.
///
/// Each callback makes one attempt, without blocking, and returns 0, an
/// xmpp_close_attempt or an errno value. EAGAIN means that read waits until the
/// descriptor is readable, and the other callbacks until it is writable. EINTR
/// means "again". Any other errno value means that the connection is gone.
///
/// `*n` is 0 before each call. A socket below must be O_NONBLOCK, or the first
/// attempt may never return.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct xmpp_close_transport {
    /// Set by XMPP_CLOSE_TRANSPORT_INIT.
    pub struct_size: usize,
    /// Passed to the callbacks as it is.
    pub userdata: *mut c_void,
    /// Reads up to len bytes into buf, stores their number in `*n` and returns 0.
    /// With `*n` 0 this is the end: of TCP, or over TLS the peer's close_notify.
    pub read: Option<unsafe extern "C" fn(userdata: *mut c_void, buf: *mut u8, len: usize, n: *mut usize) -> c_int>,
    /// Writes up to len bytes from buf, stores their number in `*n` and returns
    /// 0. These bytes count as written: they are with the kernel, or flush tells
    /// how many are not. When an attempt would block, write is called again
    /// later, over TLS with the same bytes. It must not raise SIGPIPE. With
    /// OpenSSL, set SSL_MODE_ENABLE_PARTIAL_WRITE, so that progress is seen, and
    /// SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER.
    pub write: Option<unsafe extern "C" fn(userdata: *mut c_void, buf: *const u8, len: usize, n: *mut usize) -> c_int>,
    /// Over TLS: sends close_notify, and does not wait for the peer's. It is
    /// called again when it would block, but never after XMPP_CLOSE_TLS_ERROR.
    /// NULL: the TLS layer sends close_notify by itself, and the peer's is not
    /// awaited.
    pub notify: Option<unsafe extern "C" fn(userdata: *mut c_void) -> c_int>,
    /// Ends TCP's output. Called when all is written and, over TLS, both sides
    /// have sent close_notify. NULL: shutdown(fd, SHUT_WR).
    pub shut: Option<unsafe extern "C" fn(userdata: *mut c_void) -> c_int>,
    /// The descriptor below. It is polled between attempts. Over TLS it is also
    /// read to its end after the peer's close_notify. If it is a stream socket,
    /// it must be connected.
    pub fd: xmpp_close_socket,
    /// 1: this is TLS, where the end of TCP without close_notify is a truncation.
    pub tls: u32,
    /// For a write or notify that keeps bytes in memory, such as records in a
    /// memory BIO: writes them without blocking, and stores in `*pending` how
    /// many are left. While some are left, the descriptor is polled for writing,
    /// nothing counts as sent, and TCP is not ended. Its results are those of
    /// write. NULL: nothing is ever kept.
    pub flush: Option<unsafe extern "C" fn(userdata: *mut c_void, pending: *mut usize) -> c_int>,
}

// SAFETY: repr(C), the size comes first, and zero is a number, NULL, or no function.
unsafe impl Versioned for xmpp_close_transport {}

/// Closes like xmpp_close_fd(), over a transport of your own, which must have
/// read, write and fd.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_with(
    transport: *const xmpp_close_transport,
    options: *const xmpp_close_options,
    report: *mut xmpp_close_report,
) -> c_int {
    guard(|| {
        // SAFETY: the header says what the pointers must be.
        unsafe { blocking::close(options, report, || Callbacks::new(transport)) }
    })
}

/// How often an attempt is made again at once after EINTR.
const RETRIES: u32 = 8;
/// A program's functions as a transport. What they return and store is checked.
pub(super) struct Callbacks {
    functions: xmpp_close_transport,
    socket: BorrowedSocket<'static>,
    read: unsafe extern "C" fn(*mut c_void, *mut u8, usize, *mut usize) -> c_int,
    write: unsafe extern "C" fn(*mut c_void, *const u8, usize, *mut usize) -> c_int,
    /// What the last read waits for. Over TLS that may be to write.
    read_wants: Interest,
    /// What the last write, flush or notify waits for.
    write_wants: Interest,
    /// The last read answered that it is not to be made now.
    paused: bool,
    /// The program has freed the stream in a callback: no other callback is called any more.
    is_freed: Option<Rc<Cell<bool>>>,
}

// SAFETY: the header says that a program uses an object in one thread at a time.
unsafe impl Send for Callbacks {}

impl Callbacks {
    /// # Safety
    /// `transport` is NULL, or what the header says.
    pub(super) unsafe fn new(transport: *const xmpp_close_transport) -> Result<Self, Refusal> {
        // SAFETY: as the caller promises.
        let functions = unsafe { sized::copy_in(transport) }?;
        flag(functions.tls)?;
        // What is missing is said before what is wrong.
        let callbacks = Self {
            read: functions.read.ok_or(NULL)?,
            write: functions.write.ok_or(NULL)?,
            socket: lent(functions.fd)?,
            functions,
            read_wants: Interest::READ,
            write_wants: Interest::WRITE,
            paused: false,
            is_freed: None,
        };
        match check_connected(callbacks.socket) {
            Err(error) if matches!(error.raw_os_error(), Some(codes::EBADF | codes::ENOTCONN)) => {
                Err(INVALID.because(os_error(&error)))
            }
            _ => Ok(callbacks), // a stream socket with a connection, or of a kind that only the program knows
        }
    }

    /// These callbacks may free their stream: `is_freed` tells when.
    pub(super) fn until(self, is_freed: Rc<Cell<bool>>) -> Self {
        Self { is_freed: Some(is_freed), ..self }
    }

    fn fd(&self) -> BorrowedSocket<'_> {
        self.socket
    }

    /// What the descriptor must become ready for so that a direction of `interest` can move; and whether an attempt is due after
    /// a pause, ready or not.
    fn below(&self, interest: Interest) -> (Interest, bool) {
        let (mut on, mut pauses) = (Interest::NEITHER, false);
        for (asked, wants) in [(interest.read, self.read_wants), (interest.write, self.write_wants)] {
            on.read |= asked && wants.read;
            on.write |= asked && wants.write;
            pauses |= asked && wants == Interest::NEITHER;
        }
        (on, pauses)
    }

    /// Makes one attempt to move up to `len` bytes, and a few more after EINTR. `natural` is what EAGAIN waits for.
    fn attempt(&self, len: usize, natural: Interest, mut call: impl FnMut(&mut usize) -> c_int) -> Attempt {
        for _ in 0..RETRIES {
            if self.is_freed.as_ref().is_some_and(|is_freed| is_freed.get()) {
                break;
            }
            let mut count = 0;
            let code = call(&mut count);
            if code != codes::EINTR {
                return self.judge(code, count, len, natural);
            }
        }
        Attempt::Blocked(Interest::NEITHER)
    }

    fn judge(&self, code: c_int, count: usize, len: usize, natural: Interest) -> Attempt {
        use xmpp_close_attempt as attempt;
        const WANT_READ: c_int = attempt::XMPP_CLOSE_WANT_READ as c_int;
        const WANT_WRITE: c_int = attempt::XMPP_CLOSE_WANT_WRITE as c_int;
        const TLS_EOF: c_int = attempt::XMPP_CLOSE_TLS_EOF as c_int;
        const TLS_ERROR: c_int = attempt::XMPP_CLOSE_TLS_ERROR as c_int;
        const PAUSED: c_int = attempt::XMPP_CLOSE_PAUSED as c_int;
        match code {
            0 if count <= len => Attempt::Moved(count),
            WANT_READ => Attempt::Blocked(Interest::READ),
            WANT_WRITE => Attempt::Blocked(Interest::WRITE),
            PAUSED if natural == Interest::READ => Attempt::Paused,
            TLS_EOF if self.is_tls() => Attempt::Failed(io::ErrorKind::UnexpectedEof.into()),
            TLS_ERROR if self.is_tls() => Attempt::Failed(io::ErrorKind::InvalidData.into()),
            // On some systems these are one number, so they cannot be patterns.
            code if code == codes::EAGAIN || code == codes::EWOULDBLOCK => Attempt::Blocked(natural),
            code if code > 0 => Attempt::Failed(io::Error::from_raw_os_error(code)),
            // An impossible count, or a code without a meaning.
            _ => Attempt::Failed(io::Error::from_raw_os_error(codes::EPROTO)),
        }
    }
}

enum Attempt {
    Moved(usize),
    Blocked(Interest),
    Paused,
    Failed(io::Error),
}

impl Attempt {
    /// Turns the attempt into a result, and stores in `wants` what the next wait is for.
    fn note(self, wants: &mut Interest) -> io::Result<usize> {
        match self {
            Self::Blocked(direction) => {
                *wants = direction;
                Err(io::ErrorKind::WouldBlock.into())
            }
            Self::Paused => Err(io::ErrorKind::WouldBlock.into()),
            Self::Moved(count) => Ok(count),
            Self::Failed(error) => Err(error),
        }
    }
}

impl Transport for Callbacks {
    fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let (start, len) = (buf.as_mut_ptr(), buf.len());
        // SAFETY: the header says what the function must be; the buffer is as long as it is told.
        let call = |count: &mut usize| unsafe { (self.read)(self.functions.userdata, start, len, count) };
        let attempt = self.attempt(len, Interest::READ, call);
        self.paused = matches!(attempt, Attempt::Paused);
        attempt.note(&mut self.read_wants)
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (start, len) = (bytes.as_ptr(), bytes.len());
        // SAFETY: as above.
        let call = |count: &mut usize| unsafe { (self.write)(self.functions.userdata, start, len, count) };
        let attempt = match self.attempt(len, Interest::WRITE, call) {
            // Nothing was taken, without a reason.
            Attempt::Moved(0) if !bytes.is_empty() => Attempt::Blocked(Interest::WRITE),
            attempt => attempt,
        };
        attempt.note(&mut self.write_wants)
    }

    fn try_flush(&mut self) -> io::Result<usize> {
        let Some(flush) = self.functions.flush else { return Ok(0) };
        let mut left = 0;
        // SAFETY: as above.
        let call = |_: &mut usize| unsafe { flush(self.functions.userdata, &raw mut left) };
        match self.attempt(0, Interest::WRITE, call) {
            // No memory holds that much.
            Attempt::Moved(_) if isize::try_from(left).is_err() => {
                return Err(io::Error::from_raw_os_error(codes::EPROTO));
            }
            Attempt::Moved(_) if left > 0 => self.write_wants = Interest::WRITE,
            Attempt::Moved(_) => {}
            Attempt::Blocked(direction) => {
                self.write_wants = direction;
                left = left.max(1); // it waits, so something is left
            }
            attempt => return attempt.note(&mut self.write_wants),
        }
        Ok(left)
    }

    fn notify(&mut self) -> io::Result<()> {
        let Some(notify) = self.functions.notify else { return Ok(()) };
        // SAFETY: as above.
        let call = |_: &mut usize| unsafe { notify(self.functions.userdata) };
        self.attempt(0, Interest::WRITE, call).note(&mut self.write_wants).map(|_| ())
    }

    fn shut(&mut self) -> io::Result<()> {
        let Some(shut) = self.functions.shut else {
            return match self.fd().shut() {
                // Not a socket: the peer sees the end when the descriptor is closed.
                Err(error) if error.raw_os_error() == Some(codes::ENOTSOCK) => Ok(()),
                result => result,
            };
        };
        // SAFETY: as above.
        let call = |_: &mut usize| unsafe { shut(self.functions.userdata) };
        self.attempt(0, Interest::WRITE, call).note(&mut self.write_wants).map(|_| ())
    }

    fn wait(&mut self, interest: Interest, limit: Duration, wake: Option<BorrowedSocket<'_>>) -> io::Result<Interest> {
        let (on, pauses) = self.below(interest);
        let limit = if pauses { limit.min(PAUSE) } else { limit };
        let fd = (on != Interest::NEITHER).then(|| self.fd());
        poll(fd, on, limit, wake)?;
        Ok(interest)
    }

    /// Where one direction was interrupted for too long, nothing shows that it can go on: a pause helps both.
    fn watch(&self, interest: Interest) -> Option<(BorrowedSocket<'_>, Interest)> {
        let (on, pauses) = self.below(interest);
        Some((self.fd(), if pauses { Interest::NEITHER } else { on }))
    }

    /// The attempt comes first: what TLS has decrypted already does not show in poll(2).
    fn read_within(&mut self, buf: &mut [u8], limit: Duration) -> io::Result<usize> {
        match self.try_read(buf) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && !self.paused => {
                self.wait(Interest::READ, limit, None)?;
                self.try_read(buf)
            }
            result => result,
        }
    }

    fn drain(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.read_wants = Interest::READ;
        match self.fd().try_read(buf) {
            // Not a socket, so there is no telling what lies under it.
            Err(error) if error.raw_os_error() == Some(codes::ENOTSOCK) => Ok(0),
            result => result,
        }
    }

    fn is_tls(&self) -> bool {
        self.functions.tls != 0
    }

    fn hides_alerts(&self) -> bool {
        self.functions.notify.is_none()
    }

    fn is_paused(&self) -> bool {
        self.paused
    }

    /// Under TLS the descriptor counts encrypted bytes, and nobody knows how many of the peer's stream these are.
    fn unread(&self) -> u64 {
        if self.is_tls() { 0 } else { self.fd().unread() }
    }

    fn unacked(&self) -> u64 {
        self.fd().unacked()
    }
}
