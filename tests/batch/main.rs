//! Many streams closed in one thread, under one deadline.

#[path = "../support/peer.rs"]
mod peer;

mod callbacks;
mod deadline;
mod endings;
mod refused;
mod spread;
