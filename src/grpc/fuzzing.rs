//! For the fuzz targets in `fuzz/`: the way from the bytes of a connection to what is asked for, without a server.

use std::time::Instant;

use prost::{Message, Name};

use super::{admission::parse_timeout, codec, convert, frames, held::Messages, pages};
use crate::{
    domain::{article::Day, ticket::TicketLimits},
    error::FieldViolation,
    pb,
};

/// Each decodes one kind of request and hands it to its conversion; none says what came of it.
const READERS: [fn(&[u8]); 19] = [
    |bytes| read(bytes, |request| convert::triage_request(request, &TicketLimits::default())),
    |bytes| read(bytes, batch),
    |bytes| read(bytes, |request| convert::suggest_request(request, &TicketLimits::default())),
    |bytes| read(bytes, |request| convert::answer_request(request, &TicketLimits::default())),
    |bytes| read(bytes, |request| convert::similar_request(request, &TicketLimits::default())),
    |bytes| read(bytes, |article| convert::article(article, "")),
    |bytes| read(bytes, |ticket| convert::confirmed_ticket(ticket, "", &TicketLimits::default())),
    |bytes| read(bytes, convert::field_verdict),
    |bytes| read(bytes, convert::article_feedback),
    |bytes| read(bytes, convert::feedback_filter),
    |bytes| read(bytes, asked_job),
    |bytes| read(bytes, convert::asked_import),
    |bytes| read(bytes, |ticket| convert::job_ticket(ticket, &TicketLimits::default())),
    |bytes| read(bytes, |filter| convert::result_filter(Some(filter))),
    |bytes| read(bytes, |request| Ok::<_, ()>(convert::asked_document(request))),
    |bytes| read(bytes, convert::asked_changes),
    |bytes| read(bytes, convert::asked_training),
    |bytes| read(bytes, |request| convert::asked_comparison(request, 1)),
    |bytes| read(bytes, gaps),
];

fn read<M: Message + Name + Default, T, E>(bytes: &[u8], convert: impl Fn(M) -> Result<T, E>) {
    let counted = codec::footprint::<M>(bytes);
    if let Ok(request) = M::decode(bytes) {
        assert!(counted.is_some_and(|counted| counted >= size_of_val(&request)), "it was not counted: {counted:?}");
        // What was refused is refused with words, which are made here as well.
        convert(request).ok();
    }
}

fn batch(request: pb::BatchTriageTicketsRequest) -> Result<(), Vec<FieldViolation>> {
    let pb::BatchTriageTicketsRequest { tickets, features, top_n } = request;
    convert::options(&features, top_n)?;
    for ticket in tickets {
        convert::ticket(Some(ticket), &TicketLimits::default())?;
    }
    Ok(())
}

fn asked_job(request: pb::CreateReclassificationJobRequest) -> Result<(), ()> {
    let pb::CreateReclassificationJobRequest { spec, request_id, tickets } = request;
    convert::asked_job(spec, request_id, &tickets).map(drop).map_err(drop)
}

fn gaps(request: pb::ListGapsRequest) -> Result<(), ()> {
    let today = Day::new(2026, 1, 1).ok_or(())?;
    convert::gap_query(request, today).map(drop).map_err(drop)
}

/// Reads the bytes behind the first as a request of the kind that the first names.
pub fn request(bytes: &[u8]) {
    if let Some((kind, message)) = bytes.split_first() {
        READERS[usize::from(*kind) % READERS.len()](message);
    }
}

/// Reads a text as every kind of page token, and as the protocol's timeout.
pub fn header(text: &str) {
    pages::parse_id_token(text).ok();
    pages::parse_number_token(text).ok();
    pages::parse_version_token(text).ok();
    pages::parse_result_token(text, "").ok();
    convert::activation_token(text).ok();
    parse_timeout(text);
}

/// Reads the bytes behind the first as what a connection sends, and as the messages of a call, in pieces of a size that the
/// first names: it does not matter how they are cut.
///
/// # Panics
///
/// Where it does.
pub fn connection(bytes: &[u8]) {
    let Some((&size, bytes)) = bytes.split_first() else { return };
    let (size, now) = (usize::from(size), Instant::now());
    let read = |size| frames::read_in_pieces(bytes, size, now);
    assert_eq!(read(size), read(bytes.len()), "frames in pieces of {size}");

    let read = |size: usize| {
        let mut messages = Messages::new();
        let begun: Vec<_> = bytes.chunks(size.max(1)).filter_map(|piece| messages.read(piece)).collect();
        (begun.iter().map(|(count, _)| count).sum::<u64>(), begun.last().map(|(_, length)| *length), messages)
    };
    assert_eq!(read(size), read(bytes.len()), "messages in pieces of {size}");
}
