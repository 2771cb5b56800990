use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::domain::{route::Precision, taxonomy::TaxonomyDifference};

const TOPIC: &str = "topic";

/// What the model knows: categories of two levels, a topic, and the levels.
fn learnt() -> LearntLabels {
    let fields: [(&str, &[&str]); 3] = [
        (CATEGORY, &["access/mfa", "access/password", "mail", "network/vpn", "network/wifi"]),
        (TOPIC, &["a", "b", "c"]),
        ("impact", &["high", "low", "medium"]),
    ];
    let of_field =
        |(field, labels): (&str, &[&str])| (field.to_owned(), labels.iter().map(|label| (*label).to_owned()).collect());
    fields.map(of_field).into()
}

fn taxonomy() -> Taxonomy {
    Taxonomy { version: "x+0".to_owned(), ..Taxonomy::default() }
}

fn strings(values: &[&str]) -> Vec<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

fn add(field: &str, value: &str) -> TaxonomyChange {
    TaxonomyChange::AddLabel { field: field.into(), label: Label::new(value, "") }
}

fn rename(field: &str, from: &str, to: &str) -> TaxonomyChange {
    TaxonomyChange::Rename { field: field.into(), from: from.into(), to: to.into() }
}

fn merge(field: &str, into: &str, from: &[&str]) -> TaxonomyChange {
    TaxonomyChange::Merge { field: field.into(), into: into.into(), from: strings(from) }
}

fn split(field: &str, from: &str, into: &[&str]) -> TaxonomyChange {
    let into = into.iter().map(|value| Label::new(*value, "new")).collect();
    TaxonomyChange::Split { field: field.into(), from: from.into(), into }
}

fn retire(field: &str, value: &str) -> TaxonomyChange {
    TaxonomyChange::Retire { field: field.into(), value: value.into() }
}

fn restore(field: &str, value: &str) -> TaxonomyChange {
    TaxonomyChange::Restore { field: field.into(), value: value.into() }
}

fn group(category: &str, group: Option<&str>) -> TaxonomyChange {
    TaxonomyChange::SetGroup { category: category.into(), group: group.map(str::to_owned) }
}

/// What the changes make of the empty taxonomy; none may be wrong.
fn after(changes: &[TaxonomyChange]) -> Taxonomy {
    taxonomy().changed(changes, &learnt()).unwrap()
}

fn values(taxonomy: &Taxonomy, field: &str) -> Vec<String> {
    taxonomy.fields[field].iter().map(|label| label.value.clone()).collect()
}

#[test]
fn labels_are_called_what_the_changes_say() {
    let check = |changes: &[TaxonomyChange], field: &str, names: &[(&str, Option<&str>)]| {
        let changed = after(changes);
        for (label, expected) in names {
            assert_eq!(changed.current(field, label), *expected, "{label} after {changes:?}");
        }
    };
    check(&[add(TOPIC, "d")], TOPIC, &[("a", Some("a")), ("d", Some("d")), ("e", None)]);
    check(&[rename(TOPIC, "a", "z")], TOPIC, &[("a", Some("z")), ("z", Some("z")), ("b", Some("b"))]);
    check(&[rename(TOPIC, "a", "y"), rename(TOPIC, "y", "z")], TOPIC, &[("a", Some("z")), ("y", Some("z"))]);
    check(&[rename(TOPIC, "a", "z"), rename(TOPIC, "z", "a")], TOPIC, &[("a", Some("a")), ("z", Some("a"))]);
    check(&[merge(TOPIC, "b", &["a", "c"])], TOPIC, &[("a", Some("b")), ("c", Some("b"))]);
    check(&[rename(TOPIC, "a", "z"), merge(TOPIC, "b", &["z"])], TOPIC, &[("a", Some("b")), ("z", Some("b"))]);
    check(&[merge(TOPIC, "b", &["a"]), retire(TOPIC, "b")], TOPIC, &[("a", None), ("b", None), ("c", Some("c"))]);
    check(&[retire(TOPIC, "a"), restore(TOPIC, "a")], TOPIC, &[("a", Some("a"))]);
    check(&[split(TOPIC, "a", &["a1", "a2"])], TOPIC, &[("a", None), ("a1", Some("a1")), ("a2", Some("a2"))]);
    // Whole first levels.
    let net = [("network/vpn", Some("net/vpn")), ("network/wifi", Some("net/wifi")), ("mail", Some("mail"))];
    check(&[rename(CATEGORY, "network", "net")], CATEGORY, &net);
    check(
        &[retire(CATEGORY, "network")],
        CATEGORY,
        &[("network/vpn", None), ("network/wifi", None), ("mail", Some("mail"))],
    );
    check(
        &[merge(CATEGORY, "mail", &["access"])],
        CATEGORY,
        &[("access/mfa", Some("mail")), ("access/password", Some("mail"))],
    );
    let twins = [("access/mfa", Some("network/mfa")), ("access/vpn", Some("network/vpn"))];
    check(&[add(CATEGORY, "access/vpn"), merge(CATEGORY, "network", &["access"])], CATEGORY, &twins);
    check(&[rename(CATEGORY, "mail", "mail/general")], CATEGORY, &[("mail", Some("mail/general"))]);
}

