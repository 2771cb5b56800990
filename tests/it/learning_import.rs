//! Values of resolved tickets that nobody knows are kept and told, on the wire and on the command line.

use serde_json::json;
use ticket_triage::pb;

use crate::harness::{TestServer, file, run, ticket};

const TEXT: &str = "The badge reader at the north gate does not open the door";

#[tokio::test]
async fn values_that_nobody_knows_are_kept_and_told_with_their_tickets() {
    let taxonomy = include_str!("../../models/default/taxonomy.toml");
    let retired = "\n[fields.topic]\ndoors = \"\"\nfax = { description = \"\", retired = true }\n\
                   [aliases.topic]\ngates = \"doors\"\n";
    let server = TestServer::start_with_taxonomy(&format!("{taxonomy}{retired}")).await;
    let resolved = |id: &str, labels: &[(&str, &str)]| pb::ConfirmedTicket {
        id: id.to_owned(),
        summary: format!("{TEXT}, says shift {id}"),
        labels: labels.iter().map(|(field, value)| ((*field).to_owned(), (*value).to_owned())).collect(),
        ..pb::ConfirmedTicket::default()
    };
    let tickets = [
        resolved("1", &[("category", "network/vnp"), ("impact", "low"), ("site", "north")]),
        resolved("2", &[("category", "network/vnp"), ("topic", "gates"), ("assignment_group", "network")]),
        resolved("3", &[("category", "network/vpn"), ("topic", "fax"), ("assignment_group", "netwrok")]),
        resolved("4", &[("category", "netwrok/vpn"), ("topic", "doors")]),
    ];
    let frames = [tickets[..2].to_vec(), tickets[2..].to_vec()];
    let frames = frames.map(|tickets| pb::RecordResolvedTicketsRequest { source: "desk".into(), tickets });
    let mut feedback = server.feedback().await;
    for expected in [(4, 0), (0, 4)] {
        let sent = tokio_stream::iter(frames.clone());
        let answer = feedback.record_resolved_tickets(sent).await.unwrap().into_inner();
        assert_eq!((answer.recorded, answer.unchanged), expected);
        let told: Vec<_> = answer
            .unknown_values
            .iter()
            .map(|pb::UnknownValue { field, value, tickets }| (field.as_str(), value.as_str(), *tickets))
            .collect();
        let expected = [
            ("assignment_group", "netwrok", 1),
            ("category", "network/vnp", 2),
            ("category", "netwrok/vpn", 1),
            ("site", "north", 1),
        ];
        assert_eq!(told, expected);
    }
    let similar = pb::FindSimilarTicketsRequest { ticket: Some(ticket(TEXT, "")), top_n: Some(10) };
    let found = server.memory().await.find_similar_tickets(similar).await.unwrap().into_inner().tickets;
    let first = found.iter().find(|ticket| ticket.id == "1").unwrap();
    assert_eq!(first.labels["category"], "network/vnp", "it is kept");
    server.stop().await;
}

#[test]
fn the_command_line_names_five_values_that_nobody_knows() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data").display().to_string();
    let category = |number: usize| match number {
        0..3 => "network/vnp".to_owned(),
        3 => "network/vpn".to_owned(),
        other => format!("odd/{other}"),
    };
    let rows: String = (0..12)
        .map(|number| format!("{number},Kiosk {number} is dark,{}", category(number)))
        .collect::<Vec<_>>()
        .join("\n");
    let resolved = file(folder.path(), "resolved.csv", format!("id,text,category\n{rows}"));
    let import = ["feedback", "import", &resolved, "--text", "text", "--label", "category", "--data-dir", &data];
    let outcome = run(import);
    let named = "category: neither model nor taxonomy knows `network/vnp` (3 tickets), `odd/10` (1 ticket), \
                 `odd/11` (1 ticket), `odd/4` (1 ticket), `odd/5` (1 ticket), and others;";
    outcome.check(0, &[named]);
    assert_eq!(outcome.stderr.matches("warning:").count(), 1, "{}", outcome.stderr);
    let outcome = run(import.iter().chain(&["--json"]));
    let document: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    let told = document["unknown_values"].as_array().unwrap();
    assert_eq!(told.len(), 9);
    assert_eq!(told[0], json!({"field": "category", "value": "network/vnp", "tickets": 3}));

    let known = file(folder.path(), "known.csv", "id,text,category\n1,Kiosk is dark,network/vpn\n");
    let import = ["feedback", "import", &known, "--text", "text", "--label", "category", "--data-dir", &data];
    let outcome = run(import);
    outcome.check(0, &[]);
    assert!(!outcome.stderr.contains("neither"), "{}", outcome.stderr);
}
