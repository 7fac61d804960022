//! Sockets as transports, through socket2.

use std::{
    io,
    mem::MaybeUninit,
    net::{Shutdown, TcpStream},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    time::Duration,
};

use socket2::{Domain, SockRef};

use super::{Interest, Transport, option::option, poll};

/// The flags of an attempt: no wait on a blocking socket, and no SIGPIPE in a C program when the peer is gone (TC-10).
const ATTEMPT: libc::c_int = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;

fn recv(fd: BorrowedFd<'_>, buf: &mut [u8], flags: libc::c_int) -> io::Result<usize> {
    #[allow(unsafe_code)]
    // SAFETY: these are the same bytes, and recv(2) overwrites them with initialised bytes only.
    let buf = unsafe { &mut *(std::ptr::from_mut(buf) as *mut [MaybeUninit<u8>]) };
    SockRef::from(&fd).recv_with_flags(buf, flags)
}

/// The longest SO_RCVTIMEO that is set. It is shorter than the usual linger of two seconds, so it need not be set again for
/// the end of TCP.
const SLICE: Duration = Duration::from_secs(1);

/// The first SO_RCVTIMEO. Most peers answer within this time, and then SO_RCVLOWAT need not be asked for.
const FIRST_SLICE: Duration = Duration::from_millis(50);

/// The shortest SO_RCVTIMEO. Zero would mean "for ever", and the system rounds down.
const LEAST_SLICE: Duration = Duration::from_millis(1);

/// Reads once, and waits for `limit` at most, by SO_RCVTIMEO. Only for a socket that we own: SO_RCVTIMEO is not set back.
/// `armed` is the SO_RCVTIMEO that was set before.
pub(super) fn recv_within(
    fd: BorrowedFd<'_>,
    buf: &mut [u8],
    limit: Duration,
    armed: &mut Option<Duration>,
) -> io::Result<usize> {
    let slice = limit.clamp(LEAST_SLICE, SLICE);
    let timeout = match *armed {
        Some(timeout) if timeout <= slice => timeout,
        Some(_) => arm(fd, slice, armed)?,
        None => arm(fd, slice.min(FIRST_SLICE), armed)?,
    };
    match recv(fd, buf, 0) {
        // SO_RCVTIMEO has no effect on a non-blocking socket.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock && SockRef::from(&fd).nonblocking()? => {
            poll(Some(fd), Interest::READ, limit, None)?;
            recv(fd, buf, ATTEMPT)
        }
        // Bytes below SO_RCVLOWAT are read only when SO_RCVTIMEO has passed, so with SO_RCVLOWAT it stays short.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock && timeout <= FIRST_SLICE => {
            if timeout >= slice || holds_back(fd) {
                return Err(error);
            }
            arm(fd, slice - timeout, armed)?;
            recv(fd, buf, 0)
        }
        result => result,
    }
}

fn arm(fd: BorrowedFd<'_>, timeout: Duration, armed: &mut Option<Duration>) -> io::Result<Duration> {
    let timeout = timeout.max(LEAST_SLICE);
    SockRef::from(&fd).set_read_timeout(Some(timeout))?;
    *armed = Some(timeout);
    Ok(timeout)
}

/// Whether the caller has set SO_RCVLOWAT. As long as less has come, poll(2) does not report it and a waiting recv(2) does
/// not return it, but an attempt does. The closing tag may be that short.
pub(crate) fn holds_back(fd: BorrowedFd<'_>) -> bool {
    option(fd, libc::SOL_SOCKET, libc::SO_RCVLOWAT, 0).is_ok_and(|least: libc::c_int| least > 1)
}

fn unacked(fd: BorrowedFd<'_>) -> u64 {
    // TIOCOUTQ is another name of SIOCOUTQ. For Unix sockets it is a size of memory, not a number of bytes.
    match queue_length(fd, libc::TIOCOUTQ) {
        0 => 0,
        bytes if matches!(SockRef::from(&fd).domain(), Ok(Domain::IPV4 | Domain::IPV6)) => bytes,
        _ => 0,
    }
}

/// FIONREAD counts up to the mark of urgent data, at which a read stops, too. What lies behind the mark is counted by a look.
fn unread(fd: BorrowedFd<'_>) -> u64 {
    match queue_length(fd, libc::FIONREAD) {
        0 => behind_mark(fd),
        bytes => bytes,
    }
}

