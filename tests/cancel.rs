//! The bell behind `Canceller` and `Waker`, under every interleaving of the threads that use it. No wake is lost, there
//! are never two bytes in the bell, and none while its flag is down. The code is the library's own, on loom's types.

#[path = "../src/cancel/bell.rs"]
mod bell;

use loom::{
    model::Builder,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use bell::{Bell, Wake};

/// A pair of sockets: how many bytes are in it, and a wait until there are any.
#[derive(Debug)]
struct Pair {
    bytes: Mutex<usize>,
    came: Condvar,
}

impl Pair {
    fn new() -> Self {
        Self { bytes: Mutex::new(0), came: Condvar::new() }
    }

    fn put(&self) {
        let mut bytes = self.bytes.lock().unwrap();
        *bytes += 1;
        assert_eq!(*bytes, 1, "bytes in the pair");
        self.came.notify_all();
    }

    fn take(&self) -> bool {
        let mut bytes = self.bytes.lock().unwrap();
        let some = *bytes > 0;
        *bytes -= usize::from(some);
        some
    }

    /// poll(2). Without end, loom calls it a deadlock.
    fn wait(&self) {
        let mut bytes = self.bytes.lock().unwrap();
        while *bytes == 0 {
            bytes = self.came.wait(bytes).unwrap();
        }
    }
}

/// Three preemptions are more than any known race needs; without a bound it takes minutes.
fn model(test: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(test);
}

fn bell() -> Arc<Bell> {
    Arc::new(Bell::new(Pair::new()))
}

/// What must hold whenever nobody is about to change it.
fn assert_whole(bell: &Bell) {
    assert_eq!(usize::from(bell.rings()), *bell.pair.bytes.lock().unwrap(), "the flag, and the bytes in the pair");
}

/// Each of `ringers` threads posts a letter and rings; this one, as `Stream::receive` does, takes the ring or waits,
/// until it has all letters. They are relaxed, so that it is the bell alone that makes them visible.
fn all_letters_come(ringers: usize, silence: fn(&Bell) -> bool) {
    model(move || {
        let bell = bell();
        let letters: Vec<_> = (0..ringers).map(|_| Arc::new(AtomicBool::new(false))).collect();
        let post = |letter: &Arc<AtomicBool>| {
            let (bell, letter) = (bell.clone(), letter.clone());
            move || {
                letter.store(true, Ordering::Relaxed);
                bell.ring();
            }
        };
        let threads: Vec<_> = letters.iter().map(|letter| thread::spawn(post(letter))).collect();
        let mut all = false;
        while !all {
            if silence(&bell) {
                all = letters.iter().all(|letter| letter.load(Ordering::Relaxed));
            } else {
                bell.pair.wait();
            }
        }
        for thread in threads {
            thread.join().unwrap();
        }
        assert_whole(&bell);
        // One ring at the most is left, of a thread whose letter was seen with another's.
        silence(&bell);
        assert_whole(&bell);
        assert!(!bell.rings());
    });
}

#[test]
fn no_wake_is_lost_and_no_byte_is_left_behind() {
    all_letters_come(1, Bell::silence);
    all_letters_come(2, Bell::silence);
}

/// Two threads ring the bell of one stream: a waker, of whom the application is told once, and a sender, whose letter
/// is found without a word.
fn both_reasons_come(silence: fn(&Wake) -> Option<bool>) {
    model(move || {
        let wake = Arc::new(Wake::new(Pair::new()));
        let letter = Arc::new(AtomicBool::new(false));
        let waking = thread::spawn({
            let wake = wake.clone();
            move || wake.wake()
        });
        let sending = thread::spawn({
            let (wake, letter) = (wake.clone(), letter.clone());
            move || {
                letter.store(true, Ordering::Relaxed);
                wake.nudge();
            }
        });
        let (mut told, mut found) = (0, false);
        while told == 0 || !found {
            match silence(&wake) {
                Some(asked) => {
                    told += u32::from(asked);
                    found |= letter.load(Ordering::Relaxed);
                }
                None => wake.bell.pair.wait(),
            }
        }
        waking.join().unwrap();
        sending.join().unwrap();
        told += u32::from(silence(&wake) == Some(true));
        assert_eq!(told, 1, "told once");
        assert_whole(&wake.bell);
        assert!(!wake.bell.rings());
    });
}

#[test]
fn neither_reason_to_ring_hides_the_other() {
    both_reasons_come(Wake::silence);
}

/// A wake that is not forgotten once it was told of is told of with the next letter.
#[test]
#[should_panic = "told once"]
fn a_wake_that_is_told_of_twice_is_found() {
    both_reasons_come(|wake| wake.bell.silence().then(|| wake.asked.load(Ordering::SeqCst)));
}

/// An old fault: the flag falls although the byte has not come yet, and then the byte stays in the pair for ever.
#[test]
#[should_panic = "the flag, and the bytes in the pair"]
fn a_flag_that_falls_before_its_byte_has_come_is_found() {
    all_letters_come(1, |bell| {
        let rang = bell.rings();
        if rang {
            bell.pair.take();
            bell.rings.store(false, Ordering::SeqCst);
        }
        rang
    });
}

/// The other order: a thread that rings in between puts a second byte into the pair.
#[test]
#[should_panic = "bytes in the pair"]
fn a_flag_that_falls_before_its_byte_is_taken_is_found() {
    all_letters_come(2, |bell| {
        let rang = bell.rings.swap(false, Ordering::SeqCst);
        if rang {
            bell.pair.take();
        }
        rang
    });
}

/// Nobody takes the byte of a canceller, so it ends every wait; a thread whose wait has ended sees the flag.
#[test]
fn a_canceller_stops_all_closes_from_any_number_of_threads() {
    for (closes, cancels) in [(2, 1), (1, 2)] {
        model(move || {
            let bell = bell();
            let mut threads = Vec::new();
            for _ in 1..closes {
                let bell = bell.clone();
                threads.push(thread::spawn(move || close(&bell)));
            }
            for _ in 0..cancels {
                let bell = bell.clone();
                threads.push(thread::spawn(move || bell.ring()));
            }
            close(&bell);
            for thread in threads {
                thread.join().unwrap();
            }
            assert!(bell.rings());
            assert_whole(&bell);
        });
    }
}

/// As the driver does: it looks, and waits.
fn close(bell: &Bell) {
    while !bell.rings() {
        bell.pair.wait();
        assert!(bell.rings(), "woken for nothing");
    }
}

/// Whoever is last frees it, be it the close or the canceller; loom fails when nobody does, or one too early.
#[test]
fn a_canceller_may_be_dropped_while_the_close_ends() {
    model(|| {
        let bell = bell();
        let canceller = bell.clone();
        let cancelling = thread::spawn(move || {
            canceller.ring();
            drop(canceller);
        });
        // The close looked once, and then was over for another reason.
        let _ = bell.rings();
        drop(bell);
        cancelling.join().unwrap();
    });
}
