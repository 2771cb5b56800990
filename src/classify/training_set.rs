//! Takes labelled texts one by one and keeps numbers only, within a budget of memory: whatever the length of a file, a
//! training needs no more than about two gigabytes. Where the budget is used up, an even share of the rows stays,
//! chosen by their texts, and labels with few rows keep all of theirs. No text is kept for long.

use std::collections::{BTreeMap, HashMap};

use super::{
    bundle::{BundleError, Files},
    counts::{self, Counts, Reader, retain_by_place},
    embedded,
    scope::Languages,
    suspects::text_hash,
};
use crate::encode::{Redactor, SentenceEncoder, StaticVectors, WordPiece};

/// Texts whose features are extracted together, and how many bytes of text may wait for that.
const BATCH: usize = 512;
const BATCH_BYTES: usize = 8 << 20;

/// What a training may keep in memory.
#[derive(Debug, Clone, Copy)]
struct Budget {
    /// Different n-grams; a table of them takes up to 60 bytes each.
    features: usize,
    /// Rows, some 300 bytes each beside their n-grams.
    rows: usize,
    /// N-grams of all rows, six bytes each.
    entries: usize,
    /// A label with fewer rows than this loses none.
    rows_of_rare_label: usize,
}

const BUDGET: Budget = Budget { features: 8 << 20, rows: 2 << 20, entries: 180 << 20, rows_of_rare_label: 500 };

/// One field's label of every row.
#[derive(Debug, Clone, Default)]
pub(crate) struct TrainingField {
    pub(crate) name: String,
    /// Sorted.
    pub(crate) labels: Vec<String>,
    /// Numbers into `labels`; `None`: the row has none, and teaches this field nothing.
    pub(crate) of_row: Vec<Option<u32>>,
}

/// What is known of the rows to learn from, beside their features.
pub(crate) struct TrainingRows {
    /// Of each row's text: equal for copies, which then stay in one fold.
    pub(crate) text_hashes: Vec<u128>,
    /// The number of each row, from 0, as it was added.
    pub(crate) numbers: Vec<u32>,
    pub(crate) fields: Vec<TrainingField>,
    /// Which of the rows are out of scope.
    pub(crate) outside: Vec<bool>,
    pub(crate) languages: Vec<String>,
    /// How many rows were added; those that are not in here were thinned out.
    pub(crate) added: usize,
}

/// Collects rows.
pub(crate) struct TrainingSet {
    encoder: (WordPiece, StaticVectors),
    sentences: Option<SentenceEncoder>,
    redactor: Redactor,
    files: Files,
    budget: Budget,
    threads: usize,
    waiting: Vec<Waiting>,
    waiting_bytes: usize,
    counts: Counts,
    text_hashes: Vec<u128>,
    numbers: Vec<u32>,
    outside: Vec<bool>,
    columns: Vec<Column>,
    languages: Languages,
    added: usize,
    /// Rows whose hash begins with fewer zero bits are thinned out.
    zero_bits: u32,
}

struct Waiting {
    text: String,
    labels: Vec<Option<u32>>,
    outside: bool,
}

/// A field while its labels are not all known.
#[derive(Default)]
struct Column {
    name: String,
    numbers: HashMap<String, u32>,
    of_row: Vec<Option<u32>>,
    /// Rows added, by label.
    seen: Vec<usize>,
}

impl TrainingSet {
    /// A set for these fields, which reads texts on so many threads, with a sentence encoder where one is given.
    pub(crate) fn new(
        fields: &[String],
        threads: usize,
        redactor: Redactor,
        sentences: Option<SentenceEncoder>,
    ) -> Result<Self, BundleError> {
        let files = embedded::encoder_files();
        Ok(Self {
            encoder: embedded::encoder(&files)?,
            counts: Counts::new(sentences.as_ref().map(SentenceEncoder::dimensions)),
            sentences,
            redactor,
            files,
            budget: BUDGET,
            threads,
            waiting: Vec::new(),
            waiting_bytes: 0,
            text_hashes: Vec::new(),
            numbers: Vec::new(),
            outside: Vec::new(),
            columns: fields.iter().map(|name| Column { name: name.clone(), ..Column::default() }).collect(),
            languages: Languages::default(),
            added: 0,
            zero_bits: 0,
        })
    }

