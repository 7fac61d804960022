//! How long the turns of a batch take beside an event loop that serves others meanwhile.
//!
//! The loop, over epoll, sends back what 1 000 connections say, ten times a second each, while 5 000 streams are
//! closed: one in a hundred never answers. The other ends are processes of their own.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::Stdio,
    time::{Duration, Instant},
};

use xmpp_close::{Batch, BatchOptions, CloseOptions};

use crate::{
    batch::{Host, connect},
    foreign::{Epoll, echo},
    sampler::thread_time,
    table::{Bars, Table, figure},
};

const SERVED: usize = 1000;
const CLOSING: usize = 5000;
const TOTAL: Duration = Duration::from_secs(5);
const ROUND: Duration = Duration::from_millis(100);
const RUNS: usize = 5;

/// The part of the page about turns.
pub fn run() -> String {
    let measured = |method: &str| {
        let mut process = crate::child("batch", &[method]);
        let output = process.stderr(Stdio::inherit()).output().unwrap();
        assert!(output.status.success(), "{method}");
        let line = String::from_utf8(output.stdout).unwrap();
        line.split_whitespace().map(|number| number.parse().unwrap()).collect::<Vec<f64>>()
    };
    let mut runs = Vec::new();
    for _ in 0..RUNS {
        runs.push(measured("turns"));
    }
    let median = |column: usize| {
        let mut values: Vec<_> = runs.iter().map(|run| run[column]).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let mut bars = Bars::new();
    bars.at_most("99 of 100 turns beside an event loop", 5.0, median(2), "ms");
    let mut table = Table::new(&["", "median, ms", "99 of 100 within, ms", "longest, ms"]);
    let rows = ["a turn", "a turn: CPU time", "an echo, while streams are closed", "an echo, otherwise"];
    for (row, name) in rows.iter().enumerate() {
        let column = |number: usize| figure(median(1 + 3 * row + number));
        table.row(&[(*name).to_owned(), column(0), column(1), column(2)]);
    }
    format!(
        "A batch beside an event loop. The loop uses epoll, and sends back what {SERVED} other connections say, each ten times a second.
Meanwhile a batch closes {CLOSING} streams at once in the same thread, by its turns; 1 % of their peers are mute. Medians of
{RUNS} runs, of {} turns each. Turns that found nothing to do are not counted.

{}{}",
        figure(median(0)),
        bars.finish(),
        table.finish()
    )
}

/// Prints how many turns there were; then the median, the 99th of 100 and the longest of turns, of their CPU time, of
/// echoes meanwhile, and of others, in ms.
pub fn measure() {
    let mut hosts: Vec<_> = (0..2).map(|_| Host::start()).collect();
    let connections = connect(&mut hosts, CLOSING);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let mut clients =
        crate::child("batch", &["clients", &port]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let served: Vec<_> = (0..SERVED).map(|_| listener.accept().unwrap().0).collect();
    let epoll = Epoll::new();
    for (number, tcp) in served.iter().enumerate() {
        epoll.watch(tcp, number as u64);
    }
    let mut batch = Batch::new().unwrap();
    epoll.watch(&batch, SERVED as u64);
    let begin = Instant::now();
    let (start, end) =
        (begin + Duration::from_secs(1), begin + Duration::from_secs(1) + TOTAL + Duration::from_secs(1));
    let (mut connections, mut turns, mut busy) = (Some(connections), Vec::new(), Vec::new());
    while Instant::now() < end {
        let timer = if connections.is_some() { Some(start) } else { batch.deadline() };
        let mut has_work = batch.deadline().is_some_and(|due| due <= Instant::now());
        for key in epoll.wait(timer.unwrap_or(end).min(end).into()) {
            match served.get(key as usize) {
                Some(tcp) => assert!(echo(tcp)),
                None => has_work = true,
            }
        }
        if Instant::now() >= start {
            if let Some(connections) = connections.take() {
                clients.stdin.as_mut().unwrap().write_all(b"b").unwrap();
                // The error is that of a server that goes down.
                batch.set(BatchOptions::new().total(TOTAL)).unwrap();
                for tcp in connections {
                    batch.add(tcp, &CloseOptions::new(), |_| {}).unwrap();
                }
            }
        }
        let (turn, cpu) = (Instant::now(), thread_time());
        batch.turn(Duration::ZERO).unwrap();
        if has_work {
            turns.push(turn.elapsed());
            busy.push(thread_time() - cpu);
        }
    }
    assert!(batch.is_empty());
    let clean = (0..CLOSING).filter(|index| batch.report(*index).unwrap().is_clean()).count();
    assert_eq!(clean, CLOSING - CLOSING / 100);
    drop(clients.stdin.take());
    drop(served);
    let mut echoes = String::new();
    clients.stdout.take().unwrap().read_to_string(&mut echoes).unwrap();
    assert!(clients.wait().unwrap().success());
    println!("{} {} {} {}", turns.len(), spread(&mut turns), spread(&mut busy), echoes.trim());
}

/// In ms.
fn spread(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let place = |number: usize| times[(times.len() * number / 1000).min(times.len() - 1)].as_secs_f64() * 1000.0;
    format!("{} {} {}", place(500), place(990), place(1000))
}

/// The clients of the loop: each sends something ten times a second, and waits for the echo. A byte on stdin says that
/// streams begin to be closed.
pub fn clients(port: u16) {
    let all: Vec<_> = (0..SERVED).map(|_| TcpStream::connect(("127.0.0.1", port)).unwrap()).collect();
    let begun = std::thread::spawn(|| std::io::stdin().read_exact(&mut [0]).map(|()| Instant::now()).ok());
    let mut times = Vec::new();
    // Until the server is gone.
    'all: for round in 1.. {
        let start = Instant::now();
        for mut tcp in &all {
            if tcp.write_all(&u32::to_be_bytes(round)).is_err() {
                break 'all;
            }
        }
        for mut tcp in &all {
            if tcp.read_exact(&mut [0; 4]).is_err() {
                break 'all;
            }
            times.push((start, start.elapsed()));
        }
        std::thread::sleep(ROUND.saturating_sub(start.elapsed()));
    }
    let begun = begun.join().unwrap().unwrap();
    let of = |meanwhile: bool| {
        let is_meanwhile = |start: Instant| start + ROUND >= begun && start < begun + Duration::from_secs(1);
        let mut times: Vec<_> =
            times.iter().filter(|(start, _)| is_meanwhile(*start) == meanwhile).map(|(_, time)| *time).collect();
        spread(&mut times)
    };
    println!("{} {}", of(true), of(false));
}
