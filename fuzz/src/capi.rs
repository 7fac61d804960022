//! Structs of any size and content, and bytes of any kind, through the C functions. What the header demands of pointers
//! is kept: they are NULL or valid.

#![allow(unsafe_code)]

use std::{
    ffi::{CString, c_char, c_int, c_void},
    mem::{MaybeUninit, offset_of},
    ptr, slice,
};

use xmpp_close::{Frame, Framer, ffi::*};

use super::{bytes::Bytes, closes, liar};

pub(super) const OK: c_int = 0;
pub(super) const NULL: c_int = -1;
pub(super) const INVALID: c_int = -2;
/// The largest struct, and room behind it.
const ROOM: usize = 4096 + 64;

/// How long a struct is, and how long it was in the version before.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    pub(super) now: usize,
    before: usize,
}

impl Sizes {
    const fn of<T>(before: usize) -> Self {
        Self { now: size_of::<T>(), before }
    }
}

pub(super) const OPTIONS: Sizes = Sizes::of::<xmpp_close_options>(offset_of!(xmpp_close_options, stream_error_address));
pub(super) const REPORT: Sizes = Sizes::of::<xmpp_close_report>(offset_of!(xmpp_close_report, stream_error_text));
pub(super) const BATCH_OPTIONS: Sizes =
    Sizes::of::<xmpp_close_batch_options>(offset_of!(xmpp_close_batch_options, stream_error_address));
pub(super) const SUMMARY: Sizes = Sizes::of::<xmpp_close_summary>(size_of::<xmpp_close_summary>());
pub(super) const TRANSPORT: Sizes = Sizes::of::<xmpp_close_transport>(size_of::<xmpp_close_transport>());

/// Memory as a program may have it on its stack.
#[derive(Clone)]
#[repr(C, align(16))]
pub(super) struct Memory(pub(super) [u8; ROOM]);

impl Memory {
    /// Mostly of a size that is one, so that the members matter, too.
    pub(super) fn new(bytes: &mut Bytes, known: Sizes) -> Self {
        let choice = bytes.byte();
        let size = match choice % 8 {
            _ if bytes.0.is_empty() => known.now,
            0 => bytes.u16().into(),
            1 => usize::MAX - usize::from(bytes.byte()),
            2 => known.now + usize::from(bytes.byte()),
            3 => usize::from(bytes.byte()) % (known.now + 1),
            4 => known.before,
            _ => known.now,
        };
        let length = usize::from(bytes.byte());
        let content = bytes.take(length);
        let mut memory = Self([0; ROOM]);
        let start = size_of::<usize>();
        memory.0[start..start + content.len()].copy_from_slice(content);
        memory.0[..start].copy_from_slice(&size.to_ne_bytes());
        memory
    }

    pub(super) fn size(&self) -> usize {
        usize::from_ne_bytes(self.0[..size_of::<usize>()].try_into().unwrap())
    }

    pub(super) fn put<T>(&mut self, offset: usize, value: T) {
        assert!(offset + size_of::<T>() <= ROOM);
        // SAFETY: there is room for it.
        unsafe { self.0.as_mut_ptr().add(offset).cast::<T>().write_unaligned(value) };
    }

    /// Whether the header lets such a struct be of this size and with this behind it.
    pub(super) fn is_struct(&self, known: Sizes) -> bool {
        let size = self.size();
        let larger = (known.now..=4096).contains(&size);
        size == known.before || larger && self.0[known.now..size].iter().all(|byte| *byte == 0)
    }

    /// Whether nothing changed that a call may not change: all of it when refused, else what lies behind the struct.
    pub(super) fn check_written(&self, before: &Self, known: Sizes, result: c_int) {
        let valid = before.is_struct(known);
        assert!(valid || result == INVALID, "{result}");
        assert_eq!(self.size(), before.size());
        let from = if valid { known.now.min(before.size()) } else { 0 };
        assert!(self.0[from..] == before.0[from..], "written behind the struct");
    }
}

/// Texts that end in NUL, for members to point to.
pub(super) struct Texts(Vec<CString>);

