//! Which sentence encoder the vectors of a data directory come from. What the record holds is `encode`'s business.

use rusqlite::{OptionalExtension as _, params};

use super::{Store, StoreError};

impl Store {
    /// As [`Self::keep_encoder`] kept it; `None` where there is no encoder.
    pub fn encoder(&self) -> Result<Option<String>, StoreError> {
        let read = self.reader().query_row("SELECT record FROM encoder", [], |row| row.get(0)).optional();
        read.map_err(self.failed("reading which encoder there is"))
    }

    /// Keeps the record in place of what was kept before; `None`: there is no encoder from now on.
    pub fn keep_encoder(&self, record: Option<&str>) -> Result<(), StoreError> {
        let failed = self.failed("keeping which encoder there is");
        let writer = self.writer();
        let kept = match record {
            Some(record) => writer.execute(
                "INSERT INTO encoder (only_row, record) VALUES (1, ?1)
                 ON CONFLICT (only_row) DO UPDATE SET record = excluded.record",
                params![record],
            ),
            None => writer.execute("DELETE FROM encoder", []),
        };
        kept.map(|_| ()).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoder_is_kept_until_there_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(store.encoder().unwrap(), None);
        for record in [Some("one"), Some("other"), None, Some("one")] {
            store.keep_encoder(record).unwrap();
            assert_eq!(store.encoder().unwrap().as_deref(), record);
        }
        drop(store);
        assert_eq!(Store::open(folder.path()).unwrap().encoder().unwrap().as_deref(), Some("one"));
    }
}
