//! Pure: scores, taxonomy and form in, proposals out. The form's values are kept; priority is never guessed.

use std::cmp::Ordering;

use super::route::{self, Certifies};
use crate::{
    classify::FieldScores,
    domain::{
        decision::{Candidate, FieldDecision, PriorityDecision, ValueSource},
        priority::{Impact, Priority, Urgency},
        route::{Route, RouteSetting},
        taxonomy::{ASSIGNMENT_GROUP, CATEGORY, IMPACT, ImpactSource, ImpactSourceKind, PRIORITY, Taxonomy, URGENCY},
        ticket::Ticket,
    },
};

/// The proposal for every field that is not off, assignment group included. `scores` are those of labels that the
/// taxonomy allows, under the names of now (see [`super::naming`]); so are form values that have an older name.
/// `candidates` holds all of them; evidence is added later.
pub(super) fn decide(
    scores: &[FieldScores],
    taxonomy: &Taxonomy,
    ticket: &Ticket,
    certifies: Certifies,
) -> Vec<FieldDecision> {
    let mut decisions: Vec<FieldDecision> = Vec::new();
    for FieldScores { name, ranked, abstention } in scores {
        let candidates: Vec<_> = ranked
            .iter()
            .map(|ranked| Candidate { value: ranked.label.to_string(), confidence: ranked.confidence })
            .collect();
        let Some(best) = candidates.first() else { continue };
        decisions.push(FieldDecision {
            field: name.to_string(),
            value: best.value.clone(),
            source: ValueSource::Model,
            confidence: best.confidence,
            abstention: *abstention,
            candidates,
            evidence: Vec::new(),
            witnesses: Vec::new(),
            is_demoted: false,
            disagreement: false,
            route: Route::default(),
        });
    }
    for decision in &mut decisions {
        keep_form_value(decision, taxonomy, ticket);
        if decision.field == IMPACT {
            raise_impact(decision, taxonomy, ticket);
        }
    }
    forget_guesses_that_are_off(&mut decisions, taxonomy);
    if decisions.iter().all(|decision| decision.field != ASSIGNMENT_GROUP) {
        let category = decisions.iter().find(|decision| decision.field == CATEGORY);
        if let Some(mut group) = category.map(|category| group_of(category, taxonomy)) {
            keep_form_value(&mut group, taxonomy, ticket);
            decisions.push(group);
        }
    }
    with_routes(decisions, taxonomy, certifies)
}

/// Nothing may follow from a guess of a field that is off; what the form holds for it goes on counting.
fn forget_guesses_that_are_off(decisions: &mut Vec<FieldDecision>, taxonomy: &Taxonomy) {
    let is_off = |decision: &FieldDecision| taxonomy.route(&decision.field) == RouteSetting::Off;
    decisions.retain(|decision| decision.source == ValueSource::Form || !is_off(decision));
    for decision in decisions.iter_mut().filter(|decision| is_off(decision)) {
        decision.candidates.clear();
    }
}

/// Every field with its route, without those that are off.
fn with_routes(decisions: Vec<FieldDecision>, taxonomy: &Taxonomy, certifies: Certifies) -> Vec<FieldDecision> {
    let category = decisions.iter().find(|decision| decision.field == CATEGORY);
    let routes: Vec<_> =
        decisions.iter().map(|decision| route::of_field(decision, category, taxonomy, certifies)).collect();
    let routed = decisions.into_iter().zip(routes);
    routed.filter_map(|(decision, route)| Some(FieldDecision { route: route?, ..decision })).collect()
}

/// The matrix applied to the impact and urgency in force; `None` where either is unknown.
pub(super) fn prioritise(fields: &[FieldDecision], taxonomy: &Taxonomy, ticket: &Ticket) -> Option<PriorityDecision> {
    let in_force = |name: &str| {
        let decided = fields.iter().find(|decision| decision.field == name).map(|decision| decision.value.as_str());
        decided.or_else(|| ticket.field_value(name))
    };
    let (impact, urgency) = (Impact::parse(in_force(IMPACT)?)?, Urgency::parse(in_force(URGENCY)?)?);
    let priority = taxonomy.matrix.priority(impact, urgency);
    let form = ticket.field_value(PRIORITY).and_then(Priority::parse);
    Some(PriorityDecision {
        priority,
        impact,
        urgency,
        disagreement: form.is_some_and(|form| form != priority),
        sla: Some(taxonomy.sla.of(priority)),
        route: route::of_priority(fields, taxonomy),
    })
}

