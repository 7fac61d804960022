//! The backlog once more, closed by a program that reads for itself and then calls `xmpp_close_fd`.

use std::{
    ffi::{c_char, c_int, c_void},
    io::Read,
    net::TcpStream,
    os::fd::AsRawFd,
    ptr, slice,
};

use xmpp_close::{Frame, Framer, Outcome};

use crate::{backlog, client::Client, prosody::Prosody};

/// `xmpp_close_options`, as far as it is used here: `struct_size` says how far that is.
#[repr(C)]
struct Options {
    struct_size: usize,
    total_ms: u32,
    idle_ms: u32,
    linger_ms: u32,
    half_close: u32,
    peer_closed: u32,
    tls: u32,
    closing_tag: *const c_char,
    farewell: *const c_void,
    farewell_len: usize,
    residual: *const c_void,
    residual_len: usize,
    on_stanza: Option<unsafe extern "C" fn(*mut c_void, *const u8, usize) -> c_int>,
    on_data: Option<unsafe extern "C" fn(*mut c_void, *const u8, usize) -> c_int>,
    userdata: *mut c_void,
}

/// `xmpp_close_report`, likewise.
#[repr(C)]
#[derive(Default)]
struct Report {
    struct_size: usize,
    outcome: u32,
    initiator: u32,
    tag_sent: u32,
    tag_received: u32,
    stanzas: u32,
    oversize: u32,
}

#[allow(unsafe_code)]
unsafe extern "C" {
    /// As C programs know it.
    fn xmpp_close_fd(fd: c_int, options: *const Options, report: *mut Report) -> c_int;
}

/// # Safety
/// `userdata` points to a `Vec<usize>` that nobody else uses, and `xml` to `len` bytes.
#[allow(unsafe_code)]
unsafe extern "C" fn on_stanza(userdata: *mut c_void, xml: *const u8, len: usize) -> c_int {
    // SAFETY: see above.
    let (late, xml) = unsafe { (&mut *userdata.cast::<Vec<usize>>(), slice::from_raw_parts(xml, len)) };
    late.push(number(xml));
    0
}

/// The number in a message's `id`, as a C program would look for it.
fn number(xml: &[u8]) -> usize {
    let xml = std::str::from_utf8(xml).unwrap();
    let id = xml.split(" id='").nth(1).and_then(|rest| rest.split('\'').next());
    id.and_then(|id| id.parse().ok()).unwrap_or_else(|| panic!("not a numbered message: {xml}"))
}

/// Reads so many messages from the socket itself, and returns what came behind them in the last read.
fn read(mut tcp: &TcpStream, count: usize) -> (Vec<usize>, Vec<u8>) {
    let mut framer = Framer::inside(None);
    let mut numbers = Vec::new();
    let mut chunk = [0; 16 * 1024];
    loop {
        let length = tcp.read(&mut chunk).unwrap();
        assert!(length > 0, "ended after {} messages", numbers.len());
        let mut rest = &chunk[..length];
        while let Some(frame) = framer.next(&mut rest) {
            match frame {
                Frame::Stanza(xml) => numbers.push(number(xml)),
                other => panic!("{other:?}"),
            }
            if numbers.len() == count {
                return (numbers, rest.to_vec());
            }
        }
    }
}

#[allow(unsafe_code)]
fn close(alice: Client) -> (Vec<usize>, Report) {
    let Client { stream, raw, .. } = alice;
    drop(stream);
    let (read, residual) = read(&raw, backlog::READ);
    assert_eq!(read, Vec::from_iter(0..backlog::READ));
    let mut late: Vec<usize> = Vec::new();
    let options = Options {
        struct_size: size_of::<Options>(),
        total_ms: 0,
        idle_ms: 0,
        linger_ms: 0,
        half_close: 0,
        peer_closed: 0,
        tls: 0,
        closing_tag: ptr::null(),
        farewell: ptr::null(),
        farewell_len: 0,
        residual: residual.as_ptr().cast(),
        residual_len: residual.len(),
        on_stanza: Some(on_stanza),
        on_data: None,
        userdata: (&raw mut late).cast(),
    };
    let mut report = Report { struct_size: size_of::<Report>(), ..Report::default() };
    // SAFETY: the fd is open, all pointers point to what the header says, and `late` is used by the callback only.
    let result = unsafe { xmpp_close_fd(raw.as_raw_fd(), &raw const options, &raw mut report) };
    assert_eq!(result, 0);
    (late, report)
}

#[test]
fn a_backlog_arrives_in_order_through_c() {
    let mut server = Prosody::start();
    let addr = server.addr;
    let (fate, report) = backlog::backlog(&mut server, addr, close);
    fate.print("xmpp_close_fd");
    assert_eq!((report.outcome, report.initiator), (Outcome::Clean as u32, 1));
    assert_eq!((report.tag_sent, report.tag_received, report.oversize), (1, 1, 0));
    assert_eq!(report.stanzas as usize, backlog::ALL - backlog::READ);
    assert_eq!(fate.late, Vec::from_iter(backlog::READ..backlog::ALL));
}
