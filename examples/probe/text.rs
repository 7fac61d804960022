//! Output for people at a terminal, 80 columns wide.

use std::{
    fmt::{self, Write},
    time::Duration,
};

use xmpp_close::{Initiator, Outcome, Report};

use crate::{
    demo::{Ending, IDLE, OUR_MESSAGES, Tally},
    embedded::PEER_MESSAGES,
    remote::{Probed, Use},
    timeline::{Entry, Side, What, size},
};

/// Between the two lifelines.
const WIDTH: usize = 58;
/// What fits on an arrow.
const LABEL: usize = WIDTH - 7;
/// A longer silence gets a line of its own.
pub const SILENCE: Duration = Duration::from_millis(100);

/// Colours of a terminal, or none.
#[derive(Clone, Copy)]
pub struct Paint(pub bool);

const BOLD: &str = "1";
const DIM: &str = "2";
const GOOD: &str = "32";
const BAD: &str = "1;31";
const OURS: &str = "36";
const THEIRS: &str = "35";

impl Paint {
    fn with(self, code: &str, text: impl fmt::Display) -> String {
        if self.0 && !code.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }

    fn dim(self, text: impl fmt::Display) -> String {
        self.with(DIM, text)
    }

    fn bold(self, text: impl fmt::Display) -> String {
        self.with(BOLD, text)
    }
}

/// `"312 ms"`, `"0.4 ms"`, `"12.3 s"`.
pub fn time(time: Duration) -> String {
    let millis = time.as_secs_f64() * 1e3;
    match millis {
        ..100.0 => format!("{millis:.1} ms"),
        ..10_000.0 => format!("{millis:.0} ms"),
        _ => format!("{:.1} s", time.as_secs_f64()),
    }
}

/// The silence before `entry`, if it is long enough for a line of its own.
pub fn silence(before: Option<&Entry>, entry: &Entry) -> Option<Duration> {
    let gap = entry.at.saturating_sub(before.map_or(Duration::ZERO, |before| before.until));
    (gap >= SILENCE).then_some(gap)
}

/// One line for each entry of the timeline.
pub fn timeline(entries: &[Entry], paint: Paint) -> String {
    let mut out = String::new();
    let heads = paint.bold(format_args!("we{:>1$}", "the peer", WIDTH));
    let _ = writeln!(out, "{:>9}  {heads}", "");
    for (before, entry) in std::iter::once(None).chain(entries.iter().map(Some)).zip(entries) {
        if let Some(gap) = silence(before, entry) {
            let words = format!("{} of silence", time(gap));
            let _ = writeln!(out, "{:>9}  {}", "", paint.dim(format_args!("┊{words:^WIDTH$}┊")));
        }
        let at = paint.dim(format_args!("{:>9}", time(entry.at)));
        let state = paint.dim(format!("{:?}", entry.state).to_uppercase());
        let _ = match &entry.what {
            What::Note(words) => writeln!(out, "{at}  ┊{}┊", paint.with(BAD, format_args!("{words:^WIDTH$}"))),
            what => {
                let fatal = matches!(what, What::Close { .. } | What::Failed(_) | What::Junk(_));
                let arrow = arrow(entry);
                let arrow = match entry.side {
                    _ if fatal => paint.with(BAD, arrow),
                    Side::Us => paint.with(OURS, arrow),
                    Side::Peer => paint.with(THEIRS, arrow),
                };
                writeln!(out, "{at}  │{arrow}│ {state}")
            }
        };
    }
    out
}

fn arrow(entry: &Entry) -> String {
    let mut label = entry.label();
    let bytes = format!("  {}", size(entry.bytes));
    if entry.bytes > 0 && label.chars().count() + bytes.len() <= LABEL {
        label += &bytes;
    }
    if label.chars().count() > LABEL {
        label = label.chars().take(LABEL - 1).chain(['…']).collect();
    }
    let line = "─".repeat(WIDTH - 4 - label.chars().count());
    match entry.side {
        Side::Us => format!(" {label} {line}► "),
        Side::Peer => format!(" ◄{line} {label} "),
    }
}

