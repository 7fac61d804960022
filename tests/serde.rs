//! Reports as data of serde, here as JSON: what is written is read again, under the names that Display has.

use std::{fmt::Debug, time::Duration};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{from_value, json, to_value};
use xmpp_close::{
    Batch, BatchOptions, BatchReport, CloseOptions, Condition, Initiator, Limit, Outcome, Report, StreamError, Summary,
    TlsAlerts,
};

#[path = "support/peer.rs"]
mod peer;

fn comes_back<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
    let json = serde_json::to_string(value).unwrap();
    assert_eq!(&serde_json::from_str::<T>(&json).unwrap(), value, "{json}");
}

#[test]
fn names_are_those_of_display() {
    fn check<T: Serialize + DeserializeOwned + PartialEq + Debug + ToString>(all: &[T]) {
        for value in all {
            assert_eq!(to_value(value).unwrap(), json!(value.to_string()));
            comes_back(value);
        }
        assert!(from_value::<T>(json!("no-such-name")).is_err());
        assert!(from_value::<T>(json!(1)).is_err());
    }
    check(Outcome::ALL);
    check(Initiator::ALL);
    check(Limit::ALL);
    check(Condition::ALL);
}

fn full() -> Report {
    let mut report = Report::default();
    report.outcome = Outcome::TimedOut;
    report.initiator = Some(Initiator::Crossing);
    (report.tag_sent, report.tag_received) = (true, true);
    (report.stanzas, report.oversize) = (u64::MAX, 2);
    (report.bytes_read, report.bytes_after_tag, report.bytes_unsent, report.bytes_unacked) = (3, 4, 5, 6);
    (report.tls.used, report.tls.sent, report.tls.received) = (true, true, false);
    report.stream_error = Some(StreamError::received("fizzbuzz").with_text("ä\n").with_detail("d"));
    report.os_error = Some(-1);
    report.elapsed = Duration::new(7, 123_456_789);
    report.limit = Some(Limit::NoProgress);
    report.refused = 8;
    report
}

#[test]
fn a_report_comes_back_whole() {
    comes_back(&full());
    comes_back(&Report::default());
    comes_back(&TlsAlerts::default());
    let json = to_value(full()).unwrap();
    assert_eq!(json["outcome"], "timed-out");
    assert_eq!(json["stream_error"]["unknown_condition"], "fizzbuzz");
    assert_eq!(json["limit"], "no-progress");
    assert_eq!(json["elapsed"], json!({ "secs": 7, "nanos": 123_456_789 }));
}

/// Members that come in later versions are missing in what was written before, and unknown to what is older.
#[test]
fn a_report_of_another_version_can_be_read() {
    let read: Report = from_value(json!({ "outcome": "clean", "stanzas": 3, "a_later_member": [] })).unwrap();
    assert!(read.is_clean());
    assert_eq!((read.stanzas, read.initiator, read.elapsed), (3, None, Duration::ZERO));
}

#[test]
fn a_stream_error_comes_back_with_all_that_was_said() {
    let errors = [
        StreamError::new(Condition::SystemShutdown).unwrap(),
        StreamError::see_other_host("[2001:db8::1]:5222").unwrap(),
        StreamError::undefined("<too-high xmlns='urn:x'/>").with_text("<&>"),
        StreamError::received("fizzbuzz"),
    ];
    errors.iter().for_each(comes_back);
    let json = json!({ "condition": "reset", "text": "soon" });
    let read: StreamError = from_value(json).unwrap();
    assert_eq!(read, StreamError::new(Condition::Reset).unwrap().with_text("soon"));
    assert!(from_value::<StreamError>(json!({ "text": "soon" })).is_err());
}

#[test]
fn a_batch_comes_back_with_its_counts() {
    let mut batch = Batch::new().unwrap();
    let peers: Vec<_> = (0..3)
        .map(|number| {
            let (ours, theirs) = peer::pair();
            batch.add(ours, &CloseOptions::new(), |_| ()).unwrap();
            peer::peer(theirs, move |mut peer| {
                peer.read_tag().send(if number > 0 { peer::TAG } else { "" });
            })
        })
        .collect();
    let done: BatchReport = batch.run(BatchOptions::new()).unwrap();
    peers.into_iter().for_each(|peer| peer.join().unwrap());
    comes_back(&done);
    comes_back(&Summary::default());
    let json = to_value(&done.summary).unwrap();
    assert_eq!(json["outcomes"], json!({ "clean": 2, "peer-eof": 1 }));
    assert_eq!(json["streams"], 3);
}
