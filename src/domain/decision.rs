//! What the service proposes for a ticket, with how sure it is and why.

use std::ops::Range;

use super::{
    article::ArticleHit,
    memory::SimilarTicket,
    priority::{Impact, Priority, Urgency},
    route::Route,
    sla::SlaTarget,
    ticket::{Ticket, TicketPart},
};

/// Why a best guess should not be used. Not knowing is a result, not an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Abstention {
    /// The text has too little to go by.
    TooShort,
    /// The model has not learnt this language.
    UnsupportedLanguage,
    /// Nothing the model knows is like this text.
    OutOfScope,
    /// The first two values are too close.
    Ambiguous,
    /// The best value is less sure than the desk asks for.
    LowConfidence,
}

impl Abstention {
    pub const ALL: [Self; 5] =
        [Self::TooShort, Self::UnsupportedLanguage, Self::OutOfScope, Self::Ambiguous, Self::LowConfidence];

    pub fn parse(raw: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|abstention| abstention.as_str() == raw)
    }

    /// Whether it speaks of the whole text, and not of one field's guesses.
    pub fn is_of_text(self) -> bool {
        match self {
            Self::TooShort | Self::UnsupportedLanguage | Self::OutOfScope => true,
            Self::Ambiguous | Self::LowConfidence => false,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooShort => "TOO_SHORT",
            Self::UnsupportedLanguage => "UNSUPPORTED_LANGUAGE",
            Self::OutOfScope => "OUT_OF_SCOPE",
            Self::Ambiguous => "AMBIGUOUS",
            Self::LowConfidence => "LOW_CONFIDENCE",
        }
    }
}

/// A value and the model's calibrated probability that it is right, 0 to 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    pub value: String,
    pub confidence: f32,
}

/// A stretch of the ticket that spoke for an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    pub part: TicketPart,
    /// UTF-8 bytes within the part.
    pub bytes: Range<usize>,
    /// UTF-16 code units within the part.
    pub utf16: Range<usize>,
    pub text: String,
    /// What it added to the score of the value, or to the similarity; larger is stronger.
    pub weight: f32,
}

impl Evidence {
    /// The stretch of a ticket at these bytes of its text; cut to the part it starts in.
    pub fn within(ticket: &Ticket, bytes: Range<usize>, weight: f32) -> Self {
        let (part, bytes) = ticket.locate(bytes);
        let whole = ticket.part(part);
        let utf16 = |text: &str| text.encode_utf16().count();
        let start = utf16(&whole[..bytes.start]);
        let text = whole[bytes.clone()].to_owned();
        Self { part, utf16: start..start + utf16(&text), bytes, text, weight }
    }
}

impl FieldDecision {
    /// The words of the evidence, strongest first, each once.
    pub fn evidence_words(&self) -> impl Iterator<Item = &str> {
        let mut seen = Vec::new();
        self.evidence.iter().map(|evidence| evidence.text.as_str()).filter(move |word| {
            let word = word.to_lowercase();
            let new = !seen.contains(&word);
            seen.push(word);
            new
        })
    }
}

/// Where a field's value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValueSource {
    /// The model's best guess.
    Model,
    /// The form held it already; it is kept.
    Form,
    /// The taxonomy's impact table raised it, for the service, CI or requester of this name.
    ImpactTable(String),
    /// The taxonomy maps the category to this group.
    GroupTable,
    /// Confirmed tickets like it, more than the model.
    Memory,
}

/// A confirmed ticket like the one decided, and the value that it has.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldWitness {
    pub ticket_id: String,
    /// More than 0, at most 1: the same words.
    pub similarity: f32,
    pub value: String,
    /// Something else had been proposed for it.
    pub corrected: bool,
}

/// The proposal for one field.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldDecision {
    pub field: String,
    /// The value in force: the form's where there is one, else the best guess.
    pub value: String,
    pub source: ValueSource,
    /// The model's calibrated probability that `value` is right; 0 for a form value it does not know, 1 where the
    /// desk's own tables decided.
    pub confidence: f32,
    /// Set where the model's best guess should not be used unseen; never for a form value.
    pub abstention: Option<Abstention>,
    /// The model's best guess and its runners-up, most likely first.
    pub candidates: Vec<Candidate>,
    /// What spoke for the model's best guess, strongest first.
    pub evidence: Vec<Evidence>,
    /// Confirmed tickets like it, most alike first; none where the memory had no say.
    pub witnesses: Vec<FieldWitness>,
    /// Training certified it for autofill, and feedback shows that fewer such values are right than was promised: it is
    /// recommended until that changes, or another model decides.
    pub is_demoted: bool,
    /// The form's value differs from a best guess that the model stands by.
    pub disagreement: bool,
    /// What may be done with `value` on this ticket; never [`Route::Autofill`] where the model abstains or the form
    /// holds the value already.
    pub route: Route,
}

/// The matrix applied to impact and urgency.
#[derive(Debug, Clone, PartialEq)]
pub struct PriorityDecision {
    pub priority: Priority,
    pub impact: Impact,
    pub urgency: Urgency,
    /// The form holds another priority.
    pub disagreement: bool,
    /// How soon the desk wants such tickets answered and solved; `None` only from a server that says nothing of it.
    pub sla: Option<SlaTarget>,
    /// The more careful of impact's and urgency's.
    pub route: Route,
}

/// What made a decision. The same inputs and versions give the same bits.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Versions {
    pub model: String,
    pub taxonomy: String,
    pub matrix: String,
    pub knowledge: String,
    pub memory: String,
    /// The last change to the confirmed tickets that weights and chances of suggestions were learned from.
    pub learned: String,
    /// How many times feedback on decisions had been recorded or withdrawn.
    pub feedback: String,
    pub server: String,
}

/// Everything proposed for one ticket.
#[derive(Debug, Clone, PartialEq)]
pub struct TriageDecision {
    pub ticket_id: String,
    pub fields: Vec<FieldDecision>,
    pub priority: Option<PriorityDecision>,
    /// Sentences for people: why this priority, what disagrees.
    pub reasons: Vec<String>,
    pub articles: Vec<ArticleHit>,
    /// For feedback on the fields; none where none is taken.
    pub decision_handle: Option<String>,
    /// For feedback on the articles; none where there are none.
    pub suggestion_handle: Option<String>,
    /// Confirmed tickets, most alike first.
    pub similar: Vec<SimilarTicket>,
    /// The model read only the beginning of the text.
    pub truncated: bool,
    pub versions: Versions,
}

impl TriageDecision {
    pub fn field(&self, name: &str) -> Option<&FieldDecision> {
        self.fields.iter().find(|decision| decision.field == name)
    }
}
