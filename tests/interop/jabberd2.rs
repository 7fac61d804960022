//! A private jabberd2 from Debian's package: router, session manager, s2s and c2s as ordinary processes.

use std::{net::SocketAddr, path::PathBuf, process::Command, sync::MutexGuard};

use crate::{
    daemon::{ACCOUNTS, DOMAIN, Daemon, Home, PASSWORD, free_addresses, libraries, require, run, turn},
    servers::Server,
};

const SCHEMA: &str = "/usr/share/doc/jabberd2/db-setup.sqlite.gz";
const SESSION_MANAGER: &str = "/etc/jabberd2/sm.xml";

/// In c2s's configuration: silent clients may stay.
const NO_CHECKS: &str = "<interval>0</interval><idle>0</idle>";

pub struct Jabberd2 {
    c2s: Daemon,
    others: [Daemon; 3],
    home: Home,
    /// c2s, router, s2s.
    addrs: [SocketAddr; 3],
    turn: Option<MutexGuard<'static, ()>>,
}

impl Jabberd2 {
    /// Starts one with the accounts alice, bob and carol, and waits until it listens.
    pub fn start() -> Self {
        require(&[("jabberd2-c2s", "jabberd2"), ("sqlite3", "sqlite3"), ("zcat", "gzip")]);
        let turn = turn();
        loop {
            if let Some(mut jabberd2) = Self::try_start() {
                jabberd2.turn = Some(turn);
                return jabberd2;
            }
        }
    }

    /// `None` when another program has taken a port between our probe and jabberd2's bind(2).
    fn try_start() -> Option<Self> {
        let home = Home::new();
        home.make_certificate();
        make_database(&home);
        let addrs = free_addresses();
        configure(&home, addrs);
        let mut router = launch(&home, "router");
        if !listens(&home, "router", &mut router, addrs[1]) {
            return None;
        }
        let mut sm = launch(&home, "sm");
        home.wait_for("jabberd2's session manager", &mut [&mut sm], || {
            home.read("sm.log").contains("ready for sessions").then_some(())
        });
        let mut s2s = launch(&home, "s2s");
        let mut c2s = launch(&home, "c2s");
        let up = listens(&home, "s2s", &mut s2s, addrs[2]) && listens(&home, "c2s", &mut c2s, addrs[0]);
        up.then_some(Self { c2s, others: [s2s, sm, router], home, addrs, turn: None })
    }
}

impl Server for Jabberd2 {
    fn package(&self) -> &'static str {
        "jabberd2"
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
        let Self { others, home, .. } = self;
        let [s2s, sm, router] = others;
        home.wait_for("jabberd2 to notice that a client has gone", &mut [s2s, sm, router], || {
            let log = home.read("sm.log");
            let ended = log.matches("session ended: jid=").count();
            (log.matches("session started: jid=").count() == count + ended).then_some(())
        });
    }

    fn kick(&mut self, _: &str) -> bool {
        false
    }

    fn end_silent_streams(&mut self) -> bool {
        self.terminate();
        let limits = "<interval>1</interval><idle>2</idle>";
        let configuration = self.home.read("c2s.xml");
        self.home.write("c2s.xml", configuration.replace(NO_CHECKS, limits));
        self.restart();
        true
    }

    fn terminate(&mut self) {
        self.c2s.terminate();
    }

    fn restart(&mut self) {
        self.c2s.wait_for_end();
        std::fs::remove_file(self.home.join("c2s.log")).unwrap();
        self.c2s = launch(&self.home, "c2s");
        assert!(listens(&self.home, "c2s", &mut self.c2s, self.addrs[0]), "another program has taken jabberd2's port");
    }
}

fn launch(home: &Home, part: &str) -> Daemon {
    let mut program = Command::new(format!("/usr/sbin/jabberd2-{part}"));
    Daemon::start(home, part, program.arg("-c").arg(home.join(&format!("{part}.xml"))))
}

/// Waits until a part listens; false when it cannot have its port.
fn listens(home: &Home, part: &str, daemon: &mut Daemon, addr: SocketAddr) -> bool {
    let up = format!("[{}, port={}] listening for", addr.ip(), addr.port());
    let taken = format!("[{}, port={}] failed to listen", addr.ip(), addr.port());
    // c2s says so before it takes clients.
    let ready = if part == "c2s" { "ready for connections" } else { &up };
    home.wait_for("jabberd2 to listen", &mut [daemon], || {
        let log = home.read(&format!("{part}.log"));
        let listens = log.contains(&up) && log.contains(ready);
        (listens || log.contains(&taken)).then_some(listens)
    })
}

