//! The parts of a data directory, opened as the command line says: with its sentence encoder, where it has one.

use std::{path::Path, sync::Arc, thread};

use super::progress::Progress;
use crate::{
    config::Config,
    encode::SentenceEncoder,
    knowledge::{Encoding, KnowledgeBase, encoder_of, settle_encoder},
    memory::Memory,
    store::Store,
};

pub(super) fn knowledge(store: &Store, data_dir: &Path, config: &Config) -> anyhow::Result<KnowledgeBase> {
    let encoding = encoding(encoder_of(store, &config.encoders)?, Arc::new(Progress::encoding()));
    Ok(KnowledgeBase::open(store.clone(), data_dir, encoding)?)
}

pub(super) fn memory(store: &Store, data_dir: &Path, config: &Config) -> anyhow::Result<Memory> {
    let encoding = encoding(encoder_of(store, &config.encoders)?, Arc::new(Progress::encoding()));
    Ok(Memory::open(store.clone(), data_dir, config.redactor.clone(), encoding)?)
}

/// How a command that fills the data directory makes vectors, from now on with the encoder of `--encoder`; it tells on
/// its own bar how far that is.
pub(super) fn settled(store: &Store, config: &Config, bar: &Arc<Progress>) -> anyhow::Result<Option<Encoding>> {
    Ok(encoding(settle_encoder(store, &config.encoders)?, Arc::clone(bar)))
}

fn encoding(encoder: Option<SentenceEncoder>, bar: Arc<Progress>) -> Option<Encoding> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let progress = move |done, total| bar.encoded(done, total);
    encoder.map(|encoder| Encoding::new(encoder, threads, Arc::new(progress)))
}
