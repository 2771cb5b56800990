//! A sentence encoder beside n-grams, words and static vectors, turned on by a folder: what a desk does with it, and what it
//! is told where the folder is not the one that its vectors come from.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use tempfile::TempDir;
use ticket_triage::pb;

use crate::harness::{ServerProcess, article, file, frame, run, ticket};

#[path = "../../src/encode/sentence/tiny.rs"]
pub mod tiny;

/// A desk with an encoder in a folder of its own.
struct Desk {
    folder: TempDir,
    encoder: PathBuf,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let encoder = folder.path().join("encoder");
        fs::create_dir(&encoder).unwrap();
        tiny::write(&encoder);
        Self { folder, encoder }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn named(folder: &Path) -> String {
        format!("minilm:{}", folder.display())
    }

    /// The same encoder in another folder.
    fn moved(&mut self) -> PathBuf {
        let elsewhere = self.folder.path().join("elsewhere");
        fs::rename(&self.encoder, &elsewhere).unwrap();
        elsewhere
    }

    /// An encoder that is not the one of this desk.
    fn other(&self) -> PathBuf {
        let other = self.folder.path().join("other");
        fs::create_dir(&other).unwrap();
        tiny::write(&other);
        let config = fs::read_to_string(other.join("config.json")).unwrap();
        fs::write(other.join("config.json"), config.replace("1e-12", "1e-6")).unwrap();
        other
    }

    fn tickets(&self) -> String {
        let texts = [
            ("the printer on floor two has a paper jam", "printing", "KB1"),
            ("printer is out of toner again", "printing", "KB1"),
            ("vpn client fails with an error at the hotel", "network", "KB2"),
            ("the wifi and vpn are slow at home", "network", "KB2"),
        ];
        let rows =
            (0..20).flat_map(|round| texts.iter().enumerate().map(move |(place, text)| (round * 4 + place, *text)));
        let lines = rows.map(|(id, (text, topic, article))| {
            json!({"id": id.to_string(), "text": format!("{text}, case {id}"), "topic": topic, "kb": [article]})
                .to_string()
        });
        file(self.folder.path(), "tickets.jsonl", lines.collect::<Vec<_>>().join("\n"))
    }

    fn articles(&self) -> String {
        let rows = [
            json!({"id": "KB1", "title": "Clear a paper jam", "text": "Open the printer and remove the paper."}),
            json!({"id": "KB2", "title": "Vpn client fails", "text": "Close the vpn client and start it again."}),
            json!({"id": "KB3", "title": "Order a new laptop", "text": "Fill in the order form."}),
        ];
        file(self.folder.path(), "kb.jsonl", rows.map(|row| row.to_string()).join("\n"))
    }

    fn train(&self, arguments: &[&str]) -> Value {
        let (tickets, bundle) = (self.tickets(), self.path("bundle"));
        let fixed = ["train", "--input", &tickets, "--text", "text", "--label", "topic", "--out", &bundle, "--json"];
        let outcome = run(fixed.iter().chain(arguments));
        outcome.check(0, &[]);
        serde_json::from_str(&outcome.stdout).unwrap()
    }

    /// Fills the data directory, with the encoder named at the articles only.
    fn fill(&self) {
        let (articles, tickets, data, encoder) =
            (self.articles(), self.tickets(), self.path("data"), Self::named(&self.encoder));
        run(["kb", "import", &articles, "--data-dir", &data, "--encoder", &encoder]).check(0, &[]);
        let import = ["memory", "import", &tickets, "--text", "text", "--articles", "kb", "--data-dir", &data];
        run(import).check(0, &[]);
    }

    fn best_article(&self, arguments: &[&str]) -> Value {
        let data = self.path("data");
        let fixed = ["classify", "my printer is stuck", "--data-dir", &data, "--json"];
        let outcome = run(fixed.iter().chain(arguments));
        outcome.check(0, &[]);
        serde_json::from_str::<Value>(&outcome.stdout).unwrap()["articles"][0].clone()
    }
}

#[test]
fn a_bundle_finds_its_encoder_again_and_takes_no_other() {
    let mut desk = Desk::new();
    let trained = desk.train(&["--encoder", &Desk::named(&desk.encoder)]);
    assert!(trained["fields"]["topic"]["accuracy"].as_f64().unwrap() > 0.9, "{trained}");
    let manifest = fs::read_to_string(desk.folder.path().join("bundle/manifest.toml")).unwrap();
    assert!(manifest.contains(&desk.encoder.display().to_string()), "{manifest}");

    let (bundle, tickets) = (desk.path("bundle"), desk.path("tickets.jsonl"));
    let eval = ["eval", "--model", &bundle, "--input", &tickets, "--text", "text", "--label", "topic", "--json"];
    let found = run(eval);
    found.check(0, &[]);
    let before: Value = serde_json::from_str(&found.stdout).unwrap();
    let classify = ["classify", "--model", &bundle, "the printer jams", "--json"];
    run(classify).check(0, &[]);

    let moved = desk.moved();
    run(classify).check(1, &["encoder", "config.json", "--encoder minilm:DIR"]);
    let named = Desk::named(&moved);
    let again = run(eval.iter().chain(&["--encoder", &named]));
    again.check(0, &[]);
    let again: Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!(again["accuracy"], before["accuracy"]);
    assert_eq!(again["ece"], before["ece"]);

    let other = Desk::named(&desk.other());
    run(classify.iter().chain(&["--encoder", &other])).check(1, &["SHA-256", "other", "train the bundle again"]);
    run(["serve", "--model", &bundle, "--encoder", &other]).check(1, &["SHA-256"]);
    let without = ["eval", "--input", &tickets, "--text", "text", "--label", "category", "--encoder", &named];
    run(without).check(1, &["trained without"]);
}

