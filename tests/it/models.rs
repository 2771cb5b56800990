//! `ModelService` and `triage model`: which model serves, how another takes over, and what that rests on.

use std::{
    fs::{self, File},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use serde_json::Value;
use ticket_triage::pb::{self, JobState, ModelOrigin, ModelState, model_service_client::ModelServiceClient};
use tonic::{Code, Status, transport::Channel};

use crate::{
    harness::{ServerProcess, TestServer, in_time, program, reason, request, run, ticket, violated_fields},
    jobs::{ended, until},
    reload::{send_batches, train},
};

type Client = ModelServiceClient<Channel>;

/// A server that may read bundles and files in `folder`.
fn allowing(folder: &Path) -> String {
    format!("[jobs]\nfolders = [{:?}]\n", folder.to_str().unwrap())
}

async fn import(client: &mut Client, bundle: &Path) -> pb::Model {
    let request = pb::ImportModelRequest { path: bundle.to_str().unwrap().to_owned(), by: "ann".to_owned() };
    client.import_model(request).await.unwrap().into_inner().model.unwrap()
}

async fn activate(client: &mut Client, version: &str, expected: &str) -> Result<pb::ActivateModelResponse, Status> {
    let (version, expected_active) = (version.to_owned(), expected.to_owned());
    let request =
        pb::ActivateModelRequest { version, expected_active, by: "ann".to_owned(), reason: "a test".to_owned() };
    Ok(client.activate_model(request).await?.into_inner())
}

async fn list(client: &mut Client) -> pb::ListModelsResponse {
    client.list_models(pb::ListModelsRequest {}).await.unwrap().into_inner()
}

/// Confirmed tickets of two topics.
async fn confirm(server: &TestServer, numbers: std::ops::Range<usize>) {
    let confirmed = numbers.map(|number| {
        let (text, topic) = [("vpn drops in branch", "network"), ("printer jams in branch", "printing")][number % 2];
        pb::ConfirmedTicket {
            id: format!("T{number}"),
            summary: format!("{text} {number}"),
            labels: [("topic".to_owned(), topic.to_owned())].into(),
            ..pb::ConfirmedTicket::default()
        }
    });
    let frame = pb::UpsertTicketsRequest { tickets: confirmed.collect(), validate_only: false };
    server.memory().await.upsert_tickets(tokio_stream::iter([frame])).await.unwrap();
}

fn training() -> pb::TrainModelRequest {
    pb::TrainModelRequest { spec: Some(pb::TrainingSpec::default()), request_id: String::new(), by: "ann".to_owned() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_swaps_under_load_fail_no_call_and_mix_no_answer() {
    let folder = tempfile::tempdir().unwrap();
    let bundles = ["old", "new"].map(|name| folder.path().join(name));
    for (bundle, prefix) in bundles.iter().zip(["old", "new"]) {
        train(folder.path(), bundle, prefix);
    }
    let server = TestServer::start_with(&allowing(folder.path())).await;
    let mut client = server.models().await;
    let versions = [import(&mut client, &bundles[0]).await.version, import(&mut client, &bundles[1]).await.version];
    activate(&mut client, &versions[0], "embedded").await.unwrap();

    let stop = Arc::new(AtomicBool::new(false));
    let batches = tokio::spawn(send_batches(server.triage().await, Arc::clone(&stop)));
    let calls = tokio::spawn({
        let (mut client, stop, versions) = (server.triage().await, Arc::clone(&stop), versions.clone());
        async move {
            while !stop.load(Ordering::Relaxed) {
                let answer = client.triage_ticket(request(ticket("the printer jams again", ""))).await;
                let decision = answer.unwrap().into_inner().decision.unwrap();
                let model = decision.versions.unwrap().model;
                let prefix = if model == versions[0] { "old-" } else { "new-" };
                assert!(decision.fields[0].value.starts_with(prefix), "{model} answers {:?}", decision.fields);
            }
        }
    });
    for swap in 1..=100 {
        let (next, before) = (&versions[swap % 2], &versions[(swap + 1) % 2]);
        let activated = activate(&mut client, next, before).await.unwrap();
        assert_eq!(activated.previous, *before);
        let info = server.triage().await.get_server_info(pb::GetServerInfoRequest {}).await.unwrap().into_inner();
        assert_eq!(info.versions.unwrap().model, *next, "an activation is seen by the next call");
    }
    stop.store(true, Ordering::Relaxed);
    in_time(batches).await.unwrap();
    in_time(calls).await.unwrap();
    let (_, metrics) = server.admin("/metrics").await;
    let swaps = metrics.lines().find_map(|line| line.strip_prefix("triage_model_swaps_total ")).unwrap();
    assert!(swaps.parse::<u32>().unwrap() >= 100, "{swaps}");

    let request = pb::ListActivationsRequest { page_size: Some(60), page_token: String::new() };
    let first = client.list_activations(request).await.unwrap().into_inner();
    let request = pb::ListActivationsRequest { page_size: Some(60), page_token: first.next_page_token };
    let second = client.list_activations(request).await.unwrap().into_inner();
    assert_eq!((first.activations.len(), second.activations.len(), second.next_page_token.as_str()), (60, 41, ""));
    assert_eq!((first.activations[0].by.as_str(), first.activations[0].reason.as_str()), ("ann", "a test"));
    server.stop().await;
}

#[tokio::test]
async fn what_must_not_be_is_refused_and_leaves_everything_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("bundle");
    train(folder.path(), &bundle, "one");
    let taxonomy = include_str!("../../models/default/taxonomy.toml");
    let configuration = format!("{}[taxonomy]\nfile = \"taxonomy.toml\"\n", allowing(folder.path()));
    let (server, started) = TestServer::launch(&configuration, Some(taxonomy), || ()).await;
    started.await.unwrap();
    let mut client = server.models().await;
    let version = import(&mut client, &bundle).await.version;
    let before = list(&mut client).await;

    let check = |status: Status, code: Code, expected: &str, part: &str| {
        assert_eq!((status.code(), reason(&status).as_str()), (code, expected), "{status:?}");
        assert!(status.message().contains(part), "{status:?}");
    };
    let lacking = activate(&mut client, &version, "").await.unwrap_err();
    check(lacking, Code::FailedPrecondition, "MODEL_STATE", "has not learnt category, impact");
    let unknown = activate(&mut client, "nobody+1", "").await.unwrap_err();
    check(unknown, Code::NotFound, "NOT_FOUND", "nobody+1");
    let late = activate(&mut client, "embedded", &version).await.unwrap_err();
    check(late, Code::FailedPrecondition, "MODEL_STATE", "is active and not");
    let nothing = client.rollback_model(pb::RollbackModelRequest::default()).await.unwrap_err();
    check(nothing, Code::FailedPrecondition, "MODEL_STATE", "no other model was active");
    let active = before.serving_version.clone();
    let deleted = client.delete_model(pb::DeleteModelRequest { version: active.clone() }).await.unwrap_err();
    check(deleted, Code::FailedPrecondition, "MODEL_STATE", "cannot be deleted");
    let shadow = client.set_shadow(pb::SetShadowRequest { version: active }).await.unwrap_err();
    check(shadow, Code::FailedPrecondition, "MODEL_STATE", "its own shadow");
    let outside = pb::ImportModelRequest { path: "/etc".to_owned(), by: String::new() };
    check(client.import_model(outside).await.unwrap_err(), Code::PermissionDenied, "PATH_NOT_ALLOWED", "/etc");
    let no_bundle = pb::ImportModelRequest { path: folder.path().to_str().unwrap().to_owned(), by: "x".repeat(300) };
    assert_eq!(violated_fields(&client.import_model(no_bundle.clone()).await.unwrap_err()), ["by"]);
    let no_bundle = pb::ImportModelRequest { by: String::new(), ..no_bundle };
    assert_eq!(violated_fields(&client.import_model(no_bundle).await.unwrap_err()), ["path"]);
    let blank = client.get_model(pb::GetModelRequest::default()).await.unwrap_err();
    assert_eq!(violated_fields(&blank), ["version"]);
    let compare = pb::CompareModelsRequest { first: String::new(), second: String::new(), tickets: Some(0) };
    assert_eq!(violated_fields(&client.compare_models(compare).await.unwrap_err()), ["second", "tickets"]);
    let file = pb::TrainingFile { path: String::new(), text_columns: Vec::new(), label_columns: vec!["x".to_owned()] };
    let spec = Some(pb::TrainingSpec { files: vec![file], ..pb::TrainingSpec::default() });
    let refused = client.train_model(pb::TrainModelRequest { spec, ..training() }).await.unwrap_err();
    assert_eq!(violated_fields(&refused), ["spec.files[0].path", "spec.files[0].text_columns"]);
    let spec = Some(pb::TrainingSpec { name: "../x".to_owned(), ..pb::TrainingSpec::default() });
    let refused = client.train_model(pb::TrainModelRequest { spec, ..training() }).await.unwrap_err();
    assert_eq!(violated_fields(&refused), ["spec"]);
    assert_eq!(list(&mut client).await, before);
    server.stop().await;
}

#[tokio::test]
async fn a_model_is_trained_by_a_job_shadows_silently_and_is_compared() {
    let server = TestServer::start().await;
    confirm(&server, 0..120).await;
    let (mut client, mut jobs) = (server.models().await, server.jobs().await);
    let asked = pb::TrainModelRequest { request_id: "weekly".to_owned(), ..training() };
    let job = client.train_model(asked.clone()).await.unwrap().into_inner().job.unwrap();
    assert!(matches!(job.work, Some(pb::job::Work::Training(_))));
    assert_eq!(client.train_model(asked).await.unwrap().into_inner().job.unwrap().id, job.id);
    let job = ended(&mut jobs, &job.id).await;
    assert_eq!((job.state(), job.progress.unwrap().done), (JobState::Done, 120));
    let models = list(&mut client).await.models;
    let trained = models.iter().find(|model| model.job_id == job.id).unwrap();
    assert_eq!((trained.origin(), trained.state(), models.len()), (ModelOrigin::Trained, ModelState::Candidate, 2));
    let report = trained.report.as_ref().unwrap();
    assert_eq!((report.rows, report.fields[0].field.as_str()), (120, "topic"));
    assert!(report.fields[0].macro_f1.unwrap() > 0.9, "{report:?}");

    let decide = async || {
        let answer = server.triage().await.triage_ticket(request(ticket("VPN drops", "in branch 7"))).await;
        answer.unwrap().into_inner()
    };
    // Over the fields of the model inside the program the shadow has nothing to say; with itself it agrees.
    activate(&mut client, &trained.version, "").await.unwrap();
    confirm(&server, 120..190).await;
    let again = client.train_model(training()).await.unwrap().into_inner().job.unwrap().id;
    assert_eq!(ended(&mut jobs, &again).await.state(), JobState::Done);
    let models = list(&mut client).await.models;
    let other = models.iter().find(|model| model.job_id == again).unwrap().version.clone();
    let before = decide().await;
    let shadow = client.set_shadow(pb::SetShadowRequest { version: other.clone() }).await.unwrap().into_inner();
    assert_eq!(shadow.model.unwrap().state(), ModelState::Shadow);
    let after = decide().await;
    let fields = |answer: &pb::TriageTicketResponse| answer.decision.as_ref().unwrap().fields.clone();
    assert_eq!(fields(&after), fields(&before), "a shadow never changes an answer");
    let agreement = in_time(async {
        loop {
            let found = list(&mut client).await;
            if let [agreement] = found.shadow_agreement.as_slice() {
                return agreement.clone();
            }
        }
    })
    .await;
    assert_eq!((agreement.field.as_str(), agreement.agreed + agreement.differed), ("topic", 1));

    let compare = pb::CompareModelsRequest { first: String::new(), second: other.clone(), tickets: None };
    let compared = client.compare_models(compare).await.unwrap().into_inner();
    assert_eq!((&compared.first, &compared.second), (&trained.version, &other));
    assert_eq!(compared.basis(), pb::ComparisonBasis::MayBeLearnt, "the second learnt from every ticket");
    confirm(&server, 190..260).await;
    let compare = pb::CompareModelsRequest { first: trained.version.clone(), second: other.clone(), tickets: None };
    let compared = client.compare_models(compare).await.unwrap().into_inner();
    assert_eq!((compared.basis(), compared.tickets), (pb::ComparisonBasis::Unseen, 70));
    let score = compared.fields[0].score.as_ref().unwrap();
    let PairOf(first, second) = PairOf::of(score);
    assert!(first > 60 && second > 60, "{score:?}");
    client.clear_shadow(pb::ClearShadowRequest {}).await.unwrap();
    assert_eq!(list(&mut client).await.shadow_agreement, []);
    server.stop().await;
}

/// Tickets that the first is right about, and the second.
struct PairOf(u64, u64);

impl PairOf {
    fn of(score: &pb::PairedScore) -> Self {
        Self(score.both_right + score.only_first_right, score.both_right + score.only_second_right)
    }
}

#[tokio::test]
async fn a_training_without_anything_to_learn_from_waits_until_there_is() {
    let server = TestServer::start().await;
    let (mut client, mut jobs) = (server.models().await, server.jobs().await);
    let id = client.train_model(training()).await.unwrap().into_inner().job.unwrap().id;
    let paused = until(&mut jobs, &id, |job| job.state() == JobState::Paused).await.pause.unwrap();
    assert_eq!(paused.cause(), pb::PauseCause::Untrainable);
    assert!(paused.message.contains("there is nothing to learn"), "{}", paused.message);
    confirm(&server, 0..40).await;
    jobs.resume_job(pb::ResumeJobRequest { id: id.clone() }).await.unwrap();
    assert_eq!(ended(&mut jobs, &id).await.state(), JobState::Done);
    assert_eq!(list(&mut client).await.models.len(), 2);
    let again = client.train_model(training()).await.unwrap().into_inner().job.unwrap().id;
    assert_ne!(again, id, "a training that is done can be asked for again");
    assert_eq!(ended(&mut jobs, &again).await.state(), JobState::Done);
    server.stop().await;
}

#[tokio::test]
async fn the_active_model_serves_after_a_kill_and_a_damaged_one_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let (bundle, data) = (folder.path().join("bundle"), folder.path().join("data"));
    train(folder.path(), &bundle, "one");
    let config = crate::harness::file(folder.path(), "triage.toml", allowing(folder.path()));
    let server = ServerProcess::start(&data, &["--config", &config]).await;
    let mut client = server.models().await;
    let version = import(&mut client, &bundle).await.version;
    activate(&mut client, &version, "").await.unwrap();
    server.signal("KILL");
    assert_eq!(server.exit_code().await, None);

    let server = ServerProcess::start(&data, &["--config", &config]).await;
    assert_eq!(list(&mut server.models().await).await.serving_version, version);
    server.signal("TERM");
    assert_eq!(server.exit_code().await, Some(0));

    // With --model, that bundle serves whatever is active.
    let other = folder.path().join("other");
    train(folder.path(), &other, "other");
    let server = ServerProcess::start(&data, &["--model", other.to_str().unwrap()]).await;
    let mut client = server.models().await;
    let listed = list(&mut client).await;
    assert_eq!((listed.pinned_path.as_str(), listed.serving_version == version), (other.to_str().unwrap(), false));
    let refused = activate(&mut client, "embedded", "").await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "MODEL_STATE"));
    assert!(refused.message().contains("was started with --model"), "{refused:?}");
    server.signal("TERM");
    assert_eq!(server.exit_code().await, Some(0));

    let weights = data.join("models").join(&version).join("weights.safetensors");
    File::options().write(true).open(weights).unwrap().set_len(100).unwrap();
    let data = data.to_str().unwrap();
    let refused = run(["serve", "--data-dir", data, "--listen", "127.0.0.1:0", "--admin-listen", "off"]);
    refused.check(1, &[&version, "weights.safetensors", "triage model activate"]);
    run(["model", "activate", "embedded", "--data-dir", data]).check(0, &[]);
    let server = ServerProcess::start(Path::new(data), &[]).await;
    assert_ne!(list(&mut server.models().await).await.serving_version, version);
}

