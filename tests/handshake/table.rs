//! What each event does, in whatever state the two halves are.

use xmpp_close::{CloseOptions, Fact, Tls};

use crate::stream::*;

/// Ours / theirs, how the stream came there, and then what is wanted after each event of [`ROWS`]. `.`: the same as
/// before. `=reset`: it is over, with that outcome; `+N`: one attempt at `close_notify` is due.
struct Table {
    tls: Tls,
    columns: &'static [(&'static str, &'static str)],
    rows: &'static [(&'static str, &'static str)],
}

#[rustfmt::skip]
const PLAINTEXT: Table = Table {
    tls: Tls::No,
    columns: &[
        ("open/open", ""), ("open/closed", "closed"), ("open/void, TCP ended", "eof"),
        ("queued/open", "finish"), ("queued/closed", "finish closed"), ("queued/void, TCP ended", "finish eof"), ("queued/void", "finish malformed"),
        ("written/open", "finish write"), ("ending/closed", "finish write closed"), ("ending/void", "finish write malformed"),
        ("ended/closed", "finish write closed end"), ("lost/open", "finish write-failed"),
        ("queued/ignored", "send detach"), ("ending/ignored", "detach"), ("over", "finish write closed eof"),
    ],
    rows: &[
        ("",                "RMP         RMA         MA         RWP         RW          W          RW         RP          RS         RS         R          RP          RW         RS         O"),
        ("send",            "RWMP        RWMA        WMA        .           .           .          .          .           .          .          .          .           .          .          ."),
        ("finish",          "RWP         RW          W          .           .           .          .          .           .          .          .          .           .          .          ."),
        ("detach",          "RS          RS          =peer-eof  .           .           .          .          .           .          .          .          .           .          .          ."),
        ("write",           ".           .           .          RP          RS          =peer-eof  RS         .           .          .          .          .           RS         .          ."),
        ("nothing-written", ".           .           .          .           .           .          .          .           .          .          .          .           .          .          ."),
        ("end",             ".           .           .          .           .           .          .          .           R          R          .          .           .          R          ."),
        ("arrived",         ".           .           .          .           .           .          .          .           .          .          .          .           .          .          ."),
        ("receive",         ".           .           .          .           .           .          .          .           .          .          .          .           .          .          ."),
        ("stanza",          ".           .           .          .           .           .          .          .           .          .          .          .           .          .          ."),
        ("oversize",        ".           .           .          .           .           .          .          .           .          .          .          .           .          .          ."),
        ("stream-error",    "RWP         .           .          .           .           .          .          .           .          .          .          .           .          .          ."),
        ("closed",          "RMA         .           .          RW          .           .          .          RS          .          .          .          =reset      .          .          ."),
        ("malformed",       "RW          .           .          RW          .           .          .          RS          .          .          .          =reset      .          .          ."),
        ("eof",             "MA          MA          .          W           W           .          W          =peer-eof   =clean     =malformed =clean     =reset      W          =cancelled ."),
        ("eof-inside",      "MA          MA          .          W           W           .          W          =truncated  =clean     =malformed =clean     =reset      W          =cancelled ."),
        ("notified",        "RMA         .           .          RW          .           .          .          RS          .          .          .          =reset      .          .          ."),
        ("notified-inside", "RMA         .           .          RW          .           .          .          RS          .          .          .          =reset      .          .          ."),
        ("read-failed",     "=reset      =reset      =peer-eof  =reset      =reset      =peer-eof  =malformed =reset      =clean     =malformed =clean     =reset      =cancelled =cancelled ."),
        ("write-failed",    "RP          =reset      =peer-eof  RP          =reset      =peer-eof  =malformed .           R          R          .          .           =cancelled R          ."),
        ("tls-failed",      "=tls-failed =tls-failed =peer-eof  =tls-failed =tls-failed =peer-eof  =malformed =tls-failed =clean     =malformed =clean     =tls-failed =cancelled =cancelled ."),
        ("paused",          "MP          MA          .          WP          W           .          W          P           S          S          -          P           W          S          ."),
        ("cancel",          "=cancelled  =cancelled  =cancelled =cancelled  =cancelled  =cancelled =cancelled =cancelled  =clean     =cancelled =clean     =cancelled  =cancelled =cancelled ."),
        ("tick",            ".           .           .          .           .           .          .          .           .          .          .          .           .          .          ."),
        ("late-tick",       ".           =stalled    =peer-eof  =stalled    =stalled    =peer-eof  =malformed =timed-out  =clean     =malformed =clean     =reset      =cancelled =cancelled ."),
    ],
};

