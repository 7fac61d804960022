//! SIGTERM with many streams open, and data in flight both ways: nothing is lost.

use std::{
    collections::{HashMap, HashSet},
    io::{ErrorKind, Write},
    net::TcpStream,
    ops::Range,
    sync::{
        Barrier,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    client::{FEATURES, HEADER, PATIENCE, TAG, iq, iq_result},
    programs::Server,
};

pub const SYSTEM_SHUTDOWN: &str =
    "<stream:error><system-shutdown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>";
/// Messages to oneself, which come back; and as many to the next stream.
const MESSAGES: usize = 3;
const LATE: usize = 2;

/// The other end of a stream.
pub trait Peer {
    /// The `n`th of them.
    fn connect(port: u16, n: usize) -> Self;
    fn send(&mut self, xml: &str);
    /// What comes up to `end`, which must come.
    fn read_until(&mut self, end: &str) -> String;
    /// The connection ends in form, and nothing is said before that.
    fn expect_end(self);
}

/// One stream, as its client saw it.
struct Seen {
    number: u32,
    /// The ids of its messages.
    sent: Vec<String>,
    /// Up to the server's closing tag.
    received: String,
}

fn message(id: &str, to: Option<u32>) -> String {
    let to = to.map(|number| format!(" to='{number}@localhost'")).unwrap_or_default();
    format!("<message{to} id='{id}'><body>{}</body></message>", "x".repeat(200))
}

fn message_ids(xml: &str) -> Vec<&str> {
    let attributes = xml.split("<message ").skip(1);
    attributes.map(|rest| rest.split("id='").nth(1).and_then(|id| id.split('\'').next()).expect("an id")).collect()
}

/// Opens so many streams to `server`, and has it go down while they write; all is accounted for. Returns what it said.
pub fn close_all<P: Peer>(server: Server, streams: usize, threads: usize) -> Vec<String> {
    let (delivered, written) = (Barrier::new(threads), AtomicUsize::new(0));
    let seen: Vec<Seen> = thread::scope(|scope| {
        let (server, delivered, written, each) = (&server, &delivered, &written, streams / threads);
        let run = move |n| some_peers::<P>(server, streams, n * each..(n + 1) * each, delivered, written);
        let threads: Vec<_> = (0..threads).map(|n| scope.spawn(move || run(n))).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("see above")).collect()
    });
    let lines = server.finish();
    assert_eq!(seen.len(), streams);
    let closed = lines.iter().find(|line| line.starts_with("closed ")).expect("the sum of it");
    println!("{closed}");
    assert!(closed.starts_with(&format!("closed {streams} streams, ")), "{closed}");
    assert!(closed.ends_with(&format!(" ms: {streams} clean")), "{closed}");
    account(&seen, &lines);
    lines
}

/// Every message was handled, in order, and has either arrived or is said to be stored.
fn account(seen: &[Seen], lines: &[String]) {
    let mut said: HashMap<u32, Vec<&str>> = HashMap::new();
    for line in lines.iter().filter_map(|line| line.strip_prefix('[')) {
        let (number, rest) = line.split_once("] ").unwrap();
        said.entry(number.parse().unwrap()).or_default().push(rest);
    }
    let received: Vec<&str> = seen.iter().flat_map(|stream| message_ids(&stream.received)).collect();
    let once: HashSet<&str> = received.iter().copied().collect();
    assert_eq!(received.len(), once.len(), "something came twice");
    let (mut delivered, mut stored, mut late) = (0, 0, 0);
    for stream in seen {
        let said = &said[&stream.number];
        let handled: Vec<&str> =
            said.iter().filter_map(|line| line.trim_start_matches("late ").strip_prefix("message ")).collect();
        assert_eq!(handled, stream.sent, "all that was sent is handled, in order");
        for id in &stream.sent {
            let is_stored = said.contains(&format!("stored: {id}").as_str());
            assert!(is_stored != once.contains(id.as_str()), "{id} is lost, or there twice");
            *if is_stored { &mut stored } else { &mut delivered } += 1;
        }
        let came_late = said.iter().filter(|line| line.starts_with("late ")).count();
        assert!(said.contains(&format!("ended: clean, {came_late} late stanzas").as_str()), "{said:?}");
        late += came_late;
    }
    println!("{delivered} messages delivered, {stored} stored; {late} late stanzas");
    let after_the_tag = seen.len() * LATE;
    assert!(delivered > 0 && late > after_the_tag && stored > after_the_tag, "nothing was in flight");
}

/// Waits until the server accepts nobody any more: from then on what comes is handled, but not answered.
fn until_closed(server: &Server) {
    // As /proc/net/tcp writes it: local and remote address, and LISTEN. Connecting would count as one more stream.
    let listening = format!(" 0100007F:{:04X} 00000000:0000 0A ", server.port);
    let until = Instant::now() + PATIENCE;
    while std::fs::read_to_string("/proc/net/tcp").unwrap().contains(&listening) {
        assert!(Instant::now() < until, "SIGTERM is not heard");
        thread::sleep(Duration::from_millis(1));
    }
}

