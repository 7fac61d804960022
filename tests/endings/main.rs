//! One wire gives one report, whoever drives the close: the same rows through the calls that block, sessions, steps in
//! a loop around poll(2), event loops around the engine, and batches, from Rust and from C. (`ffi-tests/endings.c` has
//! more rows, for C and C++ alone.)

#[path = "../support/callbacks.rs"]
mod callbacks;
#[path = "../support/event_loop.rs"]
mod event_loop;
#[cfg(target_os = "linux")]
#[path = "../support/foreign.rs"]
mod foreign;
#[path = "../support/local.rs"]
mod local;
#[path = "../support/peer.rs"]
mod peer;

mod c_api;
mod case;
mod far;
mod no_end;
mod phases;
mod rows;
mod rust;
mod scripted;
mod steady;
mod through_loop;
mod toy_tls;
mod traces;
mod ways;

use std::{collections::HashSet, io::Read, net::TcpStream, sync::mpsc::channel, thread};

use case::{Case, Ending};
use far::Far;
use peer::{Peer, TAG};
use rows::{ROWS, Row, Setting};
use ways::HEADER;
use xmpp_close::Outcome;

/// One way to close.
#[derive(Clone, Copy)]
struct Api {
    name: &'static str,
    close: fn(&Case) -> Ending,
    /// This way exchanges the headers first.
    opens: bool,
    /// This way takes a transport, and so TLS; otherwise it takes a plain socket.
    takes_tls: bool,
}

const fn api(name: &'static str, close: fn(&Case) -> Ending) -> Api {
    Api { name, close, opens: false, takes_tls: true }
}

impl Api {
    const fn of_sockets(self) -> Self {
        Self { takes_tls: false, ..self }
    }

    const fn of_sessions(self) -> Self {
        Self { opens: true, ..self }
    }
}

const FD: &str = "xmpp_close_fd";
const BATCH_ADD: &str = "xmpp_close_batch_add";
const APIS: [Api; 22] = [
    api("Rust", rust::through_closing),
    api("Stream", rust::through_stream).of_sessions(),
    api("steps in Rust", rust::through_steps),
    api("steps of a Stream", rust::through_steps_of_a_stream).of_sessions(),
    api("a batch in Rust", rust::through_batch),
    api("a batch in Rust that epoll turns", rust::through_batch_and_epoll),
    api("a batch in Rust of a Stream", rust::through_batch_of_a_stream).of_sessions(),
    api("an event loop in Rust", through_loop::in_rust),
    api("an event loop in C", through_loop::in_c),
    // A loop that writes at once can only say what has arrived.
    api("a hasty event loop in Rust", through_loop::in_rust_at_once),
    api("a hasty event loop in C", through_loop::in_c_at_once),
    api("an event loop in Rust without a parser", through_loop::in_rust_without_parser),
    api("an event loop in C without a parser", through_loop::in_c_without_parser),
    api(FD, c_api::through_fd).of_sockets(),
    api("xmpp_close_with", c_api::through_with),
    api("xmpp_close_start", c_api::through_start).of_sockets(),
    api("xmpp_close_start_with", c_api::through_start_with),
    api(BATCH_ADD, c_api::through_batch_add).of_sockets(),
    api("xmpp_close_batch_add_with", c_api::through_batch_add_with),
    api("xmpp_close_batch_turn of xmpp_close_batch_add", c_api::through_turns).of_sockets(),
    api("xmpp_close_batch_turn of xmpp_close_batch_add_with", c_api::through_turns_with),
    api("xmpp_close_batch_turn of xmpp_close_batch_add_stream", c_api::through_turns_of_a_stream),
];

#[test]
fn one_wire_gives_one_report_through_every_api() {
    let (mut wrong, mut outcomes) = (Vec::new(), HashSet::new());
    phases::listen();
    let resets = peer::resets_show();
    for row in ROWS.iter().filter(|row| resets || row.ends.outcome != Outcome::Reset) {
        for tls in row.line.transports() {
            let apis = APIS.iter().filter(|api| api.takes_tls || !*tls);
            let endings: Vec<_> = thread::scope(|scope| {
                let runs: Vec<_> = apis.map(|api| (api, scope.spawn(|| run(row, *api, *tls)))).collect();
                runs.into_iter().map(|(api, run)| (api.name, run.join())).collect()
            });
            let alerts = endings.iter().find_map(|(_, ended)| ended.as_ref().ok()).map(|(ending, _)| ending.alerts);
            let expected = Ending { alerts: alerts.unwrap_or_default(), ..row.ends };
            for (name, ended) in endings {
                let over = if *tls { ", over TLS" } else { "" };
                match ended {
                    Err(_) => wrong.push(format!("{}{over}, {name}: a panic, as said above", row.name)),
                    Ok((ending, _)) if ending != expected => {
                        wrong.push(format!("{}{over}, {name}: {ending:?}, not {expected:?}", row.name));
                    }
                    Ok((_, Some(logged))) => wrong.push(format!("{}{over}, {name}: {logged}", row.name)),
                    Ok(_) => {}
                }
            }
        }
        outcomes.insert(row.ends.outcome);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(outcomes.len(), if resets { 9 } else { 8 });
}

/// One row through one API, each with a wire of its own: how it ended, and what is wrong with what was logged.
fn run(row: &'static Row, api: Api, tls: bool) -> (Ending, Option<String>) {
    let (ours, theirs) = match row.setting {
        // Small enough that no single write takes all of a big farewell, however fast the peer reads.
        Setting::BigFarewell => peer::pair_with_buffers(1 << 16),
        _ => peer::pair(),
    };
    let mut peer = Peer { tcp: theirs, got: Vec::new() };
    let header = if api.opens { HEADER } else { "" };
    let closed = if api.opens && row.setting.peer_closed() { TAG } else { "" };
    let before = [header, &(row.before)(), closed].concat();
    peer.send(&before);
    arrived(&ours, before.len());
    let (over, is_over) = channel();
    let script = row.script;
    let peer = thread::spawn(move || {
        peer.tcp.read_exact(&mut vec![0; header.len()]).unwrap();
        script(&mut Far { peer, tls, over: is_over });
    });
    let ending = (api.close)(&Case { tcp: &ours, row, tls });
    drop((ours, over));
    peer.join().unwrap_or_else(|_| panic!("{}, {}: the peer", row.name, api.name));
    (ending, phases::wrong(api.name, &ending))
}

/// Waits until so many bytes lie in the socket.
fn arrived(tcp: &TcpStream, bytes: usize) {
    peer::wait_until(|| bytes == 0 || tcp.peek(&mut vec![0; bytes]).unwrap() == bytes);
}
