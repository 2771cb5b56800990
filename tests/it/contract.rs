//! Reads the tree: where libraries may stand, who may call whom, and what outside programs rely on.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// A source file: its path below `src/`, and its code without comments and unit tests.
struct Source {
    path: String,
    code: String,
}

impl Source {
    /// The top-level module that the file belongs to; none for the crate's own files.
    fn module(&self) -> Option<&str> {
        let first = self.path.split('/').next()?;
        let name = first.strip_suffix(".rs").unwrap_or(first);
        (!matches!(name, "lib" | "main")).then_some(name)
    }
}

fn below(folder: &str, extension: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = walkdir::WalkDir::new(folder).sort_by_file_name().into_iter().map(|entry| entry.unwrap().into_path());
    let files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|found| found == extension)).collect();
    assert!(!files.is_empty());
    files
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = below("src", "rs").into_iter().map(|path| {
        let text = fs::read_to_string(&path).unwrap();
        let text = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        let code = text.lines().map(|line| line.split("//").next().unwrap_or("")).collect::<Vec<_>>().join("\n");
        Source { path: path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned(), code }
    });
    files.collect()
}

/// The crates that a piece of code names as the root of a path: `tonic` in `tonic::Code`.
fn path_roots(code: &str) -> BTreeSet<&str> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let roots = code.match_indices("::").filter_map(|(at, _)| {
        let before = &code[..at];
        let start = before.rfind(|c| !is_word(c)).map_or(0, |last| last + 1);
        let inner = before[..start].ends_with("::");
        (start < at && !inner).then(|| &before[start..])
    });
    roots.collect()
}

/// Our dependencies as they are written in code.
fn dependencies() -> BTreeSet<String> {
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let dependencies = manifest["dependencies"].as_table().unwrap();
    dependencies.keys().map(|name| name.replace('-', "_")).collect()
}

#[test]
fn every_library_stands_where_it_belongs() {
    let rules: [(&[&str], &[&str]); 7] = [
        // pb.rs holds the generated code.
        (&["tonic", "axum"], &["grpc/", "app.rs", "app/admin.rs", "pb.rs"]),
        (&["tokio_rustls", "webpki"], &["access/", "grpc/"]),
        (&["jsonwebtoken"], &["access/"]),
        (&["tower"], &["grpc/", "app.rs"]),
        (&["candle", "tokenizers"], &["encode/", "classify/"]),
        (&["tantivy"], &["knowledge/", "memory/"]),
        (&["rusqlite"], &["store/"]),
    ];
    let sources = sources();
    for (libraries, places) in rules {
        let at_home = |source: &Source| path_roots(&source.code).iter().any(|root| root.starts_with(libraries[0]));
        assert!(sources.iter().any(at_home), "the reader is blind: nobody names {libraries:?}");
        let strays = sources.iter().filter(|source| !places.iter().any(|place| source.path.starts_with(place)));
        for source in strays {
            let roots = path_roots(&source.code);
            let stray = roots.iter().find(|root| {
                let is_of = |library: &&str| **root == *library || root.starts_with(&format!("{library}_"));
                libraries.iter().any(is_of)
            });
            assert_eq!(stray, None, "{} names a library that may stand only in {places:?}", source.path);
        }
    }
}

#[test]
fn the_domain_imports_std_and_the_error_only() {
    let dependencies = dependencies();
    for source in sources().iter().filter(|source| source.module() == Some("domain")) {
        for root in path_roots(&source.code) {
            assert!(!dependencies.contains(root), "{} names {root}", source.path);
        }
        for module in modules_called(&source.code) {
            assert!(["domain", "error"].contains(&module.as_str()), "{} calls {module}", source.path);
        }
    }
}

/// The top-level modules that code names after `crate::`, in groups as well.
fn modules_called(code: &str) -> BTreeSet<String> {
    let name = |text: &str| text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    let mut modules = BTreeSet::new();
    for (at, mark) in code.match_indices("crate::") {
        let behind = &code[at + mark.len()..];
        let Some(group) = behind.strip_prefix('{') else {
            modules.insert(name(behind));
            continue;
        };
        let mut depth = 1;
        let mut start = 0;
        for (i, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            if (c == ',' && depth == 1) || depth == 0 {
                modules.insert(name(&group[start..i]));
                start = i + 1;
            }
            if depth == 0 {
                break;
            }
        }
    }
    modules.remove("");
    modules
}

