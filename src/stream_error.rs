//! Stream errors (RFC 6120 section 4.9): what a peer says was wrong, or what we say before our closing tag.

#[cfg(feature = "serde")]
mod data;

use std::fmt;

use crate::{
    condition::Condition,
    error::{Error, Invalid},
    framing::Malformed,
};

pub(crate) const NS_STREAM_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-streams";

/// A stream error (RFC 6120 section 4.9): a condition, and what was said with it.
///
/// To close with a stream error, see [`CloseOptions::stream_error`](crate::CloseOptions::stream_error). The peer's stream
/// error is in [`Report::stream_error`](crate::Report::stream_error).
///
/// ```
/// use xmpp_close::{CloseOptions, Condition, StreamError};
///
/// # fn main() -> Result<(), xmpp_close::Error> {
/// let error = StreamError::new(Condition::PolicyViolation)?.with_text("a stanza was too large");
/// assert_eq!(error.condition(), Condition::PolicyViolation);
/// assert_eq!(error.text(), Some("a stanza was too large"));
/// assert_eq!(error.to_string(), "policy-violation (a stanza was too large)");
/// let options = CloseOptions::new().stream_error(error);
///
/// let too_high = "<handled-count-too-high xmlns='urn:xmpp:sm:3' h='10' send-count='8'/>";
/// assert_eq!(StreamError::undefined(too_high).application(), Some(too_high));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(from = "data::Data", into = "data::Data")
)]
pub struct StreamError {
    condition: Condition,
    /// Boxed because few errors have any, and each stream has room for two errors.
    words: Option<Box<Words>>,
}

/// What an error says beside its condition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Words {
    unknown: Option<String>,
    detail: Option<String>,
    text: Option<String>,
    application: Option<String>,
}

impl StreamError {
    /// A stream error with this condition, and nothing beside it yet.
    ///
    /// # Errors
    /// [`Error::Invalid`] for the two conditions that say nothing alone:
    ///
    /// - [`UndefinedCondition`](Condition::UndefinedCondition), which needs an element of the application's own: use
    ///   [`undefined`](Self::undefined);
    /// - [`SeeOtherHost`](Condition::SeeOtherHost), which needs an address: use [`see_other_host`](Self::see_other_host).
    // ER-11, RFC 6120 sections 4.9.3.19 and 4.9.3.21
    pub fn new(condition: Condition) -> Result<Self, Error> {
        match condition {
            Condition::UndefinedCondition => Err(Invalid::UndefinedCondition.into()),
            Condition::SeeOtherHost => Err(Invalid::SeeOtherHost.into()),
            condition => Ok(Self::defined(condition)),
        }
    }

    /// `undefined-condition` with an element of the application's own, which is sent as it is:
    /// `<handled-count-too-high xmlns='urn:xmpp:sm:3' …/>`.
    // ER-12
    pub fn undefined(application: impl Into<String>) -> Self {
        Self::defined(Condition::UndefinedCondition).with_application(application)
    }

    /// `see-other-host` with the address to which the peer is to connect instead (RFC 6120 section 4.9.3.19): a host name
    /// or an IP address, and a port if it is not the usual one. An IPv6 address stands in brackets: `"[2001:db8::1]:5222"`.
    ///
    /// ```
    /// # fn main() -> Result<(), xmpp_close::Error> {
    /// let error = xmpp_close::StreamError::see_other_host("xmpp2.example.net:5222")?;
    /// assert_eq!(error.detail(), Some("xmpp2.example.net:5222"));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::Invalid`] when the address is empty or has white space in it.
    pub fn see_other_host(address: impl Into<String>) -> Result<Self, Error> {
        let address = address.into();
        match address.is_empty() || address.contains(char::is_whitespace) {
            true => Err(Invalid::Address.into()),
            false => Ok(Self::defined(Condition::SeeOtherHost).with_detail(address)),
        }
    }

    pub(crate) const fn defined(condition: Condition) -> Self {
        Self { condition, words: None }
    }

    fn say(mut self, what: impl FnOnce(&mut Words) -> &mut Option<String>, said: String) -> Self {
        *what(self.words.get_or_insert_default()) = Some(said);
        self
    }

    fn said(&self, what: impl FnOnce(&Words) -> &Option<String>) -> Option<&str> {
        self.words.as_ref().and_then(|words| what(words).as_deref())
    }

    /// The peer's stream error, for a program whose own parser found it: `name` is the name of the condition, without its
    /// prefix. A name that RFC 6120 does not define counts as `undefined-condition`, and is kept as
    /// [`unknown_condition`](Self::unknown_condition). A program that has the element as text calls
    /// [`from_element`](Self::from_element).
    ///
    /// ```
    /// use xmpp_close::{Condition, StreamError};
    ///
    /// let error = StreamError::received("see-other-host").with_detail("xmpp2.example.net");
    /// assert_eq!(error.condition(), Condition::SeeOtherHost);
    /// assert_eq!(error.detail(), Some("xmpp2.example.net"));
    /// assert_eq!(StreamError::received("fizzbuzz").unknown_condition(), Some("fizzbuzz"));
    /// ```
    // ER-06
    pub fn received(name: &str) -> Self {
        match name.parse() {
            Ok(known) => Self::defined(known),
            Err(_) => Self::defined(Condition::UndefinedCondition).say(|words| &mut words.unknown, name.to_owned()),
        }
    }

