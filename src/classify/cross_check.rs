//! Fits on a part of the rows and scores the rest: to choose how much each kind of feature and each mistake weighs,
//! and to learn how far the scores can be trusted. A row's fold comes from its text, so copies stay together.
#![expect(clippy::cast_precision_loss, reason = "counts of rows are far below 2^24 where precision counts")]

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{
    centroids::Centroids,
    counts::Counts,
    evaluate::Guesses,
    fit::{Cost, Problem, Separation},
    samples::{Samples, VectorWeights},
    train::TrainOptions,
    training_set::TrainingRows,
};

/// What a mistake may cost: tried on held-back rows, each fit going on from the one before. Few and far apart: of two
/// that are much alike chance would choose.
const COSTS: [Cost; 4] = [
    Cost { base: 0.05, balance: 1.0, contrast: 0.25 },
    Cost { base: 0.2, balance: 0.4, contrast: 0.25 },
    Cost { base: 0.2, balance: 0.3, contrast: 0.5 },
    USUAL_COST,
];
/// From [`MANY_ROWS`] on: what tells labels apart is known well enough to lean on it.
const COSTS_OF_MANY_ROWS: [Cost; 4] = [
    Cost { base: 0.1, balance: 1.0, contrast: 0.5 },
    Cost { base: 0.1, balance: 0.5, contrast: 0.5 },
    Cost { base: 0.2, balance: 0.3, contrast: 0.5 },
    USUAL_COST,
];
const USUAL: usize = 3;
const USUAL_COST: Cost = Cost { base: 0.3, balance: 0.5, contrast: 0.0 };
const OUTSIDE_COST: Cost = Cost { base: 1.0, balance: 0.5, contrast: 0.0 };
/// Words beside runs of characters, which count 1.
const WORDS_WEIGHT: f32 = 1.4;
/// How much vectors may weigh beside the n-grams: they carry small desks, n-grams large ones.
const VECTOR_WEIGHTS: [VectorWeights; 4] = [tokens(0.5), VECTORS_TO_CHOOSE_COST, USUAL_VECTORS, tokens(4.0)];
const USUAL_VECTORS: VectorWeights = tokens(2.0);
/// What they weigh while costs are compared.
const VECTORS_TO_CHOOSE_COST: VectorWeights = tokens(1.0);
/// The same where a sentence encoder read the texts: beside it static vectors hardly matter.
const SENTENCE_WEIGHTS: [VectorWeights; 4] = [sentences(1.0), USUAL_SENTENCES, sentences(3.0), SENTENCES_OF_FEW_ROWS];
const USUAL_SENTENCES: VectorWeights = sentences(2.0);
const SENTENCES_TO_CHOOSE_COST: VectorWeights = sentences(1.5);
/// Of less than [`MANY_FOR_CENTROIDS`] rows.
const SENTENCES_OF_FEW_ROWS: VectorWeights = sentences(5.0);
/// How strongly the mean sentence of each label pulls, in scores of vectors of length one. What it adds is sure where
/// labels have few rows, and blunt where they have many.
const CENTROIDS: f32 = 3.0;
/// From so many rows on no mean is tried.
const MANY_FOR_CENTROIDS: usize = 3_000;
/// Of fewer rows every one is held back once while choosing: a single fold would be all noise.
const FEW_ROWS: usize = 6_000;
/// More rows make a choice no clearer.
const ROWS_TO_CHOOSE: usize = 8_000;
/// From this many rows on a feature needs three texts to count.
const MANY_ROWS: usize = 20_000;
/// From this many rows on a tenth of them is enough to check with.
const ENOUGH_ROWS: usize = 200_000;
/// Rows times labels: from so many on the usual weights are taken untried, and from four times as many one fold is
/// held back instead of five. The time of a fit grows with this product.
const LARGE_PROBLEM: usize = 4 << 20;
/// Weights a bundle may have; features that few texts have are dropped until it fits.
const MAX_WEIGHTS: usize = 96 << 20;
/// Scores of held-back rows kept for a field, of all its labels together.
const MAX_SCORES: usize = 40 << 20;
/// A choice needs no exact planes: after a few passes it is clear which setting is better.
const PASSES_TO_CHOOSE: usize = 20;
const PASSES: usize = 60;
/// From [`MANY_ROWS`] on, planes that go on from the fit to all rows score what is held back as well after so few.
const PASSES_WITHOUT_FOLD: usize = 3;
/// So many out-of-scope rows are enough to learn from.
const MIN_OUTSIDE_ROWS: usize = 20;