#[test]
fn words_carry_a_decision_with_an_encoder_too() {
    let desk = Desk::new();
    desk.train(&["--encoder", &Desk::named(&desk.encoder)]);
    let outcome = run(["classify", "--model", &desk.path("bundle"), "the printer jams", "--json"]);
    outcome.check(0, &[]);
    let decision: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(decision["fields"]["topic"]["value"], "printing");
    assert!(outcome.stdout.contains("\"printer\""), "{}", outcome.stdout);
}

#[test]
fn a_data_directory_keeps_its_encoder_until_it_does_without() {
    let mut desk = Desk::new();
    desk.fill();
    let data = desk.path("data");
    let queries = file(
        desk.folder.path(),
        "queries.jsonl",
        json!({"id": "q", "text": "paper is stuck in my printer", "kb": ["KB1"]}).to_string(),
    );
    let eval =
        ["kb", "eval", "--data-dir", &data, "--queries", &queries, "--text", "text", "--relevant", "kb", "--json"];
    let found = run(eval);
    found.check(0, &[]);
    assert_eq!(serde_json::from_str::<Value>(&found.stdout).unwrap()["mrr_at_10"], 1.0, "{}", found.stdout);
    assert_eq!(desk.best_article(&[])["id"], "KB1");

    // Lost indexes are built anew, with the encoder.
    fs::remove_dir_all(desk.folder.path().join("data/index")).unwrap();
    assert_eq!(desk.best_article(&[])["id"], "KB1");

    let other = Desk::named(&desk.other());
    let articles = desk.articles();
    let import = ["kb", "import", &articles, "--data-dir", &data];
    run(import.iter().chain(&["--encoder", &other])).check(1, &["SHA-256", "--encoder none"]);

    let moved = Desk::named(&desk.moved());
    run(eval).check(1, &["config.json", "--encoder minilm:DIR"]);
    run(eval.iter().chain(&["--encoder", &moved])).check(0, &[]);
    // An import keeps where it lies now.
    run(eval).check(1, &[]);
    run(import.iter().chain(&["--encoder", &moved])).check(0, &[]);
    run(eval).check(0, &[]);

    run(import.iter().chain(&["--encoder", "none"])).check(0, &[]);
    fs::remove_dir_all(desk.folder.path().join("elsewhere")).unwrap();
    assert_eq!(desk.best_article(&[])["id"], "KB1");
}

#[test]
fn an_encoder_is_named_by_its_kind_and_folder() {
    for wrong in ["minilm:", "bert:/tmp", "minilm"] {
        run(["eval", "--input", "x.jsonl", "--text", "text", "--label", "topic", "--encoder", wrong])
            .check(2, &["minilm:DIR"]);
    }
    let desk = Desk::new();
    let named = Desk::named(&desk.encoder);
    run(["kb", "import", &desk.articles(), "--server", "127.0.0.1:1", "--encoder", &named])
        .check(2, &["127.0.0.1:1", "triage serve --encoder"]);
    let (tickets, out) = (desk.tickets(), desk.path("out"));
    let train = ["train", "--input", &tickets, "--text", "text", "--label", "topic", "--out", &out, "--encoder"];
    let nowhere = Desk::named(&desk.folder.path().join("nowhere"));
    run(train.iter().chain(&[nowhere.as_str()])).check(1, &["nowhere", "config.json"]);
    fs::write(desk.encoder.join("model.safetensors"), b"cut off").unwrap();
    run(train.iter().chain(&[Desk::named(&desk.encoder).as_str()])).check(1, &["model.safetensors"]);
    assert!(!desk.folder.path().join("out").exists(), "nothing was trained");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_reads_what_it_is_sent_with_the_encoder() {
    let desk = Desk::new();
    let data = desk.folder.path().join("data");
    let encoder = Desk::named(&desk.encoder);
    let server = ServerProcess::start(&data, &["--encoder", &encoder]).await;
    let articles = vec![
        article("KB1", "Clear a paper jam", "Open the printer and remove the paper."),
        article("KB2", "Vpn client fails", "Close the vpn client and start it again."),
    ];
    let sent = tokio_stream::iter([frame(articles)]);
    server.knowledge().await.upsert_articles(sent).await.unwrap();
    let suggest = pb::SuggestArticlesRequest {
        // No word is shared with either article.
        ticket: Some(ticket("prints nothing", "")),
        top_n: Some(5),
    };
    let found = server.knowledge().await.suggest_articles(suggest.clone()).await.unwrap().into_inner();
    assert_eq!(found.articles.len(), 2, "by words nothing is found: {found:?}");
    drop(server);

    // Killed, and started again without the flag.
    let server = ServerProcess::start(&data, &[]).await;
    let again = server.knowledge().await.suggest_articles(suggest).await.unwrap().into_inner();
    let ids = |found: &pb::SuggestArticlesResponse| {
        found.articles.iter().map(|article| article.id.clone()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&again), ids(&found));
}
