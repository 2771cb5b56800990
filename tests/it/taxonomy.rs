//! The taxonomy, changed while it is in force: at a server and by file.

use std::{
    fs::{self, File},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use serde_json::Value;
use ticket_triage::pb::{self, taxonomy_change::Change, triage_result};
use tonic::{Code, Status};

use crate::harness::{
    HeldWrites, ServerProcess, TestServer, field, file, get, in_time, reason, request, run, violated_fields,
    vpn_ticket, with_form,
};

const CATEGORY: &str = "category";

fn rename(from: &str, to: &str) -> Change {
    Change::Rename(pb::RenameLabel { field: CATEGORY.to_owned(), from: from.to_owned(), to: to.to_owned() })
}

fn merge(into: &str, from: &str) -> Change {
    Change::Merge(pb::MergeLabels { field: CATEGORY.to_owned(), into: into.to_owned(), from: vec![from.to_owned()] })
}

fn retire(value: &str) -> Change {
    Change::Retire(pb::RetireLabel { field: CATEGORY.to_owned(), value: value.to_owned() })
}

fn change(change: Change) -> pb::ChangeTaxonomyRequest {
    let changes = vec![pb::TaxonomyChange { change: Some(change) }];
    pb::ChangeTaxonomyRequest { changes, changed_by: "ann".to_owned(), ..pb::ChangeTaxonomyRequest::default() }
}

async fn make(server: &TestServer, what: Change) -> pb::TaxonomyRevision {
    server.taxonomy().await.change_taxonomy(change(what)).await.unwrap().into_inner().revision.unwrap()
}

async fn decide(server: &TestServer, ticket: pb::Ticket) -> pb::Decision {
    server.triage().await.triage_ticket(request(ticket)).await.unwrap().into_inner().decision.unwrap()
}

async fn in_force(server: &TestServer) -> pb::GetTaxonomyResponse {
    server.taxonomy().await.get_taxonomy(pb::GetTaxonomyRequest {}).await.unwrap().into_inner()
}

#[tokio::test]
async fn a_change_is_in_force_with_the_next_call() {
    let server = TestServer::start().await;
    let before = decide(&server, vpn_ticket("1")).await;
    assert_eq!(field(&before, CATEGORY).value, "network/vpn");

    let revision = make(&server, rename("network", "net")).await;
    assert_eq!(revision.number, 2);
    let renamed: Vec<_> = revision.fields[0].renamed.iter().map(|moved| (&*moved.from, &*moved.to)).collect();
    assert!(renamed.contains(&("network/vpn", "net/vpn")) && renamed.len() == 4, "{renamed:?}");
    let decision = decide(&server, vpn_ticket("1")).await;
    let category = field(&decision, CATEGORY);
    assert_eq!((&*category.value, category.confidence), ("net/vpn", field(&before, CATEGORY).confidence));
    assert_eq!(category.evidence, field(&before, CATEGORY).evidence);
    assert_eq!(field(&decision, "assignment_group").value, "net");
    assert_eq!(decision.versions.unwrap().taxonomy, revision.version);
    let form = with_form(vpn_ticket("1"), &[(CATEGORY, "network/vpn")]);
    let category = field(&decide(&server, form).await, CATEGORY).clone();
    assert_eq!((&*category.value, category.source(), category.disagreement), ("net/vpn", pb::ValueSource::Form, false));

    let merged = make(&server, merge("hardware/mobile", "net/vpn")).await;
    let decision = decide(&server, vpn_ticket("1")).await;
    assert_eq!(field(&decision, CATEGORY).value, "hardware/mobile");
    assert!(field(&decision, CATEGORY).confidence >= field(&before, CATEGORY).confidence);
    assert!(!field(&decision, CATEGORY).evidence.is_empty());
    assert_ne!(merged.version, revision.version);

    make(&server, retire("hardware")).await;
    let decision = decide(&server, vpn_ticket("1")).await;
    let category = field(&decision, CATEGORY);
    assert!(category.candidates.iter().all(|candidate| !candidate.value.starts_with("hardware")), "{category:?}");
    assert_ne!(category.abstention(), pb::Abstention::Unspecified);
    let info = server.triage().await.get_server_info(pb::GetServerInfoRequest {}).await.unwrap().into_inner();
    let labels = &info.fields.iter().find(|field| field.field == CATEGORY).unwrap().labels;
    assert!(labels.iter().all(|label| !label.value.starts_with("hardware") && label.value != "network/vpn"));

    let taxonomy = in_force(&server).await;
    assert_eq!((taxonomy.number, taxonomy.file.as_str()), (4, ""));
    let fields = taxonomy.taxonomy.unwrap().fields;
    let label = |value: &str| {
        let labels = &fields.iter().find(|field| field.field == CATEGORY).unwrap().labels;
        labels.iter().find(|label| label.value == value).unwrap().clone()
    };
    assert!(label("hardware/mobile").retired);
    assert_eq!(label("hardware/mobile").former_names, ["net/vpn", "network/vpn"]);
    assert_eq!(label("net/telephony").former_names, ["network/telephony"]);
    server.stop().await;
}

#[tokio::test]
async fn what_training_certified_counts_under_another_name() {
    let server = TestServer::start().await;
    let route = pb::FieldRoute { field: CATEGORY.to_owned(), route: pb::Route::Autofill.into(), precision: Some(0.9) };
    make(&server, Change::SetRoute(route)).await;
    let route_of = async |name: &str| {
        let decision = decide(&server, vpn_ticket("1")).await;
        assert_eq!(field(&decision, CATEGORY).value, name);
        field(&decision, CATEGORY).route()
    };
    assert_eq!(route_of("network/vpn").await, pb::Route::Autofill);
    make(&server, rename("network", "net")).await;
    assert_eq!(route_of("net/vpn").await, pb::Route::Autofill);
    make(&server, merge("hardware/mobile", "net/vpn")).await;
    assert_eq!(route_of("hardware/mobile").await, pb::Route::Autofill);
    server.stop().await;
}

#[tokio::test]
async fn priority_targets_impact_and_groups_follow_the_tables_of_now() {
    let server = TestServer::start().await;
    let ticket = || with_form(vpn_ticket("1"), &[("impact", "low"), ("urgency", "low"), (CATEGORY, "network/vpn")]);
    let hours = |hours: i64| Some(prost_types::Duration { seconds: 3_600 * hours, nanos: 0 });
    let priority = decide(&server, ticket()).await.priority.unwrap();
    let target = priority.sla.unwrap();
    assert_eq!((&*priority.priority, target.response, target.resolution), ("P5", hours(24), hours(168)));

    let target = pb::SlaTarget { response: hours(1), resolution: hours(2) };
    make(&server, Change::SetSla(pb::SlaEntry { priority: "P1".to_owned(), target: Some(target) })).await;
    let row = |low: &str| Some(pb::PriorityRow { high: "P1".into(), medium: "P2".into(), low: low.into() });
    let matrix = pb::PriorityMatrix { high: row("P3"), medium: row("P3"), low: row("P1") };
    let revision = make(&server, Change::SetMatrix(matrix)).await;
    assert!(revision.warnings.iter().any(|warning| warning.contains("not monotonic")), "{:?}", revision.warnings);
    let group = pb::GroupAssignment { category: "network".to_owned(), group: "NOC".to_owned() };
    make(&server, Change::SetGroup(group)).await;
    let vip = pb::ImpactSource {
        kind: pb::ImpactSourceKind::Requester.into(),
        name: "Ann".to_owned(),
        impact: "high".to_owned(),
    };
    make(&server, Change::SetImpactSource(vip)).await;
    let route = pb::FieldRoute { field: "type".to_owned(), route: pb::Route::Off.into(), precision: None };
    make(&server, Change::SetRoute(route)).await;

    let decision = decide(&server, ticket()).await;
    let priority = decision.priority.clone().unwrap();
    let target = priority.sla.unwrap();
    assert_eq!((&*priority.priority, target.response, target.resolution), ("P1", hours(1), hours(2)));
    assert_eq!(field(&decision, "assignment_group").value, "NOC");
    assert!(decision.fields.iter().all(|field| field.field != "type"));
    assert_eq!(decision.versions.unwrap().matrix, "123/123/121");
    let vip = pb::Ticket { requester: "ann".to_owned(), ..vpn_ticket("1") };
    assert_eq!(field(&decide(&server, vip).await, "impact").value, "high");
    // Nothing was said about labels: the model's are proposed as before.
    assert!(!in_force(&server).await.taxonomy.unwrap().restricts);
    server.stop().await;
}

#[tokio::test]
async fn a_dry_run_says_what_would_change_and_changes_nothing() {
    let server = TestServer::start().await;
    let before = in_force(&server).await;
    let dry = pb::ChangeTaxonomyRequest { validate_only: true, ..change(rename("network", "net")) };
    let revision = server.taxonomy().await.change_taxonomy(dry).await.unwrap().into_inner().revision.unwrap();
    assert_eq!((revision.number, revision.fields[0].renamed.len()), (0, 4));
    assert_eq!(in_force(&server).await, before);
    let versions = pb::ListTaxonomyVersionsRequest::default();
    let versions = server.taxonomy().await.list_taxonomy_versions(versions).await.unwrap().into_inner().versions;
    assert!(versions.is_empty());
    // What it said is what comes of it.
    assert_eq!(make(&server, rename("network", "net")).await.version, revision.version);
    // The same document again is nothing new.
    let document = in_force(&server).await.document;
    let same = pb::ApplyTaxonomyRequest { document, ..pb::ApplyTaxonomyRequest::default() };
    let same = server.taxonomy().await.apply_taxonomy(same).await.unwrap().into_inner().revision.unwrap();
    assert_eq!((same.number, same.version, same.changes.len()), (0, revision.version, 0));
    server.stop().await;
}

#[tokio::test]
async fn confirmed_tickets_that_bear_the_labels_are_counted() {
    let server = TestServer::start().await;
    let ticket = |id: &str, category: &str| pb::ConfirmedTicket {
        id: id.to_owned(),
        summary: "VPN drops".to_owned(),
        labels: [(CATEGORY.to_owned(), category.to_owned())].into(),
        ..pb::ConfirmedTicket::default()
    };
    let tickets = vec![ticket("1", "network/vpn"), ticket("2", "network/vpn"), ticket("3", "hardware/printer")];
    let frame = pb::UpsertTicketsRequest { tickets, validate_only: false };
    server.memory().await.upsert_tickets(tokio_stream::iter([frame])).await.unwrap();
    assert_eq!(make(&server, rename("network", "net")).await.concerned_tickets, 2);
    // Under the name that they had.
    assert_eq!(make(&server, retire("net/vpn")).await.concerned_tickets, 2);
    server.stop().await;
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_its_place_and_changes_nothing() {
    let server = TestServer::start().await;
    let before = in_force(&server).await;
    let row = || Some(pb::PriorityRow { high: "P1".into(), medium: "P2".into(), low: "P3".into() });
    let hole = pb::PriorityMatrix { high: row(), medium: None, low: row() };
    let route = pb::FieldRoute { field: "type".into(), route: pb::Route::Autofill.into(), precision: Some(95.0) };
    let check = async |request: pb::ChangeTaxonomyRequest, expected: &[&str], said: &str| {
        let status: Status = server.taxonomy().await.change_taxonomy(request).await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "INVALID_REQUEST"));
        assert_eq!(violated_fields(&status), expected);
        assert!(status.message().contains(said), "{said} is missing in {}", status.message());
    };
    check(
        change(Change::SetMatrix(hole)),
        &["changes[0].set_matrix"],
        "impact medium, urgency high: `` is no priority",
    )
    .await;
    check(
        change(rename("network/vpn", "network/telephony")),
        &["changes[0].rename"],
        "has a label `network/telephony`",
    )
    .await;
    check(change(merge("network", "network/vpn")), &["changes[0].merge"], "cannot be merged with one above or below")
        .await;
    check(change(merge("network/vpn", "network/vpn")), &["changes[0].merge"], "merged with itself").await;
    check(change(retire("nowhere")), &["changes[0].retire"], "no label `nowhere`").await;
    check(change(Change::SetRoute(route)), &["changes[0].set_route.precision"], "must be from 0.5").await;
    let none = pb::ChangeTaxonomyRequest::default();
    check(none, &["changes"], "must be 1 to 1000").await;
    let unset = pb::ChangeTaxonomyRequest { changes: vec![pb::TaxonomyChange { change: None }], ..change(retire("x")) };
    check(unset, &["changes[0]"], "must be one of the changes").await;
    let long = pb::ChangeTaxonomyRequest { changed_by: "x".repeat(257), ..change(retire("network")) };
    check(long, &["changed_by"], "at most 256").await;
    // One that is wrong holds up all.
    let mut both = change(retire("network"));
    both.changes.push(pb::TaxonomyChange { change: Some(retire("network/vpn")) });
    check(both, &["changes[1].retire"], "is retired").await;

    let document = before.document.replace("high = [1, 2, 3]", "high = [1, 2]");
    let wrong = pb::ApplyTaxonomyRequest { document, ..pb::ApplyTaxonomyRequest::default() };
    let status = server.taxonomy().await.apply_taxonomy(wrong).await.unwrap_err();
    assert_eq!((status.code(), violated_fields(&status)), (Code::InvalidArgument, vec!["document".to_owned()]));
    let document = before.document.replacen("version = \"", "version = \"\\u202E", 1);
    let unseen = pb::ApplyTaxonomyRequest { document, ..pb::ApplyTaxonomyRequest::default() };
    let status = server.taxonomy().await.apply_taxonomy(unseen).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("version: must hold no control or invisible characters"), "{status}");
    let unknown = pb::RevertTaxonomyRequest { number: 9, ..pb::RevertTaxonomyRequest::default() };
    let status = server.taxonomy().await.revert_taxonomy(unknown).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::NotFound, "NOT_FOUND"));
    let token = pb::ListTaxonomyVersionsRequest { page_size: Some(0), page_token: "x".to_owned() };
    let status = server.taxonomy().await.list_taxonomy_versions(token).await.unwrap_err();
    assert_eq!(violated_fields(&status), ["page_size", "page_token"]);
    assert_eq!(in_force(&server).await, before);
    server.stop().await;
}

