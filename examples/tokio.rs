//! Ends a stream with HOST:PORT inside async code: `cargo run --example tokio localhost:5222`
use std::{env, error::Error, io, net::TcpStream, time::Instant};

use tokio::{io::unix::AsyncFd, select, task::yield_now, time::sleep_until};
use xmpp_close::{CloseOptions, Closing, Report, Stanza, Step, Stream};

/// Waits until a close is over, while other tasks go on.
async fn finish(closing: Closing<TcpStream>, late: impl Fn(Stanza)) -> io::Result<Report> {
    #[allow(unsafe_code)]
    // SAFETY: a `Closing` owns its socket, and keeps it open as long as it lives.
    let mut closing = unsafe { AsyncFd::register(closing) }?;
    loop {
        match closing.get_mut().step() {
            Step::Stanza(stanza) => late(stanza),
            Step::Over(report) => return Ok(report),
            // There is more to do, but the other tasks have their turn first.
            Step::Wait(wait) if wait.deadline.is_some_and(|deadline| deadline <= Instant::now()) => yield_now().await,
            Step::Wait(wait) => select! {
                // A step reads and writes until it would block, so the readiness can be cleared; the next step follows.
                ready = closing.readable(), if wait.read => ready?.clear_ready(),
                ready = closing.writable(), if wait.write => ready?.clear_ready(),
                () = sleep_until(wait.deadline.unwrap_or_else(Instant::now).into()) => {}
            },
            _ => {}
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = env::args().nth(1).ok_or("usage: tokio HOST:PORT")?;
    let mut stream = Stream::new(tokio::net::TcpStream::connect(address).await?.into_std()?);
    stream.send("<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>")?;
    let closing = stream.begin(&CloseOptions::new())?;
    println!("{}", finish(closing, |stanza| println!("late: {stanza}")).await?);
    Ok(())
}
