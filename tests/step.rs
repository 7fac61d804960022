//! A close that an event loop drives step by step, beside many others.

#![allow(unsafe_code, reason = "epoll and an option of a socket are system calls")]
#[path = "support/peer.rs"]
mod peer;
#[path = "step/transports.rs"]
mod transports;

#[cfg(unix)]
use std::os::fd::{AsFd, AsRawFd};
use std::{
    cell::RefCell,
    io::Write,
    net::TcpStream,
    rc::Rc,
    thread,
    time::{Duration, Instant},
};

use peer::{PATIENCE, Peer, TAG};
use rustix::event::{PollFd, PollFlags, Timespec};
use transports::{Flood, Moody, Random, Tried};
use xmpp_close::{CloseOptions, Closing, Initiator, Outcome, Report, Step, Transport, Wait};

/// How the other end behaves.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Behaviour {
    /// Reads our tag, sends so many stanzas and its tag.
    Answers(usize),
    /// Has sent its tag before we close.
    Early,
    /// Reads, and never answers.
    Mute,
    /// Ends TCP without its tag.
    Ends,
}

/// What a loop has to know of one close.
struct One {
    closing: Closing<TcpStream>,
    behaviour: Behaviour,
    wait: Option<Wait>,
    stanzas: Vec<String>,
    report: Option<Report>,
}

impl One {
    /// Steps until there is something to wait for.
    fn step(&mut self) {
        loop {
            match self.closing.step() {
                Step::Stanza(stanza) => self.stanzas.push(stanza.to_string()),
                Step::Wait(wait) => return self.wait = Some(wait),
                Step::Over(report) => return self.report = Some(report),
                other => panic!("{other:?}"),
            }
        }
    }
}

/// Begins a close for each behaviour; the peers are served by a thread.
fn begin(behaviours: Vec<Behaviour>) -> (Vec<One>, thread::JoinHandle<()>) {
    let mut peers = Vec::new();
    let closings = behaviours.into_iter().map(|behaviour| {
        let (ours, mut theirs) = peer::pair();
        let total = if behaviour == Behaviour::Mute { Duration::from_secs(1) } else { PATIENCE };
        if behaviour == Behaviour::Early {
            theirs.write_all(TAG.as_bytes()).unwrap();
            peer::wait_until(|| ours.peek(&mut [0; 64]).unwrap() == TAG.len());
        }
        peers.push((behaviour, Peer { tcp: theirs, got: Vec::new() }));
        let closing = CloseOptions::new().total(total).begin(ours).unwrap();
        One { closing, behaviour, wait: None, stanzas: Vec::new(), report: None }
    });
    let closings = closings.collect();
    let served = thread::spawn(move || {
        let mut mute = Vec::new();
        for (behaviour, mut peer) in peers {
            peer.read_tag();
            match behaviour {
                Behaviour::Answers(stanzas) => {
                    peer.send(peer::stanzas(stanzas)).send(TAG).expect_eof();
                }
                Behaviour::Early | Behaviour::Ends => {}
                Behaviour::Mute => mute.push(peer),
            }
        }
        mute.iter_mut().for_each(Peer::expect_eof);
    });
    (closings, served)
}

fn check(closings: Vec<One>) {
    for mut one in closings {
        let report = one.report.take().unwrap();
        let expected = match one.behaviour {
            Behaviour::Answers(stanzas) => {
                assert_eq!(one.stanzas.concat(), peer::stanzas(stanzas));
                (Outcome::Clean, Initiator::Us)
            }
            Behaviour::Early => (Outcome::Clean, Initiator::Crossing),
            Behaviour::Mute => (Outcome::TimedOut, Initiator::Us),
            Behaviour::Ends => (Outcome::PeerEof, Initiator::Us),
        };
        assert_eq!((report.outcome, report.initiator), (expected.0, Some(expected.1)), "{:?}: {report}", one.behaviour);
        assert_eq!(report.stanzas as usize, one.stanzas.len());
        let again = one.closing.step();
        assert!(matches!(&again, Step::Over(again) if again.outcome == report.outcome), "{again:?}");
        assert!(one.closing.into_transport().is_some());
    }
}

fn mixed(rounds: usize) -> Vec<Behaviour> {
    let one_round =
        |round: usize| [Behaviour::Answers(round % 5), Behaviour::Early, Behaviour::Answers(300), Behaviour::Ends];
    (0..rounds).flat_map(one_round).chain([Behaviour::Mute; 20]).collect()
}

fn events(read: bool, write: bool) -> PollFlags {
    let mut events = PollFlags::empty();
    events.set(PollFlags::IN, read);
    events.set(PollFlags::OUT, write);
    events
}

