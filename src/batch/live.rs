//! The batch as its program has it: set, turned beside an event loop, or run to its end.

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

/// What holds for all, by [`Batch::set`].
pub(super) struct Settings {
    pub(super) deadline: Option<Instant>,
    pub(super) spread: Spread,
    pub(super) stream_error: Option<StreamError>,
    pub(super) canceller: Option<Canceller>,
    /// When it was found that the time is up.
    pub(super) late: Option<Instant>,
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

    /// The deadline has passed, and what had arrived by then was taken for long enough.
    pub(super) fn time_is_up(&mut self) -> bool {
        let now = Instant::now();
        self.deadline.is_some_and(|deadline| now >= deadline) && now >= *self.late.get_or_insert(now) + GRACE
    }
}

impl<'a> Batch<'a> {
    /// Sets what holds for all that is in it, and for all that is added, in the place of what was set before: from now on
    /// for its total and its spread. The default is none of it.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the spread is not shorter than the total, and in a forked child of the process that made the
    /// batch; [`Error::Io`] when the system cannot wait for the canceller. Nothing has changed then.
    pub fn set(&mut self, options: BatchOptions<'a>) -> Result<(), Error> {
        options.check(options.total)?;
        let total = options.total;
        self.callbacks = self.settle(options, total, true)?;
        if !self.is_empty() {
            self.intake.ring();
        }
        Ok(())
    }

    /// Does what can be done now, a bounded amount of it: each kind of work ends after half a millisecond, and a stream that
    /// has more to do has its next turn later. It waits only if there is nothing to do, and for `wait` at most:
    /// [`Duration::ZERO`] is not at all, [`Duration::MAX`] until there is something; also with no stream in it, for another
    /// thread may [add](super::BatchHandle::add) one. Returns how many streams are left.
    ///
    /// # Errors
    /// When the system cannot wait; and [`InvalidInput`](io::ErrorKind::InvalidInput) in a forked child of the process that
    /// made the batch.
    pub fn turn(&mut self, wait: Duration) -> io::Result<usize> {
        self.turn_and(wait, true)
    }

    /// The same; it waits in vain, with no stream in it, only if another is expected.
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

    /// When the next [`turn`](Self::turn) is due, whether the descriptor is readable by then or not; `None` while only that
    /// can tell.
    pub fn deadline(&self) -> Option<Instant> {
        if self.has_work() || self.intake.has_news() { Some(Instant::now()) } else { self.next_time(&self.callbacks) }
    }

    /// Closes all streams, each by its handshake, and blocks until all have ended, or the time is up. Then it is empty, and
    /// its options hold no more, nor those that were [set](Self::set) before.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the spread is not shorter than the total, and in a forked child of the process that made the
    /// batch; [`Error::Io`] when the system cannot wait for the
    /// canceller. Nothing has been sent then, and the streams are still in it. Once it runs it always ends with a report.
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

    /// Everything that holds from now on but the callbacks, which are returned.
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

    /// Nothing is set any more.
    pub(super) fn forget_settings(&mut self) {
        self.intake.shut(None);
        if let Some(canceller) = mem::replace(&mut self.settings, Settings::none()).canceller {
            self.intake.drop_canceller(&canceller);
        }
    }

    /// Those that have not begun get their moments; those that have, a deadline.
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

    /// Takes in what was added and what was asked; true when something was added.
    pub(super) fn take_in(&mut self) -> bool {
        let any = self.insert_added();
        self.let_go();
        for index in self.intake.take_called() {
            let Some(member) = self.members.get_mut(&index) else { continue };
            member.timer = None; // it may be another time by now
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

    /// Lets those leave that are to, also when they have just come.
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

    /// It has ended.
    pub(super) fn take(&mut self, index: usize) -> Option<Box<Member<'a>>> {
        let member = self.remove_member(index)?;
        self.intake.forget(&member);
        Some(member)
    }

    /// It leaves before its end.
    pub(super) fn take_out(&mut self, index: usize) -> Option<Box<Member<'a>>> {
        let member = self.take(index)?;
        self.progress.summary.forget(member.begun);
        Some(member)
    }

    /// There is something to do that shows on no stream's descriptor.
    fn has_work(&self) -> bool {
        let now = Instant::now();
        let begins = self.schedule.beginnings.next().is_some_and(|moment| moment <= now);
        let ends = self.settings.stopped || self.settings.late.is_some_and(|late| now >= late + GRACE);
        !self.members.is_empty() && (begins || ends || !self.schedule.unfinished.is_empty())
    }

    /// When something is due.
    pub(super) fn next_time(&self, callbacks: &Callbacks<'_>) -> Option<Instant> {
        if self.members.is_empty() {
            return None;
        }
        let progress = callbacks.on_progress.is_some().then(|| self.progress.due());
        let end = self.settings.late.map_or(self.settings.deadline, |late| Some(late + GRACE));
        [self.schedule.beginnings.next(), self.schedule.timers.next(), progress, end].into_iter().flatten().min()
    }

    /// How long nothing is to be done.
    pub(super) fn patience(&self, callbacks: &Callbacks<'_>) -> Duration {
        self.next_time(callbacks).map_or(FOR_EVER, |next| next.saturating_duration_since(Instant::now()))
    }
}
