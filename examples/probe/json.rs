//! Output for programs: one JSON object (RFC 8259).

use std::{fmt::Write, time::Duration};

use xmpp_close::Report;

use crate::{
    demo::{Ending, IDLE, Tally},
    remote::{Encrypted, Probed, Use},
    timeline::{Entry, Side, What},
};

/// What happened on the streams to a real server: an object, or an array when there was more than one.
pub fn remote(all: &[Probed]) -> String {
    let objects: Vec<_> = all.iter().map(probed).collect();
    if let [object] = &objects[..] { object.clone() } else { format!("[{}]", objects.join(", ")) }
}

fn probed(probed: &Probed) -> String {
    let (used, resumption) = match &probed.used {
        Use::Closed => ("closed", None),
        Use::Detached => ("detached", None),
        Use::Resumed(_) => ("closed", Some("resumed")),
        Use::Refused(condition) => ("closed", Some(condition.as_str())),
    };
    object(&[
        ("peer", string(&probed.address.to_string())),
        ("domain", string(&probed.domain)),
        ("jid", probed.jid.as_deref().map_or("null".into(), string)),
        ("tls", probed.encrypted.map_or("null".into(), encrypted)),
        ("idle_seconds", probed.idle.map_or("null".into(), |idle| idle.as_secs().to_string())),
        ("end", string(used)),
        ("resumption", resumption.map_or("null".into(), string)),
        ("acknowledged", probed.acknowledged.map_or("null".into(), |number| number.to_string())),
        ("report", report(&probed.report)),
        ("timeline", timeline(&probed.timeline)),
    ])
}

fn encrypted(tls: Encrypted) -> String {
    object(&[("version", string(tls.version)), ("certificate_checked", tls.certificate_checked.to_string())])
}

/// The comparison of a run without arguments.
pub fn demo(new: &Ending, old: &Ending) -> String {
    object(&[("idle_ms", millis(IDLE)), ("handshake", ending(new)), ("old_way", ending(old))])
}

fn ending(ending: &Ending) -> String {
    object(&[
        ("to_us", tally(ending.to_us)),
        ("to_peer", tally(ending.to_peer)),
        ("peer_saw", string(&ending.peer_saw)),
        ("took_ms", millis(ending.took)),
        ("report", ending.report.as_ref().map_or("null".into(), report)),
        ("timeline", timeline(&ending.timeline)),
    ])
}

fn tally(tally: Tally) -> String {
    object(&[
        ("meant", tally.meant.to_string()),
        ("taken", tally.taken.to_string()),
        ("arrived", tally.arrived.to_string()),
        ("lost", tally.lost().to_string()),
    ])
}

fn report(report: &Report) -> String {
    let error = report.stream_error.as_ref().map_or("null".into(), |error| {
        object(&[
            ("condition", string(error.unknown_condition().unwrap_or(error.condition().as_str()))),
            ("text", error.text().map_or("null".into(), string)),
        ])
    });
    object(&[
        ("outcome", string(report.outcome.as_str())),
        ("clean", report.is_clean().to_string()),
        ("initiator", report.initiator.map_or("null".into(), |side| string(&side.to_string()))),
        ("tag_sent", report.tag_sent.to_string()),
        ("tag_received", report.tag_received.to_string()),
        ("stanzas", report.stanzas.to_string()),
        ("oversize", report.oversize.to_string()),
        ("bytes_read", report.bytes_read.to_string()),
        ("bytes_after_tag", report.bytes_after_tag.to_string()),
        ("bytes_unsent", report.bytes_unsent.to_string()),
        ("bytes_unacked", report.bytes_unacked.to_string()),
        ("close_notify_sent", report.tls.sent.to_string()),
        ("close_notify_received", report.tls.received.to_string()),
        ("stream_error", error),
        ("os_error", report.os_error.map_or("null".into(), |code| code.to_string())),
        ("elapsed_ms", millis(report.elapsed)),
    ])
}

fn timeline(entries: &[Entry]) -> String {
    let entries = entries.iter().map(|entry| {
        let kind = match &entry.what {
            What::Frames(_) => "frames",
            What::Whitespace => "whitespace",
            What::Part => "part",
            What::Junk(_) => "junk",
            What::Tls(_) => "tls",
            What::CloseNotify => "close-notify",
            What::Fin { .. } => "fin",
            What::Rst => "rst",
            What::Close { .. } => "close",
            What::Failed(_) => "failed",
            What::Note(_) => "note",
        };
        let mut members = vec![
            ("ms", millis(entry.at)),
            ("until_ms", millis(entry.until)),
            ("from", string(if entry.side == Side::Us { "us" } else { "peer" })),
            ("kind", string(kind)),
            ("what", string(&entry.label())),
            ("bytes", entry.bytes.to_string()),
            ("state", string(&format!("{:?}", entry.state).to_lowercase())),
        ];
        if let What::Frames(frames) = &entry.what {
            let frames: Vec<_> = frames.iter().map(|(name, count)| format!("{}: {count}", string(name))).collect();
            members.push(("frames", format!("{{{}}}", frames.join(", "))));
        }
        object(&members)
    });
    format!("[{}]", entries.collect::<Vec<_>>().join(", "))
}

fn object(members: &[(&str, String)]) -> String {
    let members: Vec<_> = members.iter().map(|(name, value)| format!("{}: {value}", string(name))).collect();
    format!("{{{}}}", members.join(", "))
}

fn millis(time: Duration) -> String {
    format!("{:.3}", time.as_secs_f64() * 1e3)
}

fn string(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\0'..' ' | '\u{7f}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            _ => out.push(c),
        }
    }
    out + "\""
}
