//! The conditions of stream errors.

use crate::names::names;

/// What a stream error says was wrong: the conditions that RFC 6120 section 4.9.3 defines.
///
/// ```
/// use xmpp_close::{Condition, StreamError};
///
/// # fn main() -> Result<(), xmpp_close::Error> {
/// let configured: Condition = "system-shutdown".parse()?;
/// assert_eq!(configured, Condition::SystemShutdown);
/// assert_eq!(StreamError::new(configured)?.condition().as_str(), "system-shutdown");
/// let error = "fizzbuzz".parse::<Condition>().unwrap_err(); // an `UnknownName`
/// assert_eq!(error.to_string(), "not the name of a stream error condition");
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Condition {
    /// XML that cannot be processed.
    BadFormat,
    /// A namespace prefix that is not supported, or missing where one is needed.
    BadNamespacePrefix,
    /// A newer stream takes the place of this one, for example after a login with the same resource.
    Conflict,
    /// A party is thought to be gone, because it was silent for too long.
    ConnectionTimeout,
    /// The host named in the header is served here no longer.
    HostGone,
    /// The host named in the header is not served here.
    HostUnknown,
    /// A stanza between two servers without a `to` or `from`, or with one that is no address.
    ImproperAddressing,
    /// Something went wrong inside the server.
    InternalServerError,
    /// A `from` that is not that of the party that was authenticated.
    InvalidFrom,
    /// A namespace of the header that is none of XMPP's.
    InvalidNamespace,
    /// XML that a schema forbids.
    InvalidXml,
    /// Something was sent before authentication that needs it, or without the right to do so.
    NotAuthorized,
    /// XML that is not well-formed.
    NotWellFormed,
    /// A rule of the service was broken, such as a limit on the size of a stanza.
    PolicyViolation,
    /// The server cannot reach another that it needs, such as one for authentication.
    RemoteConnectionFailed,
    /// The stream is to be opened anew, because something it depends on has changed.
    Reset,
    /// The server has not the means to serve the stream.
    ResourceConstraint,
    /// A feature of XML that RFC 6120 section 11.1 forbids: a comment, a processing instruction, a DTD or an entity.
    RestrictedXml,
    /// The peer is to connect to another host: see [`StreamError::see_other_host`](crate::StreamError::see_other_host).
    SeeOtherHost,
    /// The server is being shut down.
    SystemShutdown,
    /// None of the others: an application's own element says what (see
    /// [`StreamError::undefined`](crate::StreamError::undefined)).
    UndefinedCondition,
    /// An encoding other than UTF-8.
    UnsupportedEncoding,
    /// A feature that the server needs and the client does not have.
    UnsupportedFeature,
    /// A first-level element that is not supported.
    UnsupportedStanzaType,
    /// A `version` of XMPP that is not supported.
    UnsupportedVersion,
}

names! { Condition, "a stream error condition":
    BadFormat "bad-format"
    BadNamespacePrefix "bad-namespace-prefix"
    Conflict "conflict"
    ConnectionTimeout "connection-timeout"
    HostGone "host-gone"
    HostUnknown "host-unknown"
    ImproperAddressing "improper-addressing"
    InternalServerError "internal-server-error"
    InvalidFrom "invalid-from"
    InvalidNamespace "invalid-namespace"
    InvalidXml "invalid-xml"
    NotAuthorized "not-authorized"
    NotWellFormed "not-well-formed"
    PolicyViolation "policy-violation"
    RemoteConnectionFailed "remote-connection-failed"
    Reset "reset"
    ResourceConstraint "resource-constraint"
    RestrictedXml "restricted-xml"
    SeeOtherHost "see-other-host"
    SystemShutdown "system-shutdown"
    UndefinedCondition "undefined-condition"
    UnsupportedEncoding "unsupported-encoding"
    UnsupportedFeature "unsupported-feature"
    UnsupportedStanzaType "unsupported-stanza-type"
    UnsupportedVersion "unsupported-version"
}
