//! The path of one turn of a conversation with a chatbot: what it is about, which articles fit, what of them was not shown
//! yet, and where nothing is to be shown, why and what to do instead. It writes nothing of its own: passages are the
//! articles', a hand-over is made of the user's sentences. It keeps nothing: a conversation travels with its turns.
//! Calls use the CPU; callers run them on the compute pool.

mod conversation;
mod course;
mod phrases;
mod products;
mod turn;

use std::time::Instant;

use self::{
    conversation::Conversation,
    course::{Course, Matter},
    products::Fit,
};
use crate::{
    domain::{
        answer::{Answer, AnswerSettings, ClarifyingQuestion, Handover, NoAnswer, TriedAnswer, Turn},
        article::ArticleHit,
        decision::{Abstention, Versions},
        known_error::Section,
        ticket::{Ticket, TicketDraft, TicketLimits},
    },
    error::TriageError,
    knowledge::{self, Answered},
    telemetry::{METRICS, Stage},
    triage::{Fitting, FittingArticle, Suggester, Triager},
};

/// Articles that are looked at for passages.
const CANDIDATES: usize = 10;
/// From this likelihood on a question is about what the knowledge base is about.
const IN_SCOPE: f32 = 0.5;
/// What metrics call an answer.
const ANSWERED: &str = "ANSWERED";

/// A turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerRequest {
    /// What was said, oldest first; the last one is the user's and now. At least one.
    pub turns: Vec<Turn>,
    /// As the answer before gave it; empty for a new one.
    pub conversation: String,
    pub products: Vec<String>,
    /// Most answers, at least 1.
    pub top_n: usize,
}

impl AnswerRequest {
    pub const DEFAULT_TOP_N: usize = 1;
    pub const MAX_TOP_N: usize = 5;
    /// With the one that is said now.
    pub const MAX_TURNS: usize = 200;
    pub const MAX_PRODUCTS: usize = 16;
}

/// What the bot is told.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// Best first, or why there are none.
    pub answers: Result<Vec<Answer>, NoAnswer>,
    /// The chance that one of the articles answers this, 0 to 1.
    pub confidence: f32,
    /// To be sent with the next turn.
    pub conversation: String,
    pub suggestion_handle: Option<String>,
    pub versions: Versions,
}

/// Answers a turn. `now` is in seconds since 1970.
///
/// Errors: `InvalidRequest` for a conversation that this database did not seal, `ConversationExpired`, `Internal` when
/// the index fails.
pub fn reply(
    triager: &Triager,
    settings: AnswerSettings,
    request: &AnswerRequest,
    now: u64,
) -> Result<Reply, TriageError> {
    let started = Instant::now();
    let feedback = triager.feedback().ok_or_else(|| TriageError::internal("no conversation can be sealed"))?;
    let conversation = Conversation::open(feedback, &request.conversation, now)?;
    let mut course = Course::read(&request.turns, conversation, triager.redactor());
    course.take_products(&request.products);
    let Found { answers, confidence, versions, suggestion_handle } =
        find(triager, settings, &mut course, request.top_n)?;
    METRICS.count_answer(answers.as_ref().err().map_or(ANSWERED, NoAnswer::as_str));
    METRICS.record_stage(Stage::Answers, started.elapsed());
    let conversation = course.conversation.seal(feedback, now, settings.conversation_seconds)?;
    Ok(Reply { answers, confidence, conversation, suggestion_handle, versions })
}

/// What came of a turn.
struct Found {
    answers: Result<Vec<Answer>, NoAnswer>,
    confidence: f32,
    versions: Versions,
    suggestion_handle: Option<String>,
}

