//! The peer's stream error (RFC 6120 section 4.9).

use super::{
    local_name,
    scope::{Declarations, NS_STREAMS, Scope, namespace},
    walk::{Piece, Tag, Walk},
};
use crate::stream_error::{NS_STREAM_ERRORS, StreamError};

/// What is looked at of a stream error.
const MAX_ERROR: usize = 16 * 1024;
/// What is kept of each text in it.
const MAX_TEXT: usize = 1024;

/// Whether a first-level element is a stream error, in the scope of the stream's header.
///
/// No more of it is read than its start tag, and that only when it is called `error`: nearly every stanza is none.
pub(crate) fn is_stream_error(stanza: &[u8], header: &Scope) -> bool {
    let tag = || match Walk::new(std::str::from_utf8(stanza).ok()?).next()? {
        Piece::Start(tag) => Some(tag),
        _ => None,
    };
    local_name(stanza) == b"error" && tag().is_some_and(|tag| in_streams(&tag, header))
}

fn in_streams(tag: &Tag, header: &Scope) -> bool {
    namespace(tag, [].iter(), header).is_some_and(|namespace| namespace == NS_STREAMS)
}

/// Reads a stream error, in the scope of the stream's header.
///
/// It comes from a peer that something went wrong with, so it is taken as far as it can be read (F-30).
pub(crate) fn stream_error(error: &[u8], header: &Scope) -> StreamError {
    let mut pieces = Walk::new(start(std::str::from_utf8(error).unwrap_or_default(), MAX_ERROR));
    let mut parts = ErrorParts::default();
    let Some(Piece::Start(error)) = pieces.next() else { return parts.into_error() };
    let around = [Declarations::of(&error)];
    let mut nothing = None;
    // Where character data goes; directly inside the error it is what servers sent before RFC 3920.
    let mut into = &mut parts.loose;
    let mut depth = u32::from(!error.empty);
    while depth > 0 {
        match pieces.next() {
            Some(Piece::Start(tag)) if depth > 1 => {
                if !tag.empty {
                    depth += 1;
                    into = &mut nothing;
                }
            }
            Some(Piece::Start(tag)) => {
                let Some(namespace) = namespace(&tag, around.iter(), header) else { break };
                let child = parts.child(&namespace, tag.local_name());
                into = if tag.empty { &mut parts.loose } else { child.unwrap_or(&mut nothing) };
                depth += u32::from(!tag.empty);
            }
            Some(Piece::End) => {
                depth -= 1;
                into = if depth == 1 { &mut parts.loose } else { &mut nothing };
            }
            Some(Piece::Text(text)) => text.append_to(into.get_or_insert_default(), MAX_TEXT),
            None => break,
        }
    }
    parts.into_error()
}

impl StreamError {
    /// Reads a stream error, for a program with a parser of its own. `element` is a whole first-level element as it came,
    /// from its `<` to its `>`; `None` when it is something else, such as a stanza.
    ///
    /// `header` is the start tag of the peer's stream as it came. A stream error has a namespace of its own, and may have
    /// any prefix that `header` declares for it. Without `header`, a stream error must be `<stream:error>`, as in the
    /// usual header.
    ///
    /// What is not well-formed is read up to the fault. A condition that RFC 6120 does not define is kept as
    /// [`unknown_condition`](Self::unknown_condition). For a stanza, only its name is looked at.
    ///
    /// ```
    /// use xmpp_close::{Condition, StreamError};
    ///
    /// let header = "<s:stream xmlns='jabber:server' xmlns:s='http://etherx.jabber.org/streams'>";
    /// let element =
    ///     "<s:error><system-shutdown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></s:error>";
    /// let error = StreamError::from_element(element, Some(header));
    /// assert_eq!(error.map(|error| error.condition()), Some(Condition::SystemShutdown));
    /// assert_eq!(StreamError::from_element("<message type='error'/>", Some(header)), None);
    /// ```
    pub fn from_element(element: &str, header: Option<&str>) -> Option<Self> {
        if local_name(element.as_bytes()) != b"error" {
            return None;
        }
        let header = header.map(|header| Scope::of(header.as_bytes())).unwrap_or_default();
        let element = element.as_bytes();
        is_stream_error(element, &header).then(|| stream_error(element, &header))
    }
}

/// The parts of a stream error; each is the first of its kind.
#[derive(Default)]
struct ErrorParts {
    condition: Option<String>,
    detail: Option<String>,
    text: Option<String>,
    loose: Option<String>,
    application: Option<String>,
}

impl ErrorParts {
    /// A child of the error; with the place for its character data.
    fn child(&mut self, namespace: &str, name: &str) -> Option<&mut Option<String>> {
        let defined = namespace == NS_STREAM_ERRORS;
        if defined && name == "text" {
            return self.text.is_none().then_some(&mut self.text);
        }
        if defined && self.condition.is_none() {
            self.condition = Some(start(name, MAX_TEXT).to_owned());
            return Some(&mut self.detail);
        }
        if !defined && self.application.is_none() {
            self.application = Some(start(&format!("{{{namespace}}}{name}"), MAX_TEXT).to_owned());
        }
        None
    }

    fn into_error(self) -> StreamError {
        let said = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
        let mut error = StreamError::received(self.condition.as_deref().unwrap_or("undefined-condition"));
        if let Some(text) = said(self.text).or(said(self.loose)) {
            error = error.with_text(text);
        }
        if let Some(detail) = said(self.detail) {
            error = error.with_detail(detail.trim());
        }
        if let Some(application) = self.application {
            error = error.with_application(application);
        }
        error
    }
}

