//! Results as they are written: short lines for the store, since there are millions, and lines that outside programs
//! read for the file of results. No job, time or path stands in them: the same tickets give the same bytes.

use std::borrow::Cow;

use serde::{Deserialize, Serialize, Serializer, ser::SerializeMap as _};

use super::{Job, JobError, specification::FieldColumn};
use crate::{
    domain::{
        decision::Abstention,
        job::{FieldResult, JobId, TicketResult},
    },
    store::Store,
};

/// Chunks that are read from the store in one go.
const CHUNKS_READ: usize = 8;

/// Which results are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResultFilter {
    /// Of tickets that change.
    pub changed_only: bool,
    /// Of bad rows.
    pub failed_only: bool,
    /// With `changed_only`: of those in which this field changes.
    pub field: Option<String>,
}

/// Which results of one job are wanted.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    changed_only: bool,
    failed_only: bool,
    /// The field's place among those of the job.
    field: Option<usize>,
}

impl ResultFilter {
    /// Fails with [`JobError::UnknownField`] for a field that the job is not about.
    pub fn of(&self, job: &Job) -> Result<Wanted, JobError> {
        let Self { changed_only, failed_only, field } = self;
        let fields = job.specification.fields();
        let place = |name: &String| {
            let unknown = || JobError::UnknownField {
                id: job.record.id,
                field: name.clone(),
                known: fields.iter().map(|known| known.field.clone()).collect(),
            };
            fields.iter().position(|known| known.field == *name).ok_or_else(unknown)
        };
        let field = field.as_ref().map(place).transpose()?;
        Ok(Wanted { changed_only: *changed_only, failed_only: *failed_only, field })
    }
}

impl Wanted {
    pub fn lets_through(&self, result: &TicketResult) -> bool {
        let changes = match self.field {
            Some(place) => result.fields.get(place).is_some_and(|field| field.changed),
            None => result.is_changed(),
        };
        (!self.changed_only || changes) && (!self.failed_only || result.error.is_some())
    }
}

/// Where a page of results begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ResultPlace {
    pub chunk: u64,
    /// Results of that chunk that are behind us.
    pub skip: usize,
}

/// Some results, and where the next page begins; `None` where none follows.
#[derive(Debug, Clone, PartialEq)]
pub struct ResultPage {
    pub results: Vec<TicketResult>,
    pub next: Option<ResultPlace>,
}

/// Chunks that one page looks through: where next to nothing is wanted, it ends before it is full.
const CHUNKS_A_PAGE: u64 = 64;

/// At most `limit` results from a place on that are wanted. Results that come while a job is at work are on later
/// pages.
pub(super) fn page(
    store: &Store,
    id: JobId,
    from: ResultPlace,
    limit: usize,
    wanted: impl Fn(&TicketResult) -> bool,
) -> Result<ResultPage, JobError> {
    let mut results = Vec::new();
    let ResultPlace { mut chunk, mut skip } = from;
    loop {
        let chunks = store.job_chunks(id, chunk, CHUNKS_READ)?;
        if chunks.is_empty() {
            return Ok(ResultPage { results, next: None });
        }
        if chunk >= from.chunk + CHUNKS_A_PAGE {
            return Ok(ResultPage { results, next: Some(ResultPlace { chunk, skip }) });
        }
        for read in chunks {
            for (place, result) in read_chunk(&read.results).enumerate().skip(skip) {
                let result = result?;
                if !wanted(&result) {
                    continue;
                }
                if results.len() == limit {
                    return Ok(ResultPage { results, next: Some(ResultPlace { chunk: read.number, skip: place }) });
                }
                results.push(result);
            }
            (chunk, skip) = (read.number + 1, 0);
        }
    }
}

/// Every result of a job, in the order of its tickets.
pub(super) fn for_each(
    store: &Store,
    id: JobId,
    mut act: impl FnMut(TicketResult) -> Result<(), JobError>,
) -> Result<(), JobError> {
    let mut next = Some(0);
    while let Some(chunk) = next {
        next = for_some(store, id, chunk, &mut act)?;
    }
    Ok(())
}

/// The results of some chunks from `number` on; the chunk behind them, or `None` where there was none.
pub(super) fn for_some(
    store: &Store,
    id: JobId,
    number: u64,
    mut act: impl FnMut(TicketResult) -> Result<(), JobError>,
) -> Result<Option<u64>, JobError> {
    let chunks = store.job_chunks(id, number, CHUNKS_READ)?;
    let next = chunks.last().map(|last| last.number + 1);
    for chunk in chunks {
        for result in read_chunk(&chunk.results) {
            act(result?)?;
        }
    }
    Ok(next)
}

/// A line of the store: id, fields, and what is wrong with the row.
#[derive(Serialize, Deserialize)]
struct ShortLine<'a>(
    #[serde(borrow)] Cow<'a, str>,
    #[serde(borrow)] Vec<ShortField<'a>>,
    #[serde(borrow, default)] Option<Cow<'a, str>>,
);

/// Today's value, best guess, confidence, abstention, whether it changes.
#[derive(Serialize, Deserialize)]
struct ShortField<'a>(
    #[serde(borrow)] Option<Cow<'a, str>>,
    #[serde(borrow)] Option<Cow<'a, str>>,
    f32,
    #[serde(borrow)] Option<Cow<'a, str>>,
    bool,
);

