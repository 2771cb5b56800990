//! `triage classify`: one ticket from the command line, or a file of them.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::{
    DEFAULT_ID, UsageError, block_on, data_dir,
    memory::similar_json,
    model::classifier,
    progress::Progress,
    render,
    taxonomy::{sla_json, taxonomy_in_force},
    warn_without_id,
};
use crate::{
    config::Config,
    domain::{
        article::ArticleHit,
        decision::{
            Abstention, Candidate, Evidence, FieldDecision, FieldWitness, TriageDecision, ValueSource, Versions,
        },
        known_error::Section,
        route::Route,
        suggestion::Reason,
        ticket::{MAX_NAME_CHARS, TicketDraft, TicketLimits},
    },
    error::TriageError,
    feedback::Feedback,
    grpc::client::Client,
    registry::Registry,
    rows::{Rows, parse_rename},
    store::Store,
    triage::{TriageOptions, Triager},
};

#[derive(Debug, Args)]
pub(super) struct ClassifyArgs {
    /// The ticket's text
    #[arg(required_unless_present = "input", conflicts_with = "input")]
    text: Vec<String>,
    /// The business service that the ticket is about, as the taxonomy's impact table names it
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true, conflicts_with = "input")]
    service: String,
    /// The configuration item that the ticket is about
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true, conflicts_with = "input")]
    configuration_item: String,
    /// Who needs help
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true, conflicts_with = "input")]
    requester: String,
    /// What the form already holds, such as impact=high; may be repeated
    #[arg(long, value_name = "FIELD=VALUE", value_parser = parse_form_value, conflicts_with = "input")]
    form: Vec<(String, String)>,
    /// Model bundle; without it the active one of --data-dir, else the one inside this program
    #[arg(long, value_name = "DIR", conflicts_with = "server")]
    model: Option<PathBuf>,
    /// Ask a running server
    #[arg(long, value_name = "ADDRESS", conflicts_with = "data_dir")]
    server: Option<String>,
    /// Also suggest articles and show similar tickets from this folder
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Tickets, one a row: .jsonl, .ndjson or .csv, .gz on top; needs --text
    #[arg(long, value_name = "FILE", conflicts_with = "server")]
    input: Option<PathBuf>,
    /// Columns of --input that hold the text, joined by a newline
    #[arg(long = "text", value_name = "A,B", value_delimiter = ',')]
    text_columns: Vec<String>,
    /// Column of --input that holds the id (default `id`); where a row has none, its number
    #[arg(long, value_name = "COLUMN")]
    id: Option<String>,
    /// Read column THEIRS of --input under the name OURS
    #[arg(long, value_name = "OURS=THEIRS", value_delimiter = ',', value_parser = parse_rename)]
    map: Vec<(String, String)>,
    /// Print JSON: one document, or with --input one line a row
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &ClassifyArgs, config: &Config) -> anyhow::Result<()> {
    if let Some(input) = &args.input {
        return run_file(args, input, config);
    }
    let draft = TicketDraft {
        description: args.text.join(" "),
        service: args.service.clone(),
        configuration_item: args.configuration_item.clone(),
        requester: args.requester.clone(),
        field_values: args.form.iter().cloned().collect(),
        ..TicketDraft::default()
    };
    let mut out = io::stdout().lock();
    let blank = draft.description.trim().is_empty();
    let decision = if let Some(address) = &args.server {
        if blank {
            let (fields, versions) =
                block_on(async { Client::connect(address, &config.client).await?.fields().await })?;
            return Ok(write_without_text(&mut out, &fields, &versions, None, args.json)?);
        }
        block_on(async { Client::connect(address, &config.client).await?.triage(draft).await })?
    } else {
        let triager = local_triager(args, config)?;
        if blank {
            return Ok(write_without_text(&mut out, &fields_of(&triager), &triager.versions(), None, args.json)?);
        }
        decide(&triager, draft, config, TriageOptions::default())?
    };
    if args.json {
        write_document(&mut out, &Document::of(None, &decision))?;
    } else {
        render::decision(&mut out, &decision)?;
    }
    Ok(())
}

