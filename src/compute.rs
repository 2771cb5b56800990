//! A bounded pool of threads for work that would hold up the async runtime: reading a ticket, searching.
//! Work whose caller has gone is skipped; a panic ends the call, not the thread.

use std::{
    cell::RefCell,
    io,
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use crossbeam_channel::{Receiver, Sender, bounded};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tracing::Span;

use crate::{error::TriageError, telemetry::METRICS};

/// When a refused caller should come again: a queue of ordinary tickets has drained by then.
const RETRY_AFTER: Duration = Duration::from_millis(100);

type Work = Box<dyn FnOnce() + Send>;

/// Threads and a queue with a fixed number of places. Clones share both; the threads end with the last clone.
#[derive(Debug, Clone)]
pub struct Pool {
    queue: Sender<Work>,
    places: Arc<Semaphore>,
    /// Half of the places: so many may be taken by work that waits for them, so that batches and streams never
    /// keep single calls out.
    bulk_places: Arc<Semaphore>,
}

/// A place in the queue, held until its work is done or skipped.
#[derive(Debug)]
pub struct Place {
    _permit: OwnedSemaphorePermit,
    _bulk: Option<OwnedSemaphorePermit>,
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
struct Waiting(Arc<AtomicBool>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the computation panicked")]
struct Panicked;

impl Pool {
    /// Starts `threads` threads with `places` calls at work or waiting.
    pub fn start(threads: NonZeroUsize, places: usize) -> io::Result<Self> {
        // As many slots as places: whoever holds a place can always send.
        let (queue, work) = bounded::<Work>(places);
        for index in 0..threads.get() {
            let work: Receiver<Work> = work.clone();
            thread::Builder::new()
                .name(format!("compute-{index}"))
                .spawn(move || work.into_iter().for_each(|work| work()))?;
        }
        let bulk_places = Arc::new(Semaphore::new((places / 2).max(1)));
        Ok(Self { queue, places: Arc::new(Semaphore::new(places)), bulk_places })
    }

    /// Takes a place, or refuses at once.
    pub fn admit(&self) -> Result<Place, TriageError> {
        let refused = |_| TriageError::Overloaded { retry_after: RETRY_AFTER };
        let permit = Arc::clone(&self.places).try_acquire_owned().map_err(refused)?;
        Ok(Place { _permit: permit, _bulk: None })
    }

    /// Waits for a place: for the tickets of a batch or stream, and for changes to the knowledge base.
    pub async fn wait(&self) -> Result<Place, TriageError> {
        let bulk = Arc::clone(&self.bulk_places).acquire_owned().await.map_err(TriageError::internal)?;
        let permit = Arc::clone(&self.places).acquire_owned().await.map_err(TriageError::internal)?;
        Ok(Place { _permit: permit, _bulk: Some(bulk) })
    }

    /// Has `work` done that nobody waits for, unless calls need the threads: half of the places must be free. Whether it
    /// will be done.
    pub fn offer(&self, work: impl FnOnce() + Send + 'static) -> bool {
        let places = self.queue.capacity().unwrap_or(0);
        if self.taken() > places / 2 {
            return false;
        }
        let Ok(place) = self.admit() else { return false };
        let job: Work = Box::new(move || {
            // A panic ends this work, not the thread.
            if catch_unwind(AssertUnwindSafe(work)).is_err() {
                tracing::error!("work that nobody waits for panicked");
            }
            drop(place);
        });
        self.queue.try_send(job).is_ok()
    }

    /// Runs `work` on one of the threads, in the caller's span.
    pub async fn run<T: Send + 'static>(
        &self,
        place: Place,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, TriageError> {
        let (answer, answered) = oneshot::channel();
        let span = Span::current();
        let gone = Arc::new(AtomicBool::new(false));
        let waiting = Waiting(Arc::clone(&gone));
        let job: Work = Box::new(move || {
            if answer.is_closed() {
                METRICS.abandoned.inc();
                return;
            }
            CALLER_GONE.set(Some(gone));
            let outcome = catch_unwind(AssertUnwindSafe(|| span.in_scope(work)));
            CALLER_GONE.set(None);
            // Free before the caller hears of it: it may come again at once.
            drop(place);
            if let Ok(value) = outcome {
                // A caller that left meanwhile needs no answer.
                answer.send(value).ok();
            }
        });
        self.queue.try_send(job).map_err(|_| TriageError::internal("the compute queue has fewer slots than places"))?;
        let answer = answered.await.map_err(|_| TriageError::internal(Panicked));
        drop(waiting);
        answer
    }

    /// Calls at work or waiting.
    pub fn taken(&self) -> usize {
        self.queue.capacity().unwrap_or(0).saturating_sub(self.places.available_permits())
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
        assert!(pool.wait().await.is_ok());
    }

    #[tokio::test]
    async fn bulk_work_never_takes_all_places() {
        let pool = pool(4);
        let _bulk = (pool.wait().await.unwrap(), pool.wait().await.unwrap());
        let waiting = Box::pin(pool.wait());
        tokio::select! { biased; _ = waiting => panic!("bulk work has a third place"), () = std::future::ready(()) => {} }
        assert!(pool.admit().is_ok());
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
        let place = pool.wait().await.unwrap();
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
        let place = pool.wait().await.unwrap();
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
        release.send(()).unwrap();
        first.await.unwrap().unwrap();
        let place = pool.wait().await.unwrap();
        pool.run(place, || ()).await.unwrap();
        assert!(runs.try_recv().is_err());
    }
}
