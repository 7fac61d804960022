//! One loop for all: begins what is due, moves what is ready, ends what is late.

use std::{
    collections::VecDeque,
    mem, thread,
    time::{Duration, Instant},
};

use super::{
    AnyTransport, Batch, BatchOptions, BatchReport, CANCELLERS, Slot, Summary,
    clock::{FOR_EVER, Timers, Turns},
};
use crate::{
    cancel::Canceller,
    closing::{Buffer, Driver, Progress},
    error::Error,
    transport::{Interest, PAUSE},
};

/// How many closes begin before those that have begun are looked after: few enough that what their answers touch is
/// still in the cache.
const BEGIN_AT_ONCE: usize = 128;
/// How much one stream may move before the others get their turn, in reads and writes: 80 KiB, and most stanzas whole.
const STEPS: u32 = 16;
/// How long at most, even in the middle of what was read: an application may take its time for each stanza.
const TURN: Duration = Duration::from_millis(20);
/// The same for one whose time has come, for many may have the same deadline: a silent stream needs three steps to end.
const DUE_STEPS: u32 = 4;
/// How long those that can still move, are ready, or are due have their turns before it is looked for others.
const ROUND: Duration = Duration::from_millis(2);
/// How long after the deadline streams may still take what has arrived, all of them together.
const GRACE: Duration = Duration::from_millis(100);
/// By how much a pause is longer for each stream that makes one: many together take no more than a part of the processor.
const PAUSE_SHARE: Duration = Duration::from_micros(200);
/// How often progress is told.
const PROGRESS: Duration = Duration::from_millis(100);
const NEITHER: Interest = Interest { read: false, write: false };

impl Batch<'_> {
    /// Closes all streams, each by its handshake, and blocks until all have ended, or the time is up. Then it is empty.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the spread is not shorter than the total, and in a forked child of the process that made the
    /// batch; [`Error::Io`] when the system cannot wait for the
    /// canceller. Nothing has been sent then, and the streams are still in it. Once it runs it always ends with a report.
    pub fn run(&mut self, mut options: BatchOptions<'_>) -> Result<BatchReport, Error> {
        options.check()?;
        self.intake.check_owner()?;
        if let Some(canceller) = &options.canceller {
            self.intake.watch_canceller(canceller)?;
        }
        let summary = Run::new(self, &mut options).all();
        self.intake.reset();
        let reports = self.members.drain(..).map(|slot| match slot {
            Slot::Ended(report) => report,
            Slot::Running(member) => member.driver.report(), // there is none
        });
        Ok(BatchReport { summary, reports: reports.collect() })
    }
}

struct Run<'b, 'a, 'o> {
    batch: &'b mut Batch<'a>,
    options: &'b mut BatchOptions<'o>,
    start: Instant,
    deadline: Instant,
    turns: Turns,
    timers: Timers,
    /// Lent to the stream that is moved, so that those that wait need none.
    buffer: Buffer,
    /// Streams that could still move when the others got their turn, each once.
    unfinished: VecDeque<usize>,
    /// How many streams are not watched, since they make pauses.
    pausing: u32,
    summary: Summary,
    /// When progress was told.
    told: Instant,
    /// When it was found that the time is up.
    late: Option<Instant>,
    stopped: bool,
}

/// What a callback that panics has left half done, nobody can go on with: the streams end here.
impl Drop for Run<'_, '_, '_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.batch.clear();
        }
    }
}

impl<'b, 'a, 'o> Run<'b, 'a, 'o> {
    fn new(batch: &'b mut Batch<'a>, options: &'b mut BatchOptions<'o>) -> Self {
        let start = Instant::now();
        let mut summary = Summary::default();
        batch.members.append(&mut batch.intake.take());
        let streams = batch.members.len();
        summary.expect(streams);
        let mut unfinished = VecDeque::with_capacity(streams);
        // What the application has read already is handled first; whoever was closed by its peer is answered.
        unfinished.extend((0..streams).filter(|index| batch.members[*index].put_off_if_urgent()));
        Self {
            start,
            deadline: start.checked_add(options.total).unwrap_or(start + FOR_EVER),
            turns: Turns::new(streams, start, options.spread),
            timers: Timers::default(),
            buffer: Buffer::default(),
            unfinished,
            pausing: 0,
            summary,
            told: start,
            late: None,
            stopped: false,
            batch,
            options,
        }
    }

