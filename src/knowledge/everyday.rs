//! What people ask about when they ask about anything else: short questions of everyday life, as vectors. A question is held
//! against them to tell whether it is one for the knowledge base at all. Written for this project: `models/README.md`.

use std::sync::LazyLock;

use crate::encode::{MeasuredVector, TextVector};

static QUESTIONS: &str = include_str!("../../models/everyday/questions.txt");
/// Texts that are no tickets, from which the default model learns the same.
static NO_TICKETS: &str = include_str!("../../models/corpus/out_of_scope.jsonl");

/// So many of the nearest everyday questions are compared with.
const NEAREST: usize = 5;
/// Every so many of the questions is asked of a knowledge base.
const SAMPLED: usize = 3;

/// Everyday questions in memory.
pub(super) struct Everyday {
    questions: Vec<MeasuredVector>,
    /// Some of them, each with how near it is to the others.
    pub samples: Vec<Sample>,
}

pub(super) struct Sample {
    pub vector: MeasuredVector,
    pub nearness: f32,
}

pub(super) static EVERYDAY: LazyLock<Everyday> = LazyLock::new(Everyday::read);

impl Everyday {
    fn read() -> Self {
        let questions: Vec<MeasuredVector> =
            texts().map(|text| TextVector::of(&text)).map(MeasuredVector::from).collect();
        let sample = |place: usize| {
            let others = questions.iter().enumerate().filter(|(other, _)| *other != place);
            let nearness = nearness(others.map(|(_, other)| questions[place].cosine(other)));
            Sample { vector: questions[place].clone(), nearness }
        };
        let samples = (0..questions.len()).step_by(SAMPLED).map(sample).collect();
        Self { questions, samples }
    }

    /// How near a text is to the nearest everyday questions.
    pub(super) fn nearness(&self, vector: &MeasuredVector) -> f32 {
        nearness(self.questions.iter().map(|question| vector.cosine(question)))
    }
}

fn nearness(cosines: impl Iterator<Item = f32>) -> f32 {
    let mut nearest = Nearest::<NEAREST>::default();
    cosines.for_each(|cosine| nearest.add(cosine));
    nearest.mean(NEAREST)
}

fn texts() -> impl Iterator<Item = String> {
    let summary = |line: &str| {
        let row: serde_json::Value = serde_json::from_str(line).ok()?;
        Some(format!("{} {}", row["summary"].as_str()?, row["description"].as_str()?))
    };
    QUESTIONS.lines().map(str::to_owned).chain(NO_TICKETS.lines().filter_map(summary))
}

/// The largest of some cosines, largest first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Nearest<const N: usize>([f32; N]);

impl<const N: usize> Default for Nearest<N> {
    fn default() -> Self {
        Self([f32::NEG_INFINITY; N])
    }
}

impl<const N: usize> Nearest<N> {
    pub(super) fn add(&mut self, cosine: f32) {
        let mut cosine = cosine;
        for kept in &mut self.0 {
            if cosine > *kept {
                std::mem::swap(kept, &mut cosine);
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|cosine| !cosine.is_finite())
    }

    pub(super) fn add_all(&mut self, other: &Self) {
        other.0.iter().for_each(|cosine| self.add(*cosine));
    }

    /// Of the largest `count`, or of as many as there are; 0 without any.
    pub(super) fn mean(&self, count: usize) -> f32 {
        let kept = self.0.iter().take(count).filter(|cosine| cosine.is_finite());
        let (sum, number) = kept.fold((0.0, 0.0), |(sum, number): (f32, f32), cosine| (sum + cosine, number + 1.0));
        if number > 0.0 { sum / number } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_question_is_read_and_stands_there_once() {
        let mut all: Vec<String> = texts().collect();
        let count = all.len();
        assert_eq!(count, QUESTIONS.lines().count() + NO_TICKETS.lines().count());
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
        assert!(all.iter().all(|text| text.trim().len() > 3));
    }

    #[test]
    fn a_recipe_is_nearer_to_everyday_life_than_a_printer() {
        let nearness = |text: &str| EVERYDAY.nearness(&TextVector::of(text).into());
        let (recipe, printer) = (nearness("how long do I bake a potato"), nearness("the printer has a paper jam"));
        assert!(recipe > printer + 0.1, "{recipe} {printer}");
    }

    #[test]
    fn the_largest_count() {
        let mut nearest = Nearest::<3>::default();
        assert!(nearest.mean(3).abs() < f32::EPSILON);
        for cosine in [0.1, 0.5] {
            nearest.add(cosine);
        }
        assert!((nearest.mean(3) - 0.3).abs() < 1e-6);
        for cosine in [0.3, -1.0, 0.7] {
            nearest.add(cosine);
        }
        assert!((nearest.mean(3) - 0.5).abs() < 1e-6 && (nearest.mean(1) - 0.7).abs() < 1e-6);
    }
}
