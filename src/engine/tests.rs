//! Traces of the engine: each is a list of calls, with the answers expected in between.

use std::time::Duration;

use super::*;
use crate::report::{Initiator, Outcome};

const TAG: &str = "</stream:stream>";
const HEADER: &str = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";
const ERROR: &str =
    "<stream:error><not-well-formed xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>";

fn ms(time: u64) -> Duration {
    Duration::from_millis(time)
}

/// `R W M A P N S O`: read, write, may send, answer, parse, notify, shut, over.
fn show(wants: Wants) -> String {
    format!("{wants:?}").split(" | ").filter_map(|name| name.chars().next()).collect()
}

/// An engine, and the time that its application hands in.
struct Trace {
    engine: Engine,
    now: Duration,
}

impl Trace {
    fn with(options: &CloseOptions, tls: Tls) -> Self {
        Self { engine: Engine::new(options, tls).unwrap(), now: Duration::ZERO }
    }

    fn new() -> Self {
        Self::with(&CloseOptions::new(), Tls::No)
    }

    fn over_tls() -> Self {
        Self::with(&CloseOptions::new(), Tls::Yes)
    }

    fn at(&mut self, time: u64) -> &mut Self {
        self.now = ms(time);
        self
    }

    #[track_caller]
    fn wants(&mut self, expected: &str) -> &mut Self {
        assert_eq!(show(self.engine.wants()), expected);
        assert_eq!(show(self.engine.wants()), expected, "asked twice");
        self
    }

    #[track_caller]
    fn says(&mut self, expected: &str) -> &mut Self {
        assert_eq!(std::str::from_utf8(self.engine.output()), Ok(expected));
        self
    }

    #[track_caller]
    fn within(&mut self, expected: u64) -> &mut Self {
        assert_eq!(self.engine.deadline().map(|time| time - self.now), Some(ms(expected)));
        self
    }

    fn send(&mut self, bytes: &str) -> &mut Self {
        self.engine.send(bytes.as_bytes()).unwrap();
        self
    }

    fn finish(&mut self) -> &mut Self {
        self.engine.finish(None, self.now);
        self
    }

    /// The kernel takes all that is handed out.
    fn writes(&mut self) -> &mut Self {
        let count = self.engine.output().len();
        self.takes(count, 0)
    }

    fn takes(&mut self, count: usize, pending: usize) -> &mut Self {
        self.engine.output();
        self.engine.wrote(count, pending, self.now);
        self
    }

    #[track_caller]
    fn receives(&mut self, bytes: usize, parse: bool) -> &mut Self {
        assert_eq!(self.engine.received(bytes, self.now), parse);
        self
    }

    fn tell(&mut self, fact: Fact) -> &mut Self {
        self.engine.tell(fact, self.now).unwrap();
        self
    }

    fn closed(&mut self) -> &mut Self {
        self.tell(Fact::PeerClosed { behind: 0 })
    }

    fn eof(&mut self) -> &mut Self {
        self.tell(Fact::Eof { inside: false })
    }

    fn tick(&mut self) -> &mut Self {
        self.engine.tick(self.now);
        self
    }

    #[track_caller]
    fn ends(&mut self, outcome: Outcome, initiator: Initiator, tags: (bool, bool)) -> &mut Self {
        let report = self.engine.report();
        assert!(self.engine.wants().over());
        assert_eq!(report.outcome, outcome);
        assert_eq!(report.initiator, Some(initiator));
        assert_eq!((report.tag_sent, report.tag_received), tags);
        self
    }
}

#[test]
fn we_close() {
    let mut t = Trace::new();
    t.send("A").wants("RWMP").says("A").finish().wants("RWP").within(30_000).says(&format!("A{TAG}"));
    t.takes(17, 0).wants("RP").says("");
    t.at(40).receives(50, true).closed().wants("RS").within(2000).tell(Fact::DidShut).wants("R");
    t.eof().wants("O").ends(Outcome::Clean, Initiator::Us, (true, true));
}

#[test]
fn the_peer_closes_and_is_owed_a_reply() {
    let two = || {
        let mut t = Trace::new();
        t.closed().wants("RMA").within(15_000).send("R").wants("RWMA").eof().wants("WMA").takes(1, 0).wants("MA");
        t
    };
    two().finish().wants("W").says(TAG).writes().wants("O").ends(Outcome::Clean, Initiator::Peer, (true, true));
    two().at(15_000).tick().wants("W").says(TAG).writes().ends(Outcome::Clean, Initiator::Peer, (true, true));
}

#[test]
fn tags_that_cross_are_no_answers() {
    let mut t = Trace::new();
    t.finish().says(TAG).closed().wants("RW").takes(16, 0).wants("RS");
    assert_eq!(t.engine.report().initiator, Some(Initiator::Crossing));
    let mut t = Trace::new();
    t.tell(Fact::Arrived(16)).finish().takes(16, 0).receives(16, true).closed().wants("RS");
    assert_eq!(t.engine.report().initiator, Some(Initiator::Crossing));
    let mut t = Trace::new();
    t.finish().takes(16, 0).receives(16, true).closed().wants("RS");
    assert_eq!(t.engine.report().initiator, Some(Initiator::Us));
}

