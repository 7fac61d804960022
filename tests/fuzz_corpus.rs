//! The short run of the fuzz targets: their whole corpus, and mutations of it, the same in every run.
//! `XMPP_CLOSE_MUTATIONS=0` leaves them out, to measure what the corpus itself reaches.

#[allow(dead_code, reason = "only the inputs count here")]
#[path = "data/framing/cases.rs"]
mod cases;
#[path = "../fuzz/src/lib.rs"]
mod targets;

use std::{
    env, fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

/// What the cases speak of.
#[allow(dead_code, reason = "tests/framing looks at it")]
#[derive(Clone)]
pub(crate) enum Seen {
    Header(String),
    Stanza(String),
    Oversize(u64),
    End,
    Bad(xmpp_close::Malformed),
}

/// A small generator of pseudo-random numbers (Knuth's MMIX constants).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target)
}

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let mut files: Vec<_> = fs::read_dir(folder(target)).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

/// What a fuzzer without feedback does: changes bytes, and joins the halves of two inputs.
fn mutate(random: &mut Random, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut input = corpus[random.below(corpus.len())].clone();
    if random.below(3) == 0 {
        let other = &corpus[random.below(corpus.len())];
        input.truncate(random.below(input.len() + 1));
        input.extend_from_slice(&other[random.below(other.len() + 1)..]);
    }
    for _ in 0..random.below(6) {
        let place = random.below(input.len() + 1);
        let byte = match random.below(3) {
            0 => random.below(256) as u8,
            _ => b"<>/'\"&;=]![?- x1:\n\0\x80\xc3\xff"[random.below(22)],
        };
        match random.below(3) {
            0 => input.insert(place, byte),
            _ if place == input.len() => {}
            1 => input[place] = byte,
            _ => drop(input.remove(place)),
        }
    }
    input
}

fn run(target: &str, function: fn(&[u8]), mutations: usize) {
    let check = |input: &[u8]| {
        let result = catch_unwind(AssertUnwindSafe(|| function(input)));
        assert!(result.is_ok(), "{target} does not hold for b\"{}\"", input.escape_ascii());
    };
    let corpus = corpus(target);
    check(b"");
    corpus.iter().for_each(|input| check(input));
    let mutations = env::var("XMPP_CLOSE_MUTATIONS").map_or(mutations, |number| number.parse().unwrap());
    let mut random = Random(1);
    for _ in 0..mutations {
        check(&mutate(&mut random, &corpus));
    }
}

#[test]
fn every_framing_case_is_in_the_corpus() {
    for (index, case) in cases::all().iter().enumerate() {
        let file = folder("framing").join(format!("case-{index:03}"));
        if env::var_os("BLESS").is_some() {
            fs::write(&file, &case.input).unwrap();
        }
        let is_there = fs::read(&file).is_ok_and(|input| input == case.input);
        assert!(is_there, "{} is not {}: BLESS=1 writes it", file.display(), case.id);
    }
}

#[test]
fn the_framer_is_the_same_in_pieces_and_agrees_with_other_parsers() {
    run("framing", targets::framing, 30_000);
}

#[test]
fn the_engine_keeps_its_word_whatever_happens() {
    run("engine", targets::engine, 20_000);
}

#[test]
fn the_c_functions_take_any_struct_and_bytes() {
    run("capi", targets::capi, 10_000);
}

#[test]
fn a_close_loses_nothing_and_ends_whatever_the_peer_says() {
    run("session", targets::session, 10_000);
}

#[cfg(unix)]
#[test]
fn every_worst_shape_is_in_the_corpus() {
    for (index, (name, _)) in targets::SHAPES.iter().enumerate() {
        let file = folder("worst").join(format!("shape-{index:02}"));
        let input = targets::input(index);
        if env::var_os("BLESS").is_some() {
            fs::write(&file, &input).unwrap();
        }
        let is_there = fs::read(&file).is_ok_and(|found| found == input);
        assert!(is_there, "{} is not {name}: BLESS=1 writes it", file.display());
    }
}

#[cfg(unix)]
#[test]
fn no_shape_costs_more_than_a_bound_per_byte() {
    run("worst", targets::worst, 2_000);
}

#[test]
fn any_header_can_be_read() {
    run("header", targets::header, 30_000);
}

#[test]
fn the_rules_of_the_engine_hold_in_random_walks() {
    let walks = env::var("XMPP_CLOSE_WALKS").map_or(20_000, |walks| walks.parse().unwrap());
    let mut random = Random(7);
    for _ in 0..walks {
        let length = random.below(160);
        let input: Vec<u8> = (0..length).map(|_| random.below(256) as u8).collect();
        let result = catch_unwind(AssertUnwindSafe(|| targets::engine(&input)));
        assert!(result.is_ok(), "engine does not hold for b\"{}\"", input.escape_ascii());
    }
}
