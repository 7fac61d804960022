//! Started streams over a scripted wire, with an application that sends until the end.

mod wire;

use std::{
    cell::Cell,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use wire::Scripted;

use super::*;
use crate::{
    condition::Condition,
    engine::SendError,
    options::{LastWords, Said},
    report::{Initiator, Limit, Outcome},
    stream_error::StreamError,
};

const TAG: &str = "</stream:stream>";

fn start(wire: &Scripted, options: CloseOptions) -> Driver<Scripted> {
    Driver::new(wire.clone(), options).unwrap()
}

/// Steps until the driver has to wait, or the close is over. Returns the stanzas that were handed over.
fn run(driver: &mut Driver<Scripted>) -> Vec<String> {
    answering(driver, |_, _| {})
}

/// As [`run`], and `answer` is called for each stanza.
fn answering(driver: &mut Driver<Scripted>, answer: impl Fn(&mut Driver<Scripted>, &str)) -> Vec<String> {
    let mut stanzas = Vec::new();
    for _ in 0..10_000 {
        driver.advance(&mut Spent::default(), |driver, is_input| {
            let mut stanza = None;
            if is_input {
                driver.frame(Some(&mut |lent| stanza = Some(lent.to_string())));
            }
            if let Some(stanza) = stanza {
                answer(driver, &stanza);
                stanzas.push(stanza);
            }
            false
        });
        if driver.is_done() || driver.blocked.is_some() {
            return stanzas;
        }
    }
    panic!("it goes on and on");
}

/// Steps and waits until the close is over.
fn run_to_the_end(driver: &mut Driver<Scripted>) -> Report {
    let end = Instant::now() + Duration::from_secs(60);
    while !driver.is_done() {
        run(driver);
        if let Some(due) = driver.due().filter(|_| !driver.is_done()) {
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        assert!(Instant::now() < end, "{}", driver.report());
    }
    driver.report()
}

/// Last words that say these texts, one each time they are asked for, and count how often that is.
fn words(all: &[&'static str]) -> (LastWords, Arc<AtomicU32>) {
    let (asked, all) = (Arc::new(AtomicU32::new(0)), all.to_vec());
    let count = asked.clone();
    let compose = move || Said::Some(all.get(count.fetch_add(1, Relaxed) as usize).copied().unwrap_or("").into());
    (LastWords::new(compose), asked)
}

#[test]
fn nothing_is_read_or_written_before_the_first_step() {
    let wire = Scripted::sending(&["<a/>"]);
    let mut driver = start(&wire, CloseOptions::new().peer_closed(true).residual("<r/>"));
    let wants = driver.wants();
    assert!(wants.may_send() && wants.answer() && !wants.read() && !wants.write() && !wants.over());
    driver.send(b"<b/>").unwrap();
    driver.finish(None);
    assert_eq!(wire.0.borrow().calls, 0);
    assert!(driver.due().is_some_and(|due| due <= Instant::now()), "the first step is due at once");
}

#[test]
fn an_open_stream_is_read_and_written() {
    let wire = Scripted::sending(&["<a/>", "<b", "/>"]);
    let mut driver = start(&wire, CloseOptions::new());
    driver.send(b"<c/>").unwrap();
    assert_eq!(run(&mut driver), ["<a/>", "<b/>"]);
    assert_eq!(wire.got(), ["<c/>"]);
    let wants = driver.wants();
    assert!(wants.read() && !wants.write() && wants.may_send() && wants.parse());
    assert_eq!(driver.due(), None, "an open stream has no deadline");
    wire.0.borrow_mut().blocked = true;
    driver.send(b"<d/>").unwrap();
    assert!(driver.due().is_some_and(|due| due <= Instant::now()), "something is to be written");
    run(&mut driver);
    assert!(driver.wants().read() && driver.wants().write());
}

#[test]
fn what_has_arrived_is_answered_in_front_of_our_tag_in_one_segment() {
    let wire = Scripted::sending(&["<a/>", "<b/>"]);
    let mut driver = start(&wire, CloseOptions::new().residual("<r/>").farewell("<f/>"));
    driver.send(b"<first/>").unwrap();
    driver.finish(None);
    let stanzas = answering(&mut driver, |driver, stanza| driver.send(stanza.as_bytes()).unwrap());
    assert_eq!(stanzas, ["<r/>", "<a/>", "<b/>"]);
    assert_eq!(wire.got(), [format!("<first/><r/><a/><b/><f/>{TAG}")]);
    assert_eq!(driver.send(b"<late/>"), Err(SendError::Refused));
    wire.sends("<late/>");
    wire.sends(TAG);
    wire.0.borrow_mut().ends = true;
    let late = answering(&mut driver, |driver, _| assert!(driver.send(b"<no/>").is_err()));
    assert_eq!(late, ["<late/>"]);
    let report = driver.report();
    assert_eq!((report.outcome, report.initiator), (Outcome::Clean, Some(Initiator::Us)), "{report}");
    assert_eq!((report.stanzas, report.refused), (4, 2));
}

#[test]
fn where_nothing_has_arrived_what_was_read_before_is_answered_all_the_same() {
    let wire = Scripted::default();
    wire.0.borrow_mut().quiet = true;
    let mut driver = start(&wire, CloseOptions::new().residual("<r/>"));
    driver.finish(None);
    answering(&mut driver, |driver, _| driver.send(b"<reply/>").unwrap());
    assert_eq!(wire.got(), [format!("<reply/>{TAG}")]);
}

#[test]
fn a_tag_that_had_arrived_when_we_finished_is_no_answer() {
    let wire = Scripted::sending(&["<a/>", TAG]);
    let mut driver = start(&wire, CloseOptions::new());
    driver.finish(None);
    run(&mut driver);
    assert_eq!(wire.got(), [TAG]);
    assert_eq!(driver.report().initiator, Some(Initiator::Crossing));
}

#[test]
fn a_peer_that_closes_first_is_answered_when_the_application_says_so_or_the_time_is_over() {
    for finishes in [true, false] {
        let wire = Scripted::sending(&["<a/>", TAG]);
        let (compose, asked) = words(&["<w/>"]);
        let limit = Duration::from_secs(if finishes { 60 } else { 1 });
        let mut options = CloseOptions::new().answer(limit).total(Duration::from_secs(90));
        options.last_words = Some(compose);
        let mut driver = start(&wire, options);
        run(&mut driver);
        assert!(driver.wants().answer() && driver.wants().may_send());
        driver.send(b"<reply/>").unwrap();
        run(&mut driver);
        assert_eq!((wire.got(), asked.load(Relaxed)), (vec!["<reply/>".to_owned()], 0));
        wire.0.borrow_mut().ends = true;
        if finishes {
            driver.finish(None);
            run(&mut driver);
        }
        let report = run_to_the_end(&mut driver);
        assert_eq!((report.outcome, report.initiator), (Outcome::Clean, Some(Initiator::Peer)), "{report}");
        assert_eq!(report.limit, (!finishes).then_some(Limit::Answer));
        assert_eq!(wire.got(), [format!("<w/>{TAG}")]);
        assert_eq!(asked.load(Relaxed), 2, "until nothing is said");
    }
}

#[test]
fn an_end_without_a_tag_is_answered_too_and_waits_for_nothing_meanwhile() {
    let wire = Scripted::sending(&["<a/>"]);
    wire.0.borrow_mut().ends = true;
    let mut driver = start(&wire, CloseOptions::new());
    run(&mut driver);
    let wants = driver.wants();
    assert!(
        wants.answer() && wants.may_send() && !wants.read() && !wants.write(),
        "a descriptor that hung up is always ready"
    );
    assert!(driver.due().is_some_and(|due| due > Instant::now()));
    driver.finish(None);
    run(&mut driver);
    assert_eq!((driver.report().outcome, wire.got()), (Outcome::PeerEof, vec![TAG.to_owned()]));
}

#[test]
fn the_last_words_come_behind_all_that_was_written_until_nothing_is_said() {
    let wire = Scripted::sending(&["<a/>"]);
    wire.0.borrow_mut().blocked = true;
    let (compose, asked) = words(&["<v/>", "<w/>"]);
    let mut options = CloseOptions::new().farewell("<f/>");
    options.last_words = Some(compose);
    let mut driver = start(&wire, options);
    driver.send(b"<q/>").unwrap();
    driver.finish(Some(&StreamError::defined(Condition::Reset)));
    assert_eq!(run(&mut driver), ["<a/>"]);
    assert_eq!(asked.load(Relaxed), 0, "what goes before them is not written");
    wire.0.borrow_mut().blocked = false;
    wire.sends("<b/>");
    let stanzas = answering(&mut driver, |driver, _| driver.send(b"<reply/>").unwrap());
    assert_eq!(stanzas, ["<b/>"]);
    let error = "<stream:error><reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>";
    assert_eq!(wire.got().concat(), format!("<q/><reply/><f/><v/><w/>{error}{TAG}"));
    assert_eq!(asked.load(Relaxed), 3);
}

#[test]
fn a_stranger_that_never_stops_sending_is_cut_off() {
    for words in ["<w/>".repeat(100), "<w/>".to_owned()] {
        let wire = Scripted::default();
        let asked = Arc::new(AtomicU32::new(0));
        let count = asked.clone();
        let mut options = CloseOptions::new();
        options.last_words = Some(LastWords::new(move || {
            count.fetch_add(1, Relaxed);
            Said::Some(words.clone().into())
        }));
        let mut driver = start(&wire, options);
        driver.finish(None);
        run(&mut driver);
        let got = wire.got().concat();
        assert!(got.ends_with(TAG) && got.len() < 300 * 1024, "{} bytes", got.len());
        assert!(asked.load(Relaxed) < 2000, "asked {} times", asked.load(Relaxed));
    }
}

#[test]
fn an_application_may_say_its_last_word_later() {
    let wire = Scripted::default();
    let asked = Arc::new(AtomicU32::new(0));
    let count = asked.clone();
    let mut options = CloseOptions::new();
    options.last_words = Some(LastWords::new(move || match count.fetch_add(1, Relaxed) {
        0 => Said::Later,
        1 => Said::Some(b"<w/>".to_vec()),
        _ => Said::Some(Vec::new()),
    }));
    let mut driver = start(&wire, options);
    driver.finish(None);
    run(&mut driver);
    wire.sends("<a/>");
    assert_eq!(run(&mut driver), ["<a/>"]);
    assert_eq!(asked.load(Relaxed), 1, "it was told to wait");
    assert!(driver.wants().may_send() && driver.wants().read());
    driver.send(b"<reply/>").unwrap();
    run(&mut driver);
    assert_eq!(wire.got(), ["<reply/>"]);
    driver.finish(None);
    run(&mut driver);
    assert_eq!(wire.got(), [format!("<w/>{TAG}")]);
}

#[test]
fn who_never_stops_sending_cannot_hold_back_our_tag() {
    let wire = Scripted::default();
    wire.0.borrow_mut().floods = true;
    let mut driver = start(&wire, CloseOptions::new());
    driver.finish(None);
    for _ in 0..1000 {
        driver.advance(&mut Spent::default(), |driver, is_input| is_input && !driver.frame(None));
        if !wire.0.borrow().written.is_empty() {
            break;
        }
    }
    let read = wire.0.borrow().read;
    assert_eq!(wire.got(), [TAG]);
    assert!(read > 200 * 1024 && read < 400 * 1024, "{read} bytes were handled before");
    assert!(!driver.wants().may_send());
}

#[test]
fn an_application_that_takes_its_time_cannot_hold_back_our_tag_for_longer_than_its_time_to_answer() {
    let wire = Scripted::sending(&["<a/>"; 500]);
    let mut driver = start(&wire, CloseOptions::new().answer(Duration::from_millis(30)));
    driver.finish(None);
    let begun = Instant::now();
    let stanzas = Cell::new(0);
    answering(&mut driver, |_, _| {
        if wire.0.borrow().written.is_empty() {
            stanzas.set(stanzas.get() + 1);
            thread::sleep(Duration::from_millis(2));
        }
    });
    assert_eq!(wire.got(), [TAG]);
    assert!(begun.elapsed() >= Duration::from_millis(30) && stanzas.get() < 20, "{} stanzas", stanzas.get());
    assert_eq!(driver.report().stanzas, 500, "and all are handed over");
}

#[test]
fn the_first_finish_counts_and_a_fact_ends_the_close_all_the_same() {
    let wire = Scripted::default();
    let mut driver = start(&wire, CloseOptions::new());
    driver.finish(Some(&StreamError::defined(Condition::Reset)));
    driver.finish(Some(&StreamError::defined(Condition::Conflict)));
    driver.tell(Fact::Malformed).unwrap();
    run(&mut driver);
    let got = wire.got().concat();
    assert!(got.contains("<reset") && !got.contains("conflict") && !got.contains("not-well-formed"), "{got}");
    assert_eq!(got.matches(TAG).count(), 1);
}

#[test]
fn the_peers_error_is_answered_with_the_last_words_at_once() {
    let wire =
        Scripted::sending(&["<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"]);
    let (compose, _) = words(&["<w/>"]);
    let mut options = CloseOptions::new().farewell("<f/>");
    options.last_words = Some(compose);
    let mut driver = start(&wire, options);
    run(&mut driver);
    assert_eq!(wire.got(), [format!("<f/><w/>{TAG}")]);
    assert_eq!(driver.report().stream_error.unwrap().condition(), Condition::Conflict);
}

#[test]
fn a_detach_says_no_tag() {
    let wire = Scripted::sending(&["<a/>"]);
    let mut driver = start(&wire, CloseOptions::new().farewell("<f/>"));
    driver.send(b"<q/>").unwrap();
    driver.detach();
    assert!(run(&mut driver).is_empty(), "what comes is sent again when the session is resumed");
    assert_eq!(wire.got(), ["<q/><f/>"]);
    wire.0.borrow_mut().ends = true;
    driver.cancel();
    assert_eq!(driver.report().outcome, Outcome::Cancelled);
}
