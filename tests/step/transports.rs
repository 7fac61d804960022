//! Transports of peers that only a program could be: one blocks by chance, one never stops sending.

use std::{cell::RefCell, io, rc::Rc, time::Duration};

use xmpp_close::{BorrowedSocket, Interest, Transport};

/// xorshift: any seed gives the same again.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

/// What was tried since the step began, and how it went.
#[derive(Default)]
pub struct Tried {
    pub read_blocked: Option<bool>,
    pub write_blocked: Option<bool>,
    pub reads: usize,
    pub read: usize,
}

/// A peer that sends and takes what chance wants, and blocks now and then.
pub struct Moody {
    pub random: Random,
    pub tried: Rc<RefCell<Tried>>,
    pub incoming: Vec<u8>,
    pub taken: usize,
    pub always: bool,
}

impl Moody {
    fn blocks(&mut self) -> bool {
        !self.always && self.random.below(3) == 0
    }
}

impl Transport for Moody {
    fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let blocked = self.blocks();
        let mut tried = self.tried.borrow_mut();
        tried.read_blocked = Some(blocked);
        tried.reads += 1;
        if blocked {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let most = if self.always { buf.len() } else { self.random.below(buf.len()).max(1) };
        let rest = &self.incoming[self.taken..];
        let count = rest.len().min(most);
        buf[..count].copy_from_slice(&rest[..count]);
        self.taken += count;
        tried.read += count;
        Ok(count)
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let blocked = self.blocks();
        self.tried.borrow_mut().write_blocked = Some(blocked);
        if blocked { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(self.random.below(bytes.len()) + 1) }
    }

    fn shut(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn wait(&mut self, _: Interest, _: Duration, _: Option<BorrowedSocket<'_>>) -> io::Result<Interest> {
        panic!("a step does not wait")
    }
}

/// A peer that sends stanzas as fast as they are read, and never stops.
pub struct Flood {
    pub stanza: &'static [u8],
    pub at: usize,
}

impl Transport for Flood {
    fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        buf.iter_mut().zip(self.stanza.iter().cycle().skip(self.at)).for_each(|(to, from)| *to = *from);
        self.at = (self.at + buf.len()) % self.stanza.len();
        Ok(buf.len())
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn shut(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn wait(&mut self, _: Interest, _: Duration, _: Option<BorrowedSocket<'_>>) -> io::Result<Interest> {
        panic!("a step does not wait")
    }
}
