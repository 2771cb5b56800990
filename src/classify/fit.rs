//! Fits linear heads: one separating plane a label, the label against the rest, by dual coordinate descent for
//! the squared hinge loss (Hsieh et al. 2008, A Dual Coordinate Descent Method for Large-scale Linear SVM,
//! as in LIBLINEAR). A fit goes on from where the last one ended, so that leaving some rows out afterwards costs a
//! fraction of a fit. Deterministic: the order of visits comes from the seed, never from the threads.
#![expect(clippy::cast_precision_loss, reason = "counts of rows are far below 2^24 where precision counts")]

use std::{
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use super::{centroids::Centroids, samples::Samples};

/// The solver stops when no gradient violates optimality by more.
const TOLERANCE: f32 = 0.03;

/// What a wrong side costs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Cost {
    pub(crate) base: f32,
    /// 0: every row counts the same; 1: every label counts the same.
    pub(crate) balance: f32,
    /// 0: a feature counts the same for every label; 1: as much as it tells the label from the others.
    pub(crate) contrast: f32,
}

/// What the planes of a field are fitted to.
pub(crate) struct Problem<'a> {
    pub(crate) samples: &'a Samples,
    /// Rows that teach the field; those of no label are on the other side for all of them.
    pub(crate) rows: &'a [u32],
    /// Label of each of `rows`.
    pub(crate) labels: &'a [Option<u32>],
    pub(crate) label_count: usize,
    pub(crate) seed: u64,
    /// The square of the length of each of `rows`.
    squares: Vec<f32>,
    /// The part of it that the sparse features have.
    sparse_squares: Vec<f32>,
}

impl<'a> Problem<'a> {
    pub(crate) fn new(
        samples: &'a Samples,
        rows: &'a [u32],
        labels: &'a [Option<u32>],
        label_count: usize,
        seed: u64,
    ) -> Self {
        let squares = rows.iter().map(|row| samples.square(*row as usize)).collect();
        let sparse_squares = rows.iter().map(|row| samples.sparse_square(*row as usize)).collect();
        Self { samples, rows, labels, label_count, seed, squares, sparse_squares }
    }

    /// The mean sentences of the labels, by the rows at these places.
    pub(crate) fn centroids(&self, places: &[u32]) -> Centroids {
        let labelled =
            places.iter().filter_map(|&place| Some((self.rows[place as usize], self.labels[place as usize]?)));
        Centroids::of(self.samples, labelled, self.label_count)
    }

    /// Runs `task` for every label on up to `threads` threads; the results come in the order of the labels.
    pub(crate) fn for_each_label<T: Send>(&self, threads: usize, task: impl Fn(Separation<'_>) -> T + Sync) -> Vec<T> {
        let next = AtomicUsize::new(0);
        let results = Mutex::new((0..self.label_count).map(|_| None).collect::<Vec<Option<T>>>());
        thread::scope(|scope| {
            for _ in 0..threads.clamp(1, self.label_count.max(1)) {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        let Some(label) = u32::try_from(number).ok().filter(|_| number < self.label_count) else {
                            break;
                        };
                        let result = task(Separation::new(self, label));
                        if let Ok(mut results) = results.lock() {
                            results[number] = Some(result);
                        }
                    }
                });
            }
        });
        results.into_inner().map(|results| results.into_iter().flatten().collect()).unwrap_or_default()
    }
}

/// One label against the rest.
#[derive(Clone)]
pub(crate) struct Separation<'a> {
    problem: &'a Problem<'a>,
    label: u32,
    /// How many times rarer the label is than an average one.
    rarity: f32,
    weights: Vec<f32>,
    /// How much each of the problem's rows takes part.
    alpha: Vec<f32>,
    emphasis: Option<Emphasis>,
}

/// How much more some features count for one label than for another: by the ratio of how often they stand in its rows
/// and in the others' (Wang and Manning 2012, Baselines and Bigrams, where the ratio takes the place of the feature;
/// here its size stretches the feature's axis, and the plane stays one for plain rows).
#[derive(Clone)]
struct Emphasis {
    /// By feature, what its axis is stretched by, squared.
    squares: Vec<f32>,
    /// The square of the length of each of the problem's rows, stretched.
    lengths: Vec<f32>,
}

impl<'a> Separation<'a> {
    fn new(problem: &'a Problem<'a>, label: u32) -> Self {
        let positives = problem.labels.iter().filter(|own| **own == Some(label)).count();
        Self {
            problem,
            label,
            rarity: problem.rows.len() as f32 / (problem.label_count.max(2) as f32 * positives.max(1) as f32),
            weights: vec![0.0; problem.samples.width()],
            alpha: vec![0.0; problem.rows.len()],
            emphasis: None,
        }
    }

