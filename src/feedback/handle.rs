//! The handle of a suggestion or a decision: the ticket as the memory would keep it and what was proposed, signed with the key of
//! the database (HMAC-SHA-256, RFC 2104, its first 16 bytes) and written in base64url. Whoever holds one can read it,
//! and nobody can make or change one. It refuses, before it reads them, handles that were damaged, forged, or sealed by
//! another database.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::{
    domain::{
        feedback::Suggestion,
        memory::ConfirmedTicket,
        ticket::{Ticket, TicketPart},
    },
    encode::Redactor,
    error::TriageError,
    memory,
};

/// What a handle is of, and how what follows the signature is written; the signature covers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Suggestion = 1,
    Decision = 2,
    Conversation = 3,
}

pub(super) const SIGNATURE_BYTES: usize = 16;
/// Kind, signature, and the length of the content before it was compressed.
const HEAD_BYTES: usize = 1 + SIGNATURE_BYTES + 4;
/// How much of a ticket's text is kept: as good as all of it; what comes behind is history.
const MAX_TEXT_BYTES: usize = 8 << 10;
/// How much of the form's values is kept, in the order of their fields.
const MAX_LABEL_BYTES: usize = 4 << 10;
/// More than the longest handle has.
const MAX_HANDLE_CHARS: usize = 256 << 10;

pub(super) const NOT_OURS: &str = "was changed on its way or does not come from this server's database; send the \
                        handle of the answer, unchanged, to the server that gave it";

/// What the handle of a suggestion holds, as JSON.
#[derive(Serialize, Deserialize)]
struct Content<'a> {
    #[serde(borrow, flatten)]
    ticket: SealedTicket<'a>,
    labels: BTreeMap<String, String>,
    articles: Vec<Cow<'a, str>>,
}

/// A ticket as the memory would keep it.
#[derive(Serialize, Deserialize)]
pub(super) struct SealedTicket<'a> {
    /// Blank where the ticket came without one.
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    summary: Cow<'a, str>,
    #[serde(borrow)]
    description: Cow<'a, str>,
    #[serde(borrow)]
    service: Cow<'a, str>,
    #[serde(borrow)]
    configuration_item: Cow<'a, str>,
}

/// Seals handles and opens them again. Cheap to clone.
#[derive(Clone)]
pub(super) struct Seal {
    /// With the key already mixed in.
    signer: Hmac<Sha256>,
    redactor: Redactor,
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal(***)")
    }
}

impl Seal {
    pub(super) fn new(key: &[u8; 32], redactor: Redactor) -> Self {
        Self { signer: Hmac::new_from_slice(key).expect("HMAC takes keys of any length"), redactor }
    }