/// What was chosen for a field on held-back rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Choice {
    pub(crate) cost: Cost,
    pub(crate) vectors: VectorWeights,
    /// How strongly the mean sentences of labels pull; 0: not at all.
    pub(crate) centroids: f32,
}

const fn sentences(weight: f32) -> VectorWeights {
    VectorWeights { tokens: 0.5, sentence: weight }
}

const fn tokens(weight: f32) -> VectorWeights {
    VectorWeights { tokens: weight, sentence: 0.0 }
}

/// What is tried on held-back rows.
#[derive(Debug, Clone, Copy)]
struct Setting {
    cost: Cost,
    centroids: f32,
}

/// Planes fitted on all rows, and how planes that were fitted without a row score it.
pub(crate) struct Fitted {
    /// The planes of every field's labels in order, and last that of the rows out of scope: zero where too few are.
    pub(crate) planes: Vec<Vec<f32>>,
    /// By field.
    pub(crate) held_back: Vec<HeldBack>,
    /// Scores of the out-of-scope plane; empty where there is none.
    pub(crate) outside: Vec<f32>,
}

/// Scores of one field's labels for the rows that were judged, by label.
pub(crate) struct HeldBack(Vec<Vec<f32>>);

impl HeldBack {
    /// The scores of all labels for the row at this place of those judged.
    pub(crate) fn scores(&self, place: usize) -> Vec<f32> {
        self.0.iter().map(|scores| scores[place]).collect()
    }
}

/// Rows and their features, ready to be fitted.
pub(crate) struct Trainer<'a> {
    rows: &'a TrainingRows,
    /// By row, what decides its fold: from the text, so that copies stay together, and the seed.
    hashes: Vec<u64>,
    options: &'a TrainOptions<'a>,
    pub(crate) samples: Samples,
    /// By row, the share of its n-grams that other rows have.
    pub(crate) known_shares: Vec<f32>,
    /// The first of the fields with most labels: its best score says how strange a text is.
    pub(crate) widest: usize,
    /// Rows that are scored by planes fitted without them.
    pub(crate) judged: Vec<u32>,
    folds: Folds,
    /// Label 0 for rows out of scope, 1 for the others; `None` where too few rows are out of scope.
    outside: Option<Vec<Option<u32>>>,
}

/// How rows are divided, and the parts that are held back one after the other.
#[derive(Clone, Copy)]
struct Folds {
    count: u64,
    tried: u64,
}

/// What is to be fitted.
#[derive(Clone, Copy)]
struct Task<'a> {
    /// The label of each row.
    of_row: &'a [Option<u32>],
    labels: usize,
    /// Rows out of scope stand against every label.
    against_outside: bool,
}

impl<'a> Trainer<'a> {
    /// `None` where no two texts share a feature.
    pub(crate) fn new(rows: &'a TrainingRows, counts: Counts, options: &'a TrainOptions<'a>) -> Option<Self> {
        let columns = rows.fields.iter().map(|field| field.labels.len()).sum::<usize>() + 1;
        let mut min_texts = if counts.len() < MANY_ROWS { 2 } else { 3 };
        while counts.features_in(min_texts) * columns > MAX_WEIGHTS {
            min_texts += 1;
        }
        if counts.features_in(min_texts) == 0 {
            return None;
        }
        let hashes: Vec<u64> = rows.text_hashes.iter().map(|hash| spread(*hash, options.seed)).collect();
        let labels = |number: usize| rows.fields.get(number).map_or(0, |field| field.labels.len());
        let widest =
            (1..rows.fields.len()).fold(0, |widest, next| if labels(next) > labels(widest) { next } else { widest });
        let outside_rows = rows.outside.iter().filter(|outside| **outside).count();
        let outside = (outside_rows >= MIN_OUTSIDE_ROWS)
            .then(|| rows.outside.iter().map(|outside| Some(u32::from(!outside))).collect());
        let folds =
            if counts.len() < ENOUGH_ROWS { Folds { count: 5, tried: 5 } } else { Folds { count: 10, tried: 1 } };
        let all = (0_u32..).take(counts.len()).filter(|row| folds.tries(hashes[*row as usize]));
        let judged = sample(all.collect(), &hashes, MAX_SCORES / columns);
        let known_shares = counts.known_shares(min_texts);
        let samples = counts.weighted(min_texts, WORDS_WEIGHT);
        Some(Self { rows, hashes, options, samples, known_shares, widest, judged, folds, outside })
    }

