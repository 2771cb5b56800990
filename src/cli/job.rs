//! Jobs for people, as text that can be pasted into a change record, and for programs.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde_json::{Map, Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    domain::{
        job::{FieldResult, JobCounts, JobState, TicketResult},
        steering,
    },
    jobs::{
        Band, Diff, FieldDiff, Job, PairDiff,
        specification::{FieldColumn, Filter, Source},
    },
    store::JobOrigin,
    triage::percent,
};

/// Pairs shown to people, and written for programs, a field.
const SHOWN_PAIRS: usize = 15;
const MAX_PAIRS: usize = 1_000;
/// Longest label in a table.
const MAX_LABEL_CHARS: usize = 40;

/// What a job came to, or would.
pub(super) fn summary_json(job: &Job, diff: &Diff) -> Value {
    let mut document = job_json(job);
    let counts = &job.record.counts;
    let fields = diff.fields.iter().map(|field| (field.field.clone(), field_diff_json(field, counts)));
    document["fields"] = Value::Object(fields.collect());
    document
}

/// A job for programs.
pub(super) fn job_json(job: &Job) -> Value {
    let JobCounts { rows, changed, abstained, failed } = job.record.counts;
    let rejects = rejects(job);
    let path = |path: Option<&Path>| path.map(|path| path.display().to_string());
    json!({
        "job": job.record.id.to_string(),
        "rows": rows,
        "changed": changed,
        "abstained": abstained,
        "failed": failed,
        "seconds": seconds(job),
        "state": state_name(job),
        "paused_because": job.record.pause.as_ref().map(|pause| pause.cause.as_str()),
        "message": job.record.pause.as_ref().map(|pause| pause.text.as_str()),
        "dry_run": job.specification.is_dry_run(),
        "input": input(job),
        "output": path(job.specification.output.as_deref()),
        "rejects": path(rejects.as_deref()),
        "model": job.record.model,
        "taxonomy": job.record.taxonomy,
        "created": timestamp(job.record.created_at),
        "ended": job.record.ended_at.map(timestamp),
    })
}

