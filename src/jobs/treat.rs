//! What becomes of the tickets of a chunk, by the kind of job: a reclassification holds what the model says against
//! today's values, an import makes confirmed tickets of them. Runs on the compute pool.

use std::collections::BTreeMap;

use super::{
    JobError,
    decide::Decider,
    input::{BadRow, Entry, Origin},
    output::Format,
    rejects::{Reject, RejectFormat},
    results,
    specification::{Source, Specification, Work},
};
use crate::{
    domain::{
        job::{JobCounts, TicketOutcome, TicketResult},
        memory::ConfirmedTicket,
    },
    encode::Redactor,
    memory::prepared_within,
    store::Relabelled,
    triage::Triager,
};

/// A chunk that is decided and not yet committed.
#[derive(Default)]
pub(super) struct Decided {
    pub counts: JobCounts,
    pub results: Vec<u8>,
    pub output: Vec<u8>,
    pub rejects: Vec<u8>,
    pub relabelled: Vec<Relabelled>,
    /// Tickets for the memory.
    pub imported: Vec<ConfirmedTicket>,
    /// Tickets by what became of them, in the order of [`TicketOutcome::ALL`].
    pub outcomes: [u64; TicketOutcome::ALL.len()],
}

impl Decided {
    pub(super) fn extend(&mut self, other: Self) {
        let Self { counts, results, output, rejects, relabelled, imported, outcomes } = other;
        self.counts += counts;
        self.outcomes.iter_mut().zip(outcomes).for_each(|(sum, more)| *sum += more);
        self.results.extend(results);
        self.output.extend(output);
        self.rejects.extend(rejects);
        self.relabelled.extend(relabelled);
        self.imported.extend(imported);
    }
}

/// What is done with each ticket of one job.
#[derive(Debug)]
pub(super) struct Treatment {
    kind: Kind,
    /// How rows are written that cannot be used; `None` where they are only counted.
    rejects: Option<RejectFormat>,
}

#[derive(Debug)]
enum Kind {
    Reclassify {
        decider: Box<Decider>,
        format: Option<Format>,
        /// Labels in the memory change.
        is_effective: bool,
    },
    Import(Redactor),
}

impl Treatment {
    pub(super) fn of(job: &Specification, triager: Triager, redactor: Redactor) -> Self {
        let kind = match &job.work {
            Work::Reclassify(work) => Kind::Reclassify {
                decider: Box::new(Decider::new(triager, work)),
                format: Format::of(job),
                is_effective: matches!(job.source, Source::Memory) && !work.dry_run,
            },
            // Of a training, no ticket comes here.
            Work::Import(_) | Work::Train(_) => Kind::Import(redactor),
        };
        Self { kind, rejects: job.rejects().and_then(|_| RejectFormat::of(job)) }
    }

    /// Adds what becomes of a ticket to what becomes of its chunk.
    pub(super) fn treat(&self, entry: &Entry, decided: &mut Decided) -> Result<(), JobError> {
        let result = match (&self.kind, entry) {
            (kind, Entry::Bad(bad)) => {
                let result = TicketResult { id: bad.id.clone(), fields: Vec::new(), error: Some(bad.error()) };
                if let Kind::Reclassify { format: Some(format), .. } = kind {
                    format.append_bad(&mut decided.output, bad, &result);
                }
                if let Some(rejects) = &self.rejects {
                    let BadRow { id, line, reason, original, current: _, is_sent: _ } = bad;
                    rejects
                        .append(&mut decided.rejects, Reject { line: *line, reason, id, original: original.as_ref() });
                }
                result
            }
            (Kind::Reclassify { decider, format, is_effective }, Entry::Ticket { subject, from }) => {
                let result = decider.decide(subject)?;
                match (from, format) {
                    (Origin::Row(row), Some(format)) => format.append_result(&mut decided.output, row, &result),
                    (Origin::Row(_), None) | (Origin::Solved(_), _) => {}
                    (Origin::Memory(ticket, read_at), _) => {
                        if *is_effective && result.is_changed() {
                            decided.relabelled.push(relabel(decider, ticket, *read_at, &result));
                        }
                    }
                }
                result
            }
            (Kind::Import(redactor), Entry::Ticket { subject, from }) => {
                if let Origin::Solved(ticket) = from {
                    decided.imported.push(prepared_within(ticket, usize::MAX, redactor));
                }
                TicketResult { id: subject.id.clone(), fields: Vec::new(), error: None }
            }
        };
        decided.counts += result.counts();
        decided.outcomes[result.outcome() as usize] += 1;
        results::append_short(&mut decided.results, &result);
        Ok(())
    }
}

fn relabel(decider: &Decider, ticket: &ConfirmedTicket, read_at: u64, result: &TicketResult) -> Relabelled {
    let mut ticket = ticket.clone();
    let mut previous = BTreeMap::new();
    for (field, result) in decider.fields.iter().zip(&result.fields).filter(|(_, result)| result.changed) {
        let Some(value) = &result.value else { continue };
        let before = ticket.labels.insert(field.field.clone(), value.clone());
        previous.insert(field.field.clone(), before);
    }
    Relabelled { ticket, previous, read_at }
}
