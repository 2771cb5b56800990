//! `triage taxonomy`: over a data directory, and with a running server.

use std::{fs, path::Path};

use serde_json::Value;

use crate::harness::{Outcome, TestServer, run};

/// Runs `triage taxonomy` over a data directory.
fn taxonomy(data_dir: &Path, arguments: &[&str]) -> Outcome {
    run(["taxonomy"].iter().chain(arguments).chain(&["--data-dir", data_dir.to_str().unwrap()]))
}

fn json(outcome: &Outcome) -> Value {
    outcome.check(0, &[]);
    serde_json::from_str(&outcome.stdout).unwrap_or_else(|error| panic!("{error} in {}", outcome.stdout))
}

#[test]
fn the_command_line_changes_what_a_data_directory_keeps() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    assert!(json(&taxonomy(&data_dir, &["show", "--json"]))["number"].is_null() && !data_dir.exists());
    for (arguments, expected) in [
        (
            &["add", "category", "facilities/badges", "--description", "Badges.", "--example", "badge reader dead"][..],
            "category: added facilities/badges",
        ),
        (
            &["describe", "category", "facilities/badges", "--example", "my badge is lost", "--example", "no entry"],
            "category: described facilities/badges",
        ),
        (&["rename", "category", "network", "net"], "category: renamed network/vpn to net/vpn"),
        (
            &["merge", "category", "hardware/peripheral", "hardware/printer", "hardware/mobile"],
            "category: merged hardware/printer into hardware/peripheral",
        ),
        (&["split", "category", "net/vpn", "net/client=On the laptop.", "net/gateway"], "category: added net/client"),
        (&["retire", "category", "data"], "category: retired data/reporting"),
        (&["restore", "category", "data/reporting"], "category: restored data/reporting"),
        (&["route", "type", "autofill", "--precision", "0.9"], "route of type: recommend becomes autofill at 0.9"),
        (&["group", "net", "NOC"], "assignment group of net/telephony: net becomes NOC"),
        (&["group", "net"], "assignment group of net/telephony: NOC becomes net"),
        (&["impact", "ci", "core-sw-01", "high"], "impact: configuration_item core-sw-01 counts as high"),
        (&["impact", "ci", "core-sw-01", "none"], "impact: configuration_item core-sw-01 raises nothing any more"),
        (
            &["sla", "P1", "--response", "10m", "--resolution", "2h"],
            "SLA of P1: response within 10m, resolution within 2h",
        ),
        (&["matrix", "1,1,2/2,3,4/3,4,5"], "matrix: 123/234/345 becomes 112/234/345"),
        (&["add", "site", "berlin", "--new-field", "--example", "the office in Berlin"], "site: added berlin"),
    ] {
        let dry = taxonomy(&data_dir, &[arguments, &["--dry-run"]].concat());
        dry.check(0, &[]);
        assert!(
            dry.stdout.contains(expected) && dry.stdout.contains("nothing was changed"),
            "{arguments:?}: {}",
            dry.stdout
        );
        let outcome = taxonomy(&data_dir, &[arguments, &["--by", "ann"]].concat());
        outcome.check(0, &[]);
        assert!(
            outcome.stdout.contains(expected) && outcome.stdout.contains("is in force (version"),
            "{}",
            outcome.stdout
        );
    }
    let shown = json(&taxonomy(&data_dir, &["show", "--json"]));
    assert_eq!((&shown["matrix"], &shown["number"]), (&"112/234/345".into(), &16.into()));
    assert_eq!(shown["sla"]["P1"], serde_json::json!({"response_minutes": 10, "resolution_minutes": 120}));
    let text = taxonomy(&data_dir, &["show"]).stdout;
    for part in [
        "net/gateway",
        "retired: data/batch_job, data/database, data/storage_backup, net/vpn",
        "(2 examples)",
        "type  autofill at 0.9",
    ] {
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }

    // What is exported is what is in force, and can be applied anywhere.
    let export = folder.path().join("export.toml");
    taxonomy(&data_dir, &["export", export.to_str().unwrap()]).check(0, &[]);
    let elsewhere = folder.path().join("elsewhere");
    let applied = json(&taxonomy(&elsewhere, &["apply", export.to_str().unwrap(), "--json"]));
    assert_eq!((&applied["version"], &applied["number"]), (&shown["version"], &2.into()));
    assert_eq!(
        applied["fields"]["category"]["added"],
        serde_json::json!(["facilities/badges", "net/client", "net/gateway"])
    );
    let again = json(&taxonomy(&elsewhere, &["apply", export.to_str().unwrap(), "--json"]));
    assert!(again["number"].is_null() && again["changes"].as_array().unwrap().is_empty());
    let stdout = taxonomy(&elsewhere, &["export"]).stdout;
    assert_eq!(stdout, fs::read_to_string(&export).unwrap());
    assert_eq!(json(&taxonomy(&elsewhere, &["export", "--json"]))["document"], stdout.as_str());

    let history = json(&taxonomy(&data_dir, &["history", "--limit", "2", "--json"]));
    assert_eq!(history["versions"][0]["changed_by"], "ann");
    let numbers: Vec<_> =
        history["versions"].as_array().unwrap().iter().map(|version| version["number"].clone()).collect();
    assert_eq!(numbers, [16, 15]);
    let reverted = json(&taxonomy(&data_dir, &["revert", "1", "--json"]));
    assert_eq!(reverted["number"], 17);
    assert!(reverted["version"].as_str().unwrap().starts_with("default-1+"));
    let text = taxonomy(&data_dir, &["history", "--limit", "100"]).stdout;
    assert!(text.contains("before the first change") && text.contains("SLA of P1"), "{text}");
}

