//! How many refusals get an entry of their own: whoever guesses at credentials must not fill the disk.

use std::time::{Duration, Instant};

/// Entries within a second; the others are counted in one.
const A_SECOND: u32 = 10;
const WINDOW: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Refusals {
    window: Instant,
    written: u32,
    left_out: u64,
}

impl Refusals {
    pub(super) fn new(now: Instant) -> Self {
        Self { window: now, written: 0, left_out: 0 }
    }

    /// Whether a refusal gets an entry of its own; otherwise it is counted.
    pub(super) fn admit(&mut self, now: Instant) -> bool {
        if now.duration_since(self.window) >= WINDOW {
            self.window = now;
            self.written = 0;
        }
        let is_admitted = self.written < A_SECOND;
        if is_admitted {
            self.written += 1;
        } else {
            self.leave_out();
        }
        is_admitted
    }

    /// Counts a refusal that has no entry of its own.
    pub(super) fn leave_out(&mut self) {
        self.left_out += 1;
    }

    /// How many were counted, once their second is over; with `at_once` whatever the time.
    pub(super) fn take_left_out(&mut self, now: Instant, at_once: bool) -> u64 {
        if at_once || now.duration_since(self.window) >= WINDOW { std::mem::take(&mut self.left_out) } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_gets_some_entries_and_one_that_counts_the_others() {
        let start = Instant::now();
        let mut refusals = Refusals::new(start);
        let admitted = (0..1_000).filter(|_| refusals.admit(start)).count();
        assert_eq!(admitted, A_SECOND as usize);
        assert_eq!(refusals.take_left_out(start, false), 0);
        let later = start + WINDOW;
        assert_eq!((refusals.take_left_out(later, false), refusals.take_left_out(later, false)), (990, 0));
        assert!(refusals.admit(later));
        refusals.leave_out();
        assert_eq!(refusals.take_left_out(later, true), 1);
    }
}
