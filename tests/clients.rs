//! The other ends that exist: clients of libstrophe, gloox, loudmouth and slixmpp from Debian's packages, connected to
//! the `idle_server` example, which closes their idle streams and is closed by them, with data in flight both ways.
//!
//! `cargo test --all-features --test clients -- --nocapture` shows the figures; with `INTEROP_REPORT=docs/interop.md`
//! in front, it writes them there.

#[path = "support/daemon.rs"]
mod daemon;
#[path = "clients/driver.rs"]
mod driver;
#[path = "support/example.rs"]
mod example;
#[path = "clients/page.rs"]
mod page;
#[path = "clients/server.rs"]
mod server;

use std::{ops::RangeInclusive, thread};

use daemon::Home;
use driver::{Driver, Library};
use server::{Client, Server, TAG, numbers};

/// How many messages are in flight in each direction.
const COUNT: usize = 200;
/// Short, but long enough for a client that has something to do on a busy machine.
const IDLE: &str = "3";
const NEVER: &str = "3600";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Link {
    Plain,
    StartTls,
}

/// Without the feature, the server has no TLS.
const LINKS: &[Link] = if cfg!(feature = "rustls") { &[Link::Plain, Link::StartTls] } else { &[Link::Plain] };

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Situation {
    /// The server closes the idle stream behind 200 messages that the client has not read; before it reads any of this,
    /// the client sends 200.
    WeClose,
    /// The client has read its 200 messages, sends 200, and closes.
    TheyClose,
    /// The client sends 200 and closes while its 200 messages wait in its socket.
    TheyCloseUnread,
}

/// What has become of a cell.
#[derive(Debug)]
struct Ending {
    outcome: String,
    begun_by: String,
    /// Messages, and other elements, that arrived after our tag and were processed.
    late: usize,
    /// How many of the client's 200 messages have got to whom they are for.
    passed_on: usize,
    /// How many of the 200 messages to the client it has handed to its application.
    got: usize,
    /// What the library tells its application.
    told: String,
    report: String,
}

struct Expected {
    /// The usual one first.
    outcomes: &'static [&'static str],
    /// `None`: whoever notices first.
    begun_by: Option<&'static str>,
    late: RangeInclusive<usize>,
    passed_on: RangeInclusive<usize>,
    got: RangeInclusive<usize>,
    told: &'static str,
}

const ALL: RangeInclusive<usize> = COUNT..=COUNT;
const NONE: RangeInclusive<usize> = 0..=0;

impl Expected {
    fn holds(&self, ending: &Ending) -> bool {
        self.outcomes.contains(&ending.outcome.as_str())
            && self.begun_by.is_none_or(|begun_by| begun_by == ending.begun_by)
            && self.late.contains(&ending.late)
            && self.passed_on.contains(&ending.passed_on)
            && self.got.contains(&ending.got)
            && self.told == ending.told
            && (ending.outcome != "clean" || ending.passed_on == COUNT)
    }
}

/// The data of both sides arrive, and the client ends TCP without a tag.
const fn never_answered(told: &'static str) -> Expected {
    Expected { outcomes: &["peer-eof"], begun_by: Some("us"), late: ALL, passed_on: ALL, got: ALL, told }
}

/// The data of both sides arrive, and the client stays until TCP is ended.
const fn never_noticed(told: &'static str) -> Expected {
    Expected { outcomes: &["timed-out"], begun_by: Some("us"), late: ALL, passed_on: ALL, got: ALL, told }
}

/// The data of both sides arrive.
const fn clean(told: &'static str) -> Expected {
    Expected { outcomes: &["clean"], begun_by: Some("peer"), late: NONE, passed_on: ALL, got: ALL, told }
}

/// The client ends TCP without having read what waits, so its kernel sends a reset in place of what it has not sent
/// yet; that this is nothing, and that our tag is written before the reset comes, is possible but was never seen.
const fn thrown_away(told: &'static str) -> Expected {
    Expected {
        outcomes: &["reset", "clean"],
        begun_by: None,
        late: 0..=2 * COUNT, // those to itself may be among them
        passed_on: 0..=COUNT,
        got: NONE,
        told,
    }
}

#[test]
fn libstrophe_waits_for_our_tag_and_never_answers_it() {
    let told = "XMPP_CONN_DISCONNECT, error 0";
    // If it finds the answer to its <enable/> in time, it sends an <r/> with each message (XEP-0198).
    let we_close = Expected { late: COUNT..=2 * COUNT, ..never_answered(told) };
    check(Library::Libstrophe, [we_close, clean(told), clean(told)]);
}

