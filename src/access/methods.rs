//! Every method of the API: which roles may call it, how urgent it is, and whether it changes anything. What is not listed
//! may not be called by anyone; a test holds the list against the descriptors.

use super::role::Role::{self, Admin, Analyst, Chatbot, Job, Triage};

/// Who waits for the answer of a call. The order is that in which a full house serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Urgency {
    /// Somebody looks at a screen.
    Interactive,
    /// A program sends many tickets or articles and waits for all of them.
    Batch,
    /// Nobody waits: jobs, training, the shadow.
    Background,
}

impl Urgency {
    pub const ALL: [Self; 3] = [Self::Interactive, Self::Batch, Self::Background];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Interactive => "interactive",
            Self::Batch => "batch",
            Self::Background => "background",
        }
    }
}

/// What is known of a method before it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Method {
    /// As gRPC names it in a request, without the slash in front: `triage.v1.TriageService/TriageTicket`.
    pub path: &'static str,
    /// Who may call it.
    pub roles: &'static [Role],
    pub urgency: Urgency,
    /// Whether it may change what is stored, or what serves.
    pub changes: bool,
    /// Whether requests or answers are streams: those last as long as their callers want.
    pub streams: bool,
}

const ANYONE: &[Role] = &[Triage, Chatbot, Analyst, Job, Admin];
const TICKETS: &[Role] = &[Triage, Analyst, Job, Admin];
const QUESTIONS: &[Role] = &[Triage, Chatbot, Analyst, Admin];
const DESK: &[Role] = &[Analyst, Admin];
const FIGURES: &[Role] = &[Analyst, Job, Admin];
const IMPORTS: &[Role] = &[Job, Admin];
const ADMIN: &[Role] = &[Admin];

const fn reads(path: &'static str, roles: &'static [Role]) -> Method {
    Method { path, roles, urgency: Urgency::Interactive, changes: false, streams: false }
}

const fn changes(path: &'static str, roles: &'static [Role]) -> Method {
    Method { changes: true, ..reads(path, roles) }
}

/// The method of many tickets, articles or results.
const fn many(method: Method) -> Method {
    Method { urgency: Urgency::Batch, ..method }
}

const fn streams(method: Method) -> Method {
    Method { streams: true, ..method }
}

/// In the order of the services in `proto/`.
pub const METHODS: &[Method] = &[
    reads("triage.v1.TriageService/TriageTicket", TICKETS),
    many(reads("triage.v1.TriageService/BatchTriageTickets", TICKETS)),
    streams(many(reads("triage.v1.TriageService/StreamTriage", TICKETS))),
    reads("triage.v1.TriageService/GetServerInfo", ANYONE),
    reads("triage.v1.KnowledgeService/SuggestArticles", QUESTIONS),
    reads("triage.v1.KnowledgeService/SuggestAnswers", QUESTIONS),
    reads("triage.v1.KnowledgeService/SearchArticles", DESK),
    streams(many(changes("triage.v1.KnowledgeService/UpsertArticles", &[Analyst, Job, Admin]))),
    reads("triage.v1.KnowledgeService/GetArticle", ANYONE),
    reads("triage.v1.KnowledgeService/ListArticleVersions", DESK),
    changes("triage.v1.KnowledgeService/SetArticleStatus", DESK),
    reads("triage.v1.KnowledgeService/ListArticles", FIGURES),
    changes("triage.v1.KnowledgeService/DeleteArticle", DESK),
    many(reads("triage.v1.KnowledgeService/ListGaps", DESK)),
    streams(many(changes("triage.v1.MemoryService/UpsertTickets", IMPORTS))),
    changes("triage.v1.MemoryService/DeleteTickets", IMPORTS),
    reads("triage.v1.MemoryService/FindSimilarTickets", &[Triage, Analyst, Admin]),
    changes("triage.v1.FeedbackService/RecordFeedback", &[Triage, Analyst, Admin]),
    streams(many(changes("triage.v1.FeedbackService/RecordResolvedTickets", TICKETS))),
    changes("triage.v1.FeedbackService/WithdrawFeedback", DESK),
    reads("triage.v1.FeedbackService/ListFeedback", DESK),
    reads("triage.v1.FeedbackService/GetTrustFigures", FIGURES),
    changes("triage.v1.FeedbackService/RecordArticleFeedback", QUESTIONS),
    streams(many(changes("triage.v1.JobService/CreateReclassificationJob", IMPORTS))),
    many(changes("triage.v1.JobService/CreateMemoryImportJob", IMPORTS)),
    reads("triage.v1.JobService/GetJob", FIGURES),
    reads("triage.v1.JobService/ListJobs", FIGURES),
    streams(reads("triage.v1.JobService/WatchJob", FIGURES)),
    changes("triage.v1.JobService/PauseJob", IMPORTS),
    changes("triage.v1.JobService/ResumeJob", IMPORTS),
    changes("triage.v1.JobService/CancelJob", IMPORTS),
    many(reads("triage.v1.JobService/ListJobResults", FIGURES)),
    streams(many(reads("triage.v1.JobService/ExportJobResults", FIGURES))),
    reads("triage.v1.JobService/GetJobDiff", FIGURES),
    changes("triage.v1.JobService/UndoJob", IMPORTS),
    many(reads("triage.v1.JobService/ListUndoneTickets", FIGURES)),
    reads("triage.v1.TaxonomyService/GetTaxonomy", ANYONE),
    changes("triage.v1.TaxonomyService/ApplyTaxonomy", ADMIN),
    changes("triage.v1.TaxonomyService/ChangeTaxonomy", ADMIN),
    reads("triage.v1.TaxonomyService/ListTaxonomyVersions", FIGURES),
    changes("triage.v1.TaxonomyService/RevertTaxonomy", ADMIN),
    reads("triage.v1.ModelService/ListModels", FIGURES),
    reads("triage.v1.ModelService/GetModel", FIGURES),
    changes("triage.v1.ModelService/ImportModel", ADMIN),
    changes("triage.v1.ModelService/TrainModel", ADMIN),
    many(reads("triage.v1.ModelService/CompareModels", FIGURES)),
    changes("triage.v1.ModelService/SetShadow", ADMIN),
    changes("triage.v1.ModelService/ClearShadow", ADMIN),
    changes("triage.v1.ModelService/ActivateModel", ADMIN),
    changes("triage.v1.ModelService/RollbackModel", ADMIN),
    changes("triage.v1.ModelService/DeleteModel", ADMIN),
    reads("triage.v1.ModelService/ListActivations", FIGURES),
];

