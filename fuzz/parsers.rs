//! One function a target: reads any bytes as the program would and checks what callers rely on. Shared by the fuzz
//! targets and by the replay of their corpus in `tests/it/fuzz_corpus.rs`.

use std::{
    fs,
    io::Write as _,
    path::Path,
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
};

use tempfile::TempDir;
use ticket_triage::{
    classify::{self, Classifier},
    config::{Config, Overrides, taxonomy},
    encode::{Redactor, SentenceEncoder},
    feedback, grpc,
    knowledge::{self, import},
    rows::Rows,
};

// Whoever has this module has the tiny encoder beside it.
use super::tiny;

/// A name, and what reads the bytes.
pub type Target = (&'static str, fn(&[u8]));

/// Every target by its name, which is that of its corpus too.
pub const TARGETS: [Target; 13] = [
    ("bundle", bundle),
    ("configuration", configuration),
    ("connections", connections),
    ("csv", csv),
    ("encoder", encoder),
    ("features", features),
    ("handles", handles),
    ("headers", headers),
    ("json_lines", json_lines),
    ("markdown", markdown),
    ("redaction", redaction),
    ("requests", requests),
    ("taxonomy", taxonomy_file),
];

static CLASSIFIER: LazyLock<Classifier> =
    LazyLock::new(|| Classifier::embedded().expect("the embedded bundle is checked when it is built"));

/// A folder for the parsers that read files, and one at a time in it.
static FOLDER: LazyLock<Mutex<TempDir>> = LazyLock::new(|| Mutex::new(tempfile::tempdir().expect("there is a disk")));

fn folder() -> MutexGuard<'static, TempDir> {
    FOLDER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The text of a ticket: prepared, cut into features, scored and explained.
pub fn features(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let found = CLASSIFIER.classify(&text);
    assert!((0.0..=1.0).contains(&found.out_of_scope), "out of scope by {}", found.out_of_scope);
    for field in &found.fields {
        assert!(field.ranked.iter().all(|ranked| (0.0..=1.0).contains(&ranked.confidence)), "{field:?}");
        let best = &field.ranked[0];
        assert!(field.ranked.iter().all(|ranked| ranked.confidence <= best.confidence), "{field:?}");
        for word in CLASSIFIER.explain(&found, &[(&*field.name, &*best.label)], 5).remove(0) {
            assert!(word.weight > 0.0, "{word:?}");
            assert!(text.get(word.bytes.clone()).is_some_and(|word| !word.is_empty()), "{word:?}");
        }
    }
}

/// What must not be kept of a text; what is left has nothing more of it.
pub fn redaction(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let redactor = Redactor::default();
    let once = redactor.redacted(&text);
    let twice = redactor.redacted(&once);
    assert_eq!(twice, once, "redacted again it is another text");
}

/// An article as Markdown: its front matter and sections, and then without what may do harm where it is shown.
pub fn markdown(bytes: &[u8]) {
    let Ok(article) = import::parse_markdown("article", &String::from_utf8_lossy(bytes)) else { return };
    let cleaned = knowledge::fuzzing::cleaned(&article);
    assert_eq!(knowledge::fuzzing::cleaned(&cleaned), cleaned, "cleaned again it is another article");
}

/// A file of rows as CSV; gzipped where its first byte is odd.
pub fn csv(bytes: &[u8]) {
    rows("csv", bytes);
}

/// A file of rows as JSON lines; gzipped where its first byte is odd.
pub fn json_lines(bytes: &[u8]) {
    rows("jsonl", bytes);
}

/// Bytes of rows that are compared: a few packed bytes can be a column with a name of half a megabyte, which each row
/// shows, or a million rows.
const MOST_BYTES: usize = 1 << 20;

/// Reads the rows, and once more from the middle on: the rest is the same.
fn rows(extension: &str, bytes: &[u8]) {
    let Some((first, content)) = bytes.split_first() else { return };
    let gzip = if first % 2 == 1 { ".gz" } else { "" };
    let folder = folder();
    let path = folder.path().join(format!("rows.{extension}{gzip}"));
    fs::write(&path, content).expect("there is room");
    let Ok(mut rows) = Rows::open(&path, &[]) else { return };
    rows.require(&["id"]).ok();
    let (mut read, mut places, mut size) = (Vec::new(), vec![rows.position()], 0);
    while size < MOST_BYTES
        && let Some(row) = rows.next()
    {
        let row = shown(&row);
        size += row.len();
        read.push(row);
        places.push(rows.position());
    }
    // Before the last row: behind what cannot be read on from, reading on says so again.
    let middle = read.len() / 2;
    let Ok(again) = Rows::open_at(&path, &[], places[middle]) else { panic!("it was read up to {middle}") };
    let rest: Vec<_> = again.take(read.len() - middle).map(|row| shown(&row)).collect();
    assert_eq!(rest, read[middle..], "from row {middle} on");
}

fn shown<R: std::fmt::Debug, E: std::fmt::Display>(row: &Result<R, E>) -> String {
    match row {
        Ok(row) => format!("{row:?}"),
        Err(error) => error.to_string(),
    }
}

/// What a connection sends, before anything is known of who sends it.
pub fn connections(bytes: &[u8]) {
    grpc::fuzzing::connection(bytes);
}

/// A file of a model bundle; the first byte says which.
pub fn bundle(bytes: &[u8]) {
    let Some((first, content)) = bytes.split_first() else { return };
    match first % 3 {
        0 => {
            let Ok(written) = classify::fuzzing::manifest(content) else { return };
            let again = classify::fuzzing::manifest(&written).expect("what was written is read");
            assert_eq!(again, written);
        }
        1 => drop(classify::fuzzing::weights(content)),
        _ => drop(classify::fuzzing::vectors(content)),
    }
}

/// A file of a sentence encoder, the other two being right; the first byte says which.
pub fn encoder(bytes: &[u8]) {
    let Some((first, content)) = bytes.split_first() else { return };
    let folder = folder();
    tiny::write(folder.path());
    let name = ["config.json", "tokenizer.json", "model.safetensors"][usize::from(first % 3)];
    fs::write(folder.path().join(name), content).expect("there is room");
    let Ok(encoder) = SentenceEncoder::load(folder.path()) else { return };
    let sentence = encoder.encode("the printer has no paper", &|| false).expect("nobody stops it");
    assert_eq!(sentence.vector.len(), encoder.dimensions());
}

/// A taxonomy file; what is written of it is the same taxonomy.
pub fn taxonomy_file(bytes: &[u8]) {
    let Ok(read) = taxonomy::parse(&String::from_utf8_lossy(bytes)) else { return };
    let again = taxonomy::parse_kept(&taxonomy::write(&read)).expect("what was written is read");
    assert_eq!(again.version, read.version);
}

/// A configuration file.
pub fn configuration(bytes: &[u8]) {
    let folder = folder();
    let path = folder.path().join("triage.toml");
    fs::File::create(&path).and_then(|mut file| file.write_all(bytes)).expect("there is room");
    Config::load(Some(Path::new(&path)), [], &Overrides::default()).ok();
}

/// Handles of suggestions and decisions, and conversations.
pub fn handles(bytes: &[u8]) {
    feedback::fuzzing::open_handle(bytes);
}

/// A request: the first byte says of which kind.
pub fn requests(bytes: &[u8]) {
    grpc::fuzzing::request(bytes);
}

/// Page tokens and timeouts.
pub fn headers(bytes: &[u8]) {
    grpc::fuzzing::header(&String::from_utf8_lossy(bytes));
}
