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

use super::samples::Samples;

/// The solver stops when no gradient violates optimality by more.
const TOLERANCE: f32 = 0.03;

/// What a wrong side costs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Cost {
    pub(crate) base: f32,
    /// 0: every row counts the same; 1: every label counts the same.
    pub(crate) balance: f32,
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
        Self { samples, rows, labels, label_count, seed, squares }
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
        }
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
                let scale = -self.sign(place) * self.alpha[place];
                self.problem.samples.add_to(self.problem.rows[place] as usize, scale, &mut self.weights);
                self.alpha[place] = 0.0;
            }
        }
    }

    /// Fits to the rows at these places of the problem, visiting each at most `max_passes` times.
    pub(crate) fn fit(&mut self, places: &[u32], cost: Cost, max_passes: usize) {
        let negative = 0.5 / cost.base;
        let positive = negative / self.rarity.powf(cost.balance);
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
                    self.alpha[place] = (old - gradient / (self.problem.squares[place] + diagonal)).max(0.0);
                    let change = (self.alpha[place] - old) * sign;
                    self.problem.samples.add_to(row, change, &mut self.weights);
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

    /// On which side the row at this place belongs.
    fn sign(&self, place: usize) -> f32 {
        if self.problem.labels[place] == Some(self.label) { 1.0 } else { -1.0 }
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