fn find(triager: &Triager, settings: AnswerSettings, course: &mut Course, top_n: usize) -> Result<Found, TriageError> {
    let suggester = triager.suggester().ok_or_else(|| TriageError::internal("there is no knowledge base"))?;
    let today = knowledge::today().ok_or_else(|| TriageError::internal("the clock shows no day of the calendar"))?;
    let nothing = |why| {
        let versions = triager.versions();
        Ok(Found { answers: Err(why), confidence: 0.0, versions, suggestion_handle: None })
    };
    if course.now.asks_for_person {
        return nothing(NoAnswer::PersonRequested(handover(course, suggester)?));
    }
    if let Some(small_talk) = course.small_talk() {
        return nothing(NoAnswer::SmallTalk(small_talk));
    }
    let matter = course.matter();
    let Some((mut ticket, mut matter)) = matter.and_then(|matter| Some((ticket_of(&matter)?, matter))) else {
        return nothing(too_short(course, suggester)?);
    };
    let memory = suggester.memory_view();
    let fit =
        |ticket: &Ticket, products: &[&str]| suggester.fitting(ticket, products, memory.as_ref(), today, CANDIDATES);
    let products: Vec<&str> = course.conversation.products.iter().map(String::as_str).collect();
    let mut fitting = fit(&ticket, &products)?;
    if let Some((alone, by_itself)) = course.alone(&matter).and_then(|alone| Some((ticket_of(&alone)?, alone))) {
        let found = fit(&alone, &course.known_products())?;
        // It is another matter where an article fits it at least as well without what was said before.
        if found.scope >= IN_SCOPE && found.best_chance() >= fitting.best_chance() {
            (matter, ticket, fitting) = (by_itself, alone, found);
        }
    }
    course.turn_to(&matter);
    if matter.goes_on && !course.conversation.shown.is_empty() {
        // It is about what articles were found for before.
        fitting.scope = fitting.scope.max(IN_SCOPE);
    }
    let answers = answer(&fitting, course, &matter, settings.min_confidence, top_n)?;
    let answers = match answers {
        Ok(answers) => Ok(answers),
        Err(Nothing::Question(question)) => Err(NoAnswer::SeveralProducts(question)),
        Err(Nothing::AllShown) => {
            course.conversation.is_exhausted = true;
            Err(NoAnswer::AllShown(handover(course, suggester)?))
        }
        // What the desk's model takes for a ticket is one of the desk's subjects, whether there are articles or not.
        Err(Nothing::InScope) if !is_ticket(triager, &matter.text) => {
            Err(NoAnswer::OutOfScope(handover(course, suggester)?))
        }
        // A word or two may be a matter, and where they are none, one may ask for more.
        Err(_) if course.is_vague() && course.conversation.may_ask() => Err(too_short(course, suggester)?),
        Err(_) => Err(NoAnswer::NothingFound(handover(course, suggester)?)),
    };
    let hits: Vec<ArticleHit> = answers.iter().flatten().map(hit).collect();
    let memory_version = if memory.is_some() { fitting.memory_version.to_string() } else { String::new() };
    let versions = Versions {
        knowledge: fitting.knowledge_version.to_string(),
        memory: memory_version,
        learned: fitting.learned_version.to_string(),
        ..triager.versions()
    };
    // One of them is it, or none.
    let of_any = fitting.articles.iter().fold(0.0, |sum, article| sum + article.chance);
    let confidence = fitting.scope * f32::min(of_any, 1.0);
    Ok(Found { answers, confidence, versions, suggestion_handle: triager.suggestion_handle(&ticket, &hits)? })
}

/// Whether the desk's model takes a text for a ticket.
fn is_ticket(triager: &Triager, text: &str) -> bool {
    let classified = triager.classifier().classify_for_caller(text);
    !classified.fields.iter().any(|field| field.abstention == Some(Abstention::OutOfScope))
}

/// What is asked, as articles are suggested for; `None` where there is no text.
fn ticket_of(matter: &Matter) -> Option<Ticket> {
    let draft = TicketDraft { description: matter.text.clone(), ..TicketDraft::default() };
    draft.parse("", &TicketLimits { text_bytes: usize::MAX, ..TicketLimits::default() }).ok()
}

fn confidence(fitting: &Fitting<'_>, article: &FittingArticle) -> f32 {
    fitting.scope * article.chance
}

/// Why there is nothing to show.
enum Nothing {
    Found,
    InScope,
    AllShown,
    Question(ClarifyingQuestion),
}

