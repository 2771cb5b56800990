use proptest::prelude::*;

use super::*;
use crate::domain::{
    route::{Precision, RouteSetting},
    taxonomy::{Label, LearntLabels, TaxonomyChange},
};

const MATRIX: &str = "version = \"x\"\n[matrix]\nhigh = [1, 2, 3]\nmedium = [2, 3, 4]\nlow = [3, 4, 5]\n";

#[test]
fn the_default_taxonomy_has_every_field_of_the_guide() {
    let taxonomy = load(None).unwrap();
    let sizes: Vec<_> = taxonomy.fields.iter().map(|(field, labels)| (field.as_str(), labels.len())).collect();
    assert_eq!(sizes, [("category", 30), ("impact", 3), ("type", 5), ("urgency", 3)]);
    assert_eq!(taxonomy.group("network/vpn"), "network");
    assert!(taxonomy.version.starts_with("default-1+"));
}

#[test]
fn problems_are_named_together() {
    let check = |text: &str, expected: &[&str]| {
        let problems = parse(text).unwrap_err().problems.join("\n");
        for part in expected {
            assert!(problems.contains(part), "{part} is missing in\n{problems}");
        }
    };
    check(&MATRIX.replace("4, 5]", "4, 9]"), &["matrix.low: [3, 4, 9]"]);
    check(
        &format!("{MATRIX}[[impact]]\nimpact = \"grave\"\n[[impact]]\nimpact = \"high\"\n"),
        &["impact[0]", "impact[1]"],
    );
    check(
        &format!("{MATRIX}[fields.urgency]\nsoon = \"\"\n[fields.priority]\nP1 = \"\"\n"),
        &["`soon`", "fields.priority"],
    );
    let groups = "[groups]\nnetwrok = \"NOC\"\naccess = \" \"\n[fields.category]\n\"network/vpn\" = \"\"\n";
    check(&format!("{MATRIX}{groups}"), &["groups.netwrok", "groups.access"]);
    let routes = "[routes]\ntype.route = \"auto\"\npriority.route = \"off\"\nurgency = { route = \"off\", precision = 0.9 }\n\
                  category = { route = \"autofill\", precision = 95 }\nimpact = { route = \"autofill\", precision = nan }\n\
                  colour = \"autofill\"\nshape = { route = \"autofill\", precision = \"95 %\", presicion = 1 }\n\
                  size = { precision = 0.9 }\n";
    check(
        &format!("{MATRIX}{groups}{routes}"),
        &[
            "groups.netwrok",
            "routes.type.route: `auto` is not off, monitor, recommend or autofill",
            "routes.priority: priority follows from impact and urgency",
            "routes.urgency.precision: only autofill takes one",
            "routes.category.precision: must be a number from 0.5 to 0.999",
            "routes.impact.precision: must be a number from 0.5 to 0.999",
            "routes.colour: must be a table",
            "routes.shape: unknown key `presicion`",
            "routes.shape.precision: must be a number",
            "routes.size.route: must be off, monitor",
        ],
    );
    check(
        "version = \"desk\\u202E+\\u001B[2J\"\n[matrix]\n[fields.topic]\na = \"Mail.\\u200B\"\n\
         b = { description = \"\\u001B[31mred\", retired = true }\n",
        &[
            "version: must hold no control or invisible characters",
            "fields.topic: `a`: a description has no control or invisible characters",
            "fields.topic: `b`: a description has no control",
            "matrix.high",
        ],
    );
    check(&format!("{MATRIX}colour = 1\n"), &["colour"]);
    check("version = \"x\"\n", &["matrix"]);
}

#[test]
fn a_field_has_the_route_that_the_file_gives_it() {
    let routes = "[routes.category]\nroute = \"autofill\"\n[routes.type]\nroute = \"autofill\"\nprecision = 0.99\n\
                  [routes.impact]\nroute = \"monitor\"\n[routes.colour]\nroute = \"off\"\n";
    let taxonomy = parse(&format!("{MATRIX}{routes}")).unwrap();
    for (field, expected) in [
        ("category", RouteSetting::Autofill(Precision::new(0.95).unwrap())),
        ("type", RouteSetting::Autofill(Precision::new(0.99).unwrap())),
        ("impact", RouteSetting::Monitor),
        ("colour", RouteSetting::Off),
        ("urgency", RouteSetting::Recommend),
    ] {
        assert_eq!(taxonomy.route(field), expected, "{field}");
    }
    assert!(load(None).unwrap().routes.is_empty());
}

