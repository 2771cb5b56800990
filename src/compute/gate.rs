//! How many single calls may be at work or waiting at a time.
//!
//! What tells a full house from a burst is the least that anybody waited over an interval, as in `CoDel` (Nichols and
//! Jacobson, "Controlling Queue Delay", 2012): a burst drains within the interval, and the last ones wait for nothing; a
//! queue that stands does not. By Little's law a queue that stands is so long as the wait is: the limit goes down in that
//! proportion at once, and comes back by a quarter an interval, so that it settles in some intervals and does not swing.
//! Where a queue stands and callers do not stay for their answers, it is too long for them, whatever the target is.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

const INTERVAL: Duration = Duration::from_millis(50);
const GROWTH: f64 = 1.25;
/// One interval tells no more than this.
const LEAST_SHARE: f64 = 0.1;
/// Where fewer of those who were let in stay for their answers, these come too late.
const STAYING: f64 = 0.75;
/// Of the target: where calls wait for less, one with another, they leave for reasons of their own.
const QUEUED: f64 = 0.1;

/// When a refused caller should come again, one with another, in milliseconds.
const RETRIES: [u32; 7] = [100, 200, 400, 800, 1_600, 3_200, 6_400];
/// Those who are refused together come again at so many different times: few, so that answers can be kept ready.
const SPREAD: u32 = 8;

#[derive(Debug)]
pub(super) struct Gate {
    limit: AtomicUsize,
    inside: AtomicUsize,
    /// Since the interval began.
    refused: AtomicUsize,
    /// Those who were let in and did not stay, or could not be answered in time, since the interval began.
    left: AtomicUsize,
    /// Which of [`RETRIES`].
    retry: AtomicUsize,
    spread: AtomicU32,
    floor: usize,
    ceiling: usize,
    /// So long calls may keep waiting; `None`: the limit is fixed.
    target: Option<Duration>,
}

/// A call that is inside, until it is dropped.
#[derive(Debug)]
pub(super) struct Inside(Arc<Gate>);

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.inside.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Gate {
    pub(super) fn new(floor: usize, ceiling: usize, target: Option<Duration>) -> Self {
        Self {
            limit: AtomicUsize::new(ceiling),
            inside: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
            left: AtomicUsize::new(0),
            retry: AtomicUsize::new(0),
            spread: AtomicU32::new(0),
            floor: floor.min(ceiling),
            ceiling,
            target,
        }
    }

    pub(super) fn enter(self: &Arc<Self>) -> Option<Inside> {
        let limit = self.limit();
        let entered = self
            .inside
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |inside| (inside < limit).then_some(inside + 1));
        entered.ok().map(|_| Inside(Arc::clone(self)))
    }

    pub(super) fn is_full(&self) -> bool {
        self.inside() >= self.limit()
    }

    /// Calls wait for longer than they should, or did just now.
    pub(super) fn is_pressed(&self) -> bool {
        self.limit() < self.ceiling
    }

    pub(super) fn limit(&self) -> usize {
        self.limit.load(Ordering::Relaxed)
    }

    pub(super) fn inside(&self) -> usize {
        self.inside.load(Ordering::Relaxed)
    }

    /// Counts a call that was let in for nothing.
    pub(super) fn leave(&self) {
        self.left.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a refusal, and says when to come again: the later the more were refused for each that was answered, and
    /// spread, so that those who were refused together do not come together.
    pub(super) fn refuse(&self) -> Duration {
        self.refused.fetch_add(1, Ordering::Relaxed);
        // Three and eight have no common factor: neighbours lie far apart.
        let step = self.spread.fetch_add(3, Ordering::Relaxed) % SPREAD;
        let retry = Duration::from_millis(RETRIES[self.retry.load(Ordering::Relaxed)].into());
        retry / 2 + retry * step / SPREAD
    }
}

