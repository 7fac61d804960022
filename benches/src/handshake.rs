//! What a whole close over loopback costs beside its bare system calls: everything that this library adds to them, the
//! deadlines, the framing, the report.

mod calls;

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    os::fd::{AsRawFd, IntoRawFd},
    process::{Child, Stdio},
    ptr,
    time::{Duration, Instant},
};

use xmpp_close::ffi::xmpp_close_fd;

use crate::{
    closes::report,
    page::Section,
    sampler::{Contender, Samples, interleave, thread_time},
    table::{Bars, Table, figure},
};

const HEADER: &[u8] = b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";
const TAG: &[u8] = b"</stream:stream>";
/// How many rounds there are, with one close of each contender in turn.
const ROUNDS: usize = 5000;

type Close = fn(TcpStream);
const CLOSES: [(&str, Close); 3] = [("bare loop", bare), ("Rust, close(tcp)", in_rust), ("C, xmpp_close_fd(fd)", in_c)];
/// No contender: the connections are only dropped.
const DROPPED: &str = "dropped";

pub fn run() -> Section {
    let peer = Peer::start();
    let wall = measure(&peer, || {
        let start = Instant::now();
        move || start.elapsed()
    });
    let cpu = measure(&peer, || {
        let start = thread_time();
        move || thread_time() - start
    });
    let calls = CLOSES.map(|(name, _)| calls::of(name, peer.address));
    let mut bars = Bars::new();
    for (number, (name, _)) in CLOSES.iter().enumerate().skip(1) {
        bars.at_most(
            &format!("{name}, beside the bare loop: time"),
            1.1,
            wall[number].median() / wall[0].median(),
            "×",
        );
    }
    for (number, (name, _)) in CLOSES.iter().enumerate().skip(1) {
        let more = calls::sum(&calls[number]) - calls::sum(&calls[0]);
        bars.at_most(&format!("{name}, beside the bare loop: more system calls"), 2.0, more, "");
    }
    let mut table = Table::new(&["", "time, µs", "× the bare loop", "CPU time, µs", "× the bare loop", "system calls"]);
    for (number, (name, _)) in CLOSES.iter().enumerate() {
        let ([time, times], [busy, shares]) = (wall[number].beside(&wall[0]), cpu[number].beside(&cpu[0]));
        let calls: Vec<_> = calls[number].iter().map(|(call, count)| format!("{call} {}", figure(*count))).collect();
        table.row(&[(*name).to_owned(), time, times, busy, shares, calls.join(", ")]);
    }
    let text = format!(
        "A close of an open stream over loopback.

* The peer is a process of its own. It answers our closing tag at once, with its own and FIN.
* The *bare loop* makes only these calls: `send`, `recv` up to the tag, `shutdown`, `recv` up to the end, `close`. The others
  come with their defaults: deadlines, framing, a report.
* The connection is made before, and is not timed. The time is from the call to its return, the CPU time is that of the calling
  thread; {ROUNDS} rounds.

strace counts the system calls. What a close does beyond the bare loop, and why:

* `getsockopt` asks whether anything is unread or unacknowledged.
* `setsockopt` sets SO_RCVTIMEO.
* `ioctl` asks what the peer's kernel has acknowledged.
* A descriptor that is only lent (`xmpp_close_fd`) keeps its options and flags, so each wait there is a `poll` and a
  `recv`, and asks for SO_RCVLOWAT. Anything but a connected stream socket is refused first, which takes another `getsockopt`.

{}{}![Time of a close](performance/handshake.svg)
",
        bars.finish(),
        table.finish()
    );
    Section { title: "Handshake", text }
}

/// `peer`, and `closes NAME COUNT ADDRESS`: so many closes of one kind, for strace.
pub fn child(arguments: &[&str]) {
    match arguments {
        ["peer"] => serve(),
        ["closes", name, count, address] => {
            let mut closes = CLOSES.into_iter().chain([(DROPPED, drop as Close)]);
            let (_, close) = closes.find(|close| close.0 == *name).unwrap();
            let address = address.parse().unwrap();
            for _ in 0..count.parse().unwrap() {
                close(open(address));
            }
        }
        _ => panic!("{arguments:?}"),
    }
}

/// Each close timed by what `clock` starts.
fn measure<T: FnOnce() -> Duration>(peer: &Peer, clock: fn() -> T) -> Vec<Samples> {
    let contender = |close: Close| {
        Contender::fixed(1, move || {
            let tcp = open(peer.address);
            let elapsed = clock();
            close(tcp);
            elapsed()
        })
    };
    interleave(CLOSES.iter().map(|close| contender(close.1)).collect(), ROUNDS)
}

/// A stream on which both headers were exchanged.
fn open(address: SocketAddr) -> TcpStream {
    let mut tcp = TcpStream::connect(address).unwrap();
    tcp.write_all(HEADER).unwrap();
    tcp.read_exact(&mut [0; HEADER.len()]).unwrap();
    tcp
}

fn in_rust(tcp: TcpStream) {
    assert!(xmpp_close::close(tcp).is_clean());
}

fn in_c(tcp: TcpStream) {
    let mut report = report();
    // SAFETY: the report outlives the close.
    assert_eq!(unsafe { xmpp_close_fd(tcp.as_raw_fd(), ptr::null(), &mut report) }, 0);
    assert_eq!(report.outcome, 1);
}

fn bare(tcp: TcpStream) {
    let fd = tcp.into_raw_fd();
    let mut buffer = [0_u8; 1024];
    let mut got = 0;
    // SAFETY: the descriptor is ours and closed once; the system stores at most as much as the buffer has left.
    unsafe {
        assert_eq!(libc::send(fd, TAG.as_ptr().cast(), TAG.len(), libc::MSG_NOSIGNAL), TAG.len() as isize);
        while !buffer[..got].ends_with(TAG) {
            let bytes = libc::recv(fd, buffer[got..].as_mut_ptr().cast(), buffer.len() - got, 0);
            assert!(bytes > 0);
            got += bytes as usize;
        }
        assert_eq!(libc::shutdown(fd, libc::SHUT_WR), 0);
        assert_eq!(libc::recv(fd, buffer.as_mut_ptr().cast(), buffer.len(), 0), 0);
        libc::close(fd);
    }
}

/// The process of the peer.
struct Peer {
    process: Child,
    address: SocketAddr,
}

impl Peer {
    fn start() -> Self {
        let mut process = crate::child("handshake", &["peer"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut address = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut address).unwrap();
        Self { process, address: address.trim().parse().unwrap() }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn serve() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    println!("{}", listener.local_addr().unwrap());
    loop {
        let (mut tcp, _) = listener.accept().unwrap();
        tcp.set_nodelay(true).unwrap();
        tcp.read_exact(&mut [0; HEADER.len()]).unwrap();
        tcp.write_all(HEADER).unwrap();
        if tcp.read_exact(&mut [0; TAG.len()]).is_err() {
            continue; // DROPPED
        }
        tcp.write_all(TAG).unwrap();
        tcp.shutdown(Shutdown::Write).unwrap();
        assert_eq!(tcp.read(&mut [0]).unwrap(), 0, "something came behind the closing tag");
    }
}
