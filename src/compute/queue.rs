//! What waits for a thread: the most urgent first, with a small share of the time for the less urgent, so that nothing
//! waits for ever behind a house that stays full.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::Urgency;

/// Is told whether there is time enough to do it.
pub(super) type Work = Box<dyn FnOnce(bool) + Send>;

/// Of the time that more urgent work takes, one part in so many is owed to batches and to the background that wait meanwhile.
const SHARES: [i64; 3] = [1, 8, 16];

/// So much must be owed before it is given: a batch that has just come waits as long as it would have to.
const LEAST_OWED: i64 = 1_000_000;

/// More is not saved up: what is owed is a share, not a right to keep calls waiting.
const MOST_OWED: i64 = 10_000_000;

/// Few calls take longer than usual by more than so many deviations.
const CAUTION: u32 = 2;

pub(super) struct Entry {
    id: u64,
    pub(super) urgency: Urgency,
    pub(super) since: Instant,
    /// When its caller needs the answer.
    until: Option<Instant>,
    pub(super) work: Work,
    /// It goes before more urgent work.
    is_owed: bool,
}

/// Names an entry for as long as it waits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ticket {
    pub(super) urgency: Urgency,
    id: u64,
}

/// Three queues, and what the later ones are owed in nanoseconds.
#[derive(Default)]
pub(super) struct Queue {
    waiting: [VecDeque<Entry>; 3],
    owed: [i64; 3],
    /// How long single calls take of late, and how far from that, as TCP keeps both of round trips (Jacobson, "Congestion
    /// Avoidance and Control", 1988).
    usual: Duration,
    deviation: Duration,
    next_id: u64,
}

fn place(urgency: Urgency) -> usize {
    match urgency {
        Urgency::Interactive => 0,
        Urgency::Batch => 1,
        Urgency::Background => 2,
    }
}

fn nanoseconds(time: Duration) -> i64 {
    // A quarter of all: what is added up does not overflow.
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX).min(i64::MAX / 4)
}

impl Queue {
    pub(super) fn push(&mut self, urgency: Urgency, until: Option<Instant>, work: Work) -> Ticket {
        let id = self.next_id;
        self.next_id += 1;
        self.waiting[place(urgency)].push_back(Entry {
            id,
            urgency,
            since: Instant::now(),
            until,
            work,
            is_owed: false,
        });
        Ticket { urgency, id }
    }

    /// What is to be done next.
    pub(super) fn take(&mut self) -> Option<Entry> {
        let first = self.waiting.iter().position(|waiting| !waiting.is_empty())?;
        let owed = (first + 1..self.waiting.len())
            .rev()
            .find(|&at| self.owed[at] >= LEAST_OWED && !self.waiting[at].is_empty());
        let entry = self.waiting[owed.unwrap_or(first)].pop_front();
        entry.map(|entry| Entry { is_owed: owed.is_some(), ..entry })
    }

    /// Whether work that begins now is done when its caller needs the answer: probably, and almost surely where it has
    /// waited, since others wait for the same time. Who finds a thread free is not refused for what is only possible.
    pub(super) fn is_in_time(&mut self, entry: &Entry, now: Instant) -> bool {
        let waited = now.saturating_duration_since(entry.since);
        let takes = self.usual + (self.deviation * CAUTION).min(waited);
        let is_in_time = entry.until.is_none_or(|until| now + takes <= until);
        if !is_in_time {
            // One call that took very long must not be held against those that come after it for ever.
            self.usual = self.usual * 7 / 8;
            self.deviation = self.deviation * 7 / 8;
        }
        is_in_time
    }

    /// Takes out what nobody waits for any more; `None` where it has been begun. The caller drops it.
    pub(super) fn remove(&mut self, ticket: Ticket) -> Option<Entry> {
        let waiting = &mut self.waiting[place(ticket.urgency)];
        let at = waiting.binary_search_by_key(&ticket.id, |entry| entry.id).ok()?;
        waiting.remove(at)
    }

    /// Says what work of this urgency took.
    pub(super) fn spent(&mut self, urgency: Urgency, was_owed: bool, took: Duration) {
        if urgency == Urgency::Interactive {
            self.deviation = (self.deviation * 3 + took.abs_diff(self.usual)) / 4;
            self.usual = (self.usual * 7 + took) / 8;
        }
        let (here, took) = (place(urgency), nanoseconds(took));
        if was_owed {
            self.owed[here] = self.owed[here].saturating_sub(took);
        }
        for ((waiting, owed), share) in self.waiting.iter().zip(&mut self.owed).zip(SHARES).skip(here + 1) {
            *owed = if waiting.is_empty() { (*owed).min(0) } else { (*owed + took / share).min(MOST_OWED) };
        }
    }