    /// Adds a row with its label for every field, in their order; `outside`: out of scope, its labels teach nothing.
    pub(crate) fn add(&mut self, text: String, labels: Vec<Option<String>>, outside: bool) {
        let labels = self
            .columns
            .iter_mut()
            .zip(labels)
            .map(|(column, label)| label.filter(|_| !outside).map(|label| column.number(label)));
        let labels = labels.collect();
        if !outside {
            self.languages.add(&text, &self.redactor);
        }
        self.waiting_bytes += text.len();
        self.waiting.push(Waiting { text, labels, outside });
        if self.waiting.len() >= BATCH || self.waiting_bytes >= BATCH_BYTES {
            self.take_in();
        }
    }

    /// The rows, their features, the files that static vectors came from, and the sentence encoder.
    pub(crate) fn finish(mut self) -> (TrainingRows, Counts, Files, Option<SentenceEncoder>) {
        self.take_in();
        let rows = TrainingRows {
            text_hashes: self.text_hashes,
            numbers: self.numbers,
            fields: self.columns.into_iter().map(Column::finish).collect(),
            outside: self.outside,
            languages: self.languages.supported(),
            added: self.added,
        };
        (rows, self.counts, self.files, self.sentences)
    }

    /// Turns what waits into rows.
    fn take_in(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        self.waiting_bytes = 0;
        let texts: Vec<&str> = waiting.iter().map(|row| row.text.as_str()).collect();
        let (tokens, vectors) = &self.encoder;
        let reader = Reader { tokens, vectors, redactor: &self.redactor, sentences: self.sentences.as_ref() };
        for (row, features) in waiting.iter().zip(counts::extract(&texts, reader, self.threads)) {
            let number = self.added;
            self.added += 1;
            let hash = text_hash(&row.text);
            self.columns.iter_mut().zip(&row.labels).for_each(|(column, label)| column.see(*label));
            if !self.keeps(hash, row.labels.iter().copied()) {
                continue;
            }
            if self.counts.features() + features.len() > self.budget.features {
                self.counts.drop_rare();
            }
            self.counts.push(&features);
            self.text_hashes.push(hash);
            self.numbers.push(u32::try_from(number).unwrap_or(u32::MAX));
            self.outside.push(row.outside);
            self.columns.iter_mut().zip(&row.labels).for_each(|(column, label)| column.of_row.push(*label));
            while self.counts.entries() >= self.budget.entries || self.counts.len() >= self.budget.rows {
                self.thin();
            }
        }
    }

    fn keeps(&self, hash: u128, labels: impl Iterator<Item = Option<u32>>) -> bool {
        let is_rare = |(column, label): (&Column, Option<u32>)| {
            label.is_some_and(|label| column.seen[label as usize] < self.budget.rows_of_rare_label)
        };
        hash.leading_zeros() >= self.zero_bits || self.columns.iter().zip(labels).any(is_rare)
    }

    /// Takes out half of the rows, but none of a rare label.
    fn thin(&mut self) {
        self.zero_bits += 1;
        let before = self.counts.len();
        let labels = |row: usize| self.columns.iter().map(move |column| column.of_row[row]);
        let kept: Vec<bool> =
            self.text_hashes.iter().enumerate().map(|(row, hash)| self.keeps(*hash, labels(row))).collect();
        let keeps = |row: usize| kept[row];
        self.counts.retain_rows(keeps);
        retain_by_place(&mut self.text_hashes, keeps);
        retain_by_place(&mut self.numbers, keeps);
        retain_by_place(&mut self.outside, keeps);
        self.columns.iter_mut().for_each(|column| retain_by_place(&mut column.of_row, keeps));
        if self.counts.len() > before / 4 * 3 {
            // Many rare labels must not keep everything: fewer of them are rare, and the next turn takes its half.
            self.budget.rows_of_rare_label /= 2;
            self.zero_bits -= 1;
        }
    }
}

