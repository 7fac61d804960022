//! How fast the stanzas of a realistic stream are found, beside the parsers that could do it instead.

use crate::{
    framers::FRAMERS,
    mix,
    page::Section,
    sampler::{Contender, Samples, interleave},
    table::{Bars, Table, figure},
};

const LENGTH: usize = 1 << 20;
/// Single bytes are slow enough with a smaller stream.
const SHORT: usize = 1 << 17;
const PIECE: usize = 4096;
const ROUNDS: usize = 21;
/// How fast expat was on the machine on which the bar in GB/s was set, in MB/s.
const EXPAT_THEN: f64 = 165.0;

pub fn run() -> Section {
    let (whole, pieces, bytes) = (measure(LENGTH, usize::MAX), measure(LENGTH, PIECE), measure(SHORT, 1));
    let mut table = Table::new(&["MB/s", "4 KiB pieces", "1-byte pieces", "in one piece"]);
    for (number, (name, _)) in FRAMERS.iter().enumerate() {
        let cell = |speeds: &[Speed]| format!("{} ± {:.0} %", figure(speeds[number].0), speeds[number].1);
        table.row(&[(*name).to_owned(), cell(&pieces), cell(&bytes), cell(&whole)]);
    }
    let of = |name: &str, speeds: &[Speed]| speeds[FRAMERS.iter().position(|framer| framer.0 == name).unwrap()].0;
    let ours = pieces[0].0;
    let mut bars = Bars::new();
    for (name, bar) in [("expat", 8.0), ("xml", 20.0), ("quick-xml", 2.0)] {
        bars.at_least(&format!("4 KiB pieces, beside {name}"), bar, ours / of(name, &pieces), "×");
    }
    let bar = 1500.0 * of("expat", &pieces) / EXPAT_THEN;
    bars.at_least("4 KiB pieces, 1.5 GB/s where expat does 165 MB/s, so here", bar, ours, "MB/s");
    bars.at_least("1-byte pieces, beside expat", 1.0, bytes[0].0 / of("expat", &bytes), "×");
    let parts: Vec<_> = mix::KINDS.iter().map(|(kind, part)| format!("{part} % {kind}")).collect();
    let text = format!(
        "How fast the ends of stanzas are found in a stream of 1 MiB (by bytes: {}), in CPU time; {ROUNDS} rounds.

* All contenders but memchr must report the same number of stanzas; otherwise there are no figures.
* memchr only finds each `<` and `>`. No framer can be faster.
* expat, rxml and xml also decode the text. quick-xml checks neither characters nor references.
* The pull parsers read from a buffer that never blocks.

{}{}![4 KiB pieces](performance/framing.svg)

![1-byte pieces](performance/framing-bytes.svg)

By kind of traffic, in 4 KiB pieces:

{}",
        parts.join(", "),
        bars.finish(),
        table.finish(),
        by_kind()
    );
    Section { title: "Framing", text }
}

/// MB/s, and the spread in percent.
type Speed = (f64, f64);

/// The speed of each contender in a stream of all kinds of traffic.
fn measure(length: usize, piece: usize) -> Vec<Speed> {
    speeds(&mix::mix(length), piece, FRAMERS.len())
}

fn by_kind() -> String {
    let mut table = Table::new(&["", "bytes per stanza", "xmpp-close, MB/s", "memchr, MB/s", "expat, MB/s", "× expat"]);
    for (kind, _) in mix::KINDS {
        let stanzas = mix::only(kind, LENGTH);
        let each = stanzas.0.len() / stanzas.1;
        let speeds = speeds(&stanzas, PIECE, 3);
        let mut row = vec![kind.to_owned(), each.to_string()];
        row.extend(speeds.iter().map(|speed| figure(speed.0)));
        row.push(figure(speeds[0].0 / speeds[2].0));
        table.row(&row);
    }
    table.finish()
}

/// The speeds of the first so many of [`FRAMERS`].
fn speeds((stanzas, count): &(String, usize), piece: usize, contenders: usize) -> Vec<Speed> {
    let stream = [mix::HEADER, stanzas, mix::END].concat().into_bytes();
    let tags = stream.iter().filter(|byte| b"<>".contains(byte)).count() / 2;
    let stream = &stream;
    let contenders = FRAMERS[..contenders].iter().map(|(name, stanzas)| {
        let expected = if *name == "memchr" { tags } else { *count };
        assert_eq!(stanzas(stream, piece), expected, "{name}");
        Contender::cpu(move || assert_eq!(std::hint::black_box(stanzas(stream, piece)), expected))
    });
    let speed = |samples: Samples| (stream.len() as f64 / samples.median() / 1e6, samples.spread());
    interleave(contenders.collect(), ROUNDS).into_iter().map(speed).collect()
}