#[test]
fn the_top_level_modules_form_no_cycle() {
    let mut calls: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in sources() {
        let Some(module) = source.module() else { continue };
        calls.entry(module.to_owned()).or_default().extend(modules_called(&source.code));
    }
    assert!(calls.len() > 8 && calls["triage"].contains("domain"), "the reader is blind: {calls:?}");
    for (module, called) in &mut calls {
        called.remove(module);
    }
    // Take away whoever calls nobody that is left; what cannot be taken away is a cycle.
    while let Some(leaf) = calls.iter().find(|(_, called)| called.is_empty()).map(|(module, _)| module.clone()) {
        calls.remove(&leaf);
        for called in calls.values_mut() {
            called.remove(&leaf);
        }
    }
    assert!(calls.is_empty(), "these modules call each other in a circle: {calls:?}");
}

/// Lines of a proto file, each with the comment that stands above it or behind it.
fn commented_lines(text: &str) -> Vec<(String, String)> {
    let (mut lines, mut comment) = (Vec::new(), String::new());
    for line in text.lines().map(str::trim) {
        if let Some(words) = line.strip_prefix("//") {
            comment.push_str(words);
            continue;
        }
        let (code, behind) = line.split_once("//").unwrap_or((line, ""));
        lines.push((code.trim().to_owned(), std::mem::take(&mut comment) + behind));
    }
    lines
}

fn protos() -> Vec<(String, String)> {
    let files = below("proto/triage", "proto").into_iter();
    files.map(|path| (path.display().to_string(), fs::read_to_string(path).unwrap())).collect()
}

#[test]
fn every_method_says_what_it_fails_with() {
    let mut methods = 0;
    for (path, text) in protos() {
        for (line, comment) in commented_lines(&text).iter().filter(|(line, _)| line.starts_with("rpc ")) {
            assert!(comment.contains("Errors:"), "{path}: {line}");
            methods += 1;
        }
    }
    assert!(methods >= 10);
}

#[test]
fn every_field_and_every_enum_value_is_explained() {
    let mut silent = Vec::new();
    for (path, text) in protos() {
        let is_field = |line: &str| line.ends_with(';') && line.contains(" = ") && !line.starts_with("syntax");
        let fields = commented_lines(&text).into_iter().filter(|(line, _)| is_field(line));
        silent
            .extend(fields.filter(|(_, comment)| comment.trim().is_empty()).map(|(line, _)| format!("{path}: {line}")));
    }
    assert!(silent.is_empty(), "{} without a word:\n{}", silent.len(), silent.join("\n"));
}

/// Words in capitals between quotation marks.
fn reasons_in(path: &str) -> BTreeSet<String> {
    let source = sources().into_iter().find(|source| source.path == path).unwrap();
    let quoted = source.code.split('"').skip(1).step_by(2);
    let is_reason = |text: &&str| text.len() > 3 && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    quoted.filter(is_reason).map(str::to_owned).collect()
}

#[test]
fn the_reasons_of_errors_stay_as_programs_know_them() {
    let ours = [
        "ARTICLE_STATE",
        "CONVERSATION_EXPIRED",
        "DEADLINE_EXCEEDED",
        "INTERNAL",
        "INVALID_REQUEST",
        "JOB_STATE",
        "MODEL_STATE",
        "NOT_FOUND",
        "NOT_READY",
        "ORIGIN_NOT_ALLOWED",
        "OUTPUT_TAKEN",
        "OVERLOADED",
        "PATH_NOT_ALLOWED",
        "PERMISSION_DENIED",
        "RATE_LIMITED",
        "TAXONOMY_CHANGED",
        "TAXONOMY_IN_FILE",
        "TOO_LARGE",
        "UNAUTHENTICATED",
        "UNWRITABLE",
    ];
    assert_eq!(reasons_in("error.rs"), ours.map(str::to_owned).into());
    // Of calls that tonic refuses before a handler sees them.
    for reason in ["INVALID_REQUEST", "TOO_LARGE", "TRANSPORT", "UNKNOWN_ENCODING", "UNKNOWN_METHOD"] {
        assert!(reasons_in("grpc/edge.rs").contains(reason), "{reason}");
    }
}
