//! The last words of the application, which go right in front of our stream error and our tag (SE-03). They are asked for when
//! everything else has been handled and written.

use super::Driver;
use crate::{
    engine::Fact,
    framing::{Leaves, leaves},
    options::{LastWords, Said},
    transport::Transport,
};

/// How many bytes one answer counts for at least. So the application is asked again a limited number of times, however
/// little it says each time.
const LEAST: usize = 256;

#[derive(Default)]
pub(super) struct Words {
    /// Asked until nothing more is said; then `None`.
    compose: Option<LastWords>,
    /// How many bytes were said.
    said: usize,
    /// The application is not asked again until it says that it is ready.
    later: bool,
}

impl Words {
    pub(super) fn of(compose: Option<LastWords>) -> Self {
        Self { compose, ..Self::default() }
    }

    /// Whether the application may have more to say.
    pub(super) fn are_due(&self) -> bool {
        self.compose.is_some()
    }

    /// Whether the application must not be asked yet.
    pub(super) fn wait(&self) -> bool {
        self.later
    }

    /// The application is ready to be asked.
    #[cfg(feature = "capi")]
    pub(super) fn go_on(&mut self) {
        self.later = false;
    }
}

impl<T: Transport> Driver<T> {
    /// Asks once, and puts what is said in front of our stream error and our tag.
    pub(super) fn ask(&mut self) {
        let Some(compose) = self.words.compose.take() else { return };
        let said = compose.ask();
        self.look_at_clock(); // the application may have taken time
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
            self.engine.finish(None, self.clock.now); // so that our tag, which is not sent, counts as unsent
        }
        self.note_fact(Fact::Cancel);
    }

    /// Asks for everything that is still to be said when the peer has made our tag due: by a stream error, for example.
    pub(super) fn say_last_words(&mut self) {
        while self.words.are_due() && self.engine.is_tag_queued() {
            self.ask();
        }
    }
}