/// The beginning of `text`, of at most `length` bytes.
fn start(text: &str, length: usize) -> &str {
    let mut end = text.len().min(length);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::condition::Condition;

    const NS: &str = "xmlns='urn:ietf:params:xml:ns:xmpp-streams'";

    fn read(stanza: &[u8], header: &Scope) -> Option<StreamError> {
        is_stream_error(stanza, header).then(|| stream_error(stanza, header))
    }

    fn error(children: &str) -> StreamError {
        read(format!("<stream:error>{children}</stream:error>").as_bytes(), &Scope::default()).unwrap()
    }

    #[test]
    fn a_stream_error_carries_condition_text_and_application_element() {
        let error = error(&format!(
            "<undefined-condition {NS}/><text {NS} xml:lang='en'>too <![CDATA[<high>]]> &amp; so</text>\
             <handled-count-too-high xmlns='urn:xmpp:sm:3' h='10'/>"
        ));
        assert_eq!(error.condition(), Condition::UndefinedCondition);
        assert_eq!((error.unknown_condition(), error.text()), (None, Some("too <high> & so")));
        assert_eq!(error.application(), Some("{urn:xmpp:sm:3}handled-count-too-high"));
    }

    #[test]
    fn a_stream_error_is_known_by_its_namespace_and_not_by_its_prefix() {
        let usual = Scope::default();
        let header = b"<x:stream xmlns:x='http://etherx.jabber.org/streams' xmlns='jabber:server'>";
        let prefixed = "<x:error><e:reset xmlns:e='urn:ietf:params:xml:ns:xmpp-streams'/></x:error>";
        assert_eq!(read(prefixed.as_bytes(), &Scope::of(header)).unwrap().condition(), Condition::Reset);
        let default = format!("<error xmlns='http://etherx.jabber.org/streams'><reset {NS}/></error>");
        assert_eq!(read(default.as_bytes(), &usual).unwrap().condition(), Condition::Reset);
        assert!(read(b"<error><reset/></error>", &usual).is_none(), "an error in jabber:client");
        assert!(read(b"<message type='error'><error/></message>", &usual).is_none());
        assert!(read(b"<stream:errors/>", &usual).is_none());
        assert!(read(b"", &usual).is_none());
    }

    #[test]
    fn an_event_loop_knows_a_stream_error_by_the_peers_header() {
        let header = "<x:stream xmlns:x='http://etherx.jabber.org/streams' xmlns='jabber:client'>";
        let read = StreamError::from_element;
        let reset = |prefix: &str| format!("<{prefix}error><reset {NS}/><text {NS}>soon</text></{prefix}error>");
        assert_eq!(read(&reset("x:"), Some(header)).unwrap().to_string(), "reset (soon)");
        assert_eq!(read(&reset("stream:"), None).unwrap().to_string(), "reset (soon)");
        assert_eq!(read(&reset("stream:"), Some(header)), None, "a prefix that this stream does not have");
        assert_eq!(read(&reset("x:"), None), None);
        assert_eq!(read(&reset(""), Some(header)), None, "an error in jabber:client");
        let default = "<stream xmlns='http://etherx.jabber.org/streams'>";
        assert_eq!(read(&reset(""), Some(default)).unwrap().condition(), Condition::Reset);
        for none in ["<message><x:error/></message>", "<x:errors/>", "", "<", "x:error"] {
            assert_eq!(read(none, Some(header)), None, "{none}");
        }
        // What is no header puts nothing in scope, and a broken error gives what could be read.
        assert_eq!(
            read("<stream:error><conflict", Some("no header")).unwrap().condition(),
            Condition::UndefinedCondition
        );
    }

    #[test]
    fn an_unknown_or_missing_condition_is_undefined() {
        let unknown = error(&format!("<fizzbuzz {NS}/>"));
        assert_eq!(
            (unknown.condition(), unknown.unknown_condition()),
            (Condition::UndefinedCondition, Some("fizzbuzz"))
        );
        assert_eq!(error("").condition(), Condition::UndefinedCondition);
        let before_rfc_3920 = error("Disconnected");
        assert_eq!(
            (before_rfc_3920.condition(), before_rfc_3920.text()),
            (Condition::UndefinedCondition, Some("Disconnected"))
        );
    }

    #[test]
    fn see_other_host_keeps_its_address() {
        let error = error(&format!("<see-other-host {NS}> [2001:db8::1]:5222\n</see-other-host>"));
        assert_eq!((error.condition(), error.detail()), (Condition::SeeOtherHost, Some("[2001:db8::1]:5222")));
    }

    #[test]
    fn a_long_text_is_cut_on_a_character() {
        let long = error(&format!("<reset {NS}/><text {NS}>x{}</text>", "é".repeat(3000)));
        assert_eq!(long.text().map(str::len), Some(1023));
        let endless = error(&format!("<reset {NS}/><text {NS}>{}</text>", "x".repeat(100_000)));
        assert_eq!((endless.condition(), endless.text().map(str::len)), (Condition::Reset, Some(1024)));
    }

    #[test]
    fn a_broken_stream_error_gives_what_could_be_read() {
        let broken = error(&format!("<conflict {NS}/><no:prefix/>"));
        assert_eq!(broken.condition(), Condition::Conflict);
    }
}