    pub(super) fn len(&self, urgency: Urgency) -> usize {
        self.waiting[place(urgency)].len()
    }
}

impl Entry {
    pub(super) fn is_owed(&self) -> bool {
        self.is_owed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT: Duration = Duration::from_millis(1);

    fn work() -> Work {
        Box::new(drop)
    }

    /// Takes and does everything that waits, each in a millisecond.
    fn course(queue: &mut Queue, mut again: impl FnMut(&mut Queue, usize)) -> Vec<Urgency> {
        let mut done = Vec::new();
        while let Some(entry) = queue.take() {
            queue.spent(entry.urgency, entry.is_owed(), UNIT);
            done.push(entry.urgency);
            again(queue, done.len());
        }
        done
    }

    #[test]
    fn the_most_urgent_goes_first_and_within_it_who_came_first() {
        let mut queue = Queue::default();
        for urgency in [Urgency::Background, Urgency::Batch, Urgency::Interactive, Urgency::Batch] {
            queue.push(urgency, None, work());
        }
        let second = queue.push(Urgency::Interactive, None, work());
        assert_eq!(queue.len(Urgency::Interactive), 2);
        assert!(queue.take().is_some_and(|entry| entry.id != second.id));
        assert!(queue.take().is_some_and(|entry| entry.id == second.id));
        assert_eq!(course(&mut queue, |_, _| ()), [Urgency::Batch, Urgency::Batch, Urgency::Background]);
    }

    #[test]
    fn a_house_that_stays_full_gives_the_less_urgent_their_share() {
        let mut queue = Queue::default();
        for urgency in Urgency::ALL {
            queue.push(urgency, None, work());
        }
        let done = course(&mut queue, |queue, done| {
            for urgency in Urgency::ALL {
                if done < 1_000 && queue.len(urgency) == 0 {
                    queue.push(urgency, None, work());
                }
            }
        });
        let count = |urgency| done[..1_000].iter().filter(|done| **done == urgency).count();
        let (batch, background) = (count(Urgency::Batch), count(Urgency::Background));
        assert!((95..=125).contains(&batch), "{batch} of 1000");
        assert!((50..=70).contains(&background), "{background} of 1000");
    }

    #[test]
    fn a_long_wait_for_nothing_is_not_saved_up() {
        let mut queue = Queue::default();
        for _ in 0..1_000 {
            queue.spent(Urgency::Interactive, false, UNIT);
        }
        queue.push(Urgency::Background, None, work());
        queue.push(Urgency::Interactive, None, work());
        assert_eq!(course(&mut queue, |_, _| ()), [Urgency::Interactive, Urgency::Background]);
    }

    #[test]
    fn what_nobody_waits_for_is_taken_out_once() {
        let mut queue = Queue::default();
        let tickets: Vec<_> = (0..4).map(|_| queue.push(Urgency::Batch, None, work())).collect();
        assert!(queue.remove(tickets[2]).is_some());
        assert!(queue.remove(tickets[2]).is_none());
        assert!(queue.take().is_some_and(|entry| entry.id == tickets[0].id));
        assert!(queue.remove(tickets[0]).is_none(), "it has begun");
        assert_eq!(queue.len(Urgency::Batch), 2);
    }

    #[test]
    fn what_cannot_be_done_in_time_is_known_before() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        let entry = |queue: &mut Queue, left| {
            queue.push(Urgency::Interactive, Some(now + left), work());
            queue.take().unwrap()
        };
        let (soon, later) = (entry(&mut queue, UNIT / 2), entry(&mut queue, UNIT * 2));
        assert!(queue.is_in_time(&soon, now), "nothing is known yet");
        for _ in 0..100 {
            queue.spent(Urgency::Interactive, false, UNIT);
        }
        assert!(!queue.is_in_time(&soon, now) && queue.is_in_time(&later, now));
        assert!(!queue.is_in_time(&later, now + UNIT * 2));
        assert!((0..10).any(|_| queue.is_in_time(&soon, now)), "it is tried again");
    }
    #[test]
    fn who_has_waited_is_begun_only_where_there_is_time_for_more_than_usual() {
        let mut queue = Queue::default();
        for took in [UNIT / 2, UNIT * 3 / 2].repeat(100) {
            queue.spent(Urgency::Interactive, false, took);
        }
        for (waited, left, expected) in [(0, 3, true), (20, 3, false), (20, 6, true), (20, 1, false), (0, 1, false)] {
            let (waited, left) = (UNIT * waited / 2, UNIT * left / 2);
            queue.push(Urgency::Interactive, Some(Instant::now() + waited + left), work());
            let entry = queue.take().unwrap();
            let is_in_time = queue.is_in_time(&entry, entry.since + waited);
            assert_eq!(is_in_time, expected, "{waited:?} waited, {left:?} left");
        }
    }
}
