//! What a peer can send in any size, and every way in which the library reads it. The bench, the fuzz target and the
//! tests share this file.
#![allow(dead_code, reason = "each user needs its part")]

use std::{
    ffi::{c_int, c_void},
    hint::black_box,
    io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    ptr,
    time::Duration,
};

use xmpp_close::{
    Batch, BatchOptions, CloseOptions, Framer, Incoming, Interest, Stream, Transport,
    xml::{Header, idle_seconds},
};

/// Where the content stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a start tag, behind its name.
    Tag,
    /// Between a start tag and its end tag.
    Body,
}

/// Content that is as long as one likes: `unit` many times, and then `back` as often. A `%` in either is a number, each
/// time another one.
#[derive(Clone, Copy, Debug)]
pub struct Shape<'a> {
    pub place: Place,
    pub head: &'a str,
    pub unit: &'a str,
    pub middle: &'a str,
    pub back: &'a str,
    pub tail: &'a str,
}

const fn tag(unit: &'static str) -> Shape<'static> {
    Shape { place: Place::Tag, head: "", unit, middle: "", back: "", tail: "" }
}

const fn body(unit: &'static str, back: &'static str) -> Shape<'static> {
    Shape { place: Place::Body, head: "", unit, middle: "", back, tail: "" }
}

/// As deep, and in as many namespaces, as `Stanza::reader` still reads.
macro_rules! ten {
    ($text:expr) => {
        concat!($text, $text, $text, $text, $text, $text, $text, $text, $text, $text)
    };
}
const DEEP: Shape = Shape {
    head: concat!(
        "<a xmlns:a='b' xmlns:b='b' xmlns:c='b' xmlns:d='b' xmlns:e='b' xmlns:f='b' xmlns:g='b' xmlns:h='b'>",
        "<a xmlns:i='b' xmlns:j='b' xmlns:k='b' xmlns:l='b' xmlns:m='b' xmlns:n='b' xmlns:o='b' xmlns:p='b'>",
        "<a xmlns:q='b' xmlns:r='b' xmlns:s='b' xmlns:t='b' xmlns:u='b' xmlns:v='b' xmlns:w='b' xmlns:x='b'>",
        ten!("<a><a><a><a><a><a><a><a><a>"),
    ),
    tail: concat!(ten!("</a></a></a></a></a></a></a></a></a>"), "</a></a></a>"),
    ..body("<a/>", "")
};

/// The shapes that were dear once, or look as if they could be.
pub const SHAPES: [(&str, Shape); 34] = [
    ("declarations", tag(" xmlns:a%='b'")),
    ("declarations of one prefix", tag(" xmlns:a='b'")),
    ("declarations of the streams namespace", tag(" xmlns:a%='http://etherx.jabber.org/streams'")),
    ("attributes", tag(" a%='b'")),
    ("attributes of one name", tag(" a=''")),
    ("attributes with a prefix", tag(" stream:a%=''")),
    ("attributes of many prefixes", tag(" xmlns:a%='b' a%:a=''")),
    ("attributes on lines of their own", tag("\n\ta =\n'b'")),
    ("a long attribute name", Shape { head: " ", tail: "=''", ..tag("n") }),
    ("a long attribute value", Shape { head: " a='", tail: "'", ..tag("v") }),
    ("a long namespace", Shape { head: " xmlns:a='", tail: "'", ..tag("v") }),
    ("references in a value", Shape { head: " a='", tail: "'", ..tag("&lt;") }),
    ("character references in a value", Shape { head: " a='", tail: "'", ..tag("&#97;&#x61;") }),
    ("wide characters in a value", Shape { head: " a='", tail: "'", ..tag("é") }),
    ("tiny stanzas", body("<a/>", "")),
    ("tiny stanzas with end tags", body("<a></a>", "")),
    ("stanzas", body("<message to='a@b' id='%'><body>hello, %</body></message>", "")),
    ("elements called error", body("<error/>", "")),
    ("stream errors", body("<stream:error/>", "")),
    ("stream errors by their own declaration", body("<error xmlns='http://etherx.jabber.org/streams'/>", "")),
    (
        "stream errors with conditions",
        body("<stream:error><reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>", ""),
    ),
    ("conditions", body("<reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>", "")),
    ("limits", body("<limits xmlns='urn:xmpp:stream-limits:0'/>", "")),
    ("nesting", body("<a>", "</a>")),
    ("nesting with declarations", body("<a xmlns='b'>", "</a>")),
    ("nesting with prefixes", body("<a xmlns:a%='b'>", "</a>")),
    ("nesting with long names", body("<a23456789.123456789.123456789>", "</a23456789.123456789.123456789>")),
    ("nesting of features", body("<stream:features>", "</stream:features>")),
    ("elements deep in many namespaces", DEEP),
    ("text", body("Art thou not Romeo, and a Montague? ", "")),
    ("references", body("&lt;", "")),
    ("character references", body("&#97;", "")),
    ("CDATA sections", body("<![CDATA[]]>", "")),
    ("brackets and wide characters", body("]é\u{fffd}\u{10000}", "")),
];