    /// Tries for each field on held-back rows what a mistake costs, then how much vectors weigh.
    pub(crate) fn choose(&mut self) -> Vec<Choice> {
        let rows = sample((0_u32..).take(self.hashes.len()).collect(), &self.hashes, ROWS_TO_CHOOSE);
        let fields = self.rows.fields.len();
        let costs = if self.hashes.len() < MANY_ROWS { &COSTS } else { &COSTS_OF_MANY_ROWS };
        let (weights, usual, first) = if self.samples.have_sentences() {
            (&SENTENCE_WEIGHTS, USUAL_SENTENCES, SENTENCES_TO_CHOOSE_COST)
        } else {
            (&VECTOR_WEIGHTS, USUAL_VECTORS, VECTORS_TO_CHOOSE_COST)
        };
        let choose = |number| {
            (self.options.progress)("choosing weights", number, fields);
            if rows.len() * self.rows.fields[number].labels.len() > LARGE_PROBLEM {
                return Choice { cost: USUAL_COST, vectors: usual, centroids: 0.0 };
            }
            self.samples.weigh_vectors(first);
            let plain = |cost: Cost| Setting { cost, centroids: 0.0 };
            let settings = costs.map(plain);
            let cost = costs[best_trial(&self.try_settings(number, &rows, &settings), USUAL)];
            let mut best = (f64::NEG_INFINITY, weights[0]);
            // More than few rows do not tell.
            let few = rows.len() < MANY_FOR_CENTROIDS;
            for &vectors in weights.iter().filter(|weights| few || **weights != SENTENCES_OF_FEW_ROWS) {
                // What is chosen then is of no use, and nobody uses it.
                if self.options.is_stopped() {
                    break;
                }
                self.samples.weigh_vectors(vectors);
                let merit = self.try_settings(number, &rows, &[plain(cost)]).into_iter().sum();
                if merit > best.0 {
                    best = (merit, vectors);
                }
            }
            let vectors = best.1;
            self.samples.weigh_vectors(vectors);
            let pulls = self.samples.have_sentences() && rows.len() < MANY_FOR_CENTROIDS;
            let pulled = Setting { cost, centroids: CENTROIDS };
            let centroids = if pulls && best_trial(&self.try_settings(number, &rows, &[plain(cost), pulled]), 0) == 1 {
                CENTROIDS
            } else {
                0.0
            };
            Choice { cost, vectors, centroids }
        };
        (0..fields).map(choose).collect()
    }

