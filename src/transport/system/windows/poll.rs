//! WSAPoll: one wait for both directions and for a [`Canceller`](crate::Canceller).

use std::{io, thread, time::Duration};

use windows_sys::Win32::Networking::WinSock::{POLLIN, POLLNVAL, POLLOUT, WSAENOTSOCK, WSAPOLLFD, WSAPoll};

use super::{super::super::poll_millis, BorrowedSocket, Interest, winsock};

/// Waits until `socket` is ready for `interest`, `wake` is readable, or `limit` has passed.
pub(crate) fn poll(
    socket: Option<BorrowedSocket<'_>>,
    interest: Interest,
    limit: Duration,
    wake: Option<BorrowedSocket<'_>>,
) -> io::Result<Interest> {
    let events = if interest.read { POLLIN } else { 0 } | if interest.write { POLLOUT } else { 0 };
    let entry = |socket, events| WSAPOLLFD { fd: winsock(socket), events, revents: 0 };
    let ours = socket.map(|socket| entry(socket, events));
    let mut entries: Vec<_> = ours.into_iter().chain(wake.map(|wake| entry(wake, POLLIN))).collect();
    if entries.is_empty() {
        thread::sleep(limit); // WSAPoll takes no empty list
        return Ok(Interest::NEITHER);
    }
    #[allow(unsafe_code)]
    // SAFETY: `entries` is a live array of so many structs; their sockets, which are borrowed, stay open.
    let ready = unsafe { WSAPoll(entries.as_mut_ptr(), entries.len() as u32, poll_millis(limit)) };
    if ready < 0 {
        return Err(io::Error::last_os_error());
    }
    let ready = if ours.is_some() { entries[0].revents } else { 0 };
    if ready & POLLNVAL != 0 {
        return Err(io::Error::from_raw_os_error(WSAENOTSOCK));
    }
    // POLLHUP and POLLERR show in the next attempt (TC-17).
    let broken = ready & !(POLLIN | POLLOUT) != 0;
    Ok(Interest {
        read: interest.read && (broken || ready & POLLIN != 0),
        write: interest.write && (broken || ready & POLLOUT != 0),
    })
}
