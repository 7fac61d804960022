//! Stream Limits Advertisement (XEP-0478).

use std::time::Duration;

use super::{
    Stanza,
    scope::{Declarations, NS_STREAMS, Scope, namespace},
    walk::{Piece, Walk},
};

const NS_LIMITS: &str = "urn:xmpp:stream-limits:0";
/// The offer of XEP-0288 in the features, and its acceptance, in which the initiating server announces its own limits.
const NS_BIDI: [&str; 2] = ["urn:xmpp:features:bidi", "urn:xmpp:bidi"];

/// How long we may send nothing before the peer calls the stream idle, and then probes or closes it. The peer announces this
/// limit as `idle-seconds` in its `<stream:features/>`, or between servers in `<bidi/>` (XEP-0478). Every byte that we send
/// counts, be it white space between stanzas.
///
/// `None` means that the limit is unknown, and not that there is none: the peer announced nothing, 0, or no number. A number
/// above [`u32::MAX`] counts as `u32::MAX`. Each announcement replaces the one before, so take the features after the login.
///
/// Act before the limit is reached: send something to keep the stream, or close it by handshake. Half of the limit, or 30 s
/// before its end, whichever is later, is early enough:
///
/// ```
/// # use std::{io::Write, os::unix::net::UnixStream};
/// use std::time::Duration;
/// use xmpp_close::{Incoming, Stream, xml};
///
/// fn act_after(idle: Duration) -> Duration {
///     (idle / 2).max(idle.saturating_sub(Duration::from_secs(30)))
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (ours, mut peer) = UnixStream::pair()?;
/// # peer.write_all(b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>\
/// #     <stream:features><limits xmlns='urn:xmpp:stream-limits:0'><idle-seconds>840</idle-seconds></limits>\
/// #     </stream:features>")?;
/// # let mut stream = Stream::new(ours);
/// # stream.receive()?;
/// let Incoming::Stanza(features) = stream.receive()? else { panic!("no features") };
/// assert_eq!(xml::idle_seconds(&features), Some(Duration::from_secs(840)));
/// assert_eq!(xml::idle_seconds(&features).map(act_after), Some(Duration::from_secs(810)));
/// # Ok(()) }
/// ```
///
/// [`Stream::idle_after`](crate::Stream::idle_after) is no clock for this limit: it looks at what the peer sends, and this
/// limit is about what we send.
pub fn idle_seconds<T: AsRef<str>>(features: &Stanza<T>) -> Option<Duration> {
    idle_seconds_in(features.as_str(), features.header())
}

/// The same for any element, as text. `header` is what its stream puts in scope.
pub(crate) fn idle_seconds_in(features: &str, header: &Scope) -> Option<Duration> {
    let seconds = find(features, header)?;
    Some(Duration::from_secs(seconds.into()))
}

/// Where in the features the walk is. Each place lies inside the one before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Outside,
    Features,
    Bidi,
    Limits,
    IdleSeconds,
    Elsewhere,
}

impl Place {
    fn enter(self, namespace: &str, name: &str) -> Self {
        match (self, namespace, name) {
            (Self::Outside, NS_STREAMS, "features") => Self::Features,
            (Self::Outside | Self::Features, namespace, "bidi") if NS_BIDI.contains(&namespace) => Self::Bidi,
            (Self::Features | Self::Bidi, NS_LIMITS, "limits") => Self::Limits,
            (Self::Limits, NS_LIMITS, "idle-seconds") => Self::IdleSeconds,
            _ => Self::Elsewhere,
        }
    }
}

fn find(features: &str, header: &Scope) -> Option<u32> {
    // The open elements that matter, with what they declare.
    let mut path: Vec<(Place, Declarations)> = Vec::new();
    // How many elements are open that do not matter.
    let mut elsewhere = 0_usize;
    let mut text = String::new();
    for piece in Walk::new(features) {
        let here = path.last().map_or(Place::Outside, |(place, _)| *place);
        match piece {
            // An element inside the number: then it is no number.
            Piece::Start(_) if here == Place::IdleSeconds => return None,
            Piece::Start(tag) if elsewhere > 0 => elsewhere += usize::from(!tag.empty),
            Piece::Start(tag) => {
                let around = path.iter().map(|(_, declarations)| declarations);
                let namespace = namespace(&tag, around, header);
                let place = namespace.map_or(Place::Elsewhere, |namespace| here.enter(&namespace, tag.local_name()));
                let is_whole = here == Place::Outside && (tag.empty || place == Place::Elsewhere);
                if is_whole || tag.empty && place == Place::IdleSeconds {
                    return None;
                }
                if place == Place::Elsewhere {
                    elsewhere = usize::from(!tag.empty);
                } else if !tag.empty {
                    path.push((place, Declarations::of(&tag)));
                }
            }
            Piece::End if elsewhere > 0 => elsewhere -= 1,
            Piece::End => match path.pop()?.0 {
                Place::IdleSeconds => return value(&text),
                _ if path.is_empty() => return None,
                _ => {}
            },
            Piece::Text(more) if elsewhere == 0 && here == Place::IdleSeconds => more.append_to(&mut text, usize::MAX),
            Piece::Text(_) => {}
        }
    }
    None
}

