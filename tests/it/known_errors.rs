//! A known error from its draft to the end of its life: sections, versions, status, and what an incident is shown.

use serde_json::Value;
use ticket_triage::pb::{self, knowledge_service_client::KnowledgeServiceClient};
use tonic::{Code, transport::Channel};
use tonic_types::StatusExt as _;

use crate::harness::{Outcome, ServerProcess, TestServer, article, file, reason, request, run, ticket, upsert};

type Client = KnowledgeServiceClient<Channel>;

fn known_error(id: &str, workaround: &str, fix: &str) -> pb::Article {
    pb::Article {
        kind: pb::ArticleKind::KnownError.into(),
        status: pb::ArticleStatus::Published.into(),
        link: format!("https://kb.example/{id}"),
        known_error: Some(pb::KnownError {
            symptoms: "Outlook stops with exception 0xe0434352.".to_owned(),
            cause: "An add-in of the archive.".to_owned(),
            workaround: workaround.to_owned(),
            fix: fix.to_owned(),
            affected: vec!["Mail archive".to_owned()],
        }),
        ..article(id, "Outlook stops", "")
    }
}

async fn get(client: &mut Client, id: &str, version: Option<u32>) -> Result<pb::GetArticleResponse, tonic::Status> {
    let request = pb::GetArticleRequest { id: id.to_owned(), version };
    client.get_article(request).await.map(tonic::Response::into_inner)
}

async fn versions(client: &mut Client, id: &str) -> Vec<(u32, pb::ArticleStatus)> {
    let (mut found, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = pb::ListArticleVersionsRequest { id: id.to_owned(), page_size: Some(2), page_token };
        let page = client.list_article_versions(request).await.unwrap().into_inner();
        assert!(page.versions.iter().all(|version| version.create_time.is_some() && !version.title.is_empty()));
        found.extend(page.versions.iter().map(|version| (version.version, version.status())));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return found;
        }
    }
}

async fn set_status(
    client: &mut Client,
    id: &str,
    status: pb::ArticleStatus,
    valid_until: Option<&str>,
) -> Result<(u32, bool), tonic::Status> {
    let valid_until = valid_until.map(str::to_owned);
    let request = pb::SetArticleStatusRequest { id: id.to_owned(), status: status.into(), valid_until };
    client.set_article_status(request).await.map(|answer| (answer.get_ref().version, answer.get_ref().changed))
}

async fn delete(client: &mut Client, id: &str, erase_versions: bool) -> Result<(), tonic::Status> {
    let request = pb::DeleteArticleRequest { id: id.to_owned(), erase_versions };
    client.delete_article(request).await.map(|_| ())
}

