//! The parsers that the targets feed, and what they need.

pub mod parsers;
#[path = "../src/encode/sentence/tiny.rs"]
mod tiny;
