//! The path one ticket takes: text to scores, scores and form to a decision, text to articles and to tickets like it.
//! Everything here is synchronous; callers run it on the compute pool.

mod blend;
mod examples;
mod explain;
mod gaps;
mod learnt;
mod naming;
mod overview;
mod policy;
mod review;
mod route;
mod suggest;
mod unknown;

use examples::Examples;
pub use gaps::GapSearch;
use learnt::Decided;
pub use overview::FieldOverview;
pub use review::{FieldTally, RESOLVED_AT_ONCE, ResolvedCounts, Verdict, resolved_violations, source_violations};
use suggest::INCIDENT;
pub(crate) use suggest::{Fitting, FittingArticle, Learning};
pub use suggest::{Suggester, Suggestions};
pub use unknown::{UnknownValue, UnknownValues};

pub(crate) use explain::percent;

use std::{
    sync::{Arc, RwLock},
    time::Instant,
};

use crate::{
    classify::Classifier,
    compute,
    domain::{
        article::ArticleHit,
        decision::{FieldDecision, TriageDecision, ValueSource, Versions},
        memory::SimilarTicket,
        priority::{Impact, Priority, Urgency},
        route::Route,
        taxonomy::{ASSIGNMENT_GROUP, IMPACT, LearntLabels, PRIORITY, TYPE, Taxonomy, URGENCY},
        ticket::Ticket,
    },
    encode::Redactor,
    error::{FieldViolation, TriageError},
    feedback::{Feedback, Standing},
    knowledge::{self, KnowledgeBase},
    memory::Memory,
    telemetry::{METRICS, Stage},
};

/// What a caller wants to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a part of the answer, in any combination")]
pub struct TriageOptions {
    pub fields: bool,
    pub explanation: bool,
    pub articles: bool,
    pub similar: bool,
    /// Candidates a field, articles and similar tickets, at least 1.
    pub top_n: usize,
}

impl TriageOptions {
    pub const DEFAULT_TOP_N: usize = 3;
    pub const MAX_TOP_N: usize = 10;
}

impl Default for TriageOptions {
    fn default() -> Self {
        Self { fields: true, explanation: true, articles: true, similar: true, top_n: Self::DEFAULT_TOP_N }
    }
}

/// Whether these fields say that the ticket is an incident, so that it may be acted on.
fn says_incident(fields: &[FieldDecision]) -> bool {
    let is_shown = |field: &FieldDecision| field.source == ValueSource::Form || field.route != Route::Monitor;
    let says = |field: &FieldDecision| field.value == INCIDENT && field.abstention.is_none() && is_shown(field);
    fields.iter().any(|field| field.field == TYPE && says(field))
}

/// Ends what nobody waits for any more; nobody hears of the error.
fn check_wanted() -> Result<(), TriageError> {
    if compute::is_abandoned() { Err(TriageError::DeadlineExceeded) } else { Ok(()) }
}

/// Decides tickets with one model, one taxonomy and, where there are such, a knowledge base and a memory. Cheap to
/// clone.
#[derive(Debug, Clone)]
pub struct Triager {
    classifier: Classifier,
    taxonomy: Arc<Taxonomy>,
    /// Of labels that the model does not know.
    examples: Arc<Examples>,
    /// The priorities of the taxonomy's matrix, as versions name them.
    matrix: Arc<str>,
    knowledge: Option<KnowledgeBase>,
    memory: Option<Memory>,
    suggester: Option<Suggester>,
    feedback: Option<Feedback>,
    /// What feedback taught about model and memory.
    standing: Arc<RwLock<Arc<Standing>>>,
}

impl Triager {
    pub fn new(
        classifier: Classifier,
        taxonomy: Arc<Taxonomy>,
        knowledge: Option<KnowledgeBase>,
        memory: Option<Memory>,
    ) -> Result<Self, TriageError> {
        let redactor = classifier.redactor().clone();
        let suggester = knowledge.clone().map(|knowledge| Suggester::new(knowledge, memory.clone(), redactor));
        let suggester = suggester.transpose()?;
        let matrix = taxonomy.matrix.to_string().into();
        let examples = Arc::new(Examples::new(&taxonomy, &classifier));
        Ok(Self {
            classifier,
            taxonomy,
            matrix,
            examples,
            knowledge,
            memory,
            suggester,
            feedback: None,
            standing: Arc::default(),
        })
    }

    /// What is taken out of texts before they are read.
    pub(crate) fn redactor(&self) -> &Redactor {
        self.classifier.redactor()
    }

    /// The model.
    pub fn classifier(&self) -> &Classifier {
        &self.classifier
    }

