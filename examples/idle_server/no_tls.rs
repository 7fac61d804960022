//! In the place of `tls.rs` when the library was built without `rustls`.

use std::{io, net::TcpStream, path::Path, time::Duration};

/// There is no TLS.
pub enum Tls {}

impl Tls {
    pub fn load(_cert: &Path, _key: &Path) -> Result<Self, String> {
        Err("this server was built without TLS: cargo build --example idle_server --features rustls".to_owned())
    }

    pub fn accept(&self, _tcp: TcpStream, _limit: Duration) -> io::Result<TcpStream> {
        match *self {}
    }
}
