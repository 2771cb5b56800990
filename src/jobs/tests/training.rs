//! Trainings as jobs: stopped, cancelled, and over files that change.

use super::*;
use crate::{
    domain::job::PauseCause,
    registry::{Training, TrainingFile},
};

fn asked_training(input: Option<&Path>) -> NewTraining {
    let columns =
        TicketColumns { text: vec!["text".into()], labels: vec!["category".into()], ..TicketColumns::default() };
    let file = |path: &Path| TrainingFile { path: path.to_owned(), renames: Vec::new(), columns: columns.clone() };
    let training = Training {
        name: Training::DEFAULT_NAME.to_owned(),
        fields: Vec::new(),
        files: input.map(file).into_iter().collect(),
        without_memory: false,
        holdout_share: 0.0,
        seed: Training::DEFAULT_SEED,
    };
    NewTraining { training, by: "ann".to_owned(), automatic_since: None }
}

impl Desk {
    fn create_training(&self, new: NewTraining) -> Result<JobId, JobError> {
        Ok(self.jobs.create_training(new, None, JobOrigin::Server, &self.triager)?.record.id)
    }

    /// Confirms tickets of two categories.
    fn remember_both(&self) {
        let texts: Vec<_> =
            (0..40).map(|number| (format!("T{number}"), format!("{} {number}", TEXTS[number % 2]))).collect();
        let tickets: Vec<_> = texts
            .iter()
            .enumerate()
            .map(|(number, (id, text))| (id.as_str(), text.as_str(), ["network", "printing"][number % 2]))
            .collect();
        self.remember(&tickets);
    }

    fn models(&self) -> usize {
        self.registry.list().unwrap().len() - 1
    }
}

#[tokio::test]
async fn a_training_that_is_stopped_begins_anew_and_makes_one_model() {
    let desk = Desk::new();
    desk.remember_both();
    let id = desk.create_training(asked_training(None)).unwrap();
    assert_eq!(desk.create_training(asked_training(None)).unwrap(), id, "the same is asked for");
    let stop = CancellationToken::new();
    stop.cancel();
    let job = desk.work_on(id, Arc::new(Durable(desk.store.clone())), &stop).await;
    if job.record.state == JobState::Running {
        assert_eq!(desk.models(), 0, "it was stopped before it was done");
        let job = desk.work(id).await;
        assert_eq!((job.record.state, job.record.counts.rows), (JobState::Done, 40));
    }
    let trained = desk.store.model_of_job(id).unwrap().unwrap();
    assert_eq!((desk.models(), trained.by.as_str(), trained.training_rows), (1, "ann", 40));
    assert!(matches!(desk.jobs.undo(id, None), Err(JobError::NothingToUndo(_))));
    let again = desk.create_training(asked_training(None)).unwrap();
    assert_ne!(again, id, "the memory goes on changing");
    desk.work(again).await;
    assert_eq!(desk.models(), 1, "the same tickets give the same model");
}

#[tokio::test]
async fn of_a_training_that_is_cancelled_nothing_is_left() {
    let desk = Desk::new();
    desk.remember_both();
    let id = desk.create_training(asked_training(None)).unwrap();
    let tools = desk.tools(Arc::new(Durable(desk.store.clone())));
    let cancel = |_: Progress| assert_eq!(desk.jobs.cancel(id).unwrap().record.id, id);
    let stop = CancellationToken::new();
    let job = desk.jobs.work_with(id, desk.triager.clone(), &tools, &stop, &cancel).await.unwrap();
    assert_eq!((job.record.state, desk.models()), (JobState::Cancelled, 0));
}

#[tokio::test]
async fn files_of_a_training_must_be_there_and_stay_as_they_are() {
    let desk = Desk::new();
    let missing = desk.create_training(asked_training(Some(&desk.path("nowhere.csv"))));
    assert!(missing.unwrap_err().to_string().contains("nowhere.csv"));
    let input = desk.tickets("in.csv", 40);
    let mut other = asked_training(Some(&input));
    other.training.files[0].columns.labels = vec!["nothing".into()];
    assert!(desk.create_training(other).unwrap_err().to_string().contains("nothing"));
    let id = desk.create_training(asked_training(Some(&input))).unwrap();
    desk.tickets("in.csv", 41);
    let pause = desk.work(id).await.record.pause.unwrap();
    assert_eq!(pause.cause, PauseCause::InputChanged);
    desk.tickets("in.csv", 40);
    desk.jobs.resume(id).unwrap();
    // Every row of the file is in one category, and the memory is empty.
    let pause = desk.work(id).await.record.pause.unwrap();
    assert_eq!(pause.cause, PauseCause::Untrainable);
    desk.remember_both();
    desk.jobs.resume(id).unwrap();
    let job = desk.work(id).await;
    assert_eq!((job.record.state, job.record.counts.rows), (JobState::Done, 80));
}
