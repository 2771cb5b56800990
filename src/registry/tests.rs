//! The registry as a whole, over a data directory.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};

use super::*;
use crate::{
    classify::{
        train::{TrainOptions, train},
        training_set::TrainingSet,
    },
    domain::{
        memory::ConfirmedTicket,
        model::{ModelState, PairCounts},
        taxonomy::Label,
        ticket::TicketLimits,
    },
    memory::Memory,
};

const PLACES: [&str; 6] =
    ["in the office", "at home", "since this morning", "on floor two", "for the whole team", "again"];

struct Desk {
    folder: tempfile::TempDir,
    registry: Registry,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let registry = open(&folder.path().join("data"));
        Self { folder, registry }
    }

    /// Closes the data directory and opens it again.
    fn reopened(self) -> Self {
        let Self { folder, registry } = self;
        drop(registry);
        let registry = open(&folder.path().join("data"));
        Self { folder, registry }
    }

    fn models(&self) -> PathBuf {
        self.folder.path().join("data/models")
    }

    /// A bundle whose labels begin with `prefix`, outside the data directory.
    fn bundle(&self, prefix: &str) -> PathBuf {
        let mut set = TrainingSet::new(&["topic".to_owned()], 1, Redactor::default(), None).unwrap();
        for (topic, start) in [("network", "vpn drops"), ("printing", "printer jams")] {
            for place in PLACES {
                set.add(format!("{start} {place}"), vec![Some(format!("{prefix}-{topic}"))], false);
            }
        }
        let options = TrainOptions::quiet(prefix, 1);
        let trained = train(set, &options).unwrap();
        let folder = self.folder.path().join(prefix);
        bundle::write(&folder, &trained.files).unwrap();
        folder
    }

    fn imported(&self, prefix: &str) -> String {
        self.registry.import(&self.bundle(prefix), "ann").unwrap().version
    }

    fn activate(&self, version: &str) -> Result<Option<Activation>, RegistryError> {
        self.registry.activate(version, None, &Author::default(), &Taxonomy::default(), |_| Ok(()))
    }

    fn roll_back(&self) -> Result<Activation, RegistryError> {
        self.registry.roll_back(&Author::default(), &Taxonomy::default(), |_| Ok(()))
    }

    fn active(&self) -> String {
        self.registry.active().unwrap().version
    }

    fn state(&self, version: &str) -> ModelState {
        self.registry.get(version).unwrap().state
    }

    /// Confirms tickets of two topics, as many as asked for, from `first` on.
    fn confirm(&self, first: usize, count: usize) {
        let memory =
            Memory::open(self.registry.store.clone(), &self.folder.path().join("data"), Redactor::default(), None);
        let ticket = |number: usize| {
            let (start, topic) = [("vpn drops", "network"), ("printer jams", "printing")][number % 2];
            ConfirmedTicket {
                id: format!("T{number}"),
                summary: format!("{start} {} of branch {number}", PLACES[number % PLACES.len()]),
                labels: [("topic".to_owned(), topic.to_owned())].into(),
                ..ConfirmedTicket::default()
            }
        };
        memory.unwrap().upsert(&(first..first + count).map(ticket).collect::<Vec<_>>()).unwrap();
    }

    fn train(&self, training: &Training) -> Result<TrainedModel, TrainingError> {
        let stop = AtomicBool::new(false);
        let run = Run {
            threads: 1,
            limits: TicketLimits::default(),
            taxonomy: &Taxonomy::default(),
            job: None,
            is_automatic: false,
            by: "ann",
            progress: &|_, _, _| (),
            stop: &stop,
        };
        self.registry.train(training, &run)
    }
}

fn open(data_directory: &Path) -> Registry {
    Registry::open(Store::open(data_directory).unwrap(), data_directory, Redactor::default(), Encoders::default())
        .unwrap()
}

fn training(holdout_share: f64) -> Training {
    Training {
        name: Training::DEFAULT_NAME.to_owned(),
        fields: Vec::new(),
        files: Vec::new(),
        without_memory: false,
        holdout_share,
        seed: Training::DEFAULT_SEED,
    }
}

fn refusal<T>(outcome: Result<T, RegistryError>) -> String {
    match outcome {
        Err(RegistryError::Refused(why)) => why,
        Err(other) => panic!("failed otherwise: {other}"),
        Ok(_) => panic!("was not refused"),
    }
}

