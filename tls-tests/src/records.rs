//! The records that came over the wire, by the headers that TLS leaves in the clear.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::setup::Version;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// Application data, or in TLS 1.3 anything as long as that.
    Data,
    /// An alert. In TLS 1.3 it is disguised as data, but nothing else has its length (two bytes, type, tag).
    Alert,
    /// A `KeyUpdate` of TLS 1.3, likewise.
    KeyUpdate,
    /// Anything else: the handshake.
    Other,
}

/// A socket that remembers which records came, as bytes are read from it.
pub struct Tap {
    pub tcp: TcpStream,
    pub log: Arc<Log>,
    /// What is written waits here, to leave in one piece.
    pub corked: Option<Vec<u8>>,
}

#[derive(Default)]
pub struct Log {
    bytes: Mutex<Vec<u8>>,
    /// The last byte of what comes next is to be spoilt.
    pub spoil: AtomicBool,
}

impl Log {
    pub fn add(&self, bytes: &[u8]) {
        self.bytes.lock().unwrap().extend_from_slice(bytes);
    }

    /// All whole records from our end.
    pub fn records(&self, version: Version) -> Vec<Record> {
        let bytes = self.bytes.lock().unwrap();
        let mut rest = bytes.as_slice();
        let mut records = Vec::new();
        while let [kind, _, _, high, low, body @ ..] = rest {
            let length = usize::from(*high) << 8 | usize::from(*low);
            let Some(after) = body.get(length..) else { break };
            records.push(match (version, *kind, length) {
                (_, 21, _) | (Version::Tls13, 23, 19) => Record::Alert,
                (Version::Tls13, 23, 22) => Record::KeyUpdate,
                (_, 23, _) => Record::Data,
                _ => Record::Other,
            });
            rest = after;
        }
        records
    }

    /// A record has begun and not ended.
    pub fn is_inside_record(&self) -> bool {
        let bytes = self.bytes.lock().unwrap();
        let mut rest = bytes.as_slice();
        while let [_, _, _, high, low, body @ ..] = rest {
            match body.get(usize::from(*high) << 8 | usize::from(*low)..) {
                Some(after) => rest = after,
                None => return true,
            }
        }
        !rest.is_empty()
    }
}

impl Read for Tap {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.tcp.read(buf)?;
        self.log.add(&buf[..count]);
        // A record's body, not its header.
        if count > 5 && self.log.spoil.swap(false, Ordering::Relaxed) {
            buf[count - 1] ^= 1;
        }
        Ok(count)
    }
}

impl Write for Tap {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.corked {
            Some(corked) => corked.write(bytes),
            None => self.tcp.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
