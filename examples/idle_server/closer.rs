//! All streams that are to end are closed in one batch, by one thread: a session hands its own over, and forgets it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use xmpp_close::{Batch, BatchHandle, BatchOptions, CloseOptions, Stanza, Stream, Transport};

/// Who is being closed, by the index in the batch.
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

    /// Closes a stream by handshake. What still arrives is taken by `late`; how it ended is printed.
    pub fn close<T: Transport + Send + 'static>(
        &self,
        name: String,
        stream: Stream<T>,
        options: &CloseOptions,
        mut late: impl FnMut(Stanza) + Send + 'static,
    ) {
        println!("{name}: closing");
        let mut names = self.names.lock(); // it may have ended as soon as it is in the batch
        match self.handle.add_stream(stream, options, move |stanza| late(stanza.into_owned())) {
            Ok(index) => drop(names.insert(index, name)),
            Err(error) => println!("{name}: {error}"),
        }
    }

    /// Lets the thread that closes look at what else there is.
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
