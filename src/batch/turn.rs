//! One turn of the whole batch: it begins the closes that are due, moves the streams that are ready, and ends those that are
//! late.

use std::{
    io, mem, thread,
    time::{Duration, Instant},
};

use super::{Batch, Member, Summary, clock::FOR_EVER, intake::Ready, options::Callbacks};
use crate::{
    closing::Progress,
    error::Invalid,
    report::Report,
    transport::{Interest, PAUSE, PAUSED, Transport},
};

/// How many closes begin before streams that have begun get their turn: few enough that the memory of these streams is still
/// in the processor's cache when their answers come.
const BEGIN_AT_ONCE: usize = 128;
/// How long each kind of work lasts in a run before the next kind has its turn.
const ROUND: Duration = Duration::from_millis(2);
/// As [`ROUND`], in a turn that a program's event loop gives: the loop has other descriptors to serve.
const SHARE: Duration = Duration::from_micros(500);
/// How many reads and writes one stream may do before the others get their turn: 80 KiB, enough for most stanzas to come
/// whole.
const STEPS: u32 = 16;
/// How long one stream may take in a run before the others get their turn, even in the middle of what was read: the
/// application's callback may need time for each stanza.
const LONGEST: Duration = Duration::from_millis(20);
/// As [`STEPS`], for a stream whose deadline has come. A silent stream needs three steps to end, and many streams may have
/// the same deadline.
const DUE_STEPS: u32 = 4;
/// How long after the deadline the streams, all of them together, may still take what has arrived.
pub(super) const GRACE: Duration = Duration::from_millis(100);
/// Each stream that pauses makes a pause longer by this much, so that many such streams use only a part of the processor.
const PAUSE_SHARE: Duration = Duration::from_micros(200);

/// The batch while it works.
pub(super) struct Turn<'b, 'a, 'o> {
    pub(super) batch: &'b mut Batch<'a>,
    pub(super) callbacks: &'b mut Callbacks<'o>,
    /// True in a run to the end, false in a turn that an event loop gives.
    pub(super) runs: bool,
    /// Another thread may add a stream, so the batch waits even without streams.
    pub(super) expects: bool,
}

/// A callback that panics leaves a stream in the middle of its work. So all streams are dropped then.
impl Drop for Turn<'_, '_, '_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.batch.clear();
            self.batch.forget_settings();
        }
    }
}

impl<'a> Turn<'_, 'a, '_> {
    /// Gives turns until all streams have ended.
    pub(super) fn all(mut self) -> Summary {
        loop {
            if self.batch.is_empty() {
                // A stream may have begun and ended in the last turn, without a wait. So `on_progress` is called before the run ends.
                self.tell_progress();
                if !self.batch.take_in() {
                    return self.batch.progress.summary.clone();
                }
            }
            if let Err(error) = self.go(FOR_EVER) {
                self.end_some(|member| member.driver.failed(&error));
            }
        }
    }

    /// One turn. When there is nothing to do, it waits for `wait` at most.
    pub(super) fn go(&mut self, wait: Duration) -> io::Result<()> {
        self.batch.intake.silence();
        let ended = self.batch.progress.summary.ended;
        self.batch.take_in();
        if self.ends() {
            self.tell_progress_after(ended);
            return Ok(());
        }
        let more = self.begin_what_is_due();
        self.batch.take_in();
        let empty = self.batch.members.is_empty() && !self.expects;
        let something = more || empty || !self.batch.schedule.unfinished.is_empty() || self.has_ended_some(ended);
        let limit = if something { Duration::ZERO } else { wait.min(self.batch.patience(self.callbacks)) };
        let mut ready = mem::take(&mut self.batch.ready);
        ready.clear();
        let result = self.batch.intake.wait(limit, &mut ready);
        self.go_on();
        let now = Instant::now();
        for key in &ready {
            match self.batch.intake.ready(*key) {
                Ready::Bell => {
                    self.batch.take_in();
                }
                Ready::Canceller => self.cancelled(),
                Ready::Stream(index) if now.elapsed() < self.round() => self.is_ready(index),
                Ready::Stream(index) => self.put_last(index),
            }
            if self.batch.settings.time_is_up() {
                break;
            }
        }
        self.batch.ready = ready;
        let now = Instant::now();
        while let Some((time, index)) = self.batch.schedule.timers.take(now) {
            self.is_due(index, time);
            if self.batch.settings.time_is_up() || now.elapsed() >= self.round() {
                break; // the other streams stay due
            }
        }
        self.tell_progress_after(ended);
        result
    }

    /// Tells progress when that is due, and when the last stream has ended. In a run, `all` tells the latter.
    fn tell_progress_after(&mut self, ended: usize) {
        let last = !self.runs && self.has_ended_some(ended) && self.batch.is_empty();
        if last || Instant::now() >= self.batch.progress.due() {
            self.tell_progress();
        }
    }

    fn has_ended_some(&self, before: usize) -> bool {
        self.batch.progress.summary.ended > before
    }

