//! A private Prosody from Debian's package: loopback only, on a free port, with everything it writes in a directory
//! that goes away with it.

use std::{
    env, fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

pub const DOMAIN: &str = "localhost";
pub const PASSWORD: &str = "secret";
const ACCOUNTS: [&str; 3] = ["alice", "bob", "carol"];
/// How long a test waits for what must come: generous, since it only matters when something is broken.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How often a condition is looked at that nobody announces.
const POLL: Duration = Duration::from_millis(10);

/// One Prosody at a time: on a small machine the figures of one would depend on what another does.
static TURN: Mutex<()> = Mutex::new(());

/// A running Prosody. It ends with this value, and with the thread that started it, however that ends.
pub struct Prosody {
    child: Child,
    dir: PathBuf,
    pub addr: SocketAddr,
    turn: Option<MutexGuard<'static, ()>>,
}

impl Prosody {
    /// Starts one with the accounts alice, bob and carol, and waits until it listens.
    pub fn start() -> Self {
        let path = env::var_os("PATH").unwrap_or_default();
        let found = |name: &str| env::split_paths(&path).any(|dir| dir.join(name).is_file());
        for (tool, package) in [("prosody", "prosody"), ("prosodyctl", "prosody"), ("setpriv", "util-linux")] {
            assert!(found(tool), "{tool} is missing, install it: apt-get install {package}");
        }
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(mut prosody) = Self::try_start() {
                prosody.turn = Some(turn);
                return prosody;
            }
        }
    }

    /// `None` when another program has taken the port between our probe and Prosody's bind(2).
    fn try_start() -> Option<Self> {
        let dir = make_directory();
        let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let addr = probe.local_addr().unwrap();
        drop(probe);
        fs::write(dir.join("prosody.cfg.lua"), configuration(&dir, addr.port())).unwrap();
        let output = fs::File::create(dir.join("output")).unwrap();
        // setpriv: the kernel ends Prosody when this thread dies, so nothing is left behind by a test that was killed.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "prosody", "-F", "--config"])
            .arg(dir.join("prosody.cfg.lua"))
            .current_dir(&dir)
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .expect("setpriv runs");
        let mut prosody = Self { child, dir, addr, turn: None };
        let listens = format!("Activated service 'c2s' on [{}]:{}", addr.ip(), addr.port());
        prosody
            .wait_for("Prosody to listen", |log| {
                let up = log.contains(&listens);
                (up || log.contains("this port is in use")).then_some(up)
            })
            .then_some(prosody)
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
        let result = Command::new("prosodyctl")
            .args(["--root", "--config"])
            .arg(self.dir.join("prosody.cfg.lua"))
            .args(["shell", &format!("c2s:close('{account}@{DOMAIN}')")])
            .stdin(Stdio::null())
            .output()
            .expect("prosodyctl runs");
        let said = String::from_utf8_lossy(&result.stdout).into_owned() + &String::from_utf8_lossy(&result.stderr);
        assert!(said.contains("Total: 1 session"), "prosodyctl said: {said}");
    }

    /// Asks it to shut down, as an init system does.
    #[allow(unsafe_code)]
    pub fn terminate(&self) {
        let pid = libc::pid_t::try_from(self.child.id()).unwrap();
        // SAFETY: kill(2) takes two integers. The child is ours: it is reaped only where the test fails or ends.
        assert_eq!(unsafe { libc::kill(pid, libc::SIGTERM) }, 0);
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.join("prosody.log")).unwrap_or_default()
    }

    fn wait_for<T>(&mut self, what: &str, mut done: impl FnMut(&str) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let over = self.child.try_wait().unwrap().is_some() || Instant::now() > deadline;
            if let Some(result) = done(&self.log()) {
                return result;
            }
            let output = fs::read_to_string(self.dir.join("output")).unwrap_or_default();
            assert!(!over, "waited in vain for {what}; its log:\n{}\n{output}", self.log());
            thread::sleep(POLL);
        }
    }
}

impl Drop for Prosody {
    fn drop(&mut self) {
        // It has no children, and nothing on its disk is worth an orderly shutdown.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// A short path: that of the admin socket in it must not exceed 107 bytes.
fn make_directory() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    loop {
        let name = format!("xmpp-close-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let dir = env::temp_dir().join(name);
        if fs::DirBuilder::new().mode(0o700).create(&dir).is_err() {
            assert!(dir.exists(), "cannot create {}", dir.display());
            continue;
        }
        for account in ACCOUNTS {
            let accounts = dir.join("data").join(DOMAIN).join("accounts");
            fs::create_dir_all(&accounts).unwrap();
            fs::write(accounts.join(format!("{account}.dat")), format!("return {{ password = \"{PASSWORD}\" }}\n"))
                .unwrap();
        }
        return dir;
    }
}

/// No encryption and plain passwords: it is reached over loopback only, and what is measured is the stream's end.
fn configuration(dir: &Path, port: u16) -> String {
    let dir = dir.display();
    format!(
        r#"run_as_root = true
pidfile = "{dir}/pid"
data_path = "{dir}/data"
admin_socket = "{dir}/admin"
log = {{ {{ levels = {{ min = "info" }}, to = "file", filename = "{dir}/prosody.log" }} }}
interfaces = {{ "127.0.0.1" }}
local_interfaces = {{ "127.0.0.1" }}
use_ipv6 = false
c2s_ports = {{ {port} }}
c2s_direct_tls_ports = {{}}
legacy_ssl_ports = {{}}
c2s_require_encryption = false
allow_unencrypted_plain_auth = true
authentication = "internal_plain"
storage = "internal"
modules_enabled = {{ "roster", "saslauth", "disco", "ping", "admin_shell" }}
modules_disabled = {{ "s2s", "tls" }}
VirtualHost "{DOMAIN}"
"#
    )
}
