//! `TriageService`: decisions, their reasons, batches and streams.

use prost::Message as _;
use ticket_triage::pb::{self, triage_result};
use tonic::Code;

use crate::harness::{
    TestServer, article, field, in_time, item_status, reason, request, ticket, upsert, violated_fields, vpn_ticket,
    with_form,
};

const FIELDS: [&str; 5] = ["type", "category", "impact", "urgency", "assignment_group"];
const TAXONOMY: &str = include_str!("../../models/default/taxonomy.toml");

async fn decide(server: &TestServer, ticket: pb::Ticket) -> pb::Decision {
    server.triage().await.triage_ticket(request(ticket)).await.unwrap().into_inner().decision.unwrap()
}

fn decided(result: triage_result::Result) -> pb::Decision {
    match result {
        triage_result::Result::Decision(decision) => decision,
        triage_result::Result::Error(error) => panic!("refused: {error:?}"),
    }
}

fn refused(result: triage_result::Result) -> tonic::Status {
    match result {
        triage_result::Result::Decision(decision) => panic!("decided: {decision:?}"),
        triage_result::Result::Error(error) => item_status(&error),
    }
}

#[tokio::test]
async fn a_ticket_gets_every_field_a_priority_and_its_versions() {
    let server = TestServer::start().await;
    let decision = decide(&server, vpn_ticket("INC-7")).await;

    assert_eq!(decision.ticket_id, "INC-7");
    let fields: Vec<_> = decision.fields.iter().map(|field| field.field.as_str()).collect();
    assert_eq!(fields, FIELDS);
    for decided in &decision.fields {
        assert!((0.0..=1.0).contains(&decided.confidence), "{decided:?}");
        assert!((1..=3).contains(&decided.candidates.len()), "{decided:?}");
        let confidences: Vec<_> = decided.candidates.iter().map(|one| one.confidence).collect();
        assert!(confidences.is_sorted_by(|a, b| a >= b), "{decided:?}");
        assert_eq!(decided.candidates[0].value, decided.value);
        assert!(!decided.disagreement && decided.raised_by.is_empty());
    }
    assert_eq!(field(&decision, "category").value, "network/vpn");
    assert_eq!(field(&decision, "category").source(), pb::ValueSource::Model);
    assert_eq!(field(&decision, "type").value, "incident");
    assert_eq!(field(&decision, "assignment_group").value, "network");
    assert_eq!(field(&decision, "assignment_group").source(), pb::ValueSource::GroupTable);

    let priority = decision.priority.as_ref().unwrap();
    assert_eq!(priority.impact, field(&decision, "impact").value);
    assert_eq!(priority.urgency, field(&decision, "urgency").value);
    assert!(!priority.disagreement);
    assert!(decision.reasons[0].starts_with(&format!("priority {} = impact", priority.priority)));
    assert!(!decision.truncated);
    let pb::Versions { model, taxonomy, matrix, knowledge, memory, server: version, learned, feedback: _ } =
        decision.versions.unwrap();
    assert!(!model.is_empty() && taxonomy.starts_with("default-1+") && matrix == "123/234/345");
    assert!(
        knowledge.parse::<u64>().is_ok()
            && memory.parse::<u64>().is_ok()
            && learned == "0"
            && version == env!("CARGO_PKG_VERSION")
    );
    server.stop().await;
}