#[test]
fn the_model_inside_the_program_serves_until_another_is_activated_and_it_survives_a_restart() {
    let desk = Desk::new();
    let inside = embedded().unwrap().version;
    assert_eq!((desk.active(), desk.state("embedded")), (inside.clone(), ModelState::Active));
    let (one, other) = (desk.imported("one"), desk.imported("other"));
    assert_eq!(desk.state(&one), ModelState::Candidate);
    let activation = desk.activate(&one).unwrap().unwrap();
    assert_eq!((&activation.model.version, &activation.previous.version), (&one, &inside));
    assert!(desk.activate(&one).unwrap().is_none(), "it serves already");
    desk.activate(&other).unwrap();
    let desk = desk.reopened();
    assert_eq!(desk.active(), other);
    assert_eq!(desk.registry.serving().unwrap().version(), other);
    assert_eq!(
        [&one, &other, &inside].map(|version| desk.state(version)),
        [ModelState::Retired, ModelState::Active, ModelState::Retired]
    );
    let history = desk.registry.activations(None, 10).unwrap();
    assert_eq!(history.iter().map(|activation| activation.model.version.clone()).collect::<Vec<_>>(), [other, one]);
    assert_eq!(desk.registry.activations(Some(history[0].id), 10).unwrap().len(), 1);
}

#[test]
fn rolling_back_goes_model_by_model_and_ends() {
    let desk = Desk::new();
    let inside = desk.active();
    assert!(refusal(desk.roll_back()).contains("no other model was active before"));
    let (one, other) = (desk.imported("one"), desk.imported("other"));
    desk.activate(&one).unwrap();
    desk.activate(&other).unwrap();
    assert_eq!(desk.roll_back().unwrap().model.version, one);
    assert_eq!(desk.roll_back().unwrap().model.version, inside);
    assert!(refusal(desk.roll_back()).contains("no other model was active before"));
    desk.activate(&one).unwrap();
    desk.activate(&other).unwrap();
    desk.registry.delete(&one).unwrap();
    assert!(refusal(desk.roll_back()).contains("was deleted"));
    assert_eq!(desk.active(), other);
}

#[test]
fn what_serves_or_would_not_do_is_refused_and_nothing_changes() {
    let desk = Desk::new();
    let one = desk.imported("one");
    assert!(matches!(desk.activate("nobody"), Err(RegistryError::Unknown(_))));
    let taxonomy = Taxonomy {
        restricts: true,
        fields: [("category".to_owned(), vec![Label::new("network/vpn", "")])].into(),
        ..Taxonomy::default()
    };
    let swap = |_| -> Result<(), RegistryError> { unreachable!("it is refused") };
    let lacking = desk.registry.activate(&one, None, &Author::default(), &taxonomy, swap);
    assert!(refusal(lacking).contains("has not learnt category, which the taxonomy requires"));
    let off = Taxonomy { routes: [("category".to_owned(), RouteSetting::Off)].into(), ..taxonomy };
    desk.registry.activate(&one, None, &Author::default(), &off, |_| Ok(())).unwrap();
    let expected = Some("embedded");
    let late = desk.registry.activate("embedded", expected, &Author::default(), &Taxonomy::default(), |_| Ok(()));
    assert!(refusal(late).contains("is active and not embedded"));
    assert!(refusal(desk.registry.delete(&one)).contains("is active"));
    assert!(refusal(desk.registry.delete("embedded")).contains("inside the program"));
    assert!(refusal(desk.registry.set_shadow(Some(&one), |_| Ok(()))).contains("its own shadow"));
    let pinned = desk.registry.clone().pinned_to(Some(Path::new("/srv/bundle")));
    let refused = pinned.activate("embedded", None, &Author::default(), &Taxonomy::default(), |_| Ok(()));
    assert!(refusal(refused).contains("--model /srv/bundle"));
    assert_eq!(desk.active(), one);
}

#[test]
fn what_the_active_model_does_not_answer_either_holds_no_other_back() {
    let desk = Desk::new();
    let one = desk.imported("one");
    let requires = |field: &str, label: &str| Taxonomy {
        restricts: true,
        fields: [(field.to_owned(), vec![Label::new(label, "")])].into(),
        ..Taxonomy::default()
    };
    // A field that was added and that no model has, and labels that none has of one that both have.
    for taxonomy in [requires("site", "north"), requires("category", "no/such")] {
        desk.registry.activate(&one, None, &Author::default(), &taxonomy, |_| Ok(())).unwrap();
        desk.registry.roll_back(&Author::default(), &taxonomy, |_| Ok(())).unwrap();
    }
    // A model that has the field and none of the labels there would leave it out.
    desk.registry.activate(&one, None, &Author::default(), &Taxonomy::default(), |_| Ok(())).unwrap();
    let topics = requires("topic", "one-network");
    let swap = |_| -> Result<(), RegistryError> { unreachable!("it is refused") };
    assert!(refusal(desk.registry.roll_back(&Author::default(), &topics, swap)).contains("has not learnt topic"));
}

