//! Whether a question is about what the knowledge base is about: how near it is to its nearest articles, less how near it is
//! to what people ask of everyday life. From where on it counts is each base's own: everyday questions are asked of it, and
//! half of them lie below the middle of what that gives. It says nothing of whether an article answers.

use super::{
    everyday::{EVERYDAY, Nearest},
    snapshot::Snapshot,
};
use crate::encode::{MeasuredVector, TextVector};

/// The most articles that a question is held against; a small base has fewer that are like each other.
pub(super) const NEAREST: usize = 5;
const ARTICLES_A_NEIGHBOUR: u64 = 100;
/// How far above the middle of everyday questions it begins. Chosen on three public knowledge bases such that of two sets of
/// foreign questions less than 5 % lie above it.
const MARGIN: f32 = 0.28;
/// What it counts that all of an article's title stands in the question.
const TITLE: f32 = 0.1;
/// How sharply likelihood turns there.
const STEEPNESS: f32 = 25.0;

/// The likelihood, 0 to 1, that a question with this vector is about what the articles in force on `today` are about; from
/// a half on it is taken to be. `title` is the largest part of a title, 0 to 1, that stands in it.
pub(super) fn likelihood(snapshot: &Snapshot, vector: &TextVector, title: f32, today: u64) -> f32 {
    let vector = MeasuredVector::from(vector.clone());
    let mut nearest = Nearest::<NEAREST>::default();
    for (number, segment) in snapshot.segments.iter().enumerate() {
        for (document, other) in (0_u32..).zip(&segment.columns.vectors) {
            if snapshot.is_alive(number, document) && segment.suggested_until.get_val(document) >= today {
                nearest.add(vector.cosine(other));
            }
        }
    }
    if nearest.is_empty() {
        // Nothing is known of a base without articles.
        return 1.0;
    }
    let nearness = nearest.mean(neighbours(snapshot)) - EVERYDAY.nearness(&vector);
    let above = nearness + TITLE * title - middle_of_everyday(snapshot) - MARGIN;
    1.0 / (1.0 + (-STEEPNESS * above).exp())
}

fn neighbours(snapshot: &Snapshot) -> usize {
    let articles = snapshot.searcher.num_docs() / ARTICLES_A_NEIGHBOUR;
    usize::try_from(articles).unwrap_or(NEAREST).clamp(1, NEAREST)
}

/// The median of the everyday questions, each left out of what it is compared with. Reckoned when it is first asked for; what
/// a segment has to do with it is taken over with the segment.
fn middle_of_everyday(snapshot: &Snapshot) -> f32 {
    *snapshot.middle_of_everyday.get_or_init(|| {
        let neighbours = neighbours(snapshot);
        let mut of_samples = vec![Nearest::<NEAREST>::default(); EVERYDAY.samples.len()];
        for segment in &snapshot.segments {
            let of_segment = segment.columns.everyday.get_or_init(|| nearest_in(&segment.columns.vectors));
            of_samples.iter_mut().zip(of_segment).for_each(|(nearest, more)| nearest.add_all(more));
        }
        let samples = of_samples.iter().zip(&EVERYDAY.samples);
        let mut scores: Vec<f32> =
            samples.map(|(nearest, sample)| nearest.mean(neighbours) - sample.nearness).collect();
        scores.sort_by(f32::total_cmp);
        scores[scores.len() / 2]
    })
}

/// By everyday question, the nearest of these articles.
fn nearest_in(vectors: &[MeasuredVector]) -> Vec<Nearest<NEAREST>> {
    let of_sample = |vector: &MeasuredVector| {
        let mut nearest = Nearest::default();
        for other in vectors {
            nearest.add(vector.cosine(other));
        }
        nearest
    };
    EVERYDAY.samples.iter().map(|sample| of_sample(&sample.vector)).collect()
}