/// Where its bad rows are; `None` where there are none, or they went when it was cancelled.
fn rejects(job: &Job) -> Option<PathBuf> {
    let are_kept = job.record.counts.failed > 0 && job.record.state != JobState::Cancelled;
    job.specification.rejects().filter(|_| are_kept)
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds of a job fit")]
fn seconds(job: &Job) -> f64 {
    job.record.worked_ms as f64 / 1_000.0
}

fn input(job: &Job) -> String {
    match &job.specification.source {
        Source::File(file) if file.is_spool => "tickets sent by a client".to_owned(),
        Source::File(file) => file.path.display().to_string(),
        Source::Memory => match job.specification.training() {
            None => "the memory".to_owned(),
            Some(work) => {
                let memory = (!work.training.without_memory).then(|| "the memory".to_owned());
                let files = work.training.files.iter().map(|file| file.path.display().to_string());
                memory.into_iter().chain(files).collect::<Vec<_>>().join(", ")
            }
        },
    }
}

pub(super) fn timestamp(seconds: u64) -> String {
    let moment = i64::try_from(seconds).ok().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    moment.and_then(|moment| moment.format(&Rfc3339).ok()).unwrap_or_default()
}

/// Tickets whose value would be another, but for the filter.
fn filtered(diff: &FieldDiff, counts: &JobCounts) -> u64 {
    // Of a job at work the two are not of the same moment.
    (counts.rows).saturating_sub(counts.failed + diff.changed + diff.confirmed + diff.abstained)
}

fn field_diff_json(diff: &FieldDiff, counts: &JobCounts) -> Value {
    let filtered = filtered(diff, counts);
    let FieldDiff { field: _, changed, confirmed, abstained, pairs, other_pairs, absent } = diff;
    let listed = pairs.iter().take(MAX_PAIRS).map(|pair| {
        let PairDiff { from, to, tickets, bands, examples } = pair;
        let bands: Map<String, Value> =
            Band::ALL.iter().zip(bands).map(|(band, tickets)| (band.as_str().to_owned(), (*tickets).into())).collect();
        json!({"from": from, "to": to, "tickets": tickets, "confidence": bands, "examples": examples})
    });
    let unlisted: u64 = pairs.iter().skip(MAX_PAIRS).map(|pair| pair.tickets).sum();
    json!({
        "changed": changed,
        "confirmed": confirmed,
        "abstained": abstained,
        "filtered": filtered,
        "pairs": listed.collect::<Vec<_>>(),
        "other_pairs": other_pairs + unlisted,
        "absent_from": absent,
    })
}

/// What a job came to, or would; `place` is the flag that says where the job is.
pub(super) fn summary(out: &mut impl Write, job: &Job, diff: &Diff, place: &str) -> io::Result<()> {
    let JobCounts { rows, changed, abstained, failed } = job.record.counts;
    let kind = match job.specification.reclassification() {
        Some(work) if work.dry_run => "Dry run of a reclassification",
        Some(_) => "Reclassification",
        None if job.specification.training().is_some() => "Training of a model",
        None => "Import into the memory",
    };
    writeln!(out, "{kind}, job {}: {}", job.record.id, state_name(job))?;
    if let Some(pause) = &job.record.pause {
        writeln!(out, "  because    {}", plain(&pause.text))?;
    }
    writeln!(out, "  input      {}", plain(&input(job)))?;
    if let Some(output) = &job.specification.output {
        writeln!(out, "  output     {}", plain(&output.display().to_string()))?;
    }
    if let Some(rejects) = rejects(job) {
        writeln!(out, "  rejects    {}", plain(&rejects.display().to_string()))?;
    }
    if job.specification.reclassification().is_some() {
        writeln!(out, "  model      {}, taxonomy {}", job.record.model, job.record.taxonomy)?;
    }
    for line in job.specification.reclassification().map(|work| conditions(&work.filter)).unwrap_or_default() {
        writeln!(out, "  only       {}", plain(&line))?;
    }
    writeln!(out, "  begun      {}", timestamp(job.record.created_at))?;
    if let Some(ended) = job.record.ended_at {
        writeln!(out, "  ended      {}, after {:.1} s at work", timestamp(ended), seconds(job))?;
    }
    let verb = if job.specification.is_dry_run() { "would change" } else { "changed" };
    writeln!(out)?;
    if job.specification.training().is_some() {
        writeln!(out, "  learnt from {} tickets, {} bad rows left out", number(rows - failed), number(failed))?;
        let is_done = job.record.state == JobState::Done;
        return if is_done { writeln!(out, "\n  `triage model list{place}` shows the model") } else { Ok(()) };
    }
    if job.specification.reclassification().is_none() {
        return writeln!(out, "  {} rows: {} new or changed, {} bad", number(rows), number(changed), number(failed));
    }
    writeln!(
        out,
        "  {} tickets: {} {verb} ({}), {} with an abstention, {} bad",
        number(rows),
        number(changed),
        share(changed, rows),
        number(abstained),
        number(failed)
    )?;
    for field in &diff.fields {
        field_diff(out, field, &job.record.counts, verb)?;
    }
    if job.record.state != JobState::Done || changed == 0 {
        return Ok(());
    }
    let id = job.record.id;
    if job.specification.can_be_undone() {
        writeln!(out, "\n  `triage jobs undo {id}{place}` takes it back")
    } else {
        writeln!(out, "\n  `triage jobs results {id} --changed{place}` lists the tickets")
    }
}

fn field_diff(out: &mut impl Write, diff: &FieldDiff, counts: &JobCounts, verb: &str) -> io::Result<()> {
    let FieldDiff { field, changed, confirmed, abstained, pairs, other_pairs, absent: _ } = diff;
    writeln!(out)?;
    let held_back = match filtered(diff, counts) {
        0 => String::new(),
        filtered => format!(", {} held back by the filter", number(filtered)),
    };
    writeln!(
        out,
        "  {}: {} {verb}, {} stay as they are, {} abstained{held_back}",
        plain(field),
        number(*changed),
        number(*confirmed),
        number(*abstained)
    )?;
    if pairs.is_empty() {
        return Ok(());
    }
    let name = |value: &Option<String>| value.as_deref().map_or_else(|| "(none)".to_owned(), shortened);
    let shown = &pairs[..pairs.len().min(SHOWN_PAIRS)];
    let width = |of: &dyn Fn(&PairDiff) -> usize| shown.iter().map(of).max().unwrap_or(0);
    let from_width = width(&|pair| name(&pair.from).chars().count()).max(4);
    let to_width = width(&|pair| shortened(&pair.to).chars().count()).max(2);
    let heads = Band::ALL.map(Band::as_str);
    let [high, medium, low] = heads;
    writeln!(
        out,
        "    {:>9}  {:from_width$}    {:to_width$}  {high:>9} {medium:>9} {low:>9}  such as",
        "tickets", "from", "to"
    )?;
    for pair in shown {
        let [high, medium, low] = pair.bands.map(number);
        writeln!(
            out,
            "    {:>9}  {:from_width$} -> {:to_width$}  {high:>9} {medium:>9} {low:>9}  {}",
            number(pair.tickets),
            name(&pair.from),
            shortened(&pair.to),
            plain(&pair.examples.join(", "))
        )?;
    }
    let rest: u64 = pairs.iter().skip(SHOWN_PAIRS).map(|pair| pair.tickets).sum::<u64>() + other_pairs;
    if rest > 0 {
        writeln!(out, "    {:>9}  in {} further pairs", number(rest), pairs.len().saturating_sub(SHOWN_PAIRS))?;
    }
    Ok(())
}

/// A label as a table shows it.
fn shortened(label: &str) -> String {
    let label = plain(label);
    match label.char_indices().nth(MAX_LABEL_CHARS - 1) {
        Some((cut, last)) if cut + last.len_utf8() < label.len() => format!("{}…", &label[..cut]),
        Some(_) | None => label,
    }
}

/// Values that were asked for and no ticket had: misspelt, most likely.
pub(super) fn absent(job: &Job, diff: &Diff) -> Vec<String> {
    if job.record.state != JobState::Done {
        return Vec::new();
    }
    let of_field = |field: &FieldDiff| field.absent.iter().map(|value| format!("{}={value}", field.field)).collect();
    diff.fields.iter().flat_map(|field| -> Vec<String> { of_field(field) }).map(|asked| plain(&asked)).collect()
}

fn conditions(filter: &Filter) -> Vec<String> {
    let Filter { min_confidence, from, to, only_empty } = filter;
    let mut conditions = Vec::new();
    if *min_confidence > 0.0 {
        conditions.push(format!("where the model is at least {min_confidence} sure"));
    }
    conditions.extend(from.iter().map(|asked| format!("where {} is {} today", asked.field, asked.value)));
    conditions.extend(to.iter().map(|asked| format!("where {} becomes {}", asked.field, asked.value)));
    if *only_empty {
        conditions.push("where there is no value today".to_owned());
    }
    conditions
}

/// The state for people. A job that the command line works on cannot be at work while another looks at it: its process
/// was killed, and the same command takes it up.
fn state_name(job: &Job) -> &'static str {
    match (job.record.origin, job.record.state) {
        (JobOrigin::CommandLine, JobState::Running) => "interrupted",
        (JobOrigin::CommandLine | JobOrigin::Server, state) => state.as_str(),
    }
}

