//! What the command line asks `KnowledgeService.SuggestAnswers`.

use std::ops::Range;

use anyhow::Context as _;

use super::{super::convert, Client, domain_versions};
use crate::{
    answers::{AnswerRequest, Reply},
    domain::answer::{
        Answer, AnswerPassage, ClarifyingQuestion, Handover, NoAnswer, SmallTalk, Speaker, TriedAnswer, Turn,
    },
    pb::{self, knowledge_service_client::KnowledgeServiceClient},
};

impl Client {
    /// What may be shown to the user of a chatbot for what is said last.
    pub async fn suggest_answers(&self, request: AnswerRequest) -> anyhow::Result<Reply> {
        let AnswerRequest { mut turns, conversation, products, top_n } = request;
        let text = turns.pop().map(|turn| turn.text).unwrap_or_default();
        let request = pb::SuggestAnswersRequest {
            text,
            earlier_turns: turns.into_iter().map(wire_turn).collect(),
            conversation,
            top_n: Some(u32::try_from(top_n)?),
            products,
        };
        let answer = KnowledgeServiceClient::new(self.channel.clone()).suggest_answers(request).await;
        let answer = answer.map_err(|status| self.explain(&status))?.into_inner();
        let pb::SuggestAnswersResponse { answers, no_answer, confidence, conversation, suggestion_handle, versions } =
            answer;
        let answers = match no_answer {
            Some(why) => Err(domain_no_answer(why)?),
            None => Ok(answers.into_iter().map(domain_answer).collect::<anyhow::Result<_>>()?),
        };
        Ok(Reply {
            answers,
            confidence,
            conversation,
            suggestion_handle: Some(suggestion_handle).filter(|handle| !handle.is_empty()),
            versions: domain_versions(versions.unwrap_or_default()),
        })
    }
}

fn wire_turn(turn: Turn) -> pb::Turn {
    let speaker = match turn.speaker {
        Speaker::User => pb::Speaker::User,
        Speaker::Bot => pb::Speaker::Bot,
    };
    pb::Turn { speaker: speaker.into(), text: turn.text }
}

fn domain_answer(answer: pb::Answer) -> anyhow::Result<Answer> {
    let kind = convert::domain_kind(answer.kind()).unwrap_or_default();
    let pb::Answer { article_id, article_version, title, link, kind: _, passage, confidence } = answer;
    let passage = passage.context("the server answers no passage")?;
    let section = convert::known_section(passage.section());
    let pb::AnswerPassage { text, highlights, introduction, steps, truncated, section: _, heading } = passage;
    let bytes = |highlight: pb::Highlight| -> anyhow::Result<Range<usize>> {
        Ok(usize::try_from(highlight.start_byte)?..usize::try_from(highlight.end_byte)?)
    };
    let highlights = highlights.into_iter().map(bytes).collect::<anyhow::Result<_>>()?;
    Ok(Answer {
        article: article_id,
        version: article_version,
        title,
        link: Some(link).filter(|link| !link.is_empty()),
        kind,
        passage: AnswerPassage { text, highlights, introduction, steps, truncated, section, heading },
        confidence,
    })
}

fn domain_no_answer(why: pb::NoAnswer) -> anyhow::Result<NoAnswer> {
    use pb::NoAnswerReason as Reason;

    let (reason, talk) = (why.reason(), why.small_talk());
    let pb::NoAnswer { reason: number, question, small_talk: _, handover } = why;
    let handover = handover.map(domain_handover).unwrap_or_default();
    Ok(match reason {
        Reason::NothingFound => NoAnswer::NothingFound(handover),
        Reason::OutOfScope => NoAnswer::OutOfScope(handover),
        Reason::PersonRequested => NoAnswer::PersonRequested(handover),
        Reason::AllShown => NoAnswer::AllShown(handover),
        Reason::TooShort => NoAnswer::TooShort,
        Reason::SeveralProducts => {
            let pb::ClarifyingQuestion { text, choices } = question.unwrap_or_default();
            NoAnswer::SeveralProducts(ClarifyingQuestion { text, choices })
        }
        Reason::SmallTalk => NoAnswer::SmallTalk(match talk {
            pb::SmallTalk::Unspecified | pb::SmallTalk::Greeting => SmallTalk::Greeting,
            pb::SmallTalk::Acknowledgement => SmallTalk::Acknowledgement,
            pb::SmallTalk::Thanks => SmallTalk::Thanks,
            pb::SmallTalk::Goodbye => SmallTalk::Goodbye,
            pb::SmallTalk::AboutTheBot => SmallTalk::AboutTheBot,
        }),
        Reason::Unspecified => {
            anyhow::bail!("the server gives reason {number} for no answer, which this version does not know")
        }
    })
}

fn domain_handover(handover: pb::Handover) -> Handover {
    let pb::Handover { summary: _, sentences, tried, products } = handover;
    let tried = tried.into_iter().map(|tried| {
        let pb::TriedAnswer { article_id, article_version, title } = tried;
        TriedAnswer { article: article_id, version: article_version, title }
    });
    Handover { sentences, tried: tried.collect(), products }
}
