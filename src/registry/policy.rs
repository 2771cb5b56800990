//! When the server trains by itself, and when what it trained takes over. The desk writes the policy; this holds figures
//! against it and says what came of it in sentences.

use super::{Basis, Comparison, FieldComparison, compare::MIN_UNSEEN_TICKETS, share};
use crate::domain::model::LearningPolicy;

/// Labels of fewer tickets may fall: of so few a fall tells nothing.
const MIN_LABEL_TICKETS: u64 = 20;

/// Whether a model is to be trained: so many tickets are new since the last one was, of so many that there are.
pub(super) fn is_due(policy: &LearningPolicy, new_tickets: u64, tickets: u64) -> bool {
    policy.retrain && new_tickets >= policy.retrain_after && tickets >= policy.min_rows
}

/// What a policy comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Judged {
    /// The second of the two models may take over from the first.
    pub is_met: bool,
    /// The figures, and what stands against it.
    pub reasons: Vec<String>,
}

/// Whether the second of two models may take over: one field at least is better by the margin and not by chance, none is
/// worse by it, and no label falls by more than it may.
pub(super) fn judge(policy: &LearningPolicy, comparison: &Comparison) -> Judged {
    let Comparison { basis, tickets, fields, only_in_first, .. } = comparison;
    let mut reasons: Vec<String> = fields.iter().map(figures).collect();
    let mut against = Vec::new();
    if *basis != Basis::Unseen || *tickets < MIN_UNSEEN_TICKETS {
        against.push(format!(
            "fewer than {MIN_UNSEEN_TICKETS} confirmed tickets are new to both models: nothing can be told from others"
        ));
    }
    if !only_in_first.is_empty() {
        against.push(format!("it has not learnt {}, which the active model knows", only_in_first.join(", ")));
    }
    let is_better = |field: &&FieldComparison| {
        gain(field) >= policy.promote_margin && gain(field) > 0.0 && field.p_value <= policy.promote_p
    };
    if fields.iter().find(is_better).is_none() {
        against.push(format!(
            "no field is better by {} with a chance of at most {}",
            points(policy.promote_margin),
            policy.promote_p
        ));
    }
    for field in fields {
        if gain(field) < -policy.promote_margin {
            against.push(format!("{} is worse by {}", field.field, points(-gain(field))));
        }
        for label in field.labels.iter().filter(|label| label.tickets >= MIN_LABEL_TICKETS) {
            let (before, after) = (label.first.recall(label.tickets), label.second.recall(label.tickets));
            let fall = before.unwrap_or(0.0) - after.unwrap_or(0.0);
            if fall > policy.max_class_fall {
                against.push(format!(
                    "{} `{}` is found for {} of its {} tickets instead of {}, a fall of more than {}",
                    field.field,
                    label.label,
                    percent(after),
                    label.tickets,
                    percent(before),
                    points(policy.max_class_fall)
                ));
            }
        }
    }
    let is_met = against.is_empty();
    reasons.extend(against);
    Judged { is_met, reasons }
}

/// What the second is more accurate by.
fn gain(field: &FieldComparison) -> f64 {
    let tickets = field.counts.tickets();
    let accuracy = |right| share(right, tickets).unwrap_or(0.0);
    accuracy(field.counts.second_right()) - accuracy(field.counts.first_right())
}

fn figures(field: &FieldComparison) -> String {
    let tickets = field.counts.tickets();
    format!(
        "{}: {} right instead of {} on {tickets} tickets, chance {:.4}",
        field.field,
        percent(share(field.counts.second_right(), tickets)),
        percent(share(field.counts.first_right(), tickets)),
        field.p_value
    )
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "none".to_owned(), |share| format!("{:.1} %", share * 100.0))
}

