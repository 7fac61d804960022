//! The other end: a TLS server (or client) that does exactly what the script says, and tells what came.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, TcpStream},
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{Receiver, TryRecvError},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use openssl::ssl::{ErrorCode, SslStream};
use rustls::Connection;

use crate::{
    openssl_session::OpensslSession,
    peer::{PATIENCE, TAG},
    records::{Log, Record, Tap},
    setup::{self, Case, Library},
};

/// A record that nobody encrypted.
pub const GARBAGE: &[u8] = b"\x17\x03\x03\x00\x28ffffffffffffffffffffffffffffffffffffffff";

/// What one read found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Got {
    Data,
    Notify,
    /// The end of TCP.
    Fin,
    Reset,
    /// TLS failed.
    Failed,
}

enum Session {
    Rustls(Box<Connection>, Tap),
    Openssl(SslStream<Tap>),
}

pub struct TlsPeer {
    case: Case,
    session: Session,
    /// The socket below TLS.
    pub tcp: TcpStream,
    pub log: Arc<Log>,
    /// All plaintext that came.
    pub got: Vec<u8>,
    deliveries: Receiver<()>,
}

pub struct Running<R>(JoinHandle<R>);

impl<R> Running<R> {
    pub fn join(self) -> R {
        self.0.join().expect("the script failed, see above")
    }
}

/// Does the TLS handshake on a thread, then the script.
pub fn start<R: Send + 'static>(
    case: Case,
    tcp: TcpStream,
    deliveries: Receiver<()>,
    script: impl FnOnce(TlsPeer) -> R + Send + 'static,
) -> Running<R> {
    Running(thread::spawn(move || script(TlsPeer::accept(case, tcp, deliveries))))
}

impl TlsPeer {
    /// Does the TLS handshake.
    pub fn accept(case: Case, tcp: TcpStream, deliveries: Receiver<()>) -> Self {
        tcp.set_nodelay(true).unwrap(); // each step of a script is on the wire at once
        let log = Arc::<Log>::default();
        let mut tap = Tap { tcp: tcp.try_clone().unwrap(), log: log.clone(), corked: None };
        let session = match case.theirs {
            Library::Rustls => {
                let mut session = setup::rustls(case.version, !case.client);
                session.set_buffer_limit(None);
                // Ends with the handshake, so that the tickets of TLS 1.3 wait for the script to write.
                while session.is_handshaking() {
                    if session.wants_write() {
                        session.write_tls(&mut tap).unwrap();
                    } else {
                        assert!(session.read_tls(&mut tap).unwrap() > 0, "EOF in the TLS handshake");
                        session.process_new_packets().unwrap();
                    }
                }
                Session::Rustls(Box::new(session), tap)
            }
            Library::Openssl => {
                let mut session = SslStream::new(setup::openssl(case.version, !case.client), tap).unwrap();
                session.do_handshake().unwrap();
                Session::Openssl(session)
            }
        };
        let mut peer = Self { case, session, tcp, log, got: Vec::new(), deliveries };
        if case.version == setup::Version::Tls12 || !case.client {
            peer.write_pending(); // the last flight of the handshake
        }
        peer
    }

    /// Writes what TLS still has to write: tickets, alerts. OpenSSL never leaves any.
    pub fn write_pending(&mut self) -> &mut Self {
        if let Session::Rustls(session, tap) = &mut self.session {
            while session.wants_write() {
                session.write_tls(tap).unwrap();
            }
        }
        self
    }

