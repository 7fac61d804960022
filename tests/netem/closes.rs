//! Many closes at once over a bad link, each with numbered stanzas in flight both ways.

use std::{
    collections::HashMap,
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    ops::Range,
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use socket2::{Domain, Socket, Type};
use xmpp_close::{Batch, BatchOptions, CloseOptions, Report};

use crate::{
    link::{Link, OUR_ADDRESS, PEER_ADDRESS},
    random::Random,
};

pub const STANZAS: usize = 50;
pub const TAG: &str = "</stream:stream>";
const ERROR: &str = "<stream:error><connection-timeout xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>";
/// The closes of a wave begin within this time.
const SPREAD: Duration = Duration::from_millis(200);
/// How long a connection may take, when several packets in a row are lost.
const CONNECT: Duration = Duration::from_secs(60);

/// How long closes may take, and what befalls the link meanwhile.
#[derive(Clone, Copy)]
pub struct Plan {
    pub total: Duration,
    /// How long a peer waits for a byte.
    pub patience: Duration,
    pub cut: Option<Cut>,
}

/// The link goes down.
#[derive(Clone, Copy)]
pub struct Cut {
    /// So long after the closes have begun.
    pub after: Duration,
    /// So long; `None`: for good.
    pub down: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Batch,
    Threads,
    /// A stream error and close(2), as most software does.
    Old,
}

/// One close, as both sides saw it.
pub struct Ending {
    /// `None` for the old way, which has no report.
    pub report: Option<Report>,
    pub late: Vec<usize>,
    pub elapsed: Duration,
    /// Everything that reached the peer.
    pub at_peer: String,
    /// The peer wrote its closing tag before it had read ours.
    pub crosses: bool,
}

fn stanzas(range: Range<usize>) -> String {
    range.map(|n| format!("<message id='{n}'><body>{}</body></message>", "x".repeat(150))).collect()
}

/// Everything that one side has to say.
pub fn everything() -> String {
    stanzas(0..STANZAS) + TAG
}

/// The numbers of all whole stanzas, in the order in which they came.
pub fn numbers(xml: &str) -> Vec<usize> {
    let whole = xml.rsplit_once("</message>").map_or("", |(whole, _)| whole);
    whole.split("<message id='").skip(1).map(|rest| rest.split('\'').next().unwrap().parse().unwrap()).collect()
}

/// Connected pairs, ours first.
pub fn connect(link: &Link, count: usize) -> Vec<(TcpStream, TcpStream)> {
    let listener = link.peer.run(move || listen(count));
    let address = listener.local_addr().unwrap();
    let accepting = thread::spawn(move || {
        let accept = |_| listener.accept().map(|(tcp, from)| (from.port(), tcp)).expect("accept");
        (0..count).map(accept).collect::<HashMap<_, _>>()
    });
    let ours: Vec<_> = link.us.run(move || {
        let connect = |_| thread::spawn(move || TcpStream::connect_timeout(&address, CONNECT).expect("connect"));
        let connecting: Vec<_> = (0..count).map(connect).collect();
        connecting.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut theirs = accepting.join().unwrap();
    let pair = |tcp: TcpStream| {
        let local = tcp.local_addr().unwrap();
        assert_eq!(local.ip(), OUR_ADDRESS);
        let theirs = theirs.remove(&local.port()).unwrap();
        (tcp, theirs)
    };
    ours.into_iter().map(pair).collect()
}

/// A listener whose queue holds so many, and whose accept fails when nobody comes.
fn listen(count: usize) -> TcpListener {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((PEER_ADDRESS, 0)).into()).unwrap();
    socket.listen(count as i32).unwrap();
    socket.set_read_timeout(Some(CONNECT)).unwrap(); // on Linux, of accept(2), too
    socket.into()
}

/// Says what it has to say, every fifth with its closing tag at once, answers our tag, and reads to the end.
fn peer(mut tcp: TcpStream, crosses: bool, begin: Duration) -> String {
    thread::sleep(begin);
    let _ = tcp.write_all(if crosses { everything() } else { stanzas(0..STANZAS) }.as_bytes());
    let (mut got, mut chunk, mut answered) = (Vec::new(), [0; 16384], false);
    while let Ok(count @ 1..) = tcp.read(&mut chunk) {
        got.extend_from_slice(&chunk[..count]);
        if !answered && got.ends_with(TAG.as_bytes()) {
            answered = true;
            let _ = tcp.write_all(if crosses { "" } else { TAG }.as_bytes());
            let _ = tcp.shutdown(Shutdown::Write);
        }
    }
    String::from_utf8(got).unwrap()
}

/// Closes `count` streams at once, every fifth of which the peer closes at the same time.
pub fn wave(link: &Link, way: Way, count: usize, plan: Plan) -> Vec<Ending> {
    link.set_down(false);
    let mut random = Random::new(count as u64);
    let crosses = |number| number % 5 == 0;
    let (mut ours, mut peers) = (Vec::new(), Vec::new());
    for (number, (our, their)) in connect(link, count).into_iter().enumerate() {
        let begin = random.up_to(SPREAD);
        their.set_read_timeout(Some(plan.patience)).unwrap();
        peers.push(thread::spawn(move || peer(their, crosses(number), begin)));
        ours.push((our, begin));
    }
    let ends = thread::scope(|scope| {
        scope.spawn(|| {
            let Some(Cut { after, down }) = plan.cut else { return };
            thread::sleep(after);
            link.set_down(true);
            if let Some(down) = down {
                thread::sleep(down);
                link.set_down(false);
            }
        });
        if way == Way::Batch { by_batch(ours, plan) } else { by_threads(ours, way, plan) }
    });
    let join = |(number, ((report, late, elapsed), peer)): (usize, (OurEnd, JoinHandle<String>))| Ending {
        report,
        late,
        elapsed,
        at_peer: peer.join().unwrap(),
        crosses: crosses(number),
    };
    ends.into_iter().zip(peers).enumerate().map(join).collect()
}

type OurEnd = (Option<Report>, Vec<usize>, Duration);

/// The first half of our stanzas is written before the close begins, the second by it.
const HALF: usize = STANZAS / 2;

fn options(plan: Plan) -> CloseOptions {
    CloseOptions::new().total(plan.total).farewell(stanzas(HALF..STANZAS))
}

fn by_batch(ours: Vec<(TcpStream, Duration)>, plan: Plan) -> Vec<OurEnd> {
    let late: Vec<_> = ours.iter().map(|_| Arc::new(Mutex::new(Vec::new()))).collect();
    let mut batch = Batch::new().unwrap();
    for ((mut tcp, _), late) in ours.into_iter().zip(late.clone()) {
        tcp.write_all(stanzas(0..HALF).as_bytes()).unwrap();
        let collect = move |stanza: xmpp_close::Stanza<&str>| late.lock().unwrap().extend(numbers(stanza.as_str()));
        batch.add(tcp, &options(plan), collect).unwrap();
    }
    let start = Instant::now();
    let done = batch.run(BatchOptions::new().total(plan.total).spread(SPREAD)).unwrap();
    let elapsed = start.elapsed();
    let late = late.iter().map(|late| late.lock().unwrap().clone());
    done.reports.into_iter().zip(late).map(|(report, late)| (Some(report), late, elapsed)).collect()
}

fn by_threads(ours: Vec<(TcpStream, Duration)>, way: Way, plan: Plan) -> Vec<OurEnd> {
    let close = move |mut tcp: TcpStream| {
        if way == Way::Old {
            let _ = tcp.write_all((stanzas(0..STANZAS) + ERROR + TAG).as_bytes());
            return (None, Vec::new());
        }
        tcp.write_all(stanzas(0..HALF).as_bytes()).unwrap();
        let mut closing = options(plan).begin(tcp).unwrap();
        let late = (&mut closing).flat_map(|stanza| numbers(stanza.as_str())).collect();
        (Some(closing.finish()), late)
    };
    let threads = ours.into_iter().map(|(tcp, begin)| {
        thread::spawn(move || {
            thread::sleep(begin);
            let start = Instant::now();
            let (report, late) = close(tcp);
            (report, late, start.elapsed())
        })
    });
    threads.collect::<Vec<_>>().into_iter().map(|thread| thread.join().unwrap()).collect()
}
