//! Logs each phase of a close: through the `log` crate, and through C's `on_log`.

#[cfg(feature = "capi")]
use std::sync::Mutex;

use super::Driver;
use crate::{
    phase::{Phase, Phases},
    transport::Transport,
};

/// Takes a phase and its line.
#[cfg(feature = "capi")]
pub(crate) type OnLog = Box<dyn Fn(Phase, &str) + Send>;

#[derive(Default)]
pub(super) struct Log {
    told: Phases,
    /// The mutex is never locked. With it, what holds the driver stays `Sync`, as it is without this feature.
    #[cfg(feature = "capi")]
    on_log: Option<Mutex<OnLog>>,
}

impl<T: Transport> Driver<T> {
    /// Logs each phase to `on_log` from now on.
    #[cfg(feature = "capi")]
    pub(crate) fn log_to(&mut self, on_log: Option<OnLog>) {
        self.log.on_log = on_log.map(Mutex::new);
    }

    /// Logs each phase that was reached since the last call.
    pub(crate) fn log(&mut self) {
        #[cfg(not(feature = "log"))]
        if self.log.on_log.is_none() {
            return;
        }
        while let Some(phase) = self.log.told.next(self.engine.phases()) {
            #[cfg(feature = "log")]
            self.log_event(phase);
            #[cfg(feature = "capi")]
            if self.log.on_log.is_some() {
                let line = phase.line(&self.report());
                if let Some(Ok(on_log)) = self.log.on_log.as_mut().map(Mutex::get_mut) {
                    on_log(phase, &line);
                }
            }
        }
    }

    /// The descriptor's number tells the streams of a program apart.
    #[cfg(feature = "log")]
    fn log_event(&self, phase: Phase) {
        use crate::transport::{Interest, number};
        let level = if phase == Phase::Ended { log::Level::Info } else { log::Level::Debug };
        if log::log_enabled!(target: "xmpp_close", level) {
            let line = phase.line(&self.report());
            match self.transport.watch(Interest::READ) {
                Some((fd, _)) => log::log!(target: "xmpp_close", level, "fd {}: {line}", number(fd)),
                None => log::log!(target: "xmpp_close", level, "{line}"),
            }
        }
    }
}
