//! A transport that plays a script, and writes down what it is asked for.

use std::{
    collections::VecDeque,
    io::{self, ErrorKind},
    net::UdpSocket,
    sync::{Arc, Mutex, MutexGuard},
    thread,
    time::Duration,
};

use xmpp_close::{BorrowedSocket, Interest, Transport};

use crate::{local::lent, peer::TAG};

/// What comes from the peer, one after the other.
#[derive(Clone, Copy, Debug)]
pub enum In {
    Bytes(&'static str),
    /// Nothing more before our tag is with the kernel.
    OurTag,
    /// Nothing more before our output is ended, or `close_notify` was sent.
    OurEnd,
    /// Nothing more before TCP's output is ended.
    OurFin,
    /// `close_notify`.
    Notify,
    Eof,
    Fails(i32),
}

/// How much the kernel takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Out {
    All,
    /// Nothing before so many attempts to read were made.
    After(usize),
    /// What is written is kept, and the kernel never gets it.
    Kept,
    Fails(i32),
}

#[derive(Clone, Debug)]
pub struct Script {
    pub tls: bool,
    pub incoming: &'static [In],
    pub output: Out,
}

#[derive(Default)]
struct Played {
    incoming: VecDeque<In>,
    reads: usize,
    kept: usize,
    notified: bool,
    /// What was written, and `|N` for `close_notify`, `|S` for the end of TCP.
    log: String,
}

pub struct Scripted {
    script: Script,
    played: Arc<Mutex<Played>>,
    /// A batch wants one.
    descriptor: UdpSocket,
}

/// What went over the wire.
#[derive(Clone)]
pub struct Log(Arc<Mutex<Played>>);

impl Log {
    pub fn text(&self) -> String {
        self.0.lock().unwrap().log.clone()
    }
}

impl Scripted {
    pub fn new(script: &Script) -> (Self, Log) {
        let played = Played { incoming: script.incoming.iter().copied().collect(), ..Played::default() };
        let played = Arc::new(Mutex::new(played));
        let descriptor = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
        (Self { script: script.clone(), played: played.clone(), descriptor }, Log(played))
    }

    fn played(&self) -> MutexGuard<'_, Played> {
        self.played.lock().unwrap()
    }

    fn next(&self) -> Option<In> {
        let mut played = self.played();
        let sent = played.log.contains(TAG) && played.kept == 0;
        while let Some(gate) = played.incoming.front() {
            let reached = match gate {
                In::OurTag => sent,
                In::OurEnd => played.log.contains('|'),
                In::OurFin => played.log.contains("|S"),
                _ => break,
            };
            if !reached {
                return None;
            }
            played.incoming.pop_front();
        }
        played.incoming.pop_front()
    }

    fn read(&mut self, buf: &mut [u8], below_tls: bool) -> io::Result<usize> {
        self.played().reads += 1;
        match self.next() {
            None => Err(ErrorKind::WouldBlock.into()),
            Some(In::Bytes(bytes)) => {
                buf[..bytes.len()].copy_from_slice(bytes.as_bytes());
                Ok(bytes.len())
            }
            Some(In::Notify) => {
                assert!(!below_tls);
                self.played().notified = true;
                Ok(0)
            }
            Some(In::Eof) => {
                self.played().incoming.push_front(In::Eof); // it stays so
                if self.script.tls && !below_tls { Err(ErrorKind::UnexpectedEof.into()) } else { Ok(0) }
            }
            Some(In::Fails(code)) => Err(io::Error::from_raw_os_error(code)),
            Some(In::OurTag | In::OurEnd | In::OurFin) => unreachable!(),
        }
    }
}

impl Transport for Scripted {
    fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        assert!(!self.played().notified, "a read above TLS behind close_notify");
        self.read(buf, false)
    }

    fn drain(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.read(buf, true)
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut played = self.played();
        match self.script.output {
            Out::After(reads) if played.reads < reads => return Err(ErrorKind::WouldBlock.into()),
            Out::Fails(code) => return Err(io::Error::from_raw_os_error(code)),
            Out::Kept => played.kept += bytes.len(),
            _ => {}
        }
        assert!(!played.log.contains('|') && !played.log.contains(TAG), "something behind the end: {}", played.log);
        played.log.push_str(std::str::from_utf8(bytes).unwrap());
        Ok(bytes.len())
    }

    fn try_flush(&mut self) -> io::Result<usize> {
        Ok(self.played().kept)
    }

    fn notify(&mut self) -> io::Result<()> {
        assert!(self.script.tls);
        self.played().log.push_str("|N");
        Ok(())
    }

    fn shut(&mut self) -> io::Result<()> {
        self.played().log.push_str("|S");
        Ok(())
    }

    fn wait(&mut self, interest: Interest, limit: Duration, _: Option<BorrowedSocket<'_>>) -> io::Result<Interest> {
        assert_ne!(interest, Interest::default(), "there is nothing to wait for");
        thread::sleep(limit.min(Duration::from_millis(1)));
        Ok(interest)
    }

    fn watch(&self, _: Interest) -> Option<(BorrowedSocket<'_>, Interest)> {
        Some((lent(&self.descriptor), Interest::default())) // it is tried again after a while
    }

    fn is_tls(&self) -> bool {
        self.script.tls
    }

    fn unread(&self) -> u64 {
        let played = self.played();
        let come =
            played.incoming.iter().map_while(|next| if let In::Bytes(bytes) = next { Some(bytes) } else { None });
        come.map(|bytes| bytes.len() as u64).sum()
    }
}
