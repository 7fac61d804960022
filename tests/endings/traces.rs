//! The same script through an event loop of its own around the engine, in Rust and in C, through steps, a batch and a
//! call that blocks: the same bytes on the wire, and the same report.

use std::{
    thread,
    time::{Duration, Instant},
};

use xmpp_close::{
    Batch, BatchOptions, CloseOptions, Condition, Engine, Initiator, Outcome, Report, Step, StreamError, Tls,
};

use crate::{
    event_loop::Loop,
    local::codes::{ECONNRESET, EPIPE},
    peer::{PATIENCE, TAG},
    scripted::{In::*, Log, Out, Script, Scripted},
};

const HEADER: &str = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";
const NOT_WELL_FORMED: &str =
    "<stream:error><not-well-formed xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>";
const HOST_UNKNOWN: &str = "<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>";

struct Trace {
    name: &'static str,
    script: Script,
    options: CloseOptions,
    detach: bool,
    /// With a stream error, which an event loop says in `finish`.
    error: Option<StreamError>,
    /// What goes out, and how it ends.
    wire: String,
    ends: (Outcome, Initiator, (bool, bool)),
    /// What is not with the kernel, and the first error.
    unsent: u64,
    os_error: Option<i32>,
}

fn plain(name: &'static str, incoming: &'static [crate::scripted::In], wire: &str) -> Trace {
    let script = Script { tls: false, incoming, output: Out::All };
    Trace {
        name,
        script,
        options: CloseOptions::new().total(PATIENCE).linger(PATIENCE),
        detach: false,
        error: None,
        wire: wire.to_owned(),
        ends: (Outcome::Clean, Initiator::Us, (true, true)),
        unsent: 0,
        os_error: None,
    }
}

fn traces() -> Vec<Trace> {
    use Initiator::{Crossing, Peer, Us};
    use Outcome::*;
    let tag = |before: &str, behind: &str| format!("{before}{TAG}{behind}");
    let soon = |trace: Trace| Trace { options: trace.options.total(Duration::from_millis(80)), ..trace };
    let with = |trace: Trace, output, ends| Trace { script: Script { output, ..trace.script }, ends, ..trace };
    let over_tls = |trace: Trace| Trace { script: Script { tls: true, ..trace.script }, ..trace };
    let ends = |trace: Trace, ends| Trace { ends, ..trace };
    let farewell = |trace: Trace, bytes: &str| Trace { options: trace.options.farewell(bytes), ..trace };
    vec![
        farewell(
            plain("we close", &[OurTag, Bytes("<message/><iq/>"), Bytes(TAG), OurFin, Eof], &tag("<a/>", "|S")),
            "<a/>",
        ),
        {
            let trace =
                farewell(plain("the peer closed, and is owed a reply", &[OurEnd, Eof], &tag("<r/>", "|S")), "<r/>");
            Trace { options: trace.options.peer_closed(true), ends: (Clean, Peer, (true, true)), ..trace }
        },
        with(
            plain("crossing: ours is not written", &[Bytes(TAG), OurEnd, Eof], &tag("", "|S")),
            Out::After(2),
            (Clean, Crossing, (true, true)),
        ),
        ends(
            plain("crossing: theirs lay unread", &[Bytes(TAG), OurEnd, Eof], &tag("", "|S")),
            (Clean, Crossing, (true, true)),
        ),
        plain("an answer", &[OurTag, Bytes(TAG), OurEnd, Eof], &tag("", "|S")),
        {
            let trace = with(
                plain("kept in a queue", &[Bytes(TAG)], &tag("", "")),
                Out::Kept,
                (Stalled, Crossing, (false, true)),
            );
            soon(Trace { unsent: TAG.len() as u64, ..trace })
        },
        with(
            plain("malformed before our tag", &[Bytes("<a></b>"), OurEnd, Eof], &tag(NOT_WELL_FORMED, "|S")),
            Out::After(2),
            (Malformed, Us, (true, false)),
        ),
        ends(
            plain("malformed behind our tag", &[OurTag, Bytes("<a></b>"), OurEnd, Eof], &tag("", "|S")),
            (Malformed, Us, (true, false)),
        ),
        {
            let error = StreamError::new(Condition::HostUnknown).unwrap();
            let trace =
                plain("malformed, with another error", &[Bytes("<a></b>"), OurEnd, Eof], &tag(HOST_UNKNOWN, "|S"));
            Trace { error: Some(error), ends: (Malformed, Us, (true, false)), ..trace }
        },
        ends(farewell(plain("TCP ends", &[Eof], &tag("<r/>", "")), "<r/>"), (PeerEof, Us, (true, false))),
        ends(
            plain("TCP ends inside", &[OurTag, Bytes("<message>"), Eof], &tag("", "")),
            (Truncated, Us, (true, false)),
        ),
        {
            let trace =
                ends(plain("reading fails", &[OurTag, Fails(ECONNRESET)], &tag("", "")), (Reset, Us, (true, false)));
            Trace { os_error: Some(ECONNRESET), ..trace }
        },
        {
            let trace = with(
                plain("writing fails", &[Bytes("<b/>"), Bytes(TAG)], ""),
                Out::Fails(EPIPE),
                (Reset, Crossing, (false, true)),
            );
            Trace { unsent: TAG.len() as u64, os_error: Some(EPIPE), ..trace }
        },
        over_tls(plain("TLS", &[OurTag, Bytes(TAG), OurEnd, Notify, OurFin, Eof], &tag("", "|N|S"))),
        soon(ends(over_tls(plain("TLS, a mute peer", &[OurTag], &tag("", "|N"))), (TimedOut, Us, (true, false)))),
        ends(
            over_tls(plain("TLS ends without a tag", &[OurTag, Notify, OurFin, Eof], &tag("", "|N|S"))),
            (PeerEof, Us, (true, false)),
        ),
        ends(
            over_tls(plain("TLS is cut", &[OurTag, Bytes("<b/>"), Eof], &tag("", "|N"))),
            (Truncated, Us, (true, false)),
        ),
        {
            let trace = plain("half-close", &[OurEnd, Bytes("<b/>"), Bytes(TAG), OurFin, Eof], &tag("", "|S"));
            Trace { options: trace.options.half_close(true), ..trace }
        },
        {
            let error = StreamError::new(Condition::HostUnknown).unwrap();
            let trace = plain(
                "our header is not out",
                &[OurTag, Bytes(TAG), OurFin, Eof],
                &tag(&[HEADER, HOST_UNKNOWN].concat(), "|S"),
            );
            Trace { options: trace.options.header(HEADER), error: Some(error), ..trace }
        },
        {
            let trace = farewell(plain("a detach", &[Bytes("<b/>"), OurEnd, Eof], "<a/>|S"), "<a/>");
            Trace { detach: true, ends: (Cancelled, Us, (false, false)), ..trace }
        },
    ]
}

