//! How long a close takes when the peer answers at once, in round trips: those of a single byte that is sent over the
//! same link at the same moment.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use xmpp_close::{CloseOptions, Outcome};

use crate::{
    closes::{TAG, connect},
    link::Link,
    relay::Quality,
};

const CLOSES: usize = 200;
/// Few streams, so that none has to wait for the processor.
const AT_ONCE: usize = 10;
const LIMIT: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Peer {
    /// Nothing is closed: how exact the others are.
    Echoes,
    EndsTcp,
    /// The peer waits for our FIN, as it may. Its own FIN then takes another round trip.
    WaitsForFin,
}

/// Prints the median and the 99th percentile, by what the peer does.
pub fn measure() {
    let link = Link::new(Quality { delay: Duration::from_millis(50), jitter: Duration::ZERO, loss: 0, reorder: 0 });
    let kinds = [
        (Peer::Echoes, "echoes a byte", 1.0),
        (Peer::EndsTcp, "ends TCP with its tag", 1.0),
        (Peer::WaitsForFin, "waits for our FIN", 2.0),
    ];
    for (peer, does, expected) in kinds {
        let mut ratios = Vec::new();
        while ratios.len() < CLOSES {
            let mut pairs = connect(&link, 2 * AT_ONCE).into_iter();
            let mut threads = Vec::new();
            while let (Some((closing, closed)), Some((asking, echoing))) = (pairs.next(), pairs.next()) {
                thread::spawn(move || if peer == Peer::Echoes { echo(closed) } else { answer(closed, peer) });
                thread::spawn(move || echo(echoing));
                threads.push(thread::spawn(move || ratio(closing, asking, peer)));
            }
            ratios.extend(threads.into_iter().map(|thread| thread.join().unwrap()));
        }
        ratios.sort_by(f64::total_cmp);
        let (median, p99) = (ratios[CLOSES / 2], ratios[CLOSES * 99 / 100]);
        println!("| the peer {does} | {CLOSES} | {median:.3} | {p99:.3} |");
        // The 99th percentile depends on what else the machine does.
        assert!(median < expected + 0.5, "{median} round trips instead of {expected}");
    }
}

/// The time of a close, over that of a byte there and back.
fn ratio(closing: TcpStream, asking: TcpStream, peer: Peer) -> f64 {
    let both = Barrier::new(2);
    thread::scope(|scope| {
        let byte = scope.spawn(|| {
            both.wait();
            round_trip(asking)
        });
        both.wait();
        let close = if peer == Peer::Echoes { round_trip(closing) } else { close(closing) };
        close.as_secs_f64() / byte.join().unwrap().as_secs_f64()
    })
}

fn close(tcp: TcpStream) -> Duration {
    let start = Instant::now();
    let report = CloseOptions::new().close(tcp).unwrap();
    assert_eq!(report.outcome, Outcome::Clean);
    start.elapsed()
}

fn round_trip(mut tcp: TcpStream) -> Duration {
    tcp.set_read_timeout(Some(LIMIT)).unwrap();
    let start = Instant::now();
    tcp.write_all(b" ").unwrap();
    tcp.read_exact(&mut [0]).unwrap();
    start.elapsed()
}

fn echo(mut tcp: TcpStream) {
    let mut byte = [0];
    tcp.set_read_timeout(Some(LIMIT)).unwrap();
    tcp.read_exact(&mut byte).unwrap();
    tcp.write_all(&byte).unwrap();
}

/// A peer that answers our closing tag at once; the close itself tells whether it did.
fn answer(mut tcp: TcpStream, peer: Peer) {
    let mut tag = [0; TAG.len()];
    tcp.set_read_timeout(Some(LIMIT)).unwrap();
    tcp.read_exact(&mut tag).unwrap();
    tcp.write_all(&tag).unwrap();
    if peer == Peer::EndsTcp {
        tcp.shutdown(Shutdown::Write).unwrap();
    }
    let _ = tcp.read(&mut tag);
}
