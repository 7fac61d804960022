//! On which machine the figures were measured, and with which versions. All of it is read at run time.

use std::{ffi::CStr, fs, process::Command};

#[link(name = "expat")]
unsafe extern "C" {
    fn XML_ExpatVersion() -> *const libc::c_char;
}

/// Crates whose versions matter, by their names in the lock file.
const CRATES: [&str; 5] = ["memchr", "quick-xml", "rxml", "tokio-xmpp", "xml"];
const PACKAGES: [&str; 3] = ["libstrophe-dev", "prosody", "python3-slixmpp"];

/// One paragraph for the top of a section.
pub fn describe() -> String {
    let cpu = find("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown CPU".into());
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = file("/proc/sys/kernel/osrelease");
    let date = output("date", &["-u", "+%Y-%m-%d %H:%M UTC"]);
    let rustc = output("rustc", &["--version"]).split(' ').take(2).collect::<Vec<_>>().join(" ");
    let memory = find("/proc/meminfo", "MemTotal").unwrap_or_default();
    format!(
        "{date}; {cpu}{}, {cores} cores, {memory} of memory, Linux {kernel}; {rustc}, optimised with LTO; load average \
         {}. References: {}.",
        if find("/proc/cpuinfo", "flags").is_some_and(|flags| flags.contains(" hypervisor ")) {
            " (virtual)"
        } else {
            ""
        },
        load(),
        versions().join(", "),
    )
}

/// How busy the machine was in the last minute.
pub fn load() -> String {
    file("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned()
}

fn versions() -> Vec<String> {
    // SAFETY: a string that the library holds for ever.
    let expat = unsafe { CStr::from_ptr(XML_ExpatVersion()) }.to_string_lossy().replace('_', " ");
    let lock: Vec<_> = include_str!("../Cargo.lock").lines().collect();
    let of = |name: &str| {
        let line = format!("name = \"{name}\"");
        let at = lock.iter().position(|entry| *entry == line).expect("a crate in the lock file");
        format!("{name} {}", lock[at + 1].trim_start_matches("version = ").trim_matches('"'))
    };
    let packages = output("dpkg-query", &[&["-W", "-f", "${Package} ${Version}\n"], &PACKAGES[..]].concat());
    let packages = packages.lines().map(str::to_owned);
    [expat].into_iter().chain(CRATES.map(of)).chain(packages).collect()
}

fn find(path: &str, key: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(key))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn file(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map_or_else(|_| "unknown".into(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