/// The report in words.
pub fn report(report: &Report, paint: Paint) -> String {
    let mut out = String::new();
    let mut line = |what: &str, words: String| {
        let _ = writeln!(out, "  {} {words}", paint.dim(format_args!("{what:<14}")));
    };
    let name = report.outcome.as_str();
    let colour = match report.outcome {
        Outcome::Clean => GOOD,
        Outcome::Cancelled => BOLD,
        _ => BAD,
    };
    let name = paint.with(colour, name);
    line("outcome", format!("{name}: {}", outcome(report)));
    let tags = match (report.tag_sent, report.tag_received) {
        (true, true) => None,
        (true, false) => Some("ours only"),
        (false, true) => Some("the peer's only"),
        (false, false) => Some("none"),
    };
    if let Some(tags) = tags {
        line("closing tags", tags.into());
    }
    let mut late = format!("{} stanzas after we began to close, {}", report.stanzas, size(report.bytes_read));
    for (count, what) in [(report.oversize, "over the size limit"), (report.bytes_after_tag, "bytes after its tag")] {
        if count > 0 {
            let _ = write!(late, "; {count} {what}");
        }
    }
    line("from the peer", late);
    let ours = match (report.bytes_unsent, report.bytes_unacked) {
        (0, 0) if cfg!(windows) => "all written".into(), // Windows does not say what is acknowledged
        (0, 0) => "all written, and acknowledged by the peer's kernel".into(),
        (0, unacked) if report.tls.used => format!("all written; {} of TLS not acknowledged", size(unacked)),
        (0, unacked) => format!("all written; {} not acknowledged", size(unacked)),
        (unsent, _) => format!("{} could not be written", size(unsent)),
    };
    line("our output", ours);
    if report.tls.used {
        line("close_notify", alerts(report).into());
    }
    if let Some(error) = &report.stream_error {
        line("stream error", format!("from the peer: {error}"));
    }
    if let Some(code) = report.os_error {
        line("system error", std::io::Error::from_raw_os_error(code).to_string());
    }
    line("time", time(report.elapsed));
    out
}

/// Which TLS alerts went over the wire.
pub fn alerts(report: &Report) -> &'static str {
    match (report.tls.sent, report.tls.received) {
        (true, true) => "ours and the peer's",
        (true, false) => "ours only",
        (false, true) => "the peer's only",
        (false, false) => "none",
    }
}

/// What the outcome means.
pub fn outcome(report: &Report) -> &'static str {
    match (report.outcome, report.initiator) {
        // Only an answer says that the peer has read all before it (RFC 6120 section 10.1).
        (Outcome::Clean, Some(Initiator::Us)) => "both closing tags were exchanged, the peer's in answer",
        (Outcome::Clean, Some(Initiator::Peer)) => "both closing tags were exchanged, ours in answer",
        (Outcome::Clean, _) => "both closing tags were exchanged, crossing on their way",
        (Outcome::PeerEof, _) if report.tls.used => "the peer ended TLS without its closing tag",
        (Outcome::PeerEof, _) => "the peer ended TCP without its closing tag",
        (Outcome::Truncated, _) if report.tls.used && !report.tls.received => {
            "the peer ended TCP without its closing tag, and without close_notify"
        }
        (Outcome::Truncated, _) => "the peer ended TCP inside a stanza",
        (Outcome::Reset, _) => "the connection broke before the peer's closing tag",
        (Outcome::TimedOut, _) => "the peer's closing tag did not come in time",
        (Outcome::Stalled, _) => "our own output could not be written in time",
        (Outcome::Malformed, _) => "what the peer sent stopped being an XMPP stream",
        (Outcome::TlsFailed, _) => "the TLS layer failed",
        // Nothing here cancels a close.
        (Outcome::Cancelled, _) => "TCP was ended without our closing tag",
        _ => "the close was stopped",
    }
}

