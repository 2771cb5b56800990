#![no_main]

#[path = "../parsers.rs"]
mod parsers;
#[path = "../../src/encode/sentence/tiny.rs"]
mod tiny;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| parsers::json_lines(bytes));
