//! Fits on a part of the rows and scores the rest: to choose how much each kind of feature and each mistake weighs,
//! and to learn how far the scores can be trusted. A row's fold comes from its text, so copies stay together.
#![expect(clippy::cast_precision_loss, reason = "counts of rows are far below 2^24 where precision counts")]

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{
    evaluate::Guesses,
    fit::{self, Cost, Members},
    samples::{BlockWeights, Counts, Samples},
    train::{TrainOptions, TrainingField, TrainingRows},
};

/// What a mistake may cost, the mildest first: tried on held-back rows.
const COSTS: [Cost; 3] = [Cost { base: 0.1, balance: 0.5 }, MIDDLE_COST, Cost { base: 1.0, balance: 0.5 }];
const MIDDLE_COST: Cost = Cost { base: 0.3, balance: 0.5 };
const OUTSIDE_COST: Cost = Cost { base: 1.0, balance: 0.5 };
/// Words beside runs of characters, which count 1.
const WORDS_WEIGHT: f32 = 1.4;
/// How much the static vectors may weigh beside the n-grams: they carry small desks, n-grams large ones.
const VECTOR_WEIGHTS: [f32; 3] = [1.0, 2.0, 4.0];
/// Of fewer rows every one is held back once while choosing: a single fold would be all noise.
const FEW_ROWS: usize = 4_000;
/// From this many rows on a feature needs three texts to count, and three folds are enough.
const MANY_ROWS: usize = 20_000;
/// Weights a bundle may have; features that few texts have are dropped until it fits.
const MAX_WEIGHTS: usize = 96 << 20;
/// A choice needs no exact planes: after a few passes over many rows it is clear which setting is better.
const PASSES_TO_CHOOSE: usize = 8;
const PASSES: usize = 60;
/// So many out-of-scope rows are enough to learn from.
const MIN_OUTSIDE_ROWS: usize = 20;

/// What was chosen on held-back rows.
#[derive(Debug, Clone)]
pub(crate) struct Choice {
    pub(crate) blocks: BlockWeights,
    /// One a field.
    pub(crate) costs: Vec<Cost>,
}

/// Scores of rows by planes that were fitted without them.
pub(crate) struct HeldBack {
    /// By field; by row the score of every label.
    pub(crate) fields: Vec<Vec<Vec<f32>>>,
    /// The out-of-scope plane's score by row; empty where too few rows are out of scope to learn from.
    pub(crate) outside: Vec<f32>,
    /// By row, the share of its n-grams that other rows have.
    pub(crate) known_shares: Vec<f32>,
}

/// Rows and their features, ready to be fitted.
pub(crate) struct Trainer<'a> {
    rows: &'a TrainingRows,
    counts: &'a Counts,
    options: &'a TrainOptions<'a>,
    min_texts: u32,
    /// The first of the fields with most labels: its best score says how strange a text is.
    pub(crate) widest: usize,
    /// Out of scope or not, as a field of one label; `None` where too few rows are out of scope.
    outside: Option<TrainingField>,
}

/// One fit.
#[derive(Clone, Copy)]
struct Task<'a> {
    field: &'a TrainingField,
    /// Rows out of scope stand against every label.
    against_outside: bool,
    cost: Cost,
    max_passes: usize,
}

impl<'a> Trainer<'a> {
    /// `None` where no two texts share a feature.
    pub(crate) fn new(rows: &'a TrainingRows, counts: &'a Counts, options: &'a TrainOptions<'a>) -> Option<Self> {
        let columns = rows.fields.iter().map(|field| field.labels.len()).sum::<usize>() + 1;
        let mut min_texts = if counts.len() < MANY_ROWS { 2 } else { 3 };
        while counts.features_in(min_texts) * columns > MAX_WEIGHTS {
            min_texts += 1;
        }
        let labels = |number: usize| rows.fields.get(number).map_or(0, |field| field.labels.len());
        let widest =
            (1..rows.fields.len()).fold(0, |widest, next| if labels(next) > labels(widest) { next } else { widest });
        let outside_rows = rows.outside.iter().filter(|outside| **outside).count();
        let outside = (outside_rows >= MIN_OUTSIDE_ROWS).then(|| TrainingField {
            name: String::new(),
            labels: vec![String::new()],
            of_text: rows.outside.iter().map(|outside| Some(u32::from(!outside))).collect(),
        });
        (counts.features_in(min_texts) > 0).then_some(Self { rows, counts, options, min_texts, widest, outside })
    }

