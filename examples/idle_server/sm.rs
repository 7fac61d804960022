//! Stream management (XEP-0198) in miniature: what the client sends is acknowledged. There is no resumption, and what
//! the client acknowledges is not kept in the first place.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use xmpp_close::Stanza;

use crate::{element::Element, session::Stop};

const NS: &str = "urn:xmpp:sm:3";
pub const FEATURE: &str = "<sm xmlns='urn:xmpp:sm:3'/>";

/// The acknowledgements of one stream.
#[derive(Default)]
pub struct Management {
    /// How many stanzas of the client were handled since the client enabled this, modulo 2³². `None`: it has not.
    handled: Option<Arc<AtomicU32>>,
}

impl Management {
    /// The answer to an element of this extension, which may be empty; `None` for any other element.
    pub fn answer(&mut self, stanza: &Stanza, bound: bool) -> Result<Option<String>, Stop> {
        if is_counted(stanza) {
            return Ok(None);
        }
        let element = Element::read(stanza)?;
        let Some((NS, name)) = element.name.strip_prefix('{').and_then(|name| name.split_once('}')) else {
            return Ok(None);
        };
        let failed = |condition| {
            format!("<failed xmlns='{NS}'><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>")
        };
        Ok(Some(match (name, &self.handled) {
            ("enable", None) if bound => {
                self.handled = Some(Arc::default());
                format!("<enabled xmlns='{NS}'/>")
            }
            ("resume", None) if !bound => failed("item-not-found"),
            ("r", Some(handled)) => acknowledgement(handled),
            ("a", Some(_)) => String::new(),
            _ => failed("unexpected-request"),
        }))
    }

    /// A stanza of the client's is handled. One that is refused with a stream error counts as handled, too, because the
    /// numbers of the stanzas behind it include it.
    pub fn count(&self, stanza: &Stanza) {
        if let Some(handled) = self.handled.as_ref().filter(|_| is_counted(stanza)) {
            handled.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The last element in front of our closing tag (XEP-0198 section 4). Stanzas that come later cannot be
    /// acknowledged any more: the client takes them for lost, and may send them again.
    pub fn last_word(&self) -> impl Fn() -> String + Send + Sync + 'static {
        let handled = self.handled.clone();
        move || handled.as_deref().map(acknowledgement).unwrap_or_default()
    }
}

fn acknowledgement(handled: &AtomicU32) -> String {
    format!("<a xmlns='{NS}' h='{}'/>", handled.load(Ordering::Relaxed))
}

/// Only stanzas are counted, not every element of the first level.
fn is_counted(stanza: &Stanza) -> bool {
    matches!(stanza.name(), "message" | "presence" | "iq")
}
