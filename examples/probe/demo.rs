//! One situation that ends twice: once by the handshake, and once the way most software does it.

use std::{
    io,
    net::TcpStream,
    time::{Duration, Instant},
};

use socket2::{Domain, SockAddr, Socket, Type};
use xmpp_close::{CloseOptions, Error, Incoming, Report, Stream, Transport};

use crate::{
    embedded::{self, PEER_MESSAGES, Peer},
    recorder::Recorder,
    timeline::{Entry, Timeline},
};

/// How long our side finds the stream idle before it closes.
pub const IDLE: Duration = Duration::from_millis(300);
/// What we still have to say when we close.
pub const OUR_MESSAGES: u64 = 200;

/// Messages of one direction.
#[derive(Clone, Copy, Debug)]
pub struct Tally {
    pub meant: u64,
    pub arrived: u64,
    /// The sender was told that all is well: its send() succeeded.
    pub taken: u64,
}

impl Tally {
    pub fn lost(self) -> u64 {
        self.meant - self.arrived
    }
}

/// One of the two endings.
pub struct Ending {
    pub timeline: Vec<Entry>,
    /// The old way has no report.
    pub report: Option<Report>,
    pub to_us: Tally,
    pub to_peer: Tally,
    /// How the stream ended for the peer, in words.
    pub peer_saw: String,
    pub took: Duration,
}

/// Sends what we still have to say, then waits for the peer's tag, and handles what comes until then.
pub fn by_handshake() -> Result<Ending, Error> {
    play(|mut stream, behind_its_back| {
        drop(behind_its_back); // not needed here
        stream.send(last_words())?;
        let mut closing = stream.begin(&CloseOptions::new())?;
        let mut arrived = 0;
        for stanza in &mut closing {
            arrived += u64::from(embedded::number(stanza.as_bytes()) == Some(arrived));
        }
        Ok((arrived, Some(closing.finish())))
    })
}

/// Sends the same, then a stream error and the tag, and closes the socket.
pub fn the_old_way() -> Result<Ending, Error> {
    play(|mut stream, mut behind_its_back| {
        stream.send(last_words())?;
        drop(stream); // the library has no call for this
        let error = b"<stream:error><connection-timeout xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>\
                      </stream:stream>";
        behind_its_back.try_write(error)?;
        behind_its_back.close_at_once()?;
        Ok((0, None))
    })
}

type Recorded = Recorder<TcpStream>;

/// Opens a stream to the embedded peer, lets it idle, has the peer write to us, and ends it.
fn play(end: impl FnOnce(Stream<Recorded>, Recorded) -> Result<(u64, Option<Report>), Error>) -> Result<Ending, Error> {
    let timeline = Timeline::new(false);
    let peer = Peer::start(timeline.clone())?;
    let tcp = connect(&peer)?;
    let behind_its_back = Recorder::new(tcp.try_clone()?, timeline.clone());
    let mut stream = Stream::new(Recorder::new(tcp, timeline.clone()));
    stream.send(
        "<?xml version='1.0'?><stream:stream to='capulet.example' version='1.0' xmlns='jabber:client' \
         xmlns:stream='http://etherx.jabber.org/streams'>",
    )?;
    stream.idle_after(Some(IDLE));
    while !matches!(stream.receive()?, Incoming::Idle) {}
    // The idle timer has fired, and at this moment messages are on their way to us. On the internet that happens sooner
    // or later; here this line makes it happen.
    peer.send_all()?;
    let began = Instant::now();
    let (arrived, report) = end(stream, behind_its_back)?;
    let took = began.elapsed();
    let account = peer.account()?;
    Ok(Ending {
        timeline: timeline.entries(),
        report,
        to_us: Tally { meant: PEER_MESSAGES, arrived, taken: account.sent },
        to_peer: Tally { meant: OUR_MESSAGES, arrived: account.got, taken: OUR_MESSAGES },
        peer_saw: account.end,
        took,
    })
}

fn connect(peer: &Peer) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_recv_buffer_size(embedded::RECEIVE_BUFFER)?;
    socket.set_send_buffer_size(embedded::SEND_BUFFER)?;
    socket.connect(&SockAddr::from(peer.address))?;
    Ok(socket.into())
}

fn last_words() -> String {
    let message = |id| {
        format!(
            "<message to='juliet@capulet.example' type='chat' id='{id}'>\
             <body>Parting is such sweet sorrow.</body></message>"
        )
    };
    (0..OUR_MESSAGES).map(message).collect()
}