    /// What takes feedback; `None` where none is taken.
    pub(crate) fn feedback(&self) -> Option<&Feedback> {
        self.feedback.as_ref()
    }

    /// What suggests articles; `None` without a knowledge base.
    pub fn suggester(&self) -> Option<&Suggester> {
        self.suggester.as_ref()
    }

    /// The same with another model, which reads texts with the same rules.
    #[must_use]
    pub fn with_classifier(&self, classifier: Classifier) -> Self {
        let classifier = classifier.with_redactor(self.classifier.redactor().clone());
        let examples = Arc::new(Examples::new(&self.taxonomy, &classifier));
        let triager = Self { classifier, examples, standing: Arc::default(), ..self.clone() };
        triager.relearn_or_log();
        triager
    }

    /// The same with another taxonomy.
    #[must_use]
    pub fn with_taxonomy(&self, taxonomy: Arc<Taxonomy>) -> Self {
        let matrix = taxonomy.matrix.to_string().into();
        let examples = Arc::new(Examples::new(&taxonomy, &self.classifier));
        Self { taxonomy, examples, matrix, ..self.clone() }
    }

    /// What tickets are sorted into.
    pub fn taxonomy(&self) -> &Arc<Taxonomy> {
        &self.taxonomy
    }

    /// The labels that the model has learnt, under the names that it has for them.
    pub fn learnt_labels(&self) -> LearntLabels {
        let fields = self.classifier.fields().iter();
        let labels = |labels: &[Arc<str>]| labels.iter().map(ToString::to_string).collect();
        fields.map(|field| (field.name.to_string(), labels(&field.labels))).collect()
    }

    /// The same with a handle for feedback on every decision and suggestion, and with what feedback taught so far.
    #[must_use]
    pub fn with_feedback(self, feedback: Feedback) -> Self {
        let triager = Self { feedback: Some(feedback), standing: Arc::default(), ..self };
        triager.relearn_or_log();
        triager
    }

    /// Decides one ticket.
    ///
    /// Errors: `InvalidRequest` for form values that no ticket can have; `Internal` when the index fails.
    pub fn triage(&self, ticket: &Ticket, options: TriageOptions) -> Result<TriageDecision, TriageError> {
        let violations = self.form_violations(ticket);
        if !violations.is_empty() {
            return Err(TriageError::InvalidRequest(violations));
        }
        let mut decision = TriageDecision {
            ticket_id: ticket.id().to_owned(),
            fields: Vec::new(),
            priority: None,
            reasons: Vec::new(),
            articles: Vec::new(),
            decision_handle: None,
            suggestion_handle: None,
            similar: Vec::new(),
            truncated: false,
            versions: self.versions(),
        };
        if options.fields || options.explanation {
            let started = Instant::now();
            let Decided { classification, fields, priority, memory, feedback } = self.decide_with_memory(ticket)?;
            check_wanted()?;
            decision.truncated = classification.truncated;
            (decision.fields, decision.priority) = (fields, priority);
            (decision.versions.memory, decision.versions.feedback) = (memory, feedback);
            METRICS.record_stage(Stage::Classify, started.elapsed());
            let (words, new_words) = classification.words();
            METRICS.count_words(words, new_words);
            if let Some(feedback) = &self.feedback {
                feedback.tally().add(&decision.fields, words, new_words);
            }
            for field in &decision.fields {
                METRICS.count_decision(&field.field, field.route.as_str());
                if let Some(abstention) = field.abstention {
                    METRICS.count_abstention(&field.field, abstention.as_str());
                }
            }
            if options.explanation {
                let started = Instant::now();
                explain::add_evidence(&mut decision, &self.classifier, &self.taxonomy, &classification, ticket);
                decision.reasons = explain::reasons(&decision);
                METRICS.record_stage(Stage::Explain, started.elapsed());
            }
            decision.decision_handle = self.decision_handle(ticket, &decision)?;
            for field in &mut decision.fields {
                field.candidates.truncate(options.top_n);
            }
        }
        if options.articles {
            check_wanted()?;
            let fields = &decision.fields;
            let (articles, versions) = if fields.is_empty() {
                self.suggest_articles(ticket, options.top_n)?
            } else {
                self.suggest_decided(ticket, options.top_n, || Ok(says_incident(fields)))?
            };
            decision.suggestion_handle = self.suggestion_handle(ticket, &articles)?;
            decision.articles = articles;
            let Versions { knowledge, learned, memory, .. } = versions;
            (decision.versions.knowledge, decision.versions.learned) = (knowledge, learned);
            if decision.fields.is_empty() {
                decision.versions.memory = memory;
            }
        }
        if options.similar {
            check_wanted()?;
            let (similar, _) = self.similar_tickets(ticket, options.top_n)?;
            decision.similar = similar;
        }
        Ok(decision)
    }

