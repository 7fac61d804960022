//! STARTTLS (RFC 6120 section 5), up to where TLS begins.

use std::time::Instant;

use xmpp_close::{Stanza, Stream, Transport};

use crate::{
    Failure,
    login::{self, LoginError},
};

pub fn is_offered(features: &Stanza) -> bool {
    !login::texts(features, "starttls").is_empty()
}

/// Asks for it; when this returns the stream, the server waits for TLS.
pub fn request<T: Transport>(mut stream: Stream<T>, deadline: Instant) -> Result<Stream<T>, Failure> {
    match negotiate(&mut stream, deadline) {
        Ok(true) => Ok(stream),
        Ok(false) => {
            login::close_useless(stream, login::GOODBYE);
            Err(Failure::Tls("the server offers STARTTLS, but refuses it".into()))
        }
        Err(error) => Err(Failure::Tls(login::give_up(stream, error).to_string())),
    }
}

fn negotiate<T: Transport>(stream: &mut Stream<T>, deadline: Instant) -> Result<bool, LoginError> {
    let awaited = "the answer to STARTTLS";
    login::send(stream, "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", awaited)?;
    match login::stanza(stream, deadline, awaited)?.name() {
        "proceed" => Ok(true),
        "failure" => Ok(false),
        _ => Err(LoginError::NotXmpp("no answer to STARTTLS".into())),
    }
}
