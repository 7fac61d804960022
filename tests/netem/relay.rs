//! What `tc netem` does, where the kernel has none: IP packets from one TUN device to the other, late, out of order, or
//! not at all. TCP is the kernel's on both sides, and treats this network like any bad one.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    fs::File,
    io::{ErrorKind, Read, Write},
    os::fd::AsRawFd,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::random::Random;

/// What a link does to each packet, the same in both directions.
#[derive(Clone, Copy, Debug)]
pub struct Quality {
    pub delay: Duration,
    /// The delay is anything from `delay - jitter` to `delay + jitter`, which puts packets out of order, too.
    pub jitter: Duration,
    /// Of 100 packets, how many are lost.
    pub loss: u32,
    /// Of 100 packets, how many are not delayed, and so overtake the others.
    pub reorder: u32,
}

/// How often a direction looks whether it is over, at least.
const LOOK: Duration = Duration::from_millis(50);

pub struct Relay {
    down: Arc<AtomicBool>,
    over: Arc<AtomicBool>,
    directions: Vec<JoinHandle<Count>>,
}

impl Relay {
    /// Both devices are nonblocking.
    pub fn start(one: &File, other: &File, quality: Quality) -> Self {
        let (down, over) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let directions = [(one, other, 1), (other, one, 2)].map(|(from, to, seed)| {
            let mut direction = Direction {
                from: from.try_clone().unwrap(),
                to: to.try_clone().unwrap(),
                quality,
                random: Random::new(seed),
                under_way: BinaryHeap::new(),
                down: down.clone(),
                count: Count::default(),
            };
            let over = over.clone();
            thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    direction.step();
                }
                direction.count
            })
        });
        Self { down, over, directions: directions.into() }
    }

    /// A link that is down loses what comes, and what is under way.
    pub fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::Relaxed);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        for direction in self.directions.drain(..) {
            match direction.join() {
                Ok(Count { packets, lost }) => println!("a direction of the relay lost {lost} of {packets} packets"),
                Err(_) => assert!(thread::panicking(), "the relay failed, see above"),
            }
        }
    }
}

#[derive(Clone, Copy, Default)]
struct Count {
    packets: u64,
    /// How many were lost by chance, not because the link was down.
    lost: u64,
}

struct Direction {
    from: File,
    to: File,
    quality: Quality,
    random: Random,
    under_way: BinaryHeap<Reverse<(Instant, Vec<u8>)>>,
    down: Arc<AtomicBool>,
    count: Count,
}

impl Direction {
    fn step(&mut self) {
        let next =
            self.under_way.peek().map_or(LOOK, |Reverse((due, _))| due.saturating_duration_since(Instant::now()));
        self.wait(next.min(LOOK));
        let mut packet = [0; 2048];
        loop {
            match self.from.read(&mut packet) {
                Ok(length) => self.take(packet[..length].to_vec()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("TUN: {error}"),
            }
        }
        let now = Instant::now();
        while self.under_way.peek().is_some_and(|Reverse((due, _))| *due <= now) {
            let Some(Reverse((_, packet))) = self.under_way.pop() else { break };
            if !self.down.load(Ordering::Relaxed) {
                self.to.write_all(&packet).unwrap();
            }
        }
    }

    fn take(&mut self, packet: Vec<u8>) {
        let Quality { delay, jitter, loss, reorder } = self.quality;
        if self.down.load(Ordering::Relaxed) {
            return;
        }
        self.count.packets += 1;
        if self.random.percent(loss) {
            self.count.lost += 1;
            return;
        }
        let delay =
            if self.random.percent(reorder) { Duration::ZERO } else { delay - jitter + self.random.up_to(2 * jitter) };
        self.under_way.push(Reverse((Instant::now() + delay, packet)));
    }

    fn wait(&self, time: Duration) {
        let mut poll = libc::pollfd { fd: self.from.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let time = libc::timespec { tv_sec: time.as_secs() as _, tv_nsec: time.subsec_nanos().into() };
        // SAFETY: one pollfd and one timespec, alive for the call; no signal mask.
        unsafe { libc::ppoll(&raw mut poll, 1, &raw const time, std::ptr::null()) };
    }
}
