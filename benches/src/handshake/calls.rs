//! The system calls of a close, counted by strace.

use std::{collections::BTreeMap, fs, net::SocketAddr, process::Command};

/// How often each system call is made, by its name.
pub type Calls = BTreeMap<String, f64>;

const CLOSES: usize = 1000;

/// The system calls of a close of this kind: those of many closes, less those of a program that opens as many
/// connections and drops them.
pub fn of(name: &str, address: SocketAddr) -> Calls {
    let (mut calls, dropped) = (count(name, address), count(super::DROPPED, address));
    calls.retain(|call, count| {
        let kept = if call == "close" { CLOSES } else { 0 } as f64; // whoever drops them closes them, too
        *count = (*count - dropped.get(call).unwrap_or(&0.0) + kept) / CLOSES as f64;
        *count >= 0.01
    });
    calls
}

pub fn sum(calls: &Calls) -> f64 {
    calls.values().sum()
}

fn count(name: &str, address: SocketAddr) -> Calls {
    let file = std::env::temp_dir().join(format!("strace-{}", std::process::id()));
    let child = crate::child("handshake", &["closes", name, &CLOSES.to_string(), &address.to_string()]);
    let mut strace = Command::new("strace");
    strace.arg("-f").arg("-c").arg("-o").arg(&file).arg(child.get_program()).args(child.get_args());
    assert!(strace.status().expect("strace").success(), "{name}");
    let table = fs::read_to_string(&file).unwrap();
    fs::remove_file(file).unwrap();
    // A row: % time, seconds, µs for each, calls, and errors where there were any; the name at its end.
    let mut calls = Calls::new();
    for line in table.lines() {
        let row: Vec<_> = line.split_whitespace().collect();
        if let Some((count, name)) = row.get(3).and_then(|count| Some((count.parse().ok()?, *row.last()?))) {
            calls.insert(name.to_owned(), count);
        }
    }
    calls.remove("total");
    calls
}
