//! Articles out of small files of every kind.

use super::*;

fn read(files: &[(&str, &[u8])], paths: &[&str]) -> (Vec<Article>, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let paths: Vec<_> = paths.iter().map(|path| folder.path().join(path)).collect();
    let (articles, errors): (Vec<_>, Vec<_>) = Articles::new(&paths, &[]).partition(Result::is_ok);
    let root = format!("{}/", folder.path().display());
    let errors = errors.into_iter().map(|error| error.unwrap_err().to_string().replace(&root, "")).collect();
    (articles.into_iter().map(Result::unwrap).collect(), errors)
}

#[test]
fn front_matter_says_what_the_article_is() {
    let text = "\u{feff}---\r\nid: ke-1\r\ntitle: \"VPN: drops\"\r\nsummary: It drops.\r\nkind: known_error\r\n\
        status: retired\r\nproducts: [AnyConnect, 'Windows 11']\r\ncategory: network/vpn\r\n\
        valid_until: 2026-12-31\r\nauthor: nobody\r\n---\r\n\r\n# Notes\r\n\r\nText\r\n";
    let expected = Article {
        id: "ke-1".into(),
        title: "VPN: drops".into(),
        summary: "It drops.".into(),
        body: "# Notes\r\n\r\nText".into(),
        kind: ArticleKind::KnownError,
        status: ArticleStatus::Retired,
        products: vec!["AnyConnect".into(), "Windows 11".into()],
        category: Some("network/vpn".into()),
        valid_until: Day::parse("2026-12-31"),
        ..Article::default()
    };
    assert_eq!(parse_markdown("file", text).unwrap(), expected);
    let separated = parse_markdown("file", "---\nproducts: a; b ;\n---\ntext").unwrap();
    assert_eq!(separated.products, ["a", "b"]);
}

#[test]
fn a_known_error_has_its_sections_by_their_headings() {
    let front =
        "---\nkind: known_error\nlink: https://kb.example/7 \nproblem: PRB0042\naffected: [Mail, 'srv-07']\n---\n";
    let text = format!("{front}# It stops\n\n## Symptome\n\n- Stops.\n\n## Workaround\n\nRestart.\n");
    let article = parse_markdown("ke", &text).unwrap();
    let expected = KnownError {
        symptoms: "- Stops.".into(),
        workaround: "Restart.".into(),
        affected: vec!["Mail".into(), "srv-07".into()],
        ..KnownError::default()
    };
    assert_eq!((article.title.as_str(), article.body.as_str()), ("It stops", "# It stops"));
    assert_eq!(article.known_error, expected);
    assert_eq!(article.link.as_deref(), Some("https://kb.example/7"));
    assert_eq!(article.problem.as_deref(), Some("PRB0042"));
    let only_sections = parse_markdown("ke", "---\nkind: known_error\n---\n## Symptoms\n\nStops.").unwrap();
    assert_eq!((only_sections.title.as_str(), only_sections.body.as_str()), ("Symptoms", ""));
    // Of other kinds the headings are headings.
    let how_to = parse_markdown("a", "# Title\n\n## Workaround\n\nWait.").unwrap();
    assert!(how_to.known_error.is_empty() && how_to.body.ends_with("Wait."));
    for (key, problem) in [
        ("affected: a; b", "known_error: only an article of the kind known_error has"),
        ("link: kb/7", "link: must be an address such as https://"),
        ("affected: 5\nkind: known_error", "a list, or one string"),
    ] {
        let error = parse_markdown("a", &format!("---\n{key}\n---\n# T")).unwrap_err().to_string();
        assert!(error.contains(problem), "{error}");
    }
}

