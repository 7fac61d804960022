//! Calls that block, sessions, steps and batches of Rust.

use std::{
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec};
use xmpp_close::{
    Batch, BatchOptions, BatchReport, BorrowedSocket, Canceller, CloseOptions, Closing, Incoming, Limit, Stanza, Step,
    Stream, Transport, Wait,
};

#[cfg(target_os = "linux")]
use crate::foreign::Epoll;
use crate::{
    case::{Case, Ending},
    local::lent,
    peer::PATIENCE,
    rows::Setting,
    ways::HEADER,
};

type Any<'a> = Box<dyn Transport + Send + 'a>;

fn options(case: &Case, canceller: &Canceller) -> CloseOptions {
    CloseOptions::new()
        .total(case.limit(Limit::Total))
        .no_progress(case.limit(Limit::NoProgress))
        .linger(case.limit(Limit::Linger))
        .farewell(case.farewell())
        .half_close(case.is(Setting::HalfClose))
        .canceller(canceller)
}

/// For the ways that do not see by themselves what came before the close.
fn told(case: &Case, canceller: &Canceller) -> CloseOptions {
    options(case, canceller).peer_closed(case.row.setting.peer_closed())
}

/// A session whose headers are exchanged, and which has seen the peer's tag where the row says so.
fn stream<'a>(case: &Case<'a>) -> Stream<Any<'a>> {
    let mut stream = Stream::new(case.transport());
    stream.send(HEADER).unwrap();
    assert!(matches!(stream.receive_within(PATIENCE), Ok(Incoming::Header(_))));
    if case.row.setting.peer_closed() {
        assert!(matches!(stream.receive_within(PATIENCE), Ok(Incoming::PeerClosed)));
    }
    stream
}

fn block(case: &Case, mut closing: Closing<Any>, canceller: &Canceller) -> Ending {
    for _ in &mut closing {
        if case.is(Setting::Stop) {
            canceller.cancel();
        }
    }
    Ending::from(&closing.finish())
}

pub fn through_closing(case: &Case) -> Ending {
    let canceller = Canceller::new().unwrap();
    let closing = told(case, &canceller).begin(case.transport()).unwrap();
    block(case, closing, &canceller)
}

pub fn through_stream(case: &Case) -> Ending {
    let canceller = Canceller::new().unwrap();
    let closing = stream(case).begin(&options(case, &canceller)).unwrap();
    block(case, closing, &canceller)
}

/// Steps in a loop of the caller's own.
fn step(case: &Case, mut closing: Closing<Any>) -> Ending {
    loop {
        match closing.step() {
            Step::Stanza(_) if case.is(Setting::Stop) => closing.cancel(),
            Step::Wait(on) => poll(case.tcp, on),
            Step::Over(report) => return Ending::from(&report),
            _ => {}
        }
    }
}

fn poll(tcp: &TcpStream, on: Wait) {
    let limit = on.deadline.map_or(PATIENCE, |at| at.saturating_duration_since(Instant::now()));
    poll_for(lent(tcp), events(on.read, on.write), limit.as_nanos().div_ceil(1_000_000).try_into().unwrap());
}

pub fn events(read: bool, write: bool) -> PollFlags {
    let (mut events, wanted) = (PollFlags::empty(), [(PollFlags::IN, read), (PollFlags::OUT, write)]);
    wanted.into_iter().for_each(|(event, is_wanted)| events.set(event, is_wanted));
    events
}

/// Waits with poll(2); a socket of which nothing is awaited is not in the set. Windows takes no empty set.
pub fn poll_for(socket: BorrowedSocket<'_>, events: PollFlags, millis: i32) {
    // -1: no limit is near.
    let limit = u64::try_from(millis).map_or(PATIENCE, Duration::from_millis);
    if events.is_empty() {
        return thread::sleep(limit);
    }
    let mut entry = [PollFd::from_borrowed_fd(socket, events)];
    rustix::event::poll(&mut entry, Some(&Timespec::try_from(limit).unwrap())).unwrap();
}

pub fn through_steps(case: &Case) -> Ending {
    let canceller = Canceller::new().unwrap();
    step(case, told(case, &canceller).begin(case.transport()).unwrap())
}

pub fn through_steps_of_a_stream(case: &Case) -> Ending {
    let canceller = Canceller::new().unwrap();
    step(case, stream(case).begin(&options(case, &canceller)).unwrap())
}

/// What a batch is told to do with late stanzas.
fn late(case: &Case, canceller: &Canceller) -> impl FnMut(Stanza<&str>) + Send + use<> {
    let stop = case.is(Setting::Stop).then(|| canceller.clone());
    move |_| {
        if let Some(stop) = &stop {
            stop.cancel();
        }
    }
}

fn only(done: &BatchReport) -> Ending {
    assert_eq!(done.summary.count(done.reports[0].outcome), 1, "{}", done.summary);
    Ending::from(&done.reports[0])
}

pub fn through_batch(case: &Case) -> Ending {
    let canceller = Canceller::new().unwrap();
    let mut batch = Batch::new().unwrap();
    batch.add(case.transport(), &told(case, &canceller), late(case, &canceller)).unwrap();
    only(&batch.run(BatchOptions::new().total(2 * PATIENCE)).unwrap())
}

pub fn through_batch_of_a_stream(case: &Case) -> Ending {
    let canceller = Canceller::new().unwrap();
    let mut batch = Batch::new().unwrap();
    batch.add_stream(stream(case), &options(case, &canceller), late(case, &canceller)).unwrap();
    only(&batch.run(BatchOptions::new().total(2 * PATIENCE)).unwrap())
}

/// Turned by somebody else's event loop.
pub fn through_batch_and_epoll(case: &Case) -> Ending {
    let canceller = Canceller::new().unwrap();
    let mut batch = Batch::new().unwrap();
    let index = batch.add(case.transport(), &told(case, &canceller), late(case, &canceller)).unwrap();
    #[cfg(target_os = "linux")]
    {
        let epoll = Epoll::new();
        epoll.watch(&batch, 0);
        while batch.turn(Duration::ZERO).unwrap() > 0 {
            epoll.wait(batch.deadline());
        }
    }
    // A batch has no descriptor there, or this test no epoll.
    #[cfg(not(target_os = "linux"))]
    while batch.turn(PATIENCE).unwrap() > 0 {}
    Ending::from(batch.report(index).unwrap())
}
