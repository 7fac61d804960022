//! What must have been delivered, what may be on the wire, which outcomes are allowed, and by when it must be over.

use std::time::{Duration, Instant};

use xmpp_close::Outcome::{self, *};

use crate::{
    apis::Ended,
    case::{Case, Side, Wire},
    peer::TAG,
    script::{
        End, Seen,
        Step::{self, HalfClose, Read, ReadSlowly},
        stanza,
    },
};

/// How the peer's stream ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ending {
    Tag,
    Garbage,
    Eof { inside: bool },
    Reset,
    Never,
}

#[derive(Debug)]
pub struct Model {
    pub ending: Ending,
    /// In which step each stanza comes that must be delivered.
    stanzas: Vec<usize>,
    /// In which step the peer's stream ends.
    last: usize,
    /// The peer sends its tag, or an error, before it has read ours.
    early: bool,
    /// The peer closes with something unread, or resets: on the way out our output may fail.
    rude: bool,
    /// Only the limits can end it.
    pub stuck: bool,
}

impl Model {
    pub fn new(case: &Case) -> Self {
        let (steps, end) = &case.script;
        let mut model =
            Self { ending: Ending::Never, stanzas: Vec::new(), last: 0, early: false, rude: false, stuck: false };
        let (mut inside, mut read, mut open) = (false, false, true);
        if case.side == Side::Responder {
            model.ending = Ending::Tag;
        }
        for (index, step) in steps.iter().enumerate() {
            read |= matches!(step, Read | ReadSlowly);
            if !open || model.ending != Ending::Never {
                open &= *step != HalfClose;
                continue;
            }
            if !inside && *step != Step::Half {
                model.stanzas.extend((0..step.count()).map(|_| index));
            }
            model.ending = match step {
                // A tag inside a stanza closes something else.
                Step::Tag | Step::SplitTag | Step::Coalesced(_) if !inside => Ending::Tag,
                Step::Tag | Step::SplitTag | Step::Coalesced(_) | Step::Garbage => Ending::Garbage,
                HalfClose => Ending::Eof { inside },
                _ => Ending::Never,
            };
            inside |= *step == Step::Half;
            open &= *step != HalfClose;
            model.last = index;
            model.early |= !read && (model.ending == Ending::Tag || *step == Step::Error);
        }
        let resets = *end == End::Reset && case.wire != Wire::Unix;
        if model.ending == Ending::Never && matches!(end, End::Close | End::Reset) {
            model.ending = if resets { Ending::Reset } else { Ending::Eof { inside } };
        }
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
        };
        outcome == plain || self.rude && outcome == Reset || self.stuck && matches!(outcome, TimedOut | Stalled)
    }

    pub fn check(&self, case: &Case, start: Instant, took: Duration, ended: &Ended, seen: &Seen) -> Result<(), String> {
        let wrong = |what: &str| Err(format!("{what}: {:?}, {took:?}", ended.numbers));
        let (outcome, numbers) = (ended.outcome, &ended.numbers);
        if !self.allows(outcome) {
            return wrong(&format!("{outcome} is not allowed"));
        }
        // By when.
        let late = matches!(outcome, TimedOut | Stalled);
        let elapsed = Duration::from_millis(numbers.elapsed_ms.into());
        if late && elapsed + Duration::from_millis(2) < case.total() {
            return wrong("too early");
        }
        let script = seen.done.last().map_or(Duration::ZERO, |done| done.saturating_duration_since(start));
        let limit = if self.stuck { case.total() } else { script + case.linger() };
        if took > limit + crate::BUSY {
            return wrong("too late");
        }
        // What was delivered: in order, nothing twice, and nothing lost that had come before the end.
        let expected: Vec<_> = (0..self.stanzas.len()).map(stanza).collect();
        let got = &ended.delivered;
        if !expected.starts_with(got) {
            return wrong(&format!("delivered {got:?}"));
        }
        let end = start + elapsed.saturating_sub(Duration::from_millis(30));
        let arrived = |step: &usize| !late || !case.chops() && seen.done.get(*step).is_some_and(|done| *done < end);
        // A rude peer destroys what is under way: more small segments than a new connection may have in flight.
        let split = case.script.0.iter().any(|step| matches!(step, Step::Split(_) | Step::SplitTag));
        let destroyed = outcome == Reset && split && case.wire != Wire::Unix;
        let due = self.stanzas.iter().take_while(|step| arrived(step) && !destroyed).count();
        if got.len() < due {
            return wrong(&format!("lost: {} of {due} delivered", got.len()));
        }
        if numbers.stanzas as usize != got.len() {
            return wrong("counted otherwise than delivered");
        }
        if (numbers.tag_sent == 1 && numbers.tag_received == 1) != (outcome == Clean) {
            return wrong("clean is both tags");
        }
        let total: usize = case.script.0.iter().map(|step| step.bytes(0).len() + 8 * step.count()).sum();
        if numbers.bytes_read + numbers.bytes_after_tag > total as u64 {
            return wrong("more was read than was sent");
        }
        self.initiator(case, ended).and_then(|()| self.wire(case, ended, seen))
    }

    fn initiator(&self, case: &Case, ended: &Ended) -> Result<(), String> {
        let got = ended.numbers.initiator;
        let right = match case.side {
            Side::Responder => got == 2,
            // An event loop that reads a part of it before it writes cannot know, nor can who asks callbacks for a byte.
            Side::Crossing => {
                let unknown = case.api.is_loop() || case.chops() && case.api.asks_callbacks();
                got == 3 || unknown && got == 1
            }
            Side::Initiator if ended.outcome == Clean && self.early => got == 1 || got == 3,
            Side::Initiator if self.early => got != 0,
            // Output that fails, or an end that comes, before our tag is written still finds us closing.
            Side::Initiator => got == 1,
        };
        if right { Ok(()) } else { Err(format!("{got} began: {:?}", ended.numbers)) }
    }

    /// The farewell, a stream error if what came was malformed, one tag; all of it if it was taken and not destroyed.
    fn wire(&self, case: &Case, ended: &Ended, seen: &Seen) -> Result<(), String> {
        let farewell = case.farewell();
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
        if !farewell.starts_with(ours) || !TAG.starts_with(&rest) {
            return Err(format!("on the wire, behind the farewell: {rest}"));
        }
        let taken = ended.numbers.tag_sent == 1 && ended.numbers.bytes_unacked == 0;
        // A loop does not know what was acknowledged, and what the peer sends behind our back may draw a reset.
        let known = case.farewell < 100_000 || !case.api.is_loop();
        if ended.outcome == Clean && taken && known && seen.to_the_end && rest != TAG {
            return Err(format!("lost on the wire: {} of {} bytes", got.len(), farewell.len() + TAG.len()));
        }
        Ok(())
    }
}
