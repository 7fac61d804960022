//! What only `event_loop` does: streams that write to each other, XEP-0198, and a shutdown while the loop goes on.

use std::{
    io::Write,
    net::{Shutdown, TcpStream},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::{
    client::{Client, TAG, iq, iq_result, message},
    programs::{Server, Variant},
    under_load::{self, Peer, SYSTEM_SHUTDOWN},
};

const FOREVER: u32 = 100_000;
/// The time after which the server closes, and for which it then waits for the peer's tag.
const CONFLICT: &str = "<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>";
const ENABLE: &str = "<enable xmlns='urn:xmpp:sm:3'/>";
const ENABLED: &str = "<enabled xmlns='urn:xmpp:sm:3'/>";
const REQUEST: &str = "<r xmlns='urn:xmpp:sm:3'/>";

fn start(variant: Variant, idle_seconds: u32, limit_seconds: u32) -> Server {
    Server::start("event_loop", variant, idle_seconds, limit_seconds)
}

fn ack(count: u32) -> String {
    format!("<a xmlns='urn:xmpp:sm:3' h='{count}'/>")
}

/// All of it at once, also under the tools that see every error and leak of memory.
fn each_variant(test: impl Fn(Variant) + Sync) {
    thread::scope(|scope| {
        for variant in [Variant::Shared, Variant::Sanitized, Variant::Valgrind] {
            let test = &test;
            scope.spawn(move || test(variant));
        }
    });
}

#[test]
fn a_message_reaches_another_stream_while_that_may_be_written_and_is_stored_otherwise() {
    each_variant(|variant| {
        let server = start(variant, FOREVER, FOREVER);
        let mut alice = Client::open(server.port, "");
        let mut bob = Client::open(server.port, "");
        let to_bob = |id: &str| format!("<message to='{}@localhost' id='{id}'/>", bob.number);
        let [open, closed, gone] = ["open", "closed", "gone"].map(to_bob);
        alice.send(&open);
        assert_eq!(bob.read_until(&open), open);
        bob.send(TAG);
        assert_eq!(bob.read_until(TAG), TAG);
        alice.send(&closed);
        server.wait_for("the message to be stored", |line| line == format!("[{}] stored: closed", alice.number));
        assert_eq!(bob.read_to_end(), "");
        let number = bob.number;
        drop(bob);
        assert_eq!(server.ending(number), "clean, 0 late stanzas");
        alice.send(&format!("{gone}<message to='nobody@localhost' id='nobody'/>{}", message("echo")));
        assert_eq!(alice.read_until(&message("echo")), message("echo"));
        for id in ["gone", "nobody"] {
            server.wait_for("it to be stored", |line| line == format!("[{}] stored: {id}", alice.number));
        }
        alice.send(TAG);
        assert_eq!(alice.read_to_end(), TAG);
        server.stop();
    });
}

#[test]
fn a_last_acknowledgement_precedes_the_tag() {
    each_variant(|variant| {
        let server = start(variant, FOREVER, FOREVER);
        let enabled = |server: &Server| {
            let mut client = Client::open(server.port, &format!("{}{ENABLE}{}<other/>", message("before"), iq(1)));
            client.read_until(ENABLED);
            client.send(&format!("{}{REQUEST}", message(2)));
            assert_eq!(client.read_until(&ack(2)), format!("{}{}", message(2), ack(2)));
            assert_eq!(client.read_until(&iq_result(1)), iq_result(1));
            client
        };
        // The peer closes: what it is owed, the acknowledgement of all that it has sent, the tag.
        let mut peer_first = enabled(&server);
        peer_first.send(&format!("{}{}{TAG}", message(3), iq(4)));
        assert_eq!(peer_first.read_to_end(), format!("{}{}{}{TAG}", message(3), iq_result(4), ack(4)));
        // We close: a stream error of the peer's makes us, without one of our own.
        let mut conflict = enabled(&server);
        conflict.send(CONFLICT);
        assert_eq!(conflict.read_until(TAG), format!("{}{TAG}", ack(2)));
        conflict.send(&format!("{}{REQUEST}{TAG}", message("late")));
        assert_eq!(conflict.read_to_end(), "", "after the tag nothing is acknowledged");
        // It sends nonsense.
        let mut broken = enabled(&server);
        broken.send("<a></b>");
        assert!(broken.read_until(TAG).starts_with(&format!("{}<stream:error><not-well-formed ", ack(2))));
        drop(broken);
        // All are closed.
        let mut last = enabled(&server);
        server.send_sigterm();
        assert_eq!(last.read_until(TAG), format!("{}{SYSTEM_SHUTDOWN}{TAG}", ack(2)));
        last.send(&format!("{}{REQUEST}{TAG}", message("late")));
        assert_eq!(last.read_to_end(), "");
        let lines = server.finish();
        for (client, late) in [(&peer_first, 0), (&conflict, 1), (&last, 1)] {
            let ending = format!("[{}] ended: clean, {late} late stanzas", client.number);
            assert!(lines.contains(&ending), "{ending}: {lines:#?}");
        }
    });
}

#[test]
fn an_idle_stream_gets_a_last_acknowledgement() {
    let server = start(Variant::Static, 2, FOREVER);
    let mut client = Client::open(server.port, &format!("{ENABLE}<presence/>"));
    assert_eq!(client.read_until(TAG), format!("{ENABLED}{}{TAG}", ack(1)));
    client.send(TAG);
    assert_eq!(client.read_to_end(), "");
    server.stop();
}

#[test]
fn what_the_router_owes_at_sigterm_precedes_the_tag() {
    answers_before_it_goes_down("event_loop");
}

pub fn answers_before_it_goes_down(name: &str) {
    each_variant(|variant| {
        let server = Server::start(name, variant, FOREVER, FOREVER);
        let mut client = Client::open(server.port, "");
        client.send(&iq("owed"));
        server.wait_for("the iq", |line| line.ends_with("] iq owed"));
        server.send_sigterm();
        assert_eq!(client.read_until(TAG), format!("{}{SYSTEM_SHUTDOWN}{TAG}", iq_result("owed")));
        client.send(&format!("{}{TAG}", iq("late")));
        assert_eq!(client.read_to_end(), "");
        let lines = server.finish();
        let number = client.number;
        assert!(lines.contains(&format!("[{number}] ended: clean, 1 late stanzas")), "{lines:#?}");
        assert!(lines.contains(&format!("[{number}] undeliverable: {}", iq_result("late"))), "{lines:#?}");
    });
}

#[test]
fn a_close_that_is_in_progress_at_sigterm_gets_no_second_tag() {
    each_variant(|variant| {
        let server = start(variant, FOREVER, FOREVER);
        let mut closing = Client::open(server.port, CONFLICT);
        assert_eq!(closing.read_until(TAG), TAG);
        let mut open = Client::open(server.port, "");
        server.send_sigterm();
        assert_eq!(open.read_until(TAG), format!("{SYSTEM_SHUTDOWN}{TAG}"));
        closing.send(&message("late"));
        open.send(TAG);
        assert_eq!(open.read_to_end(), "");
        drop(open);
        server.wait_for("the late stanza", |line| line.ends_with("] late message late"));
        closing.assert_silence();
        closing.send(TAG);
        assert_eq!(closing.read_to_end(), "");
        let lines = server.finish();
        assert!(lines.contains(&format!("[{}] ended: clean, 1 late stanzas", closing.number)), "{lines:#?}");
    });
}

#[test]
fn the_process_ends_within_its_limit_whatever_its_peers_do() {
    const LIMIT: u32 = 4;
    let server = start(Variant::Sanitized, FOREVER, LIMIT);
    let mut stuck = Client::open(server.port, "");
    // Its answers are not read, so the server stops reading; then nothing moves any more.
    under_load::fill(&mut stuck.tcp, message(1).repeat(1 << 19).as_bytes());
    let _silent = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    let mut mute = Client::open(server.port, "");
    let mut closing = Client::open(server.port, CONFLICT);
    closing.read_until(TAG);
    let mut good = Client::open(server.port, "");
    let before = Instant::now();
    server.send_sigterm();
    good.read_until(TAG);
    good.send(TAG);
    assert_eq!(good.read_to_end(), "");
    mute.read_until(TAG);
    assert_eq!((mute.read_to_end(), closing.read_to_end()), (String::new(), String::new()), "no error, no second tag");
    let lines = server.finish();
    let elapsed = before.elapsed();
    assert!(elapsed < Duration::from_secs(u64::from(LIMIT) + 2), "{elapsed:?}");
    let ending = |number: u32| {
        let start = format!("[{number}] ended: ");
        lines.iter().find_map(|line| line.strip_prefix(&start)).unwrap_or_else(|| panic!("{start}: {lines:#?}"))
    };
    assert_eq!(ending(good.number), "clean, 0 late stanzas");
    assert_eq!(ending(mute.number), "timed-out, 0 late stanzas");
    assert_eq!(ending(closing.number), "timed-out, 0 late stanzas");
    assert!(ending(stuck.number).starts_with("stalled, "), "{}", ending(stuck.number));
    let progress: Vec<&String> = lines.iter().filter(|line| line.starts_with("closing 4 streams, ")).collect();
    assert!(progress.iter().any(|line| line.ends_with(" ms: 3 pending 1 clean")), "{progress:?}");
    let closed = lines.iter().find(|line| line.starts_with("closed 4 streams, ")).expect("the sum of it");
    assert!(closed.ends_with(" ms: 1 clean 2 timed-out 1 stalled"), "{closed}");
}

/// A plain socket.
impl Peer for Client {
    fn connect(port: u16, _: usize) -> Self {
        Self::connect(port)
    }

    fn send(&mut self, xml: &str) {
        self.send(xml);
    }

    fn read_until(&mut self, end: &str) -> String {
        self.read_until(end)
    }

    fn expect_end(mut self) {
        assert_eq!(self.read_to_end(), "");
    }
}

/// Each stream takes a descriptor here and one in the server.
fn raise_descriptors(needed: libc::rlim_t) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: getrlimit(2) and setrlimit(2) with a struct of their own.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit), 0);
        assert!(limit.rlim_max >= needed, "{needed} descriptors are needed, {} are allowed at most", limit.rlim_max);
        limit.rlim_cur = limit.rlim_max;
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit), 0);
    }
}

