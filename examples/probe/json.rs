//! Output for programs: one JSON value (RFC 8259).

use std::time::Duration;

use serde_json::{Map, Value, json};
use xmpp_close::Report;

use crate::{
    demo::{Ending, IDLE, Tally},
    remote::{Encrypted, Probed, Use},
    timeline::{Entry, Side, What},
};

/// What happened on the streams to a real server: an object, or an array when there was more than one stream.
pub fn remote(all: &[Probed]) -> Value {
    if let [one] = all { probed(one) } else { all.iter().map(probed).collect() }
}

fn probed(probed: &Probed) -> Value {
    let (used, resumption) = match &probed.used {
        Use::Closed => ("closed", None),
        Use::Detached => ("detached", None),
        Use::Resumed(_) => ("closed", Some("resumed")),
        Use::Refused(condition) => ("closed", Some(condition.as_str())),
    };
    json!({
        "peer": probed.address.to_string(),
        "domain": probed.domain,
        "jid": probed.jid,
        "tls": probed.encrypted.map(encrypted),
        "idle_seconds": probed.idle.map(|idle| idle.as_secs()),
        "end": used,
        "resumption": resumption,
        "acknowledged": probed.acknowledged,
        "report": report(&probed.report),
        "timeline": timeline(&probed.timeline),
    })
}

fn encrypted(tls: Encrypted) -> Value {
    json!({ "version": tls.version, "certificate_checked": tls.certificate_checked })
}

/// The comparison of a run without arguments.
pub fn demo(new: &Ending, old: &Ending) -> Value {
    json!({ "idle_ms": millis(IDLE), "handshake": ending(new), "old_way": ending(old) })
}

fn ending(ending: &Ending) -> Value {
    json!({
        "to_us": tally(ending.to_us),
        "to_peer": tally(ending.to_peer),
        "peer_saw": ending.peer_saw,
        "took_ms": millis(ending.took),
        "report": ending.report.as_ref().map(report),
        "timeline": timeline(&ending.timeline),
    })
}

fn tally(tally: Tally) -> Value {
    json!({ "meant": tally.meant, "taken": tally.taken, "arrived": tally.arrived, "lost": tally.lost() })
}

fn report(report: &Report) -> Value {
    let error = report.stream_error.as_ref().map(|error| {
        json!({ "condition": error.unknown_condition().unwrap_or(error.condition().as_str()), "text": error.text() })
    });
    json!({
        "outcome": report.outcome.as_str(),
        "clean": report.is_clean(),
        "initiator": report.initiator.map(|side| side.to_string()),
        "tag_sent": report.tag_sent,
        "tag_received": report.tag_received,
        "stanzas": report.stanzas,
        "oversize": report.oversize,
        "bytes_read": report.bytes_read,
        "bytes_after_tag": report.bytes_after_tag,
        "bytes_unsent": report.bytes_unsent,
        "bytes_unacked": report.bytes_unacked,
        "close_notify_sent": report.tls.sent,
        "close_notify_received": report.tls.received,
        "stream_error": error,
        "os_error": report.os_error,
        "elapsed_ms": millis(report.elapsed),
    })
}

fn timeline(entries: &[Entry]) -> Value {
    entries.iter().map(entry).collect()
}

fn entry(entry: &Entry) -> Value {
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
    let mut value = json!({
        "ms": millis(entry.at),
        "until_ms": millis(entry.until),
        "from": if entry.side == Side::Us { "us" } else { "peer" },
        "kind": kind,
        "what": entry.label(),
        "bytes": entry.bytes,
        "state": format!("{:?}", entry.state).to_lowercase(),
    });
    if let What::Frames(frames) = &entry.what {
        value["frames"] = frames.iter().map(|(name, count)| (name.clone(), json!(count))).collect::<Map<_, _>>().into();
    }
    value
}

/// Milliseconds with three decimals.
fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}
