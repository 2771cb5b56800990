//! `KnowledgeService.SuggestAnswers`: parse, answer on the compute pool, convert.

use tonic::{Request, Response, Status};

use super::{Api, convert};
use crate::{answers, feedback::now, pb};

pub(super) async fn suggest_answers(
    api: &Api,
    request: Request<pb::SuggestAnswersRequest>,
) -> Result<Response<pb::SuggestAnswersResponse>, Status> {
    api.unary("SuggestAnswers", request, async |request| {
        let request = convert::answer_request(request, &api.limits.ticket)?;
        let place = api.pool.admit()?;
        let reply =
            api.compute(place, move |core| answers::reply(&core.triager, core.answers, &request, now())).await?;
        Ok(convert::answer_response(reply))
    })
    .await
}
