//! A silent peer costs next to nothing, although poll(2) says all the time that something is ready.

use std::{
    io::{self, ErrorKind, IoSlice},
    net::TcpStream,
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    thread,
    time::{Duration, Instant},
};

use socket2::{MsgHdr, SockRef};
use xmpp_close::{Batch, BatchOptions, Canceller, CloseOptions, Interest, Outcome, Report, Transport};

use crate::{
    assert_cheap, peer, set, thread_time,
    ways::{CLOSES, HEADER, OTHER_WAITS},
};

const LIMIT: Duration = Duration::from_millis(1500);

/// Makes poll(2) lie.
type Prepare = fn(&TcpStream);

const LIES: [(&str, Prepare); 3] = [
    ("a timestamp is pending", |tcp| {
        // TX_SOFTWARE, SOFTWARE, OPT_ID: when each byte left is told in the error queue.
        set(tcp, libc::SO_TIMESTAMPING, 1 << 1 | 1 << 4 | 1 << 7);
        SockRef::from(tcp).send(HEADER.as_bytes()).unwrap();
        await_notice(tcp);
    }),
    ("a notice of MSG_ZEROCOPY is pending", |tcp| {
        set(tcp, libc::SO_ZEROCOPY, 1);
        let message = [IoSlice::new(HEADER.as_bytes())];
        SockRef::from(tcp).sendmsg(&MsgHdr::new().with_buffers(&message), libc::MSG_ZEROCOPY).unwrap();
        await_notice(tcp);
    }),
    ("less than SO_RCVLOWAT has come", |tcp| set(tcp, libc::SO_RCVLOWAT, 4096)),
];

/// Waits until the error queue is not empty.
fn await_notice(tcp: &TcpStream) {
    let mut fd = libc::pollfd { fd: tcp.as_raw_fd(), events: 0, revents: 0 };
    // SAFETY: one live struct.
    let ready = unsafe { libc::poll(&raw mut fd, 1, peer::PATIENCE.as_millis() as i32) };
    assert_eq!((ready, fd.revents), (1, libc::POLLERR), "no notice has come");
}

/// All waits at once, each on its own thread, whose time is measured.
fn all_are_cheap(wait: impl Fn(usize, TcpStream) + Sync, ways: &[String], prepare: Prepare) {
    thread::scope(|scope| {
        for (number, way) in ways.iter().enumerate() {
            let wait = &wait;
            scope.spawn(move || {
                assert_cheap(way, LIMIT, || {
                    let (ours, _theirs) = peer::pair_with_buffers(4096);
                    prepare(&ours);
                    wait(number, ours);
                });
            });
        }
    });
}

#[test]
fn a_close_that_waits_costs_nothing_whatever_poll_says() {
    for (lie, prepare) in LIES {
        let names: Vec<_> = CLOSES.iter().map(|(name, _)| format!("{lie}, {name}")).collect();
        let close = |number: usize, tcp| {
            let (_, close) = CLOSES[number];
            let report = close(tcp, CloseOptions::new().total(LIMIT));
            assert_eq!(report.outcome, Outcome::TimedOut, "{report}");
        };
        all_are_cheap(close, &names, prepare);
    }
}

#[test]
fn every_other_wait_costs_nothing_whatever_poll_says() {
    for (lie, prepare) in LIES {
        let names: Vec<_> = OTHER_WAITS.iter().map(|(name, _)| format!("{lie}, {name}")).collect();
        all_are_cheap(|number, tcp| OTHER_WAITS[number].1(tcp, LIMIT), &names, prepare);
    }
}

/// What each costs is little, but they are many: the pauses become longer.
#[test]
fn many_streams_in_a_batch_leave_most_of_the_processor_whatever_poll_says() {
    for (lie, prepare) in LIES {
        let pairs: Vec<_> = (0..300).map(|_| peer::pair()).collect();
        let mut batch = Batch::new().unwrap();
        for (ours, _) in &pairs {
            prepare(ours);
            batch.add(ours.as_fd(), &CloseOptions::new(), |_| {}).unwrap();
        }
        let (start, before) = (Instant::now(), thread_time());
        let report = batch.run(BatchOptions::new().total(LIMIT)).unwrap();
        let (took, cost) = (start.elapsed(), thread_time() - before);
        assert_eq!(report.summary.count(Outcome::TimedOut), pairs.len(), "{}", report.summary);
        println!("{lie}: {cost:?} in {took:?}");
        assert!(cost < took / 5, "{lie}: {cost:?} in {took:?}");
    }
}

/// A transport on which nothing ever moves, though its descriptor is ready.
struct Liar<'a> {
    ready: BorrowedFd<'a>,
    /// What this transport says of a write.
    write: fn() -> io::Result<usize>,
}

impl Transport for Liar<'_> {
    fn try_read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(ErrorKind::WouldBlock.into())
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (self.write)().map(|count: usize| count.min(bytes.len()))
    }

    fn shut(&mut self) -> io::Result<()> {
        Err(ErrorKind::WouldBlock.into())
    }

    fn wait(&mut self, interest: Interest, _: Duration, _: Option<BorrowedFd<'_>>) -> io::Result<Interest> {
        Ok(interest)
    }

    fn watch(&self, _: Interest) -> Option<(BorrowedFd<'_>, Interest)> {
        Some((self.ready, Interest::WRITE))
    }
}

type WriteResult = fn() -> io::Result<usize>;

#[test]
fn a_transport_that_says_it_is_ready_and_moves_nothing_costs_nothing() {
    let writes: [(&str, WriteResult, Outcome); 3] = [
        ("takes all", || Ok(usize::MAX), Outcome::TimedOut),
        ("takes nothing", || Ok(0), Outcome::Stalled),
        ("would block", || Err(ErrorKind::WouldBlock.into()), Outcome::Stalled),
    ];
    let alone = |liar: Liar<'_>, options: &CloseOptions| options.close(liar).unwrap();
    let cancellable = |liar: Liar<'_>, options: &CloseOptions| {
        options.clone().canceller(&Canceller::new().unwrap()).close(liar).unwrap()
    };
    let in_a_batch = |liar: Liar<'_>, options: &CloseOptions| {
        let mut batch = Batch::new().unwrap();
        batch.add(liar, options, |_| {}).unwrap();
        batch.run(BatchOptions::new()).unwrap().reports.remove(0)
    };
    type Close = fn(Liar<'_>, &CloseOptions) -> Report;
    let closes: [(&str, Close); 3] = [("alone", alone), ("with a canceller", cancellable), ("in a batch", in_a_batch)];
    thread::scope(|scope| {
        for (says, write, outcome) in writes {
            for (way, close) in closes {
                scope.spawn(move || {
                    let (ready, _theirs) = peer::pair(); // it can be written to
                    let options = CloseOptions::new().total(LIMIT);
                    assert_cheap(&format!("{says}, {way}"), LIMIT, || {
                        let report = close(Liar { ready: ready.as_fd(), write }, &options);
                        assert_eq!(report.outcome, outcome, "{says}: {report}");
                    });
                });
            }
        }
    });
}
