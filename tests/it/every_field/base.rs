//! A right request of every method, with as many fields filled as go together: what cases are made from.

use tempfile::TempDir;
use ticket_triage::pb::{self, reclassification_spec::Source, taxonomy_change::Change};

use crate::{
    harness::{TestServer, article, file, request, ticket, upsert},
    jobs,
};

/// A folder with a bundle.
const MODELS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models/default");
const RETIRED: &str = "collaboration/file_sharing";

/// A server with something of everything, and what its answers gave for other requests.
pub struct World {
    pub server: TestServer,
    suggestion_handle: String,
    decision_handle: String,
    conversation: String,
    feedback_id: u64,
    job_id: String,
    folder: TempDir,
}

impl World {
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server =
            TestServer::start_with(&format!("[jobs]\nfolders = [{:?}, {MODELS:?}]\n", folder.path().to_str().unwrap()))
                .await;
        let row = r#"{"id": "1", "text": "printer jams", "category": "hardware/printer"}"#;
        file(folder.path(), "rows.jsonl", format!("{row}\n"));
        upsert(&mut server.knowledge().await, vec![known_error()]).await;
        // So that there is something to restore.
        let retire = pb::RetireLabel { field: "category".to_owned(), value: RETIRED.to_owned() };
        let changes = vec![pb::TaxonomyChange { change: Some(Change::Retire(retire)) }];
        let change = pb::ChangeTaxonomyRequest { changes, ..Default::default() };
        server.taxonomy().await.change_taxonomy(change).await.unwrap();
        let tickets = pb::UpsertTicketsRequest { tickets: vec![confirmed()], validate_only: false };
        server.memory().await.upsert_tickets(tokio_stream::iter([tickets])).await.unwrap();

