//! Any bytes as the text of a ticket: prepared, cut into features, scored and explained by the embedded bundle.
#![no_main]

#[path = "../read_text.rs"]
mod read_text;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use ticket_triage::classify::Classifier;

static CLASSIFIER: LazyLock<Classifier> =
    LazyLock::new(|| Classifier::embedded().expect("the embedded bundle is checked when it is built"));

fuzz_target!(|bytes: &[u8]| read_text::read_text(&CLASSIFIER, bytes));
