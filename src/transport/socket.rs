//! Sockets as transports, through socket2.

use std::{
    io,
    net::{Shutdown, TcpStream},
    time::Duration,
};

use socket2::SockRef;

use super::{
    Interest, Transport,
    system::{self, BorrowedSocket, OwnedSocket},
};

macro_rules! transport {
    ($type:ty, owned: $owned:expr, tcp: $tcp:expr) => {
        impl Transport for $type {
            fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                system::try_recv(system::lent(self), buf)
            }

            fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                system::try_send(system::lent(self), bytes)
            }

            fn is_quiet(&self) -> bool {
                $tcp && system::queues_are_empty(system::lent(self))
            }

            fn no_delay(&mut self) {
                if $owned {
                    // It fails where there is nothing to delay, as on a Unix socket.
                    let _ = SockRef::from(&*self).set_tcp_nodelay(true);
                }
            }

            fn shut(&mut self) -> io::Result<()> {
                SockRef::from(&*self).shutdown(Shutdown::Write)
            }

            fn wait(
                &mut self,
                interest: Interest,
                limit: Duration,
                wake: Option<BorrowedSocket<'_>>,
            ) -> io::Result<Interest> {
                system::poll(Some(system::lent(self)), interest, limit, wake)
            }

            fn watch(&self, interest: Interest) -> Option<(BorrowedSocket<'_>, Interest)> {
                Some((system::lent(self), interest))
            }

            fn own_socket(&self) -> Option<BorrowedSocket<'_>> {
                $owned.then(|| system::lent(self))
            }

            fn unread(&self) -> u64 {
                system::unread(system::lent(self))
            }

            fn unacked(&self) -> u64 {
                system::unacked(system::lent(self))
            }
        }
    };
}

transport!(TcpStream, owned: true, tcp: true);
// Not `tcp`: what a Unix socket has to read is counted in the peer's socket.
#[cfg(unix)]
transport!(std::os::unix::net::UnixStream, owned: true, tcp: false);
transport!(OwnedSocket, owned: true, tcp: false);
// Not `owned`: a borrowed socket keeps its flags, timeouts and options, even while the close runs (TC-18).
transport!(BorrowedSocket<'_>, owned: false, tcp: false);
