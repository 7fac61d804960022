//! Many streams closed in one thread: under one deadline, or beside an event loop.

#[cfg(target_os = "linux")]
#[path = "../support/foreign.rs"]
mod foreign;
#[path = "../support/local.rs"]
mod local;
#[path = "../support/peer.rs"]
mod peer;

mod callbacks;
mod deadline;
#[cfg(target_os = "linux")]
mod descriptor;
mod endings;
mod kept;
mod live;
mod refused;
mod removed;
mod settings;
mod spread;
