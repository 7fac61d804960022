//! What a close holds and allocates, and how often it copies what still comes.

use std::{
    ffi::c_void,
    mem::{self, MaybeUninit},
    os::unix::net::UnixStream,
    process::Command,
    ptr,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use xmpp_close::{Batch, BatchOptions, Canceller, CloseOptions, Engine};

use crate::{
    allocator::{count, counts},
    closes::{Close, WAYS, in_c},
    late::Late,
    mix,
    page::Section,
    table::{Bars, Table, figure},
};

const MIB: usize = 1 << 20;
const SHORT: &str = "short messages";
const LARGE: &str = "stanzas of 512 KiB";
/// After so many bytes a close is warm.
const WARM: usize = 2 * MIB;
/// How many of the ways call back. The last way returns what it owns.
const CALLBACKS: usize = 3;
pub fn run() -> Section {
    let mut bars = Bars::new();
    let (heap, stack) = (heap(), stack());
    let batch = batch();
    bars.at_most("an engine", 512.0, size_of::<Engine>() as f64, "bytes");
    bars.at_most("a closing stream, blocking: heap", 10.0, heap as f64 / 1024.0, "KiB");
    bars.at_most(
        "a closing stream, blocking: heap, and stack of the caller's thread",
        10.0,
        (heap + stack) as f64 / 1024.0,
        "KiB",
    );
    bars.at_most("a closing stream in a batch", 10.0, batch as f64 / 1024.0, "KiB");
    let mut table =
        Table::new(&["late stanzas", "", "allocations per stanza once warm", "copies per byte", "moved per byte"]);
    for kind in [SHORT, LARGE] {
        for (number, (way, close)) in WAYS.iter().enumerate() {
            let (each, moved) = allocations(*close, kind);
            let copies = copies(number, kind);
            if number < CALLBACKS && kind == SHORT {
                bars.at_most(&format!("{way}: allocations per late stanza"), 0.0, each, "");
            }
            if number < CALLBACKS {
                bars.at_most(&format!("{way}, {kind}: copies per byte"), 1.0, (copies * 100.0).round() / 100.0, "");
            }
            table.row(&[kind.to_owned(), (*way).to_owned(), figure(each), figure(copies), figure(moved)]);
        }
    }
    let text = format!(
        "The memory of one closing stream with default limits, while it waits in the middle of a short stanza:

* The allocator counts {} bytes of heap.
* A close touches {} bytes of the stack.
* In a batch it is the difference between 400 streams and 100, divided by 300.

Allocations, copies and moves while late stanzas come:

* *Allocations* are counted in the thread that closes, from the third MiB of late stanzas to the last.
* *Copies* are those made by memcpy and memmove, as valgrind's DHAT counts them: those of a close with three times as much late
  data, less those of a close with it once. What the kernel copies out of the socket is not counted.
* *Moved* are the bytes in blocks that grew or shrank, which the allocator may move by itself.

{}{}",
        heap,
        stack,
        bars.finish(),
        table.finish()
    );
    Section { title: "Memory and copies", text }
}

/// The arguments of a process whose copies are counted: the way's number, the kind of the stanzas, and how often they
/// come.
pub fn child(arguments: &[&str]) {
    let [way, kind, times] = arguments else { panic!("{arguments:?}") };
    let (tcp, peer) = Late::of(vec![(block(kind).into_bytes(), times.parse().unwrap())]).connect();
    assert!(WAYS[way.parse::<usize>().unwrap()].1(tcp, &|| {}) > 0);
    peer.join().unwrap();
}

/// About 1 MiB of short messages, or one stanza of half a MiB.
fn block(kind: &str) -> String {
    match kind {
        SHORT => mix::only("messages", MIB).0,
        _ => ["<message><body>", &"base64++".repeat(MIB / 16), "</body></message>"].concat(),
    }
}

/// Allocations for each stanza behind the first ones, and bytes moved for each byte that came.
fn allocations(close: Close, kind: &str) -> (f64, f64) {
    let (block, times) = (block(kind).into_bytes(), 32);
    let in_block = block.windows(10).filter(|bytes| bytes == b"</message>").count();
    let warm = (WARM / block.len() * in_block) as u64;
    let length = block.len() * times;
    let (tcp, peer) = Late::of(vec![(block, times)]).connect();
    let (seen, first, last) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let (all, stanzas) = count(|| {
        close(tcp, &|| {
            last.store(counts().allocations, Relaxed);
            if seen.fetch_add(1, Relaxed) + 1 == warm {
                first.store(counts().allocations, Relaxed);
            }
        })
    });
    peer.join().unwrap();
    assert!(stanzas == seen.into_inner() && stanzas > warm);
    let each = (last.into_inner() - first.into_inner()) as f64 / (stanzas - warm) as f64;
    (each, all.moved as f64 / length as f64)
}

/// Bytes copied in user space for each byte that came.
fn copies(way: usize, kind: &str) -> f64 {
    let copied = |times: &str| {
        let program = crate::child("memory", &[&way.to_string(), kind, times]);
        let mut valgrind = Command::new("valgrind");
        valgrind.args(["--tool=dhat", "--mode=copy", "--dhat-out-file=/dev/null"]);
        let output = valgrind.arg(program.get_program()).args(program.get_args()).output().expect("valgrind");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}");
        let total = text.lines().find_map(|line| line.split_once("Total:")).expect("a total").1.trim();
        total.split(' ').next().unwrap().replace(',', "").parse::<f64>().unwrap()
    };
    (copied("3") - copied("1")) / (2 * block(kind).len()) as f64
}

