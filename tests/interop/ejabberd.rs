//! A private ejabberd from Debian's package: a node without distribution, so that it needs no epmd.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::Command,
    sync::MutexGuard,
};

use crate::{
    daemon::{ACCOUNTS, COMPONENT, DOMAIN, Daemon, Home, PASSWORD, PATIENCE, free_addresses, libraries, require, turn},
    servers::Server,
};

pub struct Ejabberd {
    daemon: Daemon,
    home: Home,
    /// c2s, component, s2s, and the administrator's commands over HTTP.
    addrs: [SocketAddr; 4],
    turn: Option<MutexGuard<'static, ()>>,
}

const LISTENERS: [&str; 4] = ["ejabberd_c2s", "ejabberd_service", "ejabberd_s2s_in", "ejabberd_http"];

/// In the configuration: the server asks no client for a sign of life.
const NO_PINGS: &str = "  mod_ping: {}\n";

impl Ejabberd {
    /// Starts one with the accounts alice, bob and carol, and waits until it listens.
    pub fn start() -> Self {
        require(&[("ejabberdctl", "ejabberd"), ("erl", "erlang-base")]);
        let turn = turn();
        loop {
            if let Some(mut ejabberd) = Self::try_start() {
                ejabberd.turn = Some(turn);
                for account in ACCOUNTS {
                    let user = format!(r#"{{"user":"{account}","host":"{DOMAIN}","password":"{PASSWORD}"}}"#);
                    ejabberd.command("register", &user);
                }
                return ejabberd;
            }
        }
    }

    /// `None` when another program has taken a port between our probe and ejabberd's bind(2).
    fn try_start() -> Option<Self> {
        let home = Home::new();
        home.make_certificate();
        let addrs = free_addresses();
        home.write("ejabberd.yml", configuration(&home, addrs));
        home.write(
            "inetrc",
            format!("{{lookup,[file]}}.\n{{resolv_conf,\"\"}}.\n{{host,{{127,0,0,1}},[\"{DOMAIN}\"]}}.\n"),
        );
        let daemon = launch(&home);
        let mut ejabberd = Self { daemon, home, addrs, turn: None };
        ejabberd.wait_until_it_listens().then_some(ejabberd)
    }

    /// False when it cannot have its ports.
    fn wait_until_it_listens(&mut self) -> bool {
        let Self { daemon, home, addrs, .. } = self;
        let line = |(addr, listener)| format!("Start accepting TCP connections at {addr} for {listener}");
        let lines: Vec<_> = addrs.iter().zip(LISTENERS).map(line).collect();
        home.wait_for("ejabberd to listen", &mut [daemon], || {
            let log = home.read("ejabberd.log");
            let up = lines.iter().all(|line| log.contains(line));
            (up || log.contains("address already in use")).then_some(up)
        })
    }

    /// Gives one of the administrator's commands, and returns the number in the answer: `{"num_sessions":2}`.
    fn count(&self, command: &str, arguments: &str) -> usize {
        let answer = self.command(command, arguments);
        let digits: String = answer.chars().filter(char::is_ascii_digit).collect();
        digits.parse().unwrap_or_else(|_| panic!("{command}: {answer}"))
    }

    fn command(&self, name: &str, arguments: &str) -> String {
        let mut http = TcpStream::connect(self.addrs[3]).unwrap();
        http.set_read_timeout(Some(PATIENCE)).unwrap();
        let length = arguments.len();
        let headers = format!("Host: {DOMAIN}\r\nContent-Type: application/json\r\nContent-Length: {length}");
        let request = format!("POST /api/{name} HTTP/1.1\r\n{headers}\r\nConnection: close\r\n\r\n{arguments}");
        http.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        http.read_to_string(&mut answer).unwrap();
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.trim().to_owned());
        assert!(answer.starts_with("HTTP/1.1 200"), "{name} {arguments}: {answer}");
        body.unwrap()
    }
}