impl Texts {
    fn new(bytes: &mut Bytes) -> Self {
        let text = |bytes: &mut Bytes| {
            let length = bytes.byte() % 64;
            let text = bytes.take(length.into());
            CString::new(text.split(|byte| *byte == 0).next().unwrap()).unwrap()
        };
        let mut texts: Vec<_> = (0..3).map(|_| text(bytes)).collect();
        texts.extend(
            [c"system-shutdown", c"see-other-host", c"</s:s>", c"<a/>", c"undefined-condition"].map(CString::from),
        );
        Self(texts)
    }

    pub(super) fn pick(&self, bytes: &mut Bytes) -> *const c_char {
        self.0.get(usize::from(bytes.byte() % 16)).map_or(ptr::null(), |text| text.as_ptr())
    }
}

/// Sets members of a struct in some memory.
macro_rules! put {
    ($memory:ident, $struct:ident, $($member:ident = $value:expr),* $(,)?) => {
        $($memory.put(offset_of!($struct, $member), $value);)*
    };
}
pub(super) use put;

fn options(bytes: &mut Bytes, texts: &Texts, payload: &[u8]) -> Memory {
    let mut memory = Memory::new(bytes, OPTIONS);
    let flags = bytes.byte();
    let length = if flags & 1 != 0 { payload.len() } else { 0 };
    type Take = unsafe extern "C" fn(*mut c_void, *const u8, usize) -> c_int;
    type Compose = unsafe extern "C" fn(*mut c_void, *mut u8, usize, *mut usize) -> c_int;
    type Log = unsafe extern "C" fn(*mut c_void, c_int, *const c_char);
    let null: *const c_void = ptr::null();
    put!(
        memory,
        xmpp_close_options,
        closing_tag = texts.pick(bytes),
        stream_error = texts.pick(bytes),
        stream_error_text = texts.pick(bytes),
        stream_error_element = texts.pick(bytes),
        stream_error_address = texts.pick(bytes),
        farewell = payload.as_ptr(),
        farewell_len = length,
        residual = if flags & 2 != 0 { null } else { payload.as_ptr().cast() },
        residual_len = length,
        peer_header = if flags & 32 != 0 { null } else { payload.as_ptr().cast() },
        peer_header_len = if flags & 32 != 0 { 0 } else { length },
        header = if flags & 64 != 0 { null } else { payload.as_ptr().cast() },
        header_len = if flags & 64 != 0 { 0 } else { length },
        on_stanza = (flags & 4 != 0).then_some(liar::stanza as Take),
        on_data = (flags & 8 != 0).then_some(liar::data as Take),
        on_farewell = (flags & 16 != 0).then_some(liar::farewell as Compose),
        on_log = (flags & 128 != 0).then_some(liar::log as Log),
        userdata = null,
        canceller = null
    );
    memory
}

/// Lets `ask` write into some memory; it succeeds when that is a struct and the rest `makes_sense`.
pub(super) fn report(bytes: &mut Bytes, ask: impl FnOnce(*mut xmpp_close_report) -> c_int, makes_sense: bool) {
    let mut memory = Memory::new(bytes, REPORT);
    let before = Memory(memory.0);
    let result = ask(memory.0.as_mut_ptr().cast());
    assert_eq!(result, if before.is_struct(REPORT) && makes_sense { OK } else { INVALID });
    memory.check_written(&before, REPORT, result);
    if result == OK && before.size() >= REPORT.now {
        for behind in [
            offset_of!(xmpp_close_report, stream_error_text),
            offset_of!(xmpp_close_report, stream_error_address),
            offset_of!(xmpp_close_report, stream_error_element),
            offset_of!(xmpp_close_report, stream_error_name),
            REPORT.now,
        ] {
            assert_eq!(memory.0[behind - 1], 0, "a text without its NUL");
        }
    }
}