fn make_database(home: &Home) {
    assert!(std::path::Path::new(SCHEMA).is_file(), "{SCHEMA} is missing: install jabberd2 with its documentation");
    let mut sql = run(Command::new("zcat").arg(SCHEMA));
    for account in ACCOUNTS {
        sql += &format!(
            "INSERT INTO authreg (username, realm, password) VALUES ('{account}', '{DOMAIN}', '{PASSWORD}');\n"
        );
        sql += &format!("INSERT INTO active (\"collection-owner\", time) VALUES ('{account}@{DOMAIN}', 1700000000);\n");
    }
    home.write("setup.sql", sql);
    run(Command::new("sqlite3").current_dir(home.path()).args(["-bail", "sqlite.db", ".read setup.sql"]));
}

/// TLS is offered but not required, and nothing is limited: what is measured is the stream's end.
fn configure(home: &Home, [c2s, router, s2s]: [SocketAddr; 3]) {
    let dir = home.path().display();
    let [c2s, router, s2s] = [c2s, router, s2s].map(|addr| addr.port());
    let head = |part: &str| {
        format!(
            "<id>{part}</id><pidfile>{dir}/{part}.pid</pidfile>\
             <log type='file'><ident>jabberd/{part}</ident><facility>local3</facility><file>{dir}/{part}.log</file></log>"
        )
    };
    let to_router = format!(
        "<router><ip>127.0.0.1</ip><port>{router}</port><user>jabberd</user><pass>{PASSWORD}</pass>\
         <retry><init>10</init><lost>3</lost><sleep>1</sleep></retry></router>"
    );
    let modules = libraries() + "/jabberd2";
    let unlimited = "<max_fds>1024</max_fds><limits><bytes>0</bytes><stanzas>0</stanzas><connects>0</connects>\
                     <stanzasize>65535</stanzasize></limits><access><order>allow,deny</order></access>";
    home.write("users.xml", format!("<users><user><name>jabberd</name><secret>{PASSWORD}</secret></user></users>"));
    home.write("filter.xml", "<filter/>");
    home.write(
        "router.xml",
        format!(
            "<router>{}<local><ip>127.0.0.1</ip><port>{router}</port><users>{dir}/users.xml</users>\
             <secret>{PASSWORD}</secret></local><check><interval>60</interval><keepalive>0</keepalive></check>\
             <io>{unlimited}</io><aliases/><aci><acl type='all'><user>jabberd</user></acl>\
             <filter>{dir}/filter.xml</filter></aci></router>",
            head("router")
        ),
    );
    home.write(
        "c2s.xml",
        format!(
            "<c2s>{}{to_router}<local><id pemfile='{dir}/both.pem' realm='{DOMAIN}'>{DOMAIN}</id><ip>127.0.0.1</ip>\
             <port>{c2s}</port></local><io>{unlimited}<check>{NO_CHECKS}\
             <keepalive>0</keepalive></check></io><stats/><pbx/><stream_redirect/><authreg><path>{modules}</path>\
             <module>sqlite</module><mechanisms><sasl><plain/></sasl></mechanisms>\
             <ssl-mechanisms><sasl><plain/></sasl></ssl-mechanisms><sqlite><dbname>{dir}/sqlite.db</dbname>\
             <busy-timeout>2000</busy-timeout><password_type><plaintext/></password_type></sqlite></authreg></c2s>",
            head("c2s")
        ),
    );
    home.write(
        "s2s.xml",
        format!(
            "<s2s>{}{to_router}<local><ip>127.0.0.1</ip><port>{s2s}</port></local><io>{unlimited}</io>\
             <check><interval>60</interval><queue>60</queue><retry>300</retry><idle>86400</idle>\
             <keepalive>0</keepalive></check><stats/><lookup/><security/></s2s>",
            head("s2s")
        ),
    );
    // Its chains of modules are long; they stay as they are shipped.
    let sm = std::fs::read_to_string(SESSION_MANAGER).expect(SESSION_MANAGER);
    let mut sm = without_comments(&sm);
    for (shipped, ours) in [
        ("/var/run/jabberd2/sm.pid", format!("{dir}/sm.pid")),
        ("/var/log/jabberd2/sm.log", format!("{dir}/sm.log")),
        ("/var/lib/jabberd2/sqlite.db", format!("{dir}/sqlite.db")),
        ("<port>5347</port>", format!("<port>{router}</port>")),
        ("localhost.localdomain", DOMAIN.into()),
    ] {
        assert!(sm.contains(shipped), "{SESSION_MANAGER} has no {shipped}");
        sm = sm.replace(shipped, &ours);
    }
    home.write("sm.xml", sm);
}

fn without_comments(xml: &str) -> String {
    let mut parts = xml.split("<!--");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once("-->").expect("the end of a comment").1)
}