impl Server for Ejabberd {
    fn package(&self) -> &'static str {
        "ejabberd"
    }

    fn c2s(&self) -> SocketAddr {
        self.addrs[0]
    }

    fn component(&self) -> SocketAddr {
        self.addrs[1]
    }

    fn s2s(&self) -> SocketAddr {
        self.addrs[2]
    }

    fn certificate(&self) -> PathBuf {
        self.home.join("cert.pem")
    }

    fn wait_for_clients(&mut self, count: usize) {
        self.home.wait_for("ejabberd to notice that a client has gone", &mut [], || {
            (self.count("connected_users_number", "{}") == count).then_some(())
        });
    }

    fn kick(&mut self, account: &str) -> bool {
        let kicked = self.count("kick_user", &format!(r#"{{"user":"{account}","host":"{DOMAIN}"}}"#));
        assert_eq!(kicked, 1, "sessions of {account}");
        true
    }

    fn end_silent_streams(&mut self) -> bool {
        let limits = "{send_pings: true, ping_interval: 2 s, ping_ack_timeout: 1 s, timeout_action: kill}";
        let configuration = self.home.read("ejabberd.yml");
        self.home.write("ejabberd.yml", configuration.replace(NO_PINGS, &format!("  mod_ping: {limits}\n")));
        self.command("reload_config", "{}");
        true
    }

    fn terminate(&mut self) {
        self.daemon.terminate();
    }

    fn restart(&mut self) {
        self.daemon.wait_for_end();
        fs::remove_file(self.home.join("ejabberd.log")).unwrap();
        self.daemon = launch(&self.home);
        assert!(self.wait_until_it_listens(), "another program has taken a port of ejabberd's");
    }
}

fn launch(home: &Home) -> Daemon {
    let mut erl = Command::new("erl");
    erl.args(["-noinput", "+K", "true", "-mnesia", "dir", &format!("\"{}\"", home.join("db").display())]);
    erl.args(["-s", "ejabberd"]).env("HOME", home.path()).env("ERL_LIBS", libraries());
    erl.env("EJABBERD_CONFIG_PATH", home.join("ejabberd.yml")).env("EJABBERD_LOG_PATH", home.join("ejabberd.log"));
    erl.env("ERL_CRASH_DUMP", home.join("crash")).env("ERL_INETRC", home.join("inetrc"));
    Daemon::start(home, "erl", &mut erl)
}

/// TLS is offered but not required, and nothing is limited: what is measured is the stream's end.
fn configuration(home: &Home, addrs: [SocketAddr; 4]) -> String {
    let dir = home.path().display();
    let listen = |i: usize, more: &str| {
        let (port, listener) = (addrs[i].port(), LISTENERS[i]);
        format!("  - {{port: {port}, ip: \"127.0.0.1\", module: {listener}, {more}}}\n")
    };
    let listeners = [
        listen(0, "max_stanza_size: 262144, shaper: none, access: all, starttls: true, starttls_required: false"),
        listen(1, &format!("access: all, hosts: {{{COMPONENT}: {{password: \"{PASSWORD}\"}}}}")),
        listen(2, "max_stanza_size: 262144"),
        listen(3, "request_handlers: {/api: mod_http_api}"),
    ];
    format!(
        r#"hosts: [{DOMAIN}]
loglevel: info
certfiles: ["{dir}/both.pem"]
auth_method: [internal]
auth_password_format: plain
negotiation_timeout: 120 s
s2s_use_starttls: false
acme: {{auto: false}}
listen:
{}acl: {{loopback: {{ip: [127.0.0.0/8]}}}}
api_permissions: {{local: {{from: [mod_http_api], who: {{ip: 127.0.0.1/8}}, what: "*"}}}}
shaper_rules: {{max_user_offline_messages: {{1000000: all}}, max_user_sessions: 10}}
modules:
  mod_admin_extra: {{}}
  mod_disco: {{}}
  mod_offline: {{access_max_user_messages: max_user_offline_messages}}
  mod_roster: {{}}
{NO_PINGS}  mod_s2s_dialback: {{}}
  mod_stream_mgmt: {{}}
"#,
        listeners.concat()
    )
}