#[tokio::test]
async fn a_training_that_was_killed_begins_anew() {
    let folder = tempfile::tempdir().unwrap();
    let row = |number: usize| {
        let (text, topic) = [("vpn drops", "network"), ("printer jams", "printing")][number % 2];
        format!("{{\"id\":\"{number}\",\"text\":\"{text} in branch {number}\",\"topic\":\"{topic}\"}}")
    };
    let rows: Vec<String> = (0..3_000).map(row).collect();
    let rows = rows.join("\n");
    let file = crate::harness::file(folder.path(), "tickets.jsonl", rows);
    let data = folder.path().join("data");
    let place = data.to_str().unwrap();
    run(["memory", "import", &file, "--text", "text", "--label", "topic", "--data-dir", place]).check(0, &[]);
    let server = ServerProcess::start(&data, &[]).await;
    let id = server.models().await.train_model(training()).await.unwrap().into_inner().job.unwrap().id;
    until(&mut server.jobs().await, &id, |job| job.state() == JobState::Running).await;
    server.signal("KILL");
    assert_eq!(server.exit_code().await, None);

    let server = ServerProcess::start(&data, &[]).await;
    assert_eq!(ended(&mut server.jobs().await, &id).await.state(), JobState::Done);
    let models = list(&mut server.models().await).await.models;
    let trained: Vec<_> = models.iter().filter(|model| model.origin() == ModelOrigin::Trained).collect();
    assert_eq!((trained.len(), trained[0].job_id.as_str()), (1, id.as_str()));
    let shown = run(["jobs", "show", &id, "--server", &server.address]);
    shown.check(0, &[]);
    assert!(shown.stdout.contains("Training of a model") && shown.stdout.contains("3,000 tickets"), "{}", shown.stdout);
}

