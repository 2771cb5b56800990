//! Calls at random times, and what became of each.

use std::{
    fs,
    rc::Rc,
    time::{Duration, Instant},
};

use super::http::Http;
use ticket_triage::pb::{self, triage_service_client::TriageServiceClient};
use tokio::{
    task::{JoinHandle, LocalSet},
    time,
};
use tonic::{
    Code, Request,
    transport::{Channel, Endpoint},
};

/// So many connections that none has more streams than it may have.
const CONNECTIONS: usize = 16;
const PATIENCE: Duration = Duration::from_secs(10);
const CANCEL_AFTER: Duration = Duration::from_millis(5);

/// `_SC_CLK_TCK` of every Linux in use.
const TICKS_A_SECOND: f64 = 100.0;

pub(crate) fn cpu_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / TICKS_A_SECOND
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Given,
    Refused,
    /// The deadline came first, or the caller left.
    Late,
    Failed,
}

/// How calls come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) a_second: f64,
    pub(crate) lasting: Duration,
    pub(crate) deadline: Option<Duration>,
    /// Every so many-th caller leaves after 5 ms; 0: none.
    pub(crate) cancelled: usize,
}

impl Plan {
    pub(crate) fn at(a_second: f64, lasting: Duration) -> Self {
        Self { a_second, lasting, deadline: None, cancelled: 0 }
    }
}

/// What became of calls: when they came, how long they took.
pub(crate) struct Answers(Vec<(Duration, Duration, Answer)>);

impl Answers {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn count(&self, answer: Answer) -> usize {
        self.0.iter().filter(|call| call.2 == answer).count()
    }

    pub(crate) fn percentile(&self, answer: Answer, percent: usize) -> Option<Duration> {
        let mut times: Vec<_> = self.0.iter().filter(|call| call.2 == answer).map(|call| call.1).collect();
        times.sort();
        times.get((times.len() * percent / 100).min(times.len().saturating_sub(1))).copied()
    }

    pub(crate) fn between(&self, from: Duration, to: Duration) -> Self {
        Self(self.0.iter().filter(|call| (from..to).contains(&call.0)).copied().collect())
    }

    pub(crate) fn report(&self, what: &str) {
        for answer in [Answer::Given, Answer::Refused, Answer::Late, Answer::Failed] {
            if let (Some(p50), Some(p99)) = (self.percentile(answer, 50), self.percentile(answer, 99)) {
                println!("{what}: {} {answer:?}, p50 {p50:.2?}, p99 {p99:.2?}", self.count(answer));
            }
        }
    }
}

/// Times between random events, the same in every run: a generator of Marsaglia's, through the exponential distribution.
struct Gaps {
    state: u64,
    mean: f64,
}

impl Gaps {
    fn next(&mut self) -> Duration {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        let uniform = ((self.state >> 11) as f64 + 1.0) / (1_u64 << 53) as f64;
        Duration::from_secs_f64(-self.mean * uniform.ln())
    }
}

/// How the server is reached.
#[derive(Clone)]
enum Door {
    Grpc(Vec<TriageServiceClient<Channel>>),
    Http(Rc<Http>),
}

#[derive(Clone)]
pub(crate) struct Caller {
    door: Door,
    texts: Rc<Vec<String>>,
}

impl Caller {
    /// Calls `HOST:PORT` with gRPC, or `http://HOST:PORT` with JSON.
    pub(crate) async fn connect(address: &str, texts: Vec<String>) -> Self {
        let texts = Rc::new(texts);
        if let Some(address) = address.strip_prefix("http://") {
            return Self { door: Door::Http(Rc::new(Http::new(address))), texts };
        }
        let mut clients = Vec::new();
        for _ in 0..CONNECTIONS {
            let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
            clients.push(TriageServiceClient::new(endpoint.connect().await.unwrap()));
        }
        Self { door: Door::Grpc(clients), texts }
    }

    fn request(&self, call: usize) -> pb::TriageTicketRequest {
        let description = self.texts[call % self.texts.len()].clone();
        let ticket = pb::Ticket { description, ..pb::Ticket::default() };
        pb::TriageTicketRequest { ticket: Some(ticket), features: Vec::new(), top_n: Some(3) }
    }

    async fn call(&self, call: usize, deadline: Duration) -> Answer {
        let clients = match &self.door {
            Door::Grpc(clients) => clients,
            Door::Http(http) => return self.post(http, call, deadline).await,
        };
        let mut client = clients[call % clients.len()].clone();
        let mut request = Request::new(self.request(call));
        request.set_timeout(deadline);
        match client.triage_ticket(request).await {
            Ok(_) => Answer::Given,
            Err(status) if status.code() == Code::ResourceExhausted => Answer::Refused,
            Err(status) if matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled) => Answer::Late,
            Err(_) => Answer::Failed,
        }
    }

    async fn post(&self, http: &Http, call: usize, deadline: Duration) -> Answer {
        let text = serde_json::json!({ "text": self.texts[call % self.texts.len()] }).to_string();
        match time::timeout(deadline, http.post(&text)).await {
            Ok(Some(200)) => Answer::Given,
            Ok(Some(429 | 503)) => Answer::Refused,
            Ok(_) => Answer::Failed,
            Err(_) => Answer::Late,
        }
    }

    /// Answers a second where `at_a_time` callers each wait for their answers.
    pub(crate) async fn closed(&self, at_a_time: usize, lasting: Duration) -> f64 {
        let started = Instant::now();
        let callers = (0..at_a_time).map(async |caller| {
            let (mut given, mut call) = (0_usize, caller);
            while started.elapsed() < lasting {
                given += usize::from(self.call(call, PATIENCE).await == Answer::Given);
                call += at_a_time;
            }
            given
        });
        let given: usize = futures_util::future::join_all(callers).await.into_iter().sum();
        given as f64 / started.elapsed().as_secs_f64()
    }

    /// Sends calls by the plan, and waits for what becomes of them. Times count from when a call was to be sent.
    pub(crate) async fn open(&self, plan: Plan) -> Answers {
        let mut gaps = Gaps { state: 0x9e37_79b9_7f4a_7c15, mean: 1.0 / plan.a_second };
        let (started, mut due, mut calls) = (Instant::now(), Duration::ZERO, Vec::<JoinHandle<_>>::new());
        let tasks = LocalSet::new();
        tasks
            .run_until(async {
                while due < plan.lasting {
                    time::sleep_until((started + due).into()).await;
                    // A timer is a millisecond coarse: everything that is due goes.
                    while due <= started.elapsed() {
                        let (call, at) = (calls.len(), due);
                        let this = self.clone();
                        calls.push(tokio::task::spawn_local(async move {
                            let answer = this.call(call, plan.deadline.unwrap_or(PATIENCE));
                            let leaves = plan.cancelled > 0 && call % plan.cancelled == 0;
                            let patience = if leaves { CANCEL_AFTER } else { PATIENCE };
                            let answer = time::timeout(patience, answer).await.unwrap_or(Answer::Late);
                            (at, started.elapsed().saturating_sub(at), answer)
                        }));
                        due += gaps.next();
                    }
                }
                let mut answers = Vec::with_capacity(calls.len());
                for call in calls {
                    answers.push(call.await.unwrap());
                }
                Answers(answers)
            })
            .await
    }
}