/// Adds a result to a chunk's.
pub(super) fn append_short(chunk: &mut Vec<u8>, result: &TicketResult) {
    let TicketResult { id, fields, error } = result;
    let short = |field: &'_ FieldResult| {
        let FieldResult { current, value, confidence, abstention, changed } = field;
        let text = |value: &Option<String>| value.clone().map(Cow::Owned);
        let abstention = abstention.map(|abstention| Cow::Borrowed(abstention.as_str()));
        ShortField(text(current), text(value), *confidence, abstention, *changed)
    };
    let line = ShortLine(id.into(), fields.iter().map(short).collect(), error.as_deref().map(Cow::Borrowed));
    append_json(chunk, &line);
}

/// The results of a chunk as the store gave them back.
pub(super) fn read_chunk(chunk: &[u8]) -> impl Iterator<Item = Result<TicketResult, JobError>> {
    let lines = chunk.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| {
        let damaged = |problem: &dyn std::fmt::Display| JobError::Damaged(problem.to_string());
        let ShortLine(id, fields, error) = serde_json::from_slice(line).map_err(|error| damaged(&error))?;
        let long = |ShortField(current, value, confidence, abstention, changed)| {
            let known = |raw: Cow<'_, str>| {
                Abstention::parse(&raw).ok_or_else(|| damaged(&format_args!("no abstention is called `{raw}`")))
            };
            Ok(FieldResult {
                current: current.map(Cow::into_owned),
                value: value.map(Cow::into_owned),
                confidence,
                abstention: abstention.map(known).transpose()?,
                changed,
            })
        };
        let fields = fields.into_iter().map(long).collect::<Result<_, JobError>>()?;
        Ok(TicketResult { id: id.into_owned(), fields, error: error.map(Cow::into_owned) })
    })
}

/// Adds a result to a file of JSON lines.
pub(super) fn append_line(out: &mut Vec<u8>, fields: &[FieldColumn], result: &TicketResult) {
    append_json(out, &Line { fields, result });
}

/// A result as the line of JSON that outside programs read, with its line end.
pub fn result_line(fields: &[FieldColumn], result: &TicketResult) -> Vec<u8> {
    let mut line = Vec::new();
    append_line(&mut line, fields, result);
    line
}

/// A ticket's line for outside programs.
struct Line<'a> {
    fields: &'a [FieldColumn],
    result: &'a TicketResult,
}

struct LineFields<'a>(&'a Line<'a>);

struct LineField<'a>(&'a FieldResult);

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut line = serializer.serialize_map(None)?;
        line.serialize_entry("id", &self.result.id)?;
        line.serialize_entry("fields", &LineFields(self))?;
        if let Some(error) = &self.result.error {
            line.serialize_entry("error", error)?;
        }
        line.end()
    }
}

impl Serialize for LineFields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let names = self.0.fields.iter().map(|field| &field.field);
        serializer.collect_map(names.zip(self.0.result.fields.iter().map(LineField)))
    }
}

impl Serialize for LineField<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let FieldResult { current, value, confidence, abstention, changed } = self.0;
        let mut field = serializer.serialize_map(Some(5))?;
        field.serialize_entry("current", current)?;
        field.serialize_entry("value", value)?;
        field.serialize_entry("confidence", confidence)?;
        field.serialize_entry("abstention", &abstention.map(Abstention::as_str))?;
        field.serialize_entry("changed", changed)?;
        field.end()
    }
}

fn append_json(out: &mut Vec<u8>, line: &impl Serialize) {
    // Writing strings and numbers into memory does not fail.
    serde_json::to_writer(&mut *out, line).ok();
    out.push(b'\n');
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn results() -> Vec<TicketResult> {
        let field = FieldResult {
            current: Some("net \"work\"\n".into()),
            value: Some("mail".into()),
            confidence: 0.873_25,
            abstention: None,
            changed: true,
        };
        let unsure = FieldResult {
            current: None,
            value: None,
            confidence: 0.0,
            abstention: Some(Abstention::TooShort),
            changed: false,
        };
        vec![
            TicketResult { id: "INC\t1".into(), fields: vec![field, unsure.clone()], error: None },
            TicketResult { id: "2".into(), fields: Vec::new(), error: Some("not a JSON object".into()) },
        ]
    }

    #[test]
    fn what_is_kept_is_read_as_it_was() {
        let mut chunk = Vec::new();
        for result in results() {
            append_short(&mut chunk, &result);
        }
        assert_eq!(read_chunk(&chunk).collect::<Result<Vec<_>, _>>().unwrap(), results());
        chunk.truncate(chunk.len() - 3);
        assert!(matches!(read_chunk(&chunk).last(), Some(Err(JobError::Damaged(_)))));
    }

    #[test]
    fn a_line_reads_as_outside_programs_expect() {
        let fields = ["category", "type"].map(|name| FieldColumn { field: name.into(), column: name.into() });
        let mut out = Vec::new();
        for result in results() {
            append_line(&mut out, &fields, &result);
        }
        let expected = [
            r#"{"id":"INC\t1","fields":{"category":{"current":"net \"work\"\n","value":"mail","confidence":0.87325,"abstention":null,"changed":true},"type":{"current":null,"value":null,"confidence":0.0,"abstention":"TOO_SHORT","changed":false}}}"#,
            r#"{"id":"2","fields":{},"error":"not a JSON object"}"#,
            "",
        ];
        assert_eq!(String::from_utf8(out).unwrap(), expected.join("\n"));
    }
}