#[test]
fn sections_are_columns_of_known_errors_only() {
    let csv = b"id,title,kind,symptoms,cause,workaround,fix,affected,link,problem,body\n\
        1,T,known_error,S,C,W,F,a;b,https://x.example,P1,B\n\
        2,T,how_to,S,C,W,F,a;b,,,B\n\
        3,T,known_error,S,,,,,,,\"# Cause\nC\n# Symptoms\nS\n# Fix\nF\"\n\
        4,T,known_error,S1,,,,,,,\"# Symptoms\nS2\"\n\
        5,,known_error,,,Wait.,,,,,\n";
    let (articles, errors) = read(&[("a.csv", csv)], &["a.csv"]);
    assert_eq!(errors, [""; 0]);
    let known = |texts: [&str; 4], affected: &[&str]| {
        let [symptoms, cause, workaround, fix] = texts.map(str::to_owned);
        KnownError { symptoms, cause, workaround, fix, affected: affected.iter().map(ToString::to_string).collect() }
    };
    let expected = [
        known(["S", "C", "W", "F"], &["a", "b"]),
        KnownError::default(),
        known(["S", "C", "", "F"], &[]),
        known(["S1\n\nS2", "", "", ""], &[]),
        known(["", "", "Wait.", ""], &[]),
    ];
    assert_eq!(articles.iter().map(|article| article.known_error.clone()).collect::<Vec<_>>(), expected);
    assert_eq!(articles.iter().map(|article| article.body.as_str()).collect::<Vec<_>>(), ["B", "B", "", "", ""]);
    assert_eq!(articles[0].link.as_deref(), Some("https://x.example"));
    assert_eq!((articles[0].problem.as_deref(), articles[1].problem.as_deref()), (Some("P1"), None));
    assert_eq!(articles[4].title, "Wait.");

    // A file need not have a text then; and where it has no kinds, its columns are its own.
    let (articles, errors) = read(&[("a.csv", b"id,title,kind,fix\n1,T,known_error,F\n")], &["a.csv"]);
    assert_eq!((articles[0].known_error.fix.as_str(), errors.len()), ("F", 0));
    let (articles, errors) = read(&[("a.csv", b"id,text,cause,cause\n1,T,a,b\n")], &["a.csv"]);
    assert!(errors.is_empty() && articles[0].known_error.is_empty());
    let (_, errors) = read(&[("a.csv", b"id,text,kind,cause,cause\n1,T,,a,b\n")], &["a.csv"]);
    assert!(errors[0].contains("column `cause` stands 2 times"), "{errors:?}");
}

#[test]
fn without_front_matter_the_file_names_itself() {
    for (text, title) in [
        ("Intro.\n\n## The *heading*\n\ntext", "The heading"),
        ("\n  First line\nsecond", "First line second"),
        ("---\nno end of it", "no end of it"),
        ("---\nhttp://x.example: down", "http://x.example: down"),
        ("---\n---\ntext", "text"),
        ("---\ntitle: \n---\n# Head", "Head"),
    ] {
        let article = parse_markdown("a/b", text).unwrap();
        assert_eq!((article.id.as_str(), article.title.as_str()), ("a/b", title), "{text}");
    }
    let long = parse_markdown("a", &"ä".repeat(500)).unwrap();
    assert_eq!(long.title.chars().count(), DERIVED_TITLE_CHARS);
}

#[test]
fn what_is_wrong_with_a_text_is_said() {
    for (text, problem) in [
        ("", "nothing in it"),
        ("---\nid: ''\n---\ntext", "no id"),
        ("---\ntitle: [\n---\ntext", "front matter"),
        ("---\njust words\n---\ntext", "front matter"),
        ("---\nproducts: 5\n---\ntext", "a list, or one string"),
        ("---\nstatus: draft\n\n# Not yet", "front matter has no closing ---"),
        ("---\r\n\r\nproducts:\r\n- a\r\n", "front matter has no closing ---"),
        ("---\nkind: howto\n---\ntext", "`howto` is no kind: it is one of known_error, how_to, faq, policy"),
        ("---\nstatus: live\n---\ntext", "`live` is no status"),
        ("---\nvalid_until: tomorrow\n---\ntext", "valid_until `tomorrow` is no date, write YYYY-MM-DD"),
        ("---\nvalid_until: 2026-02-30\n---\ntext", "valid_until `2026-02-30` is no date"),
        (&format!("---\nid: {}\n---\ntext", "x".repeat(300)), "id: must be at most 256 characters"),
    ] {
        let error = parse_markdown("name", text).unwrap_err().to_string();
        assert!(error.contains(problem), "{error} instead of {problem}");
    }
}

