//! What is logged of each close: by `on_log` in C, by the `log` crate in Rust. Each close of a row runs in a thread of its own.
#![allow(unsafe_code, reason = "the callback is one of C")]

use std::{
    cell::RefCell,
    ffi::{CStr, c_char, c_int, c_void},
};

use xmpp_close::ffi::xmpp_close_phase::*;

use crate::case::Ending;

/// Phases, each with its line.
type Logged = Vec<(c_int, String)>;

thread_local! {
    static IN_C: RefCell<Logged> = const { RefCell::new(Vec::new()) };
    #[cfg(feature = "log")]
    static IN_RUST: RefCell<Logged> = const { RefCell::new(Vec::new()) };
}

pub unsafe extern "C" fn on_log(_: *mut c_void, phase: c_int, line: *const c_char) {
    // SAFETY: the line ends in NUL.
    let line = unsafe { CStr::from_ptr(line) }.to_str().unwrap().to_owned();
    IN_C.with_borrow_mut(|logged| logged.push((phase, line)));
}

/// The `log` crate tells no phase, but its line.
#[cfg(feature = "log")]
pub fn listen() {
    struct Listener;

    impl log::Log for Listener {
        fn enabled(&self, _: &log::Metadata) -> bool {
            true
        }

        fn log(&self, record: &log::Record) {
            let text = record.args().to_string();
            let line = if text.starts_with("fd ") { text.split_once(": ").unwrap().1 } else { &text };
            let phase = match line {
                "the kernel has our closing tag" => XMPP_CLOSE_PHASE_TAG_SENT,
                "the peer's closing tag came" => XMPP_CLOSE_PHASE_TAG_RECEIVED,
                _ if line.starts_with("close begun") => XMPP_CLOSE_PHASE_BEGUN,
                _ => XMPP_CLOSE_PHASE_ENDED,
            };
            assert_eq!(record.target(), "xmpp_close");
            assert_eq!(record.level() == log::Level::Info, phase == XMPP_CLOSE_PHASE_ENDED);
            IN_RUST.with_borrow_mut(|logged| logged.push((phase as c_int, line.to_owned())));
        }

        fn flush(&self) {}
    }

    log::set_max_level(log::LevelFilter::Debug);
    let _ = log::set_logger(&Listener); // by the first test
}

#[cfg(not(feature = "log"))]
pub fn listen() {}

/// What is wrong with what was logged of a close by `api` in this thread.
pub fn wrong(api: &str, ending: &Ending) -> Option<String> {
    let is_c = api.starts_with("xmpp_close") || api.contains("in C");
    let wrong = is_wrong(&IN_C.take(), is_c, ending);
    #[cfg(feature = "log")]
    let wrong = wrong.or(is_wrong(&IN_RUST.take(), !api.contains("event loop"), ending)); // an engine has no log
    wrong
}

fn is_wrong(logged: &Logged, is_heard: bool, ending: &Ending) -> Option<String> {
    let expected = [
        (XMPP_CLOSE_PHASE_BEGUN, true),
        (XMPP_CLOSE_PHASE_TAG_SENT, ending.tags.0),
        (XMPP_CLOSE_PHASE_TAG_RECEIVED, ending.tags.1),
        (XMPP_CLOSE_PHASE_ENDED, true),
    ];
    let counts = expected.iter().all(|(phase, reached)| {
        let count = logged.iter().filter(|(logged, _)| *logged == *phase as c_int).count();
        count == usize::from(is_heard && *reached)
    });
    let begins = logged.first().is_none_or(|(phase, _)| *phase == XMPP_CLOSE_PHASE_BEGUN as c_int);
    let ends = logged.last().is_none_or(|(phase, line)| {
        *phase == XMPP_CLOSE_PHASE_ENDED as c_int && line.starts_with(&format!("{}: ", ending.outcome))
    });
    (!counts || !begins || !ends).then(|| format!("{logged:?} was logged"))
}