/// Runs `triage model` over a data directory and reads what it prints for programs.
fn model(data: &str, arguments: &[&str]) -> Value {
    let fixed = ["--data-dir", data, "--json"];
    let outcome: crate::harness::Outcome = program().arg("model").args(arguments).args(fixed).output().unwrap().into();
    outcome.check(0, &[]);
    serde_json::from_str(&outcome.stdout).unwrap()
}

#[test]
fn the_command_line_goes_from_a_new_model_to_a_promoted_one_and_back() {
    let folder = tempfile::tempdir().unwrap();
    let (bundle, data) = (folder.path().join("bundle"), folder.path().join("data"));
    train(folder.path(), &bundle, "one");
    let data = data.to_str().unwrap();
    run(["model", "list", "--data-dir", data]).check(1, &["no models in", "--data-dir"]);
    let imported = model(data, &["import", bundle.to_str().unwrap(), "--by", "ann"]);
    let version = imported["version"].as_str().unwrap();
    assert_eq!((&imported["state"], &imported["by"]), (&Value::from("candidate"), &Value::from("ann")));

    let file = folder.path().join("labelled.jsonl");
    let file = file.to_str().unwrap();
    run(["memory", "import", file, "--text", "text", "--label", "topic", "--data-dir", data]).check(0, &[]);
    let trained = model(data, &["train", "--name", "nightly", "--holdout", "0.2"]);
    assert!(trained["version"].as_str().unwrap().starts_with("nightly+"), "{trained}");
    assert_eq!((&trained["origin"], &trained["report"]["rows"]), (&Value::from("trained"), &Value::from(19)));
    let compared = model(data, &["compare", version, trained["version"].as_str().unwrap()]);
    assert_eq!((&compared["basis"], &compared["tickets"]), (&Value::from("may_be_learnt"), &Value::from(24)));
    let compared = model(data, &["compare", version, "active"]);
    assert_eq!(compared["only_in_first"], serde_json::json!(["topic"]));

    let activated = model(data, &["activate", version, "--reason", "better"]);
    assert_eq!(activated["active"], version);
    let classified = run(["classify", "--json", "--data-dir", data, "the printer jams again"]);
    let classified: Value = serde_json::from_str(&classified.stdout).unwrap();
    assert_eq!(classified["versions"]["model"], version);
    run(["model", "delete", version, "--data-dir", data]).check(1, &["is active"]);
    assert_eq!(model(data, &["shadow", trained["version"].as_str().unwrap()])["shadow"], trained["version"]);
    let listed = model(data, &["list"]);
    let states: Vec<_> = listed["models"].as_array().unwrap().iter().map(|model| model["state"].clone()).collect();
    assert!(states.contains(&"active".into()) && states.contains(&"shadow".into()), "{listed}");
    assert_eq!(model(data, &["shadow", "--none"])["shadow"], Value::Null);
    let rolled_back = model(data, &["rollback"]);
    assert_eq!(rolled_back["previous"], version);
    model(data, &["delete", version]);
    let history = model(data, &["history"]);
    let kinds: Vec<_> = history["activations"].as_array().unwrap().iter().map(|one| one["kind"].clone()).collect();
    assert_eq!(kinds, ["rolled_back", "activated"]);
    assert_eq!(history["activations"][1]["reason"], "better");
    for arguments in [&["list"][..], &["history"], &["show", "embedded"], &["compare", "embedded", "embedded"]] {
        let shown = program().arg("model").args(arguments).args(["--data-dir", data]).output().unwrap();
        assert!(shown.status.success() && !shown.stdout.is_empty(), "{arguments:?}");
    }
    fs::remove_dir_all(folder.path().join("data/models")).unwrap();
    run(["model", "show", version, "--data-dir", data]).check(1, &["there is no model", "triage model list"]);
    run(["model", "shadow", "--data-dir", data]).check(2, &["VERSION"]);
}

