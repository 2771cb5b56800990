//! Articles written, read back, listed and followed.

use super::*;

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    (folder, store)
}

fn article(id: &str, body: &str) -> Article {
    Article { id: id.into(), title: format!("About {id}"), body: body.into(), ..Article::default() }
}

fn counts(imported: u64, updated: u64, unchanged: u64) -> ImportCounts {
    ImportCounts { imported, updated, unchanged }
}

#[test]
fn what_was_written_is_read_back() {
    let (_folder, store) = store();
    let written = Article {
        id: "ke/1".into(),
        title: "Käse".into(),
        summary: "s".into(),
        body: "b\n\0b".into(),
        kind: ArticleKind::KnownError,
        status: ArticleStatus::Retired,
        products: vec!["a;b".into(), String::new()],
        category: Some("network/vpn".into()),
        valid_until: Day::parse("2026-02-28"),
        link: Some("https://kb.example/1".into()),
        problem: Some("PRB7".into()),
        known_error: KnownError {
            symptoms: "s".into(),
            cause: "c".into(),
            workaround: "w".into(),
            fix: "f\n\0".into(),
            affected: vec!["mail;x".into(), String::new()],
        },
        version: 1,
    };
    store.upsert_articles(std::slice::from_ref(&written), 7).unwrap();
    assert_eq!(store.article("ke/1").unwrap(), Some(written));
    assert_eq!(store.article("KE/1").unwrap(), None);
}

#[test]
fn an_unchanged_article_is_recognised_and_is_no_change() {
    let (_folder, store) = store();
    let first = [article("a", "1"), article("b", "1")];
    assert_eq!(store.plan_articles(&first).unwrap(), counts(2, 0, 0));
    assert_eq!(store.upsert_articles(&first, 7).unwrap(), counts(2, 0, 0));
    let second = [article("a", "2"), article("b", "1"), article("c", "1"), article("c", "2")];
    assert_eq!(store.plan_articles(&second).unwrap(), counts(1, 2, 1));
    assert_eq!(store.last_change().unwrap(), 2);
    assert_eq!(store.upsert_articles(&second, 7).unwrap(), counts(1, 2, 1));
    assert_eq!(store.last_change().unwrap(), 5);
    assert_eq!(store.article("c").unwrap().unwrap().body, "2");
}

#[test]
fn text_moved_to_the_next_field_is_another_content() {
    let one = Article { title: "ab".into(), summary: "c".into(), ..Article::default() };
    let other = Article { title: "a".into(), summary: "bc".into(), ..Article::default() };
    assert_ne!(content_hash(&one), content_hash(&other));
}

#[test]
fn each_part_is_part_of_the_content_and_the_version_is_none() {
    let plain = article("a", "b");
    let known = |known_error: KnownError| Article { known_error, ..plain.clone() };
    let text = || "x".to_owned();
    let others = [
        plain.clone(),
        Article { link: Some(text()), ..plain.clone() },
        Article { problem: Some(text()), ..plain.clone() },
        Article { products: vec![text()], ..plain.clone() },
        known(KnownError { symptoms: text(), ..KnownError::default() }),
        known(KnownError { cause: text(), ..KnownError::default() }),
        known(KnownError { workaround: text(), ..KnownError::default() }),
        known(KnownError { fix: text(), ..KnownError::default() }),
        known(KnownError { affected: vec![text()], ..KnownError::default() }),
    ];
    let hashes: std::collections::BTreeSet<_> = others.iter().map(content_hash).collect();
    assert_eq!(hashes.len(), others.len());
    assert_eq!(content_hash(&Article { version: 9, ..plain.clone() }), content_hash(&plain));
    // As the program wrote it that knew no sections yet.
    let known = "c3b9911b";
    assert_eq!(content_hash(&plain)[..4].iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}")), known);
}