/// Short stanzas, some of which come in two pieces.
fn short() -> Late {
    Late::of(vec![(mix::only("messages", 64 * 1024).0.into_bytes(), 1)])
}

fn heap() -> i64 {
    let (tcp, peer) = short().connect();
    let counts = count(|| in_c(tcp, &|| {})).0;
    peer.join().unwrap();
    counts.most
}

/// How much of its stack a close touches, less what every thread touches.
fn stack() -> i64 {
    let (tcp, peer) = short().connect();
    let used = touched(Box::new(move || assert!(in_c(tcp, &|| {}) > 0))) - touched(Box::new(|| {}));
    peer.join().unwrap();
    used
}

type Work = Box<dyn FnOnce() + Send>;

/// How much is written to of the stack of a thread that does this work.
fn touched(work: Work) -> i64 {
    const SIZE: usize = 1 << 20;
    extern "C" fn start(work: *mut c_void) -> *mut c_void {
        // SAFETY: a work in a box, which is ours now.
        unsafe { Box::from_raw(work.cast::<Work>())() };
        ptr::null_mut()
    }
    // SAFETY: the stack is mapped for as long as the thread lives, and all zero before.
    unsafe {
        let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        let stack = libc::mmap(ptr::null_mut(), SIZE, protection, flags, -1, 0);
        assert_ne!(stack, libc::MAP_FAILED);
        let mut attributes = MaybeUninit::uninit();
        let mut thread = 0;
        libc::pthread_attr_init(attributes.as_mut_ptr());
        libc::pthread_attr_setstack(attributes.as_mut_ptr(), stack, SIZE);
        let work = Box::into_raw(Box::new(work)).cast();
        assert_eq!(libc::pthread_create(&mut thread, attributes.as_ptr(), start, work), 0);
        assert_eq!(libc::pthread_join(thread, ptr::null_mut()), 0);
        let bytes = std::slice::from_raw_parts(stack.cast::<u8>(), SIZE);
        let untouched = bytes.iter().take_while(|&&byte| byte == 0).count();
        libc::munmap(stack, SIZE);
        (SIZE - untouched) as i64
    }
}

/// Bytes for each stream of a batch, while all wait in the middle of a stanza.
fn batch() -> i64 {
    let most = |streams: usize| {
        let pairs: Vec<_> = (0..streams).map(|_| UnixStream::pair().unwrap()).collect();
        let canceller = Canceller::new().unwrap();
        let counts = count(|| {
            let mut batch = Batch::new().unwrap();
            for (ours, theirs) in &pairs {
                std::io::Write::write_all(&mut &*theirs, b"<message><body>hello").unwrap();
                batch.add(ours.try_clone().unwrap(), &CloseOptions::new(), |_| {}).unwrap();
            }
            let mut begun = false;
            // All closes have begun. When this is called again, all of them wait.
            let options = BatchOptions::new().canceller(&canceller).on_progress(|so_far| {
                if mem::replace(&mut begun, so_far.begun == streams) {
                    canceller.cancel();
                }
            });
            batch.run(options).unwrap();
        });
        counts.0.most
    };
    (most(400) - most(100)) / 300
}
