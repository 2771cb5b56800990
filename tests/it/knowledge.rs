//! `KnowledgeService`: import, list, search and suggestion.

use ticket_triage::pb::{self, knowledge_service_client::KnowledgeServiceClient};
use tonic::{Code, transport::Channel};
use tonic_types::StatusExt as _;

use crate::harness::{
    TestServer, article, frame, in_time, item_status, reason, request, ticket, upsert, violated_fields,
};

type Client = KnowledgeServiceClient<Channel>;

fn counts(answer: &pb::UpsertArticlesResponse) -> [u64; 4] {
    [answer.imported, answer.updated, answer.unchanged, answer.failed]
}

fn search_for(query: &str) -> pb::SearchArticlesRequest {
    pb::SearchArticlesRequest { query: query.to_owned(), ..pb::SearchArticlesRequest::default() }
}

fn ids(hits: &[pb::ArticleHit]) -> Vec<&str> {
    hits.iter().map(|hit| hit.id.as_str()).collect()
}

async fn search(client: &mut Client, request: pb::SearchArticlesRequest) -> pb::SearchArticlesResponse {
    client.search_articles(request).await.unwrap().into_inner()
}

async fn suggest(client: &mut Client, summary: &str, top_n: u32) -> pb::SuggestArticlesResponse {
    let request = pb::SuggestArticlesRequest { ticket: Some(ticket(summary, "")), top_n: Some(top_n) };
    client.suggest_articles(request).await.unwrap().into_inner()
}

async fn get(client: &mut Client, id: &str) -> Option<pb::Article> {
    match client.get_article(pb::GetArticleRequest { id: id.to_owned(), version: None }).await {
        Ok(answer) => answer.into_inner().article,
        Err(status) => {
            assert_eq!((status.code(), reason(&status).as_str()), (Code::NotFound, "NOT_FOUND"));
            let resource = status.get_details_resource_info().unwrap();
            assert_eq!((resource.resource_type.as_str(), resource.resource_name.as_str()), ("article", id));
            None
        }
    }
}

fn desk_articles() -> Vec<pb::Article> {
    let wifi = "Symptoms: the certificate is refused.\n\n## Workaround\n\nForget the network and join it again.";
    vec![
        article("KB-MAIL", "Outlook asks for the password", "Delete the saved password in the Credential Manager."),
        article("KB-WIFI", "Wi-Fi drops in meeting rooms", wifi),
        article("KB-PRINT", "Printer reports error 0x0000011b", "Install the print update on the server."),
    ]
}

#[tokio::test]
async fn an_import_counts_what_is_new_changed_and_the_same() {
    let server = TestServer::start().await;
    let mut client = server.knowledge().await;
    let before = suggest(&mut client, "printer", 1).await.versions.unwrap().knowledge;
    assert_eq!(counts(&upsert(&mut client, desk_articles()).await), [3, 0, 0, 0]);
    assert_eq!(counts(&upsert(&mut client, desk_articles()).await), [0, 0, 3, 0]);
    let imported = suggest(&mut client, "printer", 1).await.versions.unwrap().knowledge;
    assert_ne!(imported, before);

    let mut changed = desk_articles();
    changed[1].body = "Renew the certificate.".to_owned();
    let invalid = article("KB-BAD", " ", "");
    let new = article("KB-NEW", "Scanner sends blank pages", "");
    let frames = [frame(vec![changed.remove(0), invalid]), frame(Vec::new()), frame(vec![changed.remove(0), new])];
    let answer = client.upsert_articles(tokio_stream::iter(frames)).await.unwrap().into_inner();
    assert_eq!(counts(&answer), [1, 1, 1, 1]);
    assert_eq!(answer.errors.len(), 1);
    assert_eq!((answer.errors[0].index, answer.errors[0].id.as_str()), (1, "KB-BAD"));
    let status = item_status(answer.errors[0].error.as_ref().unwrap());
    assert_eq!(violated_fields(&status), ["articles[1].title"]);

    assert_eq!(get(&mut client, "KB-WIFI").await.unwrap().body, "Renew the certificate.");
    assert_eq!(ids(&search(&mut client, search_for("scanner blank pages")).await.articles)[0], "KB-NEW");
    assert_eq!(get(&mut client, "KB-BAD").await, None);
    assert_ne!(suggest(&mut client, "printer", 1).await.versions.unwrap().knowledge, imported);
    server.stop().await;
}

