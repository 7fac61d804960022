//! Ends as others have built them: what real servers and clients were seen to do, each as a small state machine.

use crate::part::Part;

/// How a peer behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Behaviour {
    /// Reads all, sends what it still has, answers our tag, reads to the end of TCP.
    Answers,
    /// Reads, and never says anything.
    Mute,
    /// Neither reads nor says anything.
    Stuck,
    /// Ends TCP instead of answering.
    EndsTcp,
    /// Says its tag at any time and ends TCP without having read what we sent.
    TagWithoutReading,
    /// Ends the stream with an error at any time, and TCP with it.
    ErrorAndEnd,
    /// Says its tag at any time, half-closes, and goes on reading.
    HalfCloses,
    /// Drops what it had to say as soon as it reads the end of our output.
    DropsAtOurEnd,
    /// Goes on talking behind its tag.
    TalksOn,
    /// Sends what is no XML.
    Garbage,
}

/// What a peer does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Read,
    Say(Part),
    HalfClose,
    Close,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Peer {
    behaviour: Behaviour,
    stanzas: u8,
    /// It is between the halves of a stanza.
    inside: bool,
    tag: bool,
    fin: bool,
    /// It has read our tag; the end of our output.
    seen_tag: bool,
    seen_end: bool,
    pub closed: bool,
}

impl Peer {
    pub fn new(behaviour: Behaviour, stanzas: u8) -> Self {
        let (inside, tag, fin, seen_tag, seen_end, closed) = (false, false, false, false, false, false);
        Self { behaviour, stanzas, inside, tag, fin, seen_tag, seen_end, closed }
    }

    /// What it may do now. `something`: there is something to read.
    pub fn acts(&self, something: bool) -> Vec<Act> {
        use Behaviour::*;
        let mut acts = Vec::new();
        if self.closed {
            return acts;
        }
        let reads = !matches!(self.behaviour, Stuck | TagWithoutReading);
        if something && reads {
            acts.push(Act::Read);
        }
        let talks = !self.fin && (!self.tag || self.behaviour == TalksOn);
        if talks && self.inside {
            acts.push(Act::Say(Part::Ends));
        } else if talks && self.stanzas > 0 && !matches!(self.behaviour, Mute | Stuck) {
            acts.push(Act::Say(Part::Begins));
        }
        let may_tag = !self.inside && !self.tag;
        match self.behaviour {
            Mute | Stuck => {}
            Answers | DropsAtOurEnd | TalksOn => {
                if self.behaviour == DropsAtOurEnd && self.seen_end && !self.tag {
                    acts = vec![Act::Close];
                } else if may_tag && self.seen_tag {
                    acts.push(Act::Say(Part::Tag));
                }
                if self.tag && self.seen_end {
                    acts.push(Act::Close);
                }
            }
            EndsTcp if self.seen_tag => acts.push(Act::Close),
            EndsTcp => {}
            TagWithoutReading | ErrorAndEnd => {
                if may_tag {
                    let error = self.behaviour == ErrorAndEnd;
                    acts.push(Act::Say(if error { Part::Error } else { Part::Tag }));
                }
                if self.tag {
                    acts.push(Act::Close);
                }
            }
            HalfCloses => {
                if may_tag {
                    acts.push(Act::Say(Part::Tag));
                }
                if self.tag && !self.fin {
                    acts.push(Act::HalfClose);
                }
                if self.fin && self.seen_end {
                    acts.push(Act::Close);
                }
            }
            Garbage => {
                if may_tag {
                    acts.push(Act::Say(Part::Garbage));
                }
                if self.tag && self.seen_end {
                    acts.push(Act::Close);
                }
            }
        }
        acts
    }

    /// It has said something.
    pub fn said(&mut self, part: Part) {
        match part {
            Part::Begins => (self.inside, self.stanzas) = (true, self.stanzas - 1),
            Part::Ends => self.inside = false,
            _ => self.tag = true,
        }
    }

    pub fn half_closed(&mut self) {
        self.fin = true;
    }

    pub fn read(&mut self, part: Part) {
        match part {
            Part::Tag => self.seen_tag = true,
            Part::Fin | Part::Notify => self.seen_end = true,
            Part::Reset => (self.seen_end, self.closed) = (true, true),
            _ => {}
        }
    }
}