    pub(crate) fn samples(&self, blocks: BlockWeights) -> Samples {
        self.counts.weighted(self.min_texts, blocks)
    }

    /// Tries on held-back rows how much vectors weigh, then for each field what a mistake costs.
    pub(crate) fn choose(&self) -> Choice {
        let fields = self.rows.fields.len();
        let steps = (VECTOR_WEIGHTS.len() + 1) * fields;
        let step =
            |round: usize, number: usize| (self.options.progress)("choosing weights", round * fields + number, steps);
        let mut best = (f64::NEG_INFINITY, block_weights(VECTOR_WEIGHTS[0]));
        for (round, vectors) in VECTOR_WEIGHTS.into_iter().enumerate() {
            let samples = self.samples(block_weights(vectors));
            let mut total = 0.0;
            for number in 0..fields {
                step(round, number);
                total += self.try_cost(&samples, number, MIDDLE_COST).mean;
            }
            if total > best.0 {
                best = (total, block_weights(vectors));
            }
        }
        let samples = self.samples(best.1);
        let mut costs = Vec::new();
        for number in 0..fields {
            step(VECTOR_WEIGHTS.len(), number);
            let tried = COSTS.map(|cost| self.try_cost(&samples, number, cost));
            costs.push(COSTS[mildest(&tried)]);
        }
        Choice { blocks: best.1, costs }
    }

    fn try_cost(&self, samples: &Samples, number: usize, cost: Cost) -> Trial {
        let few = self.rows.texts.len() < FEW_ROWS;
        let (tried, folds, max_passes) = if few { (0..3, 3, PASSES) } else { (0..1, 5, PASSES_TO_CHOOSE) };
        let task = Task { max_passes, ..self.task(number, cost) };
        Trial::judge(task.field, tried.flat_map(|fold| self.score_fold(samples, task, (fold, folds))))
    }

    /// Scores every row by planes that it had no part in.
    pub(crate) fn held_back(&self, samples: &Samples, choice: &Choice) -> HeldBack {
        let texts = self.rows.texts.len();
        let folds: u32 = if texts < MANY_ROWS { 5 } else { 3 };
        let mut fields = Vec::new();
        for (number, cost) in choice.costs.iter().enumerate() {
            (self.options.progress)("cross-checking", number, choice.costs.len());
            let mut scores = vec![Vec::new(); texts];
            let scored = (0..folds).flat_map(|fold| self.score_fold(samples, self.task(number, *cost), (fold, folds)));
            scored.for_each(|(row, of_row)| scores[row] = of_row);
            fields.push(scores);
        }
        let mut outside = Vec::new();
        if let Some(task) = self.outside_task() {
            outside.resize(texts, 0.0);
            let scored = (0..folds).flat_map(|fold| self.score_fold(samples, task, (fold, folds)));
            scored.for_each(|(row, of_row)| outside[row] = of_row[0]);
        }
        HeldBack { fields, outside, known_shares: self.counts.known_shares(self.min_texts) }
    }

    /// Fits every field on all rows: the planes of its labels in order, and the out-of-scope plane, which is zero
    /// where there are too few rows to learn it.
    pub(crate) fn fit(&self, samples: &Samples, choice: &Choice) -> Vec<Vec<f32>> {
        let mut planes = Vec::new();
        for (number, cost) in choice.costs.iter().enumerate() {
            (self.options.progress)("fitting", number, choice.costs.len());
            planes.extend(self.fit_task(samples, self.task(number, *cost)));
        }
        let outside = self.outside_task().and_then(|task| self.fit_task(samples, task).pop());
        planes.push(outside.unwrap_or_else(|| vec![0.0; samples.width()]));
        (self.options.progress)("fitting", choice.costs.len(), choice.costs.len());
        planes
    }