#[test]
fn what_cannot_be_is_refused_and_changes_nothing() {
    let check = |changes: &[TaxonomyChange], expected: &str| {
        let (before, violations) = (taxonomy(), taxonomy().changed(changes, &learnt()).unwrap_err());
        assert_eq!(before, taxonomy());
        let said: Vec<_> = violations.iter().map(ToString::to_string).collect();
        assert!(said.iter().any(|said| said.contains(expected)), "{changes:?}: {expected} is missing in {said:?}");
    };
    check(&[rename(TOPIC, "a", "b")], "topic has a label `b` already");
    check(&[rename(TOPIC, "a", "a")], "is its name already");
    check(&[rename(TOPIC, "x", "y")], "topic has no label `x`");
    check(&[rename(TOPIC, "a", " ")], "cannot be a label");
    check(&[rename(TOPIC, "a", "x\u{7}")], "cannot be a label");
    check(&[rename("shape", "a", "b")], "there is no field `shape`; the fields are category, impact, topic");
    check(&[rename("priority", "P1", "P0")], "priority follows from the matrix");
    check(&[rename("assignment_group", "x", "y")], "set the group of a category");
    check(&[rename("impact", "high", "huge")], "the labels of impact are high, medium and low");
    check(&[add("impact", "huge")], "`huge` cannot be a label of this field");
    check(&[merge("impact", "high", &["medium"])], "the labels of impact");
    check(&[rename(TOPIC, "a", "z"), add(TOPIC, "a")], "`a` is a former name of `z`");
    check(&[rename(TOPIC, "a", "z"), rename(TOPIC, "b", "a")], "`a` is a former name of `z`");
    check(&[rename(TOPIC, "a", "z"), retire(TOPIC, "a")], "`a` is called `z` now");
    check(&[retire(TOPIC, "a"), add(TOPIC, "a")], "`a` is a retired label: restore it");
    check(&[retire(TOPIC, "a"), rename(TOPIC, "a", "z")], "`a` is retired: restore it first");
    check(&[rename(CATEGORY, "network", "network/all")], "has labels below it");
    check(&[merge(TOPIC, "a", &["a"])], "cannot be merged with itself");
    check(&[merge(CATEGORY, "network", &["network/vpn"])], "cannot be merged with one above or below it");
    check(&[merge(CATEGORY, "network/vpn", &["network"])], "cannot be merged with one above or below it");
    check(&[merge(CATEGORY, "network", &["mail"])], "name the one that `mail` becomes");
    check(&[merge(TOPIC, "a", &["b", "b"])], "more than once");
    check(&[merge(TOPIC, "a", &[])], "at least one label");
    check(&[merge(TOPIC, "x", &["a"])], "no label `x`");
    check(&[split(TOPIC, "a", &["a1"])], "at least two");
    check(&[split(TOPIC, "a", &["a1", "a1"])], "named twice");
    check(&[split(TOPIC, "a", &["a1", "b"])], "has a label `b` already");
    check(&[split(CATEGORY, "network", &["x", "y"])], "split one of them");
    check(&[retire(CATEGORY, "nowhere")], "no label `nowhere`");
    check(&[retire(TOPIC, "a"), retire(TOPIC, "b"), retire(TOPIC, "c")], "needs a label that is in use");
    check(&[restore(TOPIC, "a")], "`a` is in use");
    check(&[add(TOPIC, "")], "the label's name is blank");
    check(&[add(TOPIC, "x//y")], "`x//y` cannot be a label");
    let unseen = || Some("Red\u{1b}[31m".to_owned());
    let described =
        TaxonomyChange::Describe { field: TOPIC.into(), value: "a".into(), description: unseen(), examples: None };
    check(&[described], "`a`: a description has no control or invisible characters");
    let added = TaxonomyChange::AddLabel { field: TOPIC.into(), label: Label::new("d", unseen().unwrap_or_default()) };
    check(&[added], "`d`: a description has no control or invisible characters");
    check(&[group("nowhere", Some("NOC"))], "no category `nowhere`");
    check(&[group("network", Some(" "))], "the group has no name");
    check(&[group("network", None)], "has no group of its own");
    let route = |field: &str| TaxonomyChange::SetRoute { field: field.into(), route: RouteSetting::Off };
    check(&[route("priority")], "set theirs");
    check(&[route("shape")], "there is no field `shape`");
    let nobody = TaxonomyChange::SetImpactSource { kind: ImpactSourceKind::Service, name: "CRM".into(), impact: None };
    check(&[nobody], "no service `CRM` raises impact");
    let long = |label| TaxonomyChange::AddLabel { field: TOPIC.into(), label };
    check(&[long(Label { examples: vec!["x".into(); 51], ..Label::new("d", "") })], "examples are at most 50");
    check(&[long(Label { examples: vec!["ö".repeat(1_025)], ..Label::new("d", "") })], "an example are at most 1024");
    check(&[long(Label { examples: vec![" ".into()], ..Label::new("d", "") })], "an example is blank");
    let fields = |labels| TaxonomyChange::AddField { field: "site".into(), labels };
    check(&[fields(Vec::new())], "at least one label");
    check(&[fields((0..5_000).map(|number| Label::new(format!("{number}"), "")).collect())], "at most 5000 labels");
    // All of them are named, each with its place.
    let violations = taxonomy().changed(&[add(TOPIC, "d"), add(TOPIC, "a"), retire("x", "y")], &learnt()).unwrap_err();
    let fields: Vec<_> = violations.iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(fields, ["changes[1].add_label", "changes[2].retire"]);
}

