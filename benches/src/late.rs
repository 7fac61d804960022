//! A peer over loopback that still sends much after it has read our closing tag.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::Arc,
    thread::{self, JoinHandle},
};

pub const TAG: &[u8] = b"</stream:stream>";

/// What the peer sends before its closing tag: blocks, each so many times.
#[derive(Clone)]
pub struct Late(Arc<Vec<(Vec<u8>, usize)>>);

impl Late {
    pub fn of(blocks: Vec<(Vec<u8>, usize)>) -> Self {
        Self(Arc::new(blocks))
    }

    /// A connection to a peer that sends this.
    pub fn connect(&self) -> (TcpStream, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (theirs, _) = listener.accept().unwrap();
        let late = self.clone();
        (ours, thread::spawn(move || late.serve(theirs)))
    }

    fn serve(&self, mut tcp: TcpStream) {
        let mut got = Vec::new();
        while !got.ends_with(TAG) {
            let mut bytes = [0; 1024];
            let count = tcp.read(&mut bytes).unwrap();
            assert!(count > 0, "the end came before the tag");
            got.extend_from_slice(&bytes[..count]);
        }
        let mut segment = Vec::new();
        for (block, times) in &*self.0 {
            for _ in 0..*times {
                if block.len() >= 64 * 1024 {
                    tcp.write_all(block).unwrap(); // not copied, since copies are counted in the whole process
                    continue;
                }
                segment.extend_from_slice(block);
                if segment.len() >= 64 * 1024 {
                    tcp.write_all(&segment).unwrap();
                    segment.clear();
                }
            }
        }
        segment.extend_from_slice(TAG);
        tcp.write_all(&segment).unwrap();
        assert_eq!(tcp.read(&mut [0]).unwrap(), 0);
    }
}
