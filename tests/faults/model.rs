//! What must have been handed over, what may be on the wire, which outcomes are allowed, and by when the close must be
//! over.

use std::time::{Duration, Instant};

use xmpp_close::Outcome::{self, *};

use super::{
    apis::{Api, Ended},
    case::{
        Case,
        How::{self, Close},
        Side, Wire,
    },
    peer::{self, TAG},
    script::{
        End, Seen,
        Step::{self, Cut, HalfClose, Notify, Read, ReadSlowly},
        stanza,
    },
};

/// How the peer's stream ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ending {
    Tag,
    Garbage,
    Eof {
        inside: bool,
    },
    Reset,
    Never,
    /// We stop the close ourselves.
    Cancelled,
    Detached,
}

#[derive(Debug)]
pub struct Model {
    pub ending: Ending,
    /// In which step each stanza comes that must be delivered.
    stanzas: Vec<usize>,
    /// The peer sends its tag, or an error, before it has read ours.
    early: bool,
    /// The peer closes with something unread, or resets: on the way out our output may fail.
    rude: bool,
    /// The system shows a reset as an end, wherever it has cut what came before.
    hidden: bool,
    /// Only the limits can end it.
    pub stuck: bool,
    /// In which step we cancel it, if we do.
    cancelled: Option<usize>,
}

impl Model {
    pub fn new(case: &Case) -> Self {
        let (steps, end) = &case.script;
        let cancelled = steps.iter().position(|step| *step == Step::Cancel);
        let mut model = Self {
            ending: Ending::Never,
            stanzas: Vec::new(),
            early: false,
            rude: false,
            hidden: false,
            stuck: false,
            cancelled,
        };
        let (mut inside, mut read, mut open, tls) = (false, false, true, case.is_tls());
        if case.side == Side::Responder {
            model.ending = Ending::Tag;
        }
        for (index, step) in steps.iter().enumerate() {
            read |= matches!(step, Read | ReadSlowly);
            let ends = matches!(step, HalfClose | Cut) || *step == Notify && tls;
            if !open || model.ending != Ending::Never {
                open &= !ends;
                continue;
            }
            if !inside && *step != Step::Half {
                model.stanzas.extend((0..step.count()).map(|_| index));
            }
            model.ending = match step {
                // A tag inside a stanza closes something else.
                _ if step.is_tag() && !inside => Ending::Tag,
                _ if step.is_tag() || *step == Step::Garbage => Ending::Garbage,
                // Without close_notify, whatever came may be only a part of what was sent (TL-07).
                _ if ends => Ending::Eof { inside: inside || tls && *step == Cut },
                _ => Ending::Never,
            };
            inside |= *step == Step::Half;
            open &= !ends;
            model.early |= !read && (model.ending == Ending::Tag || *step == Step::Error);
        }
        let resets = *end == End::Reset && case.wire != Wire::Unix && peer::resets_show();
        if model.ending == Ending::Never && matches!(end, End::Close | End::Reset) {
            model.ending = if resets { Ending::Reset } else { Ending::Eof { inside: inside || tls } };
        }
        // A peer that reads to the end of our output ends then, too.
        if model.ending == Ending::Never && *end == End::Hold && case.how == How::HalfClose && !tls {
            model.ending = Ending::Eof { inside };
        }
        if case.how == How::Detach {
            model.ending = Ending::Detached;
        } else if model.ending == Ending::Never && cancelled.is_some() {
            model.ending = Ending::Cancelled;
        }
        model.hidden = *end == End::Reset && case.wire != Wire::Unix && !resets;
        model.rude = resets || matches!(end, End::Close | End::Reset) && !read;
        let unread = case.farewell > 100_000 && *end == End::Stall;
        model.stuck = model.ending == Ending::Never || unread;
        model
    }

    fn allows(&self, outcome: Outcome) -> bool {
        let plain = match self.ending {
            Ending::Tag => Clean,
            Ending::Garbage => Malformed,
            Ending::Eof { inside: false } => PeerEof,
            Ending::Eof { inside: true } => Truncated,
            Ending::Reset => Reset,
            Ending::Never => TimedOut,
            Ending::Cancelled => Cancelled,
            Ending::Detached => return outcome == Cancelled,
        };
        outcome == plain
            || self.cancelled.is_some() && outcome == Cancelled
            || self.rude && outcome == Reset
            || self.hidden && matches!(outcome, PeerEof | Truncated)
            || self.stuck && matches!(outcome, TimedOut | Stalled)
    }