/// Waits until so many models that the server trained by itself are judged, and those it would promote are promoted:
/// a verdict is kept first.
async fn judged(client: &mut Client, count: usize) -> pb::ListActivationsResponse {
    in_time(async {
        loop {
            let history = client.list_activations(pb::ListActivationsRequest::default()).await.unwrap().into_inner();
            let is_promoted = |verdict: &pb::PromotionVerdict| {
                history.activations.iter().any(|activation| activation.version == verdict.candidate)
            };
            if history.verdicts.len() == count
                && history.verdicts.iter().all(|verdict| !verdict.promoted || is_promoted(verdict))
            {
                return history;
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_server_trains_by_itself_and_promotes_what_is_better_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("bundle");
    // Right about no ticket of this desk.
    train(folder.path(), &bundle, "wrong");
    let policy = "[learning]\nretrain = true\nretrain_after = 250\npromote = true\n";
    let server = TestServer::start_with(&format!("{}{policy}", allowing(folder.path()))).await;
    let mut client = server.models().await;
    let wrong = import(&mut client, &bundle).await.version;
    activate(&mut client, &wrong, "").await.unwrap();
    confirm(&server, 0..300).await;
    let history = judged(&mut client, 1).await;
    let verdict = &history.verdicts[0];
    assert!(verdict.promoted && verdict.active == wrong, "{verdict:?}");
    assert!(verdict.reasons[0].starts_with("topic: 100.0 % right instead of 0.0 % on 60 tickets"), "{verdict:?}");
    let promoted = &history.activations[0];
    assert_eq!((promoted.kind(), &promoted.version), (pb::ActivationKind::Promoted, &verdict.candidate));
    assert_eq!((promoted.by.as_str(), &promoted.previous), ("the server", &wrong));
    let listed = list(&mut client).await;
    assert_eq!(listed.serving_version, verdict.candidate);
    let model = listed.models.iter().find(|model| model.version == verdict.candidate).unwrap();
    assert!(model.automatic && model.report.as_ref().unwrap().rows == 240, "{model:?}");

    // As good as the first, and no better.
    confirm(&server, 300..560).await;
    let history = judged(&mut client, 2).await;
    let verdict = history.verdicts.iter().find(|verdict| verdict.active != wrong).unwrap();
    assert!(!verdict.promoted, "{verdict:?}");
    assert!(verdict.reasons.iter().any(|reason| reason.contains("no field is better by 1.0 points")), "{verdict:?}");
    assert_eq!(list(&mut client).await.serving_version, promoted.version);
    let back = client.rollback_model(pb::RollbackModelRequest::default()).await.unwrap().into_inner();
    assert_eq!(back.model.unwrap().version, wrong);
    server.stop().await;
}

#[tokio::test]
async fn what_feedback_tells_scores_the_shadow_once() {
    let folder = tempfile::tempdir().unwrap();
    let bundles = ["one", "other"].map(|name| folder.path().join(name));
    for (bundle, prefix) in bundles.iter().zip(["one", "other"]) {
        train(folder.path(), bundle, prefix);
    }
    let server = TestServer::start_with(&allowing(folder.path())).await;
    let mut client = server.models().await;
    let (one, other) = (import(&mut client, &bundles[0]).await.version, import(&mut client, &bundles[1]).await.version);
    activate(&mut client, &one, "").await.unwrap();
    client.set_shadow(pb::SetShadowRequest { version: other.clone() }).await.unwrap();
    let scores = async || {
        let request = pb::GetModelRequest { version: other.clone() };
        let model = server.models().await.get_model(request).await.unwrap().into_inner().model.unwrap();
        let score = model.shadow_scores.into_iter().next().unwrap_or_default();
        (score.both_wrong, score.only_first_right, score.only_second_right)
    };
    let asked = ticket("vpn drops at home", "");
    let decided = server.triage().await.triage_ticket(request(asked)).await.unwrap().into_inner().decision.unwrap();
    let said = pb::RecordFeedbackRequest {
        decision_handle: decided.decision_handle,
        source: "ann".to_owned(),
        accepted: vec!["topic".to_owned()],
        ..pb::RecordFeedbackRequest::default()
    };
    let mut feedback = server.feedback().await;
    for _ in 0..2 {
        feedback.record_feedback(said.clone()).await.unwrap();
        assert_eq!(scores().await, (0, 1, 0), "what is said again is no other ticket");
    }
    let resolved = |id: &str, topic: &str| pb::ConfirmedTicket {
        id: id.to_owned(),
        summary: format!("vpn drops in branch {id}"),
        labels: [("topic".to_owned(), topic.to_owned())].into(),
        ..pb::ConfirmedTicket::default()
    };
    let tickets = vec![resolved("1", "other-network"), resolved("2", "other-network"), resolved("3", "neither")];
    for _ in 0..2 {
        let frame = pb::RecordResolvedTicketsRequest { source: "desk".to_owned(), tickets: tickets.clone() };
        feedback.record_resolved_tickets(tokio_stream::iter([frame])).await.unwrap();
        assert_eq!(scores().await, (1, 1, 2));
    }
    server.stop().await;
}
