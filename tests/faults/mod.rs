//! One stream of the fault matrix: the peer's script, our close through each API, and what must hold.

pub mod apis;
pub mod case;
pub mod model;
pub mod ours;
pub mod random;
pub mod script;
pub mod stop;
pub mod through_loop;

use crate::{callbacks, event_loop, local, peer, tls};
