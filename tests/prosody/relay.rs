//! A TCP relay that notes what went over the wire, and in which order.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
};

use socket2::SockRef;

use crate::client::connect;

const TAG: &[u8] = b"</stream:stream>";
/// Small enough that what waits for a client waits in the server, not here.
const BUFFER: usize = 4096;

/// What the relay saw, in the order in which it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Bytes from the client.
    Client(Vec<u8>),
    /// The client's FIN.
    ClientFin,
    /// The client's RST.
    ClientReset,
    /// The server's closing tag, before it was handed on.
    ServerTag,
    /// The server's FIN.
    ServerFin,
}

/// A relay for one connection.
pub struct Relay {
    pub addr: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    thread: JoinHandle<()>,
}

impl Relay {
    /// Waits for one client and connects it to `server`.
    pub fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let addr = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let notes = seen.clone();
        let thread = thread::spawn(move || {
            let client = listener.accept().unwrap().0;
            let server = connect(server, BUFFER);
            SockRef::from(&client).set_send_buffer_size(BUFFER).unwrap();
            let (client_out, server_in) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            let upward = {
                let notes = notes.clone();
                thread::spawn(move || upward(client, server, &notes))
            };
            downward(server_in, client_out, &notes);
            upward.join().unwrap();
        });
        Self { addr, seen, thread }
    }

    /// Everything that was seen, once both directions have ended.
    pub fn finish(self) -> Vec<Seen> {
        self.thread.join().unwrap();
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}

fn upward(mut client: TcpStream, mut server: TcpStream, notes: &Mutex<Vec<Seen>>) {
    let mut buffer = [0; 65536];
    loop {
        match client.read(&mut buffer) {
            Ok(0) => break note(notes, Seen::ClientFin),
            Ok(count) => {
                note(notes, Seen::Client(buffer[..count].to_vec()));
                // A server that has gone is no reason not to look at what the client still sends.
                let _ = server.write_all(&buffer[..count]);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => break note(notes, Seen::ClientReset),
        }
    }
    let _ = server.shutdown(Shutdown::Write);
}

fn downward(mut server: TcpStream, mut client: TcpStream, notes: &Mutex<Vec<Seen>>) {
    let mut buffer = [0; BUFFER];
    let mut last = Vec::new();
    while let Ok(count @ 1..) = server.read(&mut buffer) {
        last.extend_from_slice(&buffer[..count]);
        if last.windows(TAG.len()).any(|window| window == TAG) {
            note(notes, Seen::ServerTag);
        }
        last.drain(..last.len().saturating_sub(TAG.len() - 1));
        if client.write_all(&buffer[..count]).is_err() {
            return;
        }
    }
    note(notes, Seen::ServerFin);
    let _ = client.shutdown(Shutdown::Write);
}

fn note(notes: &Mutex<Vec<Seen>>, seen: Seen) {
    notes.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
}