/// The method that a request's path names, with or without the slash in front.
pub fn method(path: &str) -> Option<&'static Method> {
    let path = path.strip_prefix('/').unwrap_or(path);
    METHODS.iter().find(|method| method.path == path)
}

impl Method {
    /// Without its service, as metrics name it.
    pub fn name(&self) -> &'static str {
        self.path.rsplit('/').next().unwrap_or(self.path)
    }

    pub fn allows(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use prost::Message as _;
    use prost_types::FileDescriptorSet;

    use super::*;

    #[test]
    fn every_method_of_the_api_is_listed_and_nothing_else() {
        let files = FileDescriptorSet::decode(crate::pb::DESCRIPTORS).unwrap().file;
        let mut described = BTreeMap::new();
        for file in files.iter().filter(|file| file.package() == "triage.v1") {
            for service in &file.service {
                for method in &service.method {
                    let path = format!("{}.{}/{}", file.package(), service.name(), method.name());
                    described.insert(path, method.client_streaming() || method.server_streaming());
                }
            }
        }
        let listed: BTreeMap<String, bool> =
            METHODS.iter().map(|method| (method.path.to_owned(), method.streams)).collect();
        assert_eq!(listed, described);
        assert_eq!(listed.len(), METHODS.len(), "a method is listed twice");
    }

    #[test]
    fn admins_may_call_everything_and_nobody_else_changes_models_or_taxonomy() {
        for method in METHODS {
            assert!(method.allows(Admin), "{}", method.path);
            let steers = ["ModelService", "TaxonomyService"].iter().any(|service| method.path.contains(service));
            if steers && method.changes {
                assert_eq!(method.roles, [Admin], "{}", method.path);
            }
            if method.allows(Chatbot) && method.changes {
                assert_eq!(method.path, "triage.v1.FeedbackService/RecordArticleFeedback");
            }
        }
    }

    #[test]
    fn what_is_called_like_a_change_is_one() {
        const VERBS: [&str; 18] = [
            "Upsert", "Delete", "Set", "Clear", "Record", "Withdraw", "Create", "Pause", "Resume", "Cancel", "Undo",
            "Apply", "Change", "Revert", "Import", "Train", "Activate", "Rollback",
        ];
        for Method { path, changes, .. } in METHODS {
            let name = path.split('/').next_back().unwrap_or_default();
            assert_eq!(VERBS.iter().any(|verb| name.starts_with(verb)), *changes, "{path}");
        }
    }

    #[test]
    fn a_path_is_found_as_requests_write_it() {
        for path in ["/triage.v1.TriageService/TriageTicket", "triage.v1.TriageService/TriageTicket"] {
            assert_eq!(method(path).map(|method| method.urgency), Some(Urgency::Interactive), "{path}");
        }
        for path in ["", "/", "//triage.v1.TriageService/TriageTicket", "/triage.v1.TriageService/Triageticket"] {
            assert_eq!(method(path), None, "{path}");
        }
    }
}