#[tokio::test]
async fn an_answer_can_be_traced_to_the_text_it_came_from() {
    let server = TestServer::start().await;
    let mut client = server.knowledge().await;
    upsert(&mut client, vec![known_error("KE1", "Start it in safe mode.", "")]).await;
    let suggest = pb::SuggestArticlesRequest { ticket: Some(ticket("outlook stops", "")), top_n: None };
    let answered = client.suggest_articles(suggest.clone()).await.unwrap().into_inner().articles.remove(0);
    assert_eq!((answered.version, answered.link.as_str()), (1, "https://kb.example/KE1"));

    // Sent again as it was read, it is the same; then it is changed twice.
    let as_read = get(&mut client, "KE1", None).await.unwrap().article.unwrap();
    assert_eq!(upsert(&mut client, vec![as_read]).await.unchanged, 1);
    upsert(&mut client, vec![known_error("KE1", "Remove the add-in.", "")]).await;
    upsert(&mut client, vec![known_error("KE1", "Remove the add-in.", "Install 4.2.")]).await;
    let search = pb::SearchArticlesRequest { query: "0xe0434352".to_owned(), ..pb::SearchArticlesRequest::default() };
    let found = client.search_articles(search.clone()).await.unwrap().into_inner().articles;
    assert_eq!((found[0].version, found[0].link.as_str()), (3, "https://kb.example/KE1"));
    let listed = client.list_articles(pb::ListArticlesRequest::default()).await.unwrap().into_inner().articles;
    assert_eq!(listed[0].version, 3);

    let traced = get(&mut client, "KE1", Some(answered.version)).await.unwrap();
    assert_eq!((traced.current_version, traced.create_time.is_some(), traced.usage.is_some()), (3, true, true));
    assert_eq!(traced.article, Some(pb::Article { version: 1, ..known_error("KE1", "Start it in safe mode.", "") }));
    let published = pb::ArticleStatus::Published;
    assert_eq!(versions(&mut client, "KE1").await, [(3, published), (2, published), (1, published)]);

    let never = get(&mut client, "KE1", Some(4)).await.unwrap_err();
    assert_eq!((never.code(), reason(&never).as_str()), (Code::NotFound, "NOT_FOUND"));
    assert_eq!(never.message(), "article `KE1` has no version 4: those that are kept go from 1 to 3");
    let resource = never.get_details_resource_info().unwrap();
    assert_eq!((resource.resource_type.as_str(), resource.resource_name.as_str()), ("article_version", "KE1@4"));

    // Deleted, it is found nowhere and its texts are still there; created again, it goes on counting.
    delete(&mut client, "KE1", false).await.unwrap();
    assert!(client.search_articles(search).await.unwrap().into_inner().articles.is_empty());
    assert_eq!(get(&mut client, "KE1", None).await.unwrap_err().code(), Code::NotFound);
    let traced = get(&mut client, "KE1", Some(1)).await.unwrap();
    assert_eq!((traced.article.unwrap().version, traced.current_version), (1, 0));
    upsert(&mut client, vec![known_error("KE1", "Wait.", "")]).await;
    assert_eq!(versions(&mut client, "KE1").await.iter().map(|one| one.0).collect::<Vec<_>>(), [4, 3, 2, 1]);

    // Erased, nothing of it is left, whoever asks; and no version ever means two texts.
    delete(&mut client, "KE1", false).await.unwrap();
    delete(&mut client, "KE1", true).await.unwrap();
    for version in [None, Some(1), Some(4)] {
        assert_eq!(get(&mut client, "KE1", version).await.unwrap_err().message(), "article `KE1` not found");
    }
    let list = pb::ListArticleVersionsRequest { id: "KE1".to_owned(), ..pb::ListArticleVersionsRequest::default() };
    assert_eq!(client.list_article_versions(list).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(delete(&mut client, "KE1", true).await.unwrap_err().code(), Code::NotFound);
    upsert(&mut client, vec![known_error("KE1", "Wait.", "")]).await;
    assert_eq!(versions(&mut client, "KE1").await, [(5, published)]);
    server.stop().await;
}

#[tokio::test]
async fn an_article_moves_through_its_life_and_wrong_moves_are_refused() {
    use pb::ArticleStatus::{Draft, Published, Retired};
    let server = TestServer::start().await;
    let mut client = server.knowledge().await;
    let draft = pb::Article { status: Draft.into(), ..known_error("KE1", "Wait.", "") };
    upsert(&mut client, vec![draft]).await;
    let suggested = async |client: &mut Client| {
        let request = pb::SuggestArticlesRequest { ticket: Some(ticket("outlook stops", "")), top_n: None };
        client.suggest_articles(request).await.unwrap().into_inner().articles.len()
    };
    let refused = set_status(&mut client, "KE1", Retired, None).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "ARTICLE_STATE"));
    assert!(refused.message().contains("`KE1` is a draft"), "{}", refused.message());
    assert_eq!(suggested(&mut client).await, 0);

    let past = set_status(&mut client, "KE1", Published, Some("2024-05-01")).await.unwrap_err();
    assert_eq!((past.code(), reason(&past).as_str()), (Code::FailedPrecondition, "ARTICLE_STATE"));
    assert!(past.message().contains("its last day, 2024-05-01, is past"), "{}", past.message());
    assert_eq!(set_status(&mut client, "KE1", Published, Some("2999-01-01")).await.unwrap(), (2, true));
    assert_eq!(set_status(&mut client, "KE1", Published, None).await.unwrap(), (2, false));
    assert_eq!(suggested(&mut client).await, 1);
    assert_eq!(set_status(&mut client, "KE1", Published, Some("")).await.unwrap(), (3, true));
    assert_eq!(get(&mut client, "KE1", None).await.unwrap().article.unwrap().valid_until, "");
    assert_eq!(set_status(&mut client, "KE1", Retired, None).await.unwrap(), (4, true));
    assert_eq!(suggested(&mut client).await, 0);
    assert_eq!(set_status(&mut client, "KE1", Published, None).await.unwrap(), (5, true));
    assert_eq!(set_status(&mut client, "KE1", Draft, None).await.unwrap(), (6, true));
    let expected = [(6, Draft), (5, Published), (4, Retired), (3, Published), (2, Published), (1, Draft)];
    assert_eq!(versions(&mut client, "KE1").await, expected);
    let kept = get(&mut client, "KE1", None).await.unwrap().article.unwrap();
    assert_eq!(kept.known_error, known_error("KE1", "Wait.", "").known_error, "all else stays");
    assert_eq!(set_status(&mut client, "NONE", Published, None).await.unwrap_err().code(), Code::NotFound);
    server.stop().await;
}