#[tokio::test]
async fn of_changes_that_were_made_for_the_same_version_one_wins() {
    let server = TestServer::start().await;
    let version = in_force(&server).await.taxonomy.unwrap().version;
    let mut calls = Vec::new();
    for name in 0..8 {
        let mut client = server.taxonomy().await;
        let asked = change(rename("network/vpn", &format!("network/tunnel{name}")));
        let asked = pb::ChangeTaxonomyRequest { expected_version: version.clone(), ..asked };
        calls.push(tokio::spawn(async move { client.change_taxonomy(asked).await }));
    }
    let mut won = Vec::new();
    for call in calls {
        match in_time(call).await.unwrap() {
            Ok(answer) => won.push(answer.into_inner().revision.unwrap().version),
            Err(status) => {
                assert_eq!((status.code(), reason(&status).as_str()), (Code::Aborted, "TAXONOMY_CHANGED"));
            }
        }
    }
    assert_eq!(won, [in_force(&server).await.taxonomy.unwrap().version]);
    server.stop().await;
}

#[tokio::test]
async fn under_load_no_call_fails_and_none_is_decided_by_two_taxonomies() {
    let server = TestServer::start().await;
    let stop = Arc::new(AtomicBool::new(false));
    let (mut client, stopped) = (server.triage().await, Arc::clone(&stop));
    let batches = tokio::spawn(async move {
        let mut count = 0;
        while !stopped.load(Ordering::Relaxed) {
            let features = vec![pb::Feature::Fields.into()];
            let tickets = vec![vpn_ticket("1"); 32];
            let batch = pb::BatchTriageTicketsRequest { tickets, features, top_n: None };
            let results = client.batch_triage_tickets(batch).await.unwrap().into_inner().results;
            let mut found = results.into_iter().map(|result| match result.result.unwrap() {
                triage_result::Result::Decision(decision) => {
                    let category = field(&decision, CATEGORY).value.clone();
                    (category, decision.versions.unwrap().taxonomy)
                }
                triage_result::Result::Error(error) => panic!("refused: {error:?}"),
            });
            let first = found.next().unwrap();
            assert!(found.all(|other| other == first), "two taxonomies decided one batch");
            count += 1;
        }
        count
    });
    let mut names = ["network/vpn", "network/tunnel"];
    for _ in 0..20 {
        make(&server, rename(names[0], names[1])).await;
        let decision = decide(&server, vpn_ticket("1")).await;
        assert_eq!(field(&decision, CATEGORY).value, names[1]);
        names.reverse();
    }
    stop.store(true, Ordering::Relaxed);
    assert!(in_time(batches).await.unwrap() > 0);
    let (_, metrics) = server.admin("/metrics").await;
    assert!(metrics.contains("triage_taxonomy_changes_total{cause=\"call\",outcome=\"replaced\"}"), "{metrics}");
    server.stop().await;
}

