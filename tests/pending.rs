//! Transports that stand between the library and the kernel. One takes bytes at once and passes them to the kernel
//! slowly, as a TLS layer over memory does. Another one pauses: it does not want to read for a while.

#[path = "support/local.rs"]
mod local;
#[path = "support/peer.rs"]
mod peer;

use std::{
    io::{self, ErrorKind, Read, Write},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use local::lent;
use peer::{PATIENCE, TAG};
#[cfg(feature = "batch")]
use xmpp_close::{Batch, BatchOptions};
use xmpp_close::{
    BorrowedSocket, CloseOptions, Incoming, Initiator, Interest, Outcome, Report, Step, Stream, Transport,
};

const FAREWELL: &str = "<presence type='unavailable'/>";

/// What a transport was asked for.
#[derive(Default)]
struct Calls {
    reads: AtomicU32,
    flushes: AtomicU32,
    shuts: AtomicU32,
}

fn count(calls: &AtomicU32) -> u32 {
    calls.fetch_add(1, Relaxed) + 1
}

/// Over TLS, the byte 0 is `close_notify`. XML has none.
struct Slow {
    socket: TcpStream,
    is_tls: bool,
    kept: Vec<u8>,
    /// How many bytes reach the kernel in one call.
    passes: usize,
    /// How many attempts to read are answered by a pause.
    pauses: u32,
    notified: bool,
    calls: Arc<Calls>,
}

impl Slow {
    fn new(socket: TcpStream, passes: usize) -> Self {
        socket.set_nonblocking(true).unwrap();
        Self { socket, is_tls: false, kept: Vec::new(), passes, pauses: 0, notified: false, calls: Arc::default() }
    }
}

impl Transport for Slow {
    fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        count(&self.calls.reads);
        if self.is_paused() {
            return Err(ErrorKind::WouldBlock.into());
        }
        assert!(!self.notified, "a read behind close_notify");
        let got = self.socket.read(buf)?;
        if !self.is_tls {
            return Ok(got);
        }
        let end = buf[..got].iter().position(|byte| *byte == 0);
        self.notified = end == Some(0);
        match end.unwrap_or(got) {
            0 if end.is_none() => Err(ErrorKind::UnexpectedEof.into()),
            plain => {
                assert!(end.is_none_or(|end| end == 0), "the peers here send it by itself");
                Ok(plain)
            }
        }
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        assert!(self.kept.is_empty(), "more is given while something is kept");
        self.kept.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn try_flush(&mut self) -> io::Result<usize> {
        count(&self.calls.flushes);
        let most = self.kept.len().min(self.passes);
        if most > 0 {
            let written = self.socket.write(&self.kept[..most])?;
            self.kept.drain(..written);
        }
        Ok(self.kept.len())
    }

    fn notify(&mut self) -> io::Result<()> {
        assert!(self.is_tls && self.kept.is_empty(), "close_notify in front of what is kept");
        self.kept.push(0);
        Ok(())
    }

    fn shut(&mut self) -> io::Result<()> {
        assert!(self.kept.is_empty(), "the end of TCP in front of {:?}", String::from_utf8_lossy(&self.kept));
        count(&self.calls.shuts);
        Transport::shut(&mut self.socket)
    }

    fn wait(&mut self, interest: Interest, limit: Duration, wake: Option<BorrowedSocket<'_>>) -> io::Result<Interest> {
        assert_ne!(interest, Interest::default(), "there is nothing to wait for");
        self.socket.wait(interest, limit, wake)
    }

    fn watch(&self, interest: Interest) -> Option<(BorrowedSocket<'_>, Interest)> {
        Some((lent(&self.socket), interest))
    }

    fn drain(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket.read(buf)
    }

    fn is_tls(&self) -> bool {
        self.is_tls
    }

    fn is_paused(&self) -> bool {
        self.calls.reads.load(Relaxed) <= self.pauses && self.calls.reads.load(Relaxed) > 0
    }
}

#[cfg(unix)]
impl std::os::fd::AsFd for Slow {
    fn as_fd(&self) -> BorrowedSocket<'_> {
        self.socket.as_fd()
    }
}

#[cfg(windows)]
impl std::os::windows::io::AsSocket for Slow {
    fn as_socket(&self) -> BorrowedSocket<'_> {
        self.socket.as_socket()
    }
}

/// Closes in each way that there is.
fn each_way(close: impl Fn(&dyn Fn(&CloseOptions, Slow) -> Report)) {
    close(&|options, transport| options.close(transport).unwrap());
    close(&|options, transport| {
        let mut closing = options.begin(transport).unwrap();
        loop {
            match closing.step() {
                Step::Wait(wait) => {
                    // A transport that pauses goes on by itself. Ready is what the socket is, even if the transport
                    // holds back.
                    let soon = Instant::now() + Duration::from_millis(100);
                    let limit = wait.deadline.unwrap_or(soon).min(soon).saturating_duration_since(Instant::now());
                    let interest = Interest { read: wait.read, write: false };
                    if interest == Interest::default() && !wait.write {
                        thread::sleep(limit);
                    } else {
                        let pause = if wait.write { limit.min(Duration::from_millis(5)) } else { limit };
                        lent(&closing).wait(interest, pause, None).unwrap();
                    }
                }
                Step::Over(report) => return report,
                _ => {}
            }
        }
    });
    #[cfg(feature = "batch")]
    close(&|options, transport| {
        let mut batch = Batch::new().unwrap();
        batch.add(transport, options, |_| {}).unwrap();
        batch.run(BatchOptions::new().total(PATIENCE)).unwrap().reports.remove(0)
    });
}