fn parse_form_value(raw: &str) -> Result<(String, String), String> {
    let (field, value) = raw.split_once('=').ok_or("expected FIELD=VALUE, such as impact=high")?;
    Ok((field.trim().to_owned(), value.trim().to_owned()))
}

fn run_file(args: &ClassifyArgs, input: &std::path::Path, config: &Config) -> anyhow::Result<()> {
    if args.text_columns.is_empty() {
        return Err(UsageError("--input needs --text: name the columns that hold the text".to_owned()).into());
    }
    let rows = Rows::open(input, &args.map)?;
    let columns: Vec<&str> = args.text_columns.iter().map(String::as_str).collect();
    rows.require(&columns)?;
    rows.require_once(&[args.id.as_deref().unwrap_or(DEFAULT_ID)])?;
    let triager = local_triager(args, config)?;
    let options = TriageOptions {
        articles: args.data_dir.is_some(),
        similar: args.data_dir.is_some(),
        ..TriageOptions::default()
    };
    let (mut failed, bar) = (0_u64, Progress::counting("tickets"));
    let mut out = io::BufWriter::new(io::stdout().lock());
    if let Some(id) = &args.id {
        warn_without_id(&rows, id, &bar);
    }
    for row in rows {
        bar.step();
        let row = match row {
            Ok(row) => row,
            Err(error) if error.is_fatal() => return Err(error.into()),
            Err(error) => {
                failed += 1;
                bar.warn(error);
                continue;
            }
        };
        let column = args.id.as_deref().unwrap_or(DEFAULT_ID);
        let id = row.id(column);
        // A row's number is no id of the desk's, and neither is what the memory cannot hold.
        let known = row.value(column).filter(|id| id.chars().count() <= MAX_NAME_CHARS);
        let ticket_id = known.unwrap_or_default();
        let description = row.text(&args.text_columns);
        let draft = TicketDraft { id: ticket_id, description, ..TicketDraft::default() };
        if draft.description.trim().is_empty() {
            write_without_text(&mut out, &fields_of(&triager), &triager.versions(), Some(&id), args.json)?;
            continue;
        }
        let decision = decide(&triager, draft, config, options)?;
        if args.json {
            write_document(&mut out, &Document::of(Some(&id), &decision))?;
        } else {
            render::decision_line(&mut out, &id, &decision)?;
        }
    }
    out.flush()?;
    bar.finish();
    anyhow::ensure!(failed == 0, "{failed} rows of {} could not be read", input.display());
    Ok(())
}

fn local_triager(args: &ClassifyArgs, config: &Config) -> anyhow::Result<Triager> {
    if let Some(data_dir) = &args.data_dir {
        anyhow::ensure!(
            Store::exists(data_dir),
            "no knowledge base or memory in {}: fill them with `triage kb import` and `triage memory import`, or name \
             another folder with --data-dir",
            data_dir.display()
        );
    }
    open_triager(args.model.as_deref(), args.data_dir.as_deref(), config)
}

/// What decides on this machine: with what the desk keeps in `data_dir`, which is created where it is not there.
pub(super) fn open_triager(model: Option<&Path>, data_dir: Option<&Path>, config: &Config) -> anyhow::Result<Triager> {
    let triager = if let Some(data_dir) = data_dir {
        let store = Store::open(data_dir)?;
        let taxonomy = taxonomy_in_force(&store, config)?;
        let registry = Registry::open(store.clone(), data_dir, config.redactor.clone(), config.encoders.clone())?;
        let classifier = classifier(model, Some(&registry), config)?;
        let knowledge = data_dir::knowledge(&store, data_dir, config)?;
        let memory = data_dir::memory(&store, data_dir, config)?;
        let feedback = Feedback::open(store, memory.clone())?.with_hourly_limit(config.corrections_per_hour);
        Triager::new(classifier, taxonomy, Some(knowledge), Some(memory))?.with_feedback(feedback)
    } else {
        let classifier = classifier(model, None, config)?;
        Triager::new(classifier, Arc::new(config.taxonomy.clone()), None, None)?
    };
    for mismatch in triager.mismatches() {
        eprintln!("warning: {mismatch}");
    }
    Ok(triager)
}