#[test]
fn an_import_that_was_killed_leaves_nothing_and_is_done_again() {
    let desk = Desk::new();
    let folder = desk.bundle("one");
    let version = Classifier::load(&folder, &Encoders::default()).unwrap().version().to_owned();
    // Killed while it was copied, and killed when it had its name and no row.
    for name in [".unfinished-x1", &version] {
        fs::create_dir_all(desk.models().join(name)).unwrap();
        fs::copy(folder.join("manifest.toml"), desk.models().join(name).join("manifest.toml")).unwrap();
    }
    let desk = desk.reopened();
    assert_eq!(fs::read_dir(desk.models()).unwrap().count(), 0);
    assert_eq!(desk.registry.list().unwrap().len(), 1);
    assert_eq!(desk.registry.import(&folder, "").unwrap().version, version);
    assert_eq!(desk.registry.import(&folder, "").unwrap().version, version);
    let desk = desk.reopened();
    assert_eq!(desk.registry.list().unwrap().len(), 2);
    // Killed when the row was gone and the folder was not.
    desk.registry.store.delete_model(&version).unwrap();
    let desk = desk.reopened();
    assert!(!desk.models().join(&version).exists());
}

#[test]
fn a_damaged_model_is_named_with_the_ways_out_and_another_does_not_take_its_place() {
    let desk = Desk::new();
    let one = desk.imported("one");
    desk.activate(&one).unwrap();
    let weights = desk.models().join(&one).join("weights.safetensors");
    let whole = fs::read(&weights).unwrap();
    fs::write(&weights, &whole[..whole.len() / 2]).unwrap();
    let desk = desk.reopened();
    let error = desk.registry.serving().unwrap_err().to_string();
    for part in [one.as_str(), "weights.safetensors", "triage model import", "triage model activate", "--model"] {
        assert!(error.contains(part), "{part:?} is missing in {error}");
    }
    desk.registry.import(&desk.folder.path().join("one"), "").unwrap();
    assert_eq!(desk.registry.serving().unwrap().version(), one);
    fs::remove_dir_all(desk.models().join(&one)).unwrap();
    assert!(matches!(desk.registry.serving(), Err(RegistryError::Damaged { .. })));
    desk.activate("embedded").unwrap();
    assert!(desk.registry.serving().is_ok());

    let broken = desk.folder.path().join("other");
    desk.bundle("other");
    fs::remove_file(broken.join("golden.jsonl")).unwrap();
    assert!(matches!(desk.registry.import(&broken, ""), Err(RegistryError::Bundle(_))));
    assert_eq!(desk.registry.list().unwrap().len(), 2);
}

#[test]
fn a_shadow_is_scored_by_what_feedback_tells() {
    let desk = Desk::new();
    let (one, other) = (desk.imported("one"), desk.imported("other"));
    desk.activate(&one).unwrap();
    desk.registry
        .set_shadow(Some(&other), |shadow| {
            assert_eq!(shadow.unwrap().version(), other);
            Ok(())
        })
        .unwrap();
    let desk = desk.reopened();
    let shadow = desk.registry.shadow_at_work().unwrap().unwrap();
    let active = desk.registry.serving().unwrap();
    let text = "vpn drops at home";
    let labels = |label: &str| BTreeMap::from([("topic".to_owned(), label.to_owned()), ("x".into(), "y".into())]);
    let guesses = active.best_guesses(text);
    for label in ["one-network", "other-network", "other-network", "neither"] {
        shadow.score(Confirmed { text, labels: &labels(label), active: &one, guesses: &guesses }).unwrap();
    }
    shadow.answer(&active, text);
    shadow.answer(&desk.registry.load(&desk.registry.find(&other).unwrap()).unwrap(), text);
    shadow.drop_one();
    let (agreement, dropped) = shadow.agreement();
    assert_eq!((agreement["topic"], dropped), (Agreement { agreed: 1, differed: 1 }, 1));
    let desk = desk.reopened_without(shadow);
    let found = desk.registry.get(&other).unwrap();
    let expected = PairCounts { both_right: 0, only_first_right: 1, only_second_right: 2, both_wrong: 1 };
    assert_eq!(
        (found.state, found.shadow_scores),
        (ModelState::Shadow, BTreeMap::from([("topic".to_owned(), expected)]))
    );
    let names = [&one, &other].map(|version| desk.registry.find(version).unwrap());
    let compared = desk.registry.compare(&names[0], &names[1], 10, &Taxonomy::default()).unwrap();
    assert_eq!((compared.shadow_scores["topic"], compared.tickets), (expected, 0));
    assert!(refusal(desk.registry.delete(&other)).contains("is the shadow"));
    desk.activate(&other).unwrap();
    assert_eq!(desk.registry.shadow().unwrap(), None);
}

impl Desk {
    /// As [`Self::reopened`], with the handle of a shadow that holds the directory too.
    fn reopened_without(self, shadow: Shadow) -> Self {
        drop(shadow);
        self.reopened()
    }
}