#[tokio::test]
async fn every_version_is_listed_and_can_be_brought_back() {
    let server = TestServer::start().await;
    let before = in_force(&server).await;
    make(&server, retire("network")).await;
    make(&server, rename("hardware", "devices")).await;
    let page = async |token: String| {
        let request = pb::ListTaxonomyVersionsRequest { page_size: Some(2), page_token: token };
        server.taxonomy().await.list_taxonomy_versions(request).await.unwrap().into_inner()
    };
    let first = page(String::new()).await;
    let numbers = |page: &pb::ListTaxonomyVersionsResponse| -> Vec<u64> {
        page.versions.iter().map(|version| version.number).collect()
    };
    assert_eq!((numbers(&first), first.versions[0].changed_by.as_str()), (vec![3, 2], "ann"));
    assert!(first.versions[1].changes.iter().any(|change| change == "category: retired network/vpn"));
    let last = page(first.next_page_token).await;
    assert_eq!((numbers(&last), last.next_page_token.as_str()), (vec![1], ""));

    let revert = pb::RevertTaxonomyRequest { number: 1, ..pb::RevertTaxonomyRequest::default() };
    let reverted = server.taxonomy().await.revert_taxonomy(revert).await.unwrap().into_inner().revision.unwrap();
    assert_eq!(reverted.number, 4);
    let now = in_force(&server).await;
    assert_eq!((now.document, now.taxonomy), (before.document, before.taxonomy));
    assert_eq!(field(&decide(&server, vpn_ticket("1")).await, CATEGORY).value, "network/vpn");
    server.stop().await;
}

