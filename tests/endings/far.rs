//! The other end of a row's wire.

use std::{net::Shutdown, sync::mpsc::Receiver};

use crate::{
    peer::{Peer, TAG},
    toy_tls::CLOSE_NOTIFY,
};

pub struct Far {
    pub peer: Peer,
    pub tls: bool,
    /// Ends when our side has closed its socket.
    pub over: Receiver<()>,
}

impl Far {
    /// Reads until our tag has come; behind it nothing but our `close_notify` may be.
    pub fn read_tag(&mut self) -> &mut Self {
        let ends = [TAG.to_owned(), TAG.to_owned() + CLOSE_NOTIFY];
        self.peer.read_while(TAG, |got| !ends.iter().any(|end| got.ends_with(end.as_bytes())));
        self
    }

    /// Reads until our `close_notify` has come.
    pub fn read_notify(&mut self) -> &mut Self {
        self.peer.read_until(CLOSE_NOTIFY);
        self
    }

    /// What came in front of our tag ends in this.
    pub fn got(&mut self, last: &str) -> &mut Self {
        let text = self.peer.text();
        assert!(text.split(TAG).next().unwrap().ends_with(last), "{text:?}");
        self
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.peer.send(bytes);
        self
    }

    /// Sends `close_notify`, if this is TLS.
    pub fn notify(&mut self) -> &mut Self {
        if self.tls { self.send(CLOSE_NOTIFY) } else { self }
    }

    /// Ends TCP's output, and reads on.
    pub fn half_close(&mut self) -> &mut Self {
        self.peer.tcp.shutdown(Shutdown::Write).unwrap();
        self
    }

    /// Our tag came once, and behind it nothing but an orderly end.
    pub fn expect_end(&mut self) -> &mut Self {
        self.peer.rest().unwrap();
        let text = self.peer.text();
        let end = if self.tls { CLOSE_NOTIFY } else { "" };
        assert!(self.peer.tags() == 1 && text.ends_with(&[TAG, end].concat()), "{text:?}");
        self
    }

    /// Does nothing until our side has closed its socket.
    pub fn hold(&mut self) {
        let _ = self.over.recv();
    }

    /// TCP will end with a RST.
    pub fn reset(&mut self) {
        self.peer.reset_at_drop();
    }
}