/// Once TCP has ended, it does not matter whether ours is ended, too, before it is closed.
fn wire(log: &str) -> &str {
    log.trim_end_matches("|S")
}

impl Trace {
    fn options(&self) -> CloseOptions {
        let options = self.options.clone();
        if let Some(error) = &self.error { options.stream_error(error.clone()) } else { options }
    }

    fn check(&self, api: &str, report: &Report, log: &Log) -> Option<String> {
        let seen = (report.outcome, report.initiator.unwrap(), (report.tag_sent, report.tag_received));
        let details = (report.bytes_unsent, report.os_error);
        let right =
            seen == self.ends && details == (self.unsent, self.os_error) && wire(&log.text()) == wire(&self.wire);
        (!right).then(|| {
            format!("{}, {api}: {seen:?} {details:?} {}, not {:?} {}", self.name, log.text(), self.ends, self.wire)
        })
    }
}

fn blocking(trace: &Trace) -> (Report, Log) {
    let (transport, log) = Scripted::new(&trace.script);
    let options = trace.options();
    (if trace.detach { options.detach(transport) } else { options.close(transport) }.unwrap(), log)
}

fn steps(trace: &Trace) -> (Report, Log) {
    let (transport, log) = Scripted::new(&trace.script);
    let mut closing = trace.options().begin(transport).unwrap();
    let end = Instant::now() + PATIENCE;
    loop {
        match closing.step() {
            Step::Over(report) => return (report, log),
            _ => thread::sleep(Duration::from_millis(1)),
        }
        assert!(Instant::now() < end, "{}: {}", trace.name, closing.report());
    }
}

fn batch(trace: &Trace) -> (Report, Log) {
    let (transport, log) = Scripted::new(&trace.script);
    let mut batch = Batch::new().unwrap();
    batch.add(transport, &trace.options(), |_| {}).unwrap();
    let done = batch.run(BatchOptions::new().total(PATIENCE)).unwrap();
    (done.reports[0].clone(), log)
}

fn engine(trace: &Trace) -> (Report, Log) {
    let (mut transport, log) = Scripted::new(&trace.script);
    let tls = if trace.script.tls { Tls::Yes } else { Tls::No };
    let mut machine = Engine::new(&trace.options(), tls).unwrap();
    Loop {
        clock: Instant::now(),
        transport: &mut transport,
        machine: &mut machine,
        peer_closed: false,
        reads_first: true,
        own_parser: true,
        detach: trace.detach,
        farewell: Vec::new(),
        is_cancelled: &|| false,
        on_stanza: &mut |_| true,
    }
    .run();
    (machine.report(), log)
}

#[test]
fn one_script_has_one_wire_and_one_report_through_engine_step_batch_and_call() {
    type Close = fn(&Trace) -> (Report, Log);
    let apis: [(&str, Close); 4] = [("a call", blocking), ("steps", steps), ("a batch", batch), ("an engine", engine)];
    let mut wrong = Vec::new();
    for trace in traces() {
        for (api, close) in apis {
            if ["a batch", "steps"].contains(&api) && trace.detach {
                continue;
            }
            let (report, log) = close(&trace);
            wrong.extend(trace.check(api, &report, &log));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