fn poll(fds: &mut [PollFd<'_>], deadline: Instant) {
    // Rounded up, so that a deadline that is near is no busy loop.
    let limit = deadline.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
    if fds.is_empty() {
        return thread::sleep(limit); // Windows takes no empty set
    }
    rustix::event::poll(fds, Some(&Timespec::try_from(limit).unwrap())).unwrap();
}

#[test]
fn hundreds_of_closes_in_one_poll_loop() {
    let (mut closings, served) = begin(mixed(70));
    closings.iter_mut().for_each(One::step);
    loop {
        let waits = closings.iter().enumerate().filter(|(_, one)| one.report.is_none());
        let waits: Vec<_> = waits.map(|(number, one)| (number, one.wait.unwrap())).collect();
        let Some(deadline) = waits.iter().filter_map(|(_, wait)| wait.deadline).min() else { break };
        let watched: Vec<_> = waits.iter().filter(|(_, wait)| wait.read || wait.write).collect();
        let mut fds: Vec<_> = watched
            .iter()
            .map(|(number, wait)| PollFd::new(&closings[*number].closing, events(wait.read, wait.write)))
            .collect();
        poll(&mut fds, deadline);
        let ready = fds.iter().zip(&watched).filter(|(fd, _)| !fd.revents().is_empty());
        let ready: Vec<_> = ready.map(|(_, (number, _))| *number).collect();
        let now = Instant::now();
        for (number, wait) in waits {
            if ready.contains(&number) || wait.deadline.is_some_and(|deadline| deadline <= now) {
                closings[number].step();
            }
        }
    }
    served.join().unwrap();
    check(closings);
}

/// An edge is told once: a loop that waits for what it has not tried waits for ever.
#[test]
#[cfg(target_os = "linux")]
fn edge_triggered_readiness_is_enough() {
    let (mut closings, served) = begin(mixed(20));
    // SAFETY: it is closed below; the descriptors that it watches are open.
    let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
    assert!(epoll >= 0);
    for (number, one) in closings.iter().enumerate() {
        let events = (libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLET) as u32;
        let mut event = libc::epoll_event { events, u64: number as u64 };
        let fd = one.closing.as_raw_fd();
        // SAFETY: as above.
        let added = unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, fd, &raw mut event) };
        assert_eq!(added, 0);
    }
    closings.iter_mut().for_each(One::step);
    while closings.iter().any(|one| one.report.is_none()) {
        let waits = closings.iter().filter(|one| one.report.is_none()).filter_map(|one| one.wait?.deadline);
        let limit = waits.min().unwrap().saturating_duration_since(Instant::now());
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 64];
        // SAFETY: an array of as many as it is told.
        let count = unsafe { libc::epoll_wait(epoll, events.as_mut_ptr(), 64, limit.as_millis() as i32 + 1) };
        let now = Instant::now();
        let ready: Vec<_> = events[..count as usize].iter().map(|event| event.u64 as usize).collect();
        for (number, one) in closings.iter_mut().enumerate().filter(|(_, one)| one.report.is_none()) {
            if ready.contains(&number) || one.wait.unwrap().deadline.is_some_and(|deadline| deadline <= now) {
                one.step();
            }
        }
    }
    // SAFETY: it was opened above.
    unsafe { libc::close(epoll) };
    served.join().unwrap();
    check(closings);
}

/// SO_RCVLOWAT, which Windows has not: what has come does not show, but an attempt finds it.
#[test]
#[cfg(unix)]
fn what_readiness_does_not_show_is_found_by_the_deadline() {
    let (ours, theirs) = peer::pair();
    let least: libc::c_int = 1000;
    let length = size_of_val(&least) as libc::socklen_t;
    // SAFETY: an option that is an int, on a socket that is open.
    let set = unsafe {
        libc::setsockopt(ours.as_raw_fd(), libc::SOL_SOCKET, libc::SO_RCVLOWAT, (&raw const least).cast(), length)
    };
    assert_eq!(set, 0);
    let peer = peer::peer(theirs, |mut peer| peer.read_tag().send(TAG).expect_eof());
    let mut closing = CloseOptions::new().total(Duration::from_secs(20)).begin(ours).unwrap();
    let report = loop {
        match closing.step() {
            Step::Wait(wait) => {
                poll(&mut [PollFd::new(&closing, events(wait.read, false))], wait.deadline.unwrap());
            }
            Step::Over(report) => break report,
            other => panic!("{other:?}"),
        }
    };
    assert!(report.is_clean(), "{report}");
    peer.join().unwrap();
}

