//! What programs take for granted of the public types: threads, comparison, names that are read back, errors that chain.

#[path = "support/session.rs"]
mod session;

use std::{collections::BTreeSet, error::Error as StdError, fmt::Debug, hash::Hash, net::TcpStream, str::FromStr};

use session::Session;
use xmpp_close::{
    Canceller, CloseOptions, Closing, Condition, Engine, Error, Fact, Found, Frame, Framer, Incoming, Initiator,
    Interest, Invalid, LateBytes, Limit, Limits, Malformed, Outcome, OverTls, Report, SendError, Sender, Stanza, Step,
    Stream, StreamError, Tls, TlsAlerts, TlsError, Transport, UnknownName, Wait, Waker, Wants, xml::Header,
};

fn shared<T: Send + Sync + Debug>() {}
fn sent<T: Send + Debug>() {}
fn value<T: Clone + Eq + Hash + Debug + Send + Sync>() {}
fn error<T: StdError + Send + Sync + 'static>() {}

#[test]
fn values_can_be_copied_compared_hashed_and_printed() {
    value::<(Condition, Engine, Fact, Found<'_>, Frame<'_>, Framer, Header, Incoming, Initiator, Interest, Invalid)>();
    value::<(Limit, Limits, Malformed, Outcome, Report, SendError, Stanza, Stanza<&str>, Step, StreamError, Tls)>();
    value::<(TlsAlerts, UnknownName, Wait, Wants)>();
    #[cfg(feature = "batch")]
    value::<(xmpp_close::BatchReport, xmpp_close::Summary)>();
}

#[test]
fn what_holds_a_connection_can_go_to_another_thread() {
    shared::<(Canceller, CloseOptions, Sender, Waker)>();
    shared::<(Closing<TcpStream>, LateBytes<'_, TcpStream>, Stream<TcpStream>)>();
    shared::<OverTls<Session, TcpStream>>();
    #[cfg(feature = "batch")]
    {
        sent::<xmpp_close::Batch<'_>>();
        sent::<xmpp_close::BatchOptions<'_>>();
        shared::<xmpp_close::BatchHandle<'_>>();
    }
    #[cfg(feature = "rustls")]
    shared::<xmpp_close::RustlsTransport<TcpStream>>();
    sent::<Stream<Box<Any>>>();
}

type Any = dyn AnyTransport;

/// Transports of several kinds, in one collection.
trait AnyTransport: Transport + Debug + Send {}

#[test]
fn errors_go_through_the_question_mark_whatever_the_program_returns() {
    error::<Error>();
    error::<Invalid>();
    error::<Malformed>();
    error::<SendError>();
    error::<StreamError>();
    error::<TlsError>();
    error::<UnknownName>();
    let ours = || -> Result<StreamError, Error> { StreamError::new("rest".parse()?) };
    assert_eq!(ours().unwrap_err().to_string(), "not the name of a stream error condition");
    let any = || -> Result<(), Box<dyn StdError + Send + Sync>> { Err(StreamError::new(Condition::Reset)?.into()) };
    assert_eq!(any().unwrap_err().to_string(), "reset");
}

/// Every value has a name of its own, which is read back, padded by a program's table, and written in lower case.
fn named<T: FromStr<Err = UnknownName> + ToString + Copy + PartialEq + Debug>(all: &[T], name: fn(T) -> &'static str) {
    for value in all {
        assert_eq!(name(*value).parse(), Ok(*value));
        assert_eq!(value.to_string(), name(*value));
        assert!(name(*value).bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{value:?}");
        assert!(name(*value).to_uppercase().parse::<T>().is_err(), "{value:?}");
    }
    assert_eq!(all.iter().map(|value| name(*value)).collect::<BTreeSet<_>>().len(), all.len());
    assert!("".parse::<T>().is_err());
}

#[test]
fn names_are_read_back() {
    named(Outcome::ALL, Outcome::as_str);
    named(Initiator::ALL, Initiator::as_str);
    named(Limit::ALL, Limit::as_str);
    named(Condition::ALL, Condition::as_str);
    assert_eq!(format!("{:>6}|{:<6}|", Outcome::Clean, Initiator::Us), " clean|us    |");
}

#[test]
fn every_condition_of_the_rfc_is_known() {
    // RFC 6120 section 4.9.3, in its order.
    let sections = "bad-format bad-namespace-prefix conflict connection-timeout host-gone host-unknown improper-addressing \
                    internal-server-error invalid-from invalid-namespace invalid-xml not-authorized not-well-formed \
                    policy-violation remote-connection-failed reset resource-constraint restricted-xml see-other-host \
                    system-shutdown undefined-condition unsupported-encoding unsupported-feature unsupported-stanza-type \
                    unsupported-version";
    assert_eq!(Condition::ALL.iter().map(|known| known.as_str()).collect::<Vec<_>>().join(" "), sections);
}

#[test]
fn outcomes_are_ordered_by_their_numbers_with_the_best_ending_first() {
    assert!(Outcome::ALL.is_sorted());
    assert_eq!(Outcome::ALL.iter().map(|outcome| *outcome as usize).collect::<Vec<_>>(), Vec::from_iter(0..10));
    assert_eq!([Outcome::TimedOut, Outcome::Clean, Outcome::Reset].iter().min(), Some(&Outcome::Clean));
}

#[test]
fn a_report_of_nothing_is_pending() {
    let nothing = Report::default();
    assert_eq!((nothing.outcome, nothing.initiator, nothing.is_clean()), (Outcome::Pending, None, false));
    assert_eq!(nothing, Engine::new(&CloseOptions::new(), Tls::No).unwrap().report());
}