#[test]
fn a_folder_is_read_in_order_and_bad_files_are_named() {
    let files: &[(&str, &[u8])] = &[
        ("kb/b.md", b"# B"),
        ("kb/a/deep.markdown", b"# Deep"),
        ("kb/a/latin1.md", b"# K\xe4se"),
        ("kb/c.md", b"---\nid: b\n---\nagain"),
        ("kb/notes.txt", b"no article"),
        ("kb/d.md", b"---\nvalid_until: never\n---\n# D"),
    ];
    let (articles, errors) = read(files, &["kb", "nothing", "kb/notes.txt"]);
    assert_eq!(articles.into_iter().map(|article| article.id).collect::<Vec<_>>(), ["a/deep", "b"]);
    assert_eq!(
        errors,
        [
            "kb/a/latin1.md: not UTF-8, save the file as UTF-8",
            "kb/c.md: id `b` stood before in kb/b.md",
            "kb/d.md: valid_until `never` is no date, write YYYY-MM-DD",
            "cannot read nothing: No such file or directory (os error 2)",
            "kb/notes.txt: rows come as .jsonl, .ndjson or .csv, each also with .gz",
        ]
    );
}

#[test]
fn folders_with_nothing_to_read_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let paths = ["full", "empty", "absent"].map(|name| folder.path().join(name));
    for path in &paths[..2] {
        fs::create_dir(path).unwrap();
    }
    fs::write(paths[0].join("a.md"), "# A").unwrap();
    fs::write(paths[1].join("a.jsonl"), "{}").unwrap();
    assert_eq!(Articles::new(&paths, &[]).folders_without_markdown(), &paths[1..2]);
}

#[cfg(unix)]
#[test]
fn symbolic_links_in_a_folder_are_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("kb")).unwrap();
    fs::write(folder.path().join("secret.md"), "# Secret").unwrap();
    std::os::unix::fs::symlink(folder.path().join("secret.md"), folder.path().join("kb/link.md")).unwrap();
    std::os::unix::fs::symlink(folder.path(), folder.path().join("kb/up")).unwrap();
    assert_eq!(Articles::new(&[folder.path().join("kb")], &[]).count(), 0);
}

#[test]
fn rows_are_articles_and_bad_ones_are_named() {
    let json = b"{\"id\": 1, \"text\": \"First line\\nmore\", \"products\": [\"a\", \"b;c\"], \"category\": \"x\"}\n\
        {\"id\": \"2\", \"title\": \"T\", \"body\": \"B\", \"description\": \"D\", \"kind\": \"faq\", \"status\": \"draft\"}\n\
        {\"text\": \"no id\"}\n{\"id\": \"4\"}\n{\"id\": \"5\", \"text\": \"t\", \"valid_until\": \"soon\"}\n[]\n\
        {\"id\": \"1\", \"text\": \"again\"}\n";
    let (articles, errors) = read(&[("kb.jsonl", json)], &["kb.jsonl"]);
    let first = Article {
        id: "1".into(),
        title: "First line".into(),
        body: "First line\nmore".into(),
        products: vec!["a".into(), "b".into(), "c".into()],
        ..Article::default()
    };
    let second = Article {
        id: "2".into(),
        title: "T".into(),
        summary: "D".into(),
        body: "B".into(),
        kind: ArticleKind::Faq,
        status: ArticleStatus::Draft,
        ..Article::default()
    };
    assert_eq!(articles, [first, second]);
    let expected = [
        "kb.jsonl, row 3: no id",
        "kb.jsonl, row 4: nothing in it: neither text nor title",
        "kb.jsonl, row 5: valid_until `soon` is no date, write YYYY-MM-DD",
        "kb.jsonl, line 6: not a JSON object",
        "kb.jsonl, row 7: id `1` stood before in kb.jsonl",
    ];
    assert_eq!(errors.len(), expected.len(), "{errors:?}");
    for (error, expected) in errors.iter().zip(expected) {
        assert!(error.starts_with(expected), "{error} instead of {expected}");
    }
}

#[test]
fn a_csv_without_a_needed_column_is_refused() {
    for (header, missing) in [("title,text", "`id`"), ("id,title", "`text`")] {
        let (articles, errors) = read(&[("a.csv", format!("{header}\n1,2\n").as_bytes())], &["a.csv"]);
        assert!(articles.is_empty() && errors.len() == 1 && errors[0].contains(missing), "{errors:?}");
    }
    let (articles, errors) = read(&[("a.csv", b"id,text,products\n1,Hello,a; b\n")], &["a.csv"]);
    assert!(errors.is_empty());
    assert_eq!(articles[0].products, ["a", "b"]);
}