/// A positive integer as XML Schema writes it.
fn value(text: &str) -> Option<u32> {
    let text = text.trim_matches([' ', '\t', '\r', '\n']);
    let digits = text.strip_prefix('+').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // A number of digits only can fail only by its size.
    Some(digits.parse().unwrap_or(u32::MAX)).filter(|seconds| *seconds > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: &str = "xmlns='urn:xmpp:stream-limits:0'";

    /// In the scope of a usual header.
    fn idle(xml: &str) -> Option<u64> {
        idle_seconds(&Stanza::lent(xml, &Scope::default())).map(|idle| idle.as_secs())
    }

    /// The value in the features, as they are announced by servers.
    fn announced(value: &str) -> Option<u64> {
        idle(&format!(
            "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism>\
             </mechanisms><limits {LIMITS}><max-bytes>262144</max-bytes><idle-seconds>{value}</idle-seconds></limits>\
             <bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features>"
        ))
    }

    #[test]
    fn features_announce_the_idle_limit() {
        assert_eq!(announced("840"), Some(840));
        assert_eq!(announced("\n  1800\t\r"), Some(1800));
        assert_eq!(announced("007"), Some(7));
        assert_eq!(announced("+60"), Some(60));
        assert_eq!(announced("&#x31;<![CDATA[2]]>0"), Some(120));
    }

    #[test]
    fn bidirectional_servers_announce_the_idle_limit_in_bidi() {
        let limits = format!("<limits {LIMITS}><idle-seconds>60</idle-seconds></limits>");
        assert_eq!(idle(&format!("<bidi xmlns='urn:xmpp:bidi'>{limits}</bidi>")), Some(60));
        for ns in NS_BIDI {
            let bidi = format!("<bidi xmlns='{ns}'>{limits}</bidi>");
            assert_eq!(idle(&format!("<stream:features><x/>{bidi}</stream:features>")), Some(60));
        }
        assert_eq!(idle(&format!("<bidi xmlns='urn:xmpp:other'>{limits}</bidi>")), None);
    }

    #[test]
    fn names_are_known_by_their_namespace_and_not_by_their_prefix() {
        let streams = NS_STREAMS;
        let prefixed = "<l:limits xmlns:l='urn:xmpp:stream-limits:0'><l:idle-seconds>9</l:idle-seconds></l:limits>";
        assert_eq!(idle(&format!("<features xmlns='{streams}'>{prefixed}</features>")), Some(9));
        for (limits, seconds) in [("urn:xmpp:stream-limits:1", NS_LIMITS), (NS_LIMITS, "jabber:client")] {
            let inner = format!("<limits xmlns='{limits}'><idle-seconds xmlns='{seconds}'>9</idle-seconds></limits>");
            assert_eq!(idle(&format!("<stream:features>{inner}</stream:features>")), None, "{inner}");
        }
        let unprefixed = format!("<features><limits {LIMITS}><idle-seconds>9</idle-seconds></limits></features>");
        assert_eq!(idle(&unprefixed), None, "features in jabber:client");
    }

    #[test]
    fn what_is_not_announced_is_unknown() {
        assert_eq!(idle("<stream:features/>"), None);
        assert_eq!(idle(&format!("<stream:features><limits {LIMITS}/></stream:features>")), None);
        let max_bytes = format!("<limits {LIMITS}><max-bytes>10000</max-bytes></limits>");
        assert_eq!(idle(&format!("<stream:features>{max_bytes}</stream:features>")), None);
    }

    #[test]
    fn an_idle_limit_counts_only_in_its_place() {
        let seconds = format!("<idle-seconds {LIMITS}>9</idle-seconds>");
        let limits = format!("<limits {LIMITS}>{seconds}</limits>");
        for xml in [
            limits.clone(),
            seconds.clone(),
            format!("<message>{limits}</message>"),
            format!("<stream:features>{seconds}</stream:features>"),
            format!("<stream:features><x>{limits}</x></stream:features>"),
            format!("<stream:features><limits {LIMITS}><x>{seconds}</x></limits></stream:features>"),
            format!("<stream:features><stream:features>{limits}</stream:features></stream:features>"),
            format!("<stream:features/><stream:features>{limits}</stream:features>"),
        ] {
            assert_eq!(idle(&xml), None, "{xml}");
        }
    }

    #[test]
    fn a_value_that_makes_no_sense_is_unknown() {
        for value in ["", " ", "0", "-1", "+", "++1", "1.5", "1e3", "0x10", "1 2", "ten", "٣", "1<x/>2", "<x>1</x>"] {
            assert_eq!(announced(value), None, "{value}");
        }
    }

    #[test]
    fn a_value_beyond_all_use_is_the_largest() {
        let largest = Some(u64::from(u32::MAX));
        assert_eq!(announced("4294967294"), Some(u64::from(u32::MAX) - 1));
        for value in ["4294967295", "4294967296", "18446744073709551616", &"9".repeat(10_000)] {
            assert_eq!(announced(value), largest, "{value}");
        }
        assert_eq!(announced(&"0".repeat(10_000)), None);
    }

    #[test]
    fn what_cannot_be_read_is_unknown() {
        for xml in ["", "x", "<", "<stream:features>", "<s:features/>", "</stream:features>", "\0"] {
            assert_eq!(idle(xml), None, "{xml}");
        }
        let (open, close) = ("<x>".repeat(100_000), "</x>".repeat(100_000));
        assert_eq!(announced(&format!("{open}{close}")), None);
        assert_eq!(idle(&format!("<stream:features>{open}{close}</stream:features>")), None);
    }
}