#[tokio::test]
async fn what_the_form_holds_is_kept_and_priority_follows_it() {
    let server = TestServer::start().await;
    let form = [
        ("category", "hardware/printer"),
        ("impact", "high"),
        ("urgency", "high"),
        ("priority", "P4"),
        ("assignment_group", "Front office"),
    ];
    let decision = decide(&server, with_form(vpn_ticket("1"), &form)).await;

    for (name, value) in form.into_iter().filter(|(name, _)| *name != "priority") {
        let kept = field(&decision, name);
        assert_eq!((kept.value.as_str(), kept.source()), (value, pb::ValueSource::Form), "{name}");
    }
    let category = field(&decision, "category");
    assert!(category.disagreement, "{category:?}");
    assert_eq!(category.candidates[0].value, "network/vpn");
    let unknown = field(&decision, "assignment_group");
    assert!(unknown.confidence <= 0.0, "sure of a group that the model does not know: {unknown:?}");
    let pb::PriorityDecision { priority, impact, urgency, disagreement, route, sla } = decision.priority.unwrap();
    assert!(sla.is_some_and(|target| target.response.is_some() && target.resolution.is_some()));
    assert_eq!((priority.as_str(), impact.as_str(), urgency.as_str()), ("P1", "high", "high"));
    assert!(disagreement && route == i32::from(pb::Route::Recommend));
    let reasons = decision.reasons.join("\n");
    for part in ["from the form", "another priority", "the form says hardware/printer"] {
        assert!(reasons.contains(part), "{part:?} is missing in\n{reasons}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_form_that_agrees_or_is_blank_is_no_disagreement() {
    let server = TestServer::start().await;
    let form = [("category", "network/vpn"), ("impact", "low"), ("urgency", "low"), ("priority", "p5"), ("type", "  ")];
    let decision = decide(&server, with_form(vpn_ticket("1"), &form)).await;

    assert!(!field(&decision, "category").disagreement);
    assert!(field(&decision, "category").confidence > 0.0);
    assert_eq!(field(&decision, "type").source(), pb::ValueSource::Model);
    let priority = decision.priority.unwrap();
    assert_eq!((priority.priority.as_str(), priority.disagreement), ("P5", false));
    server.stop().await;
}

#[tokio::test]
async fn only_the_features_asked_for_are_answered() {
    let server = TestServer::start().await;
    upsert(&mut server.knowledge().await, vec![article("KB1", "VPN drops every few minutes", "Update the client.")])
        .await;
    let mut client = server.triage().await;
    let mut answer = async |features: &[pb::Feature]| {
        let features = features.iter().map(|feature| i32::from(*feature)).collect();
        let request = pb::TriageTicketRequest { ticket: Some(vpn_ticket("1")), features, top_n: Some(1) };
        client.triage_ticket(request).await.unwrap().into_inner().decision.unwrap()
    };

    let fields = answer(&[pb::Feature::Fields]).await;
    assert_eq!((fields.fields.len(), fields.articles.len()), (5, 0));
    assert!(fields.priority.is_some() && fields.reasons.is_empty());
    assert!(fields.fields.iter().all(|field| field.evidence.is_empty() && field.candidates.len() == 1));

    let explained = answer(&[pb::Feature::Explanation]).await;
    assert_eq!((explained.fields.len(), explained.articles.len()), (5, 0));
    assert!(!explained.reasons.is_empty());

    let articles = answer(&[pb::Feature::Articles]).await;
    assert!(articles.fields.is_empty() && articles.priority.is_none() && articles.reasons.is_empty());
    assert_eq!(articles.articles[0].id, "KB1");

    let both = answer(&[pb::Feature::Articles, pb::Feature::Fields, pb::Feature::Fields]).await;
    assert_eq!((both.fields.len(), both.articles.len(), both.reasons.len()), (5, 1, 0));
    assert!(both.versions.is_some());
    server.stop().await;
}

#[tokio::test]
async fn evidence_of_html_is_found_in_the_html() {
    let server = TestServer::start().await;
    let summary = "T&uuml;r 🙁 &amp; VPN";
    let description = "<html><head><style>p { color: red }</style></head><body><p>Hello 👩‍💻,</p>\
        <p>I can&#8217;t con<b>ne</b>ct to the VPN&nbsp;from home.<br>VPN says &quot;timeout&quot;</p>\
        <p>Best regards<br>Ann Printer</p></body></html>";
    let decision = decide(&server, ticket(summary, description)).await;

    let category = field(&decision, "category");
    let mut seen = Vec::new();
    for evidence in &category.evidence {
        let part = if evidence.part() == pb::TicketPart::Summary { summary } else { description };
        assert_eq!(&part[evidence.start_byte as usize..evidence.end_byte as usize], evidence.text);
        let utf16: Vec<u16> = part.encode_utf16().collect();
        let units = &utf16[evidence.start_utf16 as usize..evidence.end_utf16 as usize];
        assert_eq!(String::from_utf16(units).unwrap(), evidence.text);
        seen.push(evidence.text.as_str());
    }
    assert_eq!(category.candidates[0].value, "network/vpn");
    assert!(seen.contains(&"VPN") && seen.contains(&"con<b>ne</b>ct"), "{seen:?}");
    assert!(!seen.contains(&"Printer") && !seen.contains(&"color"), "{seen:?}");
    assert!(decision.reasons.iter().any(|reason| reason.contains("“connect”")), "{:?}", decision.reasons);
    server.stop().await;
}

#[tokio::test]
async fn evidence_offsets_cut_the_very_words_out_of_the_ticket() {
    let server = TestServer::start().await;
    let summary = "🙁🙁 Grüße aus Köln: VPN bricht ab, vpn connection drops";
    let description = "Übrigens 👩‍💻: cannot connect to the VPN from home, AnyConnect says “timeout” — größer Ärger";
    let decision = decide(&server, ticket(summary, description)).await;

    let mut found = 0;
    for evidence in decision.fields.iter().flat_map(|field| &field.evidence) {
        let part = match evidence.part() {
            pb::TicketPart::Summary => summary,
            pb::TicketPart::Description => description,
            pb::TicketPart::Unspecified => panic!("no part in {evidence:?}"),
        };
        assert_eq!(&part[evidence.start_byte as usize..evidence.end_byte as usize], evidence.text);
        let utf16: Vec<u16> = part.encode_utf16().collect();
        let units = &utf16[evidence.start_utf16 as usize..evidence.end_utf16 as usize];
        assert_eq!(String::from_utf16(units).unwrap(), evidence.text);
        assert!(!evidence.text.trim().is_empty() && evidence.weight > 0.0, "{evidence:?}");
        found += 1;
    }
    assert!(found > 0, "no evidence at all");
    let words = |name: &str| {
        let evidence = field(&decision, name).evidence.iter();
        evidence.map(|evidence| evidence.text.to_lowercase()).collect::<Vec<_>>().join(" ")
    };
    assert!(words("category").contains("vpn"), "{}", words("category"));
    for decided in &decision.fields {
        assert!(decided.evidence.is_sorted_by(|a, b| a.weight >= b.weight), "{decided:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn the_impact_table_raises_what_a_service_a_machine_or_a_person_makes_grave() {
    let table = [("service", "Payroll"), ("configuration_item", "core-sw-01"), ("requester", "ceo@example.com")]
        .map(|(kind, name)| format!("[[impact]]\n{kind} = \"{name}\"\nimpact = \"high\"\n"));
    let server = TestServer::start_with_taxonomy(&format!("{TAXONOMY}\n{}", table.concat())).await;
    let plain = ticket("please install 7-zip on my laptop", "no hurry, whenever you have time");
    let untouched = decide(&server, plain.clone()).await;
    assert_eq!(field(&untouched, "impact").value, "low");

    let by_service = pb::Ticket { service: "payroll ".to_owned(), ..plain.clone() };
    let by_machine = pb::Ticket { configuration_item: "CORE-SW-01".to_owned(), ..plain.clone() };
    let by_person = pb::Ticket { requester: "CEO@example.com".to_owned(), ..plain.clone() };
    for (ticket, raised_by) in [
        (by_service.clone(), "service Payroll"),
        (by_machine, "configuration_item core-sw-01"),
        (by_person, "requester ceo@example.com"),
    ] {
        let decision = decide(&server, ticket).await;
        let impact = field(&decision, "impact");
        assert_eq!((impact.value.as_str(), impact.source()), ("high", pb::ValueSource::ImpactTable));
        assert_eq!((impact.raised_by.as_str(), impact.abstention()), (raised_by, pb::Abstention::Unspecified));
        assert_eq!(decision.priority.as_ref().unwrap().impact, "high");
        assert!(decision.reasons[0].contains(raised_by), "{:?}", decision.reasons);
    }

    let decision = decide(&server, with_form(by_service, &[("impact", "low")])).await;
    let impact = field(&decision, "impact");
    assert_eq!((impact.value.as_str(), impact.source(), impact.disagreement), ("low", pb::ValueSource::Form, true));
    server.stop().await;
}

#[tokio::test]
async fn the_group_table_names_who_takes_a_category() {
    let groups = "[groups]\n\"network/vpn\" = \"Remote access\"\nnetwork = \"Network operations\"\n";
    let server = TestServer::start_with_taxonomy(&TAXONOMY.replace("[groups]\n", groups)).await;
    for (category, group) in
        [("network/vpn", "Remote access"), ("network/telephony", "Network operations"), ("access/password", "access")]
    {
        let decision = decide(&server, with_form(vpn_ticket("1"), &[("category", category)])).await;
        let decided = field(&decision, "assignment_group");
        assert_eq!((decided.value.as_str(), decided.source()), (group, pb::ValueSource::GroupTable), "{category}");
    }
    let decision = decide(&server, vpn_ticket("1")).await;
    assert_eq!(field(&decision, "assignment_group").value, "Remote access");
    assert!(decision.versions.unwrap().taxonomy.starts_with("default-1+"));
    server.stop().await;
}

#[tokio::test]
async fn a_text_with_nothing_to_go_by_is_an_abstention_and_no_error() {
    let server = TestServer::start().await;
    let decision = decide(&server, ticket("??", "")).await;
    for name in ["type", "category"] {
        assert_eq!(field(&decision, name).abstention(), pb::Abstention::TooShort, "{decision:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_bad_ticket_of_a_batch_fails_alone_and_with_its_id() {
    let server = TestServer::start().await;
    let blank = pb::Ticket { id: "B".to_owned(), ..ticket(" ", "") };
    let tickets = vec![vpn_ticket("A"), blank, with_form(vpn_ticket("C"), &[("colour", "red")]), vpn_ticket("D")];
    let request = pb::BatchTriageTicketsRequest { tickets, features: Vec::new(), top_n: None };
    let results = server.triage().await.batch_triage_tickets(request).await.unwrap().into_inner().results;

    let ids: Vec<_> = results.iter().map(|result| result.ticket_id.as_str()).collect();
    assert_eq!(ids, ["A", "B", "C", "D"]);
    let [a, b, c, d] = <[_; 4]>::try_from(results).unwrap().map(|result| result.result.unwrap());
    assert_eq!(decided(a).fields, decided(d).fields);
    for (result, field) in [(b, "ticket.summary"), (c, "ticket.field_values[colour]")] {
        let status = refused(result);
        assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "INVALID_REQUEST"));
        assert_eq!(violated_fields(&status), [field]);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_batch_holds_1_to_256_tickets() {
    let server = TestServer::start().await;
    let mut client = server.triage().await;
    let mut send = async |count: usize| {
        let tickets = (0..count).map(|number| vpn_ticket(&number.to_string())).collect();
        let features = vec![pb::Feature::Fields.into()];
        client.batch_triage_tickets(pb::BatchTriageTicketsRequest { tickets, features, top_n: None }).await
    };
    let results = send(256).await.unwrap().into_inner().results;
    assert!(results.iter().enumerate().all(|(index, result)| result.ticket_id == index.to_string()));
    for count in [0, 257] {
        let status = send(count).await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "INVALID_REQUEST"));
        assert_eq!(violated_fields(&status), ["tickets"]);
        assert!(status.message().contains("256"), "{}", status.message());
    }
    server.stop().await;
}

#[tokio::test]
async fn a_stream_is_answered_in_order_and_goes_on_behind_a_bad_ticket() {
    const COUNT: usize = 300;
    const BAD: usize = 150;
    let server = TestServer::start().await;
    let frames = (0..COUNT).map(|number| {
        let ticket = if number == BAD { ticket("", "") } else { vpn_ticket("") };
        let ticket = pb::Ticket { id: number.to_string(), ..ticket };
        pb::StreamTriageRequest { ticket: Some(ticket), features: Vec::new(), top_n: Some(1) }
    });
    let frames: Vec<_> = frames.collect();
    let mut answers = server.triage().await.stream_triage(tokio_stream::iter(frames)).await.unwrap().into_inner();

    let mut count = 0;
    while let Some(answer) = in_time(answers.message()).await.unwrap() {
        let result = answer.result.unwrap();
        assert_eq!(result.ticket_id, count.to_string());
        if count == BAD {
            assert_eq!(violated_fields(&refused(result.result.unwrap())), ["ticket.summary"]);
        } else {
            assert_eq!(decided(result.result.unwrap()).fields.len(), FIELDS.len());
        }
        count += 1;
    }
    assert_eq!(count, COUNT);
    server.stop().await;
}

#[tokio::test]
async fn the_same_ticket_gets_the_same_bits_alone_in_a_batch_and_in_a_stream() {
    let server = TestServer::start().await;
    let articles = (0..20).map(|n| article(&format!("KB{n}"), "VPN drops", "Connect again from home.")).collect();
    upsert(&mut server.knowledge().await, articles).await;
    let mut client = server.triage().await;
    let alone = decide(&server, vpn_ticket("1")).await.encode_to_vec();
    assert_eq!(decide(&server, vpn_ticket("1")).await.encode_to_vec(), alone);

    let tickets = vec![vpn_ticket("1"); 40];
    let request = pb::BatchTriageTicketsRequest { tickets, features: Vec::new(), top_n: None };
    for result in client.batch_triage_tickets(request).await.unwrap().into_inner().results {
        assert_eq!(decided(result.result.unwrap()).encode_to_vec(), alone);
    }
    let frame = pb::StreamTriageRequest { ticket: Some(vpn_ticket("1")), features: Vec::new(), top_n: None };
    let mut answers = client.stream_triage(tokio_stream::iter(vec![frame; 40])).await.unwrap().into_inner();
    while let Some(answer) = in_time(answers.message()).await.unwrap() {
        assert_eq!(decided(answer.result.unwrap().result.unwrap()).encode_to_vec(), alone);
    }
    server.stop().await;

    let server = TestServer::start().await;
    let request = pb::TriageTicketRequest { features: vec![pb::Feature::Explanation.into()], ..request_for_one() };
    let first = client_answer(&server, request.clone()).await;
    let other = TestServer::start().await;
    assert_eq!(client_answer(&other, request).await, first, "another server with the same versions answers otherwise");
    server.stop().await;
    other.stop().await;
}

fn request_for_one() -> pb::TriageTicketRequest {
    request(vpn_ticket("1"))
}

/// Without the handle, which is sealed with the key of the server's own database.
async fn client_answer(server: &TestServer, request: pb::TriageTicketRequest) -> Vec<u8> {
    let mut answer = server.triage().await.triage_ticket(request).await.unwrap().into_inner();
    answer.decision.as_mut().unwrap().decision_handle.clear();
    answer.encode_to_vec()
}

#[tokio::test]
async fn the_server_tells_its_versions_limits_and_labels() {
    let server = TestServer::start().await;
    let info = server.triage().await.get_server_info(pb::GetServerInfoRequest {}).await.unwrap().into_inner();

    assert_eq!(info.versions, decide(&server, vpn_ticket("1")).await.versions);
    let limits = pb::Limits {
        message_bytes: 1 << 20,
        batch_bytes: 4 << 20,
        summary_chars: 1_024,
        text_bytes: 64 << 10,
        batch_tickets: 256,
        streams_per_connection: 100,
        connections: 1_024,
        deadline: Some(prost_types::Duration { seconds: 10, nanos: 0 }),
    };
    assert_eq!(info.limits, Some(limits));
    let fields: Vec<_> = info.fields.iter().map(|field| field.field.as_str()).collect();
    assert_eq!(fields, FIELDS);
    let labels = |name: &str| &info.fields.iter().find(|field| field.field == name).unwrap().labels;
    let count = |name: &str| labels(name).len();
    assert_eq!(FIELDS.map(count), [5, 30, 3, 3, 8]);
    let vpn = labels("category").iter().find(|label| label.value == "network/vpn").unwrap();
    assert_eq!(vpn.description, "Remote access.");
    server.stop().await;
}

/// A taxonomy with these routes, over the embedded model.
fn with_routes(routes: &str) -> String {
    format!("{TAXONOMY}\n{routes}")
}

#[tokio::test]
async fn every_field_is_recommended_unless_the_desk_says_otherwise() {
    let server = TestServer::start().await;
    let decision = decide(&server, vpn_ticket("1")).await;
    for decided in &decision.fields {
        assert_eq!(decided.route(), pb::Route::Recommend, "{decided:?}");
    }
    assert_eq!(decision.priority.unwrap().route(), pb::Route::Recommend);
    let info = server.triage().await.get_server_info(pb::GetServerInfoRequest {}).await.unwrap().into_inner();
    for field in &info.fields {
        assert_eq!((field.route(), field.precision, field.certified), (pb::Route::Recommend, None, false), "{field:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn each_field_goes_the_route_that_the_desk_sets() {
    let routes = "[routes.type]\nroute = \"autofill\"\nprecision = 0.9\n[routes.category]\nroute = \"off\"\n\
                  [routes.impact]\nroute = \"monitor\"\n[routes.urgency]\nroute = \"autofill\"\nprecision = 0.999\n";
    let server = TestServer::start_with_taxonomy(&with_routes(routes)).await;
    let info = server.triage().await.get_server_info(pb::GetServerInfoRequest {}).await.unwrap().into_inner();
    let settings: Vec<_> = info
        .fields
        .iter()
        .map(|field| (field.field.as_str(), field.route(), field.precision, field.certified))
        .collect();
    assert_eq!(
        settings,
        [
            ("type", pb::Route::Autofill, Some(0.9), true),
            ("category", pb::Route::Off, None, false),
            ("impact", pb::Route::Monitor, None, false),
            ("urgency", pb::Route::Autofill, Some(0.999), false),
            ("assignment_group", pb::Route::Recommend, None, false),
        ]
    );

    let fault = ticket("VPN drops every few minutes", "error 809 since this morning, I cannot work from home");
    let decision = decide(&server, fault.clone()).await;
    let routes: Vec<_> = decision.fields.iter().map(|field| (field.field.as_str(), field.route())).collect();
    assert_eq!(
        routes,
        [("type", pb::Route::Autofill), ("impact", pb::Route::Monitor), ("urgency", pb::Route::Recommend)],
        "{decision:?}"
    );
    assert_eq!(decision.priority.as_ref().unwrap().route(), pb::Route::Monitor);
    assert!(decision.reasons.iter().any(|reason| reason.starts_with("type incident")), "{:?}", decision.reasons);
    for hidden in ["impact", "category", "priority"] {
        assert!(!decision.reasons.iter().any(|reason| reason.contains(hidden)), "{hidden}: {:?}", decision.reasons);
    }

    let form = [("type", "incident"), ("category", "hardware/printer"), ("impact", "low"), ("urgency", "low")];
    let decision = decide(&server, with_form(fault, &form)).await;
    assert_eq!(field(&decision, "type").route(), pb::Route::Recommend);
    assert_eq!(field(&decision, "assignment_group").value, "hardware");
    let priority = decision.priority.unwrap();
    assert_eq!((priority.priority.as_str(), priority.route()), ("P5", pb::Route::Recommend));

    let decision = decide(&server, ticket("??", "")).await;
    assert_ne!(field(&decision, "type").abstention(), pb::Abstention::Unspecified);
    assert_eq!(field(&decision, "type").route(), pb::Route::Recommend, "an abstention is filled in");

    let (_, metrics) = server.admin("/metrics").await;
    for counted in [("type", "autofill"), ("type", "recommend"), ("impact", "monitor")] {
        let series = format!("triage_decisions_total{{field=\"{}\",route=\"{}\"}}", counted.0, counted.1);
        assert!(metrics.contains(&series), "{series} is missing in\n{metrics}");
    }
    server.stop().await;
}
