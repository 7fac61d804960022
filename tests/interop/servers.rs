//! What the suite must be able to do with a server.

use std::{net::SocketAddr, path::PathBuf, process::Command};

use crate::{daemon::run, prosody::Prosody};

pub trait Server {
    /// The name of its Debian package.
    fn package(&self) -> &'static str;

    /// Where clients connect to, in plaintext or by STARTTLS.
    fn c2s(&self) -> SocketAddr;

    /// Where external components connect to (XEP-0114).
    fn component(&self) -> SocketAddr;

    /// Where other servers connect to.
    fn s2s(&self) -> SocketAddr;

    /// The server's own certificate, in PEM.
    #[cfg_attr(not(feature = "rustls"), allow(dead_code))]
    fn certificate(&self) -> PathBuf;

    /// Waits until it knows of exactly so many bound clients.
    fn wait_for_clients(&mut self, count: usize);

    /// Has an administrator end the stream of an account; false when this server has no such command.
    fn kick(&mut self, account: &str) -> bool;

    /// Kicks with a stream error, where the server lets its administrator choose.
    fn kick_with_error(&mut self, account: &str) -> bool {
        let _ = account;
        false
    }

    /// Configures it anew, while nobody is connected, to end the streams of clients that are silent for some seconds;
    /// false when this server has no such setting.
    fn end_silent_streams(&mut self) -> bool {
        false
    }

    /// Asks what the clients are connected to to shut down, as an init system does.
    fn terminate(&mut self);

    /// Once that has ended, starts it again with all that was stored.
    fn restart(&mut self);

    fn version(&self) -> String {
        run(Command::new("dpkg-query").args(["-W", "-f", "${Version}", self.package()]))
    }
}

impl Server for Prosody {
    fn package(&self) -> &'static str {
        "prosody"
    }

    fn c2s(&self) -> SocketAddr {
        self.addr
    }

    fn component(&self) -> SocketAddr {
        self.component
    }

    fn s2s(&self) -> SocketAddr {
        self.s2s
    }

    fn certificate(&self) -> PathBuf {
        self.home.join("cert.pem")
    }

    fn wait_for_clients(&mut self, count: usize) {
        Prosody::wait_for_clients(self, count);
    }

    fn kick(&mut self, account: &str) -> bool {
        self.close_stream_of(account);
        true
    }

    fn kick_with_error(&mut self, account: &str) -> bool {
        self.close_stream_with_error(account, "policy-violation");
        true
    }

    fn terminate(&mut self) {
        Prosody::terminate(self);
    }

    fn restart(&mut self) {
        Prosody::restart(self);
    }
}
