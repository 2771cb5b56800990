//! Pure: what the model makes of a field and what confirmed tickets like it say, in one. The nearest tickets vote with
//! their similarity; how much they count beside the model depends on how like and how much of one mind they are, how
//! sure the model is, and what feedback has taught. What somebody corrected on nearly the same text stands above that.
//! Labels that the model never learnt are weighed by how like the text is to what has them.

use std::collections::BTreeMap;

use crate::{
    classify::{FieldScores, Ranked},
    domain::{decision::FieldWitness, feedback::Hindsight},
    feedback::Standing,
    memory::Witness,
};

/// What the similarity of the nearest ticket, the part of the first label in the votes, and the model's confidence say
/// for or against the confirmed tickets, as parts of a logit. Fitted on streams of real tickets and on held-back rows
/// of models that learnt much and little.
const OF_SIMILARITY: f32 = 1.65;
const OF_AGREEMENT: f32 = 1.75;
const OF_CONFIDENCE: f32 = -3.45;
/// Votes cast for nobody: a few distant tickets do not decide.
const PRIOR_VOTES: f32 = 0.3;
/// From about this similarity on a correction is taken to be about the same thing, and how sharply.
const SAME_THING: f32 = 0.72;
const SAME_THING_STEEPNESS: f32 = 14.0;
/// Among those that are about the same thing only the most alike speak: a power of their similarity.
const SAME_THING_POWER: i32 = 8;
/// A correction was looked at: it counts more than a label that came with a ticket.
const CORRECTION_VOTES: f32 = 2.0;
/// For a label that the model does not know, as parts of a logit, rounded from a fit to labels of public sets that were left
/// out of a training, such that the others lose less than a point: how like the text is to what has the label, and to
/// the labels that the model knows taken together, the model's own confidence, the logarithm of how many have it, and
/// what is left.
const OF_NEW_LIKENESS: f32 = 20.0;
const OF_LEARNT_LIKENESS: f32 = -19.0;
const OF_BEST_LOGIT: f32 = -0.65;
const OF_COUNT: f32 = -0.49;
const NEW_LABEL: f32 = 0.6;
/// How like a text is to what the model learnt, where it does not tell: the more, the surer it is.
const USUAL_LIKENESS: f32 = 0.35;
const LIKENESS_OF_SURE: f32 = 0.2;
/// From this weight on the memory is named as the source.
const LEADS: f32 = 0.5;
/// Shown as reasons.
const MAX_WITNESSES: usize = 3;
/// Less alike is no reason.
const WORTH_SHOWING: f32 = 0.1;

/// Labels that may be proposed though the model does not know them.
pub(super) struct NewLabel<'a> {
    pub label: &'a str,
    /// How like the text is to what has the label, -1 to 1.
    pub likeness: f32,
    /// How many tickets and examples have it.
    pub count: u32,
}

/// A field as model and memory see it together.
pub(super) struct Blended {
    /// `None` where nothing changed.
    pub ranked: Option<Vec<Ranked>>,
    /// The first label is there because of the memory more than of the model.
    pub memory_leads: bool,
    pub witnesses: Vec<FieldWitness>,
}

/// The votes on one field.
struct Poll<'a> {
    /// By label.
    votes: BTreeMap<&'a str, Vote>,
    total: f32,
    nearest: f32,
    /// The most alike of those that were corrected, already weighed by how reliable their source is.
    same_thing: f32,
}

#[derive(Clone, Copy, Default)]
struct Vote {
    weight: f32,
    sharp: f32,
}

