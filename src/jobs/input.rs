//! The tickets of a job, chunk by chunk: from a file, from a sample of one, or from the memory. What cannot be decided
//! is told apart here, and a chunk can be read again from where the last committed one ended.

use std::{
    collections::{BTreeMap, VecDeque},
    fs::{File, Metadata},
    io::{self, Read as _},
    mem,
    path::Path,
    time::SystemTime,
};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::{
    JobError,
    decide::Subject,
    rejects::too_many_bad,
    specification::{FieldColumn, FileSource, Source, Specification, Work},
    spool,
};
use crate::{
    domain::{memory::ConfirmedTicket, ticket::TicketLimits},
    memory::TicketColumns,
    rows::{Original, Position, Row, Rows},
    store::{SeenIds, Store},
};

/// Tickets and bytes of text in one chunk, whichever is reached first.
pub(super) const CHUNK_TICKETS: usize = 2_000;
const CHUNK_BYTES: usize = 8 << 20;
const READ_BYTES: usize = 1 << 20;

/// Where the next chunk begins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Place {
    Rows(Position),
    /// So many of the sample are done.
    Sample(u64),
    /// Behind the ticket with this id.
    Memory(String),
}

/// A ticket as it was read.
#[derive(Debug)]
pub(super) enum Entry {
    Ticket { subject: Subject, from: Origin },
    Bad(BadRow),
}

/// What a ticket was read from.
#[derive(Debug)]
pub(super) enum Origin {
    Row(Row),
    /// What a row says that is imported.
    Solved(Box<ConfirmedTicket>),
    /// With the change that it was read at.
    Memory(Box<ConfirmedTicket>, u64),
}

/// A row that cannot be used.
#[derive(Debug)]
pub(super) struct BadRow {
    /// The row's id, else its number.
    pub id: String,
    /// The line that it starts on, from 1.
    pub line: u64,
    pub reason: String,
    pub original: Option<Original>,
    /// Today's value of each field, where the row could be read.
    pub current: Vec<Option<String>>,
    /// A client sent it: its line is its place among what was sent.
    pub is_sent: bool,
}

impl BadRow {
    /// What is wrong, and where.
    pub(super) fn error(&self) -> String {
        let what = if self.is_sent { "ticket" } else { "line" };
        format!("{what} {}: {}", self.line, self.reason)
    }
}

/// Some tickets in a row.
#[derive(Debug)]
pub(super) struct Chunk {
    pub entries: Vec<Entry>,
    /// XXH3 of the ids, eight bytes each.
    pub id_hashes: Vec<u8>,
    /// Where the next one begins.
    pub next: Place,
    /// Nothing follows.
    pub is_last: bool,
    /// It ends here because too many rows are bad, or the input does and all are: so many of so many.
    pub too_many_bad: Option<(u64, u64)>,
    /// How much of the input is read, 0 to 1.
    pub fraction: f64,
}

/// Reads the tickets of one job.
pub(super) struct Input {
    tickets: Tickets,
    fields: Vec<FieldColumn>,
    /// Where the tickets are to be imported.
    imported: Option<(TicketColumns, TicketLimits)>,
    /// `None` where ids may come again.
    seen: Option<SeenIds>,
    /// Of the ids that the chunk at hand brought, eight bytes each.
    new_hashes: Vec<u8>,
    rows: u64,
    bad: u64,
    /// `None`: however many are bad, go on.
    max_bad_share: Option<f64>,
}

enum Tickets {
    Rows { rows: Rows, file: FileSource },
    Sample { rows: VecDeque<Row>, total: u64, file: FileSource },
    Memory { store: Store, after: String, done: u64, total: u64 },
}

/// How far a job had come when its input is opened.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Done {
    pub rows: u64,
    pub bad: u64,
}

