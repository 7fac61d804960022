//! What it costs to close the stream of a session, beside other libraries. The server, Prosody, is made by none of
//! them.

mod slixmpp;
mod strophe;
mod tokio_xmpp;

use std::{
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use xmpp_close::CloseOptions;

use crate::{
    daemon::{ACCOUNTS, DOMAIN, PASSWORD, PATIENCE},
    login::login,
    page::Section,
    prosody::Prosody,
    sampler::{Contender, Samples, interleave, process_time},
    table::{Bars, Table},
};

/// How many rounds there are, with one session of each library in turn.
const ROUNDS: usize = 300;

/// The account whose sessions are closed.
pub struct Account {
    server: SocketAddr,
    user: &'static str,
    password: &'static str,
}

impl Account {
    fn jid(&self) -> String {
        format!("{}@{DOMAIN}", self.user)
    }
}

/// What is timed: until the close has returned, or said that it is over.
#[derive(Clone, Copy)]
pub enum Clock {
    Wall,
    /// The CPU time of all threads.
    Cpu,
}

impl Clock {
    fn start(self) -> impl FnOnce() -> Duration {
        let (wall, cpu) = (Instant::now(), process_time());
        move || match self {
            Self::Wall => wall.elapsed(),
            Self::Cpu => process_time() - cpu,
        }
    }

    fn time(self, work: impl FnOnce()) -> Duration {
        let elapsed = self.start();
        work();
        elapsed()
    }
}

/// The name of a library; what its close waits for, what becomes of the stanzas that come meanwhile, and what it
/// reports.
const LIBRARIES: [(&str, [&str; 3]); 5] = [
    ("xmpp-close", ["the peer's tag, at most 30 s; its end of TCP, 2 s", "handed over", "a report"]),
    ("xmpp-close, linger 0", ["the same without the end of TCP", "handed over", "a report"]),
    ("tokio-xmpp", ["the peer's tag and end of TCP, 10 s; ends its own half at once", "dropped", "nothing"]),
    ("libstrophe", ["the peer's tag, 2 s", "handed over", "that it is over"]),
    ("slixmpp", ["the peer's tag, 2 s", "handed over", "that it is over"]),
];
/// Pairs of another library, and the one of ours that waits for as much.
const PAIRS: [(usize, usize); 3] = [(2, 0), (3, 1), (4, 1)];

pub fn run() -> Section {
    let prosody = Prosody::start();
    let account = Account { server: prosody.addr, user: ACCOUNTS[0], password: PASSWORD };
    let [wall, cpu] = [Clock::Wall, Clock::Cpu].map(|clock| measure(&account, clock));
    let mut bars = Bars::new();
    for (what, samples) in [("time", &wall), ("CPU time", &cpu)] {
        for (theirs, ours) in PAIRS {
            let times = samples[theirs].median() / samples[ours].median();
            let [theirs, ours] = [theirs, ours].map(|number| LIBRARIES[number].0);
            bars.at_least(&format!("{theirs}, beside {ours}: {what}"), 1.0, times, "×");
        }
    }
    let mut table = Table::new(&[
        "",
        "time, µs",
        "× the first",
        "CPU time, µs",
        "× the first",
        "waits for",
        "late stanzas",
        "tells",
    ]);
    for (number, (name, words)) in LIBRARIES.iter().enumerate() {
        let ([time, times], [busy, shares]) = (wall[number].beside(&wall[0]), cpu[number].beside(&cpu[0]));
        table.row(&[&[*name, &time, &times, &busy, &shares][..], words].concat());
    }
    let text = format!(
        "Each library closes the stream of a session with Prosody through its public interface: over loopback, without TLS, behind SASL
PLAIN, and with nothing in flight. The time is from that call until the library says that the close is over, the CPU time is that of
the library's whole process; {ROUNDS} sessions of each.

Each library is held against the xmpp-close that waits for as much as it does. With its defaults xmpp-close also waits for the
peer's end of TCP. libstrophe does not, so it is over sooner than that and needs less, as the table shows. tokio-xmpp ends TCP right
behind its tag, and Prosody then ends TCP as well, without a tag.

{}{}![Time of a close](performance/others.svg)
",
        bars.finish(),
        table.finish()
    );
    Section { title: "Other libraries", text }
}

fn measure(account: &Account, clock: Clock) -> Vec<Samples> {
    let runtime = tokio_xmpp::runtime();
    let mut python = slixmpp::Python::start(account);
    let contenders = vec![
        Contender::fixed(1, || ours(account, clock, &CloseOptions::new())),
        Contender::fixed(1, || ours(account, clock, &CloseOptions::new().linger(Duration::ZERO))),
        Contender::fixed(1, || tokio_xmpp::close(&runtime, account, clock)),
        Contender::fixed(1, || strophe::close(account, clock)),
        Contender::fixed(1, || python.close(clock)),
    ];
    interleave(contenders, ROUNDS)
}

fn ours(account: &Account, clock: Clock, options: &CloseOptions) -> Duration {
    let tcp = TcpStream::connect(account.server).unwrap();
    let session = login(tcp, DOMAIN, account.user, account.password, PATIENCE).unwrap();
    clock.time(|| assert!(session.stream.close(options).unwrap().is_clean()))
}