fn decide(
    triager: &Triager,
    draft: TicketDraft,
    config: &Config,
    options: TriageOptions,
) -> anyhow::Result<TriageDecision> {
    // Rows of a file may be longer than a caller's ticket: the model cuts them, and says so.
    let limits = TicketLimits { text_bytes: usize::MAX, ..config.limits.ticket };
    let ticket = draft.parse("", &limits).map_err(TriageError::InvalidRequest)?;
    Ok(triager.triage(&ticket, options)?)
}

/// The fields that are not off, each with the furthest that its route goes.
fn fields_of(triager: &Triager) -> Vec<(String, Route)> {
    triager.fields().into_iter().filter_map(|field| Some((field.name, field.route.furthest()?))).collect()
}

/// What is known about a ticket without text: nothing, for every field.
fn write_without_text(
    out: &mut impl Write,
    fields: &[(String, Route)],
    versions: &Versions,
    id: Option<&str>,
    json: bool,
) -> io::Result<()> {
    if !json {
        return writeln!(out, "{}no text to go by", id.map(|id| format!("{id}\t")).unwrap_or_default());
    }
    let undecided = |(field, furthest): &(String, Route)| FieldDecision {
        field: field.clone(),
        value: String::new(),
        source: ValueSource::Model,
        confidence: 0.0,
        abstention: Some(Abstention::TooShort),
        candidates: Vec::new(),
        evidence: Vec::new(),
        witnesses: Vec::new(),
        is_demoted: false,
        disagreement: false,
        // An abstention is never filled in.
        route: (*furthest).min(Route::Recommend),
    };
    let undecided: Vec<FieldDecision> = fields.iter().map(undecided).collect();
    let document = Document {
        id,
        fields: Fields(
            undecided.iter().map(|field| FieldDocument { value: None, ..FieldDocument::of(field) }).collect(),
        ),
        priority: None,
        priority_route: None,
        sla: None,
        reasons: &["there is no text to go by".to_owned()],
        articles: Vec::new(),
        decision_handle: None,
        suggestion_handle: None,
        similar_tickets: Vec::new(),
        truncated: false,
        versions: VersionsDocument::of(versions),
    };
    write_document(out, &document)
}

/// One line of JSON.
fn write_document(out: &mut impl Write, document: &Document<'_>) -> io::Result<()> {
    serde_json::to_writer(&mut *out, document)?;
    writeln!(out)
}

/// What outside scripts read.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    fields: Fields<'a>,
    priority: Option<String>,
    priority_route: Option<&'static str>,
    /// How soon the desk wants such tickets answered and solved.
    sla: Option<Value>,
    reasons: &'a [String],
    articles: Vec<Value>,
    decision_handle: Option<&'a str>,
    suggestion_handle: Option<&'a str>,
    similar_tickets: Vec<Value>,
    truncated: bool,
    versions: VersionsDocument<'a>,
}

/// By name.
struct Fields<'a>(Vec<FieldDocument<'a>>);

#[derive(Serialize)]
struct FieldDocument<'a> {
    #[serde(skip)]
    name: &'a str,
    value: Option<&'a str>,
    confidence: f64,
    abstention: Option<&'static str>,
    route: &'static str,
    runners_up: Vec<RunnerUp<'a>>,
    evidence: Vec<Word<'a>>,
    /// Confirmed tickets like it; left out where there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    witnesses: Vec<Like<'a>>,
}

