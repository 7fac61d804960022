//! The timeline as a sequence diagram: one file that needs no other, for light and dark pages.

use std::fmt::{self, Write};

use crate::{
    demo::{Ending, IDLE, Tally},
    remote::Probed,
    state::State,
    text::{alerts, outcome, silence, time, title},
    timeline::{Entry, Side, What, size},
};

const STYLE: &str = "
  text { font: 13px ui-sans-serif, system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif; fill: #24292f }
  .page { fill: #ffffff; stroke: #d0d7de }
  .title { font-size: 17px; font-weight: 600 }
  .head { fill: #f6f8fa; stroke: #8c959f }
  .life { stroke: #8c959f; stroke-width: 1.5 }
  .gap { stroke: #8c959f; stroke-width: 1.5; stroke-dasharray: 2 5 }
  .dim { fill: #6e7781; font-size: 12px }
  .state { font-size: 11px; font-weight: 600; letter-spacing: .04em; fill: #6e7781 }
  .bytes { fill: #6e7781 }
  .us { stroke: #0969da; stroke-width: 1.8; fill: none } .us-head { fill: #0969da }
  .peer { stroke: #8250df; stroke-width: 1.8; fill: none } .peer-head { fill: #8250df }
  .bad { stroke: #cf222e; stroke-width: 1.8; fill: none } .bad-head, .bad-text { fill: #cf222e }
  .good-text { fill: #1a7f37 }
  .bar-open { fill: #54aeff } .bar-wait { fill: #d4a72c } .bar-bye { fill: #4ac26b } .bar-void { fill: #ff8182 }
  .strong { font-weight: 600 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .page { fill: #0d1117; stroke: #30363d }
    .head { fill: #161b22; stroke: #6e7681 }
    .life, .gap { stroke: #6e7681 }
    .dim, .state, .bytes { fill: #8d96a0 }
    .us { stroke: #4493f8 } .us-head { fill: #4493f8 }
    .peer { stroke: #ab7df8 } .peer-head { fill: #ab7df8 }
    .bad { stroke: #f85149 } .bad-head, .bad-text { fill: #f85149 }
    .good-text { fill: #3fb950 }
  }
";

/// One diagram, and its place in the file.
const PANEL: i32 = 600;
const US: i32 = 150;
const PEER: i32 = 550;
const MIDDLE: i32 = (US + PEER) / 2;
const ROW: i32 = 38;
const HEAD: i32 = 96;

/// A line below a diagram: words, and whether they tell of something good.
type Line = (String, Option<bool>);

/// What happened on the streams to a real server, side by side.
pub fn remote(all: &[Probed]) -> String {
    let panels: Vec<_> = all.iter().map(probed).collect();
    page(&panels[0].title, &panels)
}

fn probed(probed: &Probed) -> Panel<'_> {
    let report = &probed.report;
    let mut below = vec![
        (format!("{}: {}", report.outcome, outcome(report)), Some(probed.complaint().is_none())),
        (
            format!(
                "{} stanzas and {} after we began to close; {}",
                report.stanzas,
                size(report.bytes_read),
                time(report.elapsed)
            ),
            None,
        ),
    ];
    if let Some(encrypted) = &probed.encrypted {
        below.push((format!("{encrypted}; close_notify: {}", alerts(report)), None));
    }
    if let Some(error) = &report.stream_error {
        below.push((format!("stream error: {error}"), Some(false)));
    }
    Panel { title: title(probed), timeline: &probed.timeline, below }
}

/// The two endings side by side.
pub fn demo(new: &Ending, old: &Ending) -> String {
    page(
        &format!("A stream that was idle for {}, closed by handshake, and the old way", time(IDLE)),
        &[ending("By handshake", new), ending("The old way: stream error and close(2)", old)],
    )
}

fn ending<'a>(title: &str, ending: &'a Ending) -> Panel<'a> {
    let line = |what: &str, tally: Tally| {
        let words = match tally.lost() {
            0 => format!("all {} {what} arrived", tally.meant),
            lost => format!("{lost} of {} {what} were lost", tally.meant),
        };
        (words, Some(tally.lost() == 0))
    };
    let below = vec![
        line("messages to us", ending.to_us),
        line("messages to the peer", ending.to_peer),
        (format!("for the peer: {}; for us: {}", ending.peer_saw, time(ending.took)), None),
    ];
    Panel { title: title.to_owned(), timeline: &ending.timeline, below }
}

struct Panel<'a> {
    title: String,
    timeline: &'a [Entry],
    below: Vec<Line>,
}

fn page(title: &str, panels: &[Panel<'_>]) -> String {
    let bodies: Vec<_> = panels.iter().map(|panel| draw(panel.timeline)).collect();
    let foot = bodies.iter().map(|(_, height)| *height).max().unwrap_or(0) + HEAD;
    let lines = panels.iter().map(|panel| panel.below.len()).max().unwrap_or(0);
    let height = foot + 20 + 22 * i32::try_from(lines).unwrap_or(0) + 14;
    let width = PANEL * i32::try_from(panels.len()).unwrap_or(1) + 20;
    let mut out = String::new();
    let _ = writeln!(
        out,
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' width='{width}' height='{height}' \
         role='img'>\n<title>{}</title>\n<style>{STYLE}</style>",
        Escaped(title)
    );
    let _ = writeln!(out, "<rect class='page' x='.5' y='.5' width='{}' height='{}' rx='8'/>", width - 1, height - 1);
    for (n, (panel, (body, _))) in (0..).zip(panels.iter().zip(&bodies)) {
        let _ = writeln!(out, "<g transform='translate({} 0)'>", n * PANEL);
        let _ = writeln!(out, "<text class='title' x='24' y='34'>{}</text>", Escaped(&fitting(&panel.title, 62)));
        for (x, who) in [(US, "we"), (PEER, "the peer")] {
            let _ = writeln!(out, "<rect class='head' x='{}' y='52' width='80' height='26' rx='5'/>", x - 40);
            let _ = writeln!(out, "<text class='strong' x='{x}' y='70' text-anchor='middle'>{who}</text>");
            let _ = writeln!(out, "<path class='life' d='M{x} 78V{HEAD}'/>");
        }
        let _ = write!(out, "<g transform='translate(0 {HEAD})'>\n{body}</g>\n");
        for (row, (words, good)) in (0..).zip(&panel.below) {
            let class = match good {
                Some(true) => "strong good-text",
                Some(false) => "strong bad-text",
                None => "dim",
            };
            let y = foot + 34 + 22 * row;
            let _ = writeln!(out, "<text class='{class}' x='24' y='{y}'>{}</text>", Escaped(&fitting(words, 78)));
        }
        let _ = writeln!(out, "</g>");
    }
    out + "</svg>\n"
}

/// The rows of one diagram, and their height.
fn draw(entries: &[Entry]) -> (String, i32) {
    let mut out = String::new();
    let mut y = 0;
    // The state that lasts, and since where.
    let mut lasting: Option<(State, i32)> = None;
    for (before, entry) in std::iter::once(None).chain(entries.iter().map(Some)).zip(entries) {
        if let Some(gap) = silence(before, entry) {
            let words = format!("{} of silence", time(gap));
            let _ = writeln!(out, "<path class='gap' d='M{US} {y}v{ROW}M{PEER} {y}v{ROW}'/>");
            let _ = writeln!(out, "<text class='dim' x='{MIDDLE}' y='{}' text-anchor='middle'>{words}</text>", y + 23);
            y += ROW;
        }
        let line = y + 28;
        let _ = writeln!(out, "<path class='life' d='M{US} {y}v{ROW}M{PEER} {y}v{ROW}'/>");
        let at = time(entry.at);
        let _ = writeln!(out, "<text class='dim' x='{}' y='{}' text-anchor='end'>{at}</text>", US - 14, line + 4);
        if let What::Note(words) = &entry.what {
            let (x, words) = (PEER - 14, Escaped(words));
            let _ = writeln!(out, "<text class='bad-text' x='{x}' y='{}' text-anchor='end'>{words}</text>", line + 4);
        } else {
            if lasting.is_none_or(|(state, _)| state != entry.state) {
                bar(&mut out, lasting, line);
                lasting = Some((entry.state, line));
                let name = format!("{:?}", entry.state).to_uppercase();
                let _ = writeln!(out, "<text class='state' x='24' y='{}'>{name}</text>", line + 4);
            }
            arrow(&mut out, entry, line);
        }
        y += ROW;
    }
    bar(&mut out, lasting, y);
    (out, y)
}

/// How long a state lasted, as a bar on our lifeline.
fn bar(out: &mut String, lasting: Option<(State, i32)>, until: i32) {
    let Some((state, since)) = lasting else { return };
    let class = match state {
        State::Open | State::Answer => "bar-open",
        State::Flush | State::Wait | State::Reply => "bar-wait",
        State::Void => "bar-void",
        State::Done => return,
        _ => "bar-bye",
    };
    let (x, height) = (US - 3, until - since);
    let _ = writeln!(out, "<rect class='{class}' x='{x}' y='{since}' width='6' height='{height}' rx='1'/>");
}

fn arrow(out: &mut String, entry: &Entry, y: i32) {
    let fatal = matches!(entry.what, What::Close { .. } | What::Failed(_) | What::Junk(_));
    let (class, from, to, back) = match entry.side {
        Side::Us => ("us", US + 5, PEER - 2, -9),
        Side::Peer => ("peer", PEER - 2, US + 5, 9),
    };
    let class = if fatal { "bad" } else { class };
    // Dashed: what is not part of the stream.
    let dashes = match entry.what {
        What::Tls(_) | What::CloseNotify => " stroke-dasharray='6 4'",
        _ => "",
    };
    let _ = writeln!(out, "<path class='{class}'{dashes} d='M{from} {y}H{}'/>", to + back);
    let _ = writeln!(out, "<path class='{class}-head' d='M{to} {y}l{back} -5v10z'/>");
    let label = fitting(&entry.label(), 52);
    let bytes = match entry.bytes {
        1.. if label.chars().count() < 44 => format!("<tspan class='bytes' dx='8'>{}</tspan>", size(entry.bytes)),
        _ => String::new(),
    };
    let _ = writeln!(out, "<text x='{}' y='{}' text-anchor='middle'>{}{bytes}</text>", MIDDLE, y - 7, Escaped(&label));
}

fn fitting(text: &str, length: usize) -> String {
    match text.char_indices().nth(length) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Text in XML; what XML cannot carry becomes U+FFFD.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '&' => f.write_str("&amp;")?,
                '\0'..=' ' if c != ' ' => f.write_char('\u{fffd}')?,
                '\u{fffe}' | '\u{ffff}' => f.write_char('\u{fffd}')?,
                _ => f.write_char(c)?,
            }
        }
        Ok(())
    }
}
