//! Whether anything grows faster than what comes: time by size, from 1 KiB to 64 MiB, for each thing that can be large.

use std::hint::black_box;

use xmpp_close::{Frame, Framer};

use crate::{
    closes::with_limit,
    late::Late,
    page::Section,
    plot,
    sampler::{Contender, Samples, interleave, thread_time},
    table::{Bars, Table, figure},
};

const SIZES: std::ops::RangeInclusive<u32> = 10..=26;
const ROUNDS: usize = 9;
/// No stanza here is longer.
const LIMIT: usize = 256 << 20;
/// Twice the time for twice the size, and what caches, page faults and noise may add.
const BAR: f64 = 2.2;

/// What comes when something is so large: blocks, each so many times. They are short, so that making them costs little.
type Shape = fn(usize) -> Vec<(Vec<u8>, usize)>;

const SHAPES: [(&str, Shape); 4] =
    [("late data", late_data), ("stanza size", stanza), ("attributes", attributes), ("nesting depth", nesting)];

pub fn run() -> Section {
    let mut series = Vec::new();
    for (name, shape) in SHAPES {
        series.push((format!("framer: {name}"), framer(shape, LIMIT)));
    }
    series.push(("framer: stanza over the limit".to_owned(), framer(stanza, 0)));
    for (name, shape) in &SHAPES[..2] {
        series.push((format!("close: {name}"), close(*shape)));
    }
    let mut bars = Bars::new();
    for (name, samples) in &series {
        let ratios = samples.windows(2).map(|pair| pair[1].1.median() / pair[0].1.median());
        bars.at_most(&format!("{name}, doubled: time"), BAR, ratios.fold(0.0, f64::max), "×");
    }
    let mut columns = vec!["ns per byte"];
    columns.extend(series.iter().map(|line| &*line.0));
    let mut table = Table::new(&columns);
    for (row, size) in SIZES.enumerate() {
        let mut cells = vec![bytes(f64::from(1 << size))];
        cells.extend(series.iter().map(|(_, samples)| figure(per_byte(&samples[row]))));
        table.row(&cells);
    }
    let mut slopes = vec!["slope".to_owned()];
    slopes.extend(series.iter().map(|(_, samples)| format!("{:.2}", slope(samples))));
    table.row(&slopes);
    let lines: Vec<_> = series
        .iter()
        .map(|(name, samples)| (name.clone(), samples.iter().map(|point| (point.0, per_byte(point))).collect()))
        .collect();
    let text = format!(
        "CPU time of the thread, from 1 KiB to 64 MiB, of the framer (with room for any stanza, and for a stanza over \
         the limit)\nand of a whole `xmpp_close_fd` over loopback. The bar is the largest ratio between a size and half of \
         it: 2, and a tenth for\nwhat caches, page faults and noise add.\nThe slope is that of a line from the first to the last point, both axes \
         being logarithmic: 1 is linear, 2 quadratic.\nA buffer for a stanza of 128 KiB and more comes from the kernel, page \
         by page (M_MMAP_THRESHOLD of the C library): one step,\nbehind which time is linear again. {ROUNDS} rounds.\n\n{}![Time per \
         byte](performance/scaling.svg)\n\n{}",
        bars.finish(),
        table.finish()
    );
    let plot = plot::lines("Time per byte, by size", bytes, "ns", &lines);
    Section { title: "Scaling", text, plots: vec![("scaling.svg", plot)] }
}

type Point = (f64, Samples);

fn per_byte((size, samples): &Point) -> f64 {
    samples.median() / size * 1e9
}

fn slope(points: &[Point]) -> f64 {
    let (first, last) = (&points[0], &points[points.len() - 1]);
    (last.1.median() / first.1.median()).ln() / (last.0 / first.0).ln()
}

fn framer(shape: Shape, limit: usize) -> Vec<Point> {
    let contenders = SIZES.map(|size| {
        let blocks = shape(1 << size);
        Contender::cpu(move || frame(&blocks, limit))
    });
    points(interleave(contenders.collect(), ROUNDS))
}

fn frame(blocks: &[(Vec<u8>, usize)], limit: usize) {
    let (mut framer, mut stanzas) = (Framer::inside(None).limit(limit), 0);
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
    assert!(stanzas > 0 && framer.between_stanzas());
}

/// Few at a time: each leaves a connection behind in TIME_WAIT.
fn close(shape: Shape) -> Vec<Point> {
    let contenders = SIZES.map(|size| {
        let late = Late::of(shape(1 << size));
        Contender::fixed(4, move || {
            let (tcp, peer) = late.connect();
            let start = thread_time();
            let stanzas = with_limit(tcp, LIMIT, &|| {});
            let took = thread_time() - start;
            peer.join().unwrap();
            assert!(stanzas > 0);
            took
        })
    });
    points(interleave(contenders.collect(), ROUNDS))
}

fn points(samples: Vec<Samples>) -> Vec<Point> {
    SIZES.map(|size| f64::from(1 << size)).zip(samples).collect()
}

/// Stanzas of 128 bytes.
fn late_data(size: usize) -> Vec<(Vec<u8>, usize)> {
    let stanza = format!("<message><body>{}</body></message>", "late ".repeat(19));
    vec![(stanza.repeat(8).into_bytes(), size / 1024)]
}

fn stanza(size: usize) -> Vec<(Vec<u8>, usize)> {
    let text = "Art thou not Romeo, and a Montague? ".repeat(29).into_bytes();
    vec![(b"<message><body>".to_vec(), 1), (text[..1024].to_vec(), size / 1024), (b"</body></message>".to_vec(), 1)]
}

fn attributes(size: usize) -> Vec<(Vec<u8>, usize)> {
    let block = " name='attribute'".repeat(60).into_bytes(); // the framer lets one name stand twice
    vec![(b"<message".to_vec(), 1), (block, size / 1020), (b"/>".to_vec(), 1)]
}

fn nesting(size: usize) -> Vec<(Vec<u8>, usize)> {
    let blocks = size / (32 * 7);
    vec![(b"<a>".repeat(32), blocks), (b"</a>".repeat(32), blocks)]
}

fn bytes(size: f64) -> String {
    if size < 1048576.0 { format!("{} KiB", size / 1024.0) } else { format!("{} MiB", size / 1048576.0) }
}