/// What was seen since the interval began.
#[derive(Debug)]
pub(super) struct Watch {
    began: Instant,
    least_wait: Duration,
    waited: Duration,
    started: usize,
    most_inside: usize,
}

impl Watch {
    pub(super) fn begin(now: Instant) -> Self {
        Self { began: now, least_wait: Duration::MAX, waited: Duration::ZERO, started: 0, most_inside: 0 }
    }

    /// Takes note of a call that starts at `now` and has waited, and sets the limit where an interval is over.
    pub(super) fn note(&mut self, gate: &Gate, waited: Duration, now: Instant) {
        self.least_wait = self.least_wait.min(waited);
        self.waited += waited;
        self.started += 1;
        self.most_inside = self.most_inside.max(gate.inside());
        let elapsed = now.saturating_duration_since(self.began);
        if elapsed < INTERVAL {
            return;
        }
        let [refused, left] = [&gate.refused, &gate.left].map(|count| count.swap(0, Ordering::Relaxed));
        if let Some(target) = gate.target {
            let limit = self.limit(gate.limit(), target, left, refused > 0, elapsed);
            gate.limit.store(limit.clamp(gate.floor, gate.ceiling), Ordering::Relaxed);
        }
        // As many times the least as calls came for each that was answered.
        let came = (self.started + refused).div_ceil(self.started);
        let retry = came.next_power_of_two().ilog2() as usize;
        gate.retry.store(retry.min(RETRIES.len() - 1), Ordering::Relaxed);
        *self = Self::begin(now);
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "limits are small and positive, and a part of a call is none"
    )]
    fn limit(&self, limit: usize, target: Duration, left: usize, is_reached: bool, elapsed: Duration) -> usize {
        let mut wanted = target.as_secs_f64() / self.least_wait.as_secs_f64().max(1e-9);
        let (started, left) = (self.started as f64, left as f64);
        let staying = started / (started + left);
        if staying < STAYING && self.waited.as_secs_f64() / started > QUEUED * target.as_secs_f64() {
            wanted = wanted.min(staying);
        }
        if wanted < 1.0 {
            return (limit.min(self.most_inside) as f64 * wanted.max(LEAST_SHARE)).round() as usize;
        }
        // What is not reached says nothing about more; after calm a burst is welcome again.
        let intervals = elapsed.as_secs_f64() / INTERVAL.as_secs_f64();
        let growth = if is_reached { wanted.min(GROWTH) } else { GROWTH.powf(intervals.min(64.0)) };
        (limit as f64 * growth).ceil() as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Duration = Duration::from_millis(5);

    /// A house with one thread and calls of `service`, of which so many come in each of `intervals` for one that is
    /// answered.
    fn course(gate: &Arc<Gate>, watch: &mut Watch, now: &mut Instant, service: Duration, load: f64, intervals: u32) {
        let end = *now + INTERVAL * intervals;
        let (mut queue, mut arriving) = (std::collections::VecDeque::new(), 0.0);
        while *now <= end {
            arriving += load;
            while arriving >= 1.0 {
                arriving -= 1.0;
                match gate.enter() {
                    Some(inside) => queue.push_back((*now, inside)),
                    None => drop(gate.refuse()),
                }
            }
            if let Some((since, inside)) = queue.pop_front() {
                watch.note(gate, *now - since, *now);
                drop(inside);
            }
            *now += service;
        }
    }

    #[test]
    fn a_house_that_stays_full_keeps_nobody_waiting_for_much_longer_than_the_target() {
        for service in [200, 1_000, 2_000].map(Duration::from_micros) {
            let gate = Arc::new(Gate::new(2, 512, Some(TARGET)));
            let mut now = Instant::now();
            let mut watch = Watch::begin(now);
            course(&gate, &mut watch, &mut now, service, 3.0, 30);
            let wait = service * u32::try_from(gate.limit()).unwrap();
            assert!(wait <= 2 * TARGET + service, "{service:?} each: {wait:?}");
            assert!(gate.limit() > 2, "{service:?} each");
            assert!(gate.is_pressed());

            course(&gate, &mut watch, &mut now, service, 0.5, 30);
            assert_eq!(gate.limit(), 512, "{service:?} each: after three seconds of calm");
        }
    }

    #[test]
    fn who_does_not_stay_waits_for_too_long_where_a_queue_stands() {
        let limit_after = |waited: Duration, left: usize| {
            let gate = Arc::new(Gate::new(2, 512, Some(TARGET)));
            let mut now = Instant::now();
            let mut watch = Watch::begin(now);
            let entered: Vec<_> = (0..8).map_while(|_| gate.enter()).collect();
            for _ in 0..20 {
                (0..left).for_each(|_| gate.leave());
                now += INTERVAL / 20;
                watch.note(&gate, waited, now);
            }
            drop(entered);
            gate.limit()
        };
        let waits = TARGET / 2;
        assert_eq!(limit_after(waits, 0), 512, "nobody waits for longer than the target");
        assert_eq!([1, 3, 1_000].map(|left| limit_after(waits, left)), [4, 2, 2], "of eight");
        assert_eq!(limit_after(TARGET / 20, 1_000), 512, "threads are free: others must not be refused for it");
    }

    #[test]
    fn a_burst_that_drains_changes_nothing() {
        let gate = Arc::new(Gate::new(2, 512, Some(TARGET)));
        let mut now = Instant::now();
        let mut watch = Watch::begin(now);
        // At first nobody waits, then each call for longer than the one before: in no interval all of them do.
        for waited in (0..100).map(Duration::from_millis) {
            now += Duration::from_millis(1);
            watch.note(&gate, waited.saturating_sub(INTERVAL), now);
        }
        assert_eq!(gate.limit(), 512);
    }

    #[test]
    fn calls_that_take_long_leave_one_at_work_and_one_waiting_for_each_thread() {
        let gate = Arc::new(Gate::new(4, 512, Some(TARGET)));
        let mut now = Instant::now();
        let mut watch = Watch::begin(now);
        let entered: Vec<_> = (0..64).map_while(|_| gate.enter()).collect();
        for _ in 0..10 {
            now += INTERVAL;
            watch.note(&gate, Duration::from_secs(1), now);
        }
        assert_eq!((gate.limit(), entered.len()), (4, 64));
        assert!(gate.enter().is_none() && gate.is_full());
        drop(entered);
        assert_eq!(gate.inside(), 0);
    }

    #[test]
    fn without_a_target_the_limit_stays() {
        let gate = Arc::new(Gate::new(1, 3, None));
        let mut now = Instant::now();
        let mut watch = Watch::begin(now);
        for _ in 0..10 {
            now += INTERVAL;
            watch.note(&gate, Duration::from_secs(1), now);
        }
        assert_eq!(gate.limit(), 3);
    }

    #[test]
    fn the_more_are_refused_the_later_they_are_asked_to_come_again_and_not_all_at_once() {
        let gate = Arc::new(Gate::new(1, 1, None));
        let mut now = Instant::now();
        let mut watch = Watch::begin(now);
        let mean = |gate: &Gate| (0..1_000).map(|_| gate.refuse()).sum::<Duration>() / 1_000;
        let calm: std::collections::BTreeSet<_> = (0..SPREAD).map(|_| gate.refuse()).collect();
        assert_eq!(calm.len(), SPREAD as usize, "{calm:?}");
        let least = Duration::from_millis(RETRIES[0].into());
        assert!(*calm.first().unwrap() >= least / 2 && *calm.last().unwrap() < least * 3 / 2, "{calm:?}");

        mean(&gate);
        now += INTERVAL;
        for _ in 0..100 {
            watch.note(&gate, Duration::ZERO, now);
        }
        now += INTERVAL;
        mean(&gate);
        watch.note(&gate, Duration::ZERO, now);
        assert!(mean(&gate) > 5 * least, "ten refused for each that was answered");
    }
}