    /// Says what is wrong, or how long after its limit it returned.
    pub fn check(
        &self,
        case: &Case,
        start: Instant,
        took: Duration,
        ended: &Ended,
        seen: &Seen,
    ) -> Result<Duration, String> {
        let wrong = |what: &str| Err(format!("{what}: {:?}, {took:?}", ended.numbers));
        let (outcome, numbers) = (ended.outcome, &ended.numbers);
        if !self.allows(outcome) {
            return wrong(&format!("{outcome} is not allowed"));
        }
        // By when the close must be over.
        let late = matches!(outcome, TimedOut | Stalled);
        let elapsed = Duration::from_millis(numbers.elapsed_ms.into());
        if late && elapsed + Duration::from_millis(2) < case.total() {
            return wrong("too early");
        }
        let last = seen.done.last().max(seen.last_byte.as_ref());
        let script = last.map_or(Duration::ZERO, |done| done.saturating_duration_since(start));
        let mut limit = if self.stuck { case.total() } else { script + case.linger() };
        if let (Cancelled, Close | How::HalfClose, Some(step)) = (outcome, case.how, self.cancelled) {
            limit = seen.done[step].saturating_duration_since(start);
        }
        // What was delivered: in order, nothing twice, and nothing lost that had come before the end, or the deadline.
        let expected: Vec<_> = (0..self.stanzas.len()).map(stanza).collect();
        let got = &ended.delivered;
        if !expected.starts_with(got) {
            return wrong(&format!("delivered {got:?}"));
        }
        let in_time = |step: usize| seen.done.get(step).is_some_and(|done| *done < start + case.total());
        let arrived = |step: &&usize| !late || **step < case.before() || in_time(**step);
        let due = if outcome == Cancelled { 0 } else { self.stanzas.iter().take_while(arrived).count() };
        if got.len() < due {
            return wrong(&format!("lost: {} of {due} delivered", got.len()));
        }
        if numbers.stanzas as usize != got.len() {
            return wrong("counted otherwise than delivered");
        }
        let clean = outcome == Clean;
        let both = numbers.tag_sent == 1 && numbers.tag_received == 1;
        if both != clean && outcome != Cancelled || clean && numbers.bytes_unsent > 0 {
            return wrong("clean is both tags");
        }
        if case.how == How::Detach && (numbers.tag_sent == 1 || !got.is_empty()) {
            return wrong("detached, and closed nevertheless");
        }
        let first = case.side == Side::Initiator && case.how == How::Close && self.ending == Ending::Tag;
        if first && clean && seen.unquiet == Some(true) {
            return wrong("not quiet between our tag and theirs");
        }
        let total: usize = case.script.0.iter().map(|step| step.bytes(0).len() + 8 * step.count()).sum();
        if numbers.bytes_read + numbers.bytes_after_tag > total as u64 {
            return wrong("more was read than was sent");
        }
        self.initiator(case, ended).and_then(|()| self.wire(case, ended, seen))?;
        Ok(took.saturating_sub(limit))
    }

    fn initiator(&self, case: &Case, ended: &Ended) -> Result<(), String> {
        let got = ended.numbers.initiator;
        let right = match case.side {
            Side::Responder => got == 2,
            _ if case.how == How::Detach => got == 1,
            Side::Crossing if ended.outcome == Cancelled => got == 1 || got == 3,
            // A callback that gives one byte when it is asked what has come does not say that there is more.
            Side::Crossing => got == 3 || case.chops() && case.api.asks_callbacks() && got == 1,
            Side::Initiator if self.early => got == 1 || got == 3,
            // Output that fails, or an end that comes, before our tag is written still finds us closing.
            Side::Initiator => got == 1,
        };
        if right { Ok(()) } else { Err(format!("{got} began: {:?}", ended.numbers)) }
    }

    /// The farewell, a stream error if what came was malformed, one tag; all of it if it was taken and not destroyed.
    fn wire(&self, case: &Case, ended: &Ended, seen: &Seen) -> Result<(), String> {
        let (farewell, tag) = (case.output(), if case.how == How::Detach { "" } else { TAG });
        let got = &seen.got;
        let ours = &got[..got.len().min(farewell.len())];
        let mut rest = String::from_utf8_lossy(&got[ours.len()..]).into_owned();
        let error = "<stream:error><not-well-formed xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>";
        if self.ending == Ending::Garbage && rest.starts_with("<s") {
            let both = error.to_owned() + TAG;
            if !both.starts_with(&rest) {
                return Err(format!("on the wire: {rest}"));
            }
            rest = rest[rest.len().min(error.len())..].to_owned();
        }
        if !farewell.starts_with(ours) || !tag.starts_with(&rest) {
            return Err(format!("on the wire, behind the farewell: {rest}"));
        }
        let taken = ended.numbers.tag_sent == 1 && ended.numbers.bytes_unacked == 0;
        // A loop does not know what was acknowledged, nor does Windows; and what the peer sends behind our back may draw a reset.
        let known = case.farewell < 100_000 || !cfg!(windows) && !matches!(case.api, Api::Loop | Api::LoopInC);
        let whole = ours.len() == farewell.len() && rest == tag;
        if ended.outcome == Clean && taken && known && seen.to_the_end && !whole {
            return Err(format!("lost on the wire: {} of {} bytes", got.len(), farewell.len() + TAG.len()));
        }
        Ok(())
    }
}