    fn all(mut self) -> Summary {
        let mut ready = Vec::new();
        loop {
            self.stopped |= self.options.canceller.as_ref().is_some_and(Canceller::is_cancelled);
            if self.stopped || Instant::now() >= self.deadline {
                self.batch.intake.shut(); // or whoever always adds another never lets it end
            }
            if self.stopped {
                self.each(Driver::cancel);
            }
            let more = self.begin_what_is_due();
            self.take_in();
            if self.summary.ended == self.summary.streams {
                // Looked at behind the beginnings, for a stream may begin and end without a wait.
                self.tell_progress();
                if !self.take_in() {
                    return self.summary.clone();
                }
            }
            let limit = if more || !self.unfinished.is_empty() { Duration::ZERO } else { self.patience() };
            ready.clear();
            if let Err(error) = self.batch.intake.readiness.wait(limit, &mut ready) {
                self.each(|driver| driver.failed(&error));
            }
            self.go_on();
            let now = Instant::now();
            for key in &ready {
                if *key >= CANCELLERS {
                    self.cancelled(*key - CANCELLERS);
                } else if now.elapsed() < ROUND {
                    self.is_ready(*key);
                } else if self.put_off(*key) {
                    self.unfinished.push_back(*key);
                }
                if self.time_is_up() {
                    break;
                }
            }
            let now = Instant::now();
            while let Some((time, index)) = self.timers.take(now) {
                self.is_due(index, time);
                if self.time_is_up() || now.elapsed() >= ROUND {
                    break; // the others stay due
                }
            }
            if self.time_is_up() {
                while let Some(index) = self.turns.take(self.deadline) {
                    self.begin(index); // its tag is sent all the same
                }
                self.each(Driver::expire);
            }
            if now >= self.told + PROGRESS {
                self.tell_progress();
            }
        }
    }

    /// Takes in what the callbacks have added; true when that was something.
    fn take_in(&mut self) -> bool {
        let mut added = self.batch.intake.take();
        let count = added.len();
        self.summary.expect(count);
        for index in 0..count {
            self.turns.add(self.batch.members.len() + index);
        }
        self.batch.members.append(&mut added);
        count > 0
    }

    /// The deadline has passed, and what had arrived by then was taken for long enough.
    fn time_is_up(&mut self) -> bool {
        let now = Instant::now();
        now >= self.deadline && now >= *self.late.get_or_insert(now) + GRACE
    }

    /// How long nothing is to be done.
    fn patience(&self) -> Duration {
        let progress = self.options.on_progress.is_some().then(|| self.told + PROGRESS);
        let next = [self.turns.due(), self.timers.next(), progress].into_iter().flatten().min();
        next.map_or(FOR_EVER, |next| next.saturating_duration_since(Instant::now()))
    }

    /// True when there are more.
    fn begin_what_is_due(&mut self) -> bool {
        let now = Instant::now();
        let mut handled = Duration::ZERO;
        for _ in 0..BEGIN_AT_ONCE {
            if handled >= ROUND {
                break; // others are looked after, so that few streams hold half of a stanza
            }
            let Some(index) = self.turns.take(now) else { return false };
            if self.begin(index) {
                // What came with the beginning is handled at once, so that few streams hold a buffer; and what follows it,
                // too. But a large buffer was not lent: what is in it came before, and a peer may have decided how much.
                let Slot::Running(member) = &self.batch.members[index] else { continue };
                if member.driver.has_input() && !member.driver.has_large_buffer() {
                    let start = Instant::now();
                    self.advance(index);
                    handled += start.elapsed();
                }
                // Before those that have had their turn already.
                if self.put_off(index) {
                    self.unfinished.push_front(index);
                }
            }
        }
        self.turns.due().is_some_and(|due| due <= now)
    }

    /// False when it is over, or has begun already.
    fn begin(&mut self, index: usize) -> bool {
        let Slot::Running(member) = &mut self.batch.members[index] else { return false };
        if mem::replace(&mut member.started, true) {
            return false;
        }
        member.driver.borrow_buffer(&mut self.buffer);
        member.driver.start_by(self.deadline, self.options.stream_error.as_ref());
        self.summary.begun += 1;
        true
    }

    /// Moves what can be moved on one stream in one turn; false when that was nothing.
    fn advance(&mut self, index: usize) -> bool {
        self.move_on(index, STEPS)
    }