#[test]
fn the_first_change_of_a_label_lists_what_the_model_knows_and_nothing_else() {
    let of_field = |field: &str, labels: Vec<Label>| (field.to_owned(), labels);
    let describing = Taxonomy {
        fields: [
            of_field(CATEGORY, vec![Label::new("mail", "Mail."), Label::new("printing", "Paper.")]),
            of_field("type", vec![Label::new("incident", "")]),
        ]
        .into(),
        ..taxonomy()
    };
    let changed = describing.changed(&[add(CATEGORY, "fleet")], &learnt()).unwrap();
    let expected = ["access/mfa", "access/password", "fleet", "mail", "network/vpn", "network/wifi"];
    assert_eq!((values(&changed, CATEGORY), changed.restricts), (strings(&expected), true));
    assert_eq!(changed.label(CATEGORY, "mail").unwrap().description, "Mail.");
    assert_eq!(changed.fields.keys().collect::<Vec<_>>(), [CATEGORY, "impact", TOPIC]);
    let difference = TaxonomyDifference::between(&describing, &changed, &learnt());
    assert_eq!(difference.sentences(), ["category: added fleet"]);

    // What is said about no label leaves the taxonomy as open as it was.
    let priorities = describing.changed(&[group("network", Some("NOC"))], &learnt()).unwrap();
    assert_eq!((priorities.restricts, &priorities.fields), (false, &describing.fields));
    // A field that a restricting taxonomy leaves open is listed when it is changed.
    let restricting = Taxonomy { restricts: true, ..describing };
    let changed = restricting.changed(&[rename(TOPIC, "a", "z")], &learnt()).unwrap();
    assert_eq!(values(&changed, TOPIC), ["b", "c", "z"]);
    assert_eq!(values(&changed, CATEGORY), ["mail", "printing"]);
}

