//! A server with one poll(2) loop: it sends each stanza back, closes the stream of a client that has been silent for IDLE
//! seconds, and all streams on SIGTERM. `cargo run --example poll_server --features batch -- 127.0.0.1:5222 60`
use std::{env, error::Error as StdError, io::ErrorKind::TimedOut, io::Read, mem, net::TcpListener, net::TcpStream};
use std::{os::unix::net::UnixStream, time::Duration, time::Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use xmpp_close::{Batch, BatchOptions, CloseOptions, Closing, Condition, Error, Incoming, Step, Stream, StreamError};

const HEADER: &str = "<?xml version='1.0'?><stream:stream from='localhost' id='1' version='1.0' xmlns='jabber:client' \
                      xmlns:stream='http://etherx.jabber.org/streams'><stream:features/>";
/// How long the shutdown takes at most. A close that began before it takes no longer, so it is over in time as well.
const TOTAL: Duration = Duration::from_secs(10);
/// After how many stanzas of one client the others have their turn.
const TURN: usize = 100;

#[allow(clippy::large_enum_variant, reason = "a stream that is open is the usual case")]
enum State {
    Open(Stream<TcpStream>),
    Closing(Closing<TcpStream>),
}

/// A stream, the directions that it waits for, and until when.
struct Connection {
    state: State,
    events: PollFlags,
    due: Option<Instant>,
}

impl Connection {
    fn new(tcp: TcpStream, idle: Duration) -> Self {
        let mut stream = Stream::new(tcp);
        stream.write_limit(Duration::ZERO); // `send` never waits
        stream.idle_after(Some(idle));
        Self { state: State::Open(stream), events: PollFlags::IN, due: Some(Instant::now() + idle) }
    }

    /// Does all that can be done without waiting, but not too much. `None`: the stream is over.
    fn turn(self, idle: Duration) -> Option<Self> {
        let mut stream = match self.state {
            State::Closing(closing) => return step(closing),
            State::Open(stream) => stream,
        };
        // After an error, the report of the close says how the stream ended.
        match serve(&mut stream, self.due <= Some(Instant::now())).unwrap_or(None) {
            Some(events) => {
                // Without events there is more to do, but the others are to have their turn first.
                let due = Instant::now() + if events.is_empty() { Duration::ZERO } else { idle };
                Some(Self { state: State::Open(stream), events, due: Some(due) })
            }
            None => step(stream.begin(&CloseOptions::new().total(TOTAL)).ok()?),
        }
    }
}

/// Writes what waits, and answers what has come. Returns what to wait for then; `None`: the stream is to be closed.
fn serve(stream: &mut Stream<TcpStream>, is_due: bool) -> Result<Option<PollFlags>, Error> {
    if !send(stream, "")? {
        return Ok(Some(PollFlags::OUT).filter(|_| !is_due)); // who does not read for IDLE seconds is not waited for
    }
    for _ in 0..TURN {
        let is_written = match stream.receive_within(Duration::ZERO)? {
            Incoming::Header(_) => send(stream, HEADER)?,
            Incoming::Stanza(stanza) => send(stream, stanza.as_str())?,
            Incoming::TimedOut => return Ok(Some(PollFlags::IN)),
            Incoming::Idle | Incoming::PeerClosed | Incoming::StreamError(_) => return Ok(None),
            _ => true,
        };
        if !is_written {
            return Ok(Some(PollFlags::OUT)); // and no more is read until the client takes its answers
        }
    }
    Ok(Some(PollFlags::empty()))
}

/// Sends, without waiting. False: a rest waits in the stream until the socket is writable.
fn send(stream: &mut Stream<TcpStream>, xml: impl AsRef<[u8]>) -> Result<bool, Error> {
    match stream.send(xml) {
        Err(Error::Io(error)) if error.kind() == TimedOut => Ok(false),
        result => result.map(|()| true),
    }
}

fn step(mut closing: Closing<TcpStream>) -> Option<Connection> {
    loop {
        match closing.step() {
            Step::Stanza(stanza) => println!("late: {stanza}"),
            Step::Wait(wait) => {
                let mut events = PollFlags::empty();
                events.set(PollFlags::IN, wait.read);
                events.set(PollFlags::OUT, wait.write);
                return Some(Connection { state: State::Closing(closing), events, due: wait.deadline });
            }
            Step::Over(report) => break println!("{report}"),
            _ => {}
        }
    }
    None
}

fn main() -> Result<(), Box<dyn StdError>> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let [address, idle] = &arguments[..] else { return Err("usage: poll_server ADDRESS:PORT IDLE".into()) };
    let (listener, idle) = (TcpListener::bind(address)?, Duration::try_from_secs_f64(idle.parse()?)?);
    listener.set_nonblocking(true)?;
    let (mut signals, signalled) = UnixStream::pair()?;
    signal_hook::low_level::pipe::register(signal_hook::consts::SIGTERM, signalled)?;
    println!("listening on {}", listener.local_addr()?);
    let (mut listener, mut all, mut batch) = (Some(listener), Vec::new(), Batch::new()?);
    while listener.is_some() || !all.is_empty() || !batch.is_empty() {
        let mut fds = vec![PollFd::new(&signals, PollFlags::IN), PollFd::new(&batch, PollFlags::IN)];
        fds.extend(all.iter().filter(|one: &&Connection| !one.events.is_empty()).map(|one| match &one.state {
            State::Open(stream) => PollFd::new(stream, one.events),
            State::Closing(closing) => PollFd::new(closing, one.events),
        }));
        fds.extend(listener.iter().map(|listener| PollFd::new(listener, PollFlags::IN)));
        let due = all.iter().filter_map(|one| one.due).chain(batch.deadline()).min();
        let left = due.map(|due| Timespec::try_from(due.saturating_duration_since(Instant::now()))).transpose()?;
        match poll(&mut fds, left.as_ref()) {
            Err(rustix::io::Errno::INTR) => continue,
            result => result?,
        };
        let ready: Vec<_> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);
        let (now, mut readies) = (Instant::now(), ready[2..].iter());
        let turn = |one: Connection| {
            let is_ready = !one.events.is_empty() && readies.next() == Some(&true);
            if is_ready || one.due.is_some_and(|due| due <= now) { one.turn(idle) } else { Some(one) }
        };
        all = all.into_iter().filter_map(turn).collect();
        while let Some(Ok((tcp, _))) = listener.as_ref().map(TcpListener::accept) {
            all.push(Connection::new(tcp, idle));
        }
        if ready[0] && signals.read(&mut [0; 8])? > 0 && listener.take().is_some() {
            let error = StreamError::new(Condition::SystemShutdown)?;
            batch.set(BatchOptions::new().total(TOTAL).stream_error(error).on_end(|_, report| println!("{report}")))?;
            for one in mem::take(&mut all) {
                match one.state {
                    State::Open(stream) => {
                        batch.add_stream(stream, &CloseOptions::new(), |stanza| println!("late: {stanza}"))?;
                    }
                    State::Closing(_) => all.push(one), // a close that has begun cannot join a batch
                }
            }
        }
        batch.turn(Duration::ZERO)?;
    }
    Ok(())
}
