//! Conversations with chatbots, between wire and domain.

use super::{at_most, wire_kind, wire_section};
use crate::{
    answers::{AnswerRequest, Reply},
    domain::{
        answer::{
            Answer, AnswerPassage, ClarifyingQuestion, Handover, NoAnswer, SmallTalk, Speaker, TriedAnswer, Turn,
        },
        ticket::{MAX_NAME_CHARS, TicketLimits},
    },
    error::{FieldViolation, TriageError},
    pb,
};

/// A turn with what came before it, or everything that is wrong with it.
pub(in super::super) fn answer_request(
    request: pb::SuggestAnswersRequest,
    limits: &TicketLimits,
) -> Result<AnswerRequest, TriageError> {
    let pb::SuggestAnswersRequest { text, earlier_turns, conversation, top_n, products } = request;
    let mut violations = Vec::new();
    let mut check = |broken: bool, field: String, problem: String| {
        if broken {
            violations.push(FieldViolation::new(field, problem));
        }
    };
    let most = AnswerRequest::MAX_TURNS - 1;
    check(
        earlier_turns.len() > most,
        "earlier_turns".to_owned(),
        format!("must be at most {most}, are {}: leave out the first ones", earlier_turns.len()),
    );
    let longest = limits.text_bytes;
    let texts = earlier_turns.iter().enumerate().take(most);
    let texts = texts.map(|(place, turn)| (format!("earlier_turns[{place}].text"), &turn.text));
    for (field, said) in texts.chain([("text".to_owned(), &text)]) {
        check(said.trim().is_empty(), field.clone(), "must not be blank".to_owned());
        check(said.len() > longest, field, format!("must be at most {longest} bytes, is {}", said.len()));
    }
    for (place, turn) in earlier_turns.iter().enumerate().take(most) {
        let is_known = pb::Speaker::try_from(turn.speaker).is_ok();
        check(!is_known, format!("earlier_turns[{place}].speaker"), "no such speaker".to_owned());
    }
    let most = AnswerRequest::MAX_PRODUCTS;
    check(products.len() > most, "products".to_owned(), format!("must be at most {most}, are {}", products.len()));
    for (place, product) in products.iter().enumerate().take(most) {
        check(
            product.chars().count() > MAX_NAME_CHARS,
            format!("products[{place}]"),
            format!("must be at most {MAX_NAME_CHARS} characters"),
        );
    }
    let top_n = at_most(top_n, "top_n", AnswerRequest::DEFAULT_TOP_N, AnswerRequest::MAX_TOP_N);
    let top_n = top_n.map_err(|more| violations.extend(more));
    let (Ok(top_n), true) = (top_n, violations.is_empty()) else {
        return Err(TriageError::InvalidRequest(violations));
    };
    let mut turns: Vec<Turn> = earlier_turns.into_iter().map(turn).collect();
    turns.push(Turn { speaker: Speaker::User, text });
    let products = products.into_iter().filter(|product| !product.trim().is_empty()).collect();
    Ok(AnswerRequest { turns, conversation, products, top_n })
}

fn turn(turn: pb::Turn) -> Turn {
    let speaker = match turn.speaker() {
        pb::Speaker::Unspecified | pb::Speaker::User => Speaker::User,
        pb::Speaker::Bot => Speaker::Bot,
    };
    Turn { speaker, text: turn.text }
}

pub(in super::super) fn answer_response(reply: Reply) -> pb::SuggestAnswersResponse {
    let Reply { answers, confidence, conversation, suggestion_handle, versions } = reply;
    let (answers, no_answer) = match answers {
        Ok(answers) => (answers.into_iter().map(answer).collect(), None),
        Err(why) => (Vec::new(), Some(no_answer(why))),
    };
    pb::SuggestAnswersResponse {
        answers,
        no_answer,
        confidence,
        conversation,
        suggestion_handle: suggestion_handle.unwrap_or_default(),
        versions: Some(super::versions(versions)),
    }
}

fn answer(answer: Answer) -> pb::Answer {
    let Answer { article, version, title, link, kind, passage, confidence } = answer;
    let AnswerPassage { text, highlights, introduction, steps, truncated, section, heading } = passage;
    let highlights = highlights.into_iter().map(super::highlight).collect();
    let section = wire_section(section).into();
    pb::Answer {
        article_id: article,
        article_version: version,
        title,
        link: link.unwrap_or_default(),
        kind: wire_kind(kind).into(),
        passage: Some(pb::AnswerPassage { text, highlights, introduction, steps, truncated, section, heading }),
        confidence,
    }
}

fn no_answer(why: NoAnswer) -> pb::NoAnswer {
    use pb::NoAnswerReason as Reason;

    let of = |reason: Reason| pb::NoAnswer { reason: reason.into(), ..pb::NoAnswer::default() };
    let with = |reason, for_whom| pb::NoAnswer { handover: Some(handover(for_whom)), ..of(reason) };
    match why {
        NoAnswer::NothingFound(handover) => with(Reason::NothingFound, handover),
        NoAnswer::OutOfScope(handover) => with(Reason::OutOfScope, handover),
        NoAnswer::PersonRequested(handover) => with(Reason::PersonRequested, handover),
        NoAnswer::AllShown(handover) => with(Reason::AllShown, handover),
        NoAnswer::TooShort => of(Reason::TooShort),
        NoAnswer::SeveralProducts(ClarifyingQuestion { text, choices }) => {
            pb::NoAnswer { question: Some(pb::ClarifyingQuestion { text, choices }), ..of(Reason::SeveralProducts) }
        }
        NoAnswer::SmallTalk(talk) => {
            let talk = match talk {
                SmallTalk::Acknowledgement => pb::SmallTalk::Acknowledgement,
                SmallTalk::Greeting => pb::SmallTalk::Greeting,
                SmallTalk::Thanks => pb::SmallTalk::Thanks,
                SmallTalk::Goodbye => pb::SmallTalk::Goodbye,
                SmallTalk::AboutTheBot => pb::SmallTalk::AboutTheBot,
            };
            pb::NoAnswer { small_talk: talk.into(), ..of(Reason::SmallTalk) }
        }
    }
}

fn handover(handover: Handover) -> pb::Handover {
    let summary = handover.summary();
    let Handover { sentences, tried, products } = handover;
    let tried = tried.into_iter().map(|tried| {
        let TriedAnswer { article, version, title } = tried;
        pb::TriedAnswer { article_id: article, article_version: version, title }
    });
    pb::Handover { summary, sentences, tried: tried.collect(), products }
}