#[tokio::test]
async fn an_article_comes_back_as_it_was_sent_with_the_defaults_spelt_out() {
    let server = TestServer::start().await;
    let mut client = server.knowledge().await;
    let full = pb::Article {
        id: "größe/😀".to_owned(),
        title: "Wi-Fi drops".to_owned(),
        summary: "In meeting rooms.".to_owned(),
        body: "# Symptoms\r\n\r\n* drops — “often”\n".to_owned(),
        kind: pb::ArticleKind::KnownError.into(),
        status: pb::ArticleStatus::Draft.into(),
        products: vec!["Cisco AnyConnect".to_owned(), "Windows 11".to_owned()],
        category: "network/connectivity".to_owned(),
        valid_until: "2099-12-31".to_owned(),
        link: "https://kb.example/größe".to_owned(),
        problem: "PRB0042".to_owned(),
        known_error: Some(pb::KnownError {
            symptoms: "- It drops.".to_owned(),
            affected: vec!["Wi-Fi".to_owned()],
            ..pb::KnownError::default()
        }),
        version: 1,
    };
    upsert(&mut client, vec![full.clone(), article("KB2", "Plain", "")]).await;
    assert_eq!(get(&mut client, "größe/😀").await, Some(full));
    let plain = get(&mut client, "KB2").await.unwrap();
    assert_eq!((plain.kind(), plain.status()), (pb::ArticleKind::HowTo, pb::ArticleStatus::Published));
    server.stop().await;
}

#[tokio::test]
async fn a_dry_run_counts_and_stores_nothing() {
    let server = TestServer::start().await;
    let mut client = server.knowledge().await;
    upsert(&mut client, desk_articles()).await;
    let mut planned = desk_articles();
    planned[0].title.push('!');
    planned.push(article("KB-NEW", "New", ""));
    planned.push(article("", "", ""));
    let dry_run = pb::UpsertArticlesRequest { articles: planned, validate_only: true };
    let answer = client.upsert_articles(tokio_stream::iter([dry_run])).await.unwrap().into_inner();
    assert_eq!(counts(&answer), [1, 1, 2, 1]);
    assert_eq!(get(&mut client, "KB-NEW").await, None);
    assert_eq!(get(&mut client, "KB-MAIL").await.unwrap().title, desk_articles()[0].title);
    server.stop().await;
}

#[tokio::test]
async fn articles_are_listed_page_by_page_in_the_order_of_their_ids() {
    let server = TestServer::start().await;
    let mut client = server.knowledge().await;
    let articles = (0..25).rev().map(|n| article(&format!("KB{n:02}"), "Title", "")).collect();
    upsert(&mut client, articles).await;
    let (mut listed, mut page_token, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let request = pb::ListArticlesRequest { page_size: Some(10), page_token, ..pb::ListArticlesRequest::default() };
        let page = client.list_articles(request).await.unwrap().into_inner();
        assert_eq!(page.total, 25);
        listed.extend(page.articles.into_iter().map(|article| article.id));
        pages += 1;
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(listed, (0..25).map(|n| format!("KB{n:02}")).collect::<Vec<_>>());
    assert_eq!(pages, 3);
    let exact = pb::ListArticlesRequest {
        page_size: Some(25),
        page_token: String::new(),
        ..pb::ListArticlesRequest::default()
    };
    assert!(client.list_articles(exact).await.unwrap().into_inner().next_page_token.is_empty());
    server.stop().await;
}

#[tokio::test]
async fn a_deleted_article_is_found_nowhere() {
    let server = TestServer::start().await;
    let mut client = server.knowledge().await;
    upsert(&mut client, desk_articles()).await;
    let delete = || pb::DeleteArticleRequest { id: "KB-PRINT".to_owned(), erase_versions: false };
    client.delete_article(delete()).await.unwrap();
    assert_eq!(get(&mut client, "KB-PRINT").await, None);
    assert!(!ids(&search(&mut client, search_for("printer 0x0000011b")).await.articles).contains(&"KB-PRINT"));
    assert!(!ids(&suggest(&mut client, "printer 0x0000011b", 10).await.articles).contains(&"KB-PRINT"));
    let status = client.delete_article(delete()).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::NotFound, "NOT_FOUND"));
    assert_eq!(counts(&upsert(&mut client, desk_articles()).await), [1, 0, 2, 0]);
    assert_eq!(ids(&search(&mut client, search_for("0x0000011b")).await.articles), ["KB-PRINT"]);
    server.stop().await;
}

