//! Our end of a connection, as each API wants it.

use std::{
    io::{self, ErrorKind},
    sync::Arc,
    time::Duration,
};

use xmpp_close::{BorrowedSocket, Incoming, Interest, OwnedSocket, Stream, Transport};

use super::{
    callbacks::Callbacks,
    case::{HEADER, Side},
    local::lent,
    peer::PATIENCE,
    stop::Stop,
};

pub struct Ours {
    pub fd: OwnedSocket,
    over: Over,
    stream: Option<Stream<Box<dyn Transport + Send>>>,
    /// What cancels the close, if anything does.
    pub stop: Option<Arc<Stop>>,
}

/// What there is on the socket; what it holds is taken by the close.
pub enum Over {
    Nothing,
    /// Few bytes at a time.
    Chopped,
    Tls(Option<Box<dyn Transport + Send>>),
    /// TLS whose library is used by callbacks.
    Callbacks(Option<Box<dyn Callbacks>>),
}

impl Ours {
    pub fn new(fd: impl Into<OwnedSocket>, over: Over) -> Self {
        Self { fd: fd.into(), over, stream: None, stop: None }
    }

    pub fn is_plain_socket(&self) -> bool {
        matches!(self.over, Over::Nothing)
    }

    pub fn transport(&mut self) -> Box<dyn Transport + Send + '_> {
        if self.is_plain_socket() { Box::new(lent(&self.fd)) } else { self.owned_transport() }
    }

    /// A transport that the close owns.
    pub fn owned_transport(&mut self) -> Box<dyn Transport + Send> {
        match &mut self.over {
            Over::Nothing => Box::new(self.fd.try_clone().unwrap()),
            Over::Chopped => Box::new(Chopped { fd: self.fd.try_clone().unwrap(), calls: 0 }),
            Over::Tls(transport) => transport.take().unwrap(),
            Over::Callbacks(_) => unreachable!("only for callbacks"),
        }
    }

    /// A session that has exchanged headers, and has seen the peer's tag if we only answer.
    pub fn open_stream(&mut self, side: Side) {
        let mut stream = Stream::new(self.owned_transport());
        stream.send(HEADER).unwrap();
        assert!(matches!(stream.receive_within(PATIENCE), Ok(Incoming::Header(_))));
        if side == Side::Responder {
            assert!(matches!(stream.receive_within(PATIENCE), Ok(Incoming::PeerClosed)));
        }
        self.stream = Some(stream);
    }

    pub fn stream(&mut self) -> Stream<Box<dyn Transport + Send>> {
        self.stream.take().unwrap()
    }

    pub fn callbacks(&mut self) -> Box<dyn Callbacks + '_> {
        match &mut self.over {
            Over::Callbacks(callbacks) => callbacks.take().unwrap(),
            _ => Box::new(self.transport()),
        }
    }
}

/// Moves a few bytes at a time, and is often interrupted.
struct Chopped {
    fd: OwnedSocket,
    calls: usize,
}

impl Chopped {
    /// How much the next call moves at most.
    fn most(&mut self, len: usize) -> io::Result<usize> {
        self.calls += 1;
        match self.calls % 6 {
            0 => Err(ErrorKind::Interrupted.into()),
            calls => Ok(len.min([1, 3, 2, 700, 40_000][calls - 1])),
        }
    }
}

impl Transport for Chopped {
    fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let most = self.most(buf.len())?;
        Transport::try_read(&mut self.fd, &mut buf[..most])
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let most = self.most(bytes.len())?;
        Transport::try_write(&mut self.fd, &bytes[..most])
    }

    fn shut(&mut self) -> io::Result<()> {
        Transport::shut(&mut self.fd)
    }

    fn wait(&mut self, what: Interest, limit: Duration, wake: Option<BorrowedSocket<'_>>) -> io::Result<Interest> {
        Transport::wait(&mut self.fd, what, limit, wake)
    }

    fn unread(&self) -> u64 {
        Transport::unread(&self.fd)
    }

    fn watch(&self, what: Interest) -> Option<(BorrowedSocket<'_>, Interest)> {
        Some((lent(&self.fd), what))
    }
}
