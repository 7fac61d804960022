//! tokio-xmpp. The thread that is timed runs all of its tasks.

use std::time::Duration;

use ::tokio_xmpp::{Client, Event, connect::DnsConfig, jid::Jid, xmlstream::Timeouts};
use futures::StreamExt;
use tokio::runtime::{Builder, Runtime};

use super::{Account, Clock};

pub fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

pub fn close(runtime: &Runtime, account: &Account, clock: Clock) -> Duration {
    runtime.block_on(async {
        let server = DnsConfig::addr(&account.server.to_string());
        let jid = Jid::new(&account.jid()).unwrap();
        let mut client = Client::new_plaintext(jid, account.password, server, Timeouts::default());
        let event = client.next().await;
        assert!(matches!(event, Some(Event::Online { .. })), "no session: {event:?}");
        let elapsed = clock.start();
        client.send_end().await.unwrap();
        elapsed()
    })
}