fn points(share: f64) -> String {
    format!("{:.1} points", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::model::PairCounts,
        registry::{LabelComparison, LabelCounts, p_value},
    };

    fn policy() -> LearningPolicy {
        LearningPolicy {
            retrain: true,
            retrain_after: 1_000,
            min_rows: 200,
            promote: true,
            promote_margin: 0.01,
            max_class_fall: 0.05,
            promote_p: 0.05,
        }
    }

    fn field(name: &str, only_first: u64, only_second: u64, labels: &[(&str, u64, u64, u64)]) -> FieldComparison {
        let counts = PairCounts {
            both_right: 300,
            only_first_right: only_first,
            only_second_right: only_second,
            both_wrong: 100 - only_first - only_second,
        };
        let of = |right| LabelCounts { guessed: right, right };
        let label = |(label, tickets, first, second): &(&str, u64, u64, u64)| LabelComparison {
            label: (*label).to_owned(),
            tickets: *tickets,
            first: of(*first),
            second: of(*second),
        };
        FieldComparison {
            field: name.to_owned(),
            counts,
            p_value: p_value(only_first, only_second),
            labels: labels.iter().map(label).collect(),
            changes: Vec::new(),
            other_changes: 0,
        }
    }

    fn compared(fields: Vec<FieldComparison>) -> Comparison {
        Comparison {
            first: "a".into(),
            second: "b".into(),
            basis: Basis::Unseen,
            tickets: 400,
            left_out: 0,
            fields,
            only_in_first: Vec::new(),
            only_in_second: Vec::new(),
            shadow_scores: std::collections::BTreeMap::new(),
        }
    }

    #[test]
    fn a_model_takes_over_only_where_the_policy_is_met() {
        let better = || field("topic", 5, 25, &[("x", 100, 90, 95)]);
        let few = || field("topic", 5, 25, &[("x", 19, 19, 0), ("y", 100, 90, 86)]);
        let lacking = Comparison { only_in_first: vec!["type".into()], ..compared(vec![better()]) };
        let learnt = Comparison { basis: Basis::MayBeLearnt, ..compared(vec![better()]) };
        for (comparison, against) in [
            (compared(vec![better()]), None),
            (compared(vec![better(), field("type", 3, 3, &[])]), None),
            (compared(vec![few()]), None),
            (compared(vec![]), Some("no field is better by 1.0 points")),
            (compared(vec![field("topic", 3, 3, &[])]), Some("no field is better")),
            // By the margin, and it may be chance; not by chance, and by too little.
            (compared(vec![field("topic", 10, 16, &[])]), Some("with a chance of at most 0.05")),
            (compared(vec![field("topic", 25, 5, &[])]), Some("topic is worse by 5.0 points")),
            (compared(vec![better(), field("type", 10, 4, &[])]), Some("type is worse by 1.5 points")),
            (
                compared(vec![field("topic", 5, 25, &[("x", 20, 20, 18)])]),
                Some("topic `x` is found for 90.0 % of its 20 tickets instead of 100.0 %"),
            ),
            (lacking, Some("has not learnt type")),
            (learnt, Some("fewer than 50 confirmed tickets are new to both")),
            (Comparison { tickets: 49, ..compared(vec![better()]) }, Some("fewer than 50")),
        ] {
            let Judged { is_met, reasons } = judge(&policy(), &comparison);
            assert_eq!(is_met, against.is_none(), "{reasons:?}");
            assert_eq!(reasons.len() > comparison.fields.len(), !is_met, "{reasons:?}");
            assert!(against.is_none_or(|part| reasons.iter().any(|reason| reason.contains(part))), "{reasons:?}");
        }
        let strict = LearningPolicy { promote_margin: 0.06, ..policy() };
        assert!(!judge(&strict, &compared(vec![better()])).is_met);
        let reasons = judge(&policy(), &compared(vec![better()])).reasons;
        assert_eq!(reasons, ["topic: 81.2 % right instead of 76.2 % on 400 tickets, chance 0.0002"]);
    }

    #[test]
    fn a_training_is_due_behind_enough_new_tickets_of_enough() {
        let off = LearningPolicy { retrain: false, ..policy() };
        for (policy, new_tickets, tickets, expected) in [
            (&policy(), 1_000, 5_000, true),
            (&policy(), 999, 5_000, false),
            (&LearningPolicy { retrain_after: 10, ..policy() }, 199, 199, false),
            (&off, 9_999, 9_999, false),
        ] {
            assert_eq!(is_due(policy, new_tickets, tickets), expected, "{new_tickets} {tickets}");
        }
    }
}