/// What `field` is by the model's scores, what the witnesses say, and labels that the model does not know. `current`
/// gives the name that a label has now, and none for one that may not be proposed.
pub(super) fn blend<'a>(
    scores: &FieldScores,
    witnesses: &'a [Witness<'a>],
    new_labels: &[NewLabel<'_>],
    learnt_likeness: Option<f32>,
    standing: &Standing,
    current: &dyn Fn(&'a str) -> Option<&'a str>,
) -> Blended {
    let field = &*scores.name;
    let poll = Poll::of(field, witnesses, standing, current);
    let model_best = scores.ranked.first().map_or(0.0, |best| best.confidence);
    let (weight, same_thing) = match poll.total {
        total if total > 0.0 => {
            (poll.hindsight(model_best, 0.0, 0.0).memory_weight(standing.lean(field)), poll.same_thing)
        }
        _ => (0.0, 0.0),
    };
    let is_unlearnt = scores.ranked.is_empty();
    // Of a field that the model does not have, every label stands against none of them.
    let rival = if is_unlearnt { 0.5 } else { model_best };
    let learnt_likeness = learnt_likeness.unwrap_or(USUAL_LIKENESS + LIKENESS_OF_SURE * rival);
    let new = new_labels.iter().map(|new| (new.label, odds_of_new(new, learnt_likeness, rival))).collect::<Vec<_>>();
    let shown = shown(field, witnesses, current);
    if weight == 0.0 && same_thing == 0.0 && new.is_empty() {
        return Blended { ranked: None, memory_leads: false, witnesses: shown };
    }
    let unlearnt: f32 = new.iter().map(|(_, odds)| odds).sum();
    let mut shares: BTreeMap<&str, f32> = BTreeMap::new();
    let by_model = |label: &str| scores.ranked.iter().find(|ranked| *ranked.label == *label);
    for ranked in &scores.ranked {
        *shares.entry(&ranked.label).or_default() += ranked.confidence / (1.0 + unlearnt);
    }
    for (label, odds) in &new {
        *shares.entry(label).or_default() += odds / (1.0 + unlearnt);
    }
    let sharp_total: f32 = poll.votes.values().map(|vote| vote.sharp).sum();
    for share in shares.values_mut() {
        *share *= (1.0 - weight) * (1.0 - same_thing);
    }
    for (label, vote) in &poll.votes {
        let said = (1.0 - same_thing) * weight * vote.weight / poll.total
            + same_thing * vote.sharp / sharp_total.max(f32::MIN_POSITIVE);
        *shares.entry(label).or_default() += said;
    }
    let mut ranked: Vec<Ranked> = shares
        .into_iter()
        .map(|(label, confidence)| match by_model(label) {
            Some(known) => Ranked { confidence, ..known.clone() },
            None => Ranked { label: label.into(), confidence },
        })
        .collect();
    ranked.sort_by(|a, b| b.confidence.total_cmp(&a.confidence).then_with(|| a.label.cmp(&b.label)));
    let memory_leads = ranked.first().is_some_and(|first| {
        let of_model = by_model(&first.label).map_or(0.0, |known| known.confidence) / (1.0 + unlearnt);
        let of_model = of_model * (1.0 - weight) * (1.0 - same_thing);
        first.confidence > 0.0 && of_model / first.confidence < LEADS
    });
    Blended { ranked: Some(ranked), memory_leads, witnesses: shown }
}

/// How the model and the confirmed tickets saw the value that turned out to be right; `None` where no ticket spoke.
pub(super) fn hindsight(
    scores: &FieldScores,
    witnesses: &[Witness<'_>],
    standing: &Standing,
    right: &str,
) -> Hindsight {
    let poll = Poll::of(&scores.name, witnesses, standing, &|label| Some(label));
    let model_share =
        scores.ranked.iter().find(|ranked| *ranked.label == *right).map_or(0.0, |ranked| ranked.confidence);
    let model_best = scores.ranked.first().map_or(0.0, |best| best.confidence);
    let memory_share = poll.votes.get(right).map_or(0.0, |vote| vote.weight / poll.total);
    poll.hindsight(model_best, model_share, memory_share)
}

impl<'a> Poll<'a> {
    fn of(
        field: &str,
        witnesses: &'a [Witness<'a>],
        standing: &Standing,
        current: &dyn Fn(&'a str) -> Option<&'a str>,
    ) -> Self {
        let mut poll = Self { votes: BTreeMap::new(), total: 0.0, nearest: 0.0, same_thing: 0.0 };
        for witness in witnesses {
            for said in witness.labels.iter().filter(|said| said.field == field) {
                let Some(label) = current(said.label) else { continue };
                let reliability = if said.source.is_empty() { 1.0 } else { standing.reliability(said.source) };
                let times = if said.corrected { CORRECTION_VOTES } else { 1.0 } * reliability;
                let weight = witness.similarity * witness.similarity * times;
                let vote = poll.votes.entry(label).or_default();
                vote.weight += weight;
                vote.sharp += witness.similarity.powi(SAME_THING_POWER) * times;
                poll.total += weight;
                poll.nearest = poll.nearest.max(witness.similarity);
                if said.corrected {
                    let same = logistic(SAME_THING_STEEPNESS * (witness.similarity - SAME_THING)) * reliability;
                    poll.same_thing = poll.same_thing.max(same);
                }
            }
        }
        poll
    }

    fn hindsight(&self, model_best: f32, model_share: f32, memory_share: f32) -> Hindsight {
        let first = self.votes.values().map(|vote| vote.weight).fold(0.0, f32::max);
        let agreement = first / self.total.max(f32::MIN_POSITIVE);
        Hindsight {
            model_share,
            memory_share,
            lean: OF_SIMILARITY * self.nearest + OF_AGREEMENT * agreement + OF_CONFIDENCE * model_best,
            support: self.total / (self.total + PRIOR_VOTES),
        }
    }
}

/// The odds of a label that the model does not know against all that it knows.
fn odds_of_new(new: &NewLabel<'_>, learnt_likeness: f32, model_best: f32) -> f32 {
    let best = model_best.clamp(0.001, 0.999);
    #[expect(clippy::cast_precision_loss, reason = "only its logarithm counts")]
    let count = new.count.max(1) as f32;
    let logit = NEW_LABEL
        + OF_NEW_LIKENESS * new.likeness
        + OF_LEARNT_LIKENESS * learnt_likeness
        + OF_BEST_LOGIT * (best / (1.0 - best)).ln()
        + OF_COUNT * count.ln();
    logit.clamp(-20.0, 20.0).exp()
}

fn logistic(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}

fn shown<'a>(
    field: &str,
    witnesses: &'a [Witness<'a>],
    current: &dyn Fn(&'a str) -> Option<&'a str>,
) -> Vec<FieldWitness> {
    let alike = witnesses.iter().filter(|witness| witness.similarity >= WORTH_SHOWING);
    let of_field = alike.filter_map(|witness| {
        let said = witness.labels.iter().find(|said| said.field == field)?;
        let value = current(said.label)?.to_owned();
        let Witness { id, similarity, .. } = witness;
        Some(FieldWitness { ticket_id: (*id).to_owned(), similarity: *similarity, value, corrected: said.corrected })
    });
    of_field.take(MAX_WITNESSES).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Said;

    fn scores(ranked: &[(&str, f32)]) -> FieldScores {
        let ranked =
            ranked.iter().map(|(label, confidence)| Ranked { label: (*label).into(), confidence: *confidence });
        FieldScores { name: "category".into(), ranked: ranked.collect(), abstention: None }
    }

    fn witness<'a>(similarity: f32, label: &'a str, corrected_by: Option<&'a str>) -> Witness<'a> {
        let (source, corrected) = (corrected_by.unwrap_or_default(), corrected_by.is_some());
        Witness { id: "INC1", similarity, labels: vec![Said { field: "category", label, source, corrected }] }
    }

    fn best(scores: &FieldScores, witnesses: &[Witness<'_>]) -> (String, f32, bool) {
        let blended = blend(scores, witnesses, &[], None, &Standing::default(), &|label| Some(label));
        let ranked = blended.ranked.unwrap_or_else(|| scores.ranked.clone());
        let sum: f32 = ranked.iter().map(|ranked| ranked.confidence).sum();
        assert!((sum - 1.0).abs() < 1e-4, "{sum}");
        (ranked[0].label.to_string(), ranked[0].confidence, blended.memory_leads)
    }

    #[test]
    fn a_correction_of_nearly_the_same_text_stands_above_the_model() {
        let sure = scores(&[("a", 0.98), ("b", 0.02)]);
        let check = |witnesses: &[Witness<'_>], expected: (&str, bool)| {
            let (label, confidence, memory_leads) = best(&sure, witnesses);
            assert_eq!((label.as_str(), memory_leads), expected, "{confidence}");
        };
        check(&[], ("a", false));
        check(&[witness(0.95, "b", Some("ann"))], ("b", true));
        check(&[witness(0.8, "b", Some("ann"))], ("b", true));
        check(&[witness(0.55, "b", Some("ann"))], ("a", false));
        check(&[witness(0.3, "b", Some("ann"))], ("a", false));
        // A label that the model never learnt.
        check(&[witness(0.95, "c", Some("ann"))], ("c", true));
        // Others who say the model is right on the same text.
        let others = (0..4).map(|_| witness(0.95, "a", None));
        check(&others.chain([witness(0.95, "b", Some("ann"))]).collect::<Vec<_>>(), ("a", true));
    }

    #[test]
    fn one_distant_ticket_decides_nothing_and_many_that_agree_do() {
        let unsure = scores(&[("a", 0.35), ("b", 0.3), ("c", 0.35)]);
        assert_eq!(best(&unsure, &[witness(0.15, "b", None)]).0, "a");
        let many: Vec<_> = (0..20).map(|_| witness(0.5, "b", None)).collect();
        assert_eq!(best(&unsure, &many).0, "b");
    }

    #[test]
    fn a_new_label_is_proposed_where_the_text_is_like_what_has_it() {
        let check = |likeness, learnt_likeness, expected: &str| {
            let unsure = scores(&[("a", 0.5), ("b", 0.5)]);
            let new = [NewLabel { label: "new", likeness, count: 8 }];
            let blended = blend(&unsure, &[], &new, learnt_likeness, &Standing::default(), &|label| Some(label));
            assert_eq!(&*blended.ranked.unwrap()[0].label, expected, "{likeness} {learnt_likeness:?}");
        };
        check(0.75, Some(0.6), "new");
        check(0.75, None, "new");
        check(0.3, Some(0.6), "a");
        check(0.3, None, "a");
    }

    #[test]
    fn labels_that_may_not_be_proposed_have_no_vote() {
        let sure = scores(&[("a", 0.98), ("b", 0.02)]);
        let witnesses = [witness(1.0, "gone", Some("ann"))];
        let blended =
            blend(&sure, &witnesses, &[], None, &Standing::default(), &|label| (label != "gone").then_some(label));
        assert!(blended.ranked.is_none() && blended.witnesses.is_empty());
    }
}
