//! What the application says last, right in front of our tag (SE-03).

use super::Driver;
use crate::{
    engine::Fact,
    framing::{Leaves, leaves},
    options::{LastWords, Said},
    transport::Transport,
};

/// What being asked counts for at least: so often at most it is asked for a single word.
const LEAST: usize = 256;

#[derive(Default)]
pub(super) struct Words {
    /// To be asked until nothing more is said; `None` then.
    compose: Option<LastWords>,
    /// How much was said, in bytes.
    said: usize,
    /// The application will say itself when all is said.
    later: bool,
}

impl Words {
    pub(super) fn of(compose: Option<LastWords>) -> Self {
        Self { compose, ..Self::default() }
    }

    /// There may be more to say.
    pub(super) fn are_due(&self) -> bool {
        self.compose.is_some()
    }

    /// Nobody is to be asked before the application says so.
    pub(super) fn wait(&self) -> bool {
        self.later
    }

    /// The application says so.
    #[cfg(feature = "capi")]
    pub(super) fn go_on(&mut self) {
        self.later = false;
    }
}

impl<T: Transport> Driver<T> {
    /// Asks once, and lets it go in front of an error and of our tag.
    pub(super) fn ask(&mut self) {
        let Some(compose) = self.words.compose.take() else { return };
        let said = compose.ask();
        self.look_at_clock(); // that may have taken its time
        match said {
            Said::All(words) => self.say(&words),
            #[cfg(feature = "capi")]
            Said::Some(words) => {
                self.say(&words);
                if !words.is_empty() && self.words.said < super::turn::LAST_BYTES && !self.time_left().is_zero() {
                    self.words.compose = Some(compose);
                }
            }
            #[cfg(feature = "capi")]
            Said::Sent(sent, words) => {
                self.engine.add_farewell(&sent, self.clock.now);
                self.words.said += sent.len().max(LEAST);
                let more = self.words.said < super::turn::LAST_BYTES && !self.time_left().is_zero();
                self.words.compose = Some(compose).filter(|_| more);
                self.say(&words);
            }
            #[cfg(feature = "capi")]
            Said::Later => {
                self.words.later = self.engine.may_send();
                self.words.compose = Some(compose).filter(|_| self.words.later);
            }
            #[cfg(feature = "capi")]
            Said::Stop => self.stop(),
        }
    }

    fn say(&mut self, words: &[u8]) {
        if leaves(words, self.engine.root(), true, false) == Leaves::Between {
            self.engine.add_farewell(words, self.clock.now);
            self.words.said += words.len().max(LEAST);
        } else {
            self.stop();
        }
    }

    fn stop(&mut self) {
        self.words.compose = None;
        if !self.plan.detach {
            self.engine.finish(None, self.clock.now); // what is not sent now is our tag
        }
        self.note_fact(Fact::Cancel);
    }

    /// Asks for all that is still to be said, once our tag is due without the application's word: for an error of the peer's,
    /// say.
    pub(super) fn say_last_words(&mut self) {
        while self.words.are_due() && self.engine.is_tag_queued() {
            self.ask();
        }
    }
}
