//! What is remembered of a conversation from one turn to the next: what was shown and asked. It travels sealed with the
//! turns, so that the server keeps nothing of it, whoever holds it cannot change it, and it ends by itself.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::{domain::answer::Answer, error::TriageError, feedback::Feedback};

/// Passages that one conversation is shown; more help nobody.
const MAX_SHOWN: usize = 64;
/// Questions that the user is asked back.
const MAX_QUESTIONS: u8 = 2;
/// Products that are remembered.
const MAX_PRODUCTS: usize = 16;

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Conversation {
    /// Seconds since 1970 from which on it has ended.
    ends_at: u64,
    questions: u8,
    /// Those that the user chose or named.
    pub products: Vec<String>,
    /// What the user was asked to choose from last.
    pub choices: Vec<String>,
    pub shown: Vec<Shown>,
    /// All that fits was shown, and the user was told so.
    pub is_exhausted: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Shown {
    pub article: String,
    pub version: u32,
    /// Hashes of its sentences and steps.
    units: Vec<u64>,
}

impl Conversation {
    /// The one that a caller sent back, or a new one where that is empty.
    ///
    /// Errors: `InvalidRequest` for one that this database did not seal, `ConversationExpired`.
    pub(super) fn open(feedback: &Feedback, sealed: &str, now: u64) -> Result<Self, TriageError> {
        if sealed.is_empty() {
            return Ok(Self::default());
        }
        let opened = feedback.open_conversation(sealed);
        let conversation: Self = opened.map_err(|problem| TriageError::invalid("conversation", problem))?;
        if conversation.ends_at <= now {
            return Err(TriageError::ConversationExpired);
        }
        Ok(conversation)
    }

    /// As a caller gets it; it ends `seconds` after `now`.
    pub(super) fn seal(self, feedback: &Feedback, now: u64, seconds: u64) -> Result<String, TriageError> {
        feedback.seal_conversation(&Self { ends_at: now.saturating_add(seconds), ..self })
    }

    /// Whether the user may be asked back once more.
    pub(super) fn may_ask(&self) -> bool {
        self.questions < MAX_QUESTIONS
    }

    pub(super) fn asks(&mut self) {
        self.questions = self.questions.saturating_add(1);
    }

    pub(super) fn is_full(&self) -> bool {
        self.shown.len() >= MAX_SHOWN
    }

    pub(super) fn shows(&mut self, answer: &Answer, units: Vec<u64>) {
        self.shown.push(Shown { article: answer.article.clone(), version: answer.version, units });
    }

    /// What of an article was shown.
    pub(super) fn units_of(&self, article: &str) -> HashSet<u64> {
        let shown = self.shown.iter().filter(|shown| shown.article == article);
        shown.flat_map(|shown| &shown.units).copied().collect()
    }

    /// Whether all of this was shown, in whatever article: many end with the same sentence.
    pub(super) fn has_shown_all(&self, units: &[u64]) -> bool {
        !units.is_empty() && units.iter().all(|unit| self.shown.iter().any(|shown| shown.units.contains(unit)))
    }

    /// Whether something of this text of an article was shown.
    pub(super) fn was_shown(&self, article: &str, version: u32) -> bool {
        self.shown.iter().any(|shown| shown.article == article && shown.version == version)
    }

    /// Remembers a product that the conversation is about.
    pub(super) fn is_about(&mut self, product: &str) {
        let is_known = self.products.iter().any(|known| known.to_lowercase() == product.to_lowercase());
        if !is_known && self.products.len() < MAX_PRODUCTS {
            self.products.push(product.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{encode::Redactor, memory::Memory, store::Store};

    fn feedback(folder: &std::path::Path) -> Feedback {
        let store = Store::open(folder).unwrap();
        Feedback::open(store.clone(), Memory::open(store, folder, Redactor::default(), None).unwrap()).unwrap()
    }

    #[test]
    fn a_conversation_is_remembered_until_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let feedback = feedback(folder.path());
        assert_eq!(Conversation::open(&feedback, "", 9).unwrap(), Conversation::default());
        let mut conversation = Conversation::default();
        conversation.asks();
        conversation.is_about("Outlook");
        conversation.is_about("outlook");
        conversation.shows(&Answer { article: "KB1".into(), version: 2, ..Answer::default() }, vec![7, u64::MAX]);
        let sealed = conversation.clone().seal(&feedback, 1_000, 60).unwrap();
        let opened = Conversation::open(&feedback, &sealed, 1_059).unwrap();
        assert_eq!(opened, Conversation { ends_at: 1_060, ..conversation });
        assert!(
            opened.was_shown("KB1", 2)
                && !opened.was_shown("KB1", 1)
                && opened.units_of("KB1") == [7, u64::MAX].into()
                && opened.products == ["Outlook"]
        );
        assert!(opened.has_shown_all(&[7]) && !opened.has_shown_all(&[7, 8]) && opened.units_of("KB2").is_empty());
        let expired = Conversation::open(&feedback, &sealed, 1_060).unwrap_err();
        assert!(matches!(expired, TriageError::ConversationExpired), "{expired}");
        let forged = Conversation::open(&feedback, &format!("{sealed}A"), 1_000).unwrap_err().to_string();
        assert!(forged.contains("conversation: was changed on its way"), "{forged}");
    }

    #[test]
    fn a_conversation_stays_small_however_long_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let feedback = feedback(folder.path());
        let mut conversation = Conversation::default();
        for number in 0..MAX_SHOWN as u64 {
            assert!(!conversation.is_full());
            conversation.is_about(&format!("{number}{}", "p".repeat(250)));
            let article = format!("{number}{}", "ä".repeat(250));
            let units = (0..12).map(|unit| (number * 12 + unit).wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
            conversation.shows(&Answer { article, version: 1, ..Answer::default() }, units);
        }
        assert!(conversation.is_full() && conversation.products.len() == MAX_PRODUCTS);
        let sealed = conversation.seal(&feedback, 0, 60).unwrap();
        assert!(sealed.len() < 96 << 10, "{} characters", sealed.len());
        assert!(Conversation::open(&feedback, &sealed, 0).is_ok());
    }
}
