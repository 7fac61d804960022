//! Many closes in one process leave nothing behind: no memory, no descriptor.

use std::{fs, sync::mpsc, thread, time::Duration};

use socket2::SockRef;

use crate::{
    close::{Cell, HEADER, Listener, certificate, each_at_once, read_header},
    peer::TAG,
    program::{Output, Program, Variant},
    script::{GARBAGE, Got, TlsPeer},
    setup::NAME,
};

/// What a process holds.
#[derive(Debug)]
struct Held {
    descriptors: usize,
    memory_kb: usize,
}

impl Held {
    fn by(pid: u32) -> Self {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let (_, rest) = status.split_once("VmRSS:").unwrap();
        Self {
            descriptors: fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count(),
            memory_kb: rest.split_whitespace().next().unwrap().parse().unwrap(),
        }
    }
}

/// How a connection ends, and what the example says of it.
type Ending = (&'static str, fn(&mut TlsPeer));
const ENDINGS: [Ending; 7] = [
    ("clean: ", |peer| {
        peer.read_tag().send(TAG).expect_notify().notify().expect_fin();
    }),
    ("clean: ", |peer| {
        peer.read_tag().send(TAG).fin().expect_notify_and_fin();
    }),
    ("peer-eof: ", |peer| {
        peer.read_tag().notify().expect_notify_and_fin();
    }),
    ("truncated: ", |peer| {
        peer.read_tag().fin().expect_notify_and_fin();
    }),
    ("reset: ", |peer| {
        SockRef::from(&peer.read_tag().tcp).set_linger(Some(Duration::ZERO)).unwrap();
    }),
    ("tls-failed: ", |peer| {
        peer.read_tag().write_below(GARBAGE).read_below().unwrap();
    }),
    ("tls-failed: ", |peer| {
        assert_eq!(peer.spoil_next().receive(), Got::Failed);
        peer.read_below().unwrap();
    }),
];

/// Serves so many connections in a row, which end in turn in all the ways there are; `measure` is told before each end.
fn close_many(cell: Cell, times: usize, measure: impl Fn(usize, u32)) {
    let listener = Listener::new();
    let mut command = cell.example.command(cell.variant);
    command.arg("--ca").arg(certificate()).args(["--domain", NAME, "--times", &times.to_string()]);
    let program = Program::start(command.args(["127.0.0.1", &listener.port()]), mpsc::channel().0);
    for (n, (_, end)) in (0..times).zip(ENDINGS.into_iter().cycle()) {
        let mut peer = TlsPeer::accept(cell.case(), listener.accept(), mpsc::channel().1);
        read_header(&mut peer);
        peer.send(HEADER).send("<message/>");
        measure(n, program.child.id());
        end(&mut peer);
    }
    let Output { lines, errors, code, .. } = program.wait();
    assert_eq!(errors, "");
    let (late, reports): (Vec<_>, Vec<_>) = lines.iter().partition(|line| line.starts_with("late: "));
    assert_eq!((late.len(), reports.len()), (times, times));
    let expected = ENDINGS.into_iter().cycle().map(|(outcome, _)| outcome);
    for (n, (report, outcome)) in reports.into_iter().zip(expected).enumerate() {
        assert!(report.starts_with(outcome), "{n}: {report}, and not {outcome}");
    }
    assert_eq!(code, Some(i32::from((times - 1) % ENDINGS.len() > 1)));
}

#[test]
fn a_thousand_closes_leave_nothing_behind() {
    thread::scope(|scope| {
        for cell in Cell::against_rustls() {
            scope.spawn(move || {
                let held = std::cell::RefCell::new(Vec::new());
                close_many(cell, 1000, |n, pid| {
                    if n == 200 || n == 999 {
                        held.borrow_mut().push(Held::by(pid));
                    }
                });
                let [before, after] = held.into_inner().try_into().unwrap();
                println!("{cell:?}: {before:?}, {after:?}");
                assert_eq!(after.descriptors, before.descriptors, "{cell:?}");
                // A leak of 1 KiB in each would be 800.
                assert!(after.memory_kb < before.memory_kb + 400, "{cell:?}: {before:?}, {after:?}");
            });
        }
    });
}

/// The sanitizer and valgrind find the smallest leak, at the end of the process.
#[test]
fn a_sanitized_program_leaks_nothing_in_a_thousand_closes() {
    close_many_at_once(Variant::Sanitized, 1000);
}

#[test]
fn a_program_under_valgrind_leaks_nothing_in_fifty_closes() {
    close_many_at_once(Variant::Valgrind, 50);
}

fn close_many_at_once(variant: Variant, times: usize) {
    let cells = Cell::checked().into_iter().filter(|cell| cell.variant == variant).collect();
    each_at_once(cells, |cell| close_many(cell, times, |_, _| {}));
}