    /// The handle of these articles for this ticket.
    pub(super) fn handle<'a>(
        &self,
        ticket: &Ticket,
        articles: impl Iterator<Item = &'a str>,
    ) -> Result<String, TriageError> {
        let (ticket, labels) = self.kept(ticket);
        let content = Content { ticket, labels, articles: articles.map(Cow::Borrowed).collect() };
        self.sealed(Kind::Suggestion, &content)
    }

    /// What is kept of a ticket, and of the values that its form held.
    pub(super) fn kept(&self, ticket: &Ticket) -> (SealedTicket<'static>, BTreeMap<String, String>) {
        let kept = memory::prepared_within(&unprepared(ticket), MAX_TEXT_BYTES, &self.redactor);
        let ticket = SealedTicket {
            id: kept.id.into(),
            summary: kept.summary.into(),
            description: kept.description.into(),
            service: kept.service.into(),
            configuration_item: kept.configuration_item.into(),
        };
        (ticket, kept.labels)
    }

    pub(super) fn sealed(&self, kind: Kind, content: &impl Serialize) -> Result<String, TriageError> {
        let content = serde_json::to_vec(content).map_err(TriageError::internal)?;
        let longest = lz4_flex::block::get_maximum_output_size(content.len());
        let mut handle = vec![0; HEAD_BYTES + longest];
        let packed = lz4_flex::compress_into(&content, &mut handle[HEAD_BYTES..]).map_err(TriageError::internal)?;
        handle.truncate(HEAD_BYTES + packed);
        let length = u32::try_from(content.len()).map_err(TriageError::internal)?;
        handle[0] = kind as u8;
        handle[1 + SIGNATURE_BYTES..HEAD_BYTES].copy_from_slice(&length.to_le_bytes());
        let signature = self.signed(&handle).finalize().into_bytes();
        handle[1..=SIGNATURE_BYTES].copy_from_slice(&signature[..SIGNATURE_BYTES]);
        Ok(BASE64_URL_SAFE_NO_PAD.encode(handle))
    }

    /// The signer behind everything of a handle but the signature.
    pub(super) fn signed(&self, handle: &[u8]) -> Hmac<Sha256> {
        self.signer.clone().chain_update(&handle[..1]).chain_update(&handle[1 + SIGNATURE_BYTES..])
    }

    /// What the handle of a suggestion holds; on an error what is wrong with it and what to do.
    pub(super) fn open(&self, handle: &str) -> Result<Suggestion, String> {
        let (signature, content) = self.opened(Kind::Suggestion, handle)?;
        let content: Content<'_> = serde_json::from_slice(&content).map_err(|_| NOT_OURS)?;
        Ok(suggestion(content, signature))
    }

    /// Signature and content of a handle of this kind; on an error what is wrong with it and what to do.
    pub(super) fn opened(&self, kind: Kind, handle: &str) -> Result<([u8; SIGNATURE_BYTES], Vec<u8>), String> {
        if handle.len() > MAX_HANDLE_CHARS {
            return Err(format!("is no handle: none is longer than {MAX_HANDLE_CHARS} characters"));
        }
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(handle).map_err(|_| NOT_OURS)?;
        let head: &[u8; HEAD_BYTES] = bytes.first_chunk().ok_or(NOT_OURS)?;
        let [_, signature @ .., _, _, _, _] = *head;
        // In constant time.
        self.signed(&bytes).verify_truncated_left(&signature).map_err(|_| NOT_OURS)?;
        if bytes[0] != kind as u8 {
            return Err(match (kind, bytes[0]) {
                (Kind::Suggestion, 2) => "is the handle of a decision: send its suggestion_handle",
                (Kind::Decision, 1) => "is the handle of a suggestion: send its decision_handle",
                (Kind::Conversation, 1 | 2) => "is a handle: send the conversation of the answer before",
                (Kind::Suggestion | Kind::Decision, 3) => "is a conversation: send the handle of the answer",
                _ => "was given by another version of this program, which this one cannot read",
            }
            .to_owned());
        }
        Ok((signature, unpacked(&bytes).ok_or(NOT_OURS)?))
    }
}

/// The content of a handle whose signature was checked.
fn unpacked(handle: &[u8]) -> Option<Vec<u8>> {
    /// What a byte of LZ4 stands for at most: no more room is made than can be needed.
    const MOST_EXPANSION: usize = 255;
    let (length, packed) = (handle.get(1 + SIGNATURE_BYTES..HEAD_BYTES)?, handle.get(HEAD_BYTES..)?);
    let length = u32::from_le_bytes(length.try_into().ok()?) as usize;
    if length > packed.len().saturating_mul(MOST_EXPANSION) {
        return None;
    }
    let mut content = vec![0; length];
    let written = lz4_flex::decompress_into(packed, &mut content).ok()?;
    (written == content.len()).then_some(content)
}

/// Another content has another signature, so that this tells suggestions apart.
fn suggestion(content: Content<'_>, signature: [u8; SIGNATURE_BYTES]) -> Suggestion {
    let Content { ticket, labels, articles } = content;
    let ticket = ConfirmedTicket { labels, ..ticket.into_confirmed("suggestion", signature) };
    Suggestion { digest: signature, ticket, articles: articles.into_iter().map(Cow::into_owned).collect() }
}

impl SealedTicket<'_> {
    /// The ticket as the memory keeps it; one without an id goes by what its handle is of.
    pub(super) fn into_confirmed(self, of: &str, signature: [u8; SIGNATURE_BYTES]) -> ConfirmedTicket {
        let Self { id, summary, description, service, configuration_item } = self;
        let digest = u128::from_be_bytes(signature);
        ConfirmedTicket {
            id: if id.trim().is_empty() { format!("{of}-{:016x}", digest >> 64) } else { id.into_owned() },
            summary: summary.into_owned(),
            description: description.into_owned(),
            service: service.into_owned(),
            configuration_item: configuration_item.into_owned(),
            ..ConfirmedTicket::default()
        }
    }
}

