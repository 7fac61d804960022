//! Many streams closed in one thread: under one deadline, or beside an event loop.

#[path = "../support/foreign.rs"]
mod foreign;
#[path = "../support/peer.rs"]
mod peer;

mod callbacks;
mod deadline;
mod endings;
mod kept;
mod live;
mod refused;
mod removed;
mod settings;
mod spread;