#[test]
fn gloox_takes_no_notice_of_our_tag_and_waits_for_none() {
    let told = "ConnUserDisconnected";
    check(Library::Gloox, [never_noticed("ConnStreamClosed"), clean(told), thrown_away(told)]);
}

#[test]
fn loudmouth_takes_no_notice_of_our_tag_and_waits_for_none() {
    let told = "LM_DISCONNECT_REASON_OK";
    check(Library::Loudmouth, [never_noticed("LM_DISCONNECT_REASON_HUP"), clean(told), thrown_away(told)]);
}

#[test]
fn slixmpp_waits_for_our_tag_and_never_answers_it() {
    let told = "End of stream";
    check(Library::Slixmpp, [never_answered(told), clean(told), clean(told)]);
}

/// All cells of a library at once, because most of the time is spent waiting.
fn check(library: Library, expected: [Expected; 3]) {
    let home = Home::new();
    home.make_certificate();
    let situations = [Situation::WeClose, Situation::TheyClose, Situation::TheyCloseUnread];
    let failures: Vec<String> = thread::scope(|scope| {
        let cells = LINKS.iter().flat_map(|&link| {
            let home = &home;
            let one = move |(situation, expected)| scope.spawn(move || cell(library, link, situation, expected, home));
            situations.into_iter().zip(&expected).map(one)
        });
        let cells: Vec<_> = cells.collect();
        cells.into_iter().filter_map(|cell| cell.join().expect("the cell comes to an end")).collect()
    });
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn cell(library: Library, link: Link, situation: Situation, expected: &Expected, home: &Home) -> Option<String> {
    let idle = if situation == Situation::WeClose { IDLE } else { NEVER };
    let [cert, key] = ["cert.pem", "key.pem"].map(|file| home.join(file).display().to_string());
    let mut options = vec!["--idle", idle, "--spare", "bob"];
    if link == Link::StartTls {
        options.extend(["--cert", &cert, "--key", &key]);
    }
    let server = Server::start(&options);
    let bob = Client::bob(&server);

    let port = server.address.rsplit(':').next().unwrap();
    let tls = if link == Link::StartTls { &cert } else { "plain" };
    let complaints = home.join(&format!("{link:?}-{situation:?}.log"));
    let mut driver = Driver::start(library, complaints, &[port, &COUNT.to_string(), tls]);
    let jid = format!("alice@localhost/{}", library.name());
    let bound = server.line(&format!(": is {jid}"));
    driver.wait_until_ready();
    match situation {
        Situation::WeClose => {
            server.line(&format!("{jid}: closing"));
            driver.order("stay");
        }
        Situation::TheyClose => driver.order("read"),
        Situation::TheyCloseUnread => {
            let client = bound.split(": ").next().unwrap();
            driver::wait_for_unread(client, &server.address, COUNT as u64 * 60);
            driver.order("close");
        }
    }

    let ending = end(&server, bob, driver, &jid);
    println!("{}", page::row(library, link, situation, &ending));
    if !expected.holds(&ending) {
        return Some(format!("{library:?}, {link:?}, {situation:?}: {ending:?}"));
    }
    page::add(library, link, situation, &ending);
    None
}

fn end(server: &Server, mut bob: Client, driver: Driver, jid: &str) -> Ending {
    let report = server.report(jid);
    // Whatever the client sent has been passed on by now, and is in front of this tag.
    bob.send(TAG);
    let passed_on = numbers(&bob.rest());
    let (got, told) = driver.end();
    for (numbers, whose) in [(&passed_on, "from"), (&got, "to")] {
        assert!(numbers.iter().copied().eq(0..numbers.len()), "messages {whose} the client in disorder: {numbers:?}");
    }
    let parts = || report.split("; ");
    let late = parts().find_map(|part| part.split_once(" late stanza")?.0.parse().ok());
    Ending {
        outcome: report.split(": ").next().unwrap().to_owned(),
        begun_by: parts().find_map(|part| part.strip_prefix("begun by ")).unwrap_or_default().to_owned(),
        late: late.unwrap_or(0), // which a line leaves out
        passed_on: passed_on.len(),
        got: got.len(),
        told,
        report,
    }
}