#[test]
fn a_changed_file_has_another_version() {
    let first = parse(MATRIX).unwrap().version;
    assert_ne!(first, parse(&format!("{MATRIX}[groups]\nnetwork = \"NOC\"\n")).unwrap().version);
}

#[test]
fn what_a_file_says_of_labels_targets_and_former_names_is_read() {
    let text = "[fields.topic]\nmail = \"Mail.\"\nfax = { description = \"Paper.\", retired = true }\n\
                phone = { examples = [\"the line is dead\", \"no dial tone\"] }\n\
                [aliases.topic]\npost = \"letters\"\nletters = \"mail\"\n\
                [sla]\nP1 = { response = \"5m\", resolution = \"2h\" }\n";
    let taxonomy = parse(&format!("{MATRIX}{text}")).unwrap();
    assert_eq!(taxonomy.fields["topic"].len(), 2);
    assert_eq!(taxonomy.retired["topic"], [Label::new("fax", "Paper.")]);
    assert_eq!(taxonomy.label("topic", "phone").unwrap().examples.len(), 2);
    assert_eq!((taxonomy.current("topic", "post"), taxonomy.current("topic", "fax")), (Some("mail"), None));
    let p1 = taxonomy.sla.of(Priority::ALL[0]);
    assert_eq!((p1.response().as_secs(), p1.resolution().as_secs()), (300, 7_200));
    assert_eq!(taxonomy.sla.of(Priority::ALL[1]), SlaTargets::default().of(Priority::ALL[1]));
}

#[test]
fn what_is_wrong_with_labels_targets_and_former_names_is_named_together() {
    let text = "[fields.topic]\nmail = 1\nfax = { descripton = \"x\" }\nphone = { retired = \"yes\" }\nok = \"\"\n\
                pager = { examples = \"one\" }\n[fields.old]\nx = { retired = true }\n\
                [sla]\nP9 = { response = \"5m\", resolution = \"2h\" }\nP1 = { response = \"5\", resolution = \"soon\" }\n\
                P2 = { response = \"3h\", resolution = \"2h\" }\n";
    let problems = parse(&format!("{MATRIX}{text}")).unwrap_err().problems.join("\n");
    for part in [
        "fields.topic: `mail` must be a description, or a table",
        "fields.topic: `fax` has the unknown key `descripton`",
        "fields.topic: `phone` must be retired = true",
        "fields.topic: `pager` has examples that are no list of strings",
        "fields.old: has no labels",
        "sla.P9: must be one of P1 to P5",
        "sla.P1.response: `5` is no time such as 15m",
        "sla.P1.resolution: `soon`",
        "sla.P2: a response within 3h comes after the resolution within 2h",
    ] {
        assert!(problems.contains(part), "{part} is missing in\n{problems}");
    }
    let aliases = "[fields.topic]\na = \"\"\n[aliases.topic]\nx = \"y\"\ny = \"x\"\n";
    let problems = parse(&format!("{MATRIX}{aliases}")).unwrap_err().problems.join("\n");
    assert!(problems.contains("aliases.topic: `x` leads back to itself"), "{problems}");
    let aliases = "[fields.topic]\na = \"\"\nb = \"\"\n[aliases.topic]\na = \"b\"\nx = \"nowhere\"\n";
    let problems = parse(&format!("{MATRIX}{aliases}")).unwrap_err().problems.join("\n");
    assert!(
        problems.contains("`a` is a label of the field") && problems.contains("`nowhere`, which is no label"),
        "{problems}"
    );
    let hole = MATRIX.replace("medium = [2, 3, 4]", "medium = [2, 4]").replace("low = [3, 4, 5]\n", "");
    let problems = parse(&hole).unwrap_err().problems.join("\n");
    assert!(problems.contains("matrix.medium: needs a priority for each urgency"), "{problems}");
    assert!(problems.contains("matrix.low: needs a priority for each urgency"), "{problems}");
}

