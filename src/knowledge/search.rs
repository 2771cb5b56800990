//! Two questions to one index: which articles may solve this ticket, and which hold what an analyst typed.

use tantivy::{
    DocSet, TERMINATED, TantivyError, Term,
    query::{BooleanQuery, EnableScoring, PhraseQuery, Query, TermQuery},
    schema::IndexRecordOption,
    tokenizer::TokenStream,
};

use super::{
    derived::Derived as _,
    passage::{self, WantedTerms},
    question::Asker,
    rank::{self, Parts, RankedTerm},
    schema::{self, Fields},
    snapshot::Snapshot,
    texts,
    top::{Ranked, Top},
};
use crate::domain::article::{ArticleHit, ArticleKind, ArticleStatus};

/// An article whose id was typed stands before all others.
const ID_SCORE: f32 = 1_000.0;
/// So that a phrase of function words alone finds what it quotes.
const PHRASE_SCORE: f32 = 1.0;

/// Which articles an analyst wants to see; an empty list stands for all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SearchFilter {
    pub kinds: Vec<ArticleKind>,
    pub statuses: Vec<ArticleStatus>,
}

/// Articles of any status that hold all quoted phrases and any of the words, best first.
pub(super) fn search(
    snapshot: &Snapshot,
    fields: &Fields,
    query: &str,
    filter: &SearchFilter,
    (offset, limit): (usize, usize),
) -> Result<Vec<ArticleHit>, TantivyError> {
    let terms = rank::choose_terms(snapshot, query, Asker::Analyst)?;
    let phrases = phrases(snapshot, fields, query)?;
    let id = TermQuery::new(fields.id_term(query.trim()), IndexRecordOption::Basic);
    let statuses: Vec<u64> = filter.statuses.iter().map(|status| schema::status_number(*status)).collect();
    let kinds: Vec<u64> = filter.kinds.iter().map(|kind| schema::kind_number(*kind)).collect();
    let parts = Parts::new(terms.iter().map(|term| term.weight), &snapshot.saturation);
    let mut top = Top::new(offset.saturating_add(limit));
    for (number, segment) in snapshot.segments.iter().enumerate() {
        let scores = rank::scores(snapshot, number, &terms, &parts)?;
        let mut scores: Vec<f32> = scores.into_iter().map(|score| parts.exact(score)).collect();
        if let Some(phrases) = &phrases {
            keep_matches(snapshot, number, phrases, &mut scores)?;
        }
        for_each_match(snapshot, number, &id, |document| scores[document as usize] += ID_SCORE)?;
        top.collect(number, &scores, |document| {
            snapshot.is_alive(number, document)
                && (kinds.is_empty() || kinds.contains(&segment.kinds.get_val(document)))
                && (statuses.is_empty() || statuses.contains(&segment.statuses.get_val(document)))
        });
    }
    let found = top.take(|ranked| snapshot.id(ranked), offset);
    show(snapshot, fields, &found, &wanted(&terms), false)
}

/// All quoted parts of a query; a quotation mark without its partner is none. `None` where nothing is quoted.
fn phrases(snapshot: &Snapshot, fields: &Fields, query: &str) -> Result<Option<BooleanQuery>, TantivyError> {
    let mut parts: Vec<&str> = query.split(['"', '“', '”', '„']).collect();
    if parts.len().is_multiple_of(2) {
        parts.pop();
    }
    let mut tokenizer = snapshot.searcher.index().tokenizer_for_field(fields.phrase)?;
    let mut phrases: Vec<Box<dyn Query>> = Vec::new();
    for quoted in parts.iter().skip(1).step_by(2) {
        let mut words = Vec::new();
        let mut tokens = tokenizer.token_stream(quoted);
        while let Some(token) = tokens.next() {
            words.push((token.position, Term::from_field_text(fields.phrase, &token.text)));
        }
        match words.pop() {
            None => {}
            Some((_, word)) if words.is_empty() => {
                phrases.push(Box::new(TermQuery::new(word, IndexRecordOption::Basic)));
            }
            Some(last) => {
                words.push(last);
                phrases.push(Box::new(PhraseQuery::new_with_offset(words)));
            }
        }
    }
    Ok((!phrases.is_empty()).then(|| BooleanQuery::intersection(phrases)))
}

