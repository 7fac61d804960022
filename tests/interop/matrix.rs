//! Measures each cell, compares it with what is expected, and writes it down.

use std::{
    fmt::Write,
    fs,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use xmpp_close::{Initiator, Outcome, Report};

use crate::{
    expected::{Expected, Loss, expected},
    fate::Fate,
    servers::Server,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Situation {
    Idle,
    Waiting,
    Live,
    BothWays,
    Kicked,
    KickedWithError,
    Replaced,
    Stopped,
    StoppedWaiting,
    Silent,
}

impl Situation {
    const fn title(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Waiting => "2000 messages wait for us",
            Self::Live => "2000 messages are being sent to us",
            Self::BothWays => "2000 wait for us, 2000 of ours just sent",
            Self::Kicked => "kicked",
            Self::KickedWithError => "kicked with an error",
            Self::Replaced => "our resource is taken",
            Self::Stopped => "the server stops",
            Self::StoppedWaiting => "the server stops, 2000 messages wait for us",
            Self::Silent => "we are silent for too long",
        }
    }

    /// The server ends the stream.
    const fn is_theirs(self) -> bool {
        !matches!(self, Self::Idle | Self::Waiting | Self::Live | Self::BothWays)
    }
}

/// What our side does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Handshake,
    HalfClose,
    /// The old way, which this library replaces: a stream error, and close(2).
    Old,
    /// The server has closed: what is owed, where that is allowed, then our tag.
    Answer,
    /// The server has closed, we have not read that yet, have sent 50 messages, and close.
    Unread,
}

impl Way {
    const fn title(self) -> &'static str {
        match self {
            Self::Handshake => "handshake",
            Self::HalfClose => "half-close",
            Self::Old => "error + close(2)",
            Self::Answer => "read, answer",
            Self::Unread => "send 50 unaware, close",
        }
    }
}

/// What one run has shown.
#[derive(Clone, Debug, Default)]
pub struct Run {
    pub report: Option<Report>,
    pub fate: Option<Fate>,
    /// How many of our own messages were lost.
    pub ours: Option<usize>,
}

impl Run {
    fn outcome(&self) -> Option<Outcome> {
        self.report.as_ref().map(|report| report.outcome)
    }

    fn condition(&self) -> &str {
        let error = self.report.as_ref().and_then(|report| report.stream_error.as_ref());
        error.map_or("", |error| error.condition().as_str())
    }

    fn lost(&self) -> usize {
        self.fate.as_ref().map_or(0, |fate| fate.lost)
    }

    fn ours_lost(&self) -> usize {
        self.ours.unwrap_or(0)
    }

    fn count(&self, of: impl Fn(&Fate) -> usize) -> Option<usize> {
        self.fate.as_ref().map(of)
    }
}

/// The cells of one server over one kind of connection.
pub struct Sheet {
    server: &'static str,
    version: String,
    link: &'static str,
    rows: Vec<(String, String)>,
    failures: Vec<String>,
}

impl Sheet {
    pub fn new(server: &dyn Server, link: &'static str) -> Self {
        let (server, version) = (server.package(), server.version());
        Self { server, version, link, rows: Vec::new(), failures: Vec::new() }
    }

    /// Measures a cell; `run` is told whether messages may be lost, and returns `None` where there is no such cell.
    pub fn cell(&mut self, situation: Situation, way: Way, mut run: impl FnMut(bool) -> Option<Run>) {
        let expected = expected(self.server, self.link, situation, way);
        let start = Instant::now();
        let mut runs = Vec::new();
        while runs.is_empty() || unseen(&expected, &runs).is_some() && runs.len() < expected.tries {
            let Some(run) = run(expected.lost != Loss::None) else { return };
            runs.push(run);
        }
        let (title, seen) = (describe(situation, way, &expected), figures(&runs));
        let took = start.elapsed().as_secs_f32();
        println!("| {} | {} | {title} | {seen} | {took:.1} s", self.server, self.link);
        for run in &runs {
            for what in judge(situation, &expected, run) {
                self.failures.push(format!("{title}: {what}: {run:?}"));
            }
        }
        if let Some(what) = unseen(&expected, &runs) {
            self.failures.push(format!("{title}: {what}"));
        }
        self.rows.push((title, seen));
    }