impl Input {
    /// Opens the input behind what is done. `seen` are the ids so far, `None` where they may come again.
    pub(super) fn open(
        job: &Specification,
        store: &Store,
        place: Option<Place>,
        done: Done,
        seen: Option<SeenIds>,
        limits: TicketLimits,
    ) -> Result<Self, JobError> {
        let tickets = match &job.source {
            Source::File(file) => match (file.sample, place) {
                (Some(size), place) => {
                    let skipped = if let Some(Place::Sample(done)) = place { done } else { 0 };
                    let rows = sample(file, size)?;
                    let total = rows.len() as u64;
                    let rows = rows.into_iter().skip(usize::try_from(skipped).unwrap_or(usize::MAX)).collect();
                    Tickets::Sample { rows, total, file: file.clone() }
                }
                (None, Some(Place::Rows(position))) => {
                    Tickets::Rows { rows: Rows::open_at(&file.path, &file.renames, position)?, file: file.clone() }
                }
                (None, _) => Tickets::Rows { rows: Rows::open(&file.path, &file.renames)?, file: file.clone() },
            },
            Source::Memory => {
                let after = if let Some(Place::Memory(after)) = place { after } else { String::new() };
                let total = store.count_memory_tickets()?;
                Tickets::Memory { store: store.clone(), after, done: done.rows, total }
            }
        };
        let max_bad_share = (job.pace.max_bad_share < 1.0).then_some(job.pace.max_bad_share);
        let imported = if let Work::Import(columns) = &job.work { Some((columns.clone(), limits)) } else { None };
        let (fields, new_hashes) = (job.fields().to_vec(), Vec::new());
        Ok(Self { tickets, fields, imported, seen, new_hashes, rows: done.rows, bad: done.bad, max_bad_share })
    }

    /// The next at most `limit` tickets; an empty last chunk where there are none.
    pub(super) fn next_chunk(&mut self, limit: usize) -> Result<Chunk, JobError> {
        let limit = limit.clamp(1, CHUNK_TICKETS);
        match &mut self.tickets {
            Tickets::Memory { store, after, done, total } => {
                let read = store.memory_tickets_with_changes(after, limit)?;
                *done += read.len() as u64;
                if let Some((last, _)) = read.last() {
                    last.id.clone_into(after);
                }
                let (is_last, next) = (read.is_empty(), Place::Memory(after.clone()));
                let entries = read.into_iter().map(|(ticket, read_at)| remembered(ticket, read_at, &self.fields));
                let entries = entries.collect();
                let fraction = share(*done, *total);
                Ok(Chunk { entries, id_hashes: Vec::new(), next, is_last, too_many_bad: None, fraction })
            }
            Tickets::Rows { .. } | Tickets::Sample { .. } => self.next_rows(limit),
        }
    }

    fn next_rows(&mut self, limit: usize) -> Result<Chunk, JobError> {
        let mut entries = Vec::with_capacity(limit);
        let (mut bytes, mut is_last, mut over) = (0, false, None);
        while entries.len() < limit && bytes < CHUNK_BYTES && over.is_none() {
            let Some(entry) = self.next_entry()? else {
                is_last = true;
                break;
            };
            self.rows += 1;
            match &entry {
                Entry::Ticket { subject, .. } => bytes += subject.text.len(),
                Entry::Bad(_) => {
                    self.bad += 1;
                    let is_over = self.max_bad_share.is_some_and(|most| too_many_bad(self.bad, self.rows, most));
                    over = is_over.then_some((self.bad, self.rows));
                }
            }
            entries.push(entry);
        }
        if is_last && self.rows > 0 && self.bad == self.rows && self.max_bad_share.is_some() {
            // However few they are: a job of nothing but bad rows was asked for wrongly.
            over = Some((self.bad, self.rows));
        }
        let id_hashes = mem::take(&mut self.new_hashes);
        let (next, fraction) = match &self.tickets {
            Tickets::Rows { rows, .. } => {
                let (read, size) = rows.progress();
                (Place::Rows(rows.position()), share(read, size))
            }
            Tickets::Sample { rows, total, .. } => {
                let done = total - rows.len() as u64;
                (Place::Sample(done), share(done, *total))
            }
            Tickets::Memory { .. } => unreachable!("the memory has no rows"),
        };
        Ok(Chunk { entries, id_hashes, next, is_last, too_many_bad: over, fraction })
    }