/// Sets the scores of all documents to 0 that the query does not match.
fn keep_matches(
    snapshot: &Snapshot,
    segment: usize,
    query: &dyn Query,
    scores: &mut [f32],
) -> Result<(), TantivyError> {
    let mut next = 0;
    for_each_match(snapshot, segment, query, |document| {
        let document = document as usize;
        scores[next..document].fill(0.0);
        scores[document] += PHRASE_SCORE;
        next = document + 1;
    })?;
    scores[next..].fill(0.0);
    Ok(())
}

fn for_each_match(
    snapshot: &Snapshot,
    segment: usize,
    query: &dyn Query,
    mut act: impl FnMut(u32),
) -> Result<(), TantivyError> {
    let weight = query.weight(EnableScoring::disabled_from_searcher(&snapshot.searcher))?;
    let reader = &snapshot.searcher.segment_readers()[segment];
    let mut documents = weight.scorer(reader, 1.0)?;
    while documents.doc() != TERMINATED {
        act(documents.doc());
        documents.advance();
    }
    Ok(())
}

pub(super) fn wanted(terms: &[RankedTerm]) -> WantedTerms {
    let mut wanted = WantedTerms::new();
    for term in terms {
        for form in &term.forms {
            wanted.insert(form, term.weight);
        }
    }
    wanted
}

