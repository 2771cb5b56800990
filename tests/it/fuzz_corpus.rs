//! Inputs that are hard to read, kept as the corpora of the fuzz targets in `fuzz/`: each is read here in every run.

#[path = "../../fuzz/parsers.rs"]
mod parsers;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use crate::encoder::tiny;

/// The promise is a second on a machine of its own; tests share theirs.
const SLOW: Duration = Duration::from_secs(5);

#[test]
fn every_input_of_every_fuzz_corpus_is_read() {
    for (target, read) in parsers::TARGETS {
        let mut files: Vec<_> =
            std::fs::read_dir(format!("fuzz/corpus/{target}")).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        assert!(files.len() >= 4, "only {} inputs of {target}", files.len());
        for file in files {
            let bytes = std::fs::read(&file).unwrap();
            let begun = Instant::now();
            let outcome = catch_unwind(AssertUnwindSafe(|| read(&bytes)));
            assert!(outcome.is_ok(), "{} is not read; the panic stands above", file.display());
            assert!(begun.elapsed() < SLOW, "{} takes {:?}", file.display(), begun.elapsed());
        }
    }
}
