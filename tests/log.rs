//! What the feature `log` says of a close: one event for each phase. `tests/endings` compares the phases of every ending
//! through every API.

#[path = "support/local.rs"]
mod local;

use std::{
    cell::RefCell,
    fmt::Display,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    thread,
    time::Duration,
};

use local::number;
use xmpp_close::{Canceller, CloseOptions, Incoming, Report, Stream};

const TAG: &str = "</stream:stream>";

thread_local! {
    static EVENTS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

struct Listener;

impl log::Log for Listener {
    fn enabled(&self, _: &log::Metadata) -> bool {
        true
    }

    fn log(&self, record: &log::Record) {
        let event = format!("{} {}: {}", record.level(), record.target(), record.args());
        EVENTS.with_borrow_mut(|events| events.push(event));
    }

    fn flush(&self) {}
}

fn listen() {
    log::set_max_level(log::LevelFilter::Trace);
    let _ = log::set_logger(&Listener); // by the first test of the process
}

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (ours, listener.accept().unwrap().0)
}

/// What was logged in this thread since the last call, without the number of the descriptor.
fn events(fd: impl Display) -> Vec<String> {
    let fd = format!("fd {fd}: ");
    let events = EVENTS.take();
    assert!(events.iter().all(|event| event.contains(&fd)), "{events:?} are all about {fd}");
    events.iter().map(|event| event.replace(&fd, "")).collect()
}

fn ended(report: &Report) -> String {
    format!("INFO xmpp_close: {report}")
}

const BY_US: &str = "DEBUG xmpp_close: close begun by us";
const BY_PEER: &str = "DEBUG xmpp_close: close begun by peer";
const SENT: &str = "DEBUG xmpp_close: the kernel has our closing tag";
const CAME: &str = "DEBUG xmpp_close: the peer's closing tag came";

#[test]
fn a_clean_close_has_four_events() {
    listen();
    let (ours, mut theirs) = pair();
    let peer = thread::spawn(move || {
        theirs.read_exact(&mut [0; TAG.len()]).unwrap();
        theirs.write_all(TAG.as_bytes()).unwrap();
    });
    let fd = number(&ours);
    let report = xmpp_close::close(ours);
    assert_eq!(events(fd), [BY_US, SENT, CAME, &ended(&report)]);
    peer.join().unwrap();
}

#[test]
fn a_phase_that_is_not_reached_has_no_event() {
    listen();
    let (ours, _theirs) = pair();
    let fd = number(&ours);
    let report = CloseOptions::new().total(Duration::from_millis(10)).close(ours).unwrap();
    assert_eq!(events(fd), [BY_US, SENT, &ended(&report)]);

    let (ours, _theirs) = pair();
    let (fd, canceller) = (number(&ours), Canceller::new().unwrap());
    canceller.cancel();
    let report = CloseOptions::new().canceller(&canceller).close(ours).unwrap();
    assert_eq!(events(fd), [BY_US, &ended(&report)]);

    let (ours, _theirs) = pair();
    let fd = number(&ours);
    drop(CloseOptions::new().begin(ours).unwrap());
    assert_eq!(events(fd), [BY_US, SENT], "a close that is given up has no end");
}

#[test]
fn a_session_tells_at_once_that_its_peer_begins_to_close() {
    listen();
    let (ours, mut theirs) = pair();
    let fd = number(&ours);
    let header = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";
    theirs.write_all(format!("{header}{TAG}").as_bytes()).unwrap();
    drop(theirs);
    let mut stream = Stream::new(ours);
    stream.send(header).unwrap();
    assert!(matches!(stream.receive(), Ok(Incoming::Header(_))));
    assert_eq!(events(fd), [""; 0]);
    assert!(matches!(stream.receive(), Ok(Incoming::PeerClosed)));
    assert_eq!(events(fd), [BY_PEER, CAME]);
    let report = stream.close(&CloseOptions::new()).unwrap();
    assert_eq!(events(fd).last(), Some(&ended(&report)));
}