    /// Fails when one of the cells was not as expected; hands the others over to the report.
    pub fn finish(self) {
        let failures = self.failures.join("\n");
        assert!(failures.is_empty(), "{} over {}:\n{failures}", self.server, self.link);
        let mut done = DONE.lock().unwrap_or_else(PoisonError::into_inner);
        done.push(self);
        if done.len() == SHEETS {
            done.sort_by_key(|sheet| (sheet.server, LINKS.iter().position(|link| *link == sheet.link)));
            report(&done);
        }
    }
}

static DONE: Mutex<Vec<Sheet>> = Mutex::new(Vec::new());
const LINKS: [&str; 4] = ["plain", "STARTTLS", "component", "s2s"];
/// The sheets of three servers.
const SHEETS: usize = 3 * LINKS.len();

/// What has not been seen in any of the runs, but should have been.
fn unseen(expected: &Expected, runs: &[Run]) -> Option<&'static str> {
    let never = |seen: &dyn Fn(&Run) -> bool| !runs.iter().any(seen);
    if expected.lost == Loss::Certain && never(&|run| run.lost() > 0) {
        return Some("no message to us was ever lost");
    }
    if expected.ours_lost == Loss::Certain && never(&|run| run.ours_lost() > 0) {
        return Some("no message of ours was ever lost");
    }
    let usual = expected.outcomes.first().filter(|_| expected.first_is_seen);
    usual.filter(|usual| never(&|run| run.outcome() == Some(**usual))).map(|_| "the first outcome was never seen")
}

/// What is not as it should be in one run.
fn judge(situation: Situation, expected: &Expected, run: &Run) -> Vec<String> {
    let mut faults = run.fate.as_ref().map_or_else(Vec::new, |fate| fate.disorder.clone());
    match run.outcome() {
        None if expected.outcomes.is_empty() => {}
        Some(outcome) if expected.outcomes.contains(&outcome) => {
            if !expected.conditions.contains(&run.condition()) {
                faults.push(format!("the server said {:?}", run.condition()));
            }
        }
        other => faults.push(format!("{other:?} is not among {:?}", expected.outcomes)),
    }
    if expected.lost == Loss::None && run.lost() > 0 {
        faults.push(format!("{} messages to us are lost", run.lost()));
    }
    if expected.ours_lost == Loss::None && run.ours_lost() > 0 {
        faults.push(format!("{} of our messages are lost", run.ours_lost()));
    }
    let Some(report) = &run.report else { return faults };
    let told = report.stream_error.is_some() || report.outcome == Outcome::Reset;
    if situation.is_theirs() {
        // Whoever looks at the report sees that it was the server that did not take it.
        if run.ours_lost() > 0 && !told && report.initiator == Some(Initiator::Us) {
            faults.push("nothing in the report says why our messages are lost".into());
        }
    } else if report.initiator != Some(Initiator::Us) {
        faults.push(format!("{:?} is said to have begun", report.initiator));
    }
    faults
}

/// The columns that are the same in each run.
fn describe(situation: Situation, way: Way, expected: &Expected) -> String {
    let outcomes: Vec<_> = expected.outcomes.iter().map(|outcome| outcome.as_str()).collect();
    let loss = |loss, whose| match loss {
        Loss::None => String::new(),
        Loss::Possible => format!(", may lose {whose}"),
        Loss::Certain => format!(", loses {whose}"),
    };
    let outcomes = if outcomes.is_empty() { "does not wait".into() } else { outcomes.join(" or ") };
    let losses = loss(expected.lost, "messages to us") + &loss(expected.ours_lost, "messages of ours");
    let losses = if losses.is_empty() { ", 0 lost".into() } else { losses };
    format!("{} | {} | {outcomes}{losses}", situation.title(), way.title())
}