#[test]
fn a_step_waits_for_a_direction_only_when_it_has_just_found_it_blocked() {
    for seed in 1..=300 {
        let tried = Rc::new(RefCell::new(Tried::default()));
        let incoming = [peer::stanzas(seed % 50), TAG.to_owned()].concat().into_bytes();
        let random = Random(seed as u64 * 0x9E37_79B9);
        let moody = Moody { random, tried: tried.clone(), incoming, taken: 0, always: false };
        let farewell = "<presence/>".repeat(seed * 7 % 90);
        let mut closing = CloseOptions::new().farewell(farewell).begin(moody).unwrap();
        let (mut stanzas, mut steps) = (0, 0);
        let report = loop {
            *tried.borrow_mut() = Tried::default();
            match closing.step() {
                Step::Stanza(_) => stanzas += 1,
                Step::Wait(wait) => {
                    let tried = tried.borrow();
                    assert!(!wait.read || tried.read_blocked == Some(true), "seed {seed}: {wait:?}");
                    assert!(!wait.write || tried.write_blocked == Some(true), "seed {seed}: {wait:?}");
                    let again = wait.deadline.is_some_and(|deadline| deadline <= Instant::now());
                    assert!(wait.read || wait.write || again, "seed {seed}: {wait:?} waits for nothing");
                }
                Step::Over(report) => break report,
                other => panic!("{other:?}"),
            }
            steps += 1;
            assert!(steps < 10_000, "seed {seed}: {:?}", closing.report());
        };
        assert!(report.is_clean(), "seed {seed}: {report}");
        assert_eq!((stanzas, report.stanzas as usize), (seed % 50, seed % 50), "seed {seed}");
    }
}

#[test]
fn a_step_does_a_bounded_amount_however_much_has_come() {
    let tried = Rc::new(RefCell::new(Tried::default()));
    let mut incoming = vec![b' '; 3 << 20];
    incoming.extend(TAG.bytes());
    let length = incoming.len();
    let moody = Moody { random: Random(1), tried: tried.clone(), incoming, taken: 0, always: true };
    let mut closing = CloseOptions::new().begin(moody).unwrap();
    let mut waits = 0;
    let report = loop {
        *tried.borrow_mut() = Tried::default();
        match closing.step() {
            Step::Wait(wait) => {
                let deadline = wait.deadline.unwrap();
                assert!(!wait.read && !wait.write && deadline <= Instant::now(), "there is more to do: {wait:?}");
                waits += 1;
            }
            Step::Over(report) => break report,
            other => panic!("{other:?}"),
        }
        let tried = tried.borrow();
        assert!(tried.reads <= 64 && tried.read <= 512 * 1024, "{} reads of {} bytes", tried.reads, tried.read);
    };
    assert!(report.is_clean(), "{report}");
    assert!(waits >= length / (512 * 1024), "{waits}");
}

#[test]
fn a_close_that_is_not_over_can_be_looked_at_and_cancelled() {
    let (ours, theirs) = peer::pair();
    let mut closing = CloseOptions::new().begin(ours).unwrap();
    assert!(matches!(closing.step(), Step::Wait(wait) if wait.read && !wait.write && wait.deadline.is_some()));
    let report = closing.report();
    assert_eq!((report.outcome, report.tag_sent), (Outcome::Pending, true), "{report}");
    #[cfg(unix)]
    assert_eq!(closing.as_fd().as_raw_fd(), closing.as_raw_fd());
    closing.cancel();
    let report = match closing.step() {
        Step::Over(report) => report,
        other => panic!("{other:?}"),
    };
    assert_eq!((report.outcome, closing.report().outcome), (Outcome::Cancelled, Outcome::Cancelled));
    assert!(closing.into_transport().is_some());
    drop(theirs);

    let (ours, theirs) = peer::pair();
    assert!(CloseOptions::new().begin(ours).unwrap().into_transport().is_none(), "it could be written to");
    drop(theirs);
}

/// The turn of one stream in a loop: steps until a wait comes. `None`: the close is over.
fn turn<T: Transport>(closing: &mut Closing<T>) -> Option<Wait> {
    for _ in 0..=1000 {
        match closing.step() {
            Step::Stanza(_) => {}
            Step::Wait(wait) => return Some(wait),
            Step::Over(_) => return None,
            other => panic!("{other:?}"),
        }
    }
    panic!("{} stanzas, and the others have no turn", closing.report().stanzas)
}

#[test]
fn a_peer_that_floods_with_stanzas_does_not_hold_up_the_other_streams_of_a_loop() {
    for stanza in ["<a/>".to_owned(), peer::stanzas(1), format!("<message>{}</message>", "x".repeat(100_000))] {
        let flood = Flood { stanza: stanza.leak().as_bytes(), at: 0 };
        let mut floods = CloseOptions::new().total(PATIENCE).begin(flood).unwrap();
        let incoming = [peer::stanzas(2000), TAG.to_owned()].concat().into_bytes();
        let moody = Moody { random: Random(1), tried: Rc::default(), incoming, taken: 0, always: true };
        let mut answers = CloseOptions::new().total(PATIENCE).begin(moody).unwrap();
        for rounds in 0.. {
            let wait = turn(&mut floods).expect("it never ends");
            assert!(!wait.read && !wait.write && wait.deadline.unwrap() <= Instant::now(), "{wait:?}");
            if turn(&mut answers).is_none() {
                break;
            }
            assert!(rounds < 2000, "{}", answers.report());
        }
        assert!(answers.report().is_clean() && answers.report().stanzas == 2000, "{}", answers.report());
    }
}