/// The passages to show, which count as shown from now on.
fn answer(
    fitting: &Fitting<'_>,
    course: &mut Course,
    matter: &Matter,
    min_confidence: f32,
    top_n: usize,
) -> Result<Result<Vec<Answer>, Nothing>, TriageError> {
    if course.conversation.is_exhausted {
        return Ok(Err(Nothing::AllShown));
    }
    if fitting.scope < IN_SCOPE {
        return Ok(Err(Nothing::InScope));
    }
    let mut good = Vec::new();
    for article in fitting.articles.iter().filter(|article| confidence(fitting, article) >= min_confidence) {
        good.push((article, Fit { share: article.share, products: fitting.products(&article.id)? }));
    }
    if good.is_empty() {
        return Ok(Err(Nothing::Found));
    }
    let known = || good.iter().flat_map(|(_, fit)| &fit.products);
    for product in known().filter(|product| course.names(matter, product)).cloned().collect::<Vec<_>>() {
        course.conversation.is_about(&product);
    }
    // A product that none of these articles names says nothing.
    let is_known = |wanted: &&String| known().any(|product| product.to_lowercase() == wanted.to_lowercase());
    let wanted: Vec<String> = course.conversation.products.iter().filter(is_known).cloned().collect();
    let fits: Vec<&Fit> = good.iter().map(|(_, fit)| fit).collect();
    let suiting: Vec<_> = good.iter().filter(|(_, fit)| products::suits(fit, &fits, &wanted)).collect();
    let is_refused = matter.refuses && !course.conversation.shown.is_empty();
    if !is_refused && course.conversation.may_ask() {
        let fits: Vec<&Fit> = suiting.iter().map(|(_, fit)| fit).collect();
        if let Some(question) = products::question(&fits, &wanted) {
            course.conversation.asks();
            course.conversation.choices.clone_from(&question.choices);
            return Ok(Err(Nothing::Question(question)));
        }
    }
    let mut answers = Vec::new();
    let mut withheld = false;
    for (article, _) in suiting {
        if answers.len() == top_n {
            break;
        }
        if course.conversation.is_full() {
            withheld = true;
            break;
        }
        let shown = course.conversation.units_of(&article.id);
        // More of an article that did not help, does not help; but the fix of a known error may where its workaround did not.
        let may_help = |answered: &Answered| {
            let was_shown = course.conversation.was_shown(&article.id, answered.text.version);
            !(matter.refuses && was_shown) || is_remedy(answered)
        };
        let answered = fitting.answer(&article.id, &shown)?.filter(may_help);
        let answered = answered.filter(|answered| !course.conversation.has_shown_all(&answered.units));
        let Some(Answered { text, passage, units }) = answered else {
            withheld |= !course.conversation.shown.is_empty();
            continue;
        };
        let answer = Answer {
            article: text.id,
            version: text.version,
            title: text.title,
            link: text.link,
            kind: text.kind,
            passage,
            confidence: confidence(fitting, article),
        };
        course.conversation.shows(&answer, units);
        answers.push(answer);
    }
    Ok(match answers.is_empty() {
        false => Ok(answers),
        true if withheld => Err(Nothing::AllShown),
        true => Err(Nothing::Found),
    })
}

fn is_remedy(answered: &Answered) -> bool {
    matches!(answered.passage.section, Some(Section::Workaround | Section::Fix))
}

/// To be asked for more, as long as that may be asked.
fn too_short(course: &mut Course, suggester: &Suggester) -> Result<NoAnswer, TriageError> {
    if course.conversation.may_ask() {
        course.conversation.asks();
        return Ok(NoAnswer::TooShort);
    }
    Ok(NoAnswer::NothingFound(handover(course, suggester)?))
}

fn handover(course: &Course, suggester: &Suggester) -> Result<Handover, TriageError> {
    let mut tried: Vec<TriedAnswer> = Vec::new();
    for shown in &course.conversation.shown {
        if tried.iter().all(|known| known.article != shown.article || known.version != shown.version) {
            let title = suggester.article_title(&shown.article)?.unwrap_or_default();
            tried.push(TriedAnswer { article: shown.article.clone(), version: shown.version, title });
        }
    }
    Ok(Handover { sentences: course.sentences(), tried, products: course.conversation.products.clone() })
}

/// What a handle of feedback names.
fn hit(answer: &Answer) -> ArticleHit {
    ArticleHit { id: answer.article.clone(), title: answer.title.clone(), ..ArticleHit::default() }
}