#[test]
fn our_tag_is_sent_and_the_output_ended_when_the_kernel_has_all() {
    const PASSES: usize = 997;
    let farewell = FAREWELL.repeat(5000); // too much to be given at once
    let expected = farewell.clone() + TAG;
    each_way(|close| {
        for is_tls in [false, true] {
            let expected = expected.clone();
            let (ours, mut theirs) = peer::pair();
            theirs.write_all(format!("<a/>{TAG}").as_bytes()).unwrap();
            let peer = peer::peer(theirs, move |mut peer| {
                if is_tls {
                    peer.read_until("\0").send("\0");
                }
                peer.rest().unwrap();
                assert!(
                    peer.got.strip_suffix(b"\0").unwrap_or(&peer.got) == expected.as_bytes(),
                    "{} bytes",
                    peer.got.len()
                );
            });
            let mut transport = Slow::new(ours, PASSES);
            transport.is_tls = is_tls;
            let calls = transport.calls.clone();
            let report = close(&CloseOptions::new().total(PATIENCE).farewell(farewell.as_str()), transport);
            assert_eq!((report.outcome, report.initiator), (Outcome::Clean, Some(Initiator::Crossing)), "{report}");
            assert_eq!((report.bytes_unsent, report.tls.sent, report.tls.received), (0, is_tls, is_tls));
            assert_eq!(calls.shuts.load(Relaxed), 1);
            assert!(calls.flushes.load(Relaxed) as usize > farewell.len() / PASSES);
            peer.join().unwrap();
        }
    });
}

/// The peer, which has closed, waits for our tag as long as it is kept.
#[test]
fn what_never_reaches_the_kernel_is_not_sent() {
    const TOTAL: Duration = Duration::from_millis(500);
    each_way(|close| {
        for is_tls in [false, true] {
            let (ours, theirs) = peer::pair();
            let peer = peer::peer(theirs, |mut peer| {
                peer.send(TAG).rest().unwrap_or_default();
                peer.text()
            });
            let mut transport = Slow::new(ours, 0);
            transport.is_tls = is_tls;
            let calls = transport.calls.clone();
            let report = close(&CloseOptions::new().total(TOTAL).farewell(FAREWELL), transport);
            assert_eq!((report.outcome, report.tag_sent), (Outcome::Stalled, false), "{report}");
            assert_eq!(report.bytes_unsent as usize, FAREWELL.len() + TAG.len());
            assert_eq!((calls.shuts.load(Relaxed), report.tls.sent), (0, false));
            // The socket is writable all the time.
            assert!(calls.flushes.load(Relaxed) < 500, "{} attempts", calls.flushes.load(Relaxed));
            assert_eq!(peer.join().unwrap(), "");
        }
    });
}

/// What is readable all the time is looked at ten times a second, and the peer is not to blame.
#[test]
fn a_transport_that_pauses_is_asked_again_after_a_while() {
    const PAUSES: u32 = 6;
    const NO_PROGRESS: Duration = Duration::from_millis(250); // of which there would be two
    each_way(|close| {
        let (ours, mut theirs) = peer::pair();
        theirs.write_all(format!("<a/>{TAG}").as_bytes()).unwrap();
        let peer = peer::peer(theirs, |mut peer| peer.read_tag().expect_eof());
        let mut transport = Slow::new(ours, usize::MAX);
        transport.pauses = PAUSES;
        let calls = transport.calls.clone();
        let start = Instant::now();
        let report = close(&CloseOptions::new().total(PATIENCE).no_progress(NO_PROGRESS), transport);
        assert_eq!((report.outcome, report.stanzas), (Outcome::Clean, 1), "{report}");
        // The first two may be made at the beginning, and some without waiting at the end.
        assert!(start.elapsed() >= (PAUSES - 2) * Duration::from_millis(100), "{:?}", start.elapsed());
        assert!(calls.reads.load(Relaxed) < PAUSES + 10, "{} attempts", calls.reads.load(Relaxed));
        peer.join().unwrap();
    });
}

/// `send` returns when the kernel has the bytes, and `receive` does not ask a pausing transport again and again.
#[test]
fn a_session_waits_for_the_kernel_and_for_a_transport_that_pauses() {
    const PAUSES: u32 = 6;
    let (ours, mut theirs) = peer::pair();
    let header = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";
    theirs.write_all(header.as_bytes()).unwrap();
    let mut transport = Slow::new(ours, 10);
    transport.pauses = PAUSES;
    let calls = transport.calls.clone();
    let peer = peer::peer(theirs, |mut peer| {
        peer.read_tag().send(TAG).expect_eof();
        peer.text()
    });
    let mut stream = Stream::new(transport);
    stream.send(header).unwrap();
    assert!(stream.get_ref().kept.is_empty());
    let start = Instant::now();
    assert!(matches!(stream.receive().unwrap(), Incoming::Header(_)));
    assert!(start.elapsed() >= (PAUSES - 2) * Duration::from_millis(100), "{:?}", start.elapsed());
    let reads = calls.reads.load(Relaxed);
    assert!(reads < PAUSES + 10, "{reads} attempts");
    assert!(stream.close(&CloseOptions::new().total(PATIENCE)).unwrap().is_clean());
    assert_eq!(peer.join().unwrap(), format!("{header}{TAG}"));
}
