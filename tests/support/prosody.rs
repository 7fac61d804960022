//! A private Prosody from Debian's package.
#![allow(dead_code, reason = "each test program uses its part")]

use std::{net::SocketAddr, process::Command, sync::MutexGuard};

use crate::daemon::{ACCOUNTS, COMPONENT, DOMAIN, Daemon, Home, PASSWORD, free_addresses, require, run, turn};

/// A running Prosody. It ends with this value, and with the thread that started it, however that ends.
pub struct Prosody {
    daemon: Daemon,
    pub home: Home,
    pub addr: SocketAddr,
    pub component: SocketAddr,
    pub s2s: SocketAddr,
    turn: Option<MutexGuard<'static, ()>>,
}

impl Prosody {
    /// Starts one with the accounts alice, bob and carol, and waits until it listens.
    pub fn start() -> Self {
        require(&[("prosody", "prosody"), ("prosodyctl", "prosody")]);
        let turn = turn();
        loop {
            if let Some(mut prosody) = Self::try_start() {
                prosody.turn = Some(turn);
                return prosody;
            }
        }
    }

    /// `None` when another program has taken a port between our probe and Prosody's bind(2).
    fn try_start() -> Option<Self> {
        let home = Home::new();
        home.make_certificate();
        for account in ACCOUNTS {
            let file = format!("data/{DOMAIN}/accounts/{account}.dat");
            home.write(&file, format!("return {{ password = \"{PASSWORD}\" }}\n"));
        }
        home.write("modules/mod_idle_limit.lua", IDLE_LIMIT_MODULE);
        let [addr, component, s2s] = free_addresses();
        home.write("prosody.cfg.lua", configuration(&home, addr, component, s2s));
        let daemon = launch(&home);
        let mut prosody = Self { daemon, home, addr, component, s2s, turn: None };
        prosody.wait_until_it_listens().then_some(prosody)
    }

    /// False when it cannot have its ports.
    fn wait_until_it_listens(&mut self) -> bool {
        let ports = [("c2s", self.addr), ("component", self.component), ("s2s", self.s2s)];
        let lines =
            ports.map(|(service, addr)| format!("Activated service '{service}' on [{}]:{}", addr.ip(), addr.port()));
        self.wait_for("Prosody to listen", |log| {
            let up = lines.iter().all(|line| log.contains(line));
            (up || log.contains("this port is in use")).then_some(up)
        })
    }

    /// Waits until Prosody knows of exactly so many clients, and has done with the others' messages what it does
    /// (offline storage, bounces).
    pub fn wait_for_clients(&mut self, count: usize) {
        self.wait_for("Prosody to notice that a client has gone", |log| {
            let connected = log.matches("Client connected").count();
            (connected == count + log.matches("Client disconnected").count()).then_some(())
        });
    }

    /// Closes the stream of an account's only client from the server's side, without a stream error.
    pub fn close_stream_of(&self, account: &str) {
        self.shell(&format!("c2s:close('{account}@{DOMAIN}')"));
    }

    /// The same with a stream error.
    pub fn close_stream_with_error(&self, account: &str, condition: &str) {
        self.shell(&format!("c2s:close('{account}@{DOMAIN}', 'kicked', '{condition}')"));
    }

    fn shell(&self, command: &str) {
        let mut prosodyctl = Command::new("prosodyctl");
        prosodyctl.args(["--root", "--config"]).arg(self.home.join("prosody.cfg.lua")).args(["shell", command]);
        let said = run(&mut prosodyctl);
        assert!(said.contains("Total: 1 session"), "prosodyctl said: {said}");
    }

    /// Asks it to shut down, as an init system does.
    pub fn terminate(&self) {
        self.daemon.terminate();
    }

    /// Starts it again, with what it has stored, once it has shut down.
    pub fn restart(&mut self) {
        self.daemon.wait_for_end();
        std::fs::remove_file(self.home.join("prosody.log")).unwrap();
        self.daemon = launch(&self.home);
        assert!(self.wait_until_it_listens(), "another program has taken a port of Prosody's");
    }

    fn wait_for<T>(&mut self, what: &str, mut done: impl FnMut(&str) -> Option<T>) -> T {
        let Self { daemon, home, .. } = self;
        home.wait_for(what, &mut [daemon], || done(&home.read("prosody.log")))
    }
}

fn launch(home: &Home) -> Daemon {
    Daemon::start(home, "prosody", Command::new("prosody").args(["-F", "--config"]).arg(home.join("prosody.cfg.lua")))
}

/// What Prosody announces to clients, in seconds (XEP-0478).
pub const IDLE_LIMIT: u64 = 840;
/// Prosody does so by itself since 13.0, with the same number.
const IDLE_LIMIT_MODULE: &str = r#"
module:hook("stream-features", function (event)
	event.features:tag("limits", { xmlns = "urn:xmpp:stream-limits:0" }):text_tag("idle-seconds", "840"):up();
end);
"#;

/// TLS is offered but not required, and plain passwords are enough: it is reached over loopback only, and what is
/// measured is the stream's end.
fn configuration(home: &Home, c2s: SocketAddr, component: SocketAddr, s2s: SocketAddr) -> String {
    let dir = home.path().display();
    let [c2s, component, s2s] = [c2s, component, s2s].map(|addr| addr.port());
    format!(
        r#"run_as_root = true
pidfile = "{dir}/pid"
data_path = "{dir}/data"
admin_socket = "{dir}/admin"
log = {{ {{ levels = {{ min = "info" }}, to = "file", filename = "{dir}/prosody.log" }} }}
interfaces = {{ "127.0.0.1" }}
local_interfaces = {{ "127.0.0.1" }}
use_ipv6 = false
c2s_ports = {{ {c2s} }}
s2s_ports = {{ {s2s} }}
component_ports = {{ {component} }}
c2s_direct_tls_ports = {{}}
s2s_direct_tls_ports = {{}}
legacy_ssl_ports = {{}}
ssl = {{ certificate = "{dir}/cert.pem"; key = "{dir}/key.pem" }}
c2s_require_encryption = false
s2s_require_encryption = false
allow_unencrypted_plain_auth = true
authentication = "internal_plain"
storage = "internal"
plugin_paths = {{ "{dir}/modules" }}
modules_enabled = {{ "roster", "saslauth", "tls", "dialback", "disco", "ping", "smacks", "idle_limit", "admin_shell" }}
VirtualHost "{DOMAIN}"
Component "{COMPONENT}"
	component_secret = "{PASSWORD}"
"#
    )
}
