//! What a program does with a batch: it sets the options, gives the batch turns from an event loop, or runs it to its end.

use std::{
    io, mem,
    time::{Duration, Instant},
};

use super::{
    Batch, BatchOptions, BatchReport, Member,
    clock::{FOR_EVER, Spread, after},
    options::Callbacks,
    summary::Progress,
    turn::{GRACE, Turn},
};
use crate::{cancel::Canceller, error::Error, stream_error::StreamError};

/// What [`Batch::set`] or [`Batch::run`] set for all streams.
pub(super) struct Settings {
    pub(super) deadline: Option<Instant>,
    pub(super) spread: Spread,
    pub(super) stream_error: Option<StreamError>,
    pub(super) canceller: Option<Canceller>,
    /// When the batch first found its deadline passed.
    pub(super) late: Option<Instant>,
    /// The canceller or a callback has stopped the batch.
    pub(super) stopped: bool,
}

impl Settings {
    pub(super) fn none() -> Self {
        Self {
            deadline: None,
            spread: Spread::new(Instant::now(), Duration::ZERO, false),
            stream_error: None,
            canceller: None,
            late: None,
            stopped: false,
        }
    }

    /// Whether the deadline has passed, and the [`GRACE`] for what had arrived by then as well.
    pub(super) fn time_is_up(&mut self) -> bool {
        let now = Instant::now();
        self.deadline.is_some_and(|deadline| now >= deadline) && now >= *self.late.get_or_insert(now) + GRACE
    }
}

impl<'a> Batch<'a> {
    /// Sets options for the streams in the batch and those that are added later, in the place of all options set before. The
    /// [total](BatchOptions::total) and the [spread](BatchOptions::spread) count from now on. A new batch has neither, and no
    /// callbacks.
    ///
    /// # Errors
    /// Nothing has changed then:
    ///
    /// - [`Error::Invalid`] when the spread is not shorter than the total;
    /// - [`Error::Invalid`] in a forked child of the process that made the batch;
    /// - [`Error::Io`] when the system cannot wait for the canceller.
    pub fn set(&mut self, options: BatchOptions<'a>) -> Result<(), Error> {
        options.check(options.total)?;
        let total = options.total;
        self.callbacks = self.settle(options, total, true)?;
        if !self.is_empty() {
            self.intake.ring();
        }
        Ok(())
    }

    /// Does what can be done now, and returns how many streams are left. The work of one turn is bounded: each kind of work
    /// ends after half a millisecond, and a stream that has more to do goes on in a later turn.
    ///
    /// Only when there is nothing to do, the turn waits, for `wait` at most. [`Duration::ZERO`] does not wait at all,
    /// [`Duration::MAX`] waits until there is something to do. It waits even with no stream in the batch, because another
    /// thread may [add](super::BatchHandle::add) one.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) in a forked child of the process that made the batch; the error of the
    /// system when it cannot wait.
    pub fn turn(&mut self, wait: Duration) -> io::Result<usize> {
        self.turn_and(wait, true)
    }

    /// As [`turn`](Self::turn). With no stream in the batch it waits only when another stream is expected.
    pub(crate) fn turn_and(&mut self, wait: Duration, expects: bool) -> io::Result<usize> {
        self.intake.check_owner().map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let mut callbacks = mem::take(&mut self.callbacks);
        let result = Turn { batch: self, callbacks: &mut callbacks, runs: false, expects }.go(wait);
        self.callbacks = callbacks;
        self.take_in();
        if self.has_work() {
            self.intake.ring();
        }
        result.map(|()| self.len())
    }

    /// When the next [`turn`](Self::turn) is due even though the batch's descriptor is not readable. `None`: only the
    /// descriptor can tell.
    pub fn deadline(&self) -> Option<Instant> {
        if self.has_work() || self.intake.has_news() { Some(Instant::now()) } else { self.next_time(&self.callbacks) }
    }

    /// Closes all streams, each with its handshake, and blocks until all have ended, or the [total](BatchOptions::total) of 30 s
    /// by default is over. Then the batch is empty and has no options, neither these nor those that were [set](Self::set)
    /// before.
    ///
    /// # Errors
    /// As for [`set`](Self::set). Nothing has been sent then, and the streams are still in the batch. A run that has begun
    /// always ends with a report.
    pub fn run(&mut self, options: BatchOptions<'_>) -> Result<BatchReport, Error> {
        let total = options.total_of_run();
        options.check(Some(total))?;
        let mut callbacks = self.settle(options, Some(total), false)?;
        self.callbacks = Callbacks::default();
        let kept = mem::take(&mut self.reports);
        let summary = Turn { batch: self, callbacks: &mut callbacks, runs: true, expects: false }.all();
        let reports = mem::replace(&mut self.reports, kept);
        self.forget_settings();
        Ok(BatchReport { summary, reports: reports.into_values().collect() })
    }

