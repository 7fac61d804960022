//! The worst that a peer can order: time by size, from 1 KiB to 1 MiB, for shapes that are dear, and every way to read
//! them.

#[path = "../../tests/support/worst.rs"]
mod shapes;

use std::{hint::black_box, iter, time::Duration};

use shapes::{READER, SHAPES, WAYS, Way, cost};

use crate::{
    page::Section,
    scaling::bytes,
    table::{Bars, Table, figure},
};

const SIZES: std::ops::RangeInclusive<u32> = 10..=20;
const ROUNDS: usize = 15;
/// How much comes in each turn, at least.
const TURN: usize = 128 << 10;
const MOST_PER_BYTE: f64 = 40.0;
/// What a byte costs that is only passed over. Below that, caches decide.
const NOTHING: f64 = 1.0;
/// Twice the time for twice the size, and what caches, page faults and noise may add.
const MOST_DOUBLED: f64 = 2.2;

/// What one shape costs one way, in ns per byte and size by size.
struct Line {
    shape: &'static str,
    points: Vec<(f64, f64)>,
}

impl Line {
    fn dearest(&self) -> f64 {
        self.points.iter().map(|point| point.1).fold(0.0, f64::max)
    }

    /// The most that doubling costs, where a byte costs anything.
    fn doubled(&self) -> f64 {
        let at_least = |point: (f64, f64)| point.1.max(NOTHING);
        self.points.windows(2).map(|pair| 2.0 * at_least(pair[1]) / at_least(pair[0])).fold(0.0, f64::max)
    }
}

pub fn run() -> Section {
    let mut bars = Bars::new();
    let mut table = Table::new(&[
        "",
        "worst shape",
        "ns per byte at most",
        "at 1 KiB",
        "at 32 KiB",
        "at 1 MiB",
        "doubled, at most",
    ]);
    let sizes: Vec<_> = SIZES.map(|size| bytes(f64::from(1 << size))).collect();
    let mut by_size = Table::new(&[vec!["ns per byte"], sizes.iter().map(String::as_str).collect()].concat());
    for way in WAYS.iter().chain([&READER]) {
        let lines = measure(way);
        let worst = lines.iter().max_by(|a, b| a.dearest().total_cmp(&b.dearest())).unwrap();
        let doubled = lines.iter().max_by(|a, b| a.doubled().total_cmp(&b.doubled())).unwrap();
        if way.name != READER.name {
            bars.at_most(&format!("{}: {}", way.name, worst.shape), MOST_PER_BYTE, worst.dearest(), "ns per byte");
            bars.at_most(&format!("{}: {}: doubled", way.name, doubled.shape), MOST_DOUBLED, doubled.doubled(), "×");
            let cells = worst.points.iter().map(|point| figure(point.1));
            by_size.row(&iter::once(way.name.to_owned()).chain(cells).collect::<Vec<_>>());
        }
        let at = |size: usize| figure(worst.points[size].1);
        let doubled = format!("{} × ({})", figure(doubled.doubled()), doubled.shape);
        table.row(&[way.name, worst.shape, &figure(worst.dearest()), &at(0), &at(5), &at(10), &doubled]);
    }
    let shapes: Vec<_> = SHAPES.iter().map(|(name, _)| *name).collect();
    let text = format!(
        "CPU time of the thread for the worst that a peer may send, from 1 KiB to 1 MiB, by its shape and by the function that reads it. The
figure is the least of {ROUNDS} rounds, because other work can make a computation slower but never faster.

* The bars hold for the worst of {} shapes: {}.
* `Stream`, `close` and `Batch` run over memory in place of a socket, so that only the library's own part is measured.
* A batch is made for each input. Making its descriptors is a good part of its time at 1 KiB, and no peer orders that.
* `Stanza::reader` is the `xml` crate's, and runs only when an application asks for it. It has no bar, but it is bounded.
* When a size is held against its half, less than {NOTHING} ns per byte counts as {NOTHING} ns per byte.

{}{}{}![Time per byte of the worst shape](performance/worst.svg)
",
        SHAPES.len(),
        shapes.join(", "),
        bars.finish(),
        table.finish(),
        by_size.finish()
    );
    Section { title: "The worst case", text }
}

fn measure(way: &Way) -> Vec<Line> {
    eprintln!("  {}", way.name);
    let lines = SHAPES.iter().filter(|(_, shape)| way.takes(shape)).map(|(name, shape)| {
        let inputs: Vec<_> = SIZES.map(|size| (way.bytes)(shape, 1 << size)).collect();
        let mut least = vec![Duration::MAX; inputs.len()];
        for _ in 0..=ROUNDS {
            for (bytes, least) in inputs.iter().zip(&mut least) {
                let times = (TURN / bytes.len()).max(1) as u32;
                let took = cost(|| (0..times).for_each(|_| (way.read)(black_box(bytes))));
                *least = (*least).min(took / times);
            }
        }
        let per_byte = |(bytes, least): (&Vec<u8>, &Duration)| {
            let length = bytes.len() as f64;
            (length, least.as_secs_f64() / length * 1e9)
        };
        Line { shape: name, points: inputs.iter().zip(&least).map(per_byte).collect() }
    });
    lines.collect()
}
