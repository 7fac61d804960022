//! A client's part of stream management (XEP-0198). It counts and acknowledges what was handled, and resumes a session
//! that was detached.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Instant,
};

use xmpp_close::{CloseOptions, Stanza, Stream, Transport, xml::XmlEvent};

use crate::login::{self, LoginError};

const NS: &str = "urn:xmpp:sm:3";

/// How many stanzas of the peer were handled, and acknowledged, modulo 2³²; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Handled(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    handled: AtomicU32,
    acknowledged: AtomicU32,
}

impl Handled {
    /// To be called for every element that comes. It counts only stanzas, not other elements of the first level.
    pub fn count(&self, stanza: &Stanza) {
        if matches!(stanza.name(), "message" | "presence" | "iq") {
            self.count_one();
        }
    }

    pub fn count_one(&self) {
        self.0.handled.fetch_add(1, Ordering::Relaxed);
    }

    pub fn number(&self) -> u32 {
        self.0.handled.load(Ordering::Relaxed)
    }

    /// What the last `<a/>` said.
    pub fn acknowledged(&self) -> u32 {
        self.0.acknowledged.load(Ordering::Relaxed)
    }

    /// An `<a/>` for all that was handled.
    pub fn acknowledge(&self) -> String {
        let number = self.number();
        self.0.acknowledged.store(number, Ordering::Relaxed);
        format!("<a xmlns='{NS}' h='{number}'/>")
    }

    /// Makes the final `<a/>` the last element in front of our closing tag, or of the end of a detached connection. It
    /// counts what was handled by then; what comes later cannot be acknowledged any more.
    pub fn at_the_end(&self, options: CloseOptions) -> CloseOptions {
        let handled = self.clone();
        options.farewell_with(move || handled.acknowledge().into_bytes())
    }
}

/// A session whose stanzas are acknowledged.
#[derive(Clone, Debug)]
pub struct Managed {
    pub handled: Handled,
    /// The id by which the session can be resumed, if the server allows it.
    pub id: Option<String>,
}

pub fn is_offered(features: &Stanza) -> bool {
    features.reader().into_iter().any(|event| match event {
        Ok(XmlEvent::StartElement { name, .. }) => name.local_name == "sm" && name.namespace.as_deref() == Some(NS),
        _ => false,
    })
}

/// Begins on a stream with a bound resource; `None` if the server refuses. What comes before its answer is not counted.
///
/// # Errors
/// Those of a login.
pub fn enable<T: Transport>(
    stream: &mut Stream<T>,
    resumable: bool,
    deadline: Instant,
) -> Result<Option<Managed>, LoginError> {
    let awaited = "the answer to <enable/>";
    let resume = if resumable { " resume='true'" } else { "" };
    login::send(stream, &format!("<enable xmlns='{NS}'{resume}/>"), awaited)?;
    loop {
        let answer = login::stanza(stream, deadline, awaited)?;
        match answer.name() {
            "enabled" => {
                let resumable = matches!(attribute(&answer, "resume").as_deref(), Some("true" | "1"));
                let id = attribute(&answer, "id").filter(|_| resumable);
                return Ok(Some(Managed { handled: Handled::default(), id }));
            }
            "failed" => return Ok(None),
            _ => {}
        }
    }
}

/// Resumes a session in the place of binding a resource: the server's number of handled stanzas, or the condition for
/// which it refuses.
///
/// # Errors
/// Those of a login.
pub fn resume<T: Transport>(
    stream: &mut Stream<T>,
    session: &Managed,
    deadline: Instant,
) -> Result<Result<u32, String>, LoginError> {
    let awaited = "the answer to <resume/>";
    let (id, h) = (login::escape(session.id.as_deref().unwrap_or_default()), session.handled.number());
    login::send(stream, &format!("<resume xmlns='{NS}' previd='{id}' h='{h}'/>"), awaited)?;
    let answer = login::stanza(stream, deadline, awaited)?;
    match answer.name() {
        "resumed" => {
            let h = attribute(&answer, "h").and_then(|h| h.parse().ok());
            h.map(Ok).ok_or_else(|| LoginError::NotXmpp("<resumed/> without a number".into()))
        }
        "failed" => Ok(Err(login::condition(&answer, &[]))),
        name => Err(LoginError::NotXmpp(format!("<{}/> as {awaited}", login::short(name)))),
    }
}

fn attribute(stanza: &Stanza, wanted: &str) -> Option<String> {
    login::attributes(stanza).into_iter().find(|(name, _)| name == wanted).map(|(_, value)| value)
}
