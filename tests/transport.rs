//! What a close asks of its transport, call by call, and what it concludes from each answer.

use std::{
    cell::RefCell,
    collections::VecDeque,
    io::{self, ErrorKind},
    time::Duration,
};

use Call::*;
use ErrorKind::{Interrupted, InvalidData, NotConnected, UnexpectedEof, WouldBlock};
use xmpp_close::{BorrowedSocket, Canceller, CloseOptions, Interest, Outcome, Report, Transport};

/// The code of an error that has none: EIO, and ERROR_IO_DEVICE on Windows.
const IO: i32 = if cfg!(windows) { 1117 } else { 5 };
const TAG: &str = "</stream:stream>";
const MALFORMED: &str = "<a></b>";

/// One call, with what is expected of it and the answer.
#[derive(Debug)]
enum Call {
    Read(Result<&'static str, ErrorKind>),
    ReadWithin(Result<&'static str, ErrorKind>),
    Drain(Result<&'static str, ErrorKind>),
    Write(String, Result<usize, ErrorKind>),
    Notify(Result<(), ErrorKind>),
    Shut(Result<(), ErrorKind>),
    Wait(Interest, Result<(), ErrorKind>),
}

fn written(text: &str) -> Call {
    Write(text.to_owned(), Ok(text.len()))
}

fn not_written(text: &str, error: ErrorKind) -> Call {
    Write(text.to_owned(), Err(error))
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Plain,
    Tls,
}
use Kind::*;

/// A transport that gets the calls of its script, in order and no other. One byte is never acknowledged.
struct Scripted<'a> {
    kind: Kind,
    script: &'a RefCell<VecDeque<Call>>,
}

impl Scripted<'_> {
    fn next(&self, call: &str) -> Call {
        self.script.borrow_mut().pop_front().unwrap_or_else(|| panic!("{call} at the end of the script"))
    }
}

fn copy(answer: Result<&str, ErrorKind>, buf: &mut [u8]) -> io::Result<usize> {
    let text = answer?;
    buf[..text.len()].copy_from_slice(text.as_bytes());
    Ok(text.len())
}

impl Transport for Scripted<'_> {
    fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.next("read") {
            Read(answer) => copy(answer, buf),
            call => panic!("read, not {call:?}"),
        }
    }

    fn read_within(&mut self, buf: &mut [u8], _: Duration) -> io::Result<usize> {
        match self.next("read_within") {
            ReadWithin(answer) => copy(answer, buf),
            call => panic!("read_within, not {call:?}"),
        }
    }

    fn drain(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.next("drain") {
            Drain(answer) => copy(answer, buf),
            call => panic!("drain, not {call:?}"),
        }
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.next("write") {
            Write(expected, answer) => {
                assert_eq!(String::from_utf8_lossy(bytes), expected);
                Ok(answer?)
            }
            call => panic!("write, not {call:?}"),
        }
    }

    fn notify(&mut self) -> io::Result<()> {
        match self.next("notify") {
            Notify(answer) => Ok(answer?),
            call => panic!("notify, not {call:?}"),
        }
    }

    fn shut(&mut self) -> io::Result<()> {
        match self.next("shut") {
            Shut(answer) => Ok(answer?),
            call => panic!("shut, not {call:?}"),
        }
    }

    fn wait(&mut self, interest: Interest, _: Duration, _: Option<BorrowedSocket<'_>>) -> io::Result<Interest> {
        match self.next("wait") {
            Wait(expected, answer) => {
                assert_eq!(interest, expected);
                Ok(answer.map(|()| interest)?)
            }
            call => panic!("wait, not {call:?}"),
        }
    }

    fn is_tls(&self) -> bool {
        self.kind == Tls
    }

    fn unacked(&self) -> u64 {
        1
    }
}

/// Closes by a script, which must come to its end.
fn close(options: &CloseOptions, kind: Kind, script: impl IntoIterator<Item = Call>) -> Report {
    let script = RefCell::new(script.into_iter().collect());
    let report = options.close(Scripted { kind, script: &script }).unwrap();
    assert!(script.borrow().is_empty(), "{script:?} is left; {report}");
    report
}

/// Each call is a system call.
#[test]
fn a_handshake_makes_no_call_too_many() {
    let begun = || [Read(Err(WouldBlock)), written(TAG), ReadWithin(Ok(TAG))];
    let report = close(&CloseOptions::new(), Plain, begun().into_iter().chain([Shut(Ok(())), ReadWithin(Ok(""))]));
    assert!(report.is_clean());
    assert_eq!(report.bytes_unacked, 0, "what is not acknowledged is our FIN");

    // FIN waits for the peer's close_notify (TL-02).
    let end = [Notify(Ok(())), ReadWithin(Ok("")), Shut(Ok(())), Drain(Ok(""))];
    let report = close(&CloseOptions::new(), Tls, begun().into_iter().chain(end));
    assert!(report.is_clean() && report.tls.sent && report.tls.received, "{report}");
    assert_eq!(report.bytes_unacked, 0);
}

/// HS-01: our output is ended whatever the outcome, unless the connection is gone.
#[test]
fn whatever_comes_instead_of_the_peers_tag_the_output_is_ended_once() {
    let begun = || [Read(Err(WouldBlock)), written(TAG)];
    let report = close(
        &CloseOptions::new().total(Duration::ZERO),
        Plain,
        begun().into_iter().chain([Read(Err(WouldBlock)), Shut(Ok(()))]),
    );
    assert_eq!(report.outcome, Outcome::TimedOut);
    let end = [ReadWithin(Ok("")), Shut(Ok(()))];
    assert_eq!(close(&CloseOptions::new(), Plain, begun().into_iter().chain(end)).outcome, Outcome::PeerEof);
    let end = [ReadWithin(Err(ErrorKind::ConnectionReset))];
    assert_eq!(close(&CloseOptions::new(), Plain, begun().into_iter().chain(end)).outcome, Outcome::Reset);
}

