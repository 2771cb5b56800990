//! What was learned from past links, kept from start to start. What it holds is the learner's business.

use rusqlite::{OptionalExtension as _, params};

use super::{Store, StoreError};

impl Store {
    /// What was kept last; `None` before the first time.
    pub fn learned(&self) -> Result<Option<String>, StoreError> {
        let read = self.reader().query_row("SELECT content FROM learned", [], |row| row.get(0)).optional();
        read.map_err(self.failed("reading what was learned from past links"))
    }

    /// Keeps it in place of what was kept before.
    pub fn keep_learned(&self, content: &str) -> Result<(), StoreError> {
        let statement = "INSERT INTO learned (only_row, content) VALUES (1, ?1)
             ON CONFLICT (only_row) DO UPDATE SET content = excluded.content";
        let kept = self.writer().execute(statement, params![content]);
        kept.map(|_| ()).map_err(self.failed("keeping what was learned from past links"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_learned_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(store.learned().unwrap(), None);
        for content in ["{}", "[1]"] {
            store.keep_learned(content).unwrap();
            assert_eq!(store.learned().unwrap().as_deref(), Some(content));
        }
        drop(store);
        assert_eq!(Store::open(folder.path()).unwrap().learned().unwrap().as_deref(), Some("[1]"));
    }
}