    pub(crate) fn label(&self) -> u32 {
        self.label
    }

    /// The plane, as the samples number their features.
    pub(crate) fn into_weights(self) -> Vec<f32> {
        self.weights
    }

    /// How far on the label's side a row of the samples lies.
    pub(crate) fn score(&self, row: u32) -> f32 {
        self.problem.samples.dot(row as usize, &self.weights)
    }

    /// Takes out what the rows at these places of the problem have taught.
    pub(crate) fn forget(&mut self, places: &[u32]) {
        for &place in places {
            let place = place as usize;
            if self.alpha[place] > 0.0 {
                self.add(place, -self.sign(place) * self.alpha[place]);
                self.alpha[place] = 0.0;
            }
        }
    }

    /// Fits to the rows at these places of the problem, visiting each at most `max_passes` times.
    pub(crate) fn fit(&mut self, places: &[u32], cost: Cost, max_passes: usize) {
        let negative = 0.5 / cost.base;
        let positive = negative / self.rarity.powf(cost.balance);
        self.emphasise(places, cost.contrast);
        let mut random = Random(self.problem.seed);
        let mut order = places.to_vec();
        let mut active = order.len();
        let mut shrink_above = f32::INFINITY;
        for _ in 0..max_passes {
            random.shuffle(&mut order[..active]);
            let (mut largest, mut smallest) = (f32::NEG_INFINITY, f32::INFINITY);
            let mut at = 0;
            while at < active {
                let place = order[at] as usize;
                let row = self.problem.rows[place] as usize;
                let sign = self.sign(place);
                let diagonal = if sign > 0.0 { positive } else { negative };
                let gradient = sign * self.problem.samples.dot(row, &self.weights) - 1.0 + self.alpha[place] * diagonal;
                let mut projected = gradient;
                if self.alpha[place] == 0.0 {
                    if gradient > shrink_above {
                        active -= 1;
                        order.swap(at, active);
                        continue;
                    }
                    projected = gradient.min(0.0);
                }
                largest = largest.max(projected);
                smallest = smallest.min(projected);
                if projected.abs() > 1e-12 {
                    let old = self.alpha[place];
                    let length = self.emphasis.as_ref().map_or(&self.problem.squares, |emphasis| &emphasis.lengths);
                    self.alpha[place] = (old - gradient / (length[place] + diagonal)).max(0.0);
                    self.add(place, (self.alpha[place] - old) * sign);
                }
                at += 1;
            }
            if largest - smallest <= TOLERANCE {
                if active == order.len() {
                    break;
                }
                active = order.len();
                shrink_above = f32::INFINITY;
            } else {
                shrink_above = if largest > 0.0 { largest } else { f32::INFINITY };
            }
        }
    }

    /// Stretches the features by what the rows at these places say, and takes along what was learnt so far.
    fn emphasise(&mut self, places: &[u32], contrast: f32) {
        if contrast == 0.0 && self.emphasis.is_none() {
            return;
        }
        self.emphasis = (contrast > 0.0).then(|| Emphasis::of(self.problem, self.label, places, contrast));
        self.weights.fill(0.0);
        for place in 0..self.alpha.len() {
            if self.alpha[place] > 0.0 {
                self.add(place, self.sign(place) * self.alpha[place]);
            }
        }
    }

    /// Adds `scale` times the row at this place to the plane.
    fn add(&mut self, place: usize, scale: f32) {
        let (samples, row) = (self.problem.samples, self.problem.rows[place] as usize);
        match &self.emphasis {
            Some(emphasis) => samples.add_emphasised_to(row, scale, &emphasis.squares, &mut self.weights),
            None => samples.add_to(row, scale, &mut self.weights),
        }
    }

    /// On which side the row at this place belongs.
    fn sign(&self, place: usize) -> f32 {
        if self.problem.labels[place] == Some(self.label) { 1.0 } else { -1.0 }
    }
}