#[test]
fn an_application_has_a_queue_of_its_own() {
    let four = || {
        let mut t = Trace::new();
        t.takes(0, 100).wants("RWMP").finish().wants("RWP").says(TAG);
        t.takes(16, 116).wants("RWP").says("").closed().wants("RW");
        t
    };
    four().takes(0, 0).wants("RS");
    let report =
        four().at(30_000).tick().wants("O").ends(Outcome::Stalled, Initiator::Crossing, (false, true)).engine.report();
    assert_eq!(report.bytes_unsent, 116);
}

#[test]
fn what_comes_is_no_stream() {
    let mut t = Trace::new();
    t.tell(Fact::Malformed).wants("RW").says(ERROR).writes().wants("RS").tell(Fact::DidShut).wants("R").eof();
    t.ends(Outcome::Malformed, Initiator::Us, (true, false));
    Trace::new().finish().says(TAG).tell(Fact::Malformed).says(TAG).writes().wants("RS");
    Trace::new().finish().tell(Fact::Malformed).says(ERROR);
    Trace::new().finish().writes().tell(Fact::Malformed).wants("RS").says("");
    let mut t = Trace::new();
    t.engine.finish(Some(&StreamError::defined(Condition::BadFormat)), t.now);
    let said = String::from_utf8(t.engine.output().to_vec()).unwrap();
    assert!(said.contains("bad-format"));
    t.tell(Fact::Malformed).says(&said);
}

#[test]
fn tcp_ends_without_a_tag() {
    let mut t = Trace::new();
    t.eof().wants("MA").within(15_000).send("R").wants("WMA").finish().wants("W").says(&format!("R{TAG}")).writes();
    t.ends(Outcome::PeerEof, Initiator::Peer, (true, false));
    let cut = |mut t: Trace, inside| {
        t.tell(Fact::Eof { inside }).finish().writes().ends(Outcome::Truncated, Initiator::Peer, (true, false));
    };
    cut(Trace::new(), true);
    cut(Trace::over_tls(), false);
    let report = Trace::new()
        .tell(Fact::ReadFailed(104))
        .wants("O")
        .ends(Outcome::Reset, Initiator::Peer, (false, false))
        .engine
        .report();
    assert_eq!(report.os_error, Some(104));
}

#[test]
fn writing_fails() {
    let mut t = Trace::new();
    t.finish().tell(Fact::WriteFailed(32)).wants("RP").within(2000).says("").receives(9, true).closed().wants("O");
    let report = t.ends(Outcome::Reset, Initiator::Crossing, (false, true)).engine.report();
    assert_eq!((report.os_error, report.bytes_unsent), (Some(32), 16));
}

#[test]
fn what_the_peer_sent_before_writing_failed_is_read_as_long_as_it_comes() {
    let mut t = Trace::new();
    t.finish().tell(Fact::WriteFailed(32));
    for second in 1..20 {
        t.at(1000 * second).tick().receives(1, true);
    }
    t.at(21_000).tick().wants("O").ends(Outcome::Reset, Initiator::Us, (false, false));
}

#[test]
fn tls_ends_by_alerts() {
    let mut t = Trace::over_tls();
    t.finish().writes().wants("RP").closed().wants("RN").tell(Fact::DidNotify).takes(0, 31).wants("RW");
    t.takes(0, 0).wants("R").tell(Fact::Notified { inside: false }).wants("RS").tell(Fact::DidShut).wants("R").eof();
    let report = t.wants("O").ends(Outcome::Clean, Initiator::Us, (true, true)).engine.report();
    assert!(report.tls.sent && report.tls.received);
    let mut t = Trace::over_tls();
    t.finish().writes().at(30_000).tick().wants("NO").tell(Fact::DidNotify).wants("O");
    t.ends(Outcome::TimedOut, Initiator::Us, (true, false));
    let mut t = Trace::over_tls();
    t.tell(Fact::Notified { inside: false }).wants("RMA").finish().wants("RW").writes().wants("RN");
    t.tell(Fact::DidNotify).wants("RS").tell(Fact::DidShut).wants("R").eof();
    t.ends(Outcome::PeerEof, Initiator::Peer, (true, false));
}

#[test]
fn a_half_close_is_asked_for() {
    let options = CloseOptions::new().half_close(true);
    let mut t = Trace::with(&options, Tls::No);
    t.finish().writes().wants("RPS").tell(Fact::DidShut).wants("RP").within(30_000).closed().wants("R").within(2000);
    t.eof().ends(Outcome::Clean, Initiator::Us, (true, true));
    assert!(Engine::new(&options, Tls::Yes).is_err());
}

