//! The phases of a close, for a log. Each is logged once.

use crate::report::Report;

/// A phase of a close. The numbers are those of the C API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// We or the peer began to close.
    Begun = 1,
    /// The kernel has our closing tag, and all before it.
    TagSent = 2,
    /// The peer's closing tag came.
    TagReceived = 3,
    /// The report is complete.
    Ended = 4,
}

impl Phase {
    const ALL: [Self; 4] = [Self::Begun, Self::TagSent, Self::TagReceived, Self::Ended];

    /// What is logged: one line. `report` is the report as of now.
    pub(crate) fn line(self, report: &Report) -> String {
        match (self, report.initiator) {
            (Self::Begun, Some(initiator)) => format!("close begun by {}", initiator.side()),
            (Self::Begun, None) => "close begun".to_owned(),
            (Self::TagSent, _) => "the kernel has our closing tag".to_owned(),
            (Self::TagReceived, _) => "the peer's closing tag came".to_owned(),
            (Self::Ended, _) => report.to_string(),
        }
    }
}

/// A set of phases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Phases(u8);

impl Phases {
    /// This set, with `phase` if the close has `reached` it.
    pub(crate) fn with(self, phase: Phase, reached: bool) -> Self {
        Self(self.0 | u8::from(reached) << phase as u8)
    }

    /// The first phase of `reached` that this set lacks. This set has it from now on.
    pub(crate) fn next(&mut self, reached: Self) -> Option<Phase> {
        let lacking = reached.0 & !self.0;
        let phase = Phase::ALL.into_iter().find(|phase| lacking & 1 << *phase as u8 != 0)?;
        *self = self.with(phase, true);
        Some(phase)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_phase_is_next_once_and_in_order() {
        let reached = Phases::default().with(Phase::Ended, true).with(Phase::Begun, true).with(Phase::TagSent, false);
        let mut told = Phases::default();
        assert_eq!([told.next(reached), told.next(reached)], [Some(Phase::Begun), Some(Phase::Ended)]);
        assert_eq!(told.next(reached), None);
    }
}