        let decided = server.triage().await.triage_ticket(request(jam())).await.unwrap().into_inner().decision.unwrap();
        let said = pb::SuggestAnswersRequest { text: "printer jams".to_owned(), ..Default::default() };
        let conversation = server.knowledge().await.suggest_answers(said).await.unwrap().into_inner().conversation;
        let spec = jobs::spec(Source::Memory(pb::MemoryTickets {}));
        let job = jobs::create(&mut server.jobs().await, spec, "", &[]).await;
        let job_id = jobs::ended(&mut server.jobs().await, &job.unwrap().id).await.id;
        let mut world = Self {
            server,
            suggestion_handle: decided.suggestion_handle,
            decision_handle: decided.decision_handle,
            conversation,
            feedback_id: 0,
            job_id,
            folder,
        };
        let recorded = world.server.feedback().await.record_feedback(world.feedback()).await.unwrap().into_inner();
        world.feedback_id = recorded.feedback_id;
        world
    }

    /// Right requests of a method, encoded; several where they cannot have all fields at once.
    pub fn requests(&self, method: &str) -> Vec<Vec<u8>> {
        let known = [self.of_tickets(method), self.of_articles(method), self.of_jobs(method), of_models(self, method)];
        let known = known.into_iter().chain([of_taxonomy(method)]).flatten().next();
        known.unwrap_or_else(|| panic!("give {method} a right request here, so that wrong ones can be made from it"))
    }

    fn of_tickets(&self, method: &str) -> Option<Vec<Vec<u8>>> {
        let (features, top_n) = (vec![pb::Feature::Fields.into()], Some(3));
        Some(match method {
            "TriageTicket" => encode([pb::TriageTicketRequest { ticket: Some(jam()), features, top_n }]),
            "StreamTriage" => encode([pb::StreamTriageRequest { ticket: Some(jam()), features, top_n }]),
            "BatchTriageTickets" => encode([pb::BatchTriageTicketsRequest { tickets: vec![jam()], features, top_n }]),
            "GetServerInfo" => encode([pb::GetServerInfoRequest {}]),
            "UpsertTickets" => encode([pb::UpsertTicketsRequest { tickets: vec![confirmed()], validate_only: false }]),
            "DeleteTickets" => encode([pb::DeleteTicketsRequest { ids: vec!["gone".to_owned()] }]),
            "FindSimilarTickets" => encode([pb::FindSimilarTicketsRequest { ticket: Some(jam()), top_n }]),
            "RecordFeedback" => encode([self.feedback()]),
            "RecordResolvedTickets" => {
                encode([pb::RecordResolvedTicketsRequest { source: "desk".to_owned(), tickets: vec![confirmed()] }])
            }
            "WithdrawFeedback" => encode([pb::WithdrawFeedbackRequest { feedback_id: self.feedback_id }]),
            "ListFeedback" => encode([pb::ListFeedbackRequest {
                ticket_id: "T1".to_owned(),
                source: "desk".to_owned(),
                page_size: Some(10),
                ..Default::default()
            }]),
            "GetTrustFigures" => encode([pb::GetTrustFiguresRequest { days: Some(30) }]),
            "RecordArticleFeedback" => encode([pb::RecordArticleFeedbackRequest {
                suggestion_handle: self.suggestion_handle.clone(),
                article_id: "KB1".to_owned(),
                event: pb::ArticleEvent::Shown.into(),
            }]),
            _ => return None,
        })
    }

    fn feedback(&self) -> pb::RecordFeedbackRequest {
        pb::RecordFeedbackRequest {
            decision_handle: self.decision_handle.clone(),
            source: "desk".to_owned(),
            given_at: Some(prost_types::Timestamp { seconds: 1_700_000_000, nanos: 0 }),
            accepted: vec!["category".to_owned()],
            corrections: [("impact".to_owned(), "high".to_owned())].into(),
        }
    }

    fn of_articles(&self, method: &str) -> Option<Vec<Vec<u8>>> {
        let id = || "KB1".to_owned();
        let (kinds, statuses) = (vec![pb::ArticleKind::KnownError.into()], vec![pb::ArticleStatus::Published.into()]);
        Some(match method {
            "SuggestArticles" => encode([pb::SuggestArticlesRequest { ticket: Some(jam()), top_n: Some(3) }]),
            "SuggestAnswers" => encode([pb::SuggestAnswersRequest {
                text: "it jams again".to_owned(),
                earlier_turns: vec![pb::Turn { speaker: pb::Speaker::User.into(), text: "printer jams".to_owned() }],
                conversation: self.conversation.clone(),
                top_n: Some(1),
                products: vec!["LaserJet".to_owned()],
            }]),
            "SearchArticles" => encode([pb::SearchArticlesRequest {
                query: "printer".to_owned(),
                page_size: Some(10),
                page_token: String::new(),
                kinds,
                statuses,
            }]),
            "UpsertArticles" => {
                encode([pb::UpsertArticlesRequest { articles: vec![known_error()], validate_only: false }])
            }
            "GetArticle" => encode([pb::GetArticleRequest { id: id(), version: Some(1) }]),
            "ListArticleVersions" => {
                encode([pb::ListArticleVersionsRequest { id: id(), page_size: Some(10), page_token: String::new() }])
            }
            "SetArticleStatus" => encode([pb::SetArticleStatusRequest {
                id: id(),
                status: pb::ArticleStatus::Published.into(),
                valid_until: Some("2999-12-31".to_owned()),
            }]),
            "ListArticles" => encode([pb::ListArticlesRequest {
                page_size: Some(10),
                page_token: String::new(),
                kinds,
                statuses,
                expired: false,
            }]),
            "DeleteArticle" => encode([pb::DeleteArticleRequest { id: "gone".to_owned(), erase_versions: false }]),
            "ListGaps" => {
                encode([pb::ListGapsRequest { since: "2026-01-01".to_owned(), top: Some(5), max_tickets: Some(100) }])
            }
            _ => return None,
        })
    }

    fn of_jobs(&self, method: &str) -> Option<Vec<Vec<u8>>> {
        let id = || self.job_id.clone();
        let filter = Some(pb::JobResultFilter { changed_only: true, failed_only: false, field: "category".to_owned() });
        Some(match method {
            "CreateReclassificationJob" => encode(self.reclassifications()),
            "CreateMemoryImportJob" => encode([pb::CreateMemoryImportJobRequest {
                spec: Some(pb::MemoryImportSpec {
                    path: self.path("rows.jsonl"),
                    text_columns: vec!["text".to_owned()],
                    id_column: "id".to_owned(),
                    label_columns: vec!["category".to_owned()],
                    max_bad_share: Some(0.5),
                    ..Default::default()
                }),
                request_id: String::new(),
            }]),
            "GetJob" => encode([pb::GetJobRequest { id: id() }]),
            "ListJobs" => encode([pb::ListJobsRequest { page_size: Some(10), page_token: String::new() }]),
            "WatchJob" => encode([pb::WatchJobRequest { id: id() }]),
            "PauseJob" => encode([pb::PauseJobRequest { id: id() }]),
            "ResumeJob" => encode([pb::ResumeJobRequest { id: id() }]),
            "CancelJob" => encode([pb::CancelJobRequest { id: id() }]),
            "ListJobResults" => {
                encode([pb::ListJobResultsRequest { id: id(), filter, page_size: Some(10), page_token: String::new() }])
            }
            "ExportJobResults" => encode([pb::ExportJobResultsRequest { id: id(), filter }]),
            "GetJobDiff" => encode([pb::GetJobDiffRequest { id: id() }]),
            "UndoJob" => encode([pb::UndoJobRequest { id: id() }]),
            "ListUndoneTickets" => encode([pb::ListUndoneTicketsRequest {
                id: id(),
                outcome: pb::UndoOutcome::Restored.into(),
                page_size: Some(10),
                page_token: String::new(),
            }]),
            _ => return None,
        })
    }

    fn reclassifications(&self) -> [pb::CreateReclassificationJobRequest; 3] {
        let file = Source::File(pb::FileTickets {
            path: self.path("rows.jsonl"),
            output_path: String::new(),
            text_columns: vec!["text".to_owned()],
            id_column: "id".to_owned(),
            sample: 0,
        });
        [(jobs::client_tickets(), vec![jam()]), (file, Vec::new()), (Source::Memory(pb::MemoryTickets {}), Vec::new())]
            .map(|(source, tickets)| {
                let value = pb::FieldValue { field: "category".to_owned(), value: "hardware/printer".to_owned() };
                let spec = pb::ReclassificationSpec {
                    filter: Some(pb::ReclassificationFilter {
                        min_confidence: 0.5,
                        from: vec![value.clone()],
                        to: vec![value],
                        only_empty: false,
                    }),
                    dry_run: true,
                    max_bad_share: Some(0.5),
                    ..jobs::spec(source)
                };
                pb::CreateReclassificationJobRequest { spec: Some(spec), request_id: String::new(), tickets }
            })
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }
}

