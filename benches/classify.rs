//! What one classification costs for a ticket of about 100 words with the embedded bundle: the median of many runs
//! on one thread. `cargo bench --bench classify`
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a bench speaks on standard output")]

use std::{hint::black_box, time::Instant};

use ticket_triage::classify::Classifier;

const TICKET: &str = "Outlook keeps asking for my password since this morning\n\
    Hi team, since I came back from holiday on Monday Outlook asks me for my password every few minutes and does not \
    accept it, although I can log in to Windows and the intranet with the same one without any problem. Webmail works \
    as well. I have restarted the laptop twice, removed the saved credentials as described in the article and \
    switched from Wi-Fi to the docking station, but nothing helps. My colleague Dana in the next office has had the \
    same since yesterday. We both need to send the offers to our customers today before five, could you please have \
    a look soon? My extension is 4417. Thanks a lot and best regards";

fn main() {
    let start = Instant::now();
    let classifier = match Classifier::embedded() {
        Ok(classifier) => classifier,
        Err(error) => return eprintln!("{error}"),
    };
    println!("load                {:9.1} ms", start.elapsed().as_secs_f64() * 1e3);

    let words = TICKET.split_whitespace().count();
    let found = classifier.classify(TICKET);
    println!("classify, {words} words {:9.1} µs", median(|| classifier.classify(black_box(TICKET))));
    let explain = || {
        let best = found.fields.iter().filter_map(|field| Some((&*field.name, &*field.ranked.first()?.label)));
        classifier.explain(black_box(&found), &best.collect::<Vec<_>>(), 5)
    };
    println!("explain all fields  {:9.1} µs", median(explain));
    for (field, words) in found.fields.iter().zip(explain()) {
        let words = words.iter().map(|word| &TICKET[word.bytes.clone()]).collect::<Vec<_>>().join(", ");
        let best =
            field.ranked.first().map(|best| format!("{} {:.2}", best.label, best.confidence)).unwrap_or_default();
        println!("  {}: {best} ({words})", field.name);
    }
}

/// Microseconds.
fn median<T>(mut run: impl FnMut() -> T) -> f64 {
    let mut times: Vec<f64> = (0..3_000)
        .map(|_| {
            let start = Instant::now();
            black_box(run());
            start.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