    /// Encrypts and sends.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.try_send(bytes).unwrap();
        self
    }

    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        match &mut self.session {
            Session::Rustls(session, tap) => {
                for chunk in bytes.as_ref().chunks(65536) {
                    session.writer().write_all(chunk)?;
                    while session.wants_write() {
                        session.write_tls(tap)?;
                    }
                }
                Ok(())
            }
            Session::Openssl(session) => session.write_all(bytes.as_ref()),
        }
    }

    pub fn notify(&mut self) -> &mut Self {
        match &mut self.session {
            Session::Rustls(session, _) => session.send_close_notify(),
            Session::Openssl(session) => {
                session.shutdown().unwrap();
            }
        }
        self.write_pending()
    }

    pub fn fin(&mut self) -> &mut Self {
        self.tcp.shutdown(Shutdown::Write).unwrap();
        self
    }

    /// What the script sends leaves as one burst.
    pub fn in_one_burst(&mut self, script: impl FnOnce(&mut Self)) -> &mut Self {
        let burst = self.encrypted(script);
        self.write_below(&burst)
    }

    /// Writes to the socket below TLS.
    pub fn write_below(&mut self, bytes: &[u8]) -> &mut Self {
        self.tcp.write_all(bytes).unwrap();
        self
    }

    /// The records of what the script sends, not sent.
    pub fn encrypted(&mut self, script: impl FnOnce(&mut Self)) -> Vec<u8> {
        self.tap().corked = Some(Vec::new());
        script(self);
        self.tap().corked.take().unwrap()
    }

    /// The record of a large stanza.
    pub fn large_record(&mut self) -> Vec<u8> {
        let stanza = format!("<message><body>{}</body></message>", "x".repeat(12_000));
        self.encrypted(|peer| {
            peer.send(stanza);
        })
    }

    /// Asks for new keys in both directions (TLS 1.3).
    pub fn update_keys(&mut self) -> &mut Self {
        let Session::Rustls(session, _) = &mut self.session else { panic!("only rustls can be told to") };
        session.refresh_traffic_keys().unwrap();
        self.write_pending()
    }

    /// The next bytes that come will not be what was sent.
    pub fn spoil_next(&mut self) -> &mut Self {
        self.log.spoil.store(true, Ordering::Relaxed);
        self
    }

    fn tap(&mut self) -> &mut Tap {
        match &mut self.session {
            Session::Rustls(_, tap) => tap,
            Session::Openssl(session) => session.get_mut(),
        }
    }

    /// Blocks until something came.
    pub fn receive(&mut self) -> Got {
        let mut chunk = [0; 65536];
        let result = match &mut self.session {
            Session::Rustls(session, tap) => loop {
                match session.reader().read(&mut chunk) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    result => break result,
                }
                if let Err(error) = session.read_tls(tap) {
                    break Err(error);
                }
                if session.process_new_packets().is_err() {
                    self.write_pending();
                    return Got::Failed;
                }
            },
            Session::Openssl(session) => match session.ssl_read(&mut chunk) {
                Err(error) if error.code() == ErrorCode::ZERO_RETURN => Ok(0),
                Err(error) => match OpensslSession::judge(error) {
                    xmpp_close::TlsError::Eof => Err(ErrorKind::UnexpectedEof.into()),
                    xmpp_close::TlsError::Io(error) => Err(error),
                    _ => return Got::Failed,
                },
                result => Ok(result.unwrap()),
            },
        };
        match result {
            Ok(0) => Got::Notify,
            Ok(count) => {
                self.got.extend_from_slice(&chunk[..count]);
                Got::Data
            }
            Err(error) => match error.kind() {
                ErrorKind::UnexpectedEof => Got::Fin,
                ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Got::Reset,
                _ => panic!("{error} after {:?}", self.text()),
            },
        }
    }

    pub fn read_tag(&mut self) -> &mut Self {
        while !self.got.ends_with(TAG.as_bytes()) {
            assert_eq!(self.receive(), Got::Data, "after {:?}", self.text());
        }
        self
    }

    /// Waits until our end has handed this many late stanzas to the application: by then it has done all it does in between.
    pub fn until_delivered(&mut self, count: usize) -> &mut Self {
        for _ in 0..count {
            self.deliveries.recv_timeout(PATIENCE).expect("a late stanza was not delivered");
        }
        self
    }

    /// Waits until the close has returned.
    pub fn until_over(&mut self) -> &mut Self {
        while self.deliveries.recv().is_ok() {}
        self
    }

    pub fn is_over(&self) -> bool {
        loop {
            match self.deliveries.try_recv() {
                Ok(()) => {}
                Err(error) => return error == TryRecvError::Disconnected,
            }
        }
    }

    /// Nothing has come since the tag: no alert, no FIN (TL-04).
    pub fn expect_silence(&mut self) -> &mut Self {
        assert_eq!(self.alerts(), 0, "an alert before our tag");
        self.tcp.set_nonblocking(true).unwrap();
        let result = self.tcp.peek(&mut [0; 64]);
        self.tcp.set_nonblocking(false).unwrap();
        match result {
            Err(error) if error.kind() == ErrorKind::WouldBlock => self,
            Ok(0) => panic!("FIN before our tag"),
            other => panic!("{other:?} bytes before our tag"),
        }
    }

    /// No FIN comes for a while.
    pub fn expect_no_end_for(&mut self, time: Duration) -> &mut Self {
        self.tcp.set_read_timeout(Some(time)).unwrap();
        let result = self.tcp.peek(&mut [0; 64]);
        self.tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        assert!(result.is_err_and(|error| error.kind() == ErrorKind::WouldBlock), "something came");
        self
    }

    pub fn expect_notify(&mut self) -> &mut Self {
        assert_eq!(self.receive(), Got::Notify, "after {:?}", self.text());
        self.expect_one_alert_at_the_end();
        self
    }

    /// The end of TCP, with no record in front of it.
    pub fn expect_fin(&mut self) -> &mut Self {
        assert_eq!(self.read_below().unwrap(), [], "bytes before FIN");
        assert!(!self.log.is_inside_record());
        self
    }

    /// TL-01: the alert, then FIN, and nothing else.
    pub fn expect_notify_and_fin(&mut self) -> &mut Self {
        self.expect_notify().expect_fin()
    }

    /// Reads TCP to its end, below TLS.
    pub fn read_below(&mut self) -> io::Result<Vec<u8>> {
        let mut rest = Vec::new();
        let result = self.tcp.read_to_end(&mut rest);
        self.log.add(&rest);
        result.map(|_| rest)
    }

    /// The records that still come, to the end of TCP, whatever it is: who stops reading may leave a RST.
    pub fn last_words(&mut self) -> Vec<Record> {
        let before = self.records().len();
        if let Err(error) = self.read_below() {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        }
        self.records()[before..].to_vec()
    }

    pub fn records(&self) -> Vec<Record> {
        self.log.records(self.case.version)
    }

    pub fn alerts(&self) -> usize {
        self.records().into_iter().filter(|record| *record == Record::Alert).count()
    }

    pub fn expect_one_alert_at_the_end(&self) {
        let records = self.records();
        assert_eq!((records.last(), self.alerts()), (Some(&Record::Alert), 1), "{records:?}");
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.got[self.got.len().saturating_sub(400)..]).into_owned()
    }
}