/// The ticket as it came, as far as it is kept.
fn unprepared(ticket: &Ticket) -> ConfirmedTicket {
    let mut left = MAX_LABEL_BYTES;
    let fits = |(field, value): &(&String, &String)| match left.checked_sub(field.len() + value.len()) {
        Some(rest) => {
            left = rest;
            true
        }
        None => false,
    };
    let labels = ticket.field_values().iter().filter(fits);
    ConfirmedTicket {
        id: ticket.id().to_owned(),
        summary: ticket.part(TicketPart::Summary).to_owned(),
        description: ticket.part(TicketPart::Description).to_owned(),
        service: ticket.service().to_owned(),
        configuration_item: ticket.configuration_item().to_owned(),
        labels: labels.map(|(field, value)| (field.clone(), value.clone())).collect(),
        ..ConfirmedTicket::default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::ticket::{TicketDraft, TicketLimits};

    fn seal(key: u8) -> Seal {
        Seal::new(&[key; 32], Redactor::default())
    }

    fn draft() -> TicketDraft {
        TicketDraft {
            id: "INC-1".into(),
            summary: "Drucker klemmt".into(),
            description: "<p>Papierstau in der <b>K&uuml;che</b>, sagt ann@example.com</p>".into(),
            requester: "ann".into(),
            service: "Printing".into(),
            configuration_item: "prn-2".into(),
            field_values: [("category".to_owned(), "hardware/printer".to_owned())].into(),
            attributes: [("note".to_owned(), "x".to_owned())].into(),
        }
    }

    fn handle(seal: &Seal, draft: TicketDraft, articles: &[&str]) -> String {
        let ticket = draft.parse("", &TicketLimits::default()).unwrap();
        seal.handle(&ticket, articles.iter().copied()).unwrap()
    }

    #[test]
    fn a_handle_brings_back_what_the_memory_keeps_of_the_ticket() {
        let sealed = handle(&seal(1), draft(), &["KB2", "KB 1/ä"]);
        assert!(sealed.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
        let suggestion = seal(1).open(&sealed).unwrap();
        assert_eq!(suggestion.articles, ["KB2", "KB 1/ä"]);
        let expected = ConfirmedTicket {
            id: "INC-1".into(),
            summary: "Drucker klemmt".into(),
            description: "Papierstau in der Küche, sagt <email>".into(),
            service: "Printing".into(),
            configuration_item: "prn-2".into(),
            labels: [("category".to_owned(), "hardware/printer".to_owned())].into(),
            ..ConfirmedTicket::default()
        };
        assert_eq!(suggestion.ticket, expected);
    }

    #[test]
    fn the_same_suggestion_has_the_same_handle_and_another_one_another() {
        let first = handle(&seal(1), draft(), &["a", "b"]);
        assert_eq!(handle(&seal(1), draft(), &["a", "b"]), first);
        let digest = |handle: &str| seal(1).open(handle).unwrap().digest;
        let other_id = TicketDraft { id: "INC-2".into(), ..draft() };
        for other in [handle(&seal(1), draft(), &["b", "a"]), handle(&seal(1), other_id, &["a", "b"])] {
            assert_ne!(digest(&other), digest(&first));
        }
    }

    #[test]
    fn a_ticket_without_an_id_gets_one_of_its_suggestion() {
        let sealed = handle(&seal(1), TicketDraft { id: " ".into(), ..draft() }, &["a"]);
        let suggestion = seal(1).open(&sealed).unwrap();
        let digits = suggestion.ticket.id.strip_prefix("suggestion-").unwrap();
        assert_eq!(digits.len(), 16);
        assert_eq!(u64::from_str_radix(digits, 16).unwrap().to_be_bytes(), suggestion.digest[..8]);
    }

    #[test]
    fn any_changed_byte_is_noticed_and_so_is_any_that_is_missing_or_too_much() {
        let sealed = handle(&seal(1), draft(), &["a"]);
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(&sealed).unwrap();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                assert!(seal(1).open(&BASE64_URL_SAFE_NO_PAD.encode(changed)).is_err(), "bit {bit} of byte {at}");
            }
        }
        for end in 0..sealed.len() {
            assert!(seal(1).open(&sealed[..end]).is_err(), "the first {end} characters");
        }
        for changed in
            [format!("{sealed}A"), format!("{sealed}="), format!(" {sealed}"), sealed.replace(['-', '_'], "+") + "/"]
        {
            assert!(seal(1).open(&changed).is_err(), "{changed}");
        }
    }

    #[test]
    fn a_handle_of_another_database_is_refused_with_what_to_do() {
        let problem = seal(2).open(&handle(&seal(1), draft(), &["a"])).unwrap_err();
        assert!(problem.contains("this server's database") && problem.contains("send the handle"));
        assert!(seal(1).open(&"A".repeat(MAX_HANDLE_CHARS + 1)).unwrap_err().contains("is no handle"));
        assert!(!format!("{:?}", seal(7)).contains('7'));
    }

    #[test]
    fn a_handle_of_a_later_version_is_told_from_a_forged_one() {
        let sealed = handle(&seal(1), draft(), &["a"]);
        let mut bytes = BASE64_URL_SAFE_NO_PAD.decode(sealed).unwrap();
        bytes[0] = 99;
        let signature = seal(1).signed(&bytes).finalize().into_bytes();
        bytes[1..=SIGNATURE_BYTES].copy_from_slice(&signature[..SIGNATURE_BYTES]);
        let problem = seal(1).open(&BASE64_URL_SAFE_NO_PAD.encode(bytes)).unwrap_err();
        assert!(problem.contains("another version"), "{problem}");
    }

    #[test]
    fn the_longest_ticket_has_a_handle_of_bounded_length() {
        // What JSON and base64 make longest, and nothing compresses well.
        let noise = |chars: usize, seed: u32| -> String {
            let numbers = (0..).map(|n: u32| (n ^ seed).wrapping_mul(2_654_435_761).rotate_left(n % 31) ^ n);
            numbers.filter_map(|number| char::from_u32(number % 0x11_0000)).filter(|c| *c != ' ').take(chars).collect()
        };
        let longest = TicketDraft {
            id: noise(256, 1),
            summary: noise(1_000, 2),
            description: noise(15_000, 3),
            requester: noise(256, 4),
            service: noise(256, 5),
            configuration_item: noise(256, 6),
            field_values: (0..64).map(|number| (noise(256, 100 + number), noise(1_024, 200 + number))).collect(),
            attributes: [].into(),
        };
        let articles: Vec<String> = (0..10).map(|number| noise(256, 300 + number)).collect();
        let articles: Vec<&str> = articles.iter().map(String::as_str).collect();
        let sealed = handle(&seal(1), longest, &articles);
        assert!(sealed.len() < MAX_HANDLE_CHARS / 2, "{} characters", sealed.len());
        let suggestion = seal(1).open(&sealed).unwrap();
        assert_eq!(suggestion.articles, articles);
        let ticket = suggestion.ticket;
        assert!((MAX_TEXT_BYTES / 2..=MAX_TEXT_BYTES).contains(&(ticket.summary.len() + ticket.description.len())));
        assert!(ticket.labels.iter().map(|(field, value)| field.len() + value.len()).sum::<usize>() <= MAX_LABEL_BYTES);
        let usual: String = "The printer on floor two jams with every second page since noon. ".repeat(9);
        let usual = handle(&seal(1), TicketDraft { description: usual, ..TicketDraft::default() }, &["KB1", "KB2"]);
        assert!(usual.len() < 600, "{} characters", usual.len());
    }

    proptest! {
        #[test]
        fn any_ticket_comes_back_and_any_other_text_is_refused(
            summary in "\\PC{1,80}",
            description in "(?s).{0,400}",
            articles in proptest::collection::vec("\\PC{1,20}", 1..11),
            other in "[A-Za-z0-9_-]{0,200}",
        ) {
            prop_assume!(!summary.trim().is_empty());
            let draft = TicketDraft { summary, description, ..TicketDraft::default() };
            let ticket = draft.parse("", &TicketLimits::default()).unwrap();
            let sealed = seal(1).handle(&ticket, articles.iter().map(String::as_str)).unwrap();
            let suggestion = seal(1).open(&sealed).unwrap();
            prop_assert_eq!(suggestion.articles, articles);
            let kept = memory::prepared_within(&unprepared(&ticket), MAX_TEXT_BYTES, &Redactor::default());
            prop_assert_eq!((suggestion.ticket.summary, suggestion.ticket.description), (kept.summary, kept.description));
            prop_assert!(seal(1).open(&other).is_err());
        }
    }
}
