//! What was read just before: deciding a ticket and looking for its articles read the same text. Texts are told apart by
//! their hashes and not kept.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use sha2::{Digest as _, Sha256};

use super::Sentence;

/// A few more than tickets are read at once. One takes up to a megabyte, most a tenth of that.
const KEPT: usize = 8;

type Key = [u8; 32];

#[derive(Default)]
pub(super) struct Recent(Mutex<VecDeque<(Key, Arc<Sentence>)>>);

impl Recent {
    /// What was read of the text, or what `read` makes of it now.
    pub(super) fn get_or_read(&self, text: &str, read: impl FnOnce() -> Option<Sentence>) -> Option<Arc<Sentence>> {
        let key = Key::from(Sha256::digest(text));
        if let Some((_, known)) = self.kept().iter().find(|(kept, _)| *kept == key) {
            return Some(Arc::clone(known));
        }
        let sentence = Arc::new(read()?);
        let mut kept = self.kept();
        kept.truncate(KEPT - 1);
        kept.push_front((key, Arc::clone(&sentence)));
        Some(sentence)
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<(Key, Arc<Sentence>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentence(value: f32) -> Sentence {
        let (tokens, parts, special) = (Vec::new(), Vec::new(), Vec::new());
        Sentence { vector: vec![value], tokens, parts, special, truncated: false }
    }

    #[test]
    fn a_text_is_read_once_until_others_came() {
        let recent = Recent::default();
        assert!(recent.get_or_read("stopped", || None).is_none());
        assert_eq!(recent.get_or_read("vpn", || Some(sentence(1.0))).unwrap().vector, [1.0]);
        assert_eq!(recent.get_or_read("vpn", || unreachable!("it was read")).unwrap().vector, [1.0]);
        for other in 0..KEPT {
            recent.get_or_read(&other.to_string(), || Some(sentence(2.0))).unwrap();
        }
        assert_eq!(recent.get_or_read("vpn", || Some(sentence(3.0))).unwrap().vector, [3.0]);
    }
}