fn number(header: &str) -> u32 {
    header.split(" id='").nth(1).and_then(|rest| rest.split('\'').next()?.parse().ok()).expect("a number")
}

/// Writes until nothing moves any more, since neither end reads, and returns how many bytes were taken.
pub fn fill(tcp: &mut TcpStream, bytes: &[u8]) -> usize {
    tcp.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    let mut taken = 0;
    loop {
        match tcp.write(&bytes[taken..]) {
            Ok(n) => taken += n,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
        assert!(taken < bytes.len(), "{taken} bytes were taken, and are held in memory");
    }
    tcp.set_write_timeout(Some(PATIENCE)).unwrap();
    taken
}

/// What is queued in the server when it goes down still comes, in order, and what was not answered by then is stored.
/// `encrypt` makes of the XML what goes over the socket.
pub fn close_with_a_full_queue<P: Peer>(
    server: Server,
    mut peer: P,
    mut tcp: TcpStream,
    encrypt: impl Fn(&mut P, &str) -> Vec<u8>,
) {
    const COUNT: usize = 10_000;
    let message = |n| format!("<message id='{n}'><body>{}</body></message>", "x".repeat(4000));
    let bytes = encrypt(&mut peer, &(0..COUNT).map(message).collect::<String>());
    let taken = fill(&mut tcp, &bytes);
    server.send_sigterm();
    let received = thread::scope(|scope| {
        let writer = scope.spawn(|| tcp.write_all(&bytes[taken..]).unwrap());
        let received = peer.read_until(TAG);
        writer.join().expect("all is taken");
        received
    });
    peer.send(TAG);
    peer.expect_end();
    let ids: Vec<usize> = message_ids(&received).iter().map(|id| id.parse().unwrap()).collect();
    let lines = server.finish();
    let stored = lines.iter().filter_map(|line| line.strip_prefix("[1] stored: ")?.parse().ok());
    println!("{} came back, {} are stored", ids.len(), COUNT - ids.len());
    assert!(!ids.is_empty() && ids.len() < COUNT);
    assert!(ids.iter().copied().chain(stored).eq(0..COUNT), "something is lost");
    assert!(received.ends_with(&format!("</message>{SYSTEM_SHUTDOWN}{TAG}")));
    assert!(lines.contains(&format!("[1] ended: clean, {} late stanzas", COUNT - ids.len())));
}

/// The peers of one thread. SIGTERM comes while all threads are writing, when each has got something back.
fn some_peers<P: Peer>(
    server: &Server,
    streams: usize,
    which: Range<usize>,
    delivered: &Barrier,
    written: &AtomicUsize,
) -> Vec<Seen> {
    let log_in = |n| {
        let mut peer = P::connect(server.port, n);
        peer.send(&format!("{HEADER}{}", iq("q")));
        peer
    };
    let mut peers: Vec<P> = which.map(log_in).collect();
    let mut seen: Vec<Seen> = Vec::new();
    for peer in &mut peers {
        seen.push(Seen { number: number(&peer.read_until(FEATURES)), sent: Vec::new(), received: String::new() });
        assert_eq!(peer.read_until(&iq_result("q")), iq_result("q"));
    }
    for n in 0..peers.len() {
        let (next, last) = (seen[(n + 1) % peers.len()].number, n + 1 == peers.len());
        let xml =
            [None, Some(next)].repeat(MESSAGES).into_iter().map(|to| seen[n].next_message(to)).collect::<String>();
        if last {
            until_closed(server);
        }
        peers[n].send(&xml);
        if n == 0 {
            let echo = message(&seen[0].sent[0], None);
            seen[0].received = peers[0].read_until(&echo);
            delivered.wait();
        }
        if written.fetch_add(1, Ordering::Relaxed) == streams / 2 {
            server.send_sigterm();
        }
    }
    for (mut peer, seen) in peers.into_iter().zip(&mut seen) {
        seen.received += &peer.read_until(TAG);
        let late: String = (0..LATE).map(|_| seen.next_message(None)).collect();
        peer.send(&format!("{late}{TAG}"));
        peer.expect_end();
        let (_, end) = seen.received.split_once("<stream:error>").expect("a reason");
        assert!(end.starts_with("<system-shutdown ") && end.matches(TAG).count() == 1, "{end}");
    }
    seen
}

impl Seen {
    fn next_message(&mut self, to: Option<u32>) -> String {
        self.sent.push(format!("{}-{}", self.number, self.sent.len()));
        message(&self.sent[self.sent.len() - 1], to)
    }
}