async fn version_of(server: &ServerProcess) -> String {
    let info = server.triage().await.get_server_info(pb::GetServerInfoRequest {}).await.unwrap().into_inner();
    info.versions.unwrap().taxonomy
}

#[tokio::test]
async fn a_change_that_was_acknowledged_survives_a_kill_and_another_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(folder.path(), &[]).await;
    let answer = server.taxonomy().await.change_taxonomy(change(rename("network", "net"))).await.unwrap();
    let version = answer.into_inner().revision.unwrap().version;
    let held = HeldWrites::new(folder.path());
    let mut client = server.taxonomy().await;
    let cut_off = tokio::spawn(async move { client.change_taxonomy(change(retire("net"))).await });
    assert_eq!(version_of(&server).await, version);
    server.signal("KILL");
    assert_eq!(server.exit_code().await, None);
    drop(held);
    in_time(cut_off).await.unwrap().unwrap_err();

    let server = ServerProcess::start(folder.path(), &[]).await;
    assert_eq!(version_of(&server).await, version);
    server.signal("TERM");
    assert_eq!(server.exit_code().await, Some(0));
    // Commands on the same folder decide with it, too.
    let data_dir = folder.path().to_str().unwrap();
    let outcome = run(["classify", "--data-dir", data_dir, "--json", "VPN drops every few minutes from home"]);
    let document: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(
        (&document["fields"]["category"]["value"], &document["versions"]["taxonomy"]),
        (&"net/vpn".into(), &version.into())
    );
}