#[tokio::test]
async fn an_incident_is_shown_the_workaround_first_by_form_and_by_decision() {
    let server = TestServer::start().await;
    let mut client = server.knowledge().await;
    let steps = "1. Start Outlook in safe mode.\n2. Remove the add-in.";
    upsert(&mut client, vec![known_error("KE1", steps, "Install 4.2."), known_error("KE2", "", "Install 4.2.")]).await;
    let text = "Outlook stops with exception 0xe0434352 since this morning, I cannot work";
    for (form, workaround) in [(Some("incident"), true), (None, true), (Some("question"), false)] {
        let mut asked = ticket(text, "");
        asked.field_values.extend(form.map(|form| ("type".to_owned(), form.to_owned())));
        let suggest = pb::SuggestArticlesRequest { ticket: Some(asked.clone()), top_n: None };
        let suggested = client.suggest_articles(suggest).await.unwrap().into_inner().articles;
        let decision =
            server.triage().await.triage_ticket(request(asked)).await.unwrap().into_inner().decision.unwrap();
        assert_eq!(decision.articles, suggested, "{form:?}");
        if form.is_none() {
            let decided = decision.fields.iter().find(|field| field.field == "type").unwrap();
            assert_eq!((decided.value.as_str(), decided.abstention), ("incident", 0));
        }
        for hit in suggested {
            let passage = hit.passage.unwrap();
            let (section, text) = match (workaround, hit.id.as_str()) {
                (false, _) => (pb::KnownErrorSection::Unspecified, "Outlook stops with exception"),
                (true, "KE1") => (pb::KnownErrorSection::Workaround, "Start Outlook in safe mode. Remove the add-in."),
                (true, _) => (pb::KnownErrorSection::Fix, "Install 4.2."),
            };
            assert_eq!(passage.section(), section, "{form:?} {}", hit.id);
            assert!(passage.text.starts_with(text), "{form:?} {}", passage.text);
        }
    }
    let about = pb::Ticket { service: "mail ARCHIVE".to_owned(), ..ticket(text, "") };
    let suggest = pb::SuggestArticlesRequest { ticket: Some(about), top_n: None };
    let suggested = client.suggest_articles(suggest).await.unwrap().into_inner().articles;
    let same = |reason: &&pb::ArticleReason| reason.kind() == pb::ArticleReasonKind::SameProduct;
    assert_eq!(suggested[0].reasons.iter().find(same).unwrap().values, ["mail ARCHIVE"]);
    server.stop().await;
}

