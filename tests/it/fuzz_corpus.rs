//! Texts that are hard to read, kept as the corpus of the fuzz target in `fuzz/`: each is read here in every run.

#[path = "../../fuzz/read_text.rs"]
mod read_text;

use std::panic::{AssertUnwindSafe, catch_unwind};

use ticket_triage::classify::Classifier;

#[test]
fn every_text_of_the_fuzz_corpus_is_read() {
    let classifier = Classifier::embedded().unwrap();
    let mut files: Vec<_> =
        std::fs::read_dir("fuzz/corpus/features").unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 40, "only {} texts", files.len());
    for file in files {
        let bytes = std::fs::read(&file).unwrap();
        let read = catch_unwind(AssertUnwindSafe(|| read_text::read_text(&classifier, &bytes)));
        assert!(read.is_ok(), "{} is not read; the panic stands above", file.display());
    }
}