impl Column {
    fn number(&mut self, label: String) -> u32 {
        let next = u32::try_from(self.numbers.len()).unwrap_or(u32::MAX);
        let number = *self.numbers.entry(label).or_insert(next);
        if number == next {
            self.seen.push(0);
        }
        number
    }

    fn see(&mut self, label: Option<u32>) {
        if let Some(label) = label {
            self.seen[label as usize] += 1;
        }
    }

    /// Numbers the labels in their order.
    fn finish(self) -> TrainingField {
        let labels: BTreeMap<String, u32> = self.numbers.into_iter().collect();
        let mut sorted = vec![0; labels.len()];
        for (number, old) in (0_u32..).zip(labels.values()) {
            sorted[*old as usize] = number;
        }
        let of_row = self.of_row.into_iter().map(|label| label.map(|old| sorted[old as usize])).collect();
        TrainingField { name: self.name, labels: labels.into_keys().collect(), of_row }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(budget: Budget) -> TrainingSet {
        TrainingSet { budget, ..TrainingSet::new(&["topic".to_owned()], 2, Redactor::default(), None).unwrap() }
    }

    fn add(set: &mut TrainingSet, text: &str, label: &str) {
        set.add(text.to_owned(), vec![Some(label.to_owned())], false);
    }

    #[test]
    fn labels_are_numbered_in_their_order() {
        let mut set = set(BUDGET);
        add(&mut set, "vpn down", "network");
        set.add("tell me a joke".to_owned(), vec![Some("oos".to_owned())], true);
        add(&mut set, "vpn slow", "network");
        add(&mut set, "password", "access");
        let (rows, ..) = set.finish();
        assert_eq!(rows.fields[0].labels, ["access", "network"]);
        assert_eq!(rows.fields[0].of_row, [Some(1), None, Some(1), Some(0)]);
        assert_eq!(rows.outside, [false, true, false, false]);
    }

    #[test]
    fn more_rows_than_the_budget_holds_are_thinned_evenly_and_rare_labels_kept() {
        let mut set = set(Budget { features: 2_000, entries: 60_000, rows_of_rare_label: 20, ..BUDGET });
        for row in 0..6_000 {
            add(&mut set, &format!("printer {row} in room {}", row * 7), "hardware");
            if row % 600 == 0 {
                add(&mut set, &format!("badge {row} lost"), "security");
            }
        }
        let (rows, counts, ..) = set.finish();
        assert_eq!(rows.added, 6_010);
        assert!(counts.entries() < 60_000 && counts.features() <= 2_000);
        let of_label = |label| rows.fields[0].of_row.iter().filter(|own| **own == Some(label)).count();
        assert_eq!(of_label(1), 10);
        assert!(of_label(0) > 300, "{}", of_label(0));
        let late = rows.numbers.iter().filter(|number| **number > 3_000).count();
        let kept = rows.numbers.len();
        assert!(late * 10 > kept * 4 && late * 10 < kept * 6, "{late} of {kept}");
        assert_eq!(rows.text_hashes.len(), counts.len());
    }

    #[test]
    fn many_small_labels_are_thinned_evenly_too() {
        let mut set = set(Budget { features: 4_000, entries: 40_000, rows_of_rare_label: 50, ..BUDGET });
        for row in 0..4_000 {
            add(&mut set, &format!("device {row} of branch {}", row * 13), &format!("label {}", row % 100));
        }
        let (rows, counts, ..) = set.finish();
        let kept = rows.numbers.len();
        assert!(counts.entries() > 15_000, "{} entries of {kept} rows", counts.entries());
        let tenth = |number: u32| rows.numbers.iter().filter(|own| **own / 400 == number).count();
        assert!((0..10).all(|number| tenth(number) * 20 > kept), "{:?}", (0..10).map(tenth).collect::<Vec<_>>());
    }
}
