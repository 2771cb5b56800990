//! Articles that tickets name and the knowledge base does not hold: kept, and told to whoever sends them.

use std::collections::HashSet;

use xxhash_rust::xxh3::xxh3_64;

use super::Memory;
use crate::{domain::memory::ConfirmedTicket, knowledge::IndexError};

/// What one import has named so far. It remembers hashes, eight bytes an article.
#[derive(Debug, Clone, Default)]
pub struct UnknownArticles {
    seen: HashSet<u64>,
    count: u64,
}

impl UnknownArticles {
    /// Different articles that the knowledge base does not hold.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The articles of these tickets that the knowledge base does not hold and that were not named before.
    pub fn add(&mut self, memory: &Memory, tickets: &[ConfirmedTicket]) -> Result<Vec<String>, IndexError> {
        let mut unknown = Vec::new();
        for article in tickets.iter().flat_map(|ticket| ticket.articles.iter().chain(&ticket.refused)) {
            if self.seen.insert(xxh3_64(article.as_bytes())) && !memory.store.contains_article(article)? {
                self.count += 1;
                unknown.push(article.clone());
            }
        }
        Ok(unknown)
    }
}