#[test]
fn a_list_keeps_to_its_filter() {
    let (_folder, store) = store();
    let day = |day: &str| Day::parse(day);
    let articles = [
        Article { kind: ArticleKind::KnownError, ..article("a", "") },
        Article { status: ArticleStatus::Draft, valid_until: day("2026-01-31"), ..article("b", "") },
        Article { valid_until: day("2026-02-01"), ..article("c", "") },
        Article { kind: ArticleKind::Faq, status: ArticleStatus::Retired, ..article("d", "") },
    ];
    store.upsert_articles(&articles, 7).unwrap();
    let ids = |filter: &ArticleFilter| {
        let page = store.list_articles(filter, None, 10).unwrap();
        page.articles.into_iter().map(|article| article.id).collect::<String>()
    };
    let filter = ArticleFilter::default;
    assert_eq!(ids(&filter()), "abcd");
    assert_eq!(ids(&ArticleFilter { kinds: vec![ArticleKind::KnownError, ArticleKind::Faq], ..filter() }), "ad");
    assert_eq!(ids(&ArticleFilter { statuses: vec![ArticleStatus::Draft], ..filter() }), "b");
    assert_eq!(ids(&ArticleFilter { expired_on: day("2026-02-01"), ..filter() }), "b");
    assert_eq!(ids(&ArticleFilter { expired_on: day("2026-02-02"), ..filter() }), "bc");
    let both = ArticleFilter {
        kinds: vec![ArticleKind::HowTo],
        statuses: vec![ArticleStatus::Published],
        expired_on: day("2099-01-01"),
    };
    assert_eq!(ids(&both), "c");
}

#[test]
fn pages_go_on_where_the_last_one_ended() {
    let (_folder, store) = store();
    store.upsert_articles(&["d", "a", "c", "b", "e"].map(|id| article(id, "")), 7).unwrap();
    let mut seen: Vec<String> = Vec::new();
    loop {
        let page = store.list_articles(&ArticleFilter::default(), seen.last().map(String::as_str), 2).unwrap();
        seen.extend(page.articles.into_iter().map(|article| article.id));
        if !page.more {
            break;
        }
    }
    assert_eq!(seen, ["a", "b", "c", "d", "e"]);
    assert_eq!(store.count_articles().unwrap(), 5);
}

#[test]
fn a_page_of_long_articles_is_short() {
    let (_folder, store) = store();
    let long = "x".repeat(1 << 20);
    store.upsert_articles(&["a", "b", "c"].map(|id| article(id, &long)), 7).unwrap();
    let page = store.list_articles(&ArticleFilter::default(), None, 100).unwrap();
    assert_eq!((page.articles.len(), page.more), (2, true));
    let rest = store.list_articles(&ArticleFilter::default(), Some("b"), 100).unwrap();
    assert_eq!((rest.articles.len(), rest.more), (1, false));
}

#[test]
fn pages_are_bounded_by_all_of_the_text() {
    let (_folder, store) = store();
    let products = vec!["x".repeat(1 << 20)];
    let articles: Vec<_> =
        (0..8).map(|number| Article { products: products.clone(), ..article(&number.to_string(), "") }).collect();
    store.upsert_articles(&articles, 7).unwrap();
    assert_eq!(store.list_articles(&ArticleFilter::default(), None, 100).unwrap().articles.len(), 2);
    assert_eq!(store.article_changes_since(0, 100).unwrap().len(), 4);
}

#[test]
fn changes_come_in_order_with_deletions_and_each_article_once() {
    let (_folder, store) = store();
    store.upsert_articles(&[article("a", "1"), article("b", "1"), article("c", "1")], 7).unwrap();
    store.upsert_articles(&[article("a", "2")], 7).unwrap();
    assert!(store.delete_article("b", false).unwrap());
    assert!(!store.delete_article("b", false).unwrap());
    let seen = |since| {
        let changes = store.article_changes_since(since, 10).unwrap();
        let line = |change: Change<Article>| (change.sequence, change.id, change.record.map(|article| article.body));
        changes.into_iter().map(line).collect::<Vec<_>>()
    };
    let (a, b, c) = ("a".to_owned(), "b".to_owned(), "c".to_owned());
    assert_eq!(seen(0), [(3, c, Some("1".into())), (4, a, Some("2".into())), (5, b.clone(), None)]);
    assert_eq!(seen(4), [(5, b.clone(), None)]);
    store.upsert_articles(&[article("b", "3")], 7).unwrap();
    assert_eq!(seen(4), [(6, b, Some("3".into()))]);
    assert_eq!(seen(6), []);
}

#[test]
fn a_page_of_changes_is_bounded_by_its_text() {
    let (_folder, store) = store();
    let long = "x".repeat(1 << 20);
    let articles: Vec<_> = (0..12).map(|number| article(&number.to_string(), &long)).collect();
    store.upsert_articles(&articles, 7).unwrap();
    let mut sizes = Vec::new();
    let mut since = 0;
    while let Some(last) = store.article_changes_since(since, 100).unwrap().last() {
        sizes.push(last.sequence - since);
        since = last.sequence;
    }
    assert_eq!(sizes, [4, 4, 4]);
}