    /// The same in so many steps.
    fn move_on(&mut self, index: usize, most: u32) -> bool {
        let mut steps = 0;
        let end = Instant::now() + TURN;
        loop {
            let Slot::Running(member) = &mut self.batch.members[index] else { return true };
            // Without a spread it is everyone's turn; what comes from then on counts as late.
            if !member.started && (member.driver.must_start() || self.options.spread.is_zero()) {
                self.begin(index);
                continue;
            }
            member.driver.borrow_buffer(&mut self.buffer);
            match member.driver.step(false) {
                Progress::Input => (member.handle)(&mut member.driver),
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
            // What was read is better finished, for until then the stream keeps the buffer.
            if steps >= most && !member.driver.has_input() || member.driver.looked_at() >= end {
                if self.put_off(index) {
                    self.unfinished.push_back(index);
                }
                return true;
            }
        }
    }

    /// Lets the others have their turn first: true when it is not among the unfinished already, and to be put there.
    fn put_off(&mut self, index: usize) -> bool {
        let Slot::Running(member) = &mut self.batch.members[index] else { return false };
        member.driver.return_buffer(&mut self.buffer);
        !mem::replace(&mut member.put_off, true)
    }

    /// Moves those that were put off, as long as a round may take.
    fn go_on(&mut self) {
        let start = Instant::now();
        for _ in 0..self.unfinished.len() {
            let Some(index) = self.unfinished.pop_front() else { return };
            if let Slot::Running(member) = &mut self.batch.members[index] {
                member.put_off = false;
                self.advance(index);
            }
            if start.elapsed() >= ROUND {
                return;
            }
        }
    }

    fn is_ready(&mut self, index: usize) {
        if matches!(&self.batch.members[index], Slot::Running(member) if member.put_off) {
            return; // it has one turn, like the others
        }
        if !self.advance(index) {
            if let Slot::Running(member) = &mut self.batch.members[index] {
                member.driver.pace().fruitless();
            }
        }
    }

    fn is_due(&mut self, index: usize, time: Instant) {
        let Slot::Running(member) = &mut self.batch.members[index] else { return };
        let due = if member.pause == Some(time) { &mut member.pause } else { &mut member.timer };
        if *due == Some(time) {
            *due = None;
            member.driver.pace().paused();
            self.move_on(index, DUE_STEPS);
        }
    }

    /// Waits for a direction of one stream, and for its deadline.
    fn settle(&mut self, index: usize, interest: Interest) {
        let Slot::Running(member) = &mut self.batch.members[index] else { return };
        member.driver.return_buffer(&mut self.buffer);
        let mut due = member.driver.due();
        let pauses = member.driver.pace().wants_pause() || (member.holds_back && interest.read);
        let watch = member.driver.transport().watch(interest);
        let on = watch.map(|(_, on)| on).filter(|on| *on != NEITHER && !pauses);
        if on.is_none() && member.pause.is_none() {
            let end = Instant::now() + PAUSE.max(PAUSE_SHARE * self.pausing);
            member.pause = Some(end);
            self.timers.set(end, index);
        }
        if on != member.watched {
            let result =
                watch.map_or(Ok(()), |(fd, _)| self.batch.intake.readiness.watch(fd, index, member.watched, on));
            self.pausing += u32::from(on.is_none());
            self.pausing -= u32::from(member.watched.is_none());
            member.watched = on;
            if let Err(error) = result {
                member.driver.failed(&error);
                due = Some(self.start); // at once
            }
        }
        if let Some(time) = due.filter(|due| member.timer.is_none_or(|timer| *due < timer)) {
            member.timer = Some(time);
            self.timers.set(time, index);
        }
    }

    fn finish(&mut self, index: usize) {
        let Slot::Running(member) = &mut self.batch.members[index] else { return };
        member.driver.return_buffer(&mut self.buffer);
        self.pausing -= u32::from(member.watched.is_none());
        let report = member.driver.report();
        self.summary.begun += usize::from(!member.started);
        self.summary.add(&report);
        member.fd().inspect(|fd| self.batch.intake.forget(*fd));
        self.batch.members[index] = Slot::Ended(report.clone());
        if let Some(tell) = &mut self.options.on_end {
            tell(index, &report);
        }
    }

    /// Ends all that have not ended yet.
    fn each(&mut self, end: impl Fn(&mut Driver<AnyTransport<'a>>)) {
        for index in 0..self.batch.members.len() {
            if let Slot::Running(member) = &mut self.batch.members[index] {
                end(&mut member.driver);
                self.finish(index);
            }
        }
    }

    /// A canceller was used: its streams find out by themselves. It goes on ringing, so it is not watched any more.
    fn cancelled(&mut self, number: usize) {
        if let Some(canceller) = self.batch.intake.cancellers.borrow().get(number) {
            self.batch.intake.readiness.forget(canceller.wake());
        }
        for index in 0..self.batch.members.len() {
            if let Slot::Running(member) = &self.batch.members[index] {
                if member.driver.canceller().is_some_and(Canceller::is_cancelled) {
                    self.advance(index);
                }
            }
        }
    }

    fn tell_progress(&mut self) {
        self.summary.elapsed = self.start.elapsed();
        self.told = Instant::now();
        if let Some(tell) = &mut self.options.on_progress {
            self.stopped |= !tell(&self.summary);
        }
    }
}