    /// Adds a text for people. Programs should not look at it (RFC 6120 section 4.9.2).
    #[must_use]
    pub fn with_text(self, text: impl Into<String>) -> Self {
        self.say(|words| &mut words.text, text.into())
    }

    /// Adds an element of the application's own, which is sent as it is (RFC 6120 section 4.9.4).
    #[must_use]
    pub fn with_application(self, element: impl Into<String>) -> Self {
        self.say(|words| &mut words.application, element.into())
    }

    /// Adds character data inside the condition. Only `see-other-host` has any.
    #[must_use]
    pub fn with_detail(self, detail: impl Into<String>) -> Self {
        self.say(|words| &mut words.detail, detail.into())
    }

    /// The condition; [`UndefinedCondition`](Condition::UndefinedCondition) for one that RFC 6120 does not define.
    pub fn condition(&self) -> Condition {
        self.condition
    }

    /// The name that the peer sent as condition, if RFC 6120 does not define it.
    // ER-06
    pub fn unknown_condition(&self) -> Option<&str> {
        self.said(|words| &words.unknown)
    }

    /// The text for people.
    pub fn text(&self) -> Option<&str> {
        self.said(|words| &words.text)
    }

    /// Character data inside the condition: after `see-other-host`, the address to connect to.
    // BK-06
    pub fn detail(&self) -> Option<&str> {
        self.said(|words| &words.detail)
    }

    /// The application's own element: as it was given, or `{namespace}name` when it came from a peer.
    pub fn application(&self) -> Option<&str> {
        self.said(|words| &words.application)
    }

    /// The element as it goes on the wire. `root` is the qualified name of the stream's root (`stream:stream`): the error
    /// element has the same prefix.
    pub(crate) fn to_xml(&self, root: &str) -> String {
        let prefix = root.rfind(':').map_or("", |colon| &root[..=colon]);
        let mut xml = format!("<{prefix}error><{} xmlns='{NS_STREAM_ERRORS}'", self.condition);
        match self.detail() {
            Some(detail) => xml += &format!(">{}</{}>", escape(detail), self.condition),
            None => xml += "/>",
        }
        if let Some(text) = self.text() {
            xml += &format!("<text xmlns='{NS_STREAM_ERRORS}'>{}</text>", escape(text));
        }
        xml += self.application().unwrap_or_default();
        xml + &format!("</{prefix}error>")
    }
}

/// Escapes character data; what XML cannot carry at all becomes U+FFFD (RFC 6120 section 11.3: no ill-formed output).
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '\t' | '\n' | '\r' => out.push(c),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            _ => out.push(c),
        }
    }
    out
}

impl std::error::Error for StreamError {}

/// What is said to a peer that sends something else than an XMPP stream.
impl From<Malformed> for StreamError {
    fn from(malformed: Malformed) -> Self {
        Self::defined(malformed.condition())
    }
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.unknown_condition().unwrap_or(self.condition.as_str()))?;
        match self.text() {
            // One line, whatever the peer has said: a line break of its text would forge a line of a log.
            Some(text) => write!(f, " ({})", text.replace(char::is_control, " ")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_element_takes_the_prefix_of_the_stream() {
        let error = StreamError::new(Condition::SystemShutdown).unwrap().with_text("a<b");
        let inner = "<system-shutdown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>\
                     <text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>a&lt;b</text>";
        assert_eq!(error.to_xml("stream:stream"), format!("<stream:error>{inner}</stream:error>"));
        assert_eq!(error.to_xml("stream"), format!("<error>{inner}</error>"));
    }

    #[test]
    fn a_text_of_several_lines_is_printed_in_one() {
        let error =
            StreamError::new(Condition::SystemShutdown).unwrap().with_text("bye\r\n[info] forged\u{85}\u{1b}[2J");
        assert_eq!(error.to_string(), "system-shutdown (bye  [info] forged  [2J)");
    }

    #[test]
    fn undefined_condition_needs_an_application_element() {
        assert!(StreamError::new(Condition::UndefinedCondition).is_err());
        let error = StreamError::undefined("<too-high xmlns='x'/>");
        assert!(error.to_xml("stream:stream").contains("<too-high xmlns='x'/></stream:error>"));
    }

    #[test]
    fn an_unknown_condition_is_undefined_and_keeps_its_name() {
        let error = StreamError::received("fizzbuzz");
        assert_eq!(error.condition(), Condition::UndefinedCondition);
        assert_eq!(error.unknown_condition(), Some("fizzbuzz"));
    }

    #[test]
    fn text_cannot_make_the_stream_ill_formed() {
        let error = StreamError::new(Condition::Reset).unwrap().with_text("\u{0}]]>\u{ffff}");
        assert!(error.to_xml("s:stream").contains("\u{fffd}]]&gt;\u{fffd}"));
    }

    #[test]
    fn see_other_host_carries_its_address() {
        let error = StreamError::see_other_host("[::1]:5222").unwrap();
        assert!(error.to_xml("stream:stream").contains(">[::1]:5222</see-other-host>"));
    }

    #[test]
    fn see_other_host_is_refused_without_an_address() {
        assert!(StreamError::new(Condition::SeeOtherHost).is_err());
        for address in ["", " ", "\n", "a b"] {
            assert!(StreamError::see_other_host(address).is_err(), "{address:?}");
        }
    }
}
