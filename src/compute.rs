//! A bounded pool of threads for work that would hold up the async runtime: reading a ticket, searching. One gate stands
//! before it, the most urgent work goes first, and work whose caller has gone is not done. A panic ends the call, not the
//! thread.

mod gate;
mod queue;

use std::{
    cell::RefCell,
    fmt,
    future::Future,
    io,
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    task_local,
};
use tracing::Span;

use self::{
    gate::{Gate, Inside, Watch},
    queue::{Queue, Ticket, Work},
};
pub use crate::access::methods::Urgency;
use crate::{
    error::TriageError,
    telemetry::{METRICS, Refusal},
};

/// Threads, and what waits for them. Clones share both; the threads end with the last clone, when all is done.
#[derive(Debug, Clone)]
pub struct Pool {
    house: Arc<House>,
    _open: Arc<Open>,
}

struct House {
    state: Mutex<State>,
    work_came: Condvar,
    /// Single calls pass here, and are refused where they would wait for long.
    gate: Arc<Gate>,
    /// Calls at work or waiting, of whatever urgency.
    places: Arc<Semaphore>,
    capacity: usize,
    /// Work that waits for its place takes half of the places at most, so that it never keeps single calls out.
    batch_places: Arc<Semaphore>,
    background_places: Arc<Semaphore>,
}

struct State {
    queue: Queue,
    watch: Watch,
    is_closed: bool,
}

impl fmt::Debug for House {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("House").field("gate", &self.gate).field("places", &self.places).finish_non_exhaustive()
    }
}

/// Held by every clone of a pool.
#[derive(Debug)]
struct Open(Arc<House>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.state().is_closed = true;
        self.0.work_came.notify_all();
    }
}

/// A place in the queue, held until its work is done or skipped.
#[derive(Debug)]
pub struct Place {
    urgency: Urgency,
    _permit: OwnedSemaphorePermit,
    _own_permit: Option<OwnedSemaphorePermit>,
    _inside: Option<Inside>,
}

task_local! {
    /// When the answer that a task works on is needed.
    static UNTIL: Instant;
}

/// Runs `call`, whose answer nobody needs after `until`: work that cannot be done by then is not begun.
pub(crate) async fn until<T>(until: Instant, call: impl Future<Output = T>) -> T {
    UNTIL.scope(until, call).await
}

thread_local! {
    /// Whether the caller of the work that this thread does has gone; `None` where nobody waits for it.
    static CALLER_GONE: RefCell<Option<Arc<AtomicBool>>> = const { RefCell::new(None) };
}

/// Whether the work that is going on need not be finished, since its caller has gone; for long computations that change
/// nothing.
pub(crate) fn is_abandoned() -> bool {
    CALLER_GONE.with_borrow(|gone| gone.as_ref().is_some_and(|gone| gone.load(Ordering::Relaxed)))
}

