#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ticket_triage_fuzz::parsers::connections(bytes));
