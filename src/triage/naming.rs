//! Pure: a model's labels under the names that the taxonomy has for them now. Labels that were merged count together,
//! and retired ones not at all.

use std::{borrow::Cow, cmp::Ordering, collections::HashMap};

use crate::{
    classify::{FieldScores, Ranked},
    domain::{
        decision::Abstention,
        taxonomy::{Names, Taxonomy},
    },
};

/// Why a best guess of a field with the first confidence is not to be used, where the next best has the second one.
pub(super) type Doubt<'a> = &'a dyn Fn(&str, f32, Option<f32>) -> Option<Abstention>;

/// What a model says, under the names of now. A field without any label that may be proposed is left out.
pub(super) fn rename<'a>(scores: &'a [FieldScores], taxonomy: &Taxonomy, doubt: Doubt) -> Cow<'a, [FieldScores]> {
    let is_same = |field: &FieldScores| {
        let names = taxonomy.names(&field.name);
        names.is_plain() || field.ranked.iter().all(|ranked| names.current(&ranked.label) == Some(&*ranked.label))
    };
    if scores.iter().all(is_same) {
        return Cow::Borrowed(scores);
    }
    let renamed = scores.iter().map(|field| {
        if is_same(field) { field.clone() } else { rename_field(field, taxonomy.names(&field.name), doubt) }
    });
    Cow::Owned(renamed.filter(|field| !field.ranked.is_empty()).collect())
}

fn rename_field(scores: &FieldScores, names: Names<'_>, doubt: Doubt) -> FieldScores {
    let FieldScores { name, ranked: learnt, abstention } = scores;
    let mut ranked: Vec<Ranked> = Vec::new();
    let mut places = HashMap::new();
    for Ranked { label, confidence } in learnt {
        let Some(current) = names.current(label) else { continue };
        if let Some(place) = places.get(current) {
            let known: &mut Ranked = &mut ranked[*place];
            known.confidence = (known.confidence + confidence).min(1.0);
        } else {
            places.insert(current, ranked.len());
            ranked.push(Ranked { label: current.into(), confidence: *confidence });
        }
    }
    // Stable: equal ones stay in the model's order.
    ranked.sort_by(|a, b| b.confidence.partial_cmp(&a.confidence).unwrap_or(Ordering::Equal));
    let abstention = match abstention {
        // About the text as a whole, whatever labels are called.
        Some(Abstention::TooShort | Abstention::UnsupportedLanguage | Abstention::OutOfScope) => *abstention,
        // What the model would have said may not be said: nobody stands by what is left.
        Some(Abstention::Ambiguous | Abstention::LowConfidence) | None => {
            let first = learnt.first().is_some_and(|first| names.current(&first.label).is_some());
            let doubt = ranked
                .first()
                .and_then(|best| doubt(name, best.confidence, ranked.get(1).map(|second| second.confidence)));
            if first { doubt } else { (*abstention).or(doubt).or(Some(Abstention::LowConfidence)) }
        }
    };
    FieldScores { name: name.clone(), ranked, abstention }
}

