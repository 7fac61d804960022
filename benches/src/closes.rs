//! The ways to close a stream, each of which hands over what still comes.

use std::{
    ffi::{c_int, c_void},
    mem,
    net::TcpStream,
    os::fd::AsRawFd,
    ptr,
    time::Duration,
};

use xmpp_close::{
    Batch, BatchOptions, CloseOptions,
    ffi::{
        xmpp_close_batch_add, xmpp_close_batch_free, xmpp_close_batch_new, xmpp_close_batch_report,
        xmpp_close_batch_run, xmpp_close_fd, xmpp_close_options, xmpp_close_report,
    },
};

/// Closes a stream, calls a function for each late stanza, and returns how many there were.
pub type Close = fn(TcpStream, &(dyn Fn() + Sync)) -> u64;

pub const WAYS: [(&str, Close); 4] = [
    ("xmpp_close_fd, on_stanza", in_c),
    ("xmpp_close_batch, on_stanza", in_a_c_batch),
    ("Batch, a callback that is lent a Stanza", in_a_batch),
    ("Closing, which returns each Stanza", in_turn),
];

/// Options that call `called` for each late stanza. Everything else is zero, which is the default.
fn options(called: &mut &(dyn Fn() + Sync)) -> xmpp_close_options {
    extern "C" fn on_stanza(userdata: *mut c_void, _: *const u8, _: usize) -> c_int {
        // SAFETY: what it points to outlives the close.
        unsafe { (*userdata.cast::<&(dyn Fn() + Sync)>())() };
        0
    }
    // SAFETY: a struct of numbers and pointers, all of which may be zero.
    let mut options: xmpp_close_options = unsafe { mem::zeroed() };
    options.struct_size = size_of_val(&options);
    options.on_stanza = Some(on_stanza);
    options.userdata = ptr::from_mut(called).cast();
    options
}

/// A report, to be filled.
pub fn report() -> xmpp_close_report {
    // SAFETY: a struct of numbers.
    let mut report: xmpp_close_report = unsafe { mem::zeroed() };
    report.struct_size = size_of_val(&report);
    report
}

fn stanzas(report: &xmpp_close_report) -> u64 {
    assert_eq!(report.outcome, 1);
    u64::from(report.stanzas)
}

pub fn in_c(tcp: TcpStream, stanza: &(dyn Fn() + Sync)) -> u64 {
    with_limit(tcp, 0, stanza)
}

/// With a limit on the length of stanzas; 0 is the default.
pub fn with_limit(tcp: TcpStream, limit: usize, mut stanza: &(dyn Fn() + Sync)) -> u64 {
    let (mut options, mut report) = (options(&mut stanza), report());
    options.stanza_limit = limit;
    // SAFETY: all pointers outlive the close.
    assert_eq!(unsafe { xmpp_close_fd(tcp.as_raw_fd(), &options, &mut report) }, 0);
    stanzas(&report)
}

fn in_a_c_batch(tcp: TcpStream, mut stanza: &(dyn Fn() + Sync)) -> u64 {
    let (options, mut report) = (options(&mut stanza), report());
    let mut batch = ptr::null_mut();
    // SAFETY: all pointers outlive the batch, which is freed once.
    unsafe {
        assert_eq!(xmpp_close_batch_new(&mut batch), 0);
        assert_eq!(xmpp_close_batch_add(batch, tcp.as_raw_fd(), &options, ptr::null_mut()), 0);
        assert_eq!(xmpp_close_batch_run(batch, ptr::null(), ptr::null_mut()), 0);
        assert_eq!(xmpp_close_batch_report(batch, 0, &mut report), 0);
        xmpp_close_batch_free(batch);
    }
    stanzas(&report)
}

fn in_a_batch(tcp: TcpStream, stanza: &(dyn Fn() + Sync)) -> u64 {
    let mut batch = Batch::new().unwrap();
    batch.add(tcp, &CloseOptions::new(), |_| stanza()).unwrap();
    let report = batch.run(BatchOptions::new().total(Duration::from_secs(60))).unwrap().reports.remove(0);
    assert!(report.is_clean());
    report.stanzas
}

fn in_turn(tcp: TcpStream, stanza: &(dyn Fn() + Sync)) -> u64 {
    let mut closing = CloseOptions::new().begin(tcp).unwrap();
    for _ in &mut closing {
        stanza();
    }
    let report = closing.finish();
    assert!(report.is_clean());
    report.stanzas
}
