//! The worst that a peer can order: whatever it sends costs time linear in its bytes, and no close outlives its total
//! because of it.
#![allow(unsafe_code, reason = "what a thread has used of its processor is asked of libc")]

#[path = "support/peer.rs"]
mod peer;
#[path = "support/worst.rs"]
mod shapes;

use std::{
    io::{self, Read, Write},
    os::fd::BorrowedFd,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use peer::{SLACK, TAG};
use shapes::{READER, SHAPES, WAYS, Way, cost};
use xmpp_close::{
    Batch, BatchOptions, BatchReport, CloseOptions, Condition, Incoming, Interest, Outcome, Stream, Transport,
};

const NS: &str = "urn:ietf:params:xml:ns:xmpp-streams";
const HEADER: &str = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

/// A header of a megabyte.
fn huge_header() -> String {
    let mut header = HEADER.trim_end_matches('>').to_owned();
    for number in 0.. {
        if header.len() > 1_000_000 {
            break;
        }
        header += &format!(" xmlns:a{number}='b'");
    }
    header + ">"
}

/// Closes a stream with such a header, whose peer answers our tag with `late` and then is silent.
fn close_behind_huge_header(late: String) -> xmpp_close::Report {
    const TOTAL: Duration = Duration::from_secs(1);
    let (ours, theirs) = peer::pair();
    let peer = peer::peer(theirs, |mut peer| {
        peer.send(huge_header()).read_tag().send(late);
        let _ = peer.rest();
    });
    let mut stream = Stream::new(ours);
    stream.send(HEADER).unwrap();
    assert!(matches!(stream.receive().unwrap(), Incoming::Header(header) if header.len() > 1_000_000));
    let start = Instant::now();
    let report = stream.close(&CloseOptions::new().total(TOTAL)).unwrap();
    let took = start.elapsed();
    peer.join().unwrap();
    println!("{took:?}: {report}");
    assert!(took < TOTAL + SLACK, "{took:?}");
    report
}

#[test]
fn a_huge_header_makes_no_stream_error_dear() {
    let report = close_behind_huge_header(format!("<stream:error>{}</stream:error>", "<a/>".repeat(2500)));
    assert_eq!(report.stream_error.unwrap().condition(), Condition::UndefinedCondition);
}

#[test]
fn a_huge_header_makes_no_element_called_error_dear() {
    let report = close_behind_huge_header("<error/>".repeat(200));
    assert_eq!((report.stanzas, report.stream_error), (200, None));
}

#[test]
fn a_huge_header_still_tells_what_matters() {
    let report = close_behind_huge_header(format!("<a3:error/><stream:error><reset xmlns='{NS}'/></stream:error>"));
    assert_eq!((report.stanzas, report.stream_error.unwrap().condition()), (1, Condition::Reset));
}

/// How long the slowest honest stream took in a batch with streams that send `floods` without end.
fn slowest_beside(floods: Vec<String>, honest: usize, total: Duration) -> (BatchReport, Duration) {
    let mut batch = Batch::new().unwrap();
    let mut peers: Vec<JoinHandle<()>> = Vec::new();
    let hostile = floods.len();
    for flood in floods {
        let (ours, theirs) = peer::pair();
        batch.add(ours, &CloseOptions::new(), |_| {}).unwrap();
        peers.push(peer::peer(theirs, move |peer| {
            let mut tcp = peer.tcp;
            while tcp.write_all(flood.as_bytes()).is_ok() {}
        }));
    }
    for _ in 0..honest {
        let (ours, theirs) = peer::pair();
        batch.add(ours, &CloseOptions::new(), |_| {}).unwrap();
        peers.push(peer::peer(theirs, |mut peer| {
            peer.read_tag().send(peer::stanzas(3)).send(TAG).expect_eof();
        }));
    }
    let mut slowest = Duration::ZERO;
    let start = Instant::now();
    let options = BatchOptions::new().total(total).on_end(|index, _| {
        if index >= hostile {
            slowest = start.elapsed();
        }
    });
    let done = batch.run(options).unwrap();
    for peer in peers {
        peer.join().unwrap();
    }
    (done, slowest)
}

#[test]
fn floods_of_stream_errors_cost_a_batch_neither_its_deadline_nor_the_others_their_time() {
    const TOTAL: Duration = Duration::from_secs(3);
    let (_, alone) = slowest_beside(Vec::new(), 100, TOTAL);
    let nested = format!("<stream:error>{}{}</stream:error>", "<a xmlns='b'>".repeat(1000), "</a>".repeat(1000));
    let prefixes: String = (0..1000).map(|number| format!(" xmlns:a{number}='b'")).collect();
    let laden = format!("<stream:error{prefixes}>{}</stream:error>", "<a1:a/>".repeat(1000));
    for flood in [nested, laden] {
        let (done, slowest) = slowest_beside(vec![flood; 20], 100, TOTAL);
        println!("slowest {slowest:?}, alone {alone:?}: {}", done.summary);
        assert!(done.summary.elapsed < TOTAL + SLACK, "{}", done.summary);
        assert_eq!(done.summary.count(Outcome::Clean), 100, "{}", done.summary);
        // Three times as long is the aim, on a machine that has nothing else to do.
        assert!(slowest < (10 * alone).max(TOTAL * 2 / 3), "{slowest:?}, alone {alone:?}");
    }
}

#[test]
fn a_batch_is_over_soon_after_its_deadline_however_many_flood_it() {
    const TOTAL: Duration = Duration::from_secs(1);
    // Each may still take 256 KiB behind the deadline, but not all of them one after the other.
    let tiny = "<a/>".repeat(10_000);
    let (done, _) = slowest_beside(vec![tiny; 100], 0, TOTAL);
    println!("{}", done.summary);
    assert!(done.summary.elapsed < TOTAL + SLACK, "{}", done.summary);
    assert_eq!(done.summary.count(Outcome::TimedOut), 100, "{}", done.summary);
}

#[test]
fn a_batch_is_over_soon_after_its_deadline_when_all_flood_it_behind_a_silence() {
    const TOTAL: Duration = Duration::from_secs(2);
    let mut batch = Batch::new().unwrap();
    let mut peers: Vec<_> = (0..200)
        .map(|_| {
            let (ours, theirs) = peer::pair();
            batch.add(ours, &CloseOptions::new(), |_| {}).unwrap();
            theirs
        })
        .collect();
    let flood = thread::spawn(move || {
        // By then all streams wait for the same moment.
        thread::sleep(TOTAL / 2);
        for peer in &mut peers {
            Transport::try_write(peer, &b"<a/>".repeat(100_000)).unwrap();
        }
        peers
    });
    let done = batch.run(BatchOptions::new().total(TOTAL)).unwrap();
    flood.join().unwrap();
    println!("{}", done.summary);
    assert!(done.summary.elapsed < TOTAL + SLACK, "{}", done.summary);
    assert_eq!(done.summary.count(Outcome::TimedOut), 200, "{}", done.summary);
}

#[test]
fn a_batch_is_over_soon_after_its_deadline_however_much_was_read_before_it_began() {
    const TOTAL: Duration = Duration::from_millis(200);
    let mut batch = Batch::new().unwrap();
    let mut peers = Vec::new();
    for _ in 0..200 {
        let (ours, theirs) = peer::pair();
        batch.add(ours, &CloseOptions::new().residual("<a/>".repeat(100_000)), |_| {}).unwrap();
        peers.push(theirs);
    }
    let done = batch.run(BatchOptions::new().total(TOTAL)).unwrap();
    println!("{}", done.summary);
    assert!(done.summary.elapsed < TOTAL + SLACK, "{}", done.summary);
    for mut peer in peers {
        let mut said = String::new();
        peer.read_to_string(&mut said).unwrap();
        assert_eq!(said, TAG, "its tag is sent all the same");
    }
}

/// The least time that a way takes for bytes.
fn least(way: &Way, bytes: &[u8]) -> Duration {
    (0..3).map(|_| cost(|| (way.read)(bytes))).min().unwrap()
}

/// Most of what one byte may cost without optimisation, where the bar is 40 ns with it: `make bench BENCH=worst`.
const MOST: Duration = Duration::from_nanos(4_000);

#[test]
fn what_a_byte_costs_has_a_bound_and_twice_as_many_cost_twice_as_much() {
    for way in &WAYS {
        let mut dearest = (Duration::ZERO, "");
        for (name, shape) in SHAPES.iter().filter(|(_, shape)| way.takes(shape)) {
            let (small, large) = ((way.bytes)(shape, 8 << 10), (way.bytes)(shape, 64 << 10));
            let few = least(way, &small);
            assert!(few < MOST * small.len() as u32, "{}: {name}: {few:?} for {} bytes", way.name, small.len());
            let many = least(way, &large);
            assert!(many < MOST * large.len() as u32, "{}: {name}: {many:?} for {} bytes", way.name, large.len());
            // Eight times as much; what is added once makes it less.
            assert!(many < 16 * few + Duration::from_millis(1), "{}: {name}: {few:?}, then {many:?}", way.name);
            dearest = dearest.max((many / (large.len() as u32 >> 10), name));
        }
        println!("{}: {:?} for a KiB of {}", way.name, dearest.0, dearest.1);
    }
}

#[test]
fn idle_seconds_is_linear_up_to_a_megabyte_of_any_shape() {
    let ways = ["idle_seconds", "xmpp_close_idle_seconds"];
    for way in WAYS.iter().filter(|way| ways.contains(&way.name)) {
        for (name, shape) in &SHAPES {
            let (small, large) = ((way.bytes)(shape, 128 << 10), (way.bytes)(shape, 1 << 20));
            let few = least(way, &small);
            assert!(few < Duration::from_secs(1), "{}: {name}: {few:?}", way.name);
            let many = least(way, &large);
            // Eight times is the bar; a machine with other work adds to it.
            assert!(many < 14 * few + Duration::from_millis(2), "{}: {name}: {few:?}, then {many:?}", way.name);
        }
    }
}

#[test]
fn a_reader_is_dearer_but_linear_and_bounded() {
    for (name, shape) in &SHAPES {
        let (small, large) = ((READER.bytes)(shape, 8 << 10), (READER.bytes)(shape, 64 << 10));
        let few = least(&READER, &small);
        assert!(few < 40 * MOST * small.len() as u32, "{name}: {few:?}");
        let many = least(&READER, &large);
        assert!(many < 16 * few + Duration::from_millis(10), "{name}: {few:?}, then {many:?}");
    }
}

/// A peer that has sent much, and then takes each of ours only after one more byte of its own was read.
struct Eager {
    bytes: &'static [u8],
    left: usize,
    reads: bool,
}

impl Transport for Eager {
    fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.reads = true;
        let most = if self.left > 0 { buf.len().min(self.left) } else { 1 };
        self.left = self.left.saturating_sub(most);
        buf[..most].iter_mut().for_each(|byte| {
            *byte = self.bytes[0];
            self.bytes = &self.bytes[1..];
        });
        Ok(most)
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.left > 0 || !std::mem::take(&mut self.reads) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(bytes.len())
    }

    fn shut(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn wait(&mut self, interest: Interest, _: Duration, _: Option<BorrowedFd<'_>>) -> io::Result<Interest> {
        Ok(interest)
    }
}

#[test]
fn what_is_kept_while_we_send_is_not_moved_for_each_answer() {
    let bytes = (HEADER.to_owned() + &"<a/>".repeat(300_000)).leak().as_bytes();
    // So many answers, with so much that is still to be received.
    let answer = |kept: usize| {
        let mut stream = Stream::new(Eager { bytes, left: kept, reads: false });
        stream.send(HEADER).unwrap();
        assert!(matches!(stream.receive().unwrap(), Incoming::Header(_)));
        cost(|| {
            for _ in 0..2000 {
                assert!(matches!(stream.receive().unwrap(), Incoming::Stanza(_)));
                stream.send("<b/>").unwrap();
            }
        })
    };
    let least = |kept| (0..3).map(|_| answer(kept)).min().unwrap();
    let (few, many) = (least(20_000), least(1_000_000));
    assert!(many < 4 * few, "{few:?}, then {many:?}");
}