#[test]
fn a_peer_that_is_gone_fails_a_write_but_not_the_end_of_output() {
    let begun = [Read(Err(WouldBlock)), written(TAG), ReadWithin(Ok(TAG)), Shut(Err(NotConnected))];
    let report = close(&CloseOptions::new(), Plain, begun.into_iter().chain([ReadWithin(Ok(""))]));
    assert_eq!((report.outcome, report.os_error), (Outcome::Clean, None));
    let begun = [Read(Err(WouldBlock)), written(TAG), ReadWithin(Ok(TAG)), Notify(Err(NotConnected))];
    let report = close(&CloseOptions::new(), Tls, begun.into_iter().chain([ReadWithin(Err(UnexpectedEof))]));
    assert_eq!((report.outcome, report.os_error, report.tls.sent), (Outcome::Clean, None, false));

    let lost = [Read(Err(WouldBlock)), not_written(TAG, NotConnected), ReadWithin(Ok(""))];
    let report = close(&CloseOptions::new(), Plain, lost);
    assert_eq!((report.outcome, report.tag_sent), (Outcome::Reset, false));
    assert_eq!((report.bytes_unsent, report.os_error), (TAG.len() as u64, Some(IO)));
}

/// ER-09: an error goes behind the last words, as long as none of our tag is out. What a blocked TLS layer was given
/// counts as out.
#[test]
fn an_error_stands_in_front_of_a_tag_that_is_blocked_but_not_over_tls() {
    let options = CloseOptions::new().farewell_with(|| b"<bye/>".to_vec());
    let said = format!("<bye/>{TAG}");
    let error = "<stream:error><not-well-formed xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>";
    for (kind, expected) in [(Plain, format!("<bye/>{error}{TAG}")), (Tls, said.clone())] {
        let script = [
            Read(Err(WouldBlock)),
            Read(Err(WouldBlock)), // and before the last words are composed
            not_written(&said, WouldBlock),
            Read(Ok(MALFORMED)),
            written(&expected),
            Read(Err(WouldBlock)),
        ];
        // Behind the peer's close_notify, TCP is read to its end.
        let end = match kind {
            Plain => vec![Shut(Ok(())), ReadWithin(Ok(""))],
            Tls => vec![Notify(Ok(())), ReadWithin(Ok("")), Shut(Ok(())), Drain(Ok(""))],
        };
        let report = close(&options, kind, script.into_iter().chain(end));
        assert_eq!((report.outcome, report.tag_sent), (Outcome::Malformed, true), "{kind:?}");
    }
}

#[test]
fn an_interrupted_wait_goes_on_and_a_failed_one_is_the_end() {
    let canceller = Canceller::new().unwrap(); // with one, it is `wait` that waits
    let options = CloseOptions::new().canceller(&canceller);
    let waiting = || [Read(Err(WouldBlock)), written(TAG), Read(Err(WouldBlock))];
    let interrupted = waiting().into_iter().chain([
        Wait(Interest::READ, Err(Interrupted)),
        Read(Ok(TAG)),
        Shut(Ok(())),
        Read(Ok("")),
    ]);
    assert!(close(&options, Plain, interrupted).is_clean());
    let failed = waiting().into_iter().chain([Wait(Interest::READ, Err(ErrorKind::Other))]);
    let report = close(&options, Plain, failed);
    assert_eq!((report.outcome, report.os_error), (Outcome::Reset, Some(IO)));
}

/// Without TLS these are errors like any other: what has arrived is still read (TC-05).
#[test]
fn the_errors_of_tls_mean_a_tls_failure_only_over_tls() {
    let failed = || [Read(Err(WouldBlock)), not_written(TAG, InvalidData)];
    let report = close(&CloseOptions::new(), Tls, failed());
    assert_eq!((report.outcome, report.tag_sent), (Outcome::TlsFailed, false));
    let report =
        close(&CloseOptions::new(), Plain, failed().into_iter().chain([ReadWithin(Ok("<b/>")), ReadWithin(Ok(""))]));
    assert_eq!((report.outcome, report.stanzas), (Outcome::Reset, 1));

    let ended = || [Read(Err(WouldBlock)), written(TAG), ReadWithin(Err(UnexpectedEof))];
    assert_eq!(close(&CloseOptions::new(), Plain, ended()).outcome, Outcome::Reset);
    let report = close(&CloseOptions::new(), Tls, ended().into_iter().chain([Notify(Ok(())), Shut(Ok(()))]));
    assert_eq!(report.outcome, Outcome::Truncated);
}

#[test]
fn a_write_that_says_it_took_more_than_it_got_took_all() {
    let options = CloseOptions::new().farewell("<bye/>").farewell_with(|| b"<a/>".to_vec());
    let script = [
        Read(Err(WouldBlock)),
        Write("<bye/>".to_owned(), Ok(2)),
        Write("ye/>".to_owned(), Ok(1000)),
        Read(Err(WouldBlock)),
        Read(Err(WouldBlock)), // and before the last words are composed
        Write(format!("<a/>{TAG}"), Ok(usize::MAX)),
        ReadWithin(Ok(TAG)),
        Shut(Ok(())),
        ReadWithin(Ok("")),
    ];
    let report = close(&options, Plain, script);
    assert_eq!((report.outcome, report.bytes_unsent), (Outcome::Clean, 0));
}