#[tokio::test]
async fn a_search_finds_words_codes_and_phrases_and_marks_them() {
    let server = TestServer::start().await;
    let mut client = server.knowledge().await;
    let mut articles = desk_articles();
    articles.push(article("KB-ORDER", "Notes", "saved in the Manager was a Credential"));
    upsert(&mut client, articles).await;

    let words = search(&mut client, search_for("outlook password")).await;
    assert_eq!(ids(&words.articles)[0], "KB-MAIL");
    assert!(words.articles.is_sorted_by(|a, b| a.score >= b.score));
    assert!(words.versions.is_some());
    let hit = &words.articles[0];
    assert_eq!((hit.kind(), hit.status()), (pb::ArticleKind::HowTo, pb::ArticleStatus::Published));

    let hits = search(&mut client, search_for("\"credential manager\"")).await.articles;
    assert_eq!(ids(&hits), ["KB-MAIL"]);
    let passage = hits[0].passage.as_ref().unwrap();
    let marked: Vec<_> =
        passage.highlights.iter().map(|mark| &passage.text[mark.start_byte as usize..mark.end_byte as usize]).collect();
    assert!(marked.join(" ").to_lowercase().contains("credential"), "{passage:?}");
    assert!(passage.highlights.is_sorted_by(|a, b| a.end_byte <= b.start_byte), "{passage:?}");

    assert_eq!(ids(&search(&mut client, search_for("0x0000011b")).await.articles), ["KB-PRINT"]);
    assert!(search(&mut client, search_for("zzyzx")).await.articles.is_empty());
    for odd in ["\"", "a AND (", "title:x^2 OR *", "+-", "\"credential", "\u{0}"] {
        in_time(client.search_articles(search_for(odd))).await.unwrap_or_else(|status| panic!("{odd:?}: {status:?}"));
    }
    server.stop().await;
}

#[tokio::test]
async fn a_search_keeps_to_its_filters_and_shows_drafts_and_retired_ones_to_analysts() {
    let server = TestServer::start().await;
    let mut client = server.knowledge().await;
    let with = |id: &str, kind: pb::ArticleKind, status: pb::ArticleStatus| pb::Article {
        kind: kind.into(),
        status: status.into(),
        ..article(id, "Printer offline", "Switch the printer on.")
    };
    upsert(
        &mut client,
        vec![
            with("A", pb::ArticleKind::KnownError, pb::ArticleStatus::Published),
            with("B", pb::ArticleKind::Faq, pb::ArticleStatus::Draft),
            with("C", pb::ArticleKind::Faq, pb::ArticleStatus::Retired),
            with("D", pb::ArticleKind::Policy, pb::ArticleStatus::Published),
        ],
    )
    .await;
    let faq = i32::from(pb::ArticleKind::Faq);
    let policy = i32::from(pb::ArticleKind::Policy);
    let published = i32::from(pb::ArticleStatus::Published);
    let retired = i32::from(pb::ArticleStatus::Retired);
    for (kinds, statuses, expected) in [
        (vec![], vec![], vec!["A", "B", "C", "D"]),
        (vec![faq], vec![], vec!["B", "C"]),
        (vec![faq, policy], vec![published, retired], vec!["C", "D"]),
        (vec![policy], vec![retired], vec![]),
    ] {
        let request = pb::SearchArticlesRequest { kinds, statuses, ..search_for("printer offline") };
        let answer = search(&mut client, request).await;
        let mut found = ids(&answer.articles);
        found.sort_unstable();
        assert_eq!(found, expected);
    }
    server.stop().await;
}