#[test]
fn a_model_is_trained_on_the_memory_and_compared_on_what_it_did_not_learn_from() {
    let desk = Desk::new();
    assert!(matches!(desk.train(&training(0.0)), Err(TrainingError::Untrainable(_))));
    desk.confirm(0, 200);
    let trained = desk.train(&training(0.3)).unwrap();
    assert_eq!((trained.tickets, trained.bad_rows), (140, 0));
    let version = trained.model.version.clone();
    let model = desk.registry.get(&version).unwrap();
    assert_eq!(
        (model.origin, model.state, model.report.rows),
        (ModelOrigin::Trained(None), ModelState::Candidate, 140)
    );
    assert!(model.report.fields[0].macro_f1.unwrap() > 0.9 && model.by == "ann");
    assert_eq!(desk.train(&training(0.3)).unwrap(), trained, "the same tickets give the same model");
    let all = desk.train(&training(0.0)).unwrap();
    assert_eq!(all.tickets, 200);

    let one = desk.registry.find(&desk.imported("one")).unwrap();
    let compare = |first: &ModelName, second: &ModelName| {
        desk.registry.compare(first, second, 2_000, &Taxonomy::default()).unwrap()
    };
    let twice = compare(&trained.model, &trained.model);
    assert_eq!((twice.basis, twice.tickets, twice.left_out), (Basis::Unseen, 60, 140));
    assert!((twice.fields[0].p_value - 1.0).abs() < 1e-9 && twice.fields[0].changes.is_empty());
    // What was imported may have been made of any ticket that was there.
    let unknown = compare(&one, &trained.model);
    assert_eq!((unknown.basis, unknown.tickets), (Basis::MayBeLearnt, 200));
    assert_eq!((unknown.fields[0].counts.first_right(), unknown.fields[0].counts.second_right()), (0, 200));
    assert!(unknown.fields[0].p_value < 1e-9);
    assert_eq!(compare(&trained.model, &all.model).basis, Basis::MayBeLearnt);
    desk.confirm(200, 60);
    let new = compare(&one, &all.model);
    assert_eq!((new.basis, new.tickets, new.left_out), (Basis::Unseen, 60, 200));
    let inside = compare(&embedded().unwrap(), &all.model);
    assert_eq!((inside.only_in_second, inside.fields.len()), (vec!["topic".to_owned()], 0));
}

#[test]
fn files_teach_as_the_memory_does() {
    let desk = Desk::new();
    let path = desk.folder.path().join("tickets.csv");
    let row = |number: usize| {
        format!("{number},{} {number},{}", ["vpn down", "no toner"][number % 2], ["a", "b"][number % 2])
    };
    let rows: Vec<String> = (0..60).map(row).collect();
    fs::write(&path, format!("id,text,topic\n{}\n60,,a\n", rows.join("\n"))).unwrap();
    let columns = crate::memory::TicketColumns {
        id: "id".into(),
        text: vec!["text".into()],
        labels: vec!["topic".into()],
        ..crate::memory::TicketColumns::default()
    };
    let file = TrainingFile { path, renames: Vec::new(), columns };
    let asked = Training { files: vec![file], without_memory: true, ..training(0.0) };
    let trained = desk.train(&asked).unwrap();
    assert_eq!((trained.tickets, trained.bad_rows), (60, 1));
    desk.confirm(0, 100);
    let both = desk.train(&Training { without_memory: false, ..asked }).unwrap();
    assert_eq!(both.tickets, 160);
    let labels = &desk.registry.get(&both.model.version).unwrap().report.fields[0].labels;
    assert_eq!(labels, &["a", "b", "network", "printing"]);
}

#[test]
fn what_serves_was_written_down_before_it_does() {
    let desk = Desk::new();
    let (one, other) = (desk.imported("one"), desk.imported("other"));
    let written = || desk.registry.store.last_activation().unwrap().map(|last| last.model.version);
    let swap = |classifier: Classifier| {
        assert_eq!(written().as_deref(), Some(classifier.version()));
        Ok(())
    };
    let (author, taxonomy) = (Author::default(), Taxonomy::default());
    for version in [&one, &other] {
        desk.registry.activate(version, None, &author, &taxonomy, swap).unwrap();
    }
    assert_eq!(desk.registry.roll_back(&author, &taxonomy, swap).unwrap().model.version, one);
    for shadow in [Some(other.as_str()), None] {
        let swap = |set: Option<Shadow>| {
            assert_eq!((desk.registry.store.shadow().unwrap().as_deref(), set.is_some()), (shadow, shadow.is_some()));
            Ok(())
        };
        desk.registry.set_shadow(shadow, swap).unwrap();
    }
}
