//! What the probe shows of its own peer is the same on every system, but for times and numbers.

use super::*;

/// Who did what, and the state afterwards.
fn rows(ending: &Value) -> Vec<String> {
    let row = |entry: &Value| {
        let frames = entry["frames"].as_object().map(|frames| frames.keys().map(String::as_str).collect::<Vec<_>>());
        let what = frames.map_or(entry["kind"].text().to_owned(), |frames| frames.join(" "));
        format!("{} {what} {}", entry["from"].text(), entry["state"].text())
    };
    ending["timeline"].array().iter().map(row).collect()
}

#[test]
fn both_endings_have_the_same_rows_on_every_system() {
    let output = probe(&["--json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let result = json(&output);
    let handshake = [
        "us <stream:stream> open",
        "peer <stream:features/> <stream:stream> open",
        "us <message/> open",
        "peer <message/> open",
        "us </stream:stream> wait",
        "peer <message/> wait",
        "peer </stream:stream> bye",
        "us fin linger",
        "peer fin done",
    ];
    assert_eq!(rows(&result["handshake"]), handshake);
    let old_way = [
        "us <stream:stream> open",
        "peer <stream:features/> <stream:stream> open",
        "us <message/> open",
        "us </stream:stream> <stream:error> connection-timeout wait",
        "us close done",
        "peer note done",
    ];
    assert_eq!(rows(&result["old_way"]), old_way);
}