    /// The merit of each of the settings, the lowest cost first, on some of these rows when fitted to the others.
    fn try_settings(&self, number: usize, rows: &[u32], settings: &[Setting]) -> Vec<f64> {
        let task = self.task(number);
        let folds = if rows.len() < FEW_ROWS { Folds { count: 3, tried: 3 } } else { Folds { count: 5, tried: 1 } };
        let rows: Vec<u32> = rows.iter().copied().filter(|row| self.teaches(task, *row)).collect();
        let labels: Vec<Option<u32>> = rows.iter().map(|row| task.of_row[*row as usize]).collect();
        let hashes: Vec<u64> = rows.iter().map(|row| self.hashes[*row as usize]).collect();
        let problem = Problem::new(&self.samples, &rows, &labels, task.labels, self.options.seed);
        let judged: Vec<Vec<u32>> = (0..folds.tried)
            .map(|fold| places(&hashes, |hash| folds.of(hash) == fold))
            .map(|fold| fold.into_iter().filter(|place| labels[*place as usize].is_some()).collect())
            .collect();
        let centroids: Vec<Option<Centroids>> = (0..folds.tried)
            .map(|fold| {
                let is_pulled = settings.iter().any(|setting| setting.centroids > 0.0);
                let others = is_pulled.then(|| places(&hashes, |hash| folds.of(hash) != fold));
                others.map(|others| problem.centroids(&others))
            })
            .collect();
        let score = |untouched: Separation<'_>| {
            let mut scores = vec![Vec::new(); settings.len()];
            for ((fold, judged), centroids) in (0..).zip(&judged).zip(&centroids) {
                if self.options.is_stopped() {
                    for scores in &mut scores {
                        scores.resize(scores.len() + judged.len(), 0.0);
                    }
                    continue;
                }
                let mut separation = untouched.clone();
                let others = places(&hashes, |hash| folds.of(hash) != fold);
                for (setting, scores) in settings.iter().zip(&mut scores) {
                    separation.fit(&others, setting.cost, PASSES_TO_CHOOSE);
                    scores.extend(judged.iter().map(|place| {
                        let row = rows[*place as usize];
                        let pull = centroids.as_ref().filter(|_| setting.centroids > 0.0);
                        let pull = pull.map_or(0.0, |means| means.score(&self.samples, row, separation.label()));
                        separation.score(row) + setting.centroids * pull
                    }));
                }
            }
            scores
        };
        let by_label = problem.for_each_label(self.options.threads, score);
        let truths: Vec<u32> = judged.iter().flatten().filter_map(|place| labels[*place as usize]).collect();
        let trial = |setting: usize| {
            let scores = |row: usize| by_label.iter().map(move |scores| scores[setting][row]);
            merit(&truths, |row| best_of(scores(row)))
        };
        (0..settings.len()).map(trial).collect()
    }

    /// Fits every field to all rows, and scores the judged rows by planes that they had no part in.
    pub(crate) fn fit(&mut self, choices: &[Choice]) -> Fitted {
        let mut fitted = Fitted { planes: Vec::new(), held_back: Vec::new(), outside: Vec::new() };
        for (number, choice) in choices.iter().enumerate() {
            (self.options.progress)("fitting", number, choices.len());
            self.samples.weigh_vectors(choice.vectors);
            let (planes, scores) = self.fit_task(self.task(number), choice.cost, choice.centroids);
            fitted.planes.extend(planes);
            fitted.held_back.push(HeldBack(scores));
        }
        let mut outside_plane = vec![0.0; self.samples.width()];
        if let Some(of_row) = &self.outside {
            // As the field whose best score is the other signal, whatever field came last.
            self.samples.weigh_vectors(choices[self.widest].vectors);
            let task = Task { of_row, labels: 1, against_outside: true };
            let (planes, scores) = self.fit_task(task, OUTSIDE_COST, 0.0);
            outside_plane = planes.into_iter().next().unwrap_or(outside_plane);
            fitted.outside = scores.into_iter().next().unwrap_or_default();
        }
        fitted.planes.push(outside_plane);
        (self.options.progress)("fitting", choices.len(), choices.len());
        fitted
    }

    /// By label, the plane, for vectors of length one, and the scores of the judged rows.
    fn fit_task(&self, task: Task<'_>, cost: Cost, centroids: f32) -> (Vec<Vec<f32>>, Vec<Vec<f32>>) {
        let rows: Vec<u32> = (0_u32..).take(self.hashes.len()).filter(|row| self.teaches(task, *row)).collect();
        let labels: Vec<Option<u32>> = rows.iter().map(|row| task.of_row[*row as usize]).collect();
        let hashes: Vec<u64> = rows.iter().map(|row| self.hashes[*row as usize]).collect();
        let problem = Problem::new(&self.samples, &rows, &labels, task.labels, self.options.seed);
        let all = places(&hashes, |_| true);
        let passes_without_fold = if self.hashes.len() < MANY_ROWS { PASSES } else { PASSES_WITHOUT_FOLD };
        let parted: Vec<(Vec<u32>, Vec<u32>)> = (0..self.folds.tried)
            .map(|fold| {
                let held_back = |hash| self.folds.of(hash) == fold;
                (places(&hashes, held_back), places(&hashes, |hash| !held_back(hash)))
            })
            .collect();
        let of_all = (centroids > 0.0).then(|| problem.centroids(&all));
        let of_others: Vec<Option<Centroids>> =
            parted.iter().map(|(_, others)| (centroids > 0.0).then(|| problem.centroids(others))).collect();
        let fit = |mut separation: Separation<'_>| {
            let label = separation.label();
            let mut scores = vec![0.0; self.judged.len()];
            if self.options.is_stopped() {
                return (separation.into_weights(), scores);
            }
            separation.fit(&all, cost, PASSES);
            for ((fold, (held_back, others)), means) in (0..).zip(&parted).zip(&of_others) {
                let mut without = separation.clone();
                without.forget(held_back);
                // Fewer rows at the same cost are pulled towards zero more strongly: their planes would be less sure than
                // those of all rows, and what is certified of them would promise too much.
                let base = cost.base * all.len() as f32 / others.len().max(1) as f32;
                without.fit(others, Cost { base, ..cost }, passes_without_fold);
                for (score, row) in scores.iter_mut().zip(&self.judged) {
                    if self.folds.of(self.hashes[*row as usize]) == fold {
                        let pull = means.as_ref().map_or(0.0, |means| means.score(&self.samples, *row, label));
                        *score = without.score(*row) + centroids * pull;
                    }
                }
            }
            let mut plane = separation.into_weights();
            self.samples.fold_in_vectors(&mut plane);
            if let Some(means) = &of_all {
                means.add_to(label, centroids, &mut plane[self.samples.sentence_places()]);
            }
            (plane, scores)
        };
        problem.for_each_label(self.options.threads, fit).into_iter().unzip()
    }

    fn task(&self, number: usize) -> Task<'_> {
        let field = &self.rows.fields[number];
        Task { of_row: &field.of_row, labels: field.labels.len(), against_outside: number == self.widest }
    }

    /// Whether the row teaches the task: it has a label, or is out of scope and stands against all of them.
    fn teaches(&self, task: Task<'_>, row: u32) -> bool {
        task.of_row[row as usize].is_some() || (task.against_outside && self.rows.outside[row as usize])
    }
}