/// How many bytes follow the mark of urgent data, if the mark comes next. The urgent byte itself does not count: no read
/// returns it.
#[cfg(all(target_os = "linux", not(any(target_arch = "mips", target_arch = "mips64"))))]
fn behind_mark(fd: BorrowedFd<'_>) -> u64 {
    const SIOCATMARK: libc::Ioctl = 0x8905;
    if queue_length(fd, SIOCATMARK) == 0 {
        return 0;
    }
    let flags = libc::MSG_PEEK | libc::MSG_TRUNC | ATTEMPT;
    #[allow(unsafe_code)]
    // SAFETY: with these flags TCP only counts. If it did store something, NULL would be no memory, and the result EFAULT.
    let bytes = unsafe { libc::recv(fd.as_raw_fd(), std::ptr::null_mut(), libc::c_int::MAX as usize, flags) };
    u64::try_from(bytes).unwrap_or(0)
}

#[cfg(not(all(target_os = "linux", not(any(target_arch = "mips", target_arch = "mips64")))))]
fn behind_mark(_: BorrowedFd<'_>) -> u64 {
    0
}

fn queue_length(fd: BorrowedFd<'_>, queue: libc::Ioctl) -> u64 {
    let mut bytes: libc::c_int = 0;
    #[allow(unsafe_code)]
    // SAFETY: TIOCOUTQ, FIONREAD and SIOCATMARK store one int through the pointer.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), queue, &raw mut bytes) };
    if result == 0 { u64::try_from(bytes).unwrap_or(0) } else { 0 }
}

/// Whether both queues of a TCP socket are empty, found out by one system call.
#[cfg(target_os = "linux")]
fn queues_are_empty(fd: BorrowedFd<'_>) -> bool {
    const QUEUES: [libc::c_int; 3] =
        [libc::SK_MEMINFO_RMEM_ALLOC, libc::SK_MEMINFO_WMEM_QUEUED, libc::SK_MEMINFO_BACKLOG];
    let memory = option(fd, libc::SOL_SOCKET, libc::SO_MEMINFO, [1_u32; libc::SK_MEMINFO_DROPS as usize + 1]);
    memory.is_ok_and(|memory| QUEUES.iter().all(|queue| memory[*queue as usize] == 0))
}

#[cfg(not(target_os = "linux"))]
fn queues_are_empty(_: BorrowedFd<'_>) -> bool {
    false
}

macro_rules! transport {
    ($type:ty, owned: $owned:expr, tcp: $tcp:expr) => {
        impl Transport for $type {
            fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                recv(self.as_fd(), buf, ATTEMPT)
            }

            fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                SockRef::from(&self.as_fd()).send_with_flags(bytes, ATTEMPT)
            }

            fn is_quiet(&self) -> bool {
                $tcp && queues_are_empty(self.as_fd())
            }

            fn no_delay(&mut self) {
                if $owned {
                    // It fails where there is nothing to delay, as on a Unix socket.
                    let _ = SockRef::from(&self.as_fd()).set_tcp_nodelay(true);
                }
            }

            fn shut(&mut self) -> io::Result<()> {
                SockRef::from(&self.as_fd()).shutdown(Shutdown::Write)
            }

            fn wait(
                &mut self,
                interest: Interest,
                limit: Duration,
                wake: Option<BorrowedFd<'_>>,
            ) -> io::Result<Interest> {
                poll(Some(self.as_fd()), interest, limit, wake)
            }

            fn watch(&self, interest: Interest) -> Option<(BorrowedFd<'_>, Interest)> {
                Some((self.as_fd(), interest))
            }

            fn own_socket(&self) -> Option<BorrowedFd<'_>> {
                $owned.then(|| self.as_fd())
            }

            fn unread(&self) -> u64 {
                unread(self.as_fd())
            }

            fn unacked(&self) -> u64 {
                unacked(self.as_fd())
            }
        }
    };
}

transport!(TcpStream, owned: true, tcp: true);
// Not `tcp`: what a Unix socket has to read is counted in the peer's socket.
transport!(UnixStream, owned: true, tcp: false);
transport!(OwnedFd, owned: true, tcp: false);
// Not `owned`: a borrowed socket keeps its flags, timeouts and options, even while the close runs (TC-18).
transport!(BorrowedFd<'_>, owned: false, tcp: false);