/// The columns that may differ from run to run.
fn figures(runs: &[Run]) -> String {
    let outcomes = distinct(runs.iter().map(|run| run.outcome().map_or("–", Outcome::as_str)));
    let conditions = distinct(runs.iter().map(Run::condition));
    let alerts = distinct(runs.iter().map(|run| match &run.report {
        Some(report) if report.tls.used => {
            if report.tls.received {
                "yes"
            } else {
                "no"
            }
        }
        _ => "",
    }));
    let fate = |of: fn(&Fate) -> usize| range(runs.iter().map(|run| run.count(of)));
    let begun = distinct(runs.iter().map(|run| match run.report.as_ref().and_then(|report| report.initiator) {
        Some(Initiator::Us) => "us",
        Some(Initiator::Peer) => "peer",
        Some(Initiator::Crossing) => "crossing",
        _ => "",
    }));
    let mut row = format!("{outcomes} | {begun} | {conditions} | {alerts}");
    let counts: [fn(&Fate) -> usize; 4] = [|fate| fate.late, |fate| fate.stored, |fate| fate.bounced, |fate| fate.lost];
    for of in counts {
        write!(row, " | {}", fate(of)).unwrap();
    }
    let ours = range(runs.iter().map(|run| run.ours));
    let time = range(runs.iter().map(|run| run.report.as_ref().map(|report| report.elapsed.as_millis() as usize)));
    write!(row, " | {ours} | {time}").unwrap();
    row
}

fn distinct<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let mut all: Vec<(&str, usize)> = Vec::new();
    for word in words {
        match all.iter_mut().find(|(seen, _)| *seen == word) {
            Some((_, times)) => *times += 1,
            None => all.push((word, 1)),
        }
    }
    match &all[..] {
        [(word, _)] => (*word).to_owned(),
        several => several.iter().map(|(word, times)| format!("{times}× {word}")).collect::<Vec<_>>().join(", "),
    }
}

fn range(counts: impl Iterator<Item = Option<usize>>) -> String {
    let counts: Vec<_> = counts.flatten().collect();
    match (counts.iter().min(), counts.iter().max()) {
        (Some(min), Some(max)) if min == max => min.to_string(),
        (Some(min), Some(max)) => format!("{min}–{max}"),
        _ => String::new(),
    }
}

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/interop.md");
const BEGIN: &str = "<!-- servers: written by tests/interop.rs -->";
const END: &str = "<!-- servers: end -->";

/// Writes the tables into the file that INTEROP_REPORT names, between the two marks; or without it, makes sure that
/// the page has the same cells with the same expectations.
fn report(sheets: &[Sheet]) {
    if let Some(file) = std::env::var_os("INTEROP_REPORT") {
        let page = fs::read_to_string(&file).unwrap_or_else(|_| format!("{BEGIN}\n{END}\n"));
        let (head, rest) = page.split_once(BEGIN).expect("the mark where the tables begin");
        let tail = rest.split_once(END).expect("the mark where the tables end").1;
        fs::write(&file, format!("{head}{BEGIN}\n{}{END}{tail}", tables(sheets))).unwrap();
        return;
    }
    let page = fs::read_to_string(PAGE).expect(PAGE);
    for sheet in sheets {
        for (title, _) in &sheet.rows {
            let start = format!("| {} | {title} |", sheet.link);
            let section = page.split(&format!("\n### {} ", sheet.server)).nth(1).unwrap_or_default();
            let section = section.split("\n##").next().unwrap_or_default();
            assert!(
                section.lines().any(|line| line.starts_with(&start)),
                "{PAGE} does not say of {}: {start}\nWrite it anew: INTEROP_REPORT={PAGE} cargo test --all-features --test interop",
                sheet.server
            );
        }
    }
}

fn tables(sheets: &[Sheet]) -> String {
    let mut text = String::new();
    for (i, sheet) in sheets.iter().enumerate() {
        if i == 0 || sheets[i - 1].server != sheet.server {
            write!(text, "\n### {} {}\n\n", sheet.server, sheet.version).unwrap();
            text += "| over | situation | our side | expected | seen | begun by | stream error | close_notify came \
                     | late | stored | bounced | **lost** | **ours lost** | ms |\n";
            text += "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n";
        }
        for (title, seen) in &sheet.rows {
            writeln!(text, "| {} | {title} | {seen} |", sheet.link).unwrap();
        }
    }
    text + "\n"
}