#[test]
fn five_thousand_streams_are_closed_at_once_and_nothing_is_lost() {
    raise_descriptors(5500);
    let lines = under_load::close_all::<Client>(start(Variant::Sanitized, FOREVER, 100), 5000, 10);
    assert!(lines.iter().any(|line| line.starts_with("closing 5000 streams, ")), "no progress was shown");
}

#[test]
fn what_is_queued_at_sigterm_precedes_the_tag() {
    let server = start(Variant::Sanitized, FOREVER, FOREVER);
    let client = Client::open(server.port, "");
    let tcp = client.tcp.try_clone().unwrap();
    under_load::close_with_a_full_queue(server, client, tcp, |_, xml| xml.as_bytes().to_vec());
}

#[test]
fn a_server_that_never_has_to_wait_hears_sigterm() {
    let server = start(Variant::Sanitized, FOREVER, FOREVER);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut client = Client::open(server.port, "");
                let closed = AtomicBool::new(false);
                thread::scope(|scope| {
                    let (closed, mut writer) = (&closed, client.tcp.try_clone().unwrap());
                    scope.spawn(move || {
                        let flood = "<message id='1'/>".repeat(1000);
                        while !closed.load(Ordering::Relaxed) {
                            writer.write_all(flood.as_bytes()).unwrap();
                        }
                    });
                    client.read_until(SYSTEM_SHUTDOWN);
                    assert_eq!(client.read_until(TAG), TAG);
                    closed.store(true, Ordering::Relaxed);
                });
                client.send(TAG);
                assert_eq!(client.read_to_end(), "");
            });
        }
        server.wait_for("every stream to be busy", |line| line == "[8] message 1");
        server.send_sigterm();
    });
    let lines = server.finish();
    assert!(lines.iter().any(|line| line.starts_with("closed 8 streams, ") && line.ends_with(" ms: 8 clean")));
}

#[test]
fn a_stream_that_waits_for_nothing_does_not_wake_the_loop() {
    does_not_wake("event_loop", "epoll_pwait");
}

/// A server that waits by that system call.
pub fn does_not_wake(name: &str, call: &str) {
    let log = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(call);
    let server = Server::start_traced(name, call, &log);
    let client = Client::open(server.port, "");
    let number = client.number;
    (&client.tcp).write_all(format!("{}{TAG}", iq("owed")).as_bytes()).unwrap();
    client.tcp.shutdown(Shutdown::Write).unwrap();
    server.wait_for("the iq", |line| line.ends_with("] iq owed"));
    // While the router takes its time there is nothing to read, nor to write, and the connection is reset.
    socket2::SockRef::from(&client.tcp).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    assert_eq!(server.ending(number), "reset, 0 late stanzas");
    server.stop();
    let turns = std::fs::read_to_string(log).unwrap().matches(&format!("{call}(")).count();
    assert!(turns < 100, "{turns} turns");
}
