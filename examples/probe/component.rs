//! How an external component opens a stream (XEP-0114).

use std::time::{Duration, Instant};

use sha1_smol::Sha1;
use xmpp_close::{
    Condition, Stream, Transport,
    xml::{EventReader, XmlEvent},
};

use crate::{
    Failure,
    login::{self, LoginError},
    remote,
};

/// Opens a component's stream over a connected transport, waiting `limit` at most.
pub fn open<T: Transport>(transport: T, name: &str, secret: &str, limit: Duration) -> Result<Stream<T>, Failure> {
    let mut stream = Stream::new(transport);
    stream.write_limit(limit);
    match shake_hands(&mut stream, name, secret, Instant::now() + limit) {
        Ok(()) => Ok(stream),
        Err(error) => Err(failure(&login::give_up(stream, error), name)),
    }
}

fn shake_hands<T: Transport>(
    stream: &mut Stream<T>,
    name: &str,
    secret: &str,
    deadline: Instant,
) -> Result<(), LoginError> {
    let header = login::exchange_start_tags(stream, "xmlns='jabber:component:accept'", name, deadline)?;
    let id = stream_id(&header).ok_or_else(|| LoginError::NotXmpp("its stream header has no id".into()))?;
    let awaited = "the answer to the secret";
    login::send(stream, &format!("<handshake>{}</handshake>", hash(&id, secret)), awaited)?;
    match login::stanza(stream, deadline, awaited)?.name() {
        "handshake" => Ok(()),
        name => Err(LoginError::NotXmpp(format!("<{}/> as {awaited}", login::short(name)))),
    }
}

/// What proves that we know the secret, without showing it.
fn hash(id: &str, secret: &str) -> String {
    Sha1::from(format!("{id}{secret}")).digest().to_string()
}

fn stream_id(header: &str) -> Option<String> {
    EventReader::from_str(header).into_iter().find_map(|event| match event {
        Ok(XmlEvent::StartElement { attributes, .. }) => {
            let mut ids = attributes.into_iter().filter(|attribute| attribute.name.local_name == "id");
            ids.next().map(|id| id.value)
        }
        _ => None,
    })
}

fn failure(error: &LoginError, name: &str) -> Failure {
    let condition = match error {
        LoginError::StreamError(error) => Some(error.condition()),
        _ => None,
    };
    match condition {
        Some(Condition::NotAuthorized) => {
            Failure::Login(format!("the server wants another secret of the component {name}"))
        }
        Some(Condition::HostUnknown) => Failure::NotOpened(format!("the server does not know the component {name}")),
        _ => remote::failure(error, name),
    }
}