#[test]
fn groups_examples_and_descriptions_follow_their_labels() {
    let groups = [group("network", Some("NOC")), group("access/mfa", Some("Security"))];
    let with_groups = |changes: &[TaxonomyChange]| after(&[&groups, changes].concat());
    let renamed = with_groups(&[rename(CATEGORY, "network", "net"), rename(CATEGORY, "access/mfa", "identity/mfa")]);
    assert_eq!((renamed.group("net/vpn"), renamed.group("identity/mfa")), ("NOC", "Security"));
    let halves = with_groups(&[split(CATEGORY, "access/mfa", &["access/token", "access/app"])]);
    assert_eq!((halves.group("access/token"), halves.group("access/password")), ("Security", "access"));
    let merged = with_groups(&[merge(CATEGORY, "mail", &["network", "access/mfa"])]);
    assert!(merged.groups.is_empty(), "{:?}", merged.groups);

    let describe = |value: &str, description: &str, examples: &[&str]| TaxonomyChange::Describe {
        field: TOPIC.into(),
        value: value.into(),
        description: Some(description.into()),
        examples: Some(strings(examples)),
    };
    let merged =
        after(&[describe("a", "Letter A.", &["one"]), describe("b", "", &["two", "one"]), merge(TOPIC, "b", &["a"])]);
    let label = merged.label(TOPIC, "b").unwrap();
    assert_eq!((label.description.as_str(), &label.examples), ("Letter A.", &strings(&["two", "one"])));
    let kept = TaxonomyChange::Describe { field: TOPIC.into(), value: "b".into(), description: None, examples: None };
    assert_eq!(merged.changed(&[kept], &learnt()).unwrap(), merged);
}

#[test]
fn tables_and_routes_change_without_the_labels() {
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    let target = SlaTarget::new(minutes(5), minutes(30)).unwrap();
    let p1 = Priority::ALL[0];
    let vip = |name: &str, impact| TaxonomyChange::SetImpactSource {
        kind: ImpactSourceKind::Requester,
        name: name.into(),
        impact,
    };
    let matrix = PriorityMatrix::new([[p1; 3]; 3]);
    let precision = RouteSetting::Autofill(Precision::default());
    let changes = [
        TaxonomyChange::SetRoute { field: TOPIC.into(), route: precision },
        TaxonomyChange::SetRoute { field: "assignment_group".into(), route: RouteSetting::Monitor },
        vip("Ann", Some(Impact::Low)),
        vip("ANN ", Some(Impact::High)),
        TaxonomyChange::SetMatrix(matrix.clone()),
        TaxonomyChange::SetSla { priority: p1, target },
    ];
    let changed = after(&changes);
    assert_eq!((changed.route(TOPIC), changed.route("assignment_group")), (precision, RouteSetting::Monitor));
    assert_eq!(changed.impact_sources.len(), 1);
    assert_eq!((changed.impact_sources[0].name.as_str(), changed.impact_sources[0].impact), ("ANN", Impact::High));
    assert_eq!((&changed.matrix, changed.sla.of(p1)), (&matrix, target));
    let sentences = TaxonomyDifference::between(&taxonomy(), &changed, &learnt()).sentences();
    for part in [
        "matrix: 123/234/345 becomes 111/111/111",
        "route of topic: recommend becomes autofill at 0.95",
        "impact: requester ANN counts as high",
        "SLA of P1: response within 5m, resolution within 30m",
    ] {
        assert!(sentences.iter().any(|sentence| sentence == part), "{part} is missing in {sentences:?}");
    }
    let back = [
        TaxonomyChange::SetRoute { field: TOPIC.into(), route: RouteSetting::Recommend },
        TaxonomyChange::SetRoute { field: "assignment_group".into(), route: RouteSetting::Recommend },
        vip("ann", None),
        TaxonomyChange::SetMatrix(PriorityMatrix::default()),
        TaxonomyChange::SetSla { priority: p1, target: crate::domain::sla::SlaTargets::default().of(p1) },
    ];
    assert_eq!(changed.changed(&back, &learnt()).unwrap(), taxonomy());
}

