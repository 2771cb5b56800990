//! `KnowledgeService.ListGaps`: a search of seconds, step by step on the compute pool, so that other calls come between.
//! A caller that leaves takes its search with it.

use std::sync::Arc;

use super::{Api, convert, draining_error};
use crate::{compute::Urgency, error::TriageError, knowledge, pb, triage::GapSearch};

impl Api {
    pub(super) async fn list_gaps(&self, request: pb::ListGapsRequest) -> Result<pb::ListGapsResponse, TriageError> {
        self.check_size(prost::Message::encoded_len(&request))?;
        let today =
            knowledge::today().ok_or_else(|| TriageError::internal("the clock shows no day of the calendar"))?;
        let query = convert::gap_query(request, today)?;
        let core = self.core()?;
        let _turn = Arc::clone(&self.gap_searches).acquire_owned().await.map_err(TriageError::internal)?;
        let suggester = core.triager.suggester();
        let suggester = suggester.ok_or_else(|| TriageError::internal("a server has a knowledge base"))?;
        let mut search = GapSearch::begin(suggester, core.feedback.clone(), query, today)?;
        let mut more = true;
        while more {
            if self.draining.is_cancelled() {
                return Err(draining_error());
            }
            let place = self.pool.wait(Urgency::Batch).await?;
            let step = move || search.step().map(|more| (search, more));
            (search, more) = self.pool.run(place, step).await??;
        }
        let (report, versions) = search.finish(core.triager.versions())?;
        Ok(convert::gap_report(report, versions))
    }
}
