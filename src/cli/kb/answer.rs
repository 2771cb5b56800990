//! `triage kb answer`: what a chatbot would show, for one turn of a conversation or for a file of questions.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use serde_json::{Value, json};

use super::super::{
    DEFAULT_DATA_DIR, UsageError, block_on,
    classify::{open_triager, versions_json},
    progress::Progress,
    render::printable,
};
use crate::{
    answers::{self, AnswerRequest, Reply},
    config::Config,
    domain::{
        answer::{Answer, AnswerPassage, ClarifyingQuestion, Handover, NoAnswer, Speaker, TriedAnswer, Turn},
        known_error::Section,
    },
    feedback::now,
    grpc::client::Client,
    rows::{Rows, parse_rename},
};

#[derive(Debug, Args)]
pub(in super::super) struct AnswerArgs {
    /// What the user says
    #[arg(required_unless_present = "input", conflicts_with = "input", value_name = "TEXT")]
    text: Vec<String>,
    /// What the user said before, oldest first; may be repeated
    #[arg(long, value_name = "TEXT", conflicts_with = "input")]
    earlier: Vec<String>,
    /// The conversation, as the answer before printed it
    #[arg(long, value_name = "CONVERSATION", default_value = "", hide_default_value = true, conflicts_with = "input")]
    conversation: String,
    /// A product, service or configuration item that it is about; may be repeated
    #[arg(long, value_name = "NAME")]
    product: Vec<String>,
    /// Most passages to show
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=5))]
    top_n: u32,
    /// Folder with the knowledge base
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA_DIR)]
    data_dir: PathBuf,
    /// Ask a running server
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["data_dir", "input"])]
    server: Option<String>,
    /// Questions, one a row, each a conversation of its own: .jsonl, .ndjson or .csv, .gz on top; needs --text
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Columns of --input that hold the text, joined by a newline
    #[arg(long = "text", value_name = "A,B", value_delimiter = ',')]
    text_columns: Vec<String>,
    /// Column of --input that holds the id; where a row has none, its number
    #[arg(long, value_name = "COLUMN", default_value = "id")]
    id: String,
    /// Read column THEIRS of --input under the name OURS
    #[arg(long, value_name = "OURS=THEIRS", value_delimiter = ',', value_parser = parse_rename)]
    map: Vec<(String, String)>,
    /// Print JSON: one document, or with --input one line a row
    #[arg(long)]
    json: bool,
}

impl AnswerArgs {
    fn request(&self, text: String, earlier: &[String]) -> AnswerRequest {
        let turns = earlier.iter().cloned().chain([text]).map(|text| Turn { speaker: Speaker::User, text });
        AnswerRequest {
            turns: turns.collect(),
            conversation: self.conversation.clone(),
            products: self.product.clone(),
            top_n: self.top_n as usize,
        }
    }
}

pub(super) fn run(args: &AnswerArgs, config: &Config) -> anyhow::Result<ExitCode> {
    if let Some(input) = &args.input {
        return run_file(args, input, config);
    }
    let text = args.text.join(" ");
    if text.trim().is_empty() || args.earlier.iter().any(|text| text.trim().is_empty()) {
        return Err(UsageError("nothing was said: give some words, also to --earlier".to_owned()).into());
    }
    if args.earlier.len() >= AnswerRequest::MAX_TURNS {
        let most = AnswerRequest::MAX_TURNS - 1;
        return Err(UsageError(format!("--earlier: at most {most}, are {}", args.earlier.len())).into());
    }
    let request = args.request(text, &args.earlier);
    let reply = if let Some(address) = &args.server {
        block_on(async { Client::connect(address, &config.client).await?.suggest_answers(request).await })?
    } else {
        super::existing_store(&args.data_dir)?;
        let triager = open_triager(None, Some(&args.data_dir), config)?;
        answers::reply(&triager, config.answers, &request, now())?
    };
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", reply_json(&reply))?;
    } else {
        show(&mut out, &reply)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn run_file(args: &AnswerArgs, input: &Path, config: &Config) -> anyhow::Result<ExitCode> {
    if args.text_columns.is_empty() {
        return Err(UsageError("--input needs --text: name the columns that hold the text".to_owned()).into());
    }
    let rows = Rows::open(input, &args.map)?;
    let columns: Vec<&str> = args.text_columns.iter().map(String::as_str).collect();
    rows.require(&columns)?;
    super::existing_store(&args.data_dir)?;
    let triager = open_triager(None, Some(&args.data_dir), config)?;
    let (mut failed, bar) = (0_u64, Progress::counting("questions"));
    let mut out = io::BufWriter::new(io::stdout().lock());
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
        let reply = answers::reply(&triager, config.answers, &args.request(row.text(&args.text_columns), &[]), now())?;
        if args.json {
            let mut line = reply_json(&reply);
            line["id"] = row.id(&args.id).into();
            writeln!(out, "{line}")?;
        } else {
            writeln!(out, "{}", printable(&row.id(&args.id)))?;
            show(&mut out, &reply)?;
            writeln!(out)?;
        }
    }
    out.flush()?;
    bar.finish();
    anyhow::ensure!(failed == 0, "{failed} rows of {} could not be read", input.display());
    Ok(ExitCode::SUCCESS)
}

