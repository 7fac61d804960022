//! What cannot be in a batch is refused when it is added.

use std::{io, time::Duration};

use xmpp_close::{
    Batch, BatchOptions, BorrowedSocket, CloseOptions, Condition, Error, Interest, Outcome, Stanza, StreamError,
    Transport,
};

use crate::{
    local::lent,
    peer::{self, PATIENCE, TAG},
};

fn ignore(_: Stanza<&str>) {}

#[test]
fn a_socket_cannot_be_in_a_batch_twice() {
    let (ours, theirs) = peer::pair();
    let peer = peer::peer(theirs, |mut peer| peer.read_tag().send(TAG).expect_eof());
    let mut batch = Batch::new().unwrap();
    batch.add(lent(&ours), &CloseOptions::new(), ignore).unwrap();
    let again = batch.add(lent(&ours), &CloseOptions::new(), ignore);
    assert!(matches!(again, Err(Error::Invalid(_))), "{again:?}");
    let done = batch.run(BatchOptions::new().total(PATIENCE)).unwrap();
    assert_eq!((done.reports.len(), done.reports[0].outcome), (1, Outcome::Clean));
    peer.join().unwrap();
}

/// On Windows a file is no socket, and that is found when it is compiled.
#[cfg(unix)]
#[test]
fn a_file_is_refused() {
    let file: std::os::fd::OwnedFd = std::fs::File::open("Cargo.toml").unwrap().into();
    let result = Batch::new().unwrap().add(file, &CloseOptions::new(), ignore);
    assert!(matches!(result, Err(Error::Invalid(_))), "{result:?}");
}

#[test]
fn a_transport_without_a_descriptor_is_refused() {
    struct Nowhere;
    impl Transport for Nowhere {
        fn try_read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::WouldBlock.into())
        }
        fn try_write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::WouldBlock.into())
        }
        fn shut(&mut self) -> io::Result<()> {
            Ok(())
        }
        fn wait(&mut self, _: Interest, _: Duration, _: Option<BorrowedSocket<'_>>) -> io::Result<Interest> {
            Ok(Interest::default())
        }
    }
    let result = Batch::new().unwrap().add(Nowhere, &CloseOptions::new(), ignore);
    assert!(matches!(result, Err(Error::Invalid(_))), "{result:?}");
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let (ours, _theirs) = peer::pair();
    let mut batch = Batch::new().unwrap();
    let result = batch.add(lent(&ours), &CloseOptions::new().closing_tag("<stream:stream>"), ignore);
    assert!(matches!(result, Err(Error::Invalid(_))), "{result:?}");
    // It is not watched, so it can be added once the mistake is found.
    batch.add(lent(&ours), &CloseOptions::new(), ignore).unwrap();
}

#[test]
fn an_error_and_a_detach_exclude_each_other() {
    let (ours, theirs) = peer::pair();
    let error = StreamError::new(Condition::Reset).unwrap();
    let result = CloseOptions::new().stream_error(error).detach(ours);
    assert!(matches!(result, Err(Error::Invalid(_))), "{result:?}");
    peer::peer(theirs, |mut peer| peer.expect_eof()).join().unwrap();
}
