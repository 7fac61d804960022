//! Two network namespaces and the bad link between them: a veth pair under `tc netem`, or, where the kernel has none,
//! two TUN devices with a [`Relay`] between them.
//!
//! The namespaces have no names: each belongs to a thread and to what that thread starts, so nothing is left behind,
//! however a test ends.

use std::{
    ffi::c_ulong,
    fs::File,
    net::Ipv4Addr,
    os::{fd::AsRawFd, unix::fs::OpenOptionsExt},
    process::Command,
    sync::mpsc,
    thread,
};

use crate::relay::{Quality, Relay};

/// Link-local, and in namespaces that have no way out.
pub const OUR_ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 77, 1);
pub const PEER_ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 77, 2);
const DEVICE: &str = "close0";

type Job = Box<dyn FnOnce() + Send>;

/// A thread in a network namespace of its own.
pub struct Namespace {
    jobs: mpsc::Sender<Job>,
    thread: libc::pid_t,
}

impl Namespace {
    fn new() -> Self {
        let (jobs, to_do) = mpsc::channel::<Job>();
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            // SAFETY: the namespace of this thread only.
            let result = unsafe { libc::unshare(libc::CLONE_NEWNET) };
            let error = std::io::Error::last_os_error();
            assert!(result == 0, "no network namespace ({error}): run, as root,  make netem");
            // SAFETY: it only asks.
            tell.send(unsafe { libc::gettid() }).unwrap();
            for job in to_do {
                job();
            }
        });
        Self { jobs, thread: told.recv().expect("the namespace could not be made, see above") }
    }

    /// Runs it inside; sockets and threads that it makes are, and stay, inside.
    pub fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (tell, told) = mpsc::channel();
        self.jobs.send(Box::new(move || drop(tell.send(job())))).unwrap();
        told.recv().expect("it failed inside the namespace, see above")
    }

    fn command(&self, line: String) {
        self.run(move || assert!(succeeds(&line), "{line}"));
    }
}

/// Runs a command; its complaints go to stderr.
fn succeeds(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let name = words.next().unwrap();
    Command::new(name)
        .args(words)
        .status()
        .unwrap_or_else(|error| panic!("{name} (package iproute2): {error}"))
        .success()
}

pub struct Link {
    pub us: Namespace,
    pub peer: Namespace,
    quality: Quality,
    /// `None` under netem.
    relay: Option<Relay>,
}

impl Link {
    pub fn new(quality: Quality) -> Self {
        let (us, peer) = (Namespace::new(), Namespace::new());
        us.command(format!("ip link add {DEVICE} type veth peer name {DEVICE} netns {}", peer.thread));
        let line = netem("add", quality, quality.loss);
        let first = line.clone();
        if us.run(move || succeeds(&first)) {
            println!("packets go through tc netem: {line}");
            peer.command(line);
            set_up(&us, OUR_ADDRESS, PEER_ADDRESS);
            set_up(&peer, PEER_ADDRESS, OUR_ADDRESS);
            return Self { us, peer, quality, relay: None };
        }
        println!("packets go through a relay between two TUN devices, for tc netem failed (above)");
        us.command(format!("ip link del {DEVICE}"));
        let ends = [(&us, OUR_ADDRESS, PEER_ADDRESS), (&peer, PEER_ADDRESS, OUR_ADDRESS)].map(|(side, from, to)| {
            let device = side.run(tun);
            set_up(side, from, to);
            device
        });
        let relay = Some(Relay::start(&ends[0], &ends[1], quality));
        Self { us, peer, quality, relay }
    }

    /// Cuts the link, or mends it.
    pub fn set_down(&self, down: bool) {
        if let Some(relay) = &self.relay {
            return relay.set_down(down);
        }
        let line = netem("change", self.quality, if down { 100 } else { self.quality.loss });
        self.us.command(line.clone());
        self.peer.command(line);
    }
}

fn netem(verb: &str, quality: Quality, loss: u32) -> String {
    let Quality { delay, jitter, reorder, .. } = quality;
    let (delay, jitter) = (delay.as_millis(), jitter.as_millis());
    format!(
        "tc qdisc {verb} dev {DEVICE} root netem limit 100000 \
         delay {delay}ms {jitter}ms loss {loss}% reorder {reorder}%"
    )
}

fn set_up(side: &Namespace, from: Ipv4Addr, to: Ipv4Addr) {
    side.command(format!("ip address add {from} peer {to} dev {DEVICE}"));
    // No packet is lost for want of room, however many come at once, and each is treated alone.
    side.command(format!("ip link set {DEVICE} txqueuelen 100000 gso_max_segs 1 up"));
}

/// A new TUN device in the namespace of the calling thread. It goes with its descriptor.
fn tun() -> File {
    const PATH: &str = "/dev/net/tun";
    let device = File::options()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(PATH)
        .unwrap_or_else(|error| panic!("tc netem failed (above), and there is no {PATH} in its place: {error}"));
    #[repr(C)]
    struct Request {
        name: [u8; libc::IFNAMSIZ],
        flags: libc::c_short,
        rest: [u8; 22],
    }
    let mut request =
        Request { name: [0; libc::IFNAMSIZ], flags: (libc::IFF_TUN | libc::IFF_NO_PI) as i16, rest: [0; 22] };
    request.name[..DEVICE.len()].copy_from_slice(DEVICE.as_bytes());
    // SAFETY: the structure is a `struct ifreq`, and outlives the call.
    let result = unsafe { libc::ioctl(device.as_raw_fd(), libc::TUNSETIFF as c_ulong as _, &raw mut request) };
    assert!(result == 0, "TUNSETIFF: {}", std::io::Error::last_os_error());
    device
}