    /// Published articles that may solve the ticket, most useful first, and what made the answer; none without a
    /// knowledge base.
    pub fn suggest_articles(&self, ticket: &Ticket, top_n: usize) -> Result<(Vec<ArticleHit>, Versions), TriageError> {
        self.suggest_decided(ticket, top_n, || match ticket.field_value(TYPE) {
            Some(form) => Ok(self.taxonomy.names(TYPE).renamed(form) == INCIDENT),
            None => Ok(says_incident(&self.decide_with_memory(ticket)?.fields)),
        })
    }

    /// The same where it is known, or can be asked, whether the ticket is an incident.
    fn suggest_decided(
        &self,
        ticket: &Ticket,
        top_n: usize,
        is_incident: impl FnOnce() -> Result<bool, TriageError>,
    ) -> Result<(Vec<ArticleHit>, Versions), TriageError> {
        let Some(suggester) = &self.suggester else { return Ok((Vec::new(), self.versions())) };
        let started = Instant::now();
        let today =
            knowledge::today().ok_or_else(|| TriageError::internal("the clock shows no day of the calendar"))?;
        let Suggestions { articles, knowledge_version, memory_version, learned_version } =
            suggester.suggest(ticket, today, top_n, is_incident)?;
        METRICS.record_stage(Stage::Articles, started.elapsed());
        let memory = if self.memory.is_some() { memory_version.to_string() } else { String::new() };
        let (knowledge, learned) = (knowledge_version.to_string(), learned_version.to_string());
        Ok((articles, Versions { knowledge, memory, learned, ..self.versions() }))
    }

    /// With what feedback on these articles for this ticket is given; none without articles, or where none is taken.
    pub fn suggestion_handle(&self, ticket: &Ticket, articles: &[ArticleHit]) -> Result<Option<String>, TriageError> {
        self.feedback.as_ref().map_or(Ok(None), |feedback| feedback.handle(ticket, articles))
    }

    /// Confirmed tickets that are like this one, most alike first, and what made the answer; none without a memory.
    pub fn similar_tickets(
        &self,
        ticket: &Ticket,
        top_n: usize,
    ) -> Result<(Vec<SimilarTicket>, Versions), TriageError> {
        let Some(view) = self.memory.as_ref().map(Memory::view) else { return Ok((Vec::new(), self.versions())) };
        let started = Instant::now();
        let similar = view.similar(ticket, top_n)?;
        METRICS.record_stage(Stage::Similar, started.elapsed());
        Ok((similar, Versions { memory: view.version().to_string(), ..self.versions() }))
    }

    /// What makes the answers right now.
    pub fn versions(&self) -> Versions {
        Versions {
            model: self.classifier.version().to_owned(),
            taxonomy: self.taxonomy.version.clone(),
            matrix: self.matrix.to_string(),
            knowledge: self.knowledge.as_ref().map(|knowledge| knowledge.version().to_string()).unwrap_or_default(),
            memory: self.memory.as_ref().map(|memory| memory.version().to_string()).unwrap_or_default(),
            feedback: self.standing().version.to_string(),
            learned: self
                .suggester
                .as_ref()
                .map(|suggester| suggester.learned_version().to_string())
                .unwrap_or_default(),
            server: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    fn form_violations(&self, ticket: &Ticket) -> Vec<FieldViolation> {
        let mut violations: Vec<FieldViolation> = Vec::new();
        for (field, value) in ticket.field_values() {
            let problem = match field.as_str() {
                IMPACT if Impact::parse(value).is_none() => "must be high, medium or low".to_owned(),
                URGENCY if Urgency::parse(value).is_none() => "must be high, medium or low".to_owned(),
                PRIORITY if Priority::parse(value).is_none() => "must be P1 to P5".to_owned(),
                IMPACT | URGENCY | PRIORITY | ASSIGNMENT_GROUP => continue,
                known if self.classifier.fields().iter().any(|field| *field.name == *known) => continue,
                known if self.unlearnt_fields().any(|field| field == known) => continue,
                known if self.taxonomy.restricts && self.taxonomy.fields.contains_key(known) => continue,
                // The known fields are named once: a client that sends its whole form gets many of these.
                _ if !violations.is_empty() => "no such field".to_owned(),
                _ => {
                    let known: Vec<_> = self.classifier.fields().iter().map(|field| &*field.name).collect();
                    format!("no such field; the fields are {}, {PRIORITY} and {ASSIGNMENT_GROUP}", known.join(", "))
                }
            };
            violations.push(FieldViolation::new(format!("ticket.field_values[{field}]"), problem));
        }
        violations
    }
}