#[test]
fn the_command_line_refuses_what_cannot_be() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    for (arguments, code, expected) in [
        (&["matrix", "1,2,3/2,,4/3,4,5"][..], 2, "medium impact: `` is no priority"),
        (&["matrix", "123/234"], 2, "found 2"),
        (
            &["rename", "category", "network/vpn", "network/telephony"],
            1,
            "error: category has a label `network/telephony` already",
        ),
        (&["merge", "category", "network", "network/vpn"], 1, "cannot be merged with one above or below it"),
        (&["retire", "category", "nowhere"], 1, "category has no label `nowhere`"),
        (&["retire", "colour", "red"], 1, "there is no field `colour`; the fields are category, impact, type, urgency"),
        (&["sla", "P1", "--response", "4h", "--resolution", "1h"], 2, "comes after the resolution"),
        (&["sla", "P6", "--response", "1h", "--resolution", "4h"], 2, "expected P1 to P5"),
        (&["route", "type", "monitor", "--precision", "0.9"], 2, "only autofill takes one"),
        (&["describe", "type", "incident"], 2, "required"),
        (&["split", "type", "incident", "one"], 2, "2"),
        (&["revert", "7"], 1, "taxonomy version `7` not found"),
        (&["apply", "absent.toml"], 1, "absent.toml"),
        (&["retire", "category", "network", "--expect", "x+1"], 1, "the change was made for x+1"),
    ] {
        let outcome = taxonomy(&data_dir, arguments);
        outcome.check(code, &[expected]);
        assert!(outcome.stdout.is_empty(), "{}", outcome.stdout);
    }
    assert!(json(&taxonomy(&data_dir, &["history", "--json"]))["versions"].as_array().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_talks_to_a_server() {
    let server = TestServer::start().await;
    let address = server.address.to_string();
    let ask = |arguments: &[&str]| run(["taxonomy"].iter().chain(arguments).chain(&["--server", &address]));
    let dry = ask(&["rename", "category", "network", "net", "--dry-run"]);
    assert!(dry.stdout.contains("nothing was changed"), "{} {}", dry.stdout, dry.stderr);
    let renamed = json(&ask(&["rename", "category", "network", "net", "--by", "ann", "--json"]));
    let first = serde_json::json!({"from": "network/connectivity", "to": "net/connectivity"});
    assert_eq!(renamed["fields"]["category"]["renamed"][0], first);
    let shown = json(&ask(&["show", "--json"]));
    assert_eq!((&shown["version"], &shown["number"]), (&renamed["version"], &2.into()));
    let refused = ask(&["rename", "category", "net/vpn", "net/telephony"]);
    refused.check(1, &["refuses the request", "has a label `net/telephony` already"]);
    assert_eq!(json(&ask(&["history", "--json"]))["versions"][0]["changed_by"], "ann");
    assert_eq!(json(&ask(&["revert", "1", "--json"]))["number"], 3);
    let document = json(&run(["classify", "--server", &address, "--json", "VPN drops every few minutes"]));
    assert!(document["sla"]["response_minutes"].as_u64().is_some_and(|minutes| minutes > 0), "{document}");
    server.stop().await;
}