#[tokio::test]
async fn a_list_keeps_to_its_filter() {
    use pb::{ArticleKind, ArticleStatus};
    let server = TestServer::start().await;
    let mut client = server.knowledge().await;
    let until = |id: &str, day: &str| pb::Article { valid_until: day.to_owned(), ..article(id, "Title", "") };
    let draft = pb::Article { status: ArticleStatus::Draft.into(), ..until("B", "2024-05-01") };
    upsert(&mut client, vec![known_error("A", "Wait.", ""), draft, until("C", "2024-05-01"), until("D", "2999-01-01")])
        .await;
    let request = pb::ListArticlesRequest::default;
    for (request, ids) in [
        (request(), "ABCD"),
        (pb::ListArticlesRequest { kinds: vec![ArticleKind::KnownError.into()], ..request() }, "A"),
        (pb::ListArticlesRequest { statuses: vec![ArticleStatus::Draft.into()], ..request() }, "B"),
        (pb::ListArticlesRequest { expired: true, ..request() }, "BC"),
        (pb::ListArticlesRequest { expired: true, statuses: vec![ArticleStatus::Published.into()], ..request() }, "C"),
    ] {
        let answer = client.list_articles(request).await.unwrap().into_inner();
        assert_eq!(
            (answer.articles.iter().map(|one| one.id.as_str()).collect::<String>().as_str(), answer.total),
            (ids, 4)
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn a_version_that_was_acknowledged_survives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(folder.path(), &[]).await;
    let mut client = server.knowledge().await;
    upsert(&mut client, vec![known_error("KE1", "Wait.", "")]).await;
    set_status(&mut client, "KE1", pb::ArticleStatus::Retired, None).await.unwrap();
    server.signal("KILL");
    assert_eq!(server.exit_code().await, None);
    let server = ServerProcess::start(folder.path(), &[]).await;
    let mut client = server.knowledge().await;
    let expected = [(2, pb::ArticleStatus::Retired), (1, pb::ArticleStatus::Published)];
    assert_eq!(versions(&mut client, "KE1").await, expected);
}

fn json(outcome: &Outcome) -> Value {
    outcome.check(0, &[]);
    serde_json::from_str(&outcome.stdout).unwrap()
}

const FILE: &str = "---\nid: KE1\ntitle: Mail stops\nkind: known_error\nstatus: draft\nlink: https://kb.example/KE1\n\
    problem: PRB0042\naffected: [Mail archive]\n---\nSince the update.\n\n## Symptome\n\nMail stops.\n\n\
    ## Workaround\n\n1. Wait.\n2. Go on.\n\n## Lösung\n\nInstall 4.2.\n";

#[tokio::test]
async fn commands_say_the_same_of_a_data_directory_and_of_a_server() {
    let folder = tempfile::tempdir().unwrap();
    let text = file(folder.path(), "ke1.md", FILE);
    let (served, alone) = (folder.path().join("served"), folder.path().join("alone"));
    let server = ServerProcess::start(&served, &[]).await;
    for place in [["--server", server.address.as_str()], ["--data-dir", alone.to_str().unwrap()]] {
        let kb = |arguments: &[&str]| run(["kb"].iter().chain(arguments).chain(&place));
        kb(&["import", &text]).check(0, &[]);
        kb(&["import", &text]).check(0, &[]);
        let first = json(&kb(&["get", "KE1", "--json"]));
        assert_eq!((&first["version"], &first["status"]), (&1.into(), &"draft".into()));
        assert_eq!((&first["body"], &first["link"]), (&"Since the update.".into(), &"https://kb.example/KE1".into()));
        let sections = &first["known_error"];
        assert_eq!(sections["workaround"], "1. Wait.\n2. Go on.");
        assert_eq!((&sections["symptoms"], &sections["cause"]), (&"Mail stops.".into(), &"".into()));
        assert_eq!((&sections["fix"], &sections["affected"][0]), (&"Install 4.2.".into(), &"Mail archive".into()));
        assert_eq!((&first["problem"], &first["current_version"]), (&"PRB0042".into(), &1.into()));

        kb(&["retire", "KE1"]).check(1, &["article `KE1` is a draft"]);
        kb(&["publish", "KE1", "NONE"]).check(1, &["article `NONE` not found"]);
        kb(&["publish", "KE1", "--valid-until", "2024-05-01"]).check(1, &["is past"]);
        kb(&["publish", "KE1", "--valid-until", "soon"]).check(2, &["write YYYY-MM-DD, or none"]);
        let moved = json(&kb(&["publish", "KE1", "--valid-until", "2999-01-01", "--json"]));
        assert_eq!((&moved["articles"][0]["version"], &moved["articles"][0]["changed"]), (&3.into(), &true.into()));
        let retired = kb(&["retire", "KE1"]);
        assert_eq!(retired.stdout, "KE1  retired (version 4)\n");
        assert_eq!(kb(&["retire", "KE1"]).stdout, "KE1  retired as it was (version 4)\n");

        let listed = json(&kb(&["versions", "KE1", "--json"]));
        let states: Vec<_> = listed["versions"].as_array().unwrap().iter().map(|one| one["status"].clone()).collect();
        assert_eq!(states, ["retired", "published", "published", "draft"]);
        assert_eq!(kb(&["versions", "KE1"]).stdout.lines().count(), 4);
        let old = kb(&["get", "KE1", "--version", "1"]).stdout;
        assert!(old.starts_with("KE1  Mail stops\nknown error, draft, version 1 of 20"), "{old}");
        for part in ["; version 4 is in force", "affected: Mail archive", "problem: PRB0042", "## Fix\n\nInstall 4.2."]
        {
            assert!(old.contains(part), "{part} in {old}");
        }
        kb(&["get", "KE1", "--version", "9"])
            .check(1, &["article `KE1` has no version 9: those that are kept go from 1 to 4"]);
        kb(&["get", "KE2"]).check(1, &["article `KE2` not found"]);

        let list = kb(&["list"]).stdout;
        assert_eq!(list, "KE1           retired    known error  v4    Mail stops  (until 2999-01-01)\n");
        assert_eq!(kb(&["list", "--status", "draft"]).stdout, "no articles\n");
        assert_eq!(kb(&["list", "--expired", "--kind", "known_error"]).stdout, "no articles\n");
        let all = json(&kb(&["list", "--kind", "known_error", "--kind", "faq", "--json"]));
        assert_eq!((&all["articles"][0]["id"], &all["articles"][0]["expired"]), (&"KE1".into(), &false.into()));
        kb(&["list", "--kind", "howto"]).check(2, &["it is one of known_error, how_to, faq, policy"]);

        assert_eq!(kb(&["delete", "KE1"]).stdout, "1 deleted\n");
        kb(&["delete", "KE1"]).check(0, &["no article `KE1`"]);
        assert!(kb(&["get", "KE1", "--version", "4"]).stdout.contains("; the article was deleted"));
        assert_eq!(json(&kb(&["delete", "KE1", "--erase-versions", "--json"]))["deleted"], 1);
        kb(&["get", "KE1", "--version", "4"]).check(1, &["article `KE1` not found"]);
    }
    for entry in walkdir::WalkDir::new(&alone).into_iter().map(Result::unwrap) {
        let bytes = std::fs::read(entry.path()).unwrap_or_default();
        let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(!holds("Since the update") && !holds("Install 4.2"), "{}", entry.path().display());
    }
}
