//! Whatever the peer sends costs no more per byte than a bound. The input is a shape, which is made large.
#![allow(unsafe_code)]

#[path = "../../tests/support/worst.rs"]
mod shapes;

use std::{hint::black_box, sync::OnceLock, time::Duration};

pub use shapes::SHAPES;
use shapes::{Place, READER, Shape, WAYS, Way, cost};
use xmpp_close::Framer;

/// How large. What grows with the square of the size is far above the bounds here.
const SIZE: usize = 16 * 1024;
/// How often more than the control, which is ordinary stanzas framed byte by byte: 20 ns a byte when optimised.
const MOST: u32 = 4;
/// The same for `Stanza::reader`.
const MOST_READ: u32 = 400;
/// How often something is measured before it is called dear, for what else the machine does makes it dear, too.
const ATTEMPTS: u32 = 30;

/// The first byte says where the shape stands and who reads it; the rest is the shape: head, unit, middle, back and tail, with NUL,
/// which XML has not, in between.
pub fn worst(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    let text = String::from_utf8_lossy(rest);
    let mut parts = text.split('\0');
    let mut part = || parts.next().unwrap_or_default();
    let place = if kind % 2 == 0 { Place::Tag } else { Place::Body };
    let shape = Shape { place, head: part(), unit: part(), middle: part(), back: part(), tail: part() };
    let ways: Vec<_> = WAYS.iter().chain([&READER]).filter(|way| way.takes(&shape)).collect();
    let way = ways[usize::from(kind / 2) % ways.len()];
    check(way, &(way.bytes)(&shape, SIZE));
}

/// The input for a shape and a way, by their numbers; tests/worst.rs has each shape each way.
pub fn input(number: usize) -> Vec<u8> {
    let (_, shape) = &SHAPES[number];
    let kind = 2 * number as u8 + u8::from(shape.place == Place::Body);
    let parts = [shape.head, shape.unit, shape.middle, shape.back, shape.tail].join("\0");
    [&[kind], parts.as_bytes()].concat()
}

fn check(way: &Way, bytes: &[u8]) {
    let factor = if way.name == READER.name { MOST_READ } else { MOST };
    // What is done once, whatever comes: some descriptors, a batch.
    let once = Duration::from_micros(200);
    let least = |attempts| {
        let took = (0..attempts).map(|_| cost(|| (way.read)(black_box(bytes)))).min();
        took.unwrap_or_default().saturating_sub(once)
    };
    let bound = |control: Duration| control * factor * bytes.len().max(1024) as u32 / SIZE as u32;
    if least(1) <= bound(control()) {
        return;
    }
    let (control, took) = (measure(ATTEMPTS), least(ATTEMPTS));
    let name = way.name;
    assert!(took <= bound(control), "{name}: {took:?} for {} bytes; the control takes {control:?}", bytes.len());
}

/// What the control takes for [`SIZE`] bytes, without those shapes.
fn control() -> Duration {
    static CONTROL: OnceLock<Duration> = OnceLock::new();
    *CONTROL.get_or_init(|| measure(ATTEMPTS))
}

fn measure(attempts: u32) -> Duration {
    let stanzas = "<message to='romeo@example.net'><body>Art thou not Romeo?</body></message>".repeat(SIZE / 73);
    let mut framer = Framer::inside(None);
    let mut frame = || {
        for mut byte in stanzas.as_bytes().chunks(1) {
            black_box(framer.next(&mut byte));
        }
    };
    (0..attempts).map(|_| cost(&mut frame)).min().unwrap_or_default()
}
