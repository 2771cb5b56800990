//! The training tickets: written one by one, and labelled with what the taxonomy knows.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
};

use ticket_triage::{config::taxonomy, domain::taxonomy::Taxonomy, rows::Rows};

const FIELDS: [&str; 4] = ["type", "category", "impact", "urgency"];

/// Id, text and labels of every ticket.
fn tickets() -> Vec<(String, String, [Option<String>; 4])> {
    let mut files: Vec<_> = std::fs::read_dir("models/corpus").unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let columns = ["summary".to_owned(), "description".to_owned()];
    let read = |file: &Path| Rows::open(file, &[]).unwrap().map(Result::unwrap).collect::<Vec<_>>();
    let rows = files.iter().flat_map(|file| read(file));
    rows.map(|row| (row.id("id"), row.text(&columns), FIELDS.map(|field| row.label(field)))).collect()
}

#[test]
fn every_label_is_in_the_default_taxonomy() {
    let taxonomy: Taxonomy = taxonomy::load(None).unwrap();
    let mut ids = HashSet::new();
    for (id, text, labels) in tickets() {
        assert!(!text.is_empty(), "{id} has no text");
        for (field, label) in FIELDS.into_iter().zip(labels) {
            let label = label.unwrap_or_default();
            assert!(label == "oos" || (taxonomy.allows(field, &label) && !label.is_empty()), "{id}: {field} `{label}`");
        }
        assert!(ids.insert(id.clone()), "{id} twice");
    }
    assert!(ids.len() > 1_500);
}

#[test]
fn hardly_any_two_tickets_are_alike() {
    let grams = |text: &str| -> HashSet<Vec<String>> {
        let words: Vec<String> = text.to_lowercase().split(|c: char| !c.is_alphanumeric()).map(str::to_owned).collect();
        let words: Vec<String> = words.into_iter().filter(|word| !word.is_empty()).collect();
        words.windows(5).map(<[String]>::to_vec).collect()
    };
    let tickets: Vec<_> = tickets().into_iter().map(|(id, text, _)| (id, grams(&text))).collect();
    let mut with: HashMap<&Vec<String>, Vec<usize>> = HashMap::new();
    for (number, (_, grams)) in tickets.iter().enumerate() {
        for gram in grams {
            with.entry(gram).or_default().push(number);
        }
    }
    let mut alike = Vec::new();
    for (number, (id, grams)) in tickets.iter().enumerate() {
        let mut shared: HashMap<usize, usize> = HashMap::new();
        let others = grams.iter().flat_map(|gram| &with[gram]).filter(|other| **other != number);
        others.for_each(|other| *shared.entry(*other).or_default() += 1);
        if shared.values().any(|shared| shared * 2 > grams.len()) {
            alike.push(id);
        }
    }
    assert!(alike.len() * 100 < tickets.len(), "{} of {} are near-duplicates: {alike:?}", alike.len(), tickets.len());
}
