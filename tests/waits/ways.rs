//! Every way to wait for a peer, over a TCP socket.

use std::{
    io::{self, ErrorKind},
    net::{Shutdown, TcpStream},
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

use socket2::SockRef;
use xmpp_close::{
    Batch, BatchOptions, Canceller, CloseOptions, Error, Incoming, OverTls, Report, Stream, TlsError, TlsSession, over,
};

pub const HEADER: &str = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

/// Closes a stream.
pub type Close = fn(TcpStream, CloseOptions) -> Report;

pub const CLOSES: [(&str, Close); 10] = [
    ("blocking", |tcp, options| options.close(tcp).unwrap()),
    ("non-blocking", |tcp, options| {
        tcp.set_nonblocking(true).unwrap();
        options.close(tcp).unwrap()
    }),
    ("with a canceller", |tcp, options| with_canceller(options).close(tcp).unwrap()),
    ("an OwnedFd", |tcp, options| options.close(OwnedFd::from(tcp)).unwrap()),
    ("an OwnedFd with a canceller", |tcp, options| with_canceller(options).close(OwnedFd::from(tcp)).unwrap()),
    ("a borrowed socket", |tcp, options| options.close(tcp.as_fd()).unwrap()),
    ("a borrowed socket with a canceller", |tcp, options| with_canceller(options).close(tcp.as_fd()).unwrap()),
    ("below TLS", |tcp, options| options.close(thin(tcp)).unwrap()),
    ("below TLS with a canceller", |tcp, options| with_canceller(options).close(thin(tcp)).unwrap()),
    ("in a batch", |tcp, options| {
        let mut batch = Batch::new().unwrap();
        batch.add(tcp, &options, |_| {}).unwrap();
        batch.run(BatchOptions::new()).unwrap().reports.remove(0)
    }),
];

/// Waits for so long that anything comes, where nothing does.
pub type Wait = fn(TcpStream, Duration);

pub const OTHER_WAITS: [(&str, Wait); 7] = [
    ("a stream's receive", |tcp, limit| idle(&mut Stream::new(tcp), limit)),
    ("a non-blocking stream's receive", |tcp, limit| {
        tcp.set_nonblocking(true).unwrap();
        idle(&mut Stream::new(tcp), limit);
    }),
    ("a receive with a waker", |tcp, limit| {
        let mut stream = Stream::new(tcp);
        stream.waker().unwrap();
        idle(&mut stream, limit);
    }),
    ("a receive below TLS", |tcp, limit| idle(&mut Stream::new(thin(tcp)), limit)),
    ("a send", |tcp, limit| {
        let mut stream = Stream::new(tcp);
        stream.send(HEADER).unwrap();
        stream.write_limit(limit);
        let error = stream.send(format!("<a>{}</a>", "x".repeat(64 << 10))).unwrap_err();
        assert!(matches!(&error, Error::Io(error) if error.kind() == ErrorKind::TimedOut), "{error:?}");
    }),
    ("a TLS handshake", |tcp, limit| {
        assert_eq!(thin(tcp).handshake(limit).unwrap_err().kind(), ErrorKind::TimedOut);
    }),
    ("a close with output that is blocked", |tcp, limit| {
        let report = CloseOptions::new().farewell(" ".repeat(64 << 10)).total(limit).close(tcp).unwrap();
        assert!(report.bytes_unsent > 0, "{report}");
    }),
];

fn with_canceller(options: CloseOptions) -> CloseOptions {
    options.canceller(&Canceller::new().unwrap()) // the options keep it
}

fn idle(stream: &mut Stream<impl xmpp_close::Transport>, limit: Duration) {
    assert!(matches!(stream.receive_within(limit), Ok(Incoming::TimedOut)));
}

/// TLS without TLS, and a TLS handshake that never ends.
pub struct Thin(TcpStream);

pub fn thin(tcp: TcpStream) -> OverTls<Thin, TcpStream> {
    over(Thin(tcp.try_clone().unwrap()), tcp).unwrap()
}

impl TlsSession for Thin {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, TlsError> {
        Ok(io::Read::read(&mut self.0, buf)?)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<usize, TlsError> {
        Ok(SockRef::from(&self.0).send_with_flags(bytes, libc::MSG_NOSIGNAL)?)
    }

    /// FIN has to do.
    fn close_notify(&mut self) -> Result<(), TlsError> {
        Ok(self.0.shutdown(Shutdown::Write)?)
    }

    fn handshake(&mut self) -> Result<(), TlsError> {
        Err(TlsError::WantRead)
    }
}
