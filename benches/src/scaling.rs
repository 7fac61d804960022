//! Whether anything grows faster than what comes: time by size, from 1 KiB to 64 MiB, for each thing that can be large.

use std::{
    hint::black_box,
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use xmpp_close::{Frame, Framer};

use crate::{
    closes::with_limit,
    late::{Late, TAG},
    page::Section,
    sampler::{Contender, Samples, interleave, thread_time},
    table::{Bars, Table, figure},
};

const SIZES: std::ops::RangeInclusive<u32> = 10..=26;
const ROUNDS: usize = 9;
/// How much comes in each turn of the framer; at least one stanza.
const TURN: usize = 8 << 20;
/// The longest stanza here.
const LIMIT: usize = 256 << 20;
/// Twice the time for twice the size, and what caches, page faults and noise may add.
const BAR: f64 = 2.2;

/// Bytes, each so many times. They are short, so that making them costs little.
type Blocks = Vec<(Vec<u8>, usize)>;

/// What comes when something is large.
struct Large {
    begin: &'static [u8],
    blocks: Blocks,
    end: &'static [u8],
}

impl Large {
    fn whole(self) -> Blocks {
        [vec![(self.begin.to_vec(), 1)], self.blocks, vec![(self.end.to_vec(), 1)]].concat()
    }

    /// From behind a beginning to behind the next.
    fn pass(self) -> Blocks {
        [self.blocks, vec![([self.end, self.begin].concat(), 1)]].concat()
    }
}

/// A column of the table: its name, and the contender for each size.
type Column = (&'static str, fn(usize) -> Contender<'static>);

/// What large blocks of the C library cost a program that needs a stanza in one piece.
const FRESH: [Column; 2] = [
    ("a new framer: stanza size", |size| turns(size, stanza(size).whole(), |whole| frame(&mut new(LIMIT), whole))),
    ("a new Vec: stanza size", |size| turns(size, stanza(size).whole(), collect)),
];
const FRAMER: [Column; 5] = [
    ("framer: late data", |size| framer(size, late_data(size), LIMIT)),
    ("framer: stanza size", |size| framer(size, stanza(size), LIMIT)),
    ("framer: attributes", |size| framer(size, attributes(size), LIMIT)),
    ("framer: nesting depth", |size| framer(size, nesting(size), LIMIT)),
    ("framer: stanza over the limit", |size| framer(size, stanza(size), 0)),
];
/// The last one is the kernel's part of the others.
const CLOSE: [Column; 3] = [
    ("close: late data", |size| over_loopback(late_data(size), |tcp, _| close(tcp))),
    ("close: stanza size", |size| over_loopback(stanza(size), |tcp, _| close(tcp))),
    ("read(2) alone", |size| over_loopback(late_data(size), read_alone)),
];

type Line = (&'static str, Vec<(f64, Samples)>);

pub fn run() -> Section {
    let fresh = measure(&FRESH);
    keep_memory();
    let (framer, close) = (measure(&FRAMER), measure(&CLOSE));
    let mut bars = Bars::new();
    for line in &framer {
        bars.at_most(&format!("{}, doubled: time", line.0), BAR, ratios(line).fold(0.0, f64::max), "×");
    }
    let alone = &close[CLOSE.len() - 1];
    for line in &close[..CLOSE.len() - 1] {
        // Where the kernel takes more than twice as long for twice as much, a close may, too.
        let beside = ratios(line).zip(ratios(alone)).map(|(ours, alone)| ours / f64::max(1.0, alone / 2.0));
        bars.at_most(
            &format!("{}, doubled: time, the kernel's part aside", line.0),
            BAR,
            beside.fold(0.0, f64::max),
            "×",
        );
    }
    let series: Vec<_> = [framer, close, fresh].concat();
    let mut columns = vec!["ns per byte"];
    columns.extend(series.iter().map(|line| line.0));
    let mut table = Table::new(&columns);
    for (row, size) in SIZES.enumerate() {
        let mut cells = vec![bytes(f64::from(1 << size))];
        cells.extend(series.iter().map(|(_, samples)| figure(per_byte(&samples[row]))));
        table.row(&cells);
    }
    let mut slopes = vec!["slope".to_owned()];
    slopes.extend(series.iter().map(|(_, samples)| format!("{:.2}", slope(samples))));
    table.row(&slopes);
    let text = format!(
        "CPU time of the thread for inputs from 1 KiB to 64 MiB; {ROUNDS} rounds. What is measured:

* *framer:* the framer alone, with room for any stanza, or for a stanza over the limit. Stanzas follow each other at once, so the
  framer's buffer is there already.
* *close:* a whole `xmpp_close_fd` over loopback. Where `read(2) alone` takes more than twice as long for twice as much, a close
  may, too.
* *a new framer*, *a new Vec:* a buffer that is new for each stanza, in a framer and by itself. There the C library gives memory
  back to the kernel, so a block of over 32 MiB comes page by page each time. In all other columns the C library was told to
  keep memory.

A bar holds the largest ratio between the time for one size and the time for half of that size: at most 2, and a tenth more for what
caches and noise add. The *slope* is that of a line from the first point to the last on two logarithmic axes: 1 is
linear, 2 is quadratic.

{}![Time per byte](performance/scaling.svg)

{}",
        bars.finish(),
        table.finish()
    );
    Section { title: "Scaling", text }
}

/// Asks the C library to keep whatever it got, as a process that has been up has memory at hand: by itself it takes
/// blocks of over 32 MiB from the kernel each time, page by page.
fn keep_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: numbers go in and out.
    unsafe {
        assert_eq!(libc::mallopt(libc::M_MMAP_MAX, 0), 1);
        assert_eq!(libc::mallopt(libc::M_TRIM_THRESHOLD, -1), 1);
    }
}

fn measure(columns: &[Column]) -> Vec<Line> {
    let contenders = columns.iter().flat_map(|(_, of)| SIZES.map(|size| of(1 << size)));
    let mut samples = interleave(contenders.collect(), ROUNDS).into_iter();
    let points = |name| (name, SIZES.map(|size| f64::from(1 << size)).zip(samples.by_ref()).collect());
    columns.iter().map(|(name, _)| *name).map(points).collect()
}

/// What doubling costs, size by size.
fn ratios((_, points): &Line) -> impl Iterator<Item = f64> {
    points.windows(2).map(|pair| pair[1].1.median() / pair[0].1.median())
}

fn per_byte((size, samples): &(f64, Samples)) -> f64 {
    samples.median() / size * 1e9
}

fn slope(points: &[(f64, Samples)]) -> f64 {
    let (first, last) = (&points[0], &points[points.len() - 1]);
    (last.1.median() / first.1.median()).ln() / (last.0 / first.0).ln()
}

/// Turns in which as much comes for each size, behind a time that is not counted, for the others have had the caches.
fn turns(size: usize, blocks: Blocks, mut work: impl FnMut(&Blocks) + 'static) -> Contender<'static> {
    let times = (TURN / size).max(1) as u32;
    Contender::fixed(1, move || {
        work(&blocks);
        let start = thread_time();
        (0..times).for_each(|_| work(&blocks));
        (thread_time() - start) / times
    })
}

/// One framer for all, as a stream has one, and each stanza right behind another.
fn framer(size: usize, large: Large, limit: usize) -> Contender<'static> {
    let mut framer = new(limit);
    assert_eq!(framer.next(&mut &*large.begin), None);
    turns(size, large.pass(), move |pass| frame(&mut framer, pass))
}

fn new(limit: usize) -> Framer {
    Framer::inside(None).limit(limit)
}

fn frame(framer: &mut Framer, blocks: &Blocks) {
    let mut stanzas = 0;
    for (block, times) in blocks {
        for _ in 0..*times {
            let mut piece = &block[..];
            while let Some(frame) = framer.next(&mut piece) {
                match black_box(frame) {
                    Frame::Stanza(_) | Frame::Oversize(_) => stanzas += 1,
                    other => panic!("{other:?}"),
                }
            }
        }
    }
    assert!(stanzas > 0);
}

/// The least that a program does that needs a stanza in one piece.
fn collect(blocks: &Blocks) {
    let mut stanza = Vec::new();
    for (block, times) in blocks {
        for _ in 0..*times {
            stanza.extend_from_slice(black_box(block));
        }
    }
    black_box(&stanza);
}

/// Few at a time, because each leaves a connection behind in TIME_WAIT. The first one does not count.
fn over_loopback(large: Large, end: fn(TcpStream, usize)) -> Contender<'static> {
    const TIMES: u32 = 4;
    let blocks = large.whole();
    let bytes = blocks.iter().map(|(block, times)| block.len() * times).sum();
    let late = Late::of(blocks);
    let one = move || {
        let (tcp, peer) = late.connect();
        let start = thread_time();
        end(tcp, bytes);
        let took = thread_time() - start;
        peer.join().unwrap();
        took
    };
    Contender::fixed(1, move || {
        one();
        (0..TIMES).map(|_| one()).sum::<Duration>() / TIMES
    })
}

