//! The clients: a small program on top of each library, which does what the test tells it.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    net::SocketAddrV4,
    path::PathBuf,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use crate::{daemon, server::PATIENCE};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Library {
    Libstrophe,
    Gloox,
    Loudmouth,
    Slixmpp,
}

impl Library {
    /// As Debian and its users call it; also the resource of the driver.
    pub fn name(self) -> &'static str {
        match self {
            Self::Libstrophe => "libstrophe",
            Self::Gloox => "gloox",
            Self::Loudmouth => "loudmouth",
            Self::Slixmpp => "slixmpp",
        }
    }

    pub fn version(self) -> String {
        let said = match self {
            Self::Libstrophe => daemon::run(Command::new("pkg-config").args(["--modversion", "libstrophe"])),
            Self::Gloox => daemon::run(Command::new("pkg-config").args(["--modversion", "gloox"])),
            Self::Loudmouth => daemon::run(Command::new("pkg-config").args(["--modversion", "loudmouth-1.0"])),
            Self::Slixmpp => {
                daemon::run(Command::new(PYTHON).args(["-c", "import slixmpp; print(slixmpp.__version__)"]))
            }
        };
        said.trim().to_owned()
    }

    /// The program, and what stands in front of its arguments.
    fn command(self) -> Command {
        match self {
            Self::Libstrophe => Command::new(compiled("gcc", "drive_libstrophe.c", "libstrophe", "libstrophe-dev")),
            Self::Gloox => {
                let mut gloox = Command::new(compiled("g++", "drive_gloox.cc", "gloox", "libgloox-dev"));
                gloox.env("GNUTLS_SYSTEM_PRIORITY_FILE", source("drive_gloox.gnutls"));
                gloox
            }
            Self::Loudmouth => Command::new(compiled("gcc", "drive_loudmouth.c", "loudmouth-1.0", "libloudmouth1-dev")),
            Self::Slixmpp => {
                let mut python = Command::new(PYTHON);
                python.arg(source("drive_slixmpp.py"));
                python
            }
        }
    }
}

/// The Python of the system, for which Debian packages slixmpp.
const PYTHON: &str = "/usr/bin/python3";

fn source(file: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "clients", file].iter().collect()
}

/// Compiles a driver once per run of the tests.
fn compiled(compiler: &str, file: &str, module: &str, package: &str) -> PathBuf {
    static DONE: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
    let mut done = DONE.lock().unwrap_or_else(PoisonError::into_inner);
    let program = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(module);
    if done.contains(&program) {
        return program;
    }
    daemon::require(&[(compiler, compiler), ("pkg-config", "pkg-config")]);
    let found = Command::new("pkg-config").args(["--cflags", "--libs", module]).output().unwrap();
    assert!(found.status.success(), "{module} is missing, install it: apt-get install {package}");
    let flags = String::from_utf8(found.stdout).unwrap();
    let fresh = program.with_extension(std::process::id().to_string());
    let mut compile = Command::new(compiler);
    compile.args(["-Wall", "-Wextra", "-Werror", "-O1"]).arg(source(file)).arg("-o").arg(&fresh);
    daemon::run(compile.args(flags.split_whitespace()));
    fs::rename(&fresh, &program).unwrap();
    done.push(program.clone());
    program
}

/// A running client; dropping it stops it.
pub struct Driver {
    child: Child,
    orders: ChildStdin,
    lines: mpsc::Receiver<String>,
    seen: Vec<String>,
    complaints: PathBuf,
}

impl Driver {
    /// Its error output goes to the file `complaints`.
    pub fn start(library: Library, complaints: PathBuf, arguments: &[&str]) -> Self {
        let client = library.command();
        // setpriv: as in `server.rs`.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(client.get_program()).args(client.get_args()).args(arguments);
        command.envs(client.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(File::create(&complaints).unwrap());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let orders = child.stdin.take().expect("piped");
        Self { child, orders, lines, seen: Vec::new(), complaints }
    }

    /// Waits until the client's messages to itself are on their way, and the client does not read any more.
    pub fn wait_until_ready(&mut self) {
        while self.next_line().unwrap_or_else(|| panic!("it ended before it was ready: {}", self.story())) != "ready" {}
    }

    pub fn order(&mut self, word: &str) {
        writeln!(self.orders, "{word}").unwrap();
    }

    /// Waits until it has ended; returns the numbers of all messages it got, and what it was told of the end.
    pub fn end(mut self) -> (Vec<usize>, String) {
        while self.next_line().is_some() {}
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}: {}", self.story());
        let got = self.seen.iter().filter_map(|line| line.strip_prefix("got ")?.parse().ok()).collect();
        let told = self.seen.iter().find_map(|line| line.strip_prefix("ended: "));
        (got, told.unwrap_or_else(|| panic!("no end: {}", self.story())).to_owned())
    }

    /// `None` at the end of its output.
    fn next_line(&mut self) -> Option<String> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => {
                self.seen.push(line.clone());
                Some(line)
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => None,
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("it says nothing more: {}", self.story()),
        }
    }

    fn story(&self) -> String {
        let complaints = fs::read(&self.complaints).unwrap_or_default();
        format!("{:?}\n{}", self.seen, String::from_utf8_lossy(&complaints))
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until so many bytes from `server` wait unread in the socket that is bound to `client`.
pub fn wait_for_unread(client: &str, server: &str, bytes: u64) {
    // As the kernel writes it; addr(4) in the machine's byte order, and the port.
    let hex = |address: &str| {
        let address: SocketAddrV4 = address.parse().unwrap();
        format!("{:08X}:{:04X}", u32::from_ne_bytes(address.ip().octets()), address.port())
    };
    let (client, server) = (hex(client), hex(server));
    let deadline = Instant::now() + PATIENCE;
    loop {
        let table = fs::read_to_string("/proc/net/tcp").unwrap();
        let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let queue = rows.filter(|row| row[1] == client && row[2] == server).map(|row| row[4].to_owned()).next();
        let queue = queue.unwrap_or_else(|| panic!("the client's socket is gone"));
        if u64::from_str_radix(queue.split(':').nth(1).unwrap(), 16).unwrap() >= bytes {
            return;
        }
        assert!(Instant::now() < deadline, "{queue}, and not {bytes} bytes");
        thread::sleep(Duration::from_millis(5));
    }
}
