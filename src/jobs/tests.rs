//! Jobs as a whole, in this process.

mod creation;
mod faults;
mod imports;
mod memory;
mod pauses;
mod training;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs, io,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::{
    course::Tools,
    specification::{FieldColumn, FieldValue, Filter, Pace},
    storage::{Append, Durable, Storage},
    *,
};
use crate::{
    classify::Classifier,
    domain::{job::UndoOutcome, memory::ConfirmedTicket, ticket::TicketLimits},
    encode::{Encoders, Redactor},
    memory::TicketColumns,
    store::{ChunkCommit, Committed, StoreError},
};

const TEXTS: [&str; 4] = [
    "VPN drops every few minutes and I cannot work from home",
    "The printer on the second floor is out of toner again",
    "Outlook does not send my mail, it stays in the outbox",
    "Please order a new laptop for the colleague who starts on Monday",
];

struct Desk {
    folder: tempfile::TempDir,
    store: Store,
    jobs: Jobs,
    memory: Memory,
    registry: Registry,
    triager: Triager,
    pool: Pool,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("data")).unwrap();
        let jobs = Jobs::open(store.clone(), &folder.path().join("data"));
        let memory = Memory::open(store.clone(), &folder.path().join("data"), Redactor::default(), None).unwrap();
        let registry =
            Registry::open(store.clone(), &folder.path().join("data"), Redactor::default(), Encoders::default())
                .unwrap();
        let triager = Triager::new(Classifier::embedded().unwrap(), Arc::default(), None, None).unwrap();
        let pool = Pool::start(NonZeroUsize::new(2).unwrap(), 16).unwrap();
        Self { folder, store, jobs, memory, registry, triager, pool }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file of so many tickets, all in the category `mail`.
    fn tickets(&self, name: &str, count: usize) -> PathBuf {
        let mut csv = "id,text,category\n".to_owned();
        for number in 0..count {
            writeln!(csv, "T{number},\"{} ({number})\",mail", TEXTS[number % TEXTS.len()]).unwrap();
        }
        fs::write(self.path(name), csv).unwrap();
        self.path(name)
    }

    fn asked(&self, input: &Path, output: &str) -> NewReclassification {
        NewReclassification {
            file: Some(NewFile {
                path: input.to_owned(),
                renames: Vec::new(),
                text: vec!["text".into()],
                id: None,
                sample: None,
                is_spool: false,
            }),
            fields: vec![FieldColumn { field: "category".into(), column: "category".into() }],
            filter: Filter::default(),
            dry_run: false,
            output: Some(self.path(output)),
            pace: Pace::default(),
        }
    }

    fn over_memory(&self, filter: Filter) -> NewReclassification {
        let file = None;
        NewReclassification { file, filter, output: None, ..self.asked(Path::new(""), "") }
    }

    fn create(&self, asked: NewReclassification) -> JobId {
        self.jobs.create(asked, None, JobOrigin::CommandLine, &self.triager).unwrap().record.id
    }

    fn tools(&self, storage: Arc<dyn Storage>) -> Tools {
        Tools {
            store: self.store.clone(),
            storage,
            pool: self.pool.clone(),
            disk: Pool::start(Tools::DISK_THREADS, 4).unwrap(),
            width: 4,
            memory: Some(self.memory.clone()),
            registry: Some(self.registry.clone()),
            limits: TicketLimits::default(),
        }
    }

    async fn work(&self, id: JobId) -> Job {
        self.work_on(id, Arc::new(Durable(self.store.clone())), &CancellationToken::new()).await
    }

    async fn work_on(&self, id: JobId, storage: Arc<dyn Storage>, stop: &CancellationToken) -> Job {
        self.jobs.work_with(id, self.triager.clone(), &self.tools(storage), stop, &|_| ()).await.unwrap()
    }

    fn remember(&self, tickets: &[(&str, &str, &str)]) {
        let ticket = |(id, text, category): &(&str, &str, &str)| ConfirmedTicket {
            id: (*id).into(),
            summary: (*text).into(),
            labels: [("category".to_owned(), (*category).to_owned())].into(),
            ..ConfirmedTicket::default()
        };
        self.memory.upsert(&tickets.iter().map(ticket).collect::<Vec<_>>()).unwrap();
    }

    fn category(&self, id: &str) -> String {
        self.memory.get(id).unwrap().unwrap().labels["category"].clone()
    }
}

#[tokio::test]
async fn results_come_in_pages_in_the_order_of_the_input() {
    let desk = Desk::new();
    let input = desk.tickets("in.csv", 4_100);
    let id = desk.create(desk.asked(&input, "out.csv"));
    desk.work(id).await;
    let (mut next, mut ids) = (Some(ResultPlace::default()), Vec::new());
    while let Some(from) = next {
        let page = desk.jobs.results(id, from, 700, |_| true).unwrap();
        assert!(page.results.len() == 700 || page.next.is_none());
        ids.extend(page.results.into_iter().map(|result| result.id));
        next = page.next;
    }
    assert_eq!(ids, (0..4_100).map(|number| format!("T{number}")).collect::<Vec<_>>());
    let changed = desk.jobs.results(id, ResultPlace::default(), 9_999, TicketResult::is_changed).unwrap();
    assert_eq!(changed.results.len() as u64, desk.jobs.get(id).unwrap().record.counts.changed);
    assert_eq!(desk.jobs.diff(id).unwrap().fields[0].changed, changed.results.len() as u64);
}

#[tokio::test]
async fn a_sample_is_spread_over_the_file_and_the_same_every_time() {
    let desk = Desk::new();
    let input = desk.tickets("in.csv", 4_100);
    let mut ids = Vec::new();
    for max_bad_share in [0.1, 0.2] {
        let mut asked = NewReclassification { dry_run: true, output: None, ..desk.asked(&input, "") };
        asked.file.as_mut().unwrap().sample = Some(50);
        asked.pace.max_bad_share = max_bad_share;
        let id = desk.create(asked);
        desk.work(id).await;
        let page = desk.jobs.results(id, ResultPlace::default(), 100, |_| true).unwrap();
        ids.push(page.results.into_iter().map(|result| result.id[1..].parse::<usize>().unwrap()).collect::<Vec<_>>());
        desk.store.release_job(id).unwrap();
    }
    assert_eq!(ids[0], ids[1]);
    assert!(ids[0].len() == 50 && ids[0].is_sorted() && ids[0][0] < 500 && ids[0][49] > 3_600, "{ids:?}");
}

#[tokio::test]
async fn a_rows_number_keeps_no_ticket_out() {
    let desk = Desk::new();
    let rows = "id,text,category\n,printer is broken in the hall,a\n1,VPN drops,b\n1,twice,c\nx,y\n4,Mail stays in the outbox,d\n";
    fs::write(desk.path("in.csv"), rows).unwrap();
    let id = desk.create(desk.asked(&desk.path("in.csv"), "out.csv"));
    let job = desk.work(id).await;
    assert_eq!((job.record.counts.rows, job.record.counts.failed), (5, 2));
    let out = fs::read_to_string(desk.path("out.csv")).unwrap();
    let twice = out.lines().nth(3).unwrap();
    assert!(twice.starts_with("1,twice,c,c,,,,,") && twice.contains("further up"), "{twice}");
}
