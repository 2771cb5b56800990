//! The sentence encoder of a data directory: which one its vectors come from, and how that changes.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use super::IndexError;
use crate::{
    encode::{EncoderChoice, EncoderRecord, Encoders, SentenceEncoder, SentenceVector},
    store::Store,
};

/// Fewer texts are not worth a thread.
const MANY_TEXTS: usize = 16;

/// What can be done where another encoder is named.
const REPLACE: &str =
    "or let the data directory go without (`--encoder none` on `serve` or an import), then name the new one";

/// The encoder that was recorded; `None` where there is none. Nothing is changed.
pub fn encoder_of(store: &Store, encoders: &Encoders) -> Result<Option<SentenceEncoder>, IndexError> {
    let record = record_of(store)?;
    Ok(record.map(|record| encoders.recorded(&record, REPLACE)).transpose()?)
}

/// The encoder that the command line names, from now on: vectors that are missing are computed when the indexes are
/// opened. Without a word of the command line, the one that was recorded. One that lies elsewhere now is recorded anew.
pub fn settle_encoder(store: &Store, encoders: &Encoders) -> Result<Option<SentenceEncoder>, IndexError> {
    if encoders.choice() == Some(&EncoderChoice::None) {
        store.keep_encoder(None)?;
        return Ok(None);
    }
    let before = record_of(store)?;
    let encoder = match &before {
        Some(record) => Some(encoders.recorded(record, REPLACE)?),
        None => encoders.named()?,
    };
    let now = encoder.as_ref().map(SentenceEncoder::record);
    if now != before {
        let record = now.as_ref().map(serde_json::to_string).transpose().map_err(IndexError::EncoderRecord)?;
        store.keep_encoder(record.as_deref())?;
    }
    Ok(encoder)
}

fn record_of(store: &Store) -> Result<Option<EncoderRecord>, IndexError> {
    let kept = store.encoder()?;
    kept.map(|record| serde_json::from_str(&record)).transpose().map_err(IndexError::EncoderRecord)
}

/// Told how many records of how many are read.
pub type OnEncoded = dyn Fn(u64, u64) + Send + Sync;

/// How the vectors of an index are made.
#[derive(Clone)]
pub struct Encoding {
    encoder: SentenceEncoder,
    threads: usize,
    progress: Arc<OnEncoded>,
}

impl fmt::Debug for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoding").field("encoder", &self.encoder).finish_non_exhaustive()
    }
}

impl Encoding {
    /// On so many threads where there are many texts.
    pub fn new(encoder: SentenceEncoder, threads: usize, progress: Arc<OnEncoded>) -> Self {
        Self { encoder, threads, progress }
    }

    pub(crate) fn encoder(&self) -> &SentenceEncoder {
        &self.encoder
    }

    /// Tells that so many records of so many are read.
    pub(super) fn tell(&self, done: u64, total: u64) {
        (self.progress)(done, total);
    }

    /// The vectors of these texts, in their order, whatever the number of threads; `on_read` is told how many texts are
    /// done.
    pub(super) fn vectors(&self, texts: &[String], on_read: &(dyn Fn(usize) + Sync)) -> Vec<SentenceVector> {
        let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let work = || {
            let mut own = Vec::new();
            loop {
                let place = next.fetch_add(1, Ordering::Relaxed);
                let Some(text) = texts.get(place) else { return own };
                own.push((place, SentenceVector::new(&self.encoder.vector(text))));
                on_read(done.fetch_add(1, Ordering::Relaxed) + 1);
            }
        };
        let mut vectors = if self.threads < 2 || texts.len() < MANY_TEXTS {
            work()
        } else {
            thread::scope(|scope| {
                let workers: Vec<_> = (0..self.threads).map(|_| scope.spawn(work)).collect();
                let joined = workers.into_iter().map(thread::ScopedJoinHandle::join);
                joined.flat_map(|own| own.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
            })
        };
        vectors.sort_unstable_by_key(|(place, _)| *place);
        vectors.into_iter().map(|(_, vector)| vector).collect()
    }
}
