//! A scripted wire: the test gives beforehand what the peer sends, and no call ever waits.

use std::{cell::RefCell, collections::VecDeque, io, rc::Rc, time::Duration};

use crate::transport::{BorrowedSocket, Interest, Transport};

/// What the peer sends, one text for each read, and what it got, one text for each write.
#[derive(Default)]
pub(super) struct Wire {
    pub(super) incoming: VecDeque<&'static str>,
    /// Whether TCP ends behind `incoming`. If not, later reads would block.
    pub(super) ends: bool,
    /// Whether the peer sends `<b/>` without end.
    pub(super) floods: bool,
    /// Whether the wire says that there is nothing to read.
    pub(super) quiet: bool,
    pub(super) blocked: bool,
    pub(super) written: Vec<String>,
    pub(super) calls: usize,
    pub(super) read: usize,
}

#[derive(Clone, Default)]
pub(super) struct Scripted(pub(super) Rc<RefCell<Wire>>);

impl Scripted {
    pub(super) fn sending(incoming: &[&'static str]) -> Self {
        let wire = Self::default();
        wire.0.borrow_mut().incoming = incoming.iter().copied().collect();
        wire
    }

    pub(super) fn got(&self) -> Vec<String> {
        std::mem::take(&mut self.0.borrow_mut().written)
    }

    pub(super) fn sends(&self, bytes: &'static str) {
        self.0.borrow_mut().incoming.push_back(bytes);
    }
}

impl Transport for Scripted {
    fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut wire = self.0.borrow_mut();
        wire.calls += 1;
        let bytes = if wire.floods { Some("<b/>") } else { wire.incoming.pop_front() };
        match bytes {
            Some(bytes) if wire.floods => {
                let count = buf.len() / bytes.len() * bytes.len();
                buf[..count].copy_from_slice(bytes.repeat(count / bytes.len()).as_bytes());
                wire.read += count;
                Ok(count)
            }
            Some(bytes) => {
                buf[..bytes.len()].copy_from_slice(bytes.as_bytes());
                Ok(bytes.len())
            }
            None if wire.ends => Ok(0),
            None => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut wire = self.0.borrow_mut();
        wire.calls += 1;
        if wire.blocked {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        wire.written.push(String::from_utf8(bytes.to_vec()).unwrap());
        Ok(bytes.len())
    }

    fn is_quiet(&self) -> bool {
        self.0.borrow().quiet
    }

    fn shut(&mut self) -> io::Result<()> {
        self.0.borrow_mut().calls += 1;
        Ok(())
    }

    fn wait(&mut self, _: Interest, _: Duration, _: Option<BorrowedSocket<'_>>) -> io::Result<Interest> {
        panic!("a step does not wait")
    }
}
