//! Which sessions there are, and what becomes of a stanza.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError, mpsc},
};

use xmpp_close::{Condition, Stanza, Waker};

use crate::{
    DOMAIN,
    element::{Element, escape, random},
    session::{Stop, stop},
};

/// The mailboxes of the bound sessions, by their full JIDs.
#[derive(Default)]
pub struct Router(Mutex<HashMap<String, Mailbox>>);

/// Where other threads put stanzas for a session.
#[derive(Clone)]
pub struct Mailbox {
    pub sender: mpsc::SyncSender<String>,
    pub waker: Waker,
}

impl Router {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Mailbox>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Binds the resource that the client wishes for, or another one; returns the full JID.
    pub fn join(&self, user: &str, wish: &str, mailbox: &Mailbox) -> String {
        let mut sessions = self.lock();
        let jid = |resource: &str| format!("{user}@{DOMAIN}/{resource}");
        let free = Some(wish).filter(|wish| !wish.is_empty()).map(jid).filter(|jid| !sessions.contains_key(jid));
        let jid = free.unwrap_or_else(|| jid(&random()));
        sessions.insert(jid.clone(), mailbox.clone());
        jid
    }

    /// When this returns, nothing more comes into the session's mailbox.
    pub fn leave(&self, jid: &str) {
        self.lock().remove(jid);
        self.deliver(bare(jid), &format!("<presence type='unavailable' from='{}'/>", escape(jid)));
    }

    /// Carries out what a client sends on a bound stream, and returns the answer, if there is one.
    pub fn process(&self, from: &str, stanza: &Stanza) -> Result<Option<String>, Stop> {
        let element = Element::read(stanza)?;
        if element.get("from").is_some_and(|claimed| claimed != from) {
            return Err(stop(Condition::InvalidFrom));
        }
        let kind = element.get("type").unwrap_or_default();
        let to = element.get("to").unwrap_or(bare(from));
        Ok(match element.name.as_str() {
            "{jabber:client}presence" => {
                self.deliver(to, &stamped(stanza, &element, from));
                None
            }
            "{jabber:client}message" => {
                let delivered = self.deliver(to, &stamped(stanza, &element, from));
                (!delivered && kind != "error").then(|| element.error("message"))
            }
            "{jabber:client}iq" => matches!(kind, "get" | "set").then(|| serve(&element)),
            _ => return Err(stop(Condition::UnsupportedStanzaType)),
        })
    }

    /// Puts `stanza` into the mailbox of a full JID, or into all of an account.
    fn deliver(&self, to: &str, stanza: &str) -> bool {
        let sessions = self.lock();
        let mailboxes = sessions.iter().filter(|(jid, _)| *jid == to || bare(jid) == to).map(|(_, mailbox)| mailbox);
        let delivered = mailboxes.filter(|mailbox| mailbox.sender.try_send(stanza.to_owned()).is_ok());
        delivered.inspect(|mailbox| mailbox.waker.wake()).count() > 0
    }
}

/// The little that clients want to know before they call themselves connected.
fn serve(iq: &Element) -> String {
    match iq.child.as_str() {
        "{urn:xmpp:ping}ping" | "{urn:ietf:params:xml:ns:xmpp-session}session" => iq.result(""),
        "{jabber:iq:roster}query" => iq.result("<query xmlns='jabber:iq:roster'/>"),
        "{http://jabber.org/protocol/disco#items}query" => {
            iq.result("<query xmlns='http://jabber.org/protocol/disco#items'/>")
        }
        "{http://jabber.org/protocol/disco#info}query" => iq.result(
            "<query xmlns='http://jabber.org/protocol/disco#info'><identity category='server' type='im'/>\
             <feature var='http://jabber.org/protocol/disco#info'/><feature var='urn:xmpp:ping'/></query>",
        ),
        _ => iq.error("iq"),
    }
}

fn bare(jid: &str) -> &str {
    jid.split('/').next().unwrap_or_default()
}

/// The stanza with its sender's address (RFC 6120 section 8.1.2.1).
fn stamped(stanza: &Stanza, element: &Element, from: &str) -> String {
    let xml = stanza.as_str();
    let end = xml.find([' ', '\t', '\r', '\n', '/', '>']).unwrap_or(xml.len());
    match element.get("from") {
        Some(_) => xml.to_owned(),
        None => format!("{} from='{}'{}", &xml[..end], escape(from), &xml[end..]),
    }
}