    fn next_entry(&mut self) -> Result<Option<Entry>, JobError> {
        let (row, file) = match &mut self.tickets {
            Tickets::Rows { rows, file } => {
                let number = Rows::position(rows).number + 1;
                match rows.next() {
                    None => return Ok(None),
                    Some(Ok(row)) => (row, &*file),
                    Some(Err(error)) if error.is_fatal() => return Err(JobError::Row(error)),
                    Some(Err(error)) => {
                        let reason = error.problem.to_string();
                        let (line, original, is_sent) = (error.line, error.original, file.is_spool);
                        let current = Vec::new();
                        let bad = BadRow { id: number.to_string(), line, reason, original, current, is_sent };
                        return Ok(Some(Entry::Bad(bad)));
                    }
                }
            }
            Tickets::Sample { rows, file, .. } => match rows.pop_front() {
                None => return Ok(None),
                Some(row) => (row, &*file),
            },
            Tickets::Memory { .. } => return Ok(None),
        };
        let id = row.id(&file.id);
        let (line, is_sent) = (row.line, file.is_spool);
        if is_sent && let Some(reason) = row.value(spool::PROBLEM) {
            return Ok(Some(Entry::Bad(BadRow { id, line, reason, original: None, current: Vec::new(), is_sent })));
        }
        let current = self.fields.iter().map(|field| row.label(&field.column)).collect();
        // A row's number is no id: it must not keep a ticket out that bears it as one.
        let has_id = row.value(&file.id).is_some();
        let hash = xxh3_64(id.as_bytes());
        let is_new = match &mut self.seen {
            Some(seen) if has_id => seen.insert(hash)?,
            Some(_) | None => true,
        };
        if is_new && has_id && self.seen.is_some() {
            self.new_hashes.extend(hash.to_le_bytes());
        }
        if !is_new {
            let reason = format!("the id `{id}` stands further up already");
            let original = Some(row.original());
            return Ok(Some(Entry::Bad(BadRow { id, line, reason, original, current, is_sent })));
        }
        let subject = Subject { id, text: row.text(&file.text), current };
        let from = match self.imported.as_ref().map(|(columns, limits)| columns.ticket(&row, limits)) {
            None => Origin::Row(row),
            Some(Ok(ticket)) => Origin::Solved(Box::new(ticket)),
            Some(Err(reason)) => {
                let Subject { id, current, .. } = subject;
                let original = Some(row.original());
                return Ok(Some(Entry::Bad(BadRow { id, line, reason, original, current, is_sent })));
            }
        };
        Ok(Some(Entry::Ticket { subject, from }))
    }
}

fn remembered(ticket: ConfirmedTicket, read_at: u64, fields: &[FieldColumn]) -> Entry {
    let current = fields.iter().map(|field| ticket.labels.get(&field.field).cloned()).collect();
    let subject = Subject { id: ticket.id.clone(), text: ticket.text(), current };
    Entry::Ticket { subject, from: Origin::Memory(Box::new(ticket), read_at) }
}

#[expect(clippy::cast_precision_loss, reason = "a share needs no more than the leading digits")]
pub(super) fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 1.0 } else { (part as f64 / whole as f64).min(1.0) }
}

/// So many rows of a file, in its order: those whose numbers have the smallest hashes, the same ones every time. Rows
/// that cannot be read are left out.
fn sample(file: &FileSource, size: u64) -> Result<Vec<Row>, JobError> {
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let mut drawn: BTreeMap<u64, Row> = BTreeMap::new();
    for row in Rows::open(&file.path, &file.renames)? {
        let row = match row {
            Ok(row) => row,
            Err(error) if error.is_fatal() => return Err(JobError::Row(error)),
            Err(_) => continue,
        };
        let hash = xxh3_64(&row.number.to_le_bytes());
        if drawn.len() < size || drawn.last_key_value().is_some_and(|(largest, _)| hash < *largest) {
            drawn.insert(hash, row);
        }
        if drawn.len() > size {
            drawn.pop_last();
        }
    }
    let mut rows: Vec<Row> = drawn.into_values().collect();
    rows.sort_unstable_by_key(|row| row.number);
    Ok(rows)
}

/// Tells whether a file is still what it was: cheaply by size and time, surely by its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// `xxh3:` and 32 hexadecimal digits over all bytes.
    pub content: String,
    look: Option<(u64, Option<SystemTime>)>,
}

impl Identity {
    /// Reads the whole file.
    pub fn of(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let look = Self::look(&file.metadata()?);
        let (mut hash, mut buffer) = (Xxh3::new(), vec![0; READ_BYTES]);
        loop {
            match file.read(&mut buffer)? {
                0 => break,
                read => hash.update(&buffer[..read]),
            }
        }
        Ok(Self { content: format!("xxh3:{:032x}", hash.digest128()), look: Some(look) })
    }

    fn look(metadata: &Metadata) -> (u64, Option<SystemTime>) {
        (metadata.len(), metadata.modified().ok())
    }

    /// Whether the file has this content. It is read only where it looks other than the last time.
    pub(super) fn still_holds(&mut self, path: &Path) -> io::Result<bool> {
        let look = Some(Self::look(&std::fs::metadata(path)?));
        if look != self.look {
            let now = Self::of(path)?;
            if now.content != self.content {
                return Ok(false);
            }
            self.look = now.look;
        }
        Ok(true)
    }

    /// What a file should hold whose content is known and which has not been looked at.
    pub(super) fn expected(content: &str) -> Self {
        Self { content: content.to_owned(), look: None }
    }
}
