//! Our end of a connection, and one close of it.

use std::{
    io,
    net::TcpStream,
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use openssl::ssl::SslStream;
use xmpp_close::{Batch, BatchOptions, CloseOptions, Interest, OverTls, Report, RustlsTransport, Transport, over};

use crate::{
    openssl_session::OpensslSession,
    peer::{self, PATIENCE},
    script::{self, TlsPeer},
    setup::{self, Case, Library},
};

/// Our end, whichever library it is.
pub struct Ours {
    either: Either,
    /// How often the end of TCP was looked for below TLS.
    pub drains: Arc<AtomicUsize>,
}

enum Either {
    Rustls(Box<RustlsTransport<TcpStream>>),
    Openssl(OverTls<OpensslSession, TcpStream>),
}

impl Ours {
    pub fn new(case: Case, tcp: TcpStream) -> Self {
        let either = match case.ours {
            Library::Rustls => {
                Either::Rustls(Box::new(RustlsTransport::new(setup::rustls(case.version, case.client), tcp)))
            }
            Library::Openssl => {
                let ssl = setup::openssl(case.version, case.client);
                let session = OpensslSession(SslStream::new(ssl, tcp.try_clone().unwrap()).unwrap());
                Either::Openssl(over(session, tcp).unwrap())
            }
        };
        Self { either, drains: Arc::default() }
    }

    pub fn handshake(&mut self, limit: Duration) -> io::Result<()> {
        match &mut self.either {
            Either::Rustls(transport) => transport.handshake(limit),
            Either::Openssl(transport) => transport.handshake(limit),
        }
    }
}

impl AsFd for Ours {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.either {
            Either::Rustls(transport) => transport.as_fd(),
            Either::Openssl(transport) => transport.as_fd(),
        }
    }
}

impl AsRawFd for Ours {
    fn as_raw_fd(&self) -> RawFd {
        match &self.either {
            Either::Rustls(transport) => transport.as_raw_fd(),
            Either::Openssl(transport) => transport.as_raw_fd(),
        }
    }
}

macro_rules! delegate {
    ($($name:ident(&mut self $(, $arg:ident: $type:ty)*) -> $result:ty;)*) => {
        $(fn $name(&mut self $(, $arg: $type)*) -> $result {
            match &mut self.either {
                Either::Rustls(transport) => transport.$name($($arg),*),
                Either::Openssl(transport) => transport.$name($($arg),*),
            }
        })*
    };
}

impl Transport for Ours {
    delegate! {
        try_read(&mut self, buf: &mut [u8]) -> io::Result<usize>;
        try_write(&mut self, bytes: &[u8]) -> io::Result<usize>;
        no_delay(&mut self) -> ();
        try_flush(&mut self) -> io::Result<usize>;
        notify(&mut self) -> io::Result<()>;
        shut(&mut self) -> io::Result<()>;
        wait(&mut self, interest: Interest, limit: Duration, wake: Option<BorrowedFd<'_>>) -> io::Result<Interest>;
        read_within(&mut self, buf: &mut [u8], limit: Duration) -> io::Result<usize>;
    }

    fn watch(&self, interest: Interest) -> Option<(BorrowedFd<'_>, Interest)> {
        match &self.either {
            Either::Rustls(transport) => transport.watch(interest),
            Either::Openssl(transport) => transport.watch(interest),
        }
    }

    fn drain(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.drains.fetch_add(1, Ordering::Relaxed);
        match &mut self.either {
            Either::Rustls(transport) => transport.drain(buf),
            Either::Openssl(transport) => transport.drain(buf),
        }
    }

    fn is_tls(&self) -> bool {
        match &self.either {
            Either::Rustls(transport) => transport.is_tls(),
            Either::Openssl(transport) => transport.is_tls(),
        }
    }

    fn unread(&self) -> u64 {
        match &self.either {
            Either::Rustls(transport) => transport.unread(),
            Either::Openssl(transport) => transport.unread(),
        }
    }

    fn unacked(&self) -> u64 {
        match &self.either {
            Either::Rustls(transport) => transport.unacked(),
            Either::Openssl(transport) => transport.unacked(),
        }
    }
}

/// Our end with its TLS handshake done, and the scripted peer on its thread.
pub fn connect<R: Send + 'static>(
    case: Case,
    pair: (TcpStream, TcpStream),
    script: impl FnOnce(TlsPeer) -> R + Send + 'static,
) -> (Ours, mpsc::Sender<()>, script::Running<R>) {
    let (ours, theirs) = pair;
    let (delivered, deliveries) = mpsc::channel();
    let peer = script::start(case, theirs, deliveries, script);
    let mut ours = Ours::new(case, ours);
    ours.handshake(PATIENCE).unwrap();
    (ours, delivered, peer)
}

/// What a close came to.
pub struct Closed {
    pub report: Report,
    /// The late stanzas.
    pub delivered: Vec<String>,
    pub drains: usize,
}

/// Closes one stream, against the script.
pub fn close(case: Case, options: &CloseOptions, script: impl FnOnce(TlsPeer) + Send + 'static) -> Closed {
    close_over(case, peer::pair(), options, script)
}

pub fn close_over(
    case: Case,
    pair: (TcpStream, TcpStream),
    options: &CloseOptions,
    script: impl FnOnce(TlsPeer) + Send + 'static,
) -> Closed {
    let (ours, delivery, peer) = connect(case, pair, script);
    let drains = ours.drains.clone();
    let mut delivered = Vec::new();
    let mut deliver = |stanza: &str| {
        delivered.push(stanza.to_owned());
        let _ = delivery.send(()); // the script may not care
    };
    let report = if case.batch {
        let mut batch = Batch::new().unwrap();
        batch.add(ours, options, |stanza| deliver(stanza.as_str())).unwrap();
        batch.run(BatchOptions::new()).unwrap().reports.remove(0)
    } else {
        let mut closing = options.begin(ours).unwrap();
        closing.by_ref().for_each(|stanza| deliver(stanza.as_str()));
        closing.finish()
    };
    drop(delivery);
    peer.join();
    Closed { report, delivered, drains: drains.load(Ordering::Relaxed) }
}