#[test]
fn our_header_has_not_gone_out() {
    let mut t = Trace::with(&CloseOptions::new().header(HEADER), Tls::No);
    t.engine.finish(Some(&StreamError::defined(Condition::HostUnknown)), t.now);
    let said = String::from_utf8(t.engine.output().to_vec()).unwrap();
    assert!(said.starts_with(&format!("{HEADER}<stream:error><host-unknown")) && said.ends_with(TAG), "{said}");
    let mut t = Trace::with(&CloseOptions::new().header(HEADER), Tls::No);
    t.send("proceed").writes().tell(Fact::Restarted { tls: Tls::Yes }).tell(Fact::TlsFailed).says("");
    t.ends(Outcome::TlsFailed, Initiator::Peer, (false, false));
    Trace::with(&CloseOptions::new().header(HEADER), Tls::No).tell(Fact::HeaderOut).finish().says(TAG);
    let mut t = Trace::with(&CloseOptions::new().header(HEADER), Tls::No);
    t.send("<proceed/>").says(&format!("{HEADER}<proceed/>")).writes().tell(Fact::Restarted { tls: Tls::Yes }).finish();
    t.says(&format!("{HEADER}{TAG}"));
}

#[test]
fn a_detach_sends_no_tag() {
    let mut t = Trace::new();
    t.send("A");
    t.engine.detach(t.now);
    t.wants("RW").receives(9, false).says("A").writes().wants("RS").tell(Fact::DidShut).wants("R").eof();
    t.ends(Outcome::Cancelled, Initiator::Us, (false, false));
}

#[test]
fn while_the_peer_reads_no_linger_cuts_our_output() {
    let mut t = Trace::new();
    t.send(&"x".repeat(100_000)).eof().finish();
    for second in 1..=29 {
        t.at(1000 * second).tick().wants("W").takes(1000, 0);
    }
    t.within(1000);
}

#[test]
fn a_pause_is_no_silence_of_the_peers() {
    let mut t = Trace::with(&CloseOptions::new().no_progress(ms(1000)), Tls::No);
    t.finish().writes().within(1000).tell(Fact::Paused(true)).wants("P").within(30_000);
    t.at(5000).tick().tell(Fact::Paused(false)).wants("RP").within(1000);
}

#[test]
fn the_limit_on_what_is_discarded_holds_in_every_state() {
    for ended in [false, true] {
        let mut t = Trace::new();
        t.finish().writes().closed();
        if ended {
            t.tell(Fact::DidShut);
        }
        t.receives(17 << 20, false);
        if ended {
            t.wants("O")
        } else {
            t.wants("S")
        };
    }
    let mut t = Trace::new();
    t.finish().writes().tell(Fact::Malformed).tell(Fact::DidShut).receives(64 << 20, false);
    t.ends(Outcome::Malformed, Initiator::Us, (true, false));
}

#[test]
fn facts_are_counted_whatever_the_state() {
    let mut t = Trace::new();
    t.receives(10, true).tell(Fact::PeerClosed { behind: 3 }).receives(7, false);
    t.engine.detach(t.now);
    t.receives(100, false);
    let report = t.engine.report();
    assert_eq!((report.bytes_read, report.bytes_after_tag), (0, 110), "the close began with the tag");
    for _ in 0..3 {
        t.receives(usize::MAX, false);
    }
    assert_eq!(t.engine.report().bytes_after_tag, (usize::MAX as u64).saturating_mul(3).saturating_add(110));
}

#[test]
fn only_what_comes_while_closing_is_reported() {
    let mut t = Trace::new();
    t.receives(100, true).tell(Fact::Stanzas(1)).tell(Fact::Oversize(1)).tell(Fact::Cancel).receives(7, false);
    let report = t.tell(Fact::Stanzas(1)).engine.report();
    assert_eq!((report.bytes_read, report.bytes_after_tag, report.stanzas, report.oversize), (0, 0, 0, 0));
}

#[test]
fn what_is_told_too_late_or_taken_back_makes_no_answer_of_a_tag_that_crossed() {
    let initiator = |before: &[u64], after: &[u64]| {
        let mut t = Trace::new();
        before.iter().for_each(|bytes| _ = t.tell(Fact::Arrived(*bytes)));
        t.finish().writes();
        after.iter().for_each(|bytes| _ = t.tell(Fact::Arrived(*bytes)));
        t.receives(16, true).closed().engine.report().initiator
    };
    assert_eq!(initiator(&[], &[16]), Some(Initiator::Us), "it came after our tag was written");
    assert_eq!(initiator(&[16, 0], &[0]), Some(Initiator::Crossing));
}

#[test]
fn behind_a_half_close_silence_is_no_progress() {
    let mut t = Trace::with(&CloseOptions::new().half_close(true).no_progress(ms(1000)), Tls::No);
    t.finish().writes().within(1000).tell(Fact::DidShut).within(1000);
    t.at(900).receives(1, true).within(1000).at(1900).tick().ends(Outcome::TimedOut, Initiator::Us, (true, false));
}

mod driven;
mod input;