/// The label of the model that carries most of the value that `field` has now.
pub(super) fn behind<'a>(
    scores: &'a [FieldScores],
    taxonomy: &Taxonomy,
    field: &str,
    value: &str,
) -> Option<&'a Ranked> {
    let scores = scores.iter().find(|scores| &*scores.name == field)?;
    let names = taxonomy.names(field);
    scores.ranked.iter().find(|ranked| names.current(&ranked.label) == Some(value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::taxonomy::{Label, LearntLabels, TaxonomyChange};

    const LABELS: [&str; 4] = ["a", "b", "c", "d"];

    fn scores(confidences: [f32; 4], abstention: Option<Abstention>) -> Vec<FieldScores> {
        let mut ranked: Vec<_> = LABELS
            .into_iter()
            .zip(confidences)
            .map(|(label, confidence)| Ranked { label: label.into(), confidence })
            .collect();
        ranked.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
        vec![FieldScores { name: "topic".into(), ranked, abstention }]
    }

    fn after(changes: &[TaxonomyChange]) -> Taxonomy {
        let learnt: LearntLabels = [("topic".to_owned(), LABELS.map(str::to_owned).to_vec())].into();
        Taxonomy::default().changed(changes, &learnt).unwrap()
    }

    fn merge(into: &str, from: &str) -> TaxonomyChange {
        TaxonomyChange::Merge { field: "topic".into(), into: into.into(), from: vec![from.into()] }
    }

    fn retire(value: &str) -> TaxonomyChange {
        TaxonomyChange::Retire { field: "topic".into(), value: value.into() }
    }

    /// Less than .4 is little, and less than .1 apart is close.
    fn doubt(_: &str, first: f32, second: Option<f32>) -> Option<Abstention> {
        let is_close = second.is_some_and(|second| first - second < 0.1);
        if is_close { Some(Abstention::Ambiguous) } else { (first < 0.4).then_some(Abstention::LowConfidence) }
    }

    #[test]
    fn merged_labels_count_together_and_are_doubted_together() {
        let check = |changes: &[TaxonomyChange], confidences, abstention, expected: (&str, f32, Option<Abstention>)| {
            let (taxonomy, scores) = (after(changes), scores(confidences, abstention));
            let renamed = rename(&scores, &taxonomy, &doubt);
            let best = &renamed[0].ranked[0];
            let found = (&*best.label, (best.confidence * 100.0).round() / 100.0, renamed[0].abstention);
            assert_eq!(found, expected, "{changes:?} {confidences:?}");
        };
        let ambiguous = Some(Abstention::Ambiguous);
        check(&[merge("a", "b")], [0.5, 0.45, 0.05, 0.0], ambiguous, ("a", 0.95, None));
        check(&[merge("b", "c")], [0.4, 0.35, 0.2, 0.05], ambiguous, ("b", 0.55, None));
        check(&[merge("b", "c")], [0.5, 0.3, 0.18, 0.02], None, ("a", 0.5, ambiguous));
        let scope = Some(Abstention::OutOfScope);
        check(&[merge("a", "b")], [0.5, 0.45, 0.05, 0.0], scope, ("a", 0.95, scope));
        check(&[retire("a")], [0.5, 0.45, 0.05, 0.0], ambiguous, ("b", 0.45, ambiguous));
        check(&[retire("a")], [0.5, 0.45, 0.05, 0.0], None, ("b", 0.45, Some(Abstention::LowConfidence)));
        check(&[retire("d")], [0.5, 0.45, 0.05, 0.0], None, ("a", 0.5, ambiguous));
    }

    #[test]
    fn the_best_label_of_the_model_stands_behind_a_merged_one() {
        let (taxonomy, scores) = (after(&[merge("a", "c")]), scores([0.1, 0.3, 0.6, 0.0], None));
        let found = behind(&scores, &taxonomy, "topic", "a").unwrap();
        assert_eq!((&*found.label, found.confidence), ("c", 0.6));
        assert_eq!(behind(&scores, &taxonomy, "topic", "c"), None);
    }

    #[test]
    fn scores_stay_as_they_are_where_every_label_has_its_name() {
        let scores = scores([0.1, 0.3, 0.6, 0.0], None);
        for taxonomy in [Taxonomy::default(), Taxonomy::default().listed(&learnt())] {
            assert!(matches!(rename(&scores, &taxonomy, &doubt), Cow::Borrowed(_)));
        }
    }

    fn learnt() -> LearntLabels {
        [("topic".to_owned(), LABELS.map(str::to_owned).to_vec())].into()
    }

    proptest! {
        #[test]
        fn a_retired_label_is_never_proposed(
            confidences in prop::array::uniform4(0.0_f32..0.25),
            steps in prop::collection::vec((0_usize..4, 0_usize..4, prop::bool::ANY), 0..6),
        ) {
            let mut taxonomy = Taxonomy::default();
            for (one, other, retires) in steps {
                let change = if retires { retire(LABELS[one]) } else { merge(LABELS[one], LABELS[other]) };
                if let Ok(changed) = taxonomy.changed(&[change], &learnt()) {
                    taxonomy = changed;
                }
            }
            let scores = scores(confidences, None);
            let renamed = rename(&scores, &taxonomy, &doubt);
            for ranked in renamed.iter().flat_map(|field| &field.ranked) {
                prop_assert!(taxonomy.allows("topic", &ranked.label));
                let retired: Vec<&Label> = taxonomy.retired.values().flatten().collect();
                prop_assert!(retired.iter().all(|label| label.value != *ranked.label));
            }
            // What is not retired is all there, under one name or another.
            let kept: f32 = scores[0].ranked.iter()
                .filter(|ranked| taxonomy.current("topic", &ranked.label).is_some())
                .map(|ranked| ranked.confidence).sum();
            let found: f32 = renamed.iter().flat_map(|field| &field.ranked).map(|ranked| ranked.confidence).sum();
            prop_assert!((kept - found).abs() < 1e-4);
        }
    }
}