/// The form's value is kept, whatever the model thinks of it; one that is called otherwise now, under its new name.
fn keep_form_value(decision: &mut FieldDecision, taxonomy: &Taxonomy, ticket: &Ticket) {
    let Some(form) = ticket.field_value(&decision.field) else { return };
    let names = taxonomy.names(&decision.field);
    let form = names.renamed(form);
    decision.disagreement = decision.value != form && decision.abstention.is_none();
    let known = decision.candidates.iter().find(|candidate| candidate.value == form);
    decision.confidence = known.map_or(0.0, |candidate| candidate.confidence);
    form.clone_into(&mut decision.value);
    decision.source = ValueSource::Form;
    // What the form holds was decided by a person.
    decision.abstention = None;
}

/// The table raises what the model found and never lowers it; the form stands above both. Nothing is graver than
/// high: there the table decides alone.
fn raise_impact(decision: &mut FieldDecision, taxonomy: &Taxonomy, ticket: &Ticket) {
    let Some(source) =
        taxonomy.impact_sources.iter().filter(|source| concerns(source, ticket)).min_by_key(|source| source.impact)
    else {
        return;
    };
    let graver = Impact::parse(&decision.value).is_none_or(|found| source.impact < found);
    if decision.source == ValueSource::Form {
        decision.disagreement |= graver;
        return;
    }
    if !graver && source.impact != Impact::High {
        return;
    }
    source.impact.as_str().clone_into(&mut decision.value);
    decision.confidence = 1.0;
    decision.abstention = None;
    decision.source = ValueSource::ImpactTable(format!("{} {}", source.kind.as_str(), source.name));
}

fn concerns(source: &ImpactSource, ticket: &Ticket) -> bool {
    let named = match source.kind {
        ImpactSourceKind::Service => ticket.service(),
        ImpactSourceKind::ConfigurationItem => ticket.configuration_item(),
        ImpactSourceKind::Requester => ticket.requester(),
    };
    named.trim().to_lowercase() == source.name.to_lowercase()
}