impl Shape<'_> {
    /// At least so many bytes, and little more.
    pub fn content(&self, size: usize) -> String {
        let mut content = self.head.to_owned();
        let back = self.back.len().max(1);
        let mut times = 0;
        while content.len() + if self.back.is_empty() { 0 } else { times * back } < size && !self.unit.is_empty() {
            content += &self.unit.replace('%', &times.to_string());
            times += 1;
        }
        content += self.middle;
        for number in (0..times).rev().filter(|_| !self.back.is_empty()) {
            content += &self.back.replace('%', &number.to_string());
        }
        content + self.tail
    }

    /// An element of this name with so much content.
    pub fn element(&self, name: &str, size: usize) -> String {
        let content = self.content(size);
        match self.place {
            Place::Tag => format!("<{name}{content}></{name}>"),
            Place::Body => format!("<{name}>{content}</{name}>"),
        }
    }

    /// The same without an element around it, where it can be so.
    pub fn first_level(&self, size: usize) -> String {
        match self.place {
            Place::Tag => self.element("a", size),
            Place::Body => self.content(size),
        }
    }
}

const ROOT: &str = "stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'";
/// No stanza here is longer.
const LIMIT: usize = 64 << 20;

/// What was read, and by whom.
pub struct Way {
    pub name: &'static str,
    pub place: Option<Place>,
    /// The bytes that the peer sends for so much of a shape.
    pub bytes: fn(&Shape, usize) -> Vec<u8>,
    /// Reads them.
    pub read: fn(&[u8]),
}

fn first_level(shape: &Shape, size: usize) -> Vec<u8> {
    shape.first_level(size).into_bytes()
}

fn in_stream_error(shape: &Shape, size: usize) -> Vec<u8> {
    shape.element("stream:error", size).into_bytes()
}

fn in_features(shape: &Shape, size: usize) -> Vec<u8> {
    shape.element("stream:features", size).into_bytes()
}

fn header(shape: &Shape, size: usize) -> Vec<u8> {
    format!("<{ROOT}{}>", shape.content(size)).into_bytes()
}

/// A header of this shape, and behind it as many bytes of elements that the header could make dear.
fn header_and_errors(shape: &Shape, size: usize) -> Vec<u8> {
    let errors = ["<error/>", "<a23:error/>", "<stream:error><a23:a/></stream:error>"].concat();
    [header(shape, size / 2), errors.repeat(size / 2 / errors.len()).into_bytes()].concat()
}

/// All but `Stanza::reader`, which has the `xml` crate's own costs.
pub const WAYS: [Way; 15] = [
    Way { name: "Framer", place: None, bytes: first_level, read: |bytes| frame(bytes, usize::MAX) },
    Way { name: "Framer, 1-byte pieces", place: None, bytes: first_level, read: |bytes| frame(bytes, 1) },
    Way { name: "xmpp_close_framer_next", place: None, bytes: first_level, read: c_framer },
    Way { name: "Stream", place: None, bytes: first_level, read: |bytes| session(&[ROOT_TAG, bytes].concat()) },
    Way {
        name: "Stream, in a stream error",
        place: None,
        bytes: in_stream_error,
        read: |bytes| session(&[ROOT_TAG, bytes].concat()),
    },
    Way { name: "Stream, in the header", place: Some(Place::Tag), bytes: header_and_errors, read: session },
    Way { name: "close", place: None, bytes: first_level, read: close },
    Way { name: "close, in a stream error", place: None, bytes: in_stream_error, read: close },
    Way {
        name: "close, peer_header",
        place: Some(Place::Tag),
        bytes: header,
        read: |bytes| close_with_header(bytes, b""),
    },
    Way { name: "Batch", place: None, bytes: first_level, read: batch },
    Way { name: "Batch, in a stream error", place: None, bytes: in_stream_error, read: batch },
    Way { name: "Header::parse", place: Some(Place::Tag), bytes: header, read: parse_header },
    Way {
        name: "idle_seconds",
        place: None,
        bytes: in_features,
        read: |bytes| {
            stanzas(bytes, |stanza| {
                black_box(idle_seconds(stanza));
            })
        },
    },
    Way { name: "xmpp_close_idle_seconds", place: None, bytes: in_features, read: c_idle_seconds },
    Way {
        name: "Stanza::name",
        place: None,
        bytes: in_features,
        read: |bytes| {
            stanzas(bytes, |stanza| {
                black_box(stanza.name());
            })
        },
    },
];

/// `Stanza::reader` has its own bounds, which are wider.
pub const READER: Way = Way {
    name: "Stanza::reader",
    place: None,
    bytes: |shape, size| shape.element("message", size).into_bytes(),
    read: |bytes| {
        stanzas(bytes, |stanza| {
            black_box(stanza.reader().into_iter().count());
        })
    },
};

const ROOT_TAG: &[u8] = b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

