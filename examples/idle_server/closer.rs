//! One thread closes all streams that are to end, in one batch: a session hands its stream over, and forgets it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use xmpp_close::{Batch, BatchHandle, BatchOptions, CloseOptions, Stanza, Stream, Transport};

/// The names of the streams that are being closed, by their index in the batch.
#[derive(Clone, Default)]
struct Names(Arc<Mutex<HashMap<usize, String>>>);

impl Names {
    fn lock(&self) -> MutexGuard<'_, HashMap<usize, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub struct Closer {
    handle: BatchHandle<'static>,
    names: Names,
}

impl Closer {
    pub fn new(batch: &Batch<'static>) -> Self {
        Self { handle: batch.handle(), names: Names::default() }
    }

    /// Closes a stream by handshake. `late` handles what still arrives; how the stream ended is printed.
    pub fn close<T: Transport + Send + 'static>(
        &self,
        name: String,
        stream: Stream<T>,
        options: &CloseOptions,
        mut late: impl FnMut(Stanza) + Send + 'static,
    ) {
        println!("{name}: closing");
        let mut names = self.names.lock(); // the stream may have ended as soon as it is in the batch
        match self.handle.add_stream(stream, options, move |stanza| late(stanza.into_owned())) {
            Ok(index) => drop(names.insert(index, name)),
            Err(error) => println!("{name}: {error}"),
        }
    }

    /// Wakes the thread that closes, so that it looks whether the server goes down.
    pub fn wake(&self) {
        self.handle.wake();
    }

    /// For the batch.
    pub fn options(&self) -> BatchOptions<'static> {
        let names = self.names.clone();
        BatchOptions::new().on_end(move |index, report| {
            let name = names.lock().remove(&index).unwrap_or_default();
            println!("{name}: {report}");
        })
    }
}