/// A line a job.
pub(super) fn list(out: &mut impl Write, jobs: &[Job]) -> io::Result<()> {
    writeln!(out, "{:>5}  {:11}  {:20}  {:>11}  {:>9}  input", "job", "state", "begun", "tickets", "changed")?;
    for job in jobs {
        let JobCounts { rows, changed, .. } = job.record.counts;
        let dry = if job.specification.is_dry_run() { " (dry run)" } else { "" };
        writeln!(
            out,
            "{:>5}  {:11}  {:20}  {:>11}  {:>9}  {}{dry}",
            job.record.id.to_string(),
            state_name(job),
            timestamp(job.record.created_at),
            number(rows),
            number(changed),
            plain(&input(job))
        )?;
    }
    Ok(())
}

/// A line a ticket: its id, and each field with what becomes of it.
pub(super) fn result_line(out: &mut impl Write, fields: &[FieldColumn], result: &TicketResult) -> io::Result<()> {
    write!(out, "{}", plain(&result.id))?;
    if let Some(error) = &result.error {
        return writeln!(out, "\tbad: {}", plain(error));
    }
    for (FieldColumn { field, .. }, result) in fields.iter().zip(&result.fields) {
        let FieldResult { current, value, confidence, abstention, changed } = result;
        let name = |value: &Option<String>| value.as_deref().map_or_else(|| "(none)".to_owned(), plain);
        let outcome = match (changed, abstention) {
            (true, _) => format!("{} -> {}", name(current), name(value)),
            (false, Some(abstention)) => match value {
                Some(_) => format!("{} ({}: {}?)", name(current), abstention.as_str(), name(value)),
                None => format!("{} ({})", name(current), abstention.as_str()),
            },
            (false, None) => name(current),
        };
        write!(out, "\t{}: {outcome} {}", plain(field), percent(*confidence))?;
    }
    writeln!(out)
}

/// Ids on a line, the first ones.
pub(super) fn ids(out: &mut impl Write, what: &str, ids: &[String], most: usize) -> io::Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    let shown = ids.iter().take(most).map(|id| plain(id)).collect::<Vec<_>>().join(", ");
    let more = if ids.len() > most { " and more" } else { "" };
    writeln!(out, "{what}: {shown}{more}")
}

/// Without what steers a terminal.
fn plain(text: &str) -> String {
    steering::without(text).into_owned()
}

/// With a comma every three digits.
pub(super) fn number(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&[u8]> = digits.as_bytes().rchunks(3).rev().collect();
    let groups = groups.into_iter().map(|group| String::from_utf8_lossy(group).into_owned());
    groups.collect::<Vec<_>>().join(",")
}

#[expect(clippy::cast_precision_loss, reason = "a share needs no more than the leading digits")]
fn share(part: u64, whole: u64) -> String {
    format!("{:.1} %", if whole == 0 { 0.0 } else { 100.0 * part as f64 / whole as f64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_labels_are_cut() {
        let (fits, long) = ("ä".repeat(MAX_LABEL_CHARS), "ä".repeat(MAX_LABEL_CHARS + 1));
        assert_eq!((shortened("mail"), shortened(&fits)), ("mail".to_owned(), fits.clone()));
        assert_eq!(shortened(&long), format!("{}…", "ä".repeat(MAX_LABEL_CHARS - 1)));
    }

    #[test]
    fn numbers_are_grouped() {
        for (given, expected) in [(0, "0"), (999, "999"), (1_000, "1,000"), (12_345_678, "12,345,678")] {
            assert_eq!(number(given), expected);
        }
    }
}