fn of_models(world: &World, method: &str) -> Option<Vec<Vec<u8>>> {
    let (version, by, reason) = ("embedded".to_owned(), "ops".to_owned(), "a trial".to_owned());
    Some(match method {
        "ListModels" => encode([pb::ListModelsRequest {}]),
        "GetModel" => encode([pb::GetModelRequest { version }]),
        "ImportModel" => encode([pb::ImportModelRequest { path: format!("{MODELS}/1"), by }]),
        "TrainModel" => encode([pb::TrainModelRequest {
            spec: Some(pb::TrainingSpec {
                name: "desk".to_owned(),
                fields: vec!["category".to_owned()],
                files: vec![pb::TrainingFile {
                    path: world.path("rows.jsonl"),
                    text_columns: vec!["text".to_owned()],
                    label_columns: vec!["category".to_owned()],
                }],
                holdout_share: 0.1,
                seed: Some(1),
                ..Default::default()
            }),
            request_id: String::new(),
            by,
        }]),
        "CompareModels" => encode([pb::CompareModelsRequest {
            first: "active".to_owned(),
            second: "embedded".to_owned(),
            tickets: Some(10),
        }]),
        "SetShadow" => encode([pb::SetShadowRequest { version }]),
        "ClearShadow" => encode([pb::ClearShadowRequest {}]),
        "ActivateModel" => encode([pb::ActivateModelRequest { version, expected_active: String::new(), by, reason }]),
        "RollbackModel" => encode([pb::RollbackModelRequest { by, reason }]),
        "DeleteModel" => encode([pb::DeleteModelRequest { version }]),
        "ListActivations" => encode([pb::ListActivationsRequest { page_size: Some(10), page_token: String::new() }]),
        _ => return None,
    })
}

fn of_taxonomy(method: &str) -> Option<Vec<Vec<u8>>> {
    let (changed_by, expected_version, validate_only) = ("ops".to_owned(), String::new(), true);
    Some(match method {
        "GetTaxonomy" => encode([pb::GetTaxonomyRequest {}]),
        "ApplyTaxonomy" => encode([pb::ApplyTaxonomyRequest {
            document: include_str!("../../../models/default/taxonomy.toml").to_owned(),
            expected_version,
            changed_by,
            validate_only,
        }]),
        "ChangeTaxonomy" => encode(changes().map(|change| pb::ChangeTaxonomyRequest {
            changes: vec![pb::TaxonomyChange { change: Some(change) }],
            expected_version: expected_version.clone(),
            changed_by: changed_by.clone(),
            validate_only,
        })),
        "ListTaxonomyVersions" => {
            encode([pb::ListTaxonomyVersionsRequest { page_size: Some(10), page_token: String::new() }])
        }
        "RevertTaxonomy" => {
            encode([pb::RevertTaxonomyRequest { number: 1, expected_version, changed_by, validate_only }])
        }
        _ => return None,
    })
}