    fn task(&self, number: usize, cost: Cost) -> Task<'_> {
        Task { field: &self.rows.fields[number], against_outside: number == self.widest, cost, max_passes: PASSES }
    }

    fn outside_task(&self) -> Option<Task<'_>> {
        self.outside.as_ref().map(|field| Task { field, against_outside: true, cost: OUTSIDE_COST, max_passes: PASSES })
    }

    /// Whether the row teaches the task: it has a label, or is out of scope and stands against all of them.
    fn teaches(&self, task: Task<'_>, row: usize) -> bool {
        task.field.of_text[row].is_some() || (task.against_outside && self.rows.outside[row])
    }

    fn fit_task(&self, samples: &Samples, task: Task<'_>) -> Vec<Vec<f32>> {
        let rows: Vec<u32> =
            (0_u32..).take(self.rows.texts.len()).filter(|row| self.teaches(task, *row as usize)).collect();
        self.fit_rows(samples, task, &rows, |plane| plane)
    }

    fn fit_rows<T: Send>(
        &self,
        samples: &Samples,
        task: Task<'_>,
        rows: &[u32],
        use_plane: impl Fn(Vec<f32>) -> T + Sync,
    ) -> Vec<T> {
        let labels: Vec<Option<u32>> = rows.iter().map(|row| task.field.of_text[*row as usize]).collect();
        let options = fit::Options {
            cost: task.cost,
            seed: self.options.seed,
            threads: self.options.threads,
            max_passes: task.max_passes,
        };
        fit::fit_labels(samples, &Members { rows, labels: &labels }, task.field.labels.len(), &options, use_plane)
    }

    /// Scores every row of fold `fold` of `folds`, labelled or not, by planes fitted on all the others.
    fn score_fold(&self, samples: &Samples, task: Task<'_>, (fold, folds): (u32, u32)) -> Vec<(usize, Vec<f32>)> {
        let fold_of = |row: u32| {
            xxh3_64_with_seed(self.rows.texts[row as usize].as_bytes(), self.options.seed) % u64::from(folds)
        };
        let texts = (0_u32..).take(self.rows.texts.len());
        let (held, others): (Vec<u32>, Vec<u32>) = texts.partition(|row| fold_of(*row) == u64::from(fold));
        let fitted: Vec<u32> = others.into_iter().filter(|row| self.teaches(task, *row as usize)).collect();
        let score = |plane: Vec<f32>| held.iter().map(|&row| samples.dot(row as usize, &plane)).collect::<Vec<f32>>();
        let columns = self.fit_rows(samples, task, &fitted, score);
        let scores = |at: usize| columns.iter().map(|column| column[at]).collect();
        held.iter().enumerate().map(|(at, &row)| (row as usize, scores(at))).collect()
    }
}

/// How well a setting does.
struct Trial {
    /// Of accuracy and macro-F1.
    mean: f64,
    /// Of each row, always in the same order.
    right: Vec<bool>,
}

impl Trial {
    fn judge(field: &TrainingField, scored: impl Iterator<Item = (usize, Vec<f32>)>) -> Self {
        let mut guesses = Guesses::new(field.labels.len());
        let mut right = Vec::new();
        for (row, scores) in scored {
            if let Some(label) = field.of_text[row] {
                let best =
                    (1..scores.len()).fold(0, |best, next| if scores[next] > scores[best] { next } else { best });
                guesses.add(label as usize, best, 0.0);
                right.push(best == label as usize);
            }
        }
        let quality = guesses.quality();
        Self { mean: f64::midpoint(quality.accuracy, quality.macro_f1), right }
    }
}

/// The number of the first that is not clearly worse than the best: by less than one standard deviation of the
/// difference, counted over the rows that only one of the two gets right (after Breiman et al. 1984). The first is
/// the mildest, which keeps better on tickets unlike those of training.
fn mildest(tried: &[Trial]) -> usize {
    let best = (1..tried.len()).fold(0, |best, next| if tried[next].mean > tried[best].mean { next } else { best });
    let is_close = |trial: &Trial| {
        let differ = trial.right.iter().zip(&tried[best].right).filter(|(one, other)| one != other).count();
        let deviation = (differ as f64).sqrt() / trial.right.len().max(1) as f64;
        tried[best].mean - trial.mean <= deviation
    };
    tried.iter().position(is_close).unwrap_or(best)
}

fn block_weights(vectors: f32) -> BlockWeights {
    BlockWeights { words: WORDS_WEIGHT, characters: 1.0, vectors }
}
