//! Our own stream header, which we compose when a stream ends before the program has sent one.

use std::hash::{BuildHasher, RandomState};

use crate::{
    condition::Condition,
    stream_error::StreamError,
    xml::{Header, NS_STREAMS},
};

/// The longest header of the peer's, in bytes, that is read to answer it. A longer one gets the shortest header, because
/// reading it would cost too much.
pub(super) const LONGEST: usize = 4096;
/// The content namespaces that an answer repeats (RFC 6120 section 4.8.3, XEP-0114). Any other is answered with the first.
const CONTENT: [&str; 4] = ["jabber:client", "jabber:server", "jabber:component:accept", "jabber:component:connect"];

/// The header that goes in front of `error` and our closing tag (RFC 6120 section 4.9.1.2). `peer` is the start tag of the
/// peer's header, which ours answers as section 4.7 says; empty when the peer has sent none.
pub(super) fn compose(peer: &[u8], error: Option<&StreamError>) -> String {
    let peer = Some(peer).filter(|peer| peer.len() <= LONGEST).and_then(|peer| std::str::from_utf8(peer).ok());
    let peer = peer.and_then(|peer| Header::parse(peer).ok());
    let named = |namespace: &&&str| peer.as_ref().and_then(|peer| peer.namespace.as_deref()) == Some(**namespace);
    let content = CONTENT.iter().find(named).unwrap_or(&CONTENT[0]);
    let mut header =
        format!("<?xml version='1.0'?><stream:stream xmlns='{content}' xmlns:stream='{NS_STREAMS}' version='1.0'");
    if let Some(peer) = peer {
        header += &format!(" id='{:016x}'", RandomState::new().hash_one(0));
        // A server that does not serve the host must not answer in its name (section 4.9.1.3).
        let served = error.is_none_or(|error| error.condition() != Condition::HostUnknown);
        for (name, value) in [("from", peer.to.filter(|_| served)), ("to", peer.from)] {
            if let Some(value) = value {
                header += &format!(" {name}='{}'", escape(&value));
            }
        }
    }
    header + ">"
}

/// Escapes an attribute value.
fn escape(value: &str) -> String {
    value.replace('&', "&amp;").replace('<', "&lt;").replace('\'', "&apos;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(header: &str) -> Header {
        Header::parse(header.strip_prefix("<?xml version='1.0'?>").unwrap()).unwrap()
    }

    #[test]
    fn a_peer_of_which_nothing_is_known_gets_the_least_header() {
        let least = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
                     xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";
        assert_eq!(compose(b"", None), least);
        assert_eq!(compose(b"<stream:stream to='x'>", None), least, "a header that cannot be read");
        let long = format!("<stream to='{}' xmlns='{NS_STREAMS}'>", "x".repeat(LONGEST));
        assert_eq!(compose(long.as_bytes(), None), least);
    }

    #[test]
    fn a_header_is_answered_in_its_own_namespace_and_the_other_way_round() {
        let peer = format!(
            "<s:stream xmlns='jabber:server' xmlns:s='{NS_STREAMS}' from='a&apos;&lt;&amp;b' to='capulet.example'>"
        );
        let answer = read(&compose(peer.as_bytes(), None));
        assert_eq!((answer.root.as_str(), answer.is_stream), ("stream:stream", true));
        assert_eq!(answer.namespace.as_deref(), Some("jabber:server"));
        assert_eq!((answer.from.as_deref(), answer.to.as_deref()), (Some("capulet.example"), Some("a'<&b")));
        assert_ne!(answer.id, read(&compose(peer.as_bytes(), None)).id);
        assert_eq!(answer.id.map(|id| id.len()), Some(16));
    }

    #[test]
    fn a_namespace_that_is_no_streams_is_not_repeated() {
        let peer = format!("<s:stream xmlns='urn:x' xmlns:s='{NS_STREAMS}'>");
        assert_eq!(read(&compose(peer.as_bytes(), None)).namespace.as_deref(), Some("jabber:client"));
    }

    #[test]
    fn no_answer_comes_in_the_name_of_a_host_that_is_not_served() {
        let peer = format!("<s:stream xmlns='jabber:client' xmlns:s='{NS_STREAMS}' from='a@b' to='elsewhere.example'>");
        let error = StreamError::new(Condition::HostUnknown).unwrap();
        let answer = read(&compose(peer.as_bytes(), Some(&error)));
        assert_eq!((answer.from, answer.to.as_deref()), (None, Some("a@b")));
    }
}