#[tokio::test]
async fn the_pages_of_a_search_hold_every_hit_once() {
    let server = TestServer::start().await;
    let mut client = server.knowledge().await;
    let articles = (0..23).map(|n| article(&format!("KB{n:02}"), "Printer offline", "Switch it on.")).collect();
    upsert(&mut client, articles).await;
    let whole = search(&mut client, pb::SearchArticlesRequest { page_size: Some(100), ..search_for("printer") }).await;
    assert_eq!((whole.articles.len(), whole.next_page_token.as_str()), (23, ""));

    let (mut found, mut page_token) = (Vec::new(), String::new());
    loop {
        let page = pb::SearchArticlesRequest { page_size: Some(5), page_token, ..search_for("printer") };
        let page = search(&mut client, page).await;
        found.extend(page.articles);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(ids(&found), ids(&whole.articles));
    assert_eq!(search(&mut client, search_for("printer")).await.articles.len(), 10);
    server.stop().await;
}

#[tokio::test]
async fn only_published_articles_that_are_still_valid_are_suggested() {
    let server = TestServer::start().await;
    let mut client = server.knowledge().await;
    let plain = |id: &str| article(id, "Printer offline", "Switch the printer on.");
    let draft = pb::Article { status: pb::ArticleStatus::Draft.into(), ..plain("DRAFT") };
    let retired = pb::Article { status: pb::ArticleStatus::Retired.into(), ..plain("RETIRED") };
    let until = |id: &str, day: &str| pb::Article { valid_until: day.to_owned(), ..plain(id) };
    let articles = vec![draft, retired, until("EXPIRED", "2020-02-29"), until("VALID", "2999-01-01"), plain("PLAIN")];
    upsert(&mut client, articles).await;

    let suggested = suggest(&mut client, "the printer is offline", 10).await;
    let mut found = ids(&suggested.articles);
    found.sort_unstable();
    assert_eq!(found, ["PLAIN", "VALID"]);
    assert_eq!(suggest(&mut client, "the printer is offline", 1).await.articles.len(), 1);
    let found = search(&mut client, search_for("printer offline")).await.articles;
    let mut days: Vec<_> = found.iter().map(|hit| (hit.id.as_str(), hit.valid_until.as_str())).collect();
    days.sort_unstable();
    let expected = [("DRAFT", ""), ("EXPIRED", "2020-02-29"), ("PLAIN", ""), ("RETIRED", ""), ("VALID", "2999-01-01")];
    assert_eq!(days, expected);

    let of_ticket = request(ticket("the printer is offline", ""));
    let decision = server.triage().await.triage_ticket(of_ticket).await.unwrap().into_inner().decision.unwrap();
    assert_eq!(ids(&decision.articles), ids(&suggested.articles));
    server.stop().await;
}

/// Everything of an article that a caller is shown.
fn shown(article: &pb::Article) -> String {
    let pb::Article { id, title, summary, body, products, category, .. } = article;
    [
        &[id, title, summary, body, category].map(String::as_str)[..],
        &products.iter().map(String::as_str).collect::<Vec<_>>(),
    ]
    .concat()
    .join("\n")
}

#[tokio::test]
async fn nothing_that_acts_on_its_reader_comes_out_of_an_article() {
    let server = TestServer::start().await;
    let mut client = server.knowledge().await;
    let hostile = pb::Article {
        summary: "Restart <b>it</b>\u{1b}[2J<script>alert('summary')</script>".into(),
        products: vec!["Print\u{200b}er <img src=x onerror=alert(1)>".into()],
        category: "print\u{2066}ing".into(),
        ..article(
            "EVIL",
            "Printer \u{202e}offline\u{202c}<script>alert('title')</script> \u{1b}]0;owned\u{7}",
            "<script>alert('body')</script>\n\nSwitch the <i onclick=x()>printer</i> on\0, [here](javascript:alert(1)) or \
             [there](https://help.example/p), ![x](data:text/html,y), <mailto:desk@help.example>.\n\n\
             [ref]: vbscript:x\n\n```\n<b>code</b>\n```",
        )
    };
    assert_eq!(counts(&upsert(&mut client, vec![hostile.clone()]).await), [1, 0, 0, 0]);
    assert_eq!(counts(&upsert(&mut client, vec![hostile]).await), [0, 0, 1, 0], "cleaned the same each time");

    let kept = get(&mut client, "EVIL").await.unwrap();
    assert_eq!((kept.title.trim(), kept.summary.as_str()), ("Printer offline", "Restart it"));
    assert_eq!((kept.products[0].trim(), kept.category.as_str()), ("Printer", "printing"));
    assert_eq!(
        kept.body.trim(),
        "Switch the printer on, here or [there](https://help.example/p), x, <mailto:desk@help.example>.\n\n\n\n\
         ```\n<b>code</b>\n```"
    );
    let listed = client.list_articles(pb::ListArticlesRequest::default()).await.unwrap().into_inner();
    assert_eq!(shown(&listed.articles[0]), shown(&kept));
    let found = search(&mut client, search_for("printer offline")).await.articles;
    for hit in found.iter().chain(&suggest(&mut client, "the printer is offline", 1).await.articles) {
        assert_eq!((hit.title.trim(), hit.products[0].trim()), ("Printer offline", "Printer"));
        let passage = &hit.passage.as_ref().unwrap().text;
        assert_eq!(
            passage,
            "Restart it Switch the printer on, here or there, x, mailto:desk@help.example. <b>code</b>"
        );
    }

    let refused =
        upsert(&mut client, vec![article("KB\u{202e}1", "Title", ""), article("KB2", "\u{200b} \u{2066}", "")]).await;
    assert_eq!(counts(&refused), [0, 0, 0, 2]);
    server.stop().await;
}