/// Held by whoever waits for an answer.
struct Waiting {
    house: Arc<House>,
    ticket: Ticket,
    gone: Arc<AtomicBool>,
    is_answered: bool,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.is_answered {
            return;
        }
        self.gone.store(true, Ordering::Relaxed);
        self.house.count_in_vain(self.ticket.urgency);
        // Its own statement: the place that goes with the work must not be given back under the lock.
        let entry = self.house.state().queue.remove(self.ticket);
        if entry.is_some() {
            METRICS.abandoned.inc();
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the computation panicked")]
struct Panicked;

impl House {
    /// What is done under the lock does not panic, and nothing is half done if it did.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, urgency: Urgency, until: Option<Instant>, work: Work) -> Ticket {
        let ticket = self.state().queue.push(urgency, until, work);
        self.work_came.notify_one();
        ticket
    }

    fn count_in_vain(&self, urgency: Urgency) {
        if urgency == Urgency::Interactive {
            self.gate.leave();
        }
    }

    /// Does what comes until the pool is dropped and all is done.
    fn work(&self) {
        let mut state = self.state();
        loop {
            let Some(entry) = state.queue.take() else {
                if state.is_closed {
                    return;
                }
                state = self.work_came.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let (urgency, is_owed, started) = (entry.urgency, entry.is_owed(), Instant::now());
            if urgency == Urgency::Interactive {
                state.watch.note(&self.gate, started.saturating_duration_since(entry.since), started);
            }
            let is_in_time = state.queue.is_in_time(&entry, started);
            drop(state);
            if !is_in_time {
                self.count_in_vain(urgency);
            }
            (entry.work)(is_in_time);
            let took = started.elapsed();
            state = self.state();
            if is_in_time {
                state.queue.spent(urgency, is_owed, took);
            }
        }
    }
}

impl Pool {
    /// Starts `threads` threads with `places` calls at work or waiting.
    pub fn start(threads: NonZeroUsize, places: usize) -> io::Result<Self> {
        Self::start_with(threads, places, None)
    }

    /// The same, with as many single calls at a time as need not keep waiting for longer than `target`.
    pub fn adaptive(threads: NonZeroUsize, places: usize, target: Duration) -> io::Result<Self> {
        Self::start_with(threads, places, Some(target))
    }

    fn start_with(threads: NonZeroUsize, places: usize, target: Option<Duration>) -> io::Result<Self> {
        let watch = Watch::begin(Instant::now());
        let house = Arc::new(House {
            state: Mutex::new(State { queue: Queue::default(), watch, is_closed: false }),
            work_came: Condvar::new(),
            // One at work and one waiting for each thread: fewer would leave threads without work.
            gate: Arc::new(Gate::new(2 * threads.get(), places, target)),
            places: Arc::new(Semaphore::new(places)),
            capacity: places,
            batch_places: Arc::new(Semaphore::new((places * 3 / 8).max(1))),
            background_places: Arc::new(Semaphore::new((places / 8).max(1))),
        });
        for index in 0..threads.get() {
            let house = Arc::clone(&house);
            thread::Builder::new().name(format!("compute-{index}")).spawn(move || house.work())?;
        }
        Ok(Self { _open: Arc::new(Open(Arc::clone(&house))), house })
    }

    /// Takes a place for a single call, or refuses at once.
    pub fn admit(&self) -> Result<Place, TriageError> {
        let taken = self.house.gate.enter().and_then(|inside| {
            let permit = Arc::clone(&self.house.places).try_acquire_owned().ok()?;
            Some(Place { urgency: Urgency::Interactive, _permit: permit, _own_permit: None, _inside: Some(inside) })
        });
        taken.ok_or_else(|| TriageError::Overloaded { retry_after: self.refuse() })
    }

    /// Refuses where [`Self::admit`] would, and says when to come again: for who does not need the place yet.
    pub fn check_room(&self) -> Result<(), Duration> {
        if self.house.gate.is_full() || self.house.places.available_permits() == 0 {
            return Err(self.refuse());
        }
        Ok(())
    }

    fn refuse(&self) -> Duration {
        METRICS.count_refusal(Refusal::FullHouse);
        self.house.gate.refuse()
    }

    /// Waits for a place: for the tickets of a batch or stream, changes to the knowledge base, and what nobody waits for.
    pub async fn wait(&self, urgency: Urgency) -> Result<Place, TriageError> {
        let own = match urgency {
            Urgency::Interactive => None,
            Urgency::Batch => Some(&self.house.batch_places),
            Urgency::Background => Some(&self.house.background_places),
        };
        let own_permit = match own {
            Some(own) => Some(Arc::clone(own).acquire_owned().await.map_err(TriageError::internal)?),
            None => None,
        };
        let permit = Arc::clone(&self.house.places).acquire_owned().await.map_err(TriageError::internal)?;
        Ok(Place { urgency, _permit: permit, _own_permit: own_permit, _inside: None })
    }

    /// Has `work` done that nobody waits for, unless calls need the threads: half of the places must be free, and calls
    /// must not wait for long. Whether it will be done.
    pub fn offer(&self, work: impl FnOnce() + Send + 'static) -> bool {
        if self.taken() > self.house.capacity / 2 || self.house.gate.is_pressed() {
            return false;
        }
        let Ok(permit) = Arc::clone(&self.house.places).try_acquire_owned() else { return false };
        let job: Work = Box::new(move |_| {
            // A panic ends this work, not the thread.
            if catch_unwind(AssertUnwindSafe(work)).is_err() {
                tracing::error!("work that nobody waits for panicked");
            }
            drop(permit);
        });
        self.house.push(Urgency::Background, None, job);
        true
    }

    /// Runs `work` on one of the threads, in the caller's span. A caller that leaves takes work with it that has not begun.
    pub async fn run<T: Send + 'static>(
        &self,
        place: Place,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, TriageError> {
        let (answer, answered) = oneshot::channel();
        let (span, urgency) = (Span::current(), place.urgency);
        let gone = Arc::new(AtomicBool::new(false));
        let caller_gone = Arc::clone(&gone);
        let job: Work = Box::new(move |is_in_time| {
            if !is_in_time || caller_gone.load(Ordering::Relaxed) {
                METRICS.abandoned.inc();
                drop(place);
                answer.send(Err(TriageError::DeadlineExceeded)).ok();
                return;
            }
            let started = Instant::now();
            CALLER_GONE.set(Some(caller_gone));
            let outcome = catch_unwind(AssertUnwindSafe(|| span.in_scope(work)));
            CALLER_GONE.set(None);
            // Free before the caller hears of it: it may come again at once.
            drop(place);
            if let Ok(value) = outcome
                && answer.send(Ok(value)).is_err()
            {
                METRICS.wasted.inc_by(started.elapsed().as_secs_f64());
            }
        });
        let ticket = self.house.push(urgency, UNTIL.try_with(|until| *until).ok(), job);
        let mut waiting = Waiting { house: Arc::clone(&self.house), ticket, gone, is_answered: false };
        let answer = answered.await.map_err(|_| TriageError::internal(Panicked));
        waiting.is_answered = true;
        answer?
    }

    /// Calls at work or waiting.
    pub fn taken(&self) -> usize {
        self.house.capacity.saturating_sub(self.house.places.available_permits())
    }

    /// As many single calls may be at work or waiting now.
    pub fn limit(&self) -> usize {
        self.house.gate.limit()
    }

    /// What waits for a thread.
    pub fn waiting(&self, urgency: Urgency) -> usize {
        self.house.state().queue.len(urgency)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn pool(places: usize) -> Pool {
        Pool::start(NonZeroUsize::MIN, places).unwrap()
    }

    #[tokio::test]
    async fn a_full_house_refuses_at_once_and_a_finished_call_frees_its_place() {
        let pool = pool(1);
        let (release, blocked) = mpsc::channel::<()>();
        let place = pool.admit().unwrap();
        let running = tokio::spawn({
            let pool = pool.clone();
            async move { pool.run(place, move || blocked.recv().is_ok()).await }
        });
        assert!(matches!(pool.admit(), Err(TriageError::Overloaded { .. })));
        release.send(()).unwrap();
        assert!(running.await.unwrap().unwrap());
        assert!(pool.wait(Urgency::Interactive).await.is_ok());
    }

    #[tokio::test]
    async fn bulk_work_never_takes_all_places() {
        let pool = pool(8);
        let mut bulk = Vec::new();
        for urgency in [Urgency::Batch, Urgency::Batch, Urgency::Batch, Urgency::Background] {
            bulk.push(pool.wait(urgency).await.unwrap());
        }
        for urgency in [Urgency::Batch, Urgency::Background] {
            let waiting = Box::pin(pool.wait(urgency));
            tokio::select! { biased; _ = waiting => panic!("{urgency:?} has one more"), () = std::future::ready(()) => {} }
        }
        let single: Vec<_> = (0..4).map(|_| pool.admit().unwrap()).collect();
        assert!(pool.admit().is_err() && pool.check_room().is_err());
        drop((bulk, single));
        assert!(pool.check_room().is_ok());
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_leaves_half_of_the_places_to_calls() {
        let pool = pool(4);
        let (release, blocked) = mpsc::channel::<()>();
        let (ran, runs) = mpsc::channel();
        assert!(pool.offer(move || blocked.recv().unwrap()));
        for _ in 0..2 {
            let ran = ran.clone();
            assert!(pool.offer(move || ran.send(()).unwrap()));
        }
        assert!(!pool.offer(|| unreachable!("three of four places are taken")));
        assert!(pool.admit().is_ok());
        release.send(()).unwrap();
        assert!(runs.recv().is_ok() && runs.recv().is_ok());
        // It ends the work, and not the thread.
        while !pool.offer(|| panic!("on purpose")) {}
        let place = pool.wait(Urgency::Batch).await.unwrap();
        assert_eq!(pool.run(place, || 7).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn a_panic_ends_the_call_and_not_the_thread() {
        let pool = pool(2);
        let place = pool.admit().unwrap();
        let panicked: Result<(), _> = pool.run(place, || panic!("on purpose")).await;
        assert!(matches!(panicked, Err(TriageError::Internal(_))));
        let place = pool.admit().unwrap();
        assert_eq!(pool.run(place, || 7).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn work_under_way_hears_that_its_caller_left() {
        let pool = pool(2);
        let (begun, begins) = mpsc::channel();
        let (heard, hears) = mpsc::channel();
        let running = tokio::spawn({
            let (pool, place) = (pool.clone(), pool.admit().unwrap());
            let work = move || {
                begun.send(is_abandoned()).unwrap();
                while !is_abandoned() {
                    std::thread::yield_now();
                }
                heard.send(()).unwrap();
            };
            async move { pool.run(place, work).await }
        });
        // The task runs on this thread, which must not be held while it is polled first.
        tokio::task::yield_now().await;
        assert!(!begins.recv().unwrap(), "its caller waits");
        running.abort();
        assert!(running.await.unwrap_err().is_cancelled());
        hears.recv().unwrap();
        let place = pool.wait(Urgency::Batch).await.unwrap();
        assert!(!pool.run(place, is_abandoned).await.unwrap(), "the next one's caller waits");
    }

    #[tokio::test]
    async fn work_of_a_caller_that_left_is_skipped() {
        let pool = pool(3);
        let (release, blocked) = mpsc::channel::<()>();
        let (ran, runs) = mpsc::channel();
        let first = tokio::spawn({
            let (pool, place) = (pool.clone(), pool.admit().unwrap());
            async move { pool.run(place, move || blocked.recv().is_ok()).await }
        });
        let abandoned = Box::pin(pool.run(pool.admit().unwrap(), move || ran.send(()).unwrap()));
        // Polled once, so that it is queued, and then dropped.
        tokio::select! { biased; _ = abandoned => unreachable!("the only thread is busy"), () = std::future::ready(()) => {} }
        assert_eq!(pool.taken(), 1, "its place is free at once");
        release.send(()).unwrap();
        first.await.unwrap().unwrap();
        let place = pool.wait(Urgency::Batch).await.unwrap();
        pool.run(place, || ()).await.unwrap();
        assert!(runs.try_recv().is_err());
    }

    #[tokio::test]
    async fn a_house_whose_callers_leave_lets_fewer_in() {
        for (leaving, limit) in [(6, 2), (0, 16)] {
            let pool = Pool::adaptive(NonZeroUsize::MIN, 16, Duration::from_millis(5)).unwrap();
            let call = |work: Box<dyn FnOnce() + Send>| {
                let (pool, place) = (pool.clone(), pool.admit().unwrap());
                tokio::spawn(async move { pool.run(place, work).await.unwrap() })
            };
            let (release, blocked) = mpsc::channel::<()>();
            let (begin, begins) = mpsc::channel();
            let first = call(Box::new(move || {
                begin.send(Instant::now()).unwrap();
                blocked.recv().unwrap();
            }));
            let left: Vec<_> = (0..leaving).map(|_| call(Box::new(|| unreachable!("its caller left")))).collect();
            let last = call(Box::new(|| ()));
            // Tasks run on this thread: all of them are queued behind it.
            tokio::task::yield_now().await;
            for caller in left {
                caller.abort();
                assert!(caller.await.unwrap_err().is_cancelled());
            }
            // An interval of the gate.
            let begun = begins.recv().unwrap();
            while begun.elapsed() < Duration::from_millis(60) {
                std::thread::yield_now();
            }
            release.send(()).unwrap();
            first.await.unwrap();
            last.await.unwrap();
            assert_eq!(pool.limit(), limit, "{leaving} left");
        }
    }

    #[tokio::test]
    async fn a_house_that_answers_too_late_lets_fewer_in() {
        let pool = Pool::adaptive(NonZeroUsize::MIN, 16, Duration::from_millis(5)).unwrap();
        let interval = || {
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_millis(60) {
                std::thread::yield_now();
            }
        };
        let (release, blocked) = mpsc::channel::<()>();
        let first = pool.run(pool.admit().unwrap(), move || blocked.recv().unwrap());
        let late = (0..6).map(|_| {
            let work: fn() = || unreachable!("its deadline is over");
            until(Instant::now(), pool.run(pool.admit().unwrap(), work))
        });
        let queued = async {
            tokio::task::yield_now().await;
            interval();
            release.send(()).unwrap();
        };
        let (first, late, ()) = tokio::join!(first, futures_util::future::join_all(late), queued);
        assert!(first.is_ok() && late.iter().all(|call| matches!(call, Err(TriageError::DeadlineExceeded))));
        interval();
        pool.run(pool.admit().unwrap(), || ()).await.unwrap();
        assert!(pool.limit() < 16, "{}", pool.limit());
    }

    #[tokio::test]
    async fn what_would_come_too_late_is_not_begun() {
        let pool = pool(2);
        let late = until(Instant::now(), pool.run(pool.admit().unwrap(), || unreachable!("its deadline is over")));
        let late: Result<(), _> = late.await;
        assert!(matches!(late, Err(TriageError::DeadlineExceeded)), "{late:?}");
        let soon = Instant::now() + Duration::from_mins(1);
        assert_eq!(until(soon, pool.run(pool.admit().unwrap(), || 7)).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn single_calls_are_answered_before_the_batches_that_wait() {
        let pool = pool(64);
        let (release, blocked) = mpsc::channel::<()>();
        let (done, order) = mpsc::channel();
        let mut running = tokio::task::JoinSet::new();
        let first = pool.admit().unwrap();
        let handle = pool.clone();
        running.spawn(async move { handle.run(first, move || blocked.recv().is_ok()).await.unwrap() });
        for urgency in [Urgency::Background, Urgency::Batch, Urgency::Batch, Urgency::Interactive] {
            let (place, done, pool) = (pool.wait(urgency).await.unwrap(), done.clone(), pool.clone());
            running.spawn(async move { pool.run(place, move || done.send(urgency).is_ok()).await.unwrap() });
            tokio::task::yield_now().await;
        }
        assert_eq!(pool.waiting(Urgency::Batch), 2);
        release.send(()).unwrap();
        assert!(running.join_all().await.into_iter().all(|sent| sent));
        assert_eq!(
            order.try_iter().collect::<Vec<_>>(),
            [Urgency::Interactive, Urgency::Batch, Urgency::Batch, Urgency::Background]
        );
    }

    #[tokio::test]
    async fn what_was_taken_in_is_done_although_the_pool_is_dropped() {
        let pool = pool(4);
        let (ran, runs) = mpsc::channel();
        for _ in 0..3 {
            let ran = ran.clone();
            assert!(pool.offer(move || ran.send(()).unwrap()));
        }
        drop((pool, ran));
        assert_eq!(runs.iter().count(), 3);
    }
}