impl Way {
    /// Whether it is a way for such content.
    pub fn takes(&self, shape: &Shape) -> bool {
        self.place.is_none_or(|place| place == shape.place)
    }
}

fn frame(bytes: &[u8], piece: usize) {
    let mut framer = Framer::inside(None).limit(LIMIT);
    for mut piece in bytes.chunks(piece.min(bytes.len().max(1))) {
        while let Some(frame) = framer.next(&mut piece) {
            black_box(frame);
        }
    }
}

fn parse_header(bytes: &[u8]) {
    let _ = black_box(Header::parse(std::str::from_utf8(bytes).unwrap_or_default()));
}

fn session(bytes: &[u8]) {
    let mut stream = Stream::new(Memory::of(bytes));
    stream.stanza_limit(LIMIT);
    while let Ok(incoming) = stream.receive() {
        black_box(&incoming);
        if let Incoming::PeerClosed = incoming {
            return;
        }
    }
}

fn stanzas(bytes: &[u8], look: fn(&xmpp_close::Stanza)) {
    let mut closing = CloseOptions::new().stanza_limit(LIMIT).begin(Memory::of(bytes)).unwrap();
    (&mut closing).for_each(|stanza| look(&stanza));
    let _ = black_box(closing.finish());
}

fn close(bytes: &[u8]) {
    stanzas(bytes, |stanza| {
        black_box(stanza.as_bytes());
    });
}

fn close_with_header(header: &[u8], bytes: &[u8]) {
    let options = CloseOptions::new().peer_header(String::from_utf8_lossy(header));
    let _ = black_box(options.close(Memory::of(bytes)));
}

fn batch(bytes: &[u8]) {
    let mut batch = Batch::new().unwrap();
    let options = CloseOptions::new().stanza_limit(LIMIT);
    let take = |stanza: xmpp_close::Stanza<&str>| {
        black_box(stanza.as_bytes());
    };
    batch.add(Memory::of(bytes), &options, take).unwrap();
    black_box(batch.run(BatchOptions::new()).unwrap());
}

unsafe extern "C" {
    fn xmpp_close_idle_seconds(features: *const c_void, len: usize, seconds: *mut u32) -> c_int;
    fn xmpp_close_framer_new_inside(root: *const i8, stanza_limit: usize, out: *mut *mut c_void) -> c_int;
    fn xmpp_close_framer_free(f: *mut c_void);
    fn xmpp_close_framer_next(
        f: *mut c_void,
        data: *const c_void,
        len: usize,
        consumed: *mut usize,
        xml: *mut *const u8,
        xml_len: *mut usize,
    ) -> c_int;
}

fn c_idle_seconds(bytes: &[u8]) {
    let mut seconds = 0;
    // SAFETY: the bytes are as long as is said, and the number can be written.
    let found = unsafe { xmpp_close_idle_seconds(bytes.as_ptr().cast(), bytes.len(), &mut seconds) };
    black_box((found, seconds));
}

fn c_framer(mut bytes: &[u8]) {
    let (mut framer, mut used) = (ptr::null_mut(), 0);
    // SAFETY: a framer from its beginning to its end, bytes as long as is said, and numbers that can be written.
    unsafe {
        assert_eq!(xmpp_close_framer_new_inside(ptr::null(), LIMIT, &mut framer), 0);
        loop {
            let length = bytes.len();
            let frame = xmpp_close_framer_next(
                framer,
                bytes.as_ptr().cast(),
                length,
                &mut used,
                ptr::null_mut(),
                ptr::null_mut(),
            );
            bytes = &bytes[used..];
            if !(1..4).contains(&frame) {
                break;
            }
        }
        xmpp_close_framer_free(framer);
    }
}

/// A peer that has sent it all, and ends there.
struct Memory<'a> {
    bytes: &'a [u8],
    /// Always readable, and never read.
    ready: UnixStream,
}

impl<'a> Memory<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        let (ready, _) = UnixStream::pair().unwrap();
        Self { bytes, ready }
    }
}

impl Transport for Memory<'_> {
    fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let (piece, rest) = self.bytes.split_at(buf.len().min(self.bytes.len()));
        buf[..piece.len()].copy_from_slice(piece);
        self.bytes = rest;
        Ok(piece.len())
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn shut(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn wait(&mut self, interest: Interest, _: Duration, _: Option<BorrowedFd<'_>>) -> io::Result<Interest> {
        Ok(interest)
    }

    fn watch(&self, interest: Interest) -> Option<(BorrowedFd<'_>, Interest)> {
        Some((self.ready.as_fd(), interest))
    }
}

/// CPU time of this thread, which other programs hardly change.
pub fn thread_time() -> Duration {
    let mut time = std::mem::MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: the system fills the struct, and says so.
    let time = unsafe {
        assert_eq!(libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, time.as_mut_ptr()), 0);
        time.assume_init()
    };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// What some work costs.
pub fn cost(work: impl FnOnce()) -> Duration {
    let start = thread_time();
    work();
    thread_time() - start
}