#[rustfmt::skip]
const OVER_TLS: Table = Table {
    tls: Tls::Yes,
    columns: &[
        ("open/open", ""), ("open/closed", "closed"), ("open/void", "notified"), ("open/void, TCP ended", "eof"),
        ("queued/open", "finish"), ("queued/closed", "finish closed"), ("queued/void", "finish notified"),
        ("written/open", "finish write"), ("ending/closed", "finish write closed"), ("ending/void", "finish write notified"),
        ("ending/closed, ours notified", "finish write closed end"), ("ending/closed, theirs notified", "finish write closed notified"),
        ("ended/closed", "finish write closed notified end"), ("ending/ignored", "detach"), ("over", "finish write closed eof"),
    ],
    rows: &[
        ("",                "RMP         RMA         RMA        MA           RWP         RW          RW         RP           RN       RN          R      RN       R      RN           NO"),
        ("send",            "RWMP        RWMA        RWMA       WMA          .           .           .          .            .        .           .      .        .      .            ."),
        ("finish",          "RWP         RW          RW         W            .           .           .          .            .        .           .      .        .      .            ."),
        ("detach",          "RN          RN          RN         =truncated+N .           .           .          .            .        .           .      .        .      .            ."),
        ("write",           ".           .           .          .            RP          RN          RN         .            .        .           .      .        .      .            ."),
        ("nothing-written", ".           .           .          .            .           .           .          .            .        .           .      .        .      .            ."),
        ("end",             ".           .           .          .            .           .           .          .            R        R           .      R        .      R            =clean"),
        ("arrived",         ".           .           .          .            .           .           .          .            .        .           .      .        .      .            ."),
        ("receive",         ".           .           .          .            .           .           .          .            .        .           .      .        .      .            ."),
        ("stanza",          ".           .           .          .            .           .           .          .            .        .           .      .        .      .            ."),
        ("oversize",        ".           .           .          .            .           .           .          .            .        .           .      .        .      .            ."),
        ("stream-error",    "RWP         .           .          .            .           .           .          .            .        .           .      .        .      .            ."),
        ("closed",          "RMA         .           .          .            RW          .           .          RN           .        .           .      .        .      .            ."),
        ("malformed",       "RW          .           .          .            RW          .           .          RN           .        .           .      .        .      .            ."),
        ("eof",             "MA          MA          MA         .            W           W           W          =truncated+N =clean+N =peer-eof+N =clean =clean+N =clean =cancelled+N ."),
        ("eof-inside",      "MA          MA          MA         .            W           W           W          =truncated+N =clean+N =peer-eof+N =clean =clean+N =clean =cancelled+N ."),
        ("notified",        "RMA         .           .          .            RW          .           .          RN           .        .           RS     .        .      .            ."),
        ("notified-inside", "RMA         .           .          .            RW          .           .          RN           .        .           RS     .        .      .            ."),
        ("read-failed",     "=reset      =reset      =peer-eof  =truncated   =reset      =reset      =peer-eof  =reset       =clean   =peer-eof   =clean =clean   =clean =cancelled   ."),
        ("write-failed",    "RP          =reset      =peer-eof  =truncated   RP          =reset      =peer-eof  .            R        R           .      R        .      R            =clean"),
        ("tls-failed",      "=tls-failed =tls-failed =peer-eof  =truncated   =tls-failed =tls-failed =peer-eof  =tls-failed  =clean   =peer-eof   =clean =clean   =clean =cancelled   =clean"),
        ("paused",          "MP          MA          MA         .            WP          W           W          P            N        N           -      N        -      N            ."),
        ("cancel",          "=cancelled  =cancelled  =cancelled =cancelled   =cancelled  =cancelled  =cancelled =cancelled+N =clean+N =cancelled+N =clean =clean+N =clean =cancelled+N ."),
        ("tick",            ".           .           .          .            .           .           .          .            .        .           .      .        =clean .            ."),
        ("late-tick",       ".           =stalled    =peer-eof  =truncated   =stalled    =stalled    =peer-eof  =timed-out+N =clean+N =peer-eof+N =clean =clean+N =clean =cancelled+N ."),
    ],
};