impl Emphasis {
    fn of(problem: &Problem<'_>, label: u32, places: &[u32], contrast: f32) -> Self {
        let samples = problem.samples;
        let mut counts = [vec![0_u32; samples.features.len()], vec![0_u32; samples.features.len()]];
        let mut rows = [0_u32; 2];
        for &place in places {
            let own = usize::from(problem.labels[place as usize] == Some(label));
            samples.count_features(problem.rows[place as usize] as usize, &mut counts[own]);
            rows[own] += 1;
        }
        // One row more on each side has the feature, and one has not.
        let share = |times: u32, rows: u32| (times as f32 + 1.0) / (rows as f32 + 2.0);
        let [others, own] = &counts;
        let ratio = |(others_times, own_times): (&u32, &u32)| {
            (share(*own_times, rows[1]) / share(*others_times, rows[0])).ln().abs()
        };
        let ratios: Vec<f32> = others.iter().zip(own).map(ratio).collect();
        let seen = |feature: &usize| counts[0][*feature] + counts[1][*feature] > 0;
        let (mut sum, mut features) = (0.0, f32::MIN_POSITIVE);
        for feature in (0..ratios.len()).filter(seen) {
            sum += ratios[feature];
            features += 1.0;
        }
        let mean = (sum / features).max(f32::MIN_POSITIVE);
        let mut squares: Vec<f32> =
            ratios.iter().map(|ratio| (1.0 - contrast + contrast * ratio / mean).powi(2)).collect();
        // On the whole the features keep their strength beside the vectors.
        let mut lengths: Vec<f32> =
            problem.rows.iter().map(|row| samples.emphasised_square(*row as usize, &squares)).collect();
        let total = |lengths: &[f32]| places.iter().map(|place| lengths[*place as usize]).sum::<f32>();
        let scale = total(&problem.sparse_squares) / total(&lengths).max(f32::MIN_POSITIVE);
        for square in &mut squares {
            *square *= scale;
        }
        for ((length, sparse), all) in lengths.iter_mut().zip(&problem.sparse_squares).zip(&problem.squares) {
            *length = *length * scale + all - sparse;
        }
        Self { squares, lengths }
    }
}

/// `SplitMix64` (Steele et al. 2014).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn shuffle(&mut self, items: &mut [u32]) {
        for last in (1..items.len()).rev() {
            #[expect(clippy::cast_possible_truncation, reason = "the remainder is below `last + 1`")]
            let other = (self.next() % (last as u64 + 1)) as usize;
            items.swap(last, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        classify::{
            features::Block,
            samples::{DenseRows, Feature, SparseRows},
        },
        encode::DIMENSIONS,
    };

    /// Rows of words: what tells label 0 from label 1 is word 0 and word 1; word 2 is everywhere.
    fn samples(rows: &[&[u32]]) -> Samples {
        let features = (0..4).map(|key| Feature { key, block: Block::Words, idf: 1.0 }).collect();
        let (mut sparse, mut dense) = (SparseRows::default(), DenseRows::new(DIMENSIONS));
        for row in rows {
            row.iter().for_each(|id| sparse.push(*id, 1));
            sparse.end_row();
            dense.push(&[0.0; DIMENSIONS]);
        }
        Samples::new(features, sparse, (dense, None), 1.0, f32::from)
    }

    const ROWS: [&[u32]; 8] = [&[0, 2], &[0, 2, 3], &[0, 2], &[0, 2, 3], &[1, 2], &[1, 2, 3], &[1, 2], &[1, 2]];
    const LABELS: [Option<u32>; 8] = [Some(0), Some(0), Some(0), Some(0), Some(1), Some(1), Some(1), Some(1)];
    const PLACES: [u32; 8] = [0, 1, 2, 3, 4, 5, 6, 7];

    fn cost(contrast: f32) -> Cost {
        Cost { base: 1.0, balance: 0.5, contrast }
    }

    #[test]
    fn contrast_puts_the_weight_on_what_tells_labels_apart() {
        let samples = samples(&ROWS);
        let problem = Problem::new(&samples, &PLACES, &LABELS, 2, 1);
        let weights = |contrast| {
            let mut separation = Separation::new(&problem, 0);
            separation.fit(&PLACES, cost(contrast), 100);
            separation.into_weights()
        };
        let (plain, stretched) = (weights(0.0), weights(0.9));
        for weights in [&plain, &stretched] {
            assert!(weights[0] > 0.1 && weights[1] < -0.1, "{:?}", &weights[..4]);
        }
        let share = |weights: &[f32]| weights[3].abs() / (weights[0] - weights[1]);
        assert!(share(&stretched) < share(&plain), "{:?} against {:?}", &stretched[..4], &plain[..4]);
    }

    #[test]
    fn rows_that_are_held_back_leave_no_trace_in_what_is_stretched() {
        let samples = samples(&ROWS);
        let problem = Problem::new(&samples, &PLACES, &LABELS, 2, 1);
        let (held_back, others) = ([1, 5], [0, 2, 3, 4, 6, 7]);
        let mut with = Separation::new(&problem, 0);
        with.fit(&PLACES, cost(0.0), 100);
        with.fit(&PLACES, cost(0.5), 100);
        with.forget(&held_back);
        with.fit(&others, cost(0.5), 2_000);
        let mut without = Separation::new(&problem, 0);
        without.fit(&others, cost(0.5), 2_000);
        for row in PLACES {
            let (one, other) = (with.score(row), without.score(row));
            assert!((one - other).abs() < TOLERANCE, "row {row}: {one} and {other}");
        }
    }
}