/// The framer of C against that of Rust.
fn framer(texts: &Texts, payload: &[u8]) {
    let mut framer = MaybeUninit::uninit();
    let root = &texts.0[0];
    // SAFETY: the pointers are to variables, and to bytes with their length.
    unsafe {
        let made = xmpp_close_framer_new_inside(root.as_ptr(), 0, framer.as_mut_ptr());
        assert!([OK, INVALID].contains(&made), "{made}");
        if made == INVALID {
            return;
        }
        let framer = framer.assume_init();
        let (mut rust, mut rest, mut at) = (Framer::inside(root.to_str().ok()), payload, 0);
        loop {
            let (mut consumed, mut xml, mut len) = (0, ptr::null(), 0);
            let data = payload[at..].as_ptr().cast();
            let frame = xmpp_close_framer_next(framer, data, payload.len() - at, &mut consumed, &mut xml, &mut len);
            at += consumed;
            let (expected, bytes) = match rust.next(&mut rest) {
                None => (0, None),
                Some(Frame::Header(bytes)) => (1, Some(bytes)),
                Some(Frame::Stanza(bytes)) => (2, Some(bytes)),
                Some(Frame::Oversize(_)) => (3, None),
                Some(Frame::End) => (4, None),
                Some(Frame::Malformed(why)) => (5, Some(why.condition().as_str().as_bytes())),
                Some(other) => panic!("{other:?}"),
            };
            assert_eq!((frame, payload.len() - at), (expected, rest.len()));
            assert!(bytes.is_none_or(|bytes| bytes == slice::from_raw_parts(xml, len)));
            if !(1..=3).contains(&frame) {
                break;
            }
        }
        assert_eq!(xmpp_close_framer_between_stanzas(framer) == 1, rust.between_stanzas());
        xmpp_close_framer_free(framer);
    }
}

/// The same options as they are for an engine, mostly: without what it has no use for.
fn for_engine(bytes: &mut Bytes, mut memory: Memory) -> Memory {
    if bytes.byte() % 4 != 0 {
        let null: *const c_char = ptr::null();
        type Take = unsafe extern "C" fn(*mut c_void, *const u8, usize) -> c_int;
        type Compose = unsafe extern "C" fn(*mut c_void, *mut u8, usize, *mut usize) -> c_int;
        put!(
            memory,
            xmpp_close_options,
            stream_error = null,
            stream_error_text = null,
            stream_error_element = null,
            stream_error_address = null,
            residual_len = 0_usize,
            detach = 0_u32,
            on_stanza = None::<Take>,
            on_data = None::<Take>,
            on_farewell = None::<Compose>,
        );
    }
    memory
}

/// The memory of a newer program's struct, as long as the largest size that is tried.
#[repr(C)]
struct Newer {
    error: xmpp_close_error,
    more: [u8; 256],
}

pub fn capi(data: &[u8]) {
    let mut bytes = Bytes(data);
    let texts = Texts::new(&mut bytes);
    let length = bytes.byte();
    let payload = bytes.take(length.into());
    let memory = options(&mut bytes, &texts, payload);
    let (mut stream, mut seconds) = (ptr::null_mut(), 0);
    let engine = for_engine(&mut bytes, memory.clone());
    // SAFETY: the options are as the header demands, and the other pointers are to variables or NULL.
    unsafe {
        let result = xmpp_close_new(engine.0.as_ptr().cast(), 0, &mut stream);
        assert!(result == OK && engine.is_struct(OPTIONS) || [NULL, INVALID].contains(&result), "{result}");
        if result == OK {
            let mut error = xmpp_close_error {
                struct_size: size_of::<xmpp_close_error>(),
                condition: texts.pick(&mut bytes),
                text: texts.pick(&mut bytes),
                address: texts.pick(&mut bytes),
                element: texts.pick(&mut bytes),
            };
            let finished = xmpp_close_finish(stream, &raw const error, 1);
            assert!([OK, NULL, INVALID].contains(&finished), "{finished}");
            assert_eq!(xmpp_close_peer_error(stream, &raw const error, 1), OK);
            // A program may be newer than the library: its struct is longer, and what the library does not know is zero.
            error.struct_size = bytes.byte().into();
            let mut newer = Newer { error, more: [0; 256] };
            newer.more[0] = bytes.byte() & 1;
            let unknown = error.struct_size > size_of::<xmpp_close_error>() && newer.more[0] != 0;
            let known = error.struct_size >= size_of::<xmpp_close_error>() && !unknown;
            let told = xmpp_close_peer_error(stream, (&raw const newer).cast(), 1);
            assert_eq!(told, if known { OK } else { INVALID });
            report(&mut bytes, |target| xmpp_close_get_report(stream, target), true);
        }
        xmpp_close_free(stream);
        let found = xmpp_close_idle_seconds(payload.as_ptr().cast(), payload.len(), &mut seconds);
        assert!(found == c_int::from(seconds != 0), "{found}: {seconds}");
    }
    closes::batch(&mut bytes, &texts, &memory, payload);
    closes::blocking(&mut bytes, &memory, payload);
    framer(&texts, payload);
}
