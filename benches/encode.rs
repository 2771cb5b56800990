//! What the vector of a text costs with a sentence encoder: processor milliseconds for texts of 16, 64, 128 and 256
//! tokens, on one thread, with tokenising and the parts of the tokens.
//!
//! `TRIAGE_MINILM` names the folder of all-MiniLM-L6-v2, or of another encoder. `-- --json` prints one line of JSON for
//! each figure. `benches/peers/encoder.py` measures ONNX Runtime beside it.

#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]

use std::{error::Error, path::Path};

use ticket_triage::encode::{Precision, SentenceEncoder};

const TOKENS: [usize; 4] = [16, 64, 128, 256];
const ROUNDS: usize = 9;
/// Tokens of all texts of a round together, so that a round takes long enough to be measured.
const TOKENS_A_ROUND: usize = 2_048;

fn main() -> Result<(), Box<dyn Error>> {
    let Some(folder) = std::env::var_os("TRIAGE_MINILM") else {
        println!("TRIAGE_MINILM is not set: it names the folder of the sentence encoder to measure");
        return Ok(());
    };
    let json = std::env::args().any(|argument| argument == "--json");
    for (name, precision) in [("float32", Precision::Float32), ("int8", Precision::Int8)] {
        let encoder = SentenceEncoder::load_as(Path::new(&folder), precision)?;
        for tokens in TOKENS {
            // The first and the last token are special ones.
            let text = ["the printer on the third floor reports an error again"; 32].join(" ");
            let text = text.split(' ').take(tokens - 2).collect::<Vec<_>>().join(" ");
            let found = encoder.encode(&text, &|| false).map_or(0, |sentence| sentence.tokens.len());
            if found != tokens - 2 {
                return Err(format!("{} words are {found} tokens", tokens - 2).into());
            }
            let mut times = Vec::new();
            for _ in 0..ROUNDS {
                let texts = TOKENS_A_ROUND / tokens;
                let before = processor_milliseconds()?;
                for _ in 0..texts {
                    std::hint::black_box(encoder.encode(&text, &|| false));
                }
                times.push((processor_milliseconds()? - before) / f64::from(u32::try_from(texts)?));
            }
            times.sort_by(f64::total_cmp);
            let median = times[ROUNDS / 2];
            if json {
                println!(r#"{{"precision": "{name}", "tokens": {tokens}, "milliseconds": {median:.3}}}"#);
            } else {
                println!("{name}, {tokens} tokens: {median:.2} ms");
            }
        }
    }
    Ok(())
}

/// Processor time of this thread so far; exact to some milliseconds, so take it over many calls.
fn processor_milliseconds() -> Result<f64, Box<dyn Error>> {
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds: f64 = statistics.split(' ').next().ok_or("an empty schedstat")?.parse()?;
    Ok(nanoseconds / 1e6)
}