fn event(name: &str) -> Event {
    match name {
        "send" => Event::Send(3),
        "finish" => Event::Finish,
        "detach" => Event::Detach,
        "write" => WRITE,
        "nothing-written" => Event::Write(0),
        "end" => Event::End,
        "arrived" => arrived(5),
        "receive" => Event::Receive(5),
        "stanza" => STANZA,
        "oversize" => OVERSIZE,
        "stream-error" => stream_error(),
        "closed" => CLOSED,
        "malformed" => MALFORMED,
        "eof" => EOF,
        "eof-inside" => EOF_INSIDE,
        "notified" => NOTIFIED,
        "notified-inside" => NOTIFIED_INSIDE,
        "read-failed" => READ_FAILED,
        "write-failed" => WRITE_FAILED,
        "tls-failed" => TLS_FAILED,
        "paused" => Event::Tell(Fact::Paused(true)),
        "cancel" => CANCEL,
        "tick" | "late-tick" => Event::Tick,
        _ => panic!("{name}"),
    }
}

/// The streams of the columns, each with the time of its last event.
fn streams(table: &Table) -> Vec<(&str, Stream, u64)> {
    let stream = |(name, way): &(&'static str, &str)| {
        let way: Vec<_> = way.split_whitespace().map(event).collect();
        (*name, Stream::with(&CloseOptions::new(), table.tls).after(&way), way.len() as u64)
    };
    table.columns.iter().map(stream).collect()
}

fn show(stream: &Stream, before: &str) -> String {
    let wants = stream.wants();
    match &*wants {
        _ if wants == before => ".".into(),
        "O" => format!("={}", stream.report().outcome),
        "NO" => format!("={}+N", stream.report().outcome),
        "" => "-".into(),
        _ => wants,
    }
}

#[test]
fn every_event_in_every_state_does_what_the_table_says() {
    let mut wrong = Vec::new();
    for table in [PLAINTEXT, OVER_TLS] {
        for (name, row) in table.rows {
            let cells: Vec<_> = row.split_whitespace().collect();
            assert_eq!(cells.len(), table.columns.len(), "{name}");
            for ((column, mut stream, time), cell) in streams(&table).into_iter().zip(cells) {
                let before = stream.wants();
                if name.is_empty() {
                    assert_eq!(before, cell, "{column}");
                    continue;
                }
                // Linger is 2 s: a tick on time finds nothing, but where the last events were further apart.
                let now = secs(if *name == "late-tick" { 1000 } else { time });
                stream.at(&event(name), now);
                let seen = show(&stream, &before);
                if seen != cell {
                    wrong.push(format!("{name} in {column}, {:?}: {seen}, not {cell}", table.tls));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn nothing_may_be_written_from_the_closing_tag_on() {
    for table in [PLAINTEXT, OVER_TLS] {
        for (name, stream, _) in streams(&table) {
            assert_eq!(stream.engine.wants().may_send(), name.starts_with("open/"), "{name}");
            let sent = stream.clone().engine.send(b"<presence/>");
            assert_eq!(sent.is_ok(), name.starts_with("open/"), "{name}");
        }
    }
}

#[test]
fn input_is_wanted_until_it_ended() {
    for table in [PLAINTEXT, OVER_TLS] {
        for (name, mut stream, time) in streams(&table) {
            let ended = name == "over" || name.ends_with("TCP ended");
            assert_eq!(stream.engine.wants().read(), !ended, "{name}");
            stream.at(&EOF, secs(time));
            assert!(!stream.engine.wants().read(), "{name}");
        }
    }
}

#[test]
fn stanzas_are_expected_until_the_peers_tag() {
    for table in [PLAINTEXT, OVER_TLS] {
        for (name, mut stream, time) in streams(&table) {
            assert_eq!(stream.engine.wants().parse(), name.ends_with("/open"), "{name}");
            assert_eq!(stream.engine.received(1, secs(time)), name.ends_with("/open"), "{name}");
        }
    }
}
