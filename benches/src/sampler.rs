//! Takes samples of several contenders in rounds: in each round every contender has one turn, in random order, so that
//! no contender always finds the caches as the same other contender has left them.
//!
//! The bars are ratios between contenders, and the machine is shared. criterion measures one contender after the other,
//! each for seconds, so that whatever else the machine does in those seconds is charged to one of them; here a slow
//! minute slows all of them. What is printed is the median of the rounds and the quartiles around it.

use std::{mem::MaybeUninit, time::Duration};

use crate::table::figure;

/// How long a contender works in one round, at least.
const TURN: Duration = Duration::from_millis(20);

/// One of the things that are compared.
pub struct Contender<'a> {
    /// Does its work so many times, and says how long that took.
    work: Box<dyn FnMut(u32) -> Duration + 'a>,
    times: u32,
    fixed: bool,
}

impl<'a> Contender<'a> {
    /// A contender that only computes. It is timed by the CPU time of this thread, which other programs hardly change.
    pub fn cpu(mut work: impl FnMut() + 'a) -> Self {
        Self::timed(move |times| {
            let start = thread_time();
            (0..times).for_each(|_| work());
            thread_time() - start
        })
    }

    /// A contender that prepares something that is not to be counted. It works so many times in each turn.
    pub fn fixed(times: u32, mut work: impl FnMut() -> Duration + 'a) -> Self {
        let work = move |times| (0..times).map(|_| work()).sum();
        Self { work: Box::new(work), times, fixed: true }
    }

    fn timed(work: impl FnMut(u32) -> Duration + 'a) -> Self {
        Self { work: Box::new(work), times: 1, fixed: false }
    }

    /// Warms up, and finds how often its work is to be done in a turn.
    fn calibrate(&mut self) {
        loop {
            let took = (self.work)(self.times);
            if self.fixed {
                return;
            }
            if took >= TURN / 2 || self.times > 1 << 24 {
                let turns = TURN.as_secs_f64() / took.as_secs_f64().max(1e-9) * f64::from(self.times);
                self.times = (turns as u32).max(1);
                return;
            }
            self.times *= 2;
        }
    }
}

/// The seconds that its work took once, in each round, sorted.
#[derive(Clone, Debug)]
pub struct Samples(Vec<f64>);

impl Samples {
    pub fn new(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    pub fn median(&self) -> f64 {
        self.0[self.0.len() / 2]
    }

    /// For a table: in microseconds, and divided by another contender's.
    pub fn beside(&self, other: &Self) -> [String; 2] {
        let median = self.median();
        [format!("{} ± {:.0} %", figure(median * 1e6), self.spread()), figure(median / other.median())]
    }

    /// Half of the distance between the quartiles, in percent of the median.
    pub fn spread(&self) -> f64 {
        let at = |part: usize| self.0[(self.0.len() - 1) * part / 4];
        (at(3) - at(1)) / 2.0 / self.median() * 100.0
    }
}

/// The samples of each contender.
pub fn interleave(mut contenders: Vec<Contender>, rounds: usize) -> Vec<Samples> {
    contenders.iter_mut().for_each(Contender::calibrate);
    let mut samples = vec![Vec::new(); contenders.len()];
    let mut order: Vec<_> = (0..contenders.len()).collect();
    let mut chance = 1_u64;
    for _ in 0..rounds {
        for last in (1..order.len()).rev() {
            // Knuth's MMIX generator; its high bits are the good ones.
            chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            order.swap(last, (chance >> 33) as usize % (last + 1));
        }
        for &number in &order {
            let contender = &mut contenders[number];
            let took = (contender.work)(contender.times).as_secs_f64();
            samples[number].push(took / f64::from(contender.times));
        }
    }
    samples.into_iter().map(Samples::new).collect()
}

/// CPU time of this thread.
pub fn thread_time() -> Duration {
    clock(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// CPU time of all threads of this process.
pub fn process_time() -> Duration {
    clock(libc::CLOCK_PROCESS_CPUTIME_ID)
}

fn clock(id: libc::clockid_t) -> Duration {
    let mut time = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: the system fills the struct, and says so.
    let time = unsafe {
        assert_eq!(libc::clock_gettime(id, time.as_mut_ptr()), 0);
        time.assume_init()
    };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