/// What happened on the streams to a real server.
pub fn remote(all: &[Probed], paint: Paint) -> String {
    let mut out = String::new();
    for probed in all {
        let _ = writeln!(out, "{}\n", paint.bold(title(probed)));
        let _ = writeln!(out, "{}", timeline(&probed.timeline, paint));
        let _ = writeln!(out, "{}{}", report(&probed.report, paint), announced(probed, paint));
    }
    out.truncate(out.trim_end().len() + 1);
    out
}

/// What was done on a connection.
pub fn title(probed: &Probed) -> String {
    let who = probed.jid.as_ref().map_or(String::new(), |jid| format!(", as {jid}"));
    let Probed { domain, address, .. } = probed;
    match &probed.used {
        Use::Closed => format!("Closing a stream to {domain} at {address}{who}"),
        Use::Detached => format!("Detaching from a session at {domain}, {address}{who}"),
        Use::Resumed(_) => "Resuming that session, and closing it".into(),
        Use::Refused(condition) => format!("Resuming it once more: {condition}"),
    }
}

/// What the server says beside it.
fn announced(probed: &Probed, paint: Paint) -> String {
    let mut out = String::new();
    let mut line = |what: &str, words: String| {
        let _ = writeln!(out, "  {} {words}", paint.dim(format_args!("{what:<14}")));
    };
    if let Some(idle) = probed.idle {
        line("idle limit", format!("{} s of silence, says the server", idle.as_secs()));
    }
    if let Some(acknowledged) = probed.acknowledged {
        line("acknowledged", format!("{acknowledged} stanzas, in our last word"));
    }
    if let Use::Resumed(h) = probed.used {
        line("resumed", format!("the server had handled {h} stanzas of ours"));
    }
    out
}

/// The comparison of the two endings.
fn comparison(new: &Ending, old: &Ending, paint: Paint) -> String {
    let mut out = String::new();
    // Pad before colouring: escape sequences have no width on the terminal.
    let mut row = |what: &str, new: (String, &str), old: (String, &str)| {
        let new = paint.with(new.1, format_args!("{:<22}", new.0));
        let _ = writeln!(out, "  {what:<32} {new} {}", paint.with(old.1, old.0));
    };
    let plain = |text: String| (text, "");
    let tally = |tally: Tally| match tally.lost() {
        0 => ("all arrived".to_owned(), GOOD),
        lost => (format!("{lost} lost"), BAD),
    };
    // A sender that does not know of the loss cannot send the messages again.
    let unnoticed = |tally: Tally| plain(tally.taken.saturating_sub(tally.arrived).to_string());
    row("", ("by handshake".into(), BOLD), ("the old way".into(), BOLD));
    row(&format!("the peer's {PEER_MESSAGES} messages to us"), tally(new.to_us), tally(old.to_us));
    row("  after its send() had said yes", unnoticed(new.to_us), unnoticed(old.to_us));
    row(&format!("our last {OUR_MESSAGES} messages"), tally(new.to_peer), tally(old.to_peer));
    row("how it ended for the peer", plain(new.peer_saw.clone()), plain(old.peer_saw.clone()));
    row("time it took us", plain(time(new.took)), plain(time(old.took)));
    out
}

/// All of it, for a run without arguments.
pub fn demo(new: &Ending, old: &Ending, paint: Paint) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{}\n", paint.bold("One idle stream, closed twice"));
    let _ = writeln!(
        out,
        "  An XMPP stream over loopback has been idle for {}. We send our last {OUR_MESSAGES}\n  \
         messages and close it, just when {PEER_MESSAGES} messages of the peer's are on their way to us.\n",
        time(IDLE)
    );
    let _ = writeln!(out, "{}\n", paint.bold("By handshake (this library): our tag, then reading until the peer's"));
    let _ = writeln!(out, "{}", timeline(&new.timeline, paint));
    if let Some(report) = &new.report {
        let _ = writeln!(out, "{}", self::report(report, paint));
    }
    let _ = writeln!(out, "{}\n", paint.bold("The old way: a stream error, our tag, close(2)"));
    let _ = writeln!(out, "{}", timeline(&old.timeline, paint));
    let _ = writeln!(out, "{}\n", paint.bold("What was lost"));
    let _ = write!(out, "{}", comparison(new, old, paint));
    out
}
