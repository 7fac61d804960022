//! In the place of `tls.rs` when the library was built without `rustls`.

use std::{net::TcpStream, time::Duration};

use crate::{
    Failure,
    recorder::Recorder,
    remote::{Encrypted, Target},
    timeline::Timeline,
};

pub type Session = TcpStream;

pub fn is_built_in() -> Result<(), Failure> {
    let how = "cargo run --release --features rustls --example probe";
    Err(Failure::Usage(format!("this probe was built without TLS; with it: {how}")))
}

pub fn secure(
    _tcp: TcpStream,
    _target: &Target,
    _timeline: &Timeline,
    _limit: Duration,
) -> Result<(Recorder<Session>, Encrypted), Failure> {
    is_built_in().map(|()| unreachable!())
}