fn show(out: &mut impl Write, reply: &Reply) -> io::Result<()> {
    match &reply.answers {
        Ok(answers) => {
            for answer in answers {
                let Answer { article, version, title, link, passage, confidence, .. } = answer;
                let link = link.as_ref().map(|link| format!("  {}", printable(link))).unwrap_or_default();
                writeln!(out, "{} ({}, version {version}){link}", printable(title), printable(article))?;
                if passage.steps.is_empty() {
                    lines(out, "  ", &passage.text)?;
                } else {
                    if !passage.introduction.is_empty() {
                        lines(out, "  ", &passage.introduction)?;
                    }
                    for (place, step) in passage.steps.iter().enumerate() {
                        let mut lines = step.lines();
                        writeln!(out, "  {}. {}", place + 1, printable(lines.next().unwrap_or_default()))?;
                        lines.try_for_each(|line| writeln!(out, "     {}", printable(line)))?;
                    }
                }
                if passage.truncated {
                    writeln!(out, "  (goes on in the article)")?;
                }
                writeln!(out, "  confidence {confidence:.2}")?;
            }
        }
        Err(why) => {
            let reason = why.as_str().to_lowercase().replace('_', " ");
            writeln!(out, "no answer: {reason}")?;
            match why {
                NoAnswer::SeveralProducts(ClarifyingQuestion { text, choices }) => {
                    writeln!(out, "  {} {}", printable(text), printable(&choices.join(", ")))?;
                }
                NoAnswer::NothingFound(handover)
                | NoAnswer::OutOfScope(handover)
                | NoAnswer::PersonRequested(handover)
                | NoAnswer::AllShown(handover) => {
                    writeln!(out, "hand over:")?;
                    lines(out, "  ", &handover.summary())?;
                }
                NoAnswer::SmallTalk(_) | NoAnswer::TooShort => {}
            }
        }
    }
    writeln!(out, "conversation {}", printable(&reply.conversation))
}

/// A text line by line, each behind `indent`.
fn lines(out: &mut impl Write, indent: &str, text: &str) -> io::Result<()> {
    text.lines().try_for_each(|line| writeln!(out, "{indent}{}", printable(line)))
}

fn reply_json(reply: &Reply) -> Value {
    let Reply { answers, confidence, conversation, suggestion_handle, versions } = reply;
    let (answers, no_answer) = match answers {
        Ok(answers) => (answers.iter().map(answer_json).collect(), Value::Null),
        Err(why) => (Vec::new(), no_answer_json(why)),
    };
    json!({
        "answers": answers,
        "no_answer": no_answer,
        "confidence": confidence,
        "conversation": conversation,
        "suggestion_handle": suggestion_handle,
        "versions": versions_json(versions),
    })
}

fn answer_json(answer: &Answer) -> Value {
    let Answer { article, version, title, link, kind, passage, confidence } = answer;
    let AnswerPassage { text, highlights, introduction, steps, truncated, section, heading } = passage;
    let highlights: Vec<Value> =
        highlights.iter().map(|bytes| json!({"start": bytes.start, "end": bytes.end})).collect();
    json!({
        "article": article,
        "version": version,
        "title": title,
        "link": link,
        "kind": kind.as_str(),
        "passage": text,
        "highlights": highlights,
        "introduction": introduction,
        "steps": steps,
        "truncated": truncated,
        "section": section.map(Section::as_str),
        "heading": heading,
        "confidence": confidence,
    })
}

fn no_answer_json(why: &NoAnswer) -> Value {
    let mut document = json!({"reason": why.as_str()});
    match why {
        NoAnswer::SeveralProducts(ClarifyingQuestion { text, choices }) => {
            document["question"] = json!({"text": text, "choices": choices});
        }
        NoAnswer::SmallTalk(talk) => document["small_talk"] = talk.as_str().into(),
        NoAnswer::NothingFound(handover)
        | NoAnswer::OutOfScope(handover)
        | NoAnswer::PersonRequested(handover)
        | NoAnswer::AllShown(handover) => {
            let summary = handover.summary();
            let Handover { sentences, tried, products } = handover;
            let tried = tried.iter().map(|TriedAnswer { article, version, title }| {
                json!({"article": article, "version": version, "title": title})
            });
            let tried: Vec<Value> = tried.collect();
            document["handover"] =
                json!({"summary": summary, "sentences": sentences, "tried": tried, "products": products});
        }
        NoAnswer::TooShort => {}
    }
    document
}
