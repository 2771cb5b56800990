//! SIGHUP while a bundle serves: the folder is read again, and what cannot be used leaves the old one serving.

use std::{
    fmt::Write as _,
    fs::{self, File},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use ticket_triage::pb::{self, triage_result};

use crate::harness::{ServerProcess, field, file, get, in_time, request, run, ticket};

const TEXT: &str = "the printer jams again";

/// Trains a small bundle into `bundle` whose labels start with `prefix`.
pub fn train(folder: &Path, bundle: &Path, prefix: &str) {
    let topics = [("network", ["vpn drops", "wifi is slow"]), ("printing", ["printer jams", "toner is empty"])];
    let places = ["in the office", "at home", "since this morning", "on floor two", "for the whole team", "again"];
    let mut rows = String::new();
    for (topic, starts) in topics {
        for text in starts.iter().flat_map(|start| places.iter().map(move |place| format!("{start} {place}"))) {
            writeln!(rows, "{{\"text\": \"{text}\", \"topic\": \"{prefix}-{topic}\"}}").unwrap();
        }
    }
    let input = file(folder, "labelled.jsonl", rows);
    let out = bundle.to_str().unwrap();
    run(["train", "--input", &input, "--text", "text", "--label", "topic", "--out", out, "--json"]).check(0, &[]);
}

async fn model_of(server: &ServerProcess) -> String {
    let info = server.triage().await.get_server_info(pb::GetServerInfoRequest {}).await.unwrap().into_inner();
    info.versions.unwrap().model
}

/// The topic that a server decides for the text, and the model that decided it.
async fn topic(server: &ServerProcess) -> (String, String) {
    let answer = server.triage().await.triage_ticket(request(ticket(TEXT, ""))).await.unwrap().into_inner();
    let decision = answer.decision.unwrap();
    (field(&decision, "topic").value.clone(), decision.versions.unwrap().model)
}

/// Asks the admin address until that many reloads have ended so; the page that says it.
async fn wait_for_reloads(admin: &str, outcome: &str, count: u32) -> String {
    let wanted = format!("triage_reloads_total{{outcome=\"{outcome}\"}} {count}");
    in_time(async {
        loop {
            let (_, metrics) = get(admin.to_owned(), "/metrics").await;
            if metrics.lines().any(|line| line == wanted) {
                return metrics;
            }
        }
    })
    .await
}

/// Sends batches until it is told to stop; fails where a call fails or two models decide one batch.
pub async fn send_batches(
    mut client: pb::triage_service_client::TriageServiceClient<tonic::transport::Channel>,
    stop: Arc<AtomicBool>,
) {
    while !stop.load(Ordering::Relaxed) {
        let features = vec![pb::Feature::Fields.into()];
        let batch = pb::BatchTriageTicketsRequest { tickets: vec![ticket(TEXT, ""); 64], features, top_n: None };
        let results = client.batch_triage_tickets(batch).await.unwrap().into_inner().results;
        let mut models = results.into_iter().map(|result| match result.result.unwrap() {
            triage_result::Result::Decision(decision) => decision.versions.unwrap().model,
            triage_result::Result::Error(error) => panic!("refused: {error:?}"),
        });
        let first = models.next().unwrap();
        assert!(models.all(|model| model == first), "two models decided one batch");
    }
}

#[tokio::test]
async fn the_folder_is_read_again_and_a_refused_bundle_leaves_the_old_one_serving() {
    let folder = tempfile::tempdir().unwrap();
    let (bundle, log) = (folder.path().join("bundle"), folder.path().join("log"));
    train(folder.path(), &bundle, "old");
    let arguments = ["--model", bundle.to_str().unwrap()];
    let (server, admin) =
        ServerProcess::start_with_admin(&folder.path().join("data"), &arguments, File::create(&log).unwrap()).await;
    let (value, old) = topic(&server).await;
    assert_eq!(value, "old-printing");
    let stop = Arc::new(AtomicBool::new(false));
    let batches = tokio::spawn(send_batches(server.triage().await, Arc::clone(&stop)));

    server.signal("HUP");
    wait_for_reloads(&admin, "unchanged", 1).await;
    assert_eq!(topic(&server).await, ("old-printing".to_owned(), old.clone()));

    train(folder.path(), &bundle, "new");
    assert_eq!(model_of(&server).await, old, "nobody asked for the new model yet");
    server.signal("HUP");
    in_time(async { while model_of(&server).await == old {} }).await;
    let (value, new) = topic(&server).await;
    assert_eq!((value.as_str(), &new), ("new-printing", &model_of(&server).await));
    let metrics = wait_for_reloads(&admin, "replaced", 1).await;
    let models: Vec<_> = metrics.lines().filter(|line| line.starts_with("triage_model_info{")).collect();
    assert_eq!(models, [format!("triage_model_info{{version=\"{new}\"}} 1")]);

    let weights = bundle.join("weights.safetensors");
    let whole = fs::read(&weights).unwrap();
    fs::write(&weights, &whole[..whole.len() / 2]).unwrap();
    server.signal("HUP");
    wait_for_reloads(&admin, "refused", 1).await;
    assert_eq!(topic(&server).await, ("new-printing".to_owned(), new.clone()));
    fs::remove_dir_all(&bundle).unwrap();
    server.signal("HUP");
    wait_for_reloads(&admin, "refused", 2).await;
    assert_eq!(topic(&server).await, ("new-printing".to_owned(), new.clone()));

    train(folder.path(), &bundle, "old");
    server.signal("HUP");
    in_time(async { while model_of(&server).await != old {} }).await;
    stop.store(true, Ordering::Relaxed);
    in_time(batches).await.unwrap();
    server.signal("TERM");
    assert_eq!(server.exit_code().await, Some(0));

    let log = fs::read_to_string(log).unwrap();
    let refusals: Vec<_> = log.lines().filter(|line| line.contains("ERROR")).collect();
    assert_eq!(refusals.len(), 2, "{log}");
    for (refusal, reason) in refusals.into_iter().zip(["weights.safetensors is not the file", "manifest.toml"]) {
        assert!(refusal.contains(reason) && refusal.contains(bundle.to_str().unwrap()), "{refusal}");
    }
    for part in ["another model serves", &old, &new] {
        assert!(log.contains(part), "{part:?} is missing in\n{log}");
    }
}

#[tokio::test]
async fn a_server_without_a_folder_says_so_and_serves_on() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let (server, admin) =
        ServerProcess::start_with_admin(&folder.path().join("data"), &[], File::create(&log).unwrap()).await;
    let before = model_of(&server).await;
    server.signal("HUP");
    wait_for_reloads(&admin, "embedded", 1).await;
    assert_eq!(model_of(&server).await, before);
    let log = fs::read_to_string(log).unwrap();
    assert!(log.contains("the bundle inside the program serves"), "{log}");
}