#[derive(Serialize)]
struct Like<'a> {
    ticket: &'a str,
    similarity: f64,
    value: &'a str,
    corrected: bool,
}

#[derive(Serialize)]
struct RunnerUp<'a> {
    value: &'a str,
    confidence: f64,
}

#[derive(Serialize)]
struct Word<'a> {
    text: &'a str,
    start: usize,
    end: usize,
    weight: f64,
}

#[derive(Serialize)]
struct VersionsDocument<'a> {
    model: &'a str,
    taxonomy: &'a str,
    matrix: &'a str,
    knowledge: &'a str,
    memory: &'a str,
    learned: &'a str,
    feedback: &'a str,
    server: &'a str,
}

impl<'a> Document<'a> {
    fn of(id: Option<&'a str>, decision: &'a TriageDecision) -> Self {
        Self {
            id,
            fields: Fields(decision.fields.iter().map(FieldDocument::of).collect()),
            priority: decision.priority.as_ref().map(|priority| priority.priority.to_string()),
            priority_route: decision.priority.as_ref().map(|priority| priority.route.as_str()),
            sla: decision.priority.as_ref().and_then(|priority| priority.sla).map(sla_json),
            reasons: &decision.reasons,
            articles: decision.articles.iter().map(article_json).collect(),
            decision_handle: decision.decision_handle.as_deref(),
            suggestion_handle: decision.suggestion_handle.as_deref(),
            similar_tickets: decision.similar.iter().map(similar_json).collect(),
            truncated: decision.truncated,
            versions: VersionsDocument::of(&decision.versions),
        }
    }
}

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|field| (field.name, field)))
    }
}

impl<'a> FieldDocument<'a> {
    fn of(field: &'a FieldDecision) -> Self {
        let runners_up = field.candidates.get(1..).unwrap_or_default();
        let runner_up = |one: &'a Candidate| RunnerUp { value: &one.value, confidence: one.confidence.into() };
        let word = |evidence: &'a Evidence| {
            let Evidence { part: _, bytes, utf16: _, text, weight } = evidence;
            Word { text, start: bytes.start, end: bytes.end, weight: f64::from(*weight) }
        };
        let like = |witness: &'a FieldWitness| {
            let FieldWitness { ticket_id, similarity, value, corrected } = witness;
            Like { ticket: ticket_id, similarity: f64::from(*similarity), value, corrected: *corrected }
        };
        Self {
            name: &field.field,
            value: Some(&field.value),
            confidence: field.confidence.into(),
            abstention: field.abstention.map(Abstention::as_str),
            route: field.route.as_str(),
            runners_up: runners_up.iter().map(runner_up).collect(),
            evidence: field.evidence.iter().map(word).collect(),
            witnesses: field.witnesses.iter().map(like).collect(),
        }
    }
}

impl<'a> VersionsDocument<'a> {
    fn of(versions: &'a Versions) -> Self {
        let Versions { model, taxonomy, matrix, knowledge, memory, learned, feedback, server } = versions;
        Self { model, taxonomy, matrix, knowledge, memory, learned, feedback, server }
    }
}

/// An article as every command prints it for programs.
/// As every command writes them.
pub(super) fn versions_json(versions: &Versions) -> Value {
    json!(VersionsDocument::of(versions))
}

pub(super) fn article_json(hit: &ArticleHit) -> Value {
    let ArticleHit { id, title, kind, status, products, score, passage, reasons, chance, version, link } = hit;
    let reasons = reasons
        .iter()
        .map(|Reason { kind, text, values }| json!({"kind": kind.as_str(), "text": text, "values": values}));
    json!({
        "id": id,
        "title": title,
        "kind": kind.as_str(),
        "status": status.as_str(),
        "products": products,
        "score": score,
        "passage": passage.text,
        "reasons": reasons.collect::<Vec<_>>(),
        "chance": chance,
        "version": version,
        "link": link,
        "section": passage.section.map(Section::as_str),
    })
}