#[test]
fn a_difference_says_what_became_of_each_label_and_which_names_it_had() {
    let before = after(&[rename(TOPIC, "a", "z"), split(TOPIC, "c", &["c1", "c2"])]);
    let changes = [
        add(TOPIC, "d"),
        rename(TOPIC, "z", "y"),
        merge(TOPIC, "c1", &["b"]),
        retire(TOPIC, "c2"),
        restore(TOPIC, "c"),
        rename(CATEGORY, "network", "net"),
    ];
    let now = before.changed(&changes, &learnt()).unwrap();
    let difference = TaxonomyDifference::between(&before, &now, &learnt());
    let expected = [
        "category: renamed network/vpn to net/vpn",
        "category: renamed network/wifi to net/wifi",
        "topic: added d",
        "topic: renamed z to y",
        "topic: merged b into c1",
        "topic: retired c2",
        "topic: restored c",
        "assignment group of net/vpn: network becomes net",
        "assignment group of net/wifi: network becomes net",
    ];
    assert_eq!(difference.sentences(), expected);
    let concerned = difference.concerned(&before);
    assert_eq!(concerned[TOPIC], strings(&["a", "b", "c", "c2", "z"]).into_iter().collect());
    assert!(TaxonomyDifference::between(&now, &now, &learnt()).is_empty());
}

/// Changes that may or may not be possible, over few names, so that they meet.
fn any_change() -> impl Strategy<Value = TaxonomyChange> {
    let name = || prop::sample::select(vec!["a", "b", "c", "d", "a/x", "b/x", "b/y", "e/x"]);
    prop_oneof![
        name().prop_map(|value| add(TOPIC, value)),
        (name(), name()).prop_map(|(from, to)| rename(TOPIC, from, to)),
        (name(), name()).prop_map(|(into, from)| merge(TOPIC, into, &[from])),
        (name(), name(), name()).prop_map(|(from, one, other)| split(TOPIC, from, &[one, other])),
        name().prop_map(|value| retire(TOPIC, value)),
        name().prop_map(|value| restore(TOPIC, value)),
        prop::sample::select(vec!["a", "b", "e"]).prop_map(|value| retire(TOPIC, value)),
        Just(rename(TOPIC, "b", "e")),
        Just(merge(TOPIC, "a", &["b"])),
    ]
}

proptest! {
    #[test]
    fn after_any_changes_every_name_leads_to_one_label_and_none_in_a_circle(changes in prop::collection::vec(any_change(), 1..12)) {
        let mut taxonomy = taxonomy();
        for change in changes {
            if let Ok(changed) = taxonomy.changed(std::slice::from_ref(&change), &learnt()) {
                taxonomy = changed;
            }
            prop_assert!(taxonomy.violations().is_empty(), "{:?}: {:?}", change, taxonomy.violations());
            prop_assert!(taxonomy.clone().flatten_aliases().is_empty());
            let names = taxonomy.names(TOPIC);
            // Whatever the model says is proposed under a name that is in use, or not at all.
            for label in &learnt()[TOPIC] {
                if let Some(current) = names.current(label) {
                    prop_assert_eq!(names.current(current), Some(current));
                }
            }
            for labels in taxonomy.fields.values().chain(taxonomy.retired.values()) {
                prop_assert!(labels.is_sorted_by(|a, b| a.value < b.value));
            }
        }
    }

    #[test]
    fn what_is_retired_and_restored_is_as_it_was(value in prop::sample::select(vec!["access", "access/mfa", "mail", "network"])) {
        let listed = taxonomy().listed(&learnt());
        let back = listed.changed(&[retire(CATEGORY, value), restore(CATEGORY, value)], &learnt()).unwrap();
        prop_assert_eq!(back, listed);
    }

    #[test]
    fn a_rename_that_is_taken_back_leaves_every_label_as_it_was(to in "[d-z]{1,3}(/[d-z]{1,3})?") {
        let there = taxonomy().changed(&[rename(CATEGORY, "mail", &to)], &learnt());
        prop_assume!(there.is_ok());
        let back = there.unwrap().changed(&[rename(CATEGORY, &to, "mail")], &learnt()).unwrap();
        prop_assert_eq!(values(&back, CATEGORY), values(&taxonomy().listed(&learnt()), CATEGORY));
        prop_assert_eq!(back.current(CATEGORY, "mail"), Some("mail"));
        prop_assert_eq!(back.current(CATEGORY, &to), Some("mail"));
    }
}
