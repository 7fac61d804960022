//! Servers of the tests: private daemons on loopback, on free ports, with everything they write in a directory that
//! goes away with them.
#![allow(dead_code, reason = "each test program uses its part")]

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
pub const ACCOUNTS: [&str; 3] = ["alice", "bob", "carol"];
/// An external component (XEP-0114), and its secret.
pub const COMPONENT: &str = "comp.localhost";
/// How long a test waits for what must come: generous, since it only matters when something is broken.
pub const PATIENCE: Duration = Duration::from_secs(180);
/// How often a condition is looked at that nobody announces.
const POLL: Duration = Duration::from_millis(10);

/// How much of a log is shown when something went wrong.
const LINES: usize = 30;

/// One server at a time: on a small machine the figures of one would depend on what another does.
pub fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Fails when one of these programs is missing, and says in which package it is.
pub fn require(programs: &[(&str, &str)]) {
    let path = env::var_os("PATH").unwrap_or_default();
    // Daemons are often out of an ordinary user's path.
    let dirs = || env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    for (program, package) in programs {
        let found = dirs().any(|dir| dir.join(program).is_file());
        assert!(found, "{program} is missing, install it: apt-get install {package}");
    }
}

/// Addresses on which nobody listened just now. Systems give a connection a port from 32768 on, so no connection of another
/// test takes one of these ports before the server has it, or while the server is started again.
pub fn free_addresses<const N: usize>() -> [SocketAddr; N] {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id().wrapping_mul(2_654_435_761); // processes of one time begin far from each other
    let ports = || 10_000 + (start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % 22_000) as u16;
    let probes = [(); N].map(|()| {
        let bound = (0..22_000).find_map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, ports())).ok());
        bound.expect("a port on which nobody listens")
    });
    probes.map(|probe| probe.local_addr().unwrap())
}

/// Where Debian keeps what is machine code. The servers are programs of this machine, also where the tests are not.
pub fn libraries() -> String {
    let of_servers = |path: &PathBuf| path.join("jabberd2").exists();
    let mut folders = fs::read_dir("/usr/lib").unwrap().map(|entry| entry.unwrap().path());
    folders.find(of_servers).expect("jabberd2's modules").to_str().unwrap().to_owned()
}

/// The directory of a server. A short path: that of a socket in it must not exceed 107 bytes.
pub struct Home(PathBuf);

impl Home {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        loop {
            let name = format!("xmpp-close-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
            let dir = env::temp_dir().join(name);
            if fs::DirBuilder::new().mode(0o700).create(&dir).is_ok() {
                return Self(dir);
            }
            assert!(dir.exists(), "cannot create {}", dir.display());
        }
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// What a file holds by now, be it nothing.
    pub fn read(&self, name: &str) -> String {
        fs::read(self.join(name)).map_or_else(|_| String::new(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Makes a key and a certificate of its own for the domain: `cert.pem` has the certificate, `both.pem` both.
    pub fn make_certificate(&self) {
        require(&[("openssl", "openssl")]);
        // The system's openssl.cnf would make it the certificate of an authority, which no server may have.
        let names = format!("DNS:{DOMAIN},DNS:{COMPONENT},IP:127.0.0.1");
        let config = format!(
            "[req]\nprompt=no\ndistinguished_name=name\nx509_extensions=extensions\n[name]\nCN={DOMAIN}\n\
             [extensions]\nbasicConstraints=critical,CA:FALSE\nsubjectAltName={names}\n"
        );
        self.write("openssl.cnf", config);
        let mut openssl = Command::new("openssl");
        openssl.current_dir(&self.0).args(["req", "-x509", "-nodes", "-days", "3650", "-config", "openssl.cnf"]);
        openssl.args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]);
        run(openssl.args(["-keyout", "key.pem", "-out", "cert.pem"]));
        self.write("both.pem", self.read("cert.pem") + &self.read("key.pem"));
    }

    /// Waits for what one of the daemons in this directory does.
    pub fn wait_for<T>(&self, what: &str, daemons: &mut [&mut Daemon], mut done: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let over = Instant::now() > deadline || daemons.iter_mut().any(|daemon| !daemon.is_running());
            if let Some(result) = done() {
                return result;
            }
            assert!(!over, "waited in vain for {what}; the logs:\n{}", self.logs());
            thread::sleep(POLL);
        }
    }

    fn logs(&self) -> String {
        let mut logs = String::new();
        for entry in fs::read_dir(&self.0).unwrap().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.ends_with(".log") {
                let log = self.read(&name);
                let last = log.lines().count().saturating_sub(LINES);
                logs += &format!("== {name}\n{}\n", log.lines().skip(last).collect::<Vec<_>>().join("\n"));
            }
        }
        logs
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A program that runs until this value, or the thread that started it, is gone, however that ends.
pub struct Daemon(Child);

impl Daemon {
    /// Starts a program in a server's directory; what it prints is in `NAME.out.log` there.
    pub fn start(home: &Home, name: &str, program: &mut Command) -> Self {
        require(&[("setpriv", "util-linux")]);
        let output = fs::File::options().create(true).append(true).open(home.join(&format!("{name}.out.log"))).unwrap();
        // setpriv: the kernel ends the program when this thread dies, so nothing is left behind by a test that was killed.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(program.get_program()).args(program.get_args());
        command.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?)))).current_dir(home.path());
        command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        Self(command.spawn().expect("setpriv runs"))
    }

    pub fn is_running(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    /// Asks it to shut down, as an init system does.
    #[allow(unsafe_code)]
    pub fn terminate(&self) {
        let pid = libc::pid_t::try_from(self.0.id()).unwrap();
        // SAFETY: kill(2) takes two integers. The child is ours, and not reaped as long as nobody asks whether it runs.
        assert_eq!(unsafe { libc::kill(pid, libc::SIGTERM) }, 0);
    }

    /// Waits until it has ended by itself.
    pub fn wait_for_end(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while self.is_running() {
            assert!(Instant::now() < deadline, "it does not end");
            thread::sleep(POLL);
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Nothing on its disk is worth an orderly shutdown.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a program to its end, which must be a good one; returns what it printed.
pub fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{said}\n{complaint}", output.status);
    said
}