/// That a taxonomy is written so that it reads the same, version included.
fn check_written(taxonomy: &Taxonomy) {
    let text = write(taxonomy);
    assert_eq!(&parse_kept(&text).unwrap(), taxonomy, "{text}");
    assert_eq!(write(&parse_kept(&text).unwrap()), text);
}

#[test]
fn a_taxonomy_is_written_so_that_it_reads_the_same() {
    let default = load(None).unwrap();
    check_written(&default);
    let learnt: LearntLabels = [("odd \"field\"".to_owned(), vec!["a.b = c".to_owned(), "ü\\n".to_owned()])].into();
    let example = "first line\nsecond \"line\"\twith a tab, \u{7f} and \u{1}\r\n".to_owned();
    let label = Label { examples: vec![example], ..Label::new("new/one", "What's \"new\"\n'''and more'''") };
    let changes = [
        TaxonomyChange::AddLabel { field: "odd \"field\"".into(), label },
        TaxonomyChange::Rename { field: "odd \"field\"".into(), from: "a.b = c".into(), to: "plain".into() },
        TaxonomyChange::Retire { field: "odd \"field\"".into(), value: "ü\\n".into() },
        TaxonomyChange::SetRoute {
            field: "assignment_group".into(),
            route: RouteSetting::Autofill(Precision::new(0.937).unwrap()),
        },
    ];
    check_written(&with_version(default.changed(&changes, &learnt).unwrap()));
}

#[test]
fn comments_and_order_make_no_other_version_and_content_does() {
    let text = format!("{MATRIX}[groups]\nb = \"B\"\na = \"A\"\n");
    let version = |text: &str| parse(text).unwrap().version;
    assert_eq!(version(&text), version(&format!("# ours\n{MATRIX}[groups]\na = \"A\"\nb = \"B\"\n")));
    assert_ne!(version(&text), version(&text.replace("\"A\"", "\"C\"")));
    assert!(version(&text.replace("\"x\"", "\"a+b\"")).starts_with("a+b+"));
}

proptest! {
    #[test]
    fn whatever_labels_say_is_written_so_that_it_reads_the_same(
        values in prop::collection::btree_set("\\PC{1,12}", 1..6),
        description in ".{0,40}",
        example in "\\PC{0,5}[a-z].{0,40}",
    ) {
        let mut labels: Vec<Label> = values.into_iter()
            .filter(|value| value.split('/').all(|level| !level.trim().is_empty()))
            .filter(|value| !value.chars().any(crate::domain::steering::steers))
            .map(|value| Label { value, description: description.clone(), examples: vec![example.clone()] })
            .collect();
        labels.sort_by(|a, b| a.value.cmp(&b.value));
        prop_assume!(!labels.is_empty());
        let fields = [("topic".to_owned(), labels)].into();
        let taxonomy = Taxonomy { version: "x+".to_owned(), fields, restricts: true, ..Taxonomy::default() };
        check_written(&with_version(taxonomy));
    }
}

proptest! {
    #[test]
    fn whatever_a_file_holds_it_is_read_or_refused(
        place in 0_usize..8_000,
        length in 0_usize..40,
        other in "(\\PC|[\\[\\]{}=\"\n]){0,20}",
    ) {
        let place = DEFAULT.floor_char_boundary(place.min(DEFAULT.len()));
        let end = DEFAULT.floor_char_boundary((place + length).min(DEFAULT.len())).max(place);
        let text = format!("{}{other}{}", &DEFAULT[..place], &DEFAULT[end..]);
        if let Ok(taxonomy) = parse(&text) {
            check_written(&taxonomy);
        }
    }
}

#[test]
fn a_description_may_have_lines_and_what_was_kept_before_is_still_read() {
    let lines = format!("{MATRIX}[fields.topic]\na = \"\"\"Mail.\r\n\tCalendar.\n\"\"\"\n");
    assert!(parse(&lines).unwrap().fields["topic"][0].description.contains("\tCalendar."));
    let kept = format!("{MATRIX}[fields.topic]\na = \"Mail.\\u200B\"\n");
    assert!(parse(&kept).is_err());
    assert_eq!(parse_kept(&kept).unwrap().fields["topic"][0].description, "Mail.\u{200b}");
}
