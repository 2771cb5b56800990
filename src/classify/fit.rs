//! Fits linear heads: one separating plane a label, the label against the rest, by dual coordinate descent for
//! the squared hinge loss (Hsieh et al. 2008, A Dual Coordinate Descent Method for Large-scale Linear SVM,
//! as in LIBLINEAR). Deterministic: the order of visits comes from the seed, never from the threads.
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

/// Rows of one field with the number of their label; rows of no label are on the other side for all of them.
pub(crate) struct Members<'a> {
    pub(crate) rows: &'a [u32],
    /// Label of each of `rows`; `None` for rows out of scope.
    pub(crate) labels: &'a [Option<u32>],
}

/// Fits the planes of `labels` labels and hands each to `fitted` as it is done, on up to `threads` threads.
/// The results come back in the order of the labels.
pub(crate) fn fit_labels<T: Send>(
    samples: &Samples,
    members: &Members<'_>,
    labels: usize,
    options: &Options,
    fitted: impl Fn(Vec<f32>) -> T + Sync,
) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new((0..labels).map(|_| None).collect::<Vec<Option<T>>>());
    let squares: Vec<f32> = members.rows.iter().map(|&row| samples.square(row as usize)).collect();
    thread::scope(|scope| {
        for _ in 0..options.threads.clamp(1, labels.max(1)) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(label) = u32::try_from(number).ok().filter(|_| number < labels) else { break };
                    let positive: Vec<bool> = members.labels.iter().map(|own| *own == Some(label)).collect();
                    let plane = separate(samples, members.rows, &squares, &positive, labels, options);
                    let result = fitted(plane);
                    if let Ok(mut results) = results.lock() {
                        results[number] = Some(result);
                    }
                }
            });
        }
    });
    results.into_inner().map(|results| results.into_iter().flatten().collect()).unwrap_or_default()
}

/// How to fit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    pub(crate) cost: Cost,
    pub(crate) seed: u64,
    pub(crate) threads: usize,
    /// Times every row is visited, at most.
    pub(crate) max_passes: usize,
}

fn separate(
    samples: &Samples,
    rows: &[u32],
    squares: &[f32],
    positive: &[bool],
    labels: usize,
    options: &Options,
) -> Vec<f32> {
    let mut weights = vec![0.0_f32; samples.width()];
    let mut alpha = vec![0.0_f32; rows.len()];
    let positives = positive.iter().filter(|positive| **positive).count();
    let share = rows.len() as f32 / (labels.max(2) as f32 * positives.max(1) as f32);
    let diagonal = |positive: bool| {
        let cost = if positive { options.cost.base * share.powf(options.cost.balance) } else { options.cost.base };
        0.5 / cost
    };
    let (diagonal_positive, diagonal_negative) = (diagonal(true), diagonal(false));

    let mut random = Random(options.seed);
    let mut order: Vec<usize> = (0..rows.len()).collect();
    let mut active = order.len();
    let mut shrink_above = f32::INFINITY;
    for _ in 0..options.max_passes {
        random.shuffle(&mut order[..active]);
        let (mut largest, mut smallest) = (f32::NEG_INFINITY, f32::INFINITY);
        let mut at = 0;
        while at < active {
            let i = order[at];
            let row = rows[i] as usize;
            let (sign, diagonal) = if positive[i] { (1.0, diagonal_positive) } else { (-1.0, diagonal_negative) };
            let gradient = sign * samples.dot(row, &weights) - 1.0 + alpha[i] * diagonal;
            let mut projected = gradient;
            if alpha[i] == 0.0 {
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
                let old = alpha[i];
                alpha[i] = (old - gradient / (squares[i] + diagonal)).max(0.0);
                samples.add_to(row, (alpha[i] - old) * sign, &mut weights);
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
    weights
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

    fn shuffle(&mut self, items: &mut [usize]) {
        for last in (1..items.len()).rev() {
            #[expect(clippy::cast_possible_truncation, reason = "the remainder is below `last + 1`")]
            let other = (self.next() % (last as u64 + 1)) as usize;
            items.swap(last, other);
        }
    }
}