impl Folds {
    fn of(self, hash: u64) -> u64 {
        hash % self.count
    }

    fn tries(self, hash: u64) -> bool {
        self.of(hash) < self.tried
    }
}

fn spread(text_hash: u128, seed: u64) -> u64 {
    xxh3_64_with_seed(&text_hash.to_le_bytes(), seed)
}

/// The places of the hashes that are chosen.
fn places(hashes: &[u64], chosen: impl Fn(u64) -> bool) -> Vec<u32> {
    (0_u32..).zip(hashes).filter(|(_, hash)| chosen(**hash)).map(|(place, _)| place).collect()
}

/// About `at_most` of the rows, chosen by their texts and apart from their folds; all of them where they are few.
fn sample(mut rows: Vec<u32>, hashes: &[u64], at_most: usize) -> Vec<u32> {
    let parts = rows.len().div_ceil(at_most.max(1)) as u64;
    rows.retain(|row| (hashes[*row as usize] >> 24).is_multiple_of(parts.max(1)));
    rows
}

fn best_of(scores: impl Iterator<Item = f32>) -> usize {
    let mut best = (0, f32::NEG_INFINITY);
    for (label, score) in scores.enumerate() {
        if score > best.1 {
            best = (label, score);
        }
    }
    best.0
}

/// How well a setting does: accuracy counts twice, macro-F1 once. A rare label that is never proposed is what desks
/// complain of, but they see many more mistakes as well, and what is found of a label with few rows is much by chance.
fn merit(truths: &[u32], guess: impl Fn(usize) -> usize) -> f64 {
    let mut guesses = Guesses::new(0);
    for (row, label) in truths.iter().enumerate() {
        guesses.add(*label as usize, guess(row), 0.0);
    }
    let quality = guesses.quality();
    (2.0 * quality.accuracy + quality.macro_f1) / 3.0
}

