//! In the place of `tls.rs` without TLS: the package `tls-tests` runs the same tests over TLS.

use std::net::TcpStream;

use crate::faults::{apis::Api, ours::Ours, script::Line};

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tls {}

impl Tls {
    pub fn open(self, _: Api, _: TcpStream, _: TcpStream) -> (Ours, Box<dyn Line>) {
        match self {}
    }
}