/// One change of every kind.
fn changes() -> [Change; 13] {
    let field = || "category".to_owned();
    let label = |value: &str| pb::TaxonomyLabel {
        value: value.to_owned(),
        description: "coffee machines".to_owned(),
        examples: vec!["no coffee".to_owned()],
        ..Default::default()
    };
    let row = || Some(pb::PriorityRow { high: "P1".to_owned(), medium: "P2".to_owned(), low: "P3".to_owned() });
    let minutes = |minutes: i64| Some(prost_types::Duration { seconds: minutes * 60, nanos: 0 });
    let vpn = || "network/vpn".to_owned();
    [
        Change::AddField(pb::AddField { field: "floor".to_owned(), labels: vec![label("first"), label("second")] }),
        Change::AddLabel(pb::AddLabel { field: field(), label: Some(label("hardware/coffee")) }),
        Change::Describe(pb::DescribeLabel {
            field: field(),
            value: vpn(),
            description: Some("tunnels".to_owned()),
            examples: Some(pb::LabelExamples { texts: vec!["no tunnel".to_owned()] }),
        }),
        Change::Rename(pb::RenameLabel { field: field(), from: vpn(), to: "network/tunnel".to_owned() }),
        Change::Merge(pb::MergeLabels { field: field(), into: vpn(), from: vec!["hardware/printer".to_owned()] }),
        Change::Split(pb::SplitLabel {
            field: field(),
            from: vpn(),
            into: vec![label("network/a"), label("network/b")],
        }),
        Change::Retire(pb::RetireLabel { field: field(), value: vpn() }),
        Change::Restore(pb::RestoreLabel { field: field(), value: RETIRED.to_owned() }),
        Change::SetRoute(pb::FieldRoute { field: field(), route: pb::Route::Autofill.into(), precision: Some(0.9) }),
        Change::SetGroup(pb::GroupAssignment { category: vpn(), group: "network team".to_owned() }),
        Change::SetImpactSource(pb::ImpactSource {
            kind: pb::ImpactSourceKind::Service.into(),
            name: "Payroll".to_owned(),
            impact: "high".to_owned(),
        }),
        Change::SetMatrix(pb::PriorityMatrix { high: row(), medium: row(), low: row() }),
        Change::SetSla(pb::SlaEntry {
            priority: "P1".to_owned(),
            target: Some(pb::SlaTarget { response: minutes(10), resolution: minutes(60) }),
        }),
    ]
}

fn encode<M: prost::Message>(requests: impl IntoIterator<Item = M>) -> Vec<Vec<u8>> {
    requests.into_iter().map(|request| request.encode_to_vec()).collect()
}

fn jam() -> pb::Ticket {
    pb::Ticket {
        id: "T7".to_owned(),
        requester: "ada".to_owned(),
        service: "Printing".to_owned(),
        configuration_item: "PRN-7".to_owned(),
        field_values: [("impact".to_owned(), "low".to_owned())].into(),
        attributes: [("floor".to_owned(), "2".to_owned())].into(),
        ..ticket("Paper jam in the printer", "It jams with every page")
    }
}

fn confirmed() -> pb::ConfirmedTicket {
    pb::ConfirmedTicket {
        id: "T1".to_owned(),
        summary: "Paper jam".to_owned(),
        description: "The printer jams".to_owned(),
        service: "Printing".to_owned(),
        configuration_item: "PRN-7".to_owned(),
        labels: [("category".to_owned(), "hardware/printer".to_owned())].into(),
        resolution: "Took the paper out".to_owned(),
        articles: vec!["KB1".to_owned()],
        refused: vec!["KB2".to_owned()],
        resolved_on: "2026-01-02".to_owned(),
    }
}

fn known_error() -> pb::Article {
    pb::Article {
        summary: "Paper jams".to_owned(),
        kind: pb::ArticleKind::KnownError.into(),
        status: pb::ArticleStatus::Published.into(),
        products: vec!["LaserJet".to_owned()],
        category: "hardware/printer".to_owned(),
        valid_until: "2999-12-31".to_owned(),
        link: "https://kb.example/1".to_owned(),
        problem: "P1".to_owned(),
        known_error: Some(pb::KnownError {
            symptoms: "It jams".to_owned(),
            cause: "Damp paper".to_owned(),
            workaround: "Take the paper out".to_owned(),
            fix: "Buy a drier".to_owned(),
            affected: vec!["Printing".to_owned()],
        }),
        ..article("KB1", "Paper jam in the printer", "Open the tray and take the paper out.")
    }
}
