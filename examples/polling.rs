//! Ends a stream with each HOST:PORT in one poll(2) loop: `cargo run --example polling localhost:5222 127.0.0.1:5222`
use std::{env, error::Error, net::TcpStream, time::Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use xmpp_close::{CloseOptions, Closing, Step, Stream};

const HEADER: &str = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

/// A stream that is being closed, the directions that it waits for, and until when. At first a step is due at once.
struct Connection {
    name: String,
    closing: Closing<TcpStream>,
    events: PollFlags,
    due: Option<Instant>,
}

impl Connection {
    fn begin(name: String) -> Result<Self, Box<dyn Error>> {
        let mut stream = Stream::new(TcpStream::connect(&name)?);
        stream.send(HEADER)?;
        let (closing, due) = (stream.begin(&CloseOptions::new())?, Some(Instant::now()));
        Ok(Self { name, closing, events: PollFlags::empty(), due })
    }

    /// Does the turn of this stream, which is bounded; false when the close is over.
    fn step(&mut self) -> bool {
        loop {
            match self.closing.step() {
                Step::Stanza(stanza) => println!("{} late: {stanza}", self.name),
                Step::Wait(wait) => {
                    self.events.set(PollFlags::IN, wait.read);
                    self.events.set(PollFlags::OUT, wait.write);
                    self.due = wait.deadline;
                    return true;
                }
                Step::Over(report) => break println!("{}: {report}", self.name),
                _ => {}
            }
        }
        false
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut all = env::args().skip(1).map(Connection::begin).collect::<Result<Vec<_>, _>>()?;
    while !all.is_empty() {
        // A stream that waits for neither is not polled: a descriptor that has hung up would be ready all the time.
        let watched = all.iter().filter(|one| !one.events.is_empty());
        let mut fds: Vec<_> = watched.map(|one| PollFd::new(&one.closing, one.events)).collect();
        let due = all.iter().filter_map(|one| one.due).min();
        let left = due.map(|due| Timespec::try_from(due.saturating_duration_since(Instant::now()))).transpose()?;
        poll(&mut fds, left.as_ref())?;
        let mut ready = fds.iter().map(|fd| !fd.revents().is_empty()).collect::<Vec<_>>().into_iter();
        all.retain_mut(|one| {
            let ready = !one.events.is_empty() && ready.next() == Some(true);
            !ready && one.due.is_none_or(|due| due > Instant::now()) || one.step()
        });
    }
    Ok(())
}