/// The number of the best; the usual one where none is better.
fn best_trial(merits: &[f64], usual: usize) -> usize {
    (0..merits.len()).fold(usual, |best, next| if merits[next] > merits[best] { next } else { best })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        classify::{
            features::Block,
            samples::{DenseRows, Feature, SparseRows},
            training_set::TrainingField,
        },
        encode::DIMENSIONS,
    };

    #[test]
    fn rows_held_back_are_scored_as_surely_as_new_ones() {
        let features = (0..3).map(|key| Feature { key, block: Block::Words, idf: 1.0 }).collect();
        let (mut sparse, mut dense, mut sentences) =
            (SparseRows::default(), DenseRows::new(DIMENSIONS), DenseRows::new(8));
        let of_row: Vec<Option<u32>> = (0..100).map(|row| Some(row % 2)).collect();
        for label in of_row.iter().flatten() {
            // A word of the label's own, and one that every row has.
            for id in [*label, 2] {
                sparse.push(id, 1);
            }
            sparse.end_row();
            dense.push(&[0.0; DIMENSIONS]);
            let shared = [0.6, 0.0, 0.0, 0.0, 0.0, 0.0];
            let own = if *label == 0 { [0.8, 0.0] } else { [0.0, 0.8] };
            sentences.push(&[shared.as_slice(), &own].concat());
        }
        let field = TrainingField { name: "topic".to_owned(), labels: vec!["a".to_owned(), "b".to_owned()], of_row };
        let rows = TrainingRows {
            text_hashes: (0..100).collect(),
            numbers: (0..100).collect(),
            fields: vec![field],
            outside: vec![false; 100],
            languages: Vec::new(),
            added: 100,
        };
        let options = TrainOptions::quiet("test", 1);
        let trainer = Trainer {
            rows: &rows,
            // Both labels alike in every fold.
            hashes: (0..100).map(|row| row / 2).collect(),
            options: &options,
            samples: Samples::new(features, sparse, (dense, Some(sentences)), 1.0, f32::from),
            known_shares: vec![1.0; 100],
            widest: 0,
            judged: (0..100).collect(),
            folds: Folds { count: 5, tried: 5 },
            outside: None,
        };
        for (base, centroids) in [(0.001, 0.0), (0.01, 0.0), (0.1, 0.0), (0.01, 3.0), (0.1, 3.0)] {
            let (planes, held_back) =
                trainer.fit_task(trainer.task(0), Cost { base, balance: 0.5, contrast: 0.0 }, centroids);
            for (plane, held_back) in planes.iter().zip(&held_back) {
                for (row, score) in held_back.iter().enumerate() {
                    let serves = trainer.samples.dot(row, plane);
                    assert!((score - serves).abs() < 0.02 * serves.abs(), "{base}, {centroids}: {score} for {serves}");
                }
            }
        }
    }

    /// The merit of guesses at forty rows of label 0 and two of label 1, of which so many are right.
    fn merit_of(right_of_frequent: usize, right_of_rare: usize) -> f64 {
        let truths: Vec<u32> = (0..42).map(|row| u32::from(row >= 40)).collect();
        merit(&truths, |row| match row {
            0..40 => usize::from(row >= right_of_frequent),
            _ => usize::from(row - 40 < right_of_rare),
        })
    }

    #[test]
    fn a_rare_label_that_is_found_outweighs_a_few_mistakes_and_not_many() {
        let never_proposed = merit_of(40, 0);
        assert!(merit_of(38, 2) > never_proposed);
        assert!(merit_of(25, 2) < never_proposed);
        assert!(merit_of(39, 0) < never_proposed);
        assert!((merit_of(40, 2) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn the_usual_setting_is_taken_where_none_is_better() {
        for (merits, expected) in [([0.5, 0.5, 0.5], 1), ([0.4, 0.5, 0.6], 2), ([0.6, 0.5, 0.6], 0)] {
            assert_eq!(best_trial(&merits, 1), expected, "{merits:?}");
        }
    }
}