/// What people see of what was found. With `remedies_first` the passage of a known error is the beginning of what helps.
pub(super) fn show(
    snapshot: &Snapshot,
    fields: &Fields,
    found: &[Ranked],
    wanted: &WantedTerms,
    remedies_first: bool,
) -> Result<Vec<ArticleHit>, TantivyError> {
    let mut hits = Vec::with_capacity(found.len());
    for ranked in found {
        let segment = &snapshot.segments[ranked.segment];
        let document = texts::read(snapshot, ranked.segment, ranked.document)?;
        let first = |field| texts::first(&document, field);
        let remedy = schema::remedy_of(segment.remedies.get_val(ranked.document)).filter(|_| remedies_first);
        hits.push(ArticleHit {
            id: first(fields.id).to_owned(),
            title: first(fields.title).to_owned(),
            kind: schema::kind_of(segment.kinds.get_val(ranked.document)),
            status: schema::status_of(segment.statuses.get_val(ranked.document)),
            products: texts::all(&document, fields.products),
            score: ranked.score,
            passage: match remedy {
                Some(section) => passage::of_section(section, first(fields.section(section)), wanted),
                None => passage::best(first(fields.plain), wanted),
            },
            reasons: Vec::new(),
            chance: None,
            version: texts::version(snapshot, ranked.segment, ranked.document),
            link: texts::link(&document, fields),
        });
    }
    Ok(hits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::article::{Article, Day},
        knowledge::{KnowledgeBase, evidence::by_words},
        store::Store,
    };

    fn base(articles: &[Article]) -> (tempfile::TempDir, KnowledgeBase) {
        let folder = tempfile::tempdir().unwrap();
        let knowledge = KnowledgeBase::open(Store::open(folder.path()).unwrap(), folder.path(), None).unwrap();
        knowledge.upsert(articles).unwrap();
        (folder, knowledge)
    }

    fn article(id: &str, title: &str, body: &str) -> Article {
        Article { id: id.into(), title: title.into(), body: body.into(), ..Article::default() }
    }

    fn suggested(knowledge: &KnowledgeBase, text: &str) -> Vec<String> {
        by_words(knowledge, text, 10).into_iter().map(|hit| hit.id).collect()
    }

    fn found(knowledge: &KnowledgeBase, query: &str) -> Vec<String> {
        let hits = knowledge.search(query, &SearchFilter::default(), 0, 10).unwrap();
        hits.into_iter().map(|hit| hit.id).collect()
    }

    fn desk() -> (tempfile::TempDir, KnowledgeBase) {
        base(&[
            article(
                "vpn",
                "VPN drops after sleep",
                "Reconnect. Error 0x80070005 in `C:\\vpn.log` on build 10.0.22631.",
            ),
            article(
                "oracle",
                "ORA-01017 at sign-in",
                "The password of the *Oracle* account has expired; see KB5034441.",
            ),
            article(
                "mail",
                "Set up e-mail on a phone",
                "Open Settings, then Accounts. The server is mx01.corp.example.",
            ),
            article("printers", "Printers", "How to add a printer, and what to do when it is out of paper."),
        ])
    }

    #[test]
    fn codes_versions_and_names_are_found_in_any_spelling() {
        let (_folder, knowledge) = desk();
        for (query, id) in [
            ("0x80070005", "vpn"),
            ("80070005", "vpn"),
            ("10.0.22631", "vpn"),
            ("vpn.log", "vpn"),
            ("ora-01017", "oracle"),
            ("ORA 01017", "oracle"),
            ("ora01017", "oracle"),
            ("kb5034441", "oracle"),
            ("KB 5034441", "oracle"),
            ("email", "mail"),
            ("E-Mails", "mail"),
            ("mx01.corp.example", "mail"),
            ("mx01", "mail"),
            ("printer", "printers"),
        ] {
            assert_eq!(found(&knowledge, query), [id], "{query}");
            assert_eq!(suggested(&knowledge, &format!("Hello, {query}: please help!")), [id], "{query}");
        }
        assert!(found(&knowledge, "").is_empty());
        assert!(suggested(&knowledge, "hello, thank you").is_empty());
        assert!(found(&knowledge, "unheard-of").is_empty());
    }

    #[test]
    fn only_published_valid_articles_are_suggested_and_all_are_found() {
        let day = |day: &str| Day::parse(day);
        let published = article("published", "Toner", "");
        let articles = [
            Article { id: "draft".into(), status: ArticleStatus::Draft, ..published.clone() },
            Article { id: "retired".into(), status: ArticleStatus::Retired, ..published.clone() },
            Article { id: "expired".into(), valid_until: day("2026-06-14"), ..published.clone() },
            Article { id: "last-day".into(), valid_until: day("2026-06-15"), ..published.clone() },
            published,
        ];
        let (_folder, knowledge) = base(&articles);
        assert_eq!(suggested(&knowledge, "toner"), ["last-day", "published"]);
        assert_eq!(found(&knowledge, "toner"), ["draft", "expired", "last-day", "published", "retired"]);
        let drafts = SearchFilter { statuses: vec![ArticleStatus::Draft], kinds: vec![ArticleKind::HowTo] };
        assert_eq!(knowledge.search("toner", &drafts, 0, 10).unwrap()[0].id, "draft");
        let policies = SearchFilter { kinds: vec![ArticleKind::Policy], ..SearchFilter::default() };
        assert!(knowledge.search("toner", &policies, 0, 10).unwrap().is_empty());
    }

    #[test]
    fn a_quoted_phrase_matches_exactly_and_all_of_them_must() {
        let (_folder, knowledge) = base(&[
            article("1", "Paper jam", "The printer has a paper jam in tray two."),
            article("2", "Jam", "Paper may jam: printers have trays."),
            article("3", "To be", "To be or not to be."),
        ]);
        for (query, ids) in [
            ("paper jam", &["1", "2"][..]),
            ("\"paper jam\"", &["1"]),
            ("\"PAPER-JAM\" printer", &["1"]),
            ("\"the printer\" \"tray two\"", &["1"]),
            ("\"paper jam\" \"to be\"", &[]),
            ("\"to be\"", &["3"]),
            ("\"printer", &["2", "1"]),
            ("\"\" jam", &["2", "1"]),
            ("\"jam\"", &["2", "1"]),
        ] {
            assert_eq!(found(&knowledge, query), ids, "{query}");
        }
    }

    #[test]
    fn a_quoted_product_is_found() {
        let windows = Article { products: vec!["Mail".into(), "Windows 11".into()], ..article("1", "Toner", "") };
        let (_folder, knowledge) = base(&[windows, article("2", "11 Windows", "")]);
        assert_eq!(found(&knowledge, "\"windows 11\""), ["1"]);
    }

    #[test]
    fn equals_are_ordered_by_id_and_pages_do_not_overlap() {
        let (_folder, knowledge) = base(&[]);
        let mut ids: Vec<String> = (0..60).map(|number| format!("{:02}", (number * 37) % 60)).collect();
        for chunk in ids.chunks(20) {
            // Three segments.
            knowledge.upsert(&chunk.iter().map(|id| article(id, "Toner", "empty")).collect::<Vec<_>>()).unwrap();
        }
        ids.sort_unstable();
        assert_eq!(suggested(&knowledge, "toner"), ids[..10]);
        let mut seen = Vec::new();
        for page in 0..8 {
            let hits = knowledge.search("toner empty", &SearchFilter::default(), page * 9, 9).unwrap();
            seen.extend(hits.into_iter().map(|hit| hit.id));
        }
        assert_eq!(seen, ids);
    }

    #[test]
    fn a_typed_id_comes_first() {
        let (_folder, knowledge) =
            base(&[article("KE-7", "Something else", "other"), article("b", "About KE-7", "KE-7 KE-7")]);
        assert_eq!(found(&knowledge, " KE-7 "), ["KE-7", "b"]);
        assert_eq!(found(&knowledge, "ke-7"), ["b"]);
    }

    #[test]
    fn a_stuffed_article_does_not_win_everything() {
        let words = "printer vpn outlook password email paper jam tray toner disk login account phone screen keyboard";
        let mut articles = vec![
            article("jam", "Clear a paper jam", "Open the tray of the printer and pull the paper out gently."),
            article("vpn", "VPN password rejected", "Change the password at a desk, then connect to the VPN again."),
            article("stuffed", &words.repeat(8), &words.repeat(2_000)),
        ];
        articles
            .extend((0..40).map(|number| article(&format!("x{number}"), "Other matters", "Nothing to see in here.")));
        let (_folder, knowledge) = base(&articles);
        assert_eq!(suggested(&knowledge, "paper jam in the printer")[0], "jam");
        assert_eq!(suggested(&knowledge, "my vpn rejects the password")[0], "vpn");
    }

    #[test]
    fn titles_summaries_and_products_stuffed_with_words_do_not_win_either() {
        let trades = ["printer", "vpn", "outlook", "password", "toner", "tray", "paper", "disk", "phone", "screen"];
        let honest = trades.map(|word| {
            let title = format!("The {word} fails");
            let body =
                format!("Restart the {word}, look at its settings, and call the desk when it goes on. ").repeat(6);
            article(word, &title, &body)
        });
        let all = trades.map(|word| format!("{word} fails ")).concat();
        let words = all.repeat(9);
        let stuffed = [
            article("title", words.trim(), ""),
            Article { summary: all.repeat(30), ..article("summary", "Everything", "") },
            Article { products: vec![words.trim()[..250].to_owned(); 64], ..article("products", "Everything", "") },
            article("body", "Everything", &all.repeat(2_000)),
        ];
        for stuffed in stuffed {
            let copies = (0..5).map(|copy| Article { id: format!("{}-{copy}", stuffed.id), ..stuffed.clone() });
            let (_folder, knowledge) = base(&honest.iter().cloned().chain(copies).collect::<Vec<_>>());
            for word in trades {
                assert_eq!(suggested(&knowledge, &format!("my {word} fails"))[0], word, "{}", stuffed.id);
            }
        }
    }

    #[test]
    fn what_was_changed_is_found_at_once_and_what_was_deleted_no_more() {
        let (_folder, knowledge) = desk();
        let before = knowledge.version();
        knowledge.upsert(&[article("vpn", "Tunnel", "Use the other gateway.")]).unwrap();
        assert!(found(&knowledge, "0x80070005").is_empty());
        assert_eq!(found(&knowledge, "gateway"), ["vpn"]);
        assert!(knowledge.delete("vpn", false).unwrap() && !knowledge.delete("vpn", false).unwrap());
        assert!(found(&knowledge, "gateway").is_empty());
        assert_eq!((knowledge.version(), knowledge.article_count()), (before + 2, 3));
    }

    #[test]
    fn a_hit_shows_the_article_and_where_it_matched() {
        let product = vec!["Oracle".to_owned(), "SAP".to_owned()];
        let (_folder, knowledge) = base(&[Article {
            summary: "What to do.".into(),
            kind: ArticleKind::KnownError,
            products: product.clone(),
            ..article("o", "Log-on fails", "# Symptom\n\nThe message is **ORA-01017**.\n\n# Cause\n\nExpired.")
        }]);
        let hit = by_words(&knowledge, "sap says ora-01017", 1).remove(0);
        assert_eq!((hit.title.as_str(), hit.kind, hit.products), ("Log-on fails", ArticleKind::KnownError, product));
        let marked: Vec<_> = hit.passage.highlights.iter().map(|range| &hit.passage.text[range.clone()]).collect();
        assert_eq!(marked, ["ORA-01017"]);
        assert_eq!(hit.passage.text, "What to do. Symptom The message is ORA-01017. Cause Expired.");
    }

    #[test]
    fn any_text_is_answered() {
        let (_folder, knowledge) = desk();
        let long = "printer 0x80070005 ".repeat(10_000);
        for text in
            [&long, "\0", "\"", "\"\"", "ß\u{301}'", "......", "'s", "-", "\u{feff}a\u{202e}b", &"ä".repeat(40_000)]
        {
            suggested(&knowledge, text);
            found(&knowledge, text);
        }
        assert_eq!(suggested(&knowledge, &long).len(), 2);
        assert!(by_words(&knowledge, "printer", 0).is_empty());
    }
}