    /// Whether the time is up, or the batch was stopped. Then no stream can be added any more, and each turn ends some of those
    /// that are left.
    fn ends(&mut self) -> bool {
        let Batch { settings, intake, members, .. } = &mut *self.batch;
        if let Some(canceller) = settings.canceller.take_if(|canceller| canceller.is_cancelled()) {
            intake.drop_canceller(&canceller); // a used canceller stays readable, so it must not be watched
            settings.stopped = true;
        }
        if settings.stopped {
            intake.shut(Some(Invalid::BatchStopped));
        } else if settings.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            intake.shut(Some(Invalid::BatchTime)); // a program that keeps adding must not keep the batch alive
        }
        if members.is_empty() {
            return false;
        }
        if settings.stopped {
            self.end_some(|member| member.driver.cancel());
            return true;
        }
        let up = settings.time_is_up();
        if up {
            let (deadline, error) = (settings.deadline, settings.stream_error.take());
            self.end_some(|member| {
                if !member.begun {
                    member.start_by(deadline, error.as_ref()); // our tag is sent even so
                }
                member.driver.expire();
            });
            self.batch.settings.stream_error = error;
        }
        up
    }

    /// Begins the closes that are due. True when more of them are due than could begin now.
    fn begin_what_is_due(&mut self) -> bool {
        let now = Instant::now();
        for _ in 0..BEGIN_AT_ONCE {
            if now.elapsed() >= self.round() {
                break; // streams that have begun get their turn, so that few of them hold a part of a stanza
            }
            let Some((_, index)) = self.batch.schedule.beginnings.take(now) else { return false };
            self.take_up(index, |turn| {
                if !turn.begin(index) {
                    return;
                }
                // What came with the beginning, and what follows it, is handled at once, so that few streams hold a buffer.
                // A large buffer is no lent one. It holds what came before the close, perhaps very much, and has to wait.
                let Some(member) = turn.batch.members.get(&index) else { return };
                if member.driver.has_input() && !member.driver.has_large_buffer() {
                    turn.step(index, STEPS);
                }
                // This stream goes in front of those that have had their turn already.
                if turn.put_off(index) {
                    turn.batch.schedule.unfinished.push_front(index);
                }
            });
        }
        self.batch.schedule.beginnings.next().is_some_and(|due| due <= now)
    }

    /// Begins the close of a stream. False when the stream has ended, or has begun already.
    fn begin(&mut self, index: usize) -> bool {
        let Batch { members, buffer, settings, progress, .. } = &mut *self.batch;
        let Some(member) = members.get_mut(&index).filter(|member| !member.begun) else { return false };
        member.begun = true;
        member.driver.borrow_buffer(buffer);
        member.start_by(settings.deadline, settings.stream_error.as_ref());
        progress.summary.begun += 1;
        true
    }

    /// Works on one stream, between [`Member::enter`] and [`Member::leave`]. `None` when the stream is gone.
    fn take_up<R>(&mut self, index: usize, work: impl FnOnce(&mut Self) -> R) -> Option<R> {
        self.batch.let_go();
        let stays = self.batch.members.get_mut(&index)?.enter();
        let result = stays.then(|| work(self));
        if self.batch.members.get_mut(&index).is_some_and(|member| !stays || !member.leave()) {
            self.batch.take_out(index);
        }
        result
    }

    /// Moves what can be moved on one stream, in `most` steps at most. False when nothing could be moved.
    fn move_on(&mut self, index: usize, most: u32) -> bool {
        self.take_up(index, |turn| turn.step(index, most)).unwrap_or(true)
    }

    fn step(&mut self, index: usize, most: u32) -> bool {
        let mut steps = 0;
        let end = Instant::now() + if self.runs { LONGEST } else { SHARE };
        loop {
            self.batch.let_go();
            let Some(member) = self.batch.members.get_mut(&index) else { return true };
            // When the spread is over, every stream begins. What comes from then on counts as late.
            if !member.begun && (member.driver.must_start() || self.batch.settings.spread.is_over()) {
                self.begin(index);
                continue;
            }
            member.driver.borrow_buffer(&mut self.batch.buffer);
            match member.driver.step(false) {
                Progress::Input => (member.on_input)(&mut member.driver),
                Progress::Moved => steps += 1,
                Progress::Blocked(interest) => {
                    self.settle(index, interest);
                    return steps > 0;
                }
                Progress::Over => {
                    self.finish(index);
                    return true;
                }
            }
            if !member.exchange() {
                return true;
            }
            // Input that was read is handled beyond `most` steps, because the stream keeps the lent buffer until then.
            if steps >= most && !member.driver.has_input() || member.driver.looked_at() >= end {
                self.put_last(index);
                return true;
            }
        }
    }

    /// Lets the other streams have their turn first. True when the caller is to put this one among the unfinished; false when
    /// it is there already, or is gone.
    fn put_off(&mut self, index: usize) -> bool {
        let Some(member) = self.batch.members.get_mut(&index) else { return false };
        member.driver.return_buffer(&mut self.batch.buffer);
        !mem::replace(&mut member.put_off, true)
    }

    fn put_last(&mut self, index: usize) {
        if self.put_off(index) {
            self.batch.schedule.unfinished.push_back(index);
        }
    }

    /// Moves the unfinished streams, for one round at most.
    fn go_on(&mut self) {
        let start = Instant::now();
        for _ in 0..self.batch.schedule.unfinished.len() {
            let Some(index) = self.batch.schedule.unfinished.pop_front() else { return };
            if let Some(member) = self.batch.members.get_mut(&index) {
                member.put_off = false;
                self.move_on(index, STEPS);
            }
            if start.elapsed() >= self.round() {
                return;
            }
        }
    }

    fn is_ready(&mut self, index: usize) {
        if self.batch.members.get(&index).is_none_or(|member| member.put_off) {
            return; // it gets its turn among the unfinished, and only one, like the others
        }
        if !self.move_on(index, STEPS) {
            if let Some(member) = self.batch.members.get_mut(&index) {
                member.driver.pace().fruitless();
            }
        }
    }

    fn is_due(&mut self, index: usize, time: Instant) {
        let Some(member) = self.batch.members.get_mut(&index) else { return };
        let due = if member.watch.pause == Some(time) { &mut member.watch.pause } else { &mut member.timer };
        if *due == Some(time) {
            *due = None;
            member.driver.pace().paused();
            self.move_on(index, DUE_STEPS);
        }
    }

    /// Prepares the wait for one stream: watches its descriptor for these directions, and sets timers for its deadline and its
    /// pause.
    fn settle(&mut self, index: usize, interest: Interest) {
        let Batch { members, buffer, schedule, intake, .. } = &mut *self.batch;
        let Some(member) = members.get_mut(&index) else { return };
        member.driver.return_buffer(buffer);
        let mut due = member.driver.due();
        let pauses = member.driver.pace().wants_pause() || (member.watch.holds_back && interest.read);
        let watch = member.driver.transport().watch(interest);
        let on = watch.map(|(_, on)| on).filter(|on| *on != Interest::NEITHER && !pauses);
        let paused = member.driver.is_paused();
        if (on.is_none() || paused) && member.watch.pause.is_none() {
            let least = if paused { PAUSED } else { PAUSE };
            let end = Instant::now() + least.max(PAUSE_SHARE * schedule.pausing);
            member.watch.pause = Some(end);
            schedule.timers.set(end, index);
        }
        if on != member.watch.on {
            let result = watch.map_or(Ok(()), |(fd, _)| intake.watch(fd, index, member.watch.on, on));
            schedule.pausing += u32::from(on.is_none());
            schedule.pausing -= u32::from(member.watch.on.is_none());
            member.watch.on = on;
            if let Err(error) = result {
                member.driver.failed(&error);
                due = Some(Instant::now());
            }
        }
        if let Some(time) = due.filter(|due| member.timer.is_none_or(|timer| *due < timer)) {
            member.timer = Some(time);
            schedule.timers.set(time, index);
        }
    }

    fn finish(&mut self, index: usize) {
        self.batch.let_go();
        let Some(member) = self.batch.members.get_mut(&index) else { return };
        if !member.leave() {
            self.batch.take_out(index);
            return;
        }
        let Some(member) = self.batch.take(index) else { return };
        let report = member.driver.report();
        self.batch.progress.summary.begun += usize::from(!member.begun);
        self.batch.progress.summary.add(&report);
        member.give_back();
        self.tell_end(index, report);
    }

    fn tell_end(&mut self, index: usize, report: Report) {
        if let Some(tell) = &mut self.callbacks.on_end {
            tell(index, &report);
        }
        if self.runs || self.callbacks.on_end.is_none() {
            self.batch.reports.insert(index, report);
        }
    }

    /// Ends streams with `end`, for one round at most.
    fn end_some(&mut self, mut end: impl FnMut(&mut Member<'a>)) {
        let start = Instant::now();
        while let Some(index) = self.batch.members.keys().next().copied() {
            self.take_up(index, |turn| {
                if let Some(member) = turn.batch.members.get_mut(&index) {
                    end(member);
                    if !member.exchange() {
                        return;
                    }
                }
                turn.finish(index);
            });
            if start.elapsed() >= self.round() {
                return;
            }
        }
    }

    /// A canceller was used. Its streams get a turn, in which they find that out themselves.
    fn cancelled(&mut self) {
        let Batch { members, schedule, .. } = &mut *self.batch;
        for (index, member) in members.iter_mut() {
            if member.is_cancelled() && !mem::replace(&mut member.put_off, true) {
                schedule.unfinished.push_back(*index);
            }
        }
    }

    fn tell_progress(&mut self) {
        let summary = self.batch.progress.look();
        if let Some(tell) = &mut self.callbacks.on_progress {
            self.batch.settings.stopped |= !tell(summary);
        }
    }

    fn round(&self) -> Duration {
        if self.runs { ROUND } else { SHARE }
    }
}
