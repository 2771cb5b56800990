//! Feedback on articles, between wire and domain.

use crate::{
    domain::feedback::{ArticleEvent, ArticleUsage},
    error::{FieldViolation, TriageError},
    pb,
};

/// Handle, article and event, with the violations that show without opening the handle.
pub(in crate::grpc) fn article_feedback(
    request: pb::RecordArticleFeedbackRequest,
) -> Result<(String, String, ArticleEvent), TriageError> {
    let pb::RecordArticleFeedbackRequest { suggestion_handle, article_id, event } = request;
    let mut violations = Vec::new();
    let mut refuse = |field: &str, problem: &str| violations.push(FieldViolation::new(field, problem));
    if suggestion_handle.is_empty() {
        refuse("suggestion_handle", "must be set: it comes with SuggestArticles and with decisions that hold articles");
    }
    if article_id.is_empty() {
        refuse("article_id", "must be the id of an article of the suggestion");
    }
    let known = match pb::ArticleEvent::try_from(event) {
        Ok(pb::ArticleEvent::Shown) => Some(ArticleEvent::Shown),
        Ok(pb::ArticleEvent::Clicked) => Some(ArticleEvent::Clicked),
        Ok(pb::ArticleEvent::Helped) => Some(ArticleEvent::Helped),
        Ok(pb::ArticleEvent::Refused) => Some(ArticleEvent::Refused),
        Ok(pb::ArticleEvent::Unspecified) | Err(_) => None,
    };
    match known {
        Some(event) if violations.is_empty() => Ok((suggestion_handle, article_id, event)),
        Some(_) => Err(TriageError::InvalidRequest(violations)),
        None => {
            let problem = format!("{event} is no event: SHOWN, CLICKED, HELPED or REFUSED");
            violations.push(FieldViolation::new("event", problem));
            Err(TriageError::InvalidRequest(violations))
        }
    }
}

pub(in crate::grpc) fn article_event(event: ArticleEvent) -> pb::ArticleEvent {
    match event {
        ArticleEvent::Shown => pb::ArticleEvent::Shown,
        ArticleEvent::Clicked => pb::ArticleEvent::Clicked,
        ArticleEvent::Helped => pb::ArticleEvent::Helped,
        ArticleEvent::Refused => pb::ArticleEvent::Refused,
    }
}

pub(in crate::grpc) fn article_usage(usage: ArticleUsage) -> pb::ArticleUsage {
    let ArticleUsage { shown, clicked, helped, refused, solved_tickets } = usage;
    pb::ArticleUsage { shown, clicked, helped, refused, solved_tickets }
}