fn close(tcp: TcpStream) {
    assert!(with_limit(tcp, LIMIT, &|| {}) > 0);
}

/// Reads the same number of bytes, in pieces as large as ours.
fn read_alone(mut tcp: TcpStream, late: usize) {
    tcp.write_all(TAG).unwrap();
    let (mut bytes, mut left) = ([0; 5 * 1024], late + TAG.len());
    while left > 0 {
        left -= tcp.read(black_box(&mut bytes)).unwrap();
    }
}

/// Stanzas of 128 bytes.
fn late_data(size: usize) -> Large {
    let stanza = format!("<message><body>{}</body></message>", "late ".repeat(19));
    Large { begin: b"", blocks: vec![(stanza.repeat(8).into_bytes(), size / 1024)], end: b"" }
}

fn stanza(size: usize) -> Large {
    let text = "Art thou not Romeo, and a Montague? ".repeat(29).into_bytes();
    Large { begin: b"<message><body>", blocks: vec![(text[..1024].to_vec(), size / 1024)], end: b"</body></message>" }
}

fn attributes(size: usize) -> Large {
    let block = " name='attribute'".repeat(60).into_bytes(); // the framer lets one name stand twice
    Large { begin: b"<message", blocks: vec![(block, size / 1020)], end: b"/>" }
}

fn nesting(size: usize) -> Large {
    let blocks = vec![(b"<a> ".repeat(32), size / 256), (b"</a>".repeat(32), size / 256)];
    Large { begin: b"<message>", blocks, end: b"</message>" }
}

pub fn bytes(size: f64) -> String {
    if size < 1048576.0 { format!("{} KiB", size / 1024.0) } else { format!("{} MiB", size / 1048576.0) }
}