/// The group that the desk gave the category; as sure as all categories of that group together.
fn group_of(category: &FieldDecision, taxonomy: &Taxonomy) -> FieldDecision {
    let mut candidates: Vec<Candidate> = Vec::new();
    for candidate in &category.candidates {
        let group = taxonomy.group(&candidate.value);
        match candidates.iter_mut().find(|known| known.value == group) {
            Some(known) => known.confidence = (known.confidence + candidate.confidence).min(1.0),
            None => candidates.push(Candidate { value: group.to_owned(), confidence: candidate.confidence }),
        }
    }
    let value = taxonomy.group(&category.value).to_owned();
    let confidence = if category.source == ValueSource::Form {
        1.0
    } else {
        candidates.iter().find(|candidate| candidate.value == value).map_or(0.0, |candidate| candidate.confidence)
    };
    // The category's own group first, so that the two never contradict each other. Stable: equal ones stay in the
    // order of their best category.
    candidates.sort_by(|a, b| {
        (b.value == value, b.confidence).partial_cmp(&(a.value == value, a.confidence)).unwrap_or(Ordering::Equal)
    });
    FieldDecision {
        field: ASSIGNMENT_GROUP.to_owned(),
        value,
        source: ValueSource::GroupTable,
        confidence,
        abstention: if category.source == ValueSource::Form { None } else { category.abstention },
        candidates,
        evidence: Vec::new(),
        witnesses: Vec::new(),
        is_demoted: false,
        disagreement: false,
        route: Route::default(),
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use super::{super::naming, *};
    use crate::{
        classify::Ranked,
        domain::{
            decision::Abstention,
            route::Precision,
            sla::{SlaTarget, SlaTargets},
            taxonomy::Label,
            ticket::{TicketDraft, TicketLimits},
        },
    };

    fn scores(fields: &[(&str, &[(&str, f32)])]) -> Vec<FieldScores> {
        let ranked = |&(label, confidence): &(&str, f32)| Ranked { label: label.into(), confidence };
        let of_field = |(name, labels): &(&str, &[(&str, f32)])| FieldScores {
            name: (*name).into(),
            ranked: labels.iter().map(ranked).collect(),
            abstention: None,
        };
        fields.iter().map(of_field).collect()
    }

    fn ticket(form: &[(&str, &str)]) -> Ticket {
        let field_values = form.iter().map(|(field, value)| ((*field).to_owned(), (*value).to_owned())).collect();
        let draft = TicketDraft {
            summary: "printer on fire".to_owned(),
            service: "Payroll".to_owned(),
            field_values,
            ..TicketDraft::default()
        };
        draft.parse("", &TicketLimits::default()).unwrap()
    }

    fn field<'a>(decisions: &'a [FieldDecision], name: &str) -> &'a FieldDecision {
        decisions.iter().find(|decision| decision.field == name).unwrap()
    }

    const NOTHING_IS_CERTIFIED: fn(&FieldDecision, Precision) -> bool = |_, _| false;

    const LEVELS: [(&str, &[(&str, f32)]); 2] =
        [("impact", &[("low", 0.7), ("high", 0.3)]), ("urgency", &[("high", 0.6), ("low", 0.4)])];

    #[test]
    fn priority_follows_from_the_values_in_force() {
        let check = |form: &[(&str, &str)], expected: &str, disagreement: bool| {
            let (taxonomy, ticket) = (Taxonomy::default(), ticket(form));
            let fields = decide(&scores(&LEVELS), &taxonomy, &ticket, &NOTHING_IS_CERTIFIED);
            let priority = prioritise(&fields, &taxonomy, &ticket).unwrap();
            assert_eq!(
                (priority.priority.to_string().as_str(), priority.disagreement),
                (expected, disagreement),
                "{form:?}"
            );
        };
        check(&[], "P3", false);
        check(&[("impact", "high")], "P1", false);
        check(&[("urgency", "low"), ("priority", "P5")], "P5", false);
        check(&[("priority", "P1")], "P3", true);
    }

    #[test]
    fn a_model_without_impact_gives_no_priority_unless_the_form_does() {
        let (taxonomy, scores) = (Taxonomy::default(), scores(&[("topic", &[("a", 1.0)])]));
        let check = |form: &[(&str, &str)]| {
            let ticket = ticket(form);
            prioritise(&decide(&scores, &taxonomy, &ticket, &NOTHING_IS_CERTIFIED), &taxonomy, &ticket)
                .map(|decided| decided.priority.number())
        };
        assert_eq!(check(&[]), None);
        assert_eq!(check(&[("impact", "medium"), ("urgency", "medium")]), Some(3));
    }

    #[test]
    fn the_form_is_kept_and_disagreement_flagged() {
        let check = |form: &str, abstention: Option<Abstention>, disagreement: bool, confidence: f32| {
            let mut scores = scores(&[("type", &[("incident", 0.9), ("question", 0.1)])]);
            scores[0].abstention = abstention;
            let decisions = decide(&scores, &Taxonomy::default(), &ticket(&[("type", form)]), &NOTHING_IS_CERTIFIED);
            let decision = field(&decisions, "type");
            assert_eq!((decision.value.as_str(), &decision.source), (form, &ValueSource::Form));
            assert_eq!(
                (decision.disagreement, decision.confidence),
                (disagreement, confidence),
                "{form} {abstention:?}"
            );
        };
        check("incident", None, false, 0.9);
        check("question", None, true, 0.1);
        check("complaint", None, true, 0.0);
        // A model that does not stand by its guess contradicts nobody.
        check("question", Some(Abstention::Ambiguous), false, 0.1);
        let mut doubtful = scores(&[("type", &[("incident", 0.5), ("question", 0.5)])]);
        doubtful[0].abstention = Some(Abstention::Ambiguous);
        let decisions =
            decide(&doubtful, &Taxonomy::default(), &ticket(&[("type", "question")]), &NOTHING_IS_CERTIFIED);
        assert_eq!(field(&decisions, "type").abstention, None);
    }

    #[test]
    fn the_impact_table_raises_and_never_lowers() {
        let check = |impact: Impact, name: &str, form: &[(&str, &str)], expected: &str, disagreement: bool| {
            let source = ImpactSource { kind: ImpactSourceKind::Service, name: name.to_owned(), impact };
            let taxonomy = Taxonomy { impact_sources: vec![source], ..Taxonomy::default() };
            let decisions = decide(&scores(&LEVELS), &taxonomy, &ticket(form), &NOTHING_IS_CERTIFIED);
            let decision = field(&decisions, "impact");
            assert_eq!(
                (decision.value.as_str(), decision.disagreement),
                (expected, disagreement),
                "{impact} {name} {form:?}"
            );
        };
        check(Impact::High, "payroll", &[], "high", false);
        check(Impact::High, "CRM", &[], "low", false);
        check(Impact::Low, "Payroll", &[], "low", false);
        check(Impact::High, "Payroll", &[("impact", "low")], "low", true);
        check(Impact::Medium, "Payroll", &[("impact", "high")], "high", true);
    }

    #[test]
    fn a_label_that_the_taxonomy_does_not_list_is_never_proposed() {
        let fields = [("type".to_owned(), vec![Label::new("question", "")])].into();
        let taxonomy = Taxonomy { fields, restricts: true, ..Taxonomy::default() };
        let scores = scores(&[("type", &[("incident", 0.9), ("question", 0.1)])]);
        let decide = |scores: &[FieldScores], taxonomy: &Taxonomy, ticket: &Ticket| {
            let renamed = naming::rename(scores, taxonomy, &|_, _, _| None);
            decide(&renamed, taxonomy, ticket, &NOTHING_IS_CERTIFIED)
        };
        let decisions = decide(&scores, &taxonomy, &ticket(&[]));
        assert_eq!(field(&decisions, "type").value, "question");
        assert_eq!(field(&decisions, "type").candidates.len(), 1);
        assert_eq!(field(&decisions, "type").abstention, Some(Abstention::LowConfidence));

        let describing = Taxonomy { restricts: false, ..taxonomy };
        assert_eq!(field(&decide(&scores, &describing, &ticket(&[])), "type").value, "incident");
    }

    #[test]
    fn a_form_value_is_understood_under_the_name_that_it_has_now() {
        let aliases = [("vpn", "network/vpn")].map(|(old, new)| (old.to_owned(), new.to_owned()));
        let taxonomy = Taxonomy { aliases: [(CATEGORY.to_owned(), aliases.into())].into(), ..Taxonomy::default() };
        let check = |form: &str, value: &str, disagreement: bool| {
            let scores = scores(&[("category", &[("network/vpn", 0.8), ("access/password", 0.2)])]);
            let decisions = decide(&scores, &taxonomy, &ticket(&[("category", form)]), &NOTHING_IS_CERTIFIED);
            let decision = field(&decisions, CATEGORY);
            assert_eq!(
                (&*decision.value, &decision.source, decision.disagreement),
                (value, &ValueSource::Form, disagreement)
            );
            assert_eq!(field(&decisions, ASSIGNMENT_GROUP).value, value.split('/').next().unwrap());
        };
        check("vpn", "network/vpn", false);
        check("network/vpn", "network/vpn", false);
        check("access/password", "access/password", true);
        check("other", "other", true);
    }

    #[test]
    fn a_priority_comes_with_its_targets() {
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        let target = SlaTarget::new(minutes(5), minutes(30)).unwrap();
        let sla = SlaTargets::default().with(Priority::new(3).unwrap(), target);
        let taxonomy = Taxonomy { sla, ..Taxonomy::default() };
        let fields = decide(&scores(&LEVELS), &taxonomy, &ticket(&[]), &NOTHING_IS_CERTIFIED);
        assert_eq!(prioritise(&fields, &taxonomy, &ticket(&[])).unwrap().sla, Some(target));
    }

    #[test]
    fn the_group_follows_the_category_even_where_others_weigh_more_together() {
        let ranked: &[(&str, f32)] = &[("network/vpn", 0.4), ("access/password", 0.35), ("access/mfa_sso", 0.25)];
        let decisions =
            decide(&scores(&[("category", ranked)]), &Taxonomy::default(), &ticket(&[]), &NOTHING_IS_CERTIFIED);
        let group = field(&decisions, "assignment_group");
        assert_eq!((group.value.as_str(), group.candidates[0].value.as_str()), ("network", "network"));
        assert_eq!((group.candidates[1].value.as_str(), group.candidates[1].confidence), ("access", 0.6));
    }

    #[test]
    fn a_group_is_as_sure_as_its_categories_together() {
        let ranked: &[(&str, f32)] = &[("network/vpn", 0.4), ("access/password", 0.35), ("network/telephony", 0.25)];
        let decisions =
            decide(&scores(&[("category", ranked)]), &Taxonomy::default(), &ticket(&[]), &NOTHING_IS_CERTIFIED);
        let group = field(&decisions, "assignment_group");
        assert_eq!((group.value.as_str(), group.confidence), ("network", 0.65));
        assert_eq!(group.candidates.len(), 2);
    }

    #[test]
    fn a_value_is_filled_in_only_where_the_desk_wants_it_and_its_certificate_is_met() {
        const CERTIFIED: f32 = 0.8;
        let certifies = |guess: &FieldDecision, precision: Precision| {
            guess.source == ValueSource::Model && guess.confidence >= CERTIFIED && precision.share() < 0.99
        };
        let autofill = |share| RouteSetting::Autofill(Precision::new(share).unwrap());
        let check = |setting, confidence, abstention, form: &[(&str, &str)], expected: Option<Route>| {
            let mut scores =
                scores(&[("category", &[("network/vpn", confidence), ("access/mfa_sso", 1.0 - confidence)])]);
            scores[0].abstention = abstention;
            let routes: BTreeMap<_, _> = [CATEGORY, ASSIGNMENT_GROUP].map(|field| (field.to_owned(), setting)).into();
            let taxonomy = Taxonomy { routes, ..Taxonomy::default() };
            let decisions = decide(&scores, &taxonomy, &ticket(form), &certifies);
            let found = decisions.iter().find(|decision| decision.field == CATEGORY).map(|decision| decision.route);
            assert_eq!(found, expected, "{setting:?} {confidence} {abstention:?} {form:?}");
        };
        let (fill, show, hide) = (Some(Route::Autofill), Some(Route::Recommend), Some(Route::Monitor));
        check(autofill(0.95), 0.9, None, &[], fill);
        check(autofill(0.95), 0.8, None, &[], fill);
        check(autofill(0.95), 0.79, None, &[], show);
        check(autofill(0.99), 0.9, None, &[], show);
        check(autofill(0.95), 0.9, Some(Abstention::OutOfScope), &[], show);
        check(autofill(0.95), 0.9, None, &[("category", "network/vpn")], show);
        check(RouteSetting::Recommend, 0.9, None, &[], show);
        check(RouteSetting::Monitor, 0.9, None, &[], hide);
        check(RouteSetting::Monitor, 0.9, Some(Abstention::Ambiguous), &[], hide);
        check(RouteSetting::Monitor, 0.9, None, &[("category", "network/vpn")], hide);
        check(RouteSetting::Off, 0.9, None, &[], None);
        check(RouteSetting::Off, 0.9, None, &[("category", "network/vpn")], None);
    }

    #[test]
    fn what_the_impact_table_decides_needs_no_certificate() {
        let check = |impact: Impact, guess: &str, expected: (&str, bool, Route)| {
            let source = ImpactSource { kind: ImpactSourceKind::Service, name: "Payroll".to_owned(), impact };
            let routes = [(IMPACT.to_owned(), RouteSetting::Autofill(Precision::default()))].into();
            let taxonomy = Taxonomy { impact_sources: vec![source], routes, ..Taxonomy::default() };
            let mut scores = scores(&[("impact", &[(guess, 0.5)])]);
            scores[0].abstention = Some(Abstention::LowConfidence);
            let decisions = decide(&scores, &taxonomy, &ticket(&[]), &NOTHING_IS_CERTIFIED);
            let decision = field(&decisions, "impact");
            let by_table = matches!(decision.source, ValueSource::ImpactTable(_));
            assert_eq!((decision.value.as_str(), by_table, decision.route), expected, "{impact} {guess}");
            assert_eq!(decision.abstention.is_none(), by_table);
        };
        check(Impact::High, "low", ("high", true, Route::Autofill));
        // Nothing is graver, so that the guess does not matter.
        check(Impact::High, "high", ("high", true, Route::Autofill));
        check(Impact::Medium, "medium", ("medium", false, Route::Recommend));
        check(Impact::Medium, "high", ("high", false, Route::Recommend));
    }

    #[test]
    fn a_group_is_filled_in_by_the_certificate_of_its_category() {
        let certifies = |guess: &FieldDecision, _: Precision| guess.field == CATEGORY && guess.confidence >= 0.6;
        // Both categories belong to one group, which is surer than either.
        let check = |confidence, category: RouteSetting, form: &[(&str, &str)], expected: Option<(&str, Route)>| {
            let ranked: &[(&str, f32)] = &[("network/vpn", confidence), ("network/telephony", 0.3)];
            let group = RouteSetting::Autofill(Precision::default());
            let routes = [(CATEGORY.to_owned(), category), (ASSIGNMENT_GROUP.to_owned(), group)].into();
            let taxonomy = Taxonomy { routes, ..Taxonomy::default() };
            let decisions = decide(&scores(&[("category", ranked)]), &taxonomy, &ticket(form), &certifies);
            let group = decisions.iter().find(|decision| decision.field == ASSIGNMENT_GROUP);
            let found = group.map(|group| (group.value.as_str(), group.route));
            assert_eq!(found, expected, "{confidence} {category:?} {form:?}");
        };
        let (recommend, off) = (RouteSetting::Recommend, RouteSetting::Off);
        check(0.6, recommend, &[], Some(("network", Route::Autofill)));
        check(0.6, RouteSetting::Monitor, &[], Some(("network", Route::Autofill)));
        check(0.5, recommend, &[], Some(("network", Route::Recommend)));
        check(0.5, recommend, &[("category", "access/password")], Some(("access", Route::Autofill)));
        check(0.6, recommend, &[("assignment_group", "NOC")], Some(("NOC", Route::Recommend)));
        check(0.6, off, &[], None);
        check(0.6, off, &[("category", "access/password")], Some(("access", Route::Autofill)));
    }

    #[test]
    fn a_field_that_is_off_leaves_nothing_behind() {
        let routes = [(CATEGORY.to_owned(), RouteSetting::Off)].into();
        let taxonomy = Taxonomy { routes, ..Taxonomy::default() };
        let scores = scores(&[("category", &[("network/vpn", 0.9), ("access/mfa_sso", 0.1)])]);
        let decisions = decide(&scores, &taxonomy, &ticket(&[("category", "access/password")]), &NOTHING_IS_CERTIFIED);
        assert_eq!(decisions.len(), 1);
        assert_eq!((decisions[0].value.as_str(), decisions[0].candidates.len()), ("access", 0));
    }

    #[test]
    fn priority_takes_the_more_careful_route_of_impact_and_urgency() {
        let certifies = |guess: &FieldDecision, _: Precision| guess.confidence >= 0.7;
        let check = |impact: RouteSetting, urgency: RouteSetting, form: &[(&str, &str)], expected: Option<Route>| {
            let routes = [(IMPACT.to_owned(), impact), (URGENCY.to_owned(), urgency)].into();
            let (taxonomy, ticket) = (Taxonomy { routes, ..Taxonomy::default() }, ticket(form));
            let fields = decide(&scores(&LEVELS), &taxonomy, &ticket, &certifies);
            let found = prioritise(&fields, &taxonomy, &ticket).map(|decided| decided.route);
            assert_eq!(found, expected, "{impact:?} {urgency:?} {form:?}");
        };
        let (off, monitor, recommend) = (RouteSetting::Off, RouteSetting::Monitor, RouteSetting::Recommend);
        let autofill = RouteSetting::Autofill(Precision::default());
        let (fill, show, hide) = (Some(Route::Autofill), Some(Route::Recommend), Some(Route::Monitor));
        // The guess of urgency is never certified here.
        check(autofill, autofill, &[], show);
        check(autofill, autofill, &[("urgency", "high")], fill);
        check(autofill, autofill, &[("urgency", "high"), ("impact", "high")], fill);
        check(autofill, recommend, &[("urgency", "high")], show);
        check(autofill, monitor, &[], hide);
        check(autofill, monitor, &[("urgency", "high")], show);
        check(recommend, recommend, &[], show);
        check(autofill, off, &[], None);
        check(autofill, off, &[("urgency", "high")], show);
    }
}