const FILE: &str = "version = \"desk\"\n[matrix]\nhigh = [1, 2, 3]\nmedium = [2, 3, 4]\nlow = [3, 4, 5]\n";

/// Asks the admin address until the file was read again with this outcome.
async fn wait_for_reading(admin: &str, outcome: &str) {
    let wanted = format!("triage_taxonomy_changes_total{{cause=\"file\",outcome=\"{outcome}\"}} 1");
    in_time(async {
        while !get(admin.to_owned(), "/metrics").await.1.lines().any(|line| line == wanted) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_file_is_the_truth_and_is_read_again_on_sighup() {
    let folder = tempfile::tempdir().unwrap();
    file(folder.path(), "taxonomy.toml", FILE);
    let config = file(folder.path(), "triage.toml", "[taxonomy]\nfile = \"taxonomy.toml\"\n");
    let (data_dir, log) = (folder.path().join("data"), folder.path().join("log"));
    let (server, admin) =
        ServerProcess::start_with_admin(&data_dir, &["--config", &config], File::create(&log).unwrap()).await;
    let before = version_of(&server).await;
    let status = server.taxonomy().await.change_taxonomy(change(retire("network"))).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::FailedPrecondition, "TAXONOMY_IN_FILE"));
    assert!(status.message().contains("SIGHUP"), "{}", status.message());
    let served = server.taxonomy().await.get_taxonomy(pb::GetTaxonomyRequest {}).await.unwrap().into_inner();
    assert!(served.file.ends_with("taxonomy.toml"), "{}", served.file);

    file(folder.path(), "taxonomy.toml", FILE.replace("5]", "9]"));
    server.signal("HUP");
    wait_for_reading(&admin, "refused").await;
    assert_eq!(version_of(&server).await, before);
    file(folder.path(), "taxonomy.toml", format!("# the same\n{FILE}"));
    server.signal("HUP");
    wait_for_reading(&admin, "unchanged").await;
    file(
        folder.path(),
        "taxonomy.toml",
        format!(
            "{FILE}[aliases.category]\n\"network/vpn\" = \"remote\"\n[fields.category]\nremote = \"\"\nother = \"\"\n"
        ),
    );
    server.signal("HUP");
    wait_for_reading(&admin, "replaced").await;
    let decision = server.triage().await.triage_ticket(request(vpn_ticket("1"))).await.unwrap().into_inner();
    assert_eq!(field(&decision.decision.unwrap(), CATEGORY).value, "remote");
    server.signal("TERM");
    assert_eq!(server.exit_code().await, Some(0));
    let log = fs::read_to_string(log).unwrap();
    for part in ["the taxonomy is refused", "matrix.low", "is the same", "another taxonomy is in force"] {
        assert!(log.contains(part), "{part:?} is missing in\n{log}");
    }
    let refused = run(["taxonomy", "retire", "category", "network", "--config", &config]);
    refused.check(1, &["taxonomy.toml", "SIGHUP"]);
}
