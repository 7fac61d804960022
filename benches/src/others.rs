//! What it costs to close the stream of a session, beside other libraries, on a server that none of them knows: Prosody.

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
    plot,
    prosody::Prosody,
    sampler::{Contender, Samples, interleave, process_time},
    table::{Bars, Table, figure},
};

/// With one session of each in turn.
const ROUNDS: usize = 200;

/// Whose sessions are closed.
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
    /// Of all threads.
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

/// Its name, and what its close waits for and tells.
const LIBRARIES: [(&str, &str); 4] = [
    ("xmpp-close", "for the peer's tag, processing what comes before it, and for its end of TCP; tells a report"),
    ("tokio-xmpp", "for the peer's tag, 10 s at most, after SHUT_WR; what comes before it is dropped; tells nothing"),
    ("libstrophe", "for the peer's tag, 2 s at most, while handlers go on; tells the same either way"),
    ("slixmpp", "for the end of TCP, 2 s at most, while handlers go on; tells the same either way"),
];

pub fn run() -> Section {
    let prosody = Prosody::start();
    let account = Account { server: prosody.addr, user: ACCOUNTS[0], password: PASSWORD };
    let [wall, cpu] = [Clock::Wall, Clock::Cpu].map(|clock| measure(&account, clock));
    let mut bars = Bars::new();
    for (what, samples) in [("time to the outcome", &wall), ("CPU time", &cpu)] {
        for ((name, _), theirs) in LIBRARIES.iter().zip(samples).skip(1) {
            let times = theirs.median() / samples[0].median();
            bars.at_least(&format!("{name}: {what}, in closes of ours"), 1.0, times, "×");
        }
    }
    let mut table = Table::new(&["", "time, µs", "× ours", "CPU time, µs", "× ours", "its close waits"]);
    for (number, (name, waits)) in LIBRARIES.iter().enumerate() {
        let cell = |samples: &[Samples]| {
            let (median, spread) = (samples[number].median(), samples[number].spread());
            [format!("{} ± {spread:.0} %", figure(median * 1e6)), figure(median / samples[0].median())]
        };
        let ([time, times], [busy, shares]) = (cell(&wall), cell(&cpu));
        table.row(&[(*name).to_owned(), time, times, busy, shares, (*waits).to_owned()]);
    }
    let text = format!("{}{}![Time of a close](performance/others.svg)\n", bars.finish(), table.finish());
    let values: Vec<_> =
        LIBRARIES.iter().zip(&wall).map(|(library, time)| (library.0.to_owned(), time.median() * 1e6)).collect();
    let plots = vec![("others.svg", plot::bars("A close of a session with Prosody", "µs", &values))];
    Section { title: "Other libraries", text, plots }
}

fn measure(account: &Account, clock: Clock) -> Vec<Samples> {
    let runtime = tokio_xmpp::runtime();
    let mut python = slixmpp::Python::start(account);
    let contenders = vec![
        Contender::fixed(1, || ours(account, clock)),
        Contender::fixed(1, || tokio_xmpp::close(&runtime, account, clock)),
        Contender::fixed(1, || strophe::close(account, clock)),
        Contender::fixed(1, || python.close(clock)),
    ];
    interleave(contenders, ROUNDS)
}

fn ours(account: &Account, clock: Clock) -> Duration {
    let tcp = TcpStream::connect(account.server).unwrap();
    let session = login(tcp, DOMAIN, account.user, account.password, PATIENCE).unwrap();
    clock.time(|| assert!(session.stream.close(&CloseOptions::new()).unwrap().is_clean()))
}