    /// Puts all options into effect but the callbacks, which it returns.
    fn settle<'o>(
        &mut self,
        options: BatchOptions<'o>,
        total: Option<Duration>,
        spreads_all: bool,
    ) -> Result<Callbacks<'o>, Error> {
        self.intake.check_owner()?;
        if let Some(canceller) = &options.canceller {
            self.intake.add_canceller(canceller)?;
        }
        self.forget_settings();
        let start = Instant::now();
        self.settings.deadline = total.map(|total| after(start, total));
        self.settings.spread = Spread::new(start, options.spread, spreads_all);
        self.settings.stream_error = options.stream_error;
        self.settings.canceller = options.canceller;
        self.take_in();
        self.begin_anew();
        Ok(options.callbacks)
    }

    /// Forgets all that was set.
    pub(super) fn forget_settings(&mut self) {
        self.intake.shut(None);
        if let Some(canceller) = mem::replace(&mut self.settings, Settings::none()).canceller {
            self.intake.drop_canceller(&canceller);
        }
    }

    /// Gives a moment to each stream that has not begun, and the deadline to each that has.
    fn begin_anew(&mut self) {
        let mut open: Vec<_> =
            self.members.iter().filter(|(_, member)| !member.begun).map(|(index, _)| *index).collect();
        self.progress = Progress::new();
        self.progress.summary.expect(self.members.len());
        self.progress.summary.begun = self.members.len() - open.len();
        self.schedule.beginnings.clear();
        for (moment, index) in self.settings.spread.moments(&mut open) {
            self.schedule.beginnings.set(moment, index);
        }
        let Some(deadline) = self.settings.deadline else { return };
        for (index, member) in self.members.iter_mut().filter(|(_, member)| member.begun) {
            member.driver.end_by(Some(deadline));
            if member.timer.is_none_or(|timer| deadline < timer) {
                member.timer = Some(deadline);
                self.schedule.timers.set(deadline, *index);
            }
        }
    }

    /// Takes in the streams that were added, and what the owners of streams asked for. Returns whether any was added.
    pub(super) fn take_in(&mut self) -> bool {
        let any = self.insert_added();
        self.let_go();
        for index in self.intake.take_called() {
            let Some(member) = self.members.get_mut(&index) else { continue };
            member.timer = None; // what was asked may have changed the time
            if !mem::replace(&mut member.put_off, true) {
                self.schedule.unfinished.push_back(index);
            }
        }
        any
    }

    fn insert_added(&mut self) -> bool {
        let added = self.intake.take();
        let any = !added.is_empty();
        for (index, mut member) in added {
            self.progress.summary.expect(1);
            self.schedule.beginnings.set(self.settings.spread.moment(index), index);
            member.put_off = member.is_urgent();
            if member.put_off {
                self.schedule.unfinished.push_back(index);
            }
            self.members.insert(index, member);
        }
        let Self { schedule, members, .. } = self;
        let is_open = |index| members.get(&index).is_some_and(|member| !member.begun);
        schedule.beginnings.shrink(members.len(), |_, index| is_open(index));
        schedule
            .timers
            .shrink(members.len(), |time, index| members.get(&index).is_some_and(|each| each.waits_for(time)));
        any
    }

    /// Hands over the streams that are to leave, even if they have just been added.
    pub(crate) fn let_go(&mut self) {
        let leaving = self.intake.take_leaving();
        if leaving.is_empty() {
            return;
        }
        self.insert_added();
        for (index, to) in leaving {
            // Its descriptor is forgotten already.
            if let Some(member) = self.remove_member(index) {
                self.progress.summary.forget(member.begun);
                to(member.driver);
            }
        }
    }

    fn remove_member(&mut self, index: usize) -> Option<Box<Member<'a>>> {
        let mut member = self.members.remove(&index)?;
        self.schedule.pausing -= u32::from(member.watch.on.is_none());
        member.driver.return_buffer(&mut self.buffer);
        Some(member)
    }

    /// Takes a stream that has ended out of the batch.
    pub(super) fn take(&mut self, index: usize) -> Option<Box<Member<'a>>> {
        let member = self.remove_member(index)?;
        self.intake.forget(&member);
        Some(member)
    }

    /// Takes a stream out of the batch before its end.
    pub(super) fn take_out(&mut self, index: usize) -> Option<Box<Member<'a>>> {
        let member = self.take(index)?;
        self.progress.summary.forget(member.begun);
        Some(member)
    }

    /// Whether there is something to do that no stream's descriptor shows.
    fn has_work(&self) -> bool {
        let now = Instant::now();
        let begins = self.schedule.beginnings.next().is_some_and(|moment| moment <= now);
        let ends = self.settings.stopped || self.settings.late.is_some_and(|late| now >= late + GRACE);
        !self.members.is_empty() && (begins || ends || !self.schedule.unfinished.is_empty())
    }

    /// When something is due next.
    pub(super) fn next_time(&self, callbacks: &Callbacks<'_>) -> Option<Instant> {
        if self.members.is_empty() {
            return None;
        }
        let progress = callbacks.on_progress.is_some().then(|| self.progress.due());
        let end = self.settings.late.map_or(self.settings.deadline, |late| Some(late + GRACE));
        [self.schedule.beginnings.next(), self.schedule.timers.next(), progress, end].into_iter().flatten().min()
    }

    /// How long there is nothing to do.
    pub(super) fn patience(&self, callbacks: &Callbacks<'_>) -> Duration {
        self.next_time(callbacks).map_or(FOR_EVER, |next| next.saturating_duration_since(Instant::now()))
    }
}
