//! What a stream costs in a batch, by the number of streams, beside a thread for each stream: time, CPU and memory.
//!
//! Below both stands a bare loop over epoll: it sends the tag, waits for the peer's, ends TCP, and knows no limits, no
//! XML and no errors. It shows what grows in the kernel, whose sockets do not fit into the cache.
//!
//! Each figure is that of a process of its own, with the peers in two others. One peer in a hundred never answers, and
//! the limit for the whole set is 5 s. All other streams must end clean, or there is no figure.

use std::{
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    os::fd::AsRawFd,
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use polling::{Event, Events, PollMode, Poller};
use xmpp_close::{Batch, BatchOptions, CloseOptions, Outcome, Report};

use crate::{page::Section, sampler::process_time, table::Table, turns};

const TOTAL: Duration = Duration::from_secs(5);
const TAG: &[u8] = b"</stream:stream>";
const ANSWER: &[u8] = b"<message from='juliet@example.com'><body>Good night</body></message></stream:stream>";
const SIZES: [usize; 3] = [100, 1000, 9000];
const METHODS: [(&str, &str); 3] = [("bare", "bare loop"), ("batch", "batch"), ("threads", "a thread each")];
const RUNS: usize = 5;

/// Runs all contenders in turn, so that a slow minute of the machine is in all figures.
pub fn run() -> Section {
    let rows: Vec<_> = SIZES.iter().flat_map(|size| METHODS.map(|(method, name)| (*size, method, name))).collect();
    let mut figures = vec![Vec::new(); rows.len()];
    for _ in 0..RUNS {
        for (row, (size, method, _)) in rows.iter().enumerate() {
            let mut process = crate::child("batch", &[method, &size.to_string()]);
            let output = process.stderr(Stdio::inherit()).output().unwrap();
            assert!(output.status.success(), "{method} {size}");
            let line = String::from_utf8(output.stdout).unwrap();
            figures[row].push(line.split_whitespace().map(|number| number.parse().unwrap()).collect::<Vec<f64>>());
        }
    }
    let growth = format!("× that at {}", SIZES[0]);
    let mut table = Table::new(&[
        "streams",
        "",
        "whole set, s",
        "CPU per stream, µs",
        &growth,
        "× the bare loop",
        "memory per stream, KiB",
    ]);
    let median = |row: usize, column: usize| {
        let mut values: Vec<_> = figures[row].iter().map(|figures| figures[column]).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    for (row, (size, method, name)) in rows.iter().enumerate() {
        let (first, bare) = (row % METHODS.len(), row - row % METHODS.len());
        let (wall, cpu, memory) = (median(row, 0), median(row, 1), median(row, 2));
        // The bare loop does not wait for peers that never answer.
        let wall = if *method == "bare" { String::new() } else { format!("{wall:.2}") };
        let (growth, factor) = (cpu / median(first, 1), cpu / median(bare, 1));
        table.row(&[
            size.to_string(),
            (*name).to_owned(),
            wall,
            format!("{cpu:.1}"),
            format!("{growth:.2}"),
            format!("{factor:.2}"),
            format!("{memory:.1}"),
        ]);
    }
    let text = format!(
        "What a stream costs in a batch, by the number of streams, beside a thread for each stream, and beside a bare loop over epoll. The
bare loop sends the tag, waits for the peer's tag and ends TCP; it knows no limits, no XML and no errors. Median of {RUNS} runs, each
in a process of its own, with the peers in two others. 1 % of the peers are mute, so each set lasts its whole limit of {} s.

{}",
        TOTAL.as_secs(),
        table.finish()
    ) + &turns::run();
    Section { title: "Many streams", text }
}

pub fn child(arguments: &[&str]) {
    raise_descriptor_limit();
    match arguments {
        ["peers"] => peers(),
        ["turns"] => turns::measure(),
        ["clients", port] => turns::clients(port.parse().unwrap()),
        [method, streams] => println!("{}", measure(method, streams.parse().unwrap())),
        _ => panic!("{arguments:?}"),
    }
}

/// Closes so many streams; returns seconds, µs of CPU per stream, and KiB per stream.
fn measure(method: &str, streams: usize) -> String {
    let mut hosts: Vec<_> = (0..2).map(|_| Host::start()).collect();
    let connections = connect(&mut hosts, streams);
    let (before, cpu, start) = (resident(), process_time(), Instant::now());
    let (clean, after) = match method {
        "bare" => bare(connections, streams - streams / 100),
        "batch" => batch(connections),
        "threads" => threads(connections),
        _ => panic!("no such method: {method}"),
    };
    let (wall, cpu) = (start.elapsed(), process_time() - cpu);
    assert_eq!(clean, streams - streams / 100, "{method}");
    let memory = after.saturating_sub(before) as f64 / 1024.0 / streams as f64;
    format!("{} {} {memory}", wall.as_secs_f64(), cpu.as_secs_f64() * 1e6 / streams as f64)
}

/// So many streams, of which one in a hundred has a peer that is mute.
pub fn connect(hosts: &mut [Host], streams: usize) -> Vec<TcpStream> {
    let connections: Vec<_> =
        (0..streams).map(|n| TcpStream::connect(("127.0.0.1", hosts[n % 2].port)).unwrap()).collect();
    for (number, mut tcp) in connections.iter().enumerate() {
        tcp.write_all(if number % 100 == 99 { b"m" } else { b"a" }).unwrap(); // mute, or it answers
    }
    hosts.iter_mut().for_each(|host| host.wait_for(streams / 2));
    connections
}

/// How many streams were closed, and the most memory that was held.
fn bare(connections: Vec<TcpStream>, answering: usize) -> (usize, u64) {
    let mut connections: Vec<_> = connections.into_iter().map(Some).collect();
    let (mut bytes, mut closed) = (vec![0; 8192], 0);
    let mut events = [libc::epoll_event { events: 0, u64: 0 }; 1024];
    // SAFETY: all descriptors are open, and the system stores at most as many events as there is room for.
    unsafe {
        let epoll = libc::epoll_create1(libc::EPOLL_CLOEXEC);
        let watch = |operation, fd: &TcpStream, key: usize| {
            let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: key as u64 };
            assert_eq!(libc::epoll_ctl(epoll, operation, fd.as_raw_fd(), &raw mut event), 0);
        };
        for (number, tcp) in connections.iter().flatten().enumerate() {
            tcp.set_nonblocking(true).unwrap();
            watch(libc::EPOLL_CTL_ADD, tcp, number);
            (&mut &*tcp).write_all(TAG).unwrap();
        }
        while closed < answering {
            let ready = libc::epoll_wait(epoll, events.as_mut_ptr(), 1024, -1);
            for event in &events[..usize::try_from(ready).unwrap()] {
                let number = event.u64 as usize;
                let mut tcp = connections[number].as_ref().unwrap();
                if tcp.read(&mut bytes).unwrap() > 0 {
                    tcp.shutdown(Shutdown::Write).unwrap();
                } else {
                    watch(libc::EPOLL_CTL_DEL, tcp, number);
                    connections[number] = None;
                    closed += 1;
                }
            }
        }
        libc::close(epoll);
    }
    (closed, resident())
}

fn batch(connections: Vec<TcpStream>) -> (usize, u64) {
    let mut batch = Batch::new().unwrap();
    for tcp in connections {
        batch.add(tcp, &CloseOptions::new(), |_| {}).unwrap();
    }
    let mut most = resident();
    let mut ended = 0;
    let done = batch.run(BatchOptions::new().total(TOTAL).on_end(|_, _| {
        ended += 1;
        if ended % 256 == 1 {
            most = most.max(resident());
        }
    }));
    (clean(&done.unwrap().reports), most)
}

fn threads(connections: Vec<TcpStream>) -> (usize, u64) {
    let close = |tcp| CloseOptions::new().total(TOTAL).close(tcp).unwrap();
    let threads: Vec<_> = connections.into_iter().map(|tcp| thread::spawn(move || close(tcp))).collect();
    let most = resident();
    let reports: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    (clean(&reports), most)
}

fn clean(reports: &[Report]) -> usize {
    let mute = reports.iter().filter(|report| report.outcome == Outcome::TimedOut).count();
    assert_eq!(mute, reports.len() / 100);
    reports.iter().filter(|report| report.is_clean() && report.stanzas == 1).count()
}

/// Half of the peers, in a process of their own.
pub struct Host {
    process: Child,
    output: BufReader<std::process::ChildStdout>,
    port: u16,
}

impl Host {
    pub fn start() -> Self {
        let mut process = crate::child("batch", &["peers"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut host = Self { output: BufReader::new(process.stdout.take().unwrap()), process, port: 0 };
        host.port = host.number().try_into().unwrap();
        host
    }

    fn number(&mut self) -> usize {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim().parse().unwrap()
    }

    /// Waits until so many streams are open in that process.
    fn wait_for(&mut self, streams: usize) {
        while self.number() < streams {}
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The other ends: each answers a closing tag with a stanza and its own, unless it is mute.
fn peers() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    println!("{}", listener.local_addr().unwrap().port());
    let poller = Poller::new().unwrap();
    let mut events = Events::new();
    let mut peers: Vec<Option<Peer>> = Vec::new();
    let mut open = 0;
    // SAFETY: the listener lives as long as the poller, and peers are deleted from it before they are closed.
    unsafe { poller.add_with_mode(&listener, Event::readable(usize::MAX - 1), PollMode::Level).unwrap() };
    loop {
        events.clear();
        poller.wait(&mut events, None).unwrap();
        for event in events.iter() {
            if let Some(slot) = peers.get_mut(event.key) {
                let peer = slot.as_mut().unwrap();
                let was_known = peer.known;
                if !peer.serve() {
                    poller.delete(&peer.tcp).unwrap();
                    *slot = None;
                } else if peer.known && !was_known {
                    open += 1;
                    println!("{open}");
                }
            } else {
                while let Ok((tcp, _)) = listener.accept() {
                    tcp.set_nonblocking(true).unwrap();
                    // SAFETY: as above.
                    unsafe { poller.add_with_mode(&tcp, Event::readable(peers.len()), PollMode::Level).unwrap() };
                    peers.push(Some(Peer { tcp, tail: Vec::new(), known: false, mute: false }));
                }
            }
        }
    }
}

struct Peer {
    tcp: TcpStream,
    tail: Vec<u8>,
    known: bool,
    mute: bool,
}

impl Peer {
    /// False at the end.
    fn serve(&mut self) -> bool {
        let mut bytes = [0; 4096];
        let count = match self.tcp.read(&mut bytes) {
            Ok(0) => return false,
            Ok(count) => count,
            Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
        };
        let mut got = &bytes[..count];
        if !self.known {
            (self.known, self.mute, got) = (true, got[0] == b'm', &got[1..]);
        }
        self.tail.extend_from_slice(got);
        if self.tail.ends_with(TAG) && !self.mute {
            self.tcp.write_all(ANSWER).unwrap();
        }
        true
    }
}

/// Bytes of memory that this process has.
fn resident() -> u64 {
    let pages = fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

/// Thousands of streams need thousands of descriptors.
fn raise_descriptor_limit() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: one struct, read and written by the system.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit), 0);
        limit.rlim_cur = limit.rlim_max;
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit), 0);
    }
    assert!(limit.rlim_max >= 10_000, "only {} descriptors allowed", limit.rlim_max);
}
