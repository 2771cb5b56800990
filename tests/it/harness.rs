//! A server on free ports over a folder of its own, the program as a process, and plain HTTP/1.1.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Output, Stdio},
    thread,
    time::Duration,
};

use futures_util::stream::poll_fn;
use prost::Message as _;
use tempfile::TempDir;
use ticket_triage::{
    app::App,
    audit::AuditLog,
    config::{Config, Overrides},
    feedback::Feedback,
    grpc::Core,
    jobs::Jobs,
    knowledge::KnowledgeBase,
    memory::Memory,
    pb::{
        self, feedback_service_client::FeedbackServiceClient, job_service_client::JobServiceClient,
        knowledge_service_client::KnowledgeServiceClient, memory_service_client::MemoryServiceClient,
        model_service_client::ModelServiceClient, taxonomy_service_client::TaxonomyServiceClient,
        triage_service_client::TriageServiceClient,
    },
    registry::Registry,
    store::Store,
    taxonomy::Taxonomies,
    triage::Triager,
};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use tonic::{
    Status,
    transport::{Channel, Endpoint},
};
use tonic_types::StatusExt as _;

/// Nothing here takes as long; what hangs fails instead of holding up the suite.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// A server inside this process, with the embedded model and an empty knowledge base.
pub struct TestServer {
    pub address: SocketAddr,
    pub admin_address: SocketAddr,
    shutdown: oneshot::Sender<()>,
    hangups: mpsc::UnboundedSender<()>,
    served: JoinHandle<anyhow::Result<()>>,
    folder: TempDir,
}

impl TestServer {
    /// Starts a server with the default configuration and waits until it answers.
    pub async fn start() -> Self {
        Self::start_with("").await
    }

    /// Starts a server with this configuration file over the defaults.
    pub async fn start_with(configuration: &str) -> Self {
        let (server, started) = Self::launch(configuration, None, || ()).await;
        started.await.expect("the server stopped before it was ready");
        server
    }

    /// Starts a server with this taxonomy file.
    pub async fn start_with_taxonomy(taxonomy: &str) -> Self {
        let configuration = "[taxonomy]\nfile = \"taxonomy.toml\"\n";
        let (server, started) = Self::launch(configuration, Some(taxonomy), || ()).await;
        started.await.expect("the server stopped before it was ready");
        server
    }

    /// Listens and serves at once, and loads model and index once `before_loading` has returned; then the receiver
    /// is told.
    pub async fn launch(
        configuration: &str,
        taxonomy: Option<&str>,
        before_loading: impl FnOnce() + Send + 'static,
    ) -> (Self, oneshot::Receiver<()>) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("triage.toml");
        std::fs::write(&file, configuration).unwrap();
        if let Some(taxonomy) = taxonomy {
            std::fs::write(folder.path().join("taxonomy.toml"), taxonomy).unwrap();
        }
        let free = || Some("127.0.0.1:0".to_owned());
        let overrides = Overrides { listen: free(), admin_listen: free(), ..Overrides::default() };
        let config = Config::load(Some(&file), [], &overrides).unwrap();

        let (taxonomy, taxonomy_file) = (config.taxonomy.clone(), config.taxonomy_file.clone());
        let (redactor, encoders, job_folders) =
            (config.redactor.clone(), config.encoders.clone(), config.job_folders.clone());
        let (corrections_per_hour, answers) = (config.corrections_per_hour, config.answers);
        let data_dir = folder.path().join("data");
        let load = move || {
            before_loading();
            let store = Store::open(&data_dir)?;
            let audited = store.clone();
            let knowledge = KnowledgeBase::open(store.clone(), &data_dir, None)?;
            let registry = Registry::open(store.clone(), &data_dir, redactor.clone(), encoders.clone())?;
            let memory = Memory::open(store.clone(), &data_dir, redactor, None)?;
            let feedback = Feedback::open(store.clone(), memory.clone())?.with_hourly_limit(corrections_per_hour);
            let taxonomies = Taxonomies::new(store.clone(), taxonomy_file.as_deref());
            let taxonomy = taxonomies.in_force(&taxonomy)?;
            let jobs = Jobs::serve(store, &data_dir, &job_folders)?;
            let triager = Triager::new(registry.serving()?, taxonomy, Some(knowledge.clone()), Some(memory.clone()))?
                .with_feedback(feedback.clone());
            let shadow = registry.shadow_at_work()?;
            let audit = AuditLog::open(audited, &data_dir)?;
            Ok(Core { triager, knowledge, memory, feedback, jobs, taxonomies, registry, answers, audit, shadow })
        };
        let (hangups, mut hung_up) = mpsc::unbounded_channel();
        let hung_up = poll_fn(move |context| hung_up.poll_recv(context));
        let app = App::bind(config).await.unwrap().reload_on(hung_up, None);
        let (address, admin_address) = (app.address().unwrap(), app.admin_address().unwrap().unwrap());
        let (shutdown, stop) = oneshot::channel();
        let (ready, started) = oneshot::channel();
        // A test that does not wait for readiness has dropped the receiver.
        let on_ready = move || ready.send(()).unwrap_or(());
        let served = tokio::spawn(app.serve(load, on_ready, async { stop.await.unwrap_or(()) }));
        (Self { address, admin_address, shutdown, hangups, served, folder }, started)
    }

    pub async fn channel(&self) -> Channel {
        connect(&self.address.to_string()).await
    }

    pub async fn triage(&self) -> TriageServiceClient<Channel> {
        TriageServiceClient::new(self.channel().await)
    }

    pub async fn knowledge(&self) -> KnowledgeServiceClient<Channel> {
        KnowledgeServiceClient::new(self.channel().await)
    }

    pub async fn memory(&self) -> MemoryServiceClient<Channel> {
        MemoryServiceClient::new(self.channel().await)
    }

    pub async fn feedback(&self) -> FeedbackServiceClient<Channel> {
        FeedbackServiceClient::new(self.channel().await)
    }

    pub async fn jobs(&self) -> JobServiceClient<Channel> {
        JobServiceClient::new(self.channel().await)
    }

    pub async fn taxonomy(&self) -> TaxonomyServiceClient<Channel> {
        TaxonomyServiceClient::new(self.channel().await)
    }

    pub async fn models(&self) -> ModelServiceClient<Channel> {
        ModelServiceClient::new(self.channel().await)
    }

    /// Where the server keeps what it keeps.
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Keeps the server from writing to its database.
    pub fn hold_writes(&self) -> HeldWrites {
        HeldWrites::new(&self.data_dir())
    }

    /// A page of the admin address: status and body.
    pub async fn admin(&self, path: &str) -> (u16, String) {
        get(self.admin_address.to_string(), path).await
    }

    /// Has the server read again what it reads on SIGHUP, without waiting for it.
    pub fn hang_up(&self) {
        self.hangups.send(()).unwrap();
    }

    /// Asks the server to drain, without waiting for it.
    pub fn begin_shutdown(self) -> JoinHandle<anyhow::Result<()>> {
        let Self { address: _, admin_address: _, shutdown, hangups: _, served, folder } = self;
        shutdown.send(()).unwrap();
        tokio::spawn(async move {
            let outcome = served.await.unwrap();
            drop(folder);
            outcome
        })
    }

    /// Drains the server and gives its folder, with what it kept.
    pub async fn stop_and_keep(self) -> TempDir {
        let Self { address: _, admin_address: _, shutdown, hangups: _, served, folder } = self;
        shutdown.send(()).unwrap();
        served.await.unwrap().unwrap();
        folder
    }

    /// Drains the server; fails if it did not end well.
    pub async fn stop(self) {
        self.begin_shutdown().await.unwrap().unwrap();
    }
}

/// While this lives, a call that writes to the database of a data directory waits: it is in flight for sure.
pub struct HeldWrites {
    _transaction: rusqlite::Connection,
}

impl HeldWrites {
    pub fn new(data_dir: &Path) -> Self {
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE;
        let database = rusqlite::Connection::open_with_flags(data_dir.join("triage.sqlite3"), flags).unwrap();
        database.execute_batch("BEGIN IMMEDIATE").unwrap();
        Self { _transaction: database }
    }
}

/// A connection to `HOST:PORT`.
pub async fn connect(address: &str) -> Channel {
    Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap()
}

/// Fails where `future` does not end.
pub async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("hangs")
}

/// A ticket with a summary and a description.
pub fn ticket(summary: &str, description: &str) -> pb::Ticket {
    pb::Ticket { summary: summary.to_owned(), description: description.to_owned(), ..pb::Ticket::default() }
}

/// A ticket of a plain fault, with this id.
pub fn vpn_ticket(id: &str) -> pb::Ticket {
    let description = "cannot stay connected from home since this morning";
    pb::Ticket { id: id.to_owned(), ..ticket("VPN drops every few minutes", description) }
}

/// A ticket that the form of a desk has filled in already.
pub fn with_form(ticket: pb::Ticket, values: &[(&str, &str)]) -> pb::Ticket {
    let field_values = values.iter().map(|(field, value)| ((*field).to_owned(), (*value).to_owned())).collect();
    pb::Ticket { field_values, ..ticket }
}

/// A request for everything about a ticket.
pub fn request(ticket: pb::Ticket) -> pb::TriageTicketRequest {
    pb::TriageTicketRequest { ticket: Some(ticket), features: Vec::new(), top_n: None }
}

/// A published how-to.
pub fn article(id: &str, title: &str, body: &str) -> pb::Article {
    pb::Article { id: id.to_owned(), title: title.to_owned(), body: body.to_owned(), ..pb::Article::default() }
}

/// One frame of an import.
pub fn frame(articles: Vec<pb::Article>) -> pb::UpsertArticlesRequest {
    pb::UpsertArticlesRequest { articles, validate_only: false }
}

/// Stores articles in one frame.
pub async fn upsert(
    client: &mut KnowledgeServiceClient<Channel>,
    articles: Vec<pb::Article>,
) -> pb::UpsertArticlesResponse {
    client.upsert_articles(tokio_stream::iter([frame(articles)])).await.unwrap().into_inner()
}

/// The decision for one field.
pub fn field<'a>(decision: &'a pb::Decision, name: &str) -> &'a pb::FieldDecision {
    let found = decision.fields.iter().find(|field| field.field == name);
    found.unwrap_or_else(|| panic!("no field {name} in {decision:?}"))
}

/// The status of one item of a batch, stream or import, as a whole call would have failed with it.
pub fn item_status(error: &tonic_types::pb::Status) -> Status {
    let code = tonic::Code::from(error.code);
    Status::with_details(code, error.message.clone(), error.encode_to_vec().into())
}

/// The reason in the status; every error has one, in our domain.
pub fn reason(status: &Status) -> String {
    let info = status.get_details_error_info().unwrap_or_else(|| panic!("no ErrorInfo in {status:?}"));
    assert_eq!(info.domain, "triage.v1");
    info.reason
}

/// The fields that a status says are wrong, in its order.
pub fn violated_fields(status: &Status) -> Vec<String> {
    let details = status.get_details_bad_request().unwrap_or_else(|| panic!("no BadRequest in {status:?}"));
    details.field_violations.into_iter().map(|violation| violation.field).collect()
}

/// Whether the status says when to come again.
pub fn names_a_retry(status: &Status) -> bool {
    status.get_details_retry_info().is_some_and(|info| info.retry_delay.is_some())
}

/// Sends one HTTP/1.1 request and reads the whole answer: status, head and body, chunks joined.
pub async fn http(address: String, request: Vec<u8>) -> (u16, String, Vec<u8>) {
    let (answer, answered) = oneshot::channel();
    // Of its own: the server may run on the test's only thread.
    thread::spawn(move || answer.send(exchange(&address, &request)));
    in_time(answered).await.unwrap()
}

/// Gets a page: status and body.
pub async fn get(address: String, path: &str) -> (u16, String) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    let (code, _, body) = http(address, request.into_bytes()).await;
    (code, String::from_utf8(body).unwrap())
}

fn exchange(address: &str, request: &[u8]) -> (u16, String, Vec<u8>) {
    let mut connection = TcpStream::connect(address).unwrap();
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    connection.write_all(request).unwrap();
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).unwrap();
    let split = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("the answer has no head");
    let head = String::from_utf8(answer[..split].to_vec()).unwrap().to_lowercase();
    let body = &answer[split + 4..];
    let code = head.split(' ').nth(1).unwrap().parse().unwrap();
    let body = if head.contains("transfer-encoding: chunked") { join_chunks(body) } else { body.to_vec() };
    (code, head, body)
}

fn join_chunks(mut body: &[u8]) -> Vec<u8> {
    let mut joined = Vec::new();
    loop {
        let line = body.windows(2).position(|two| two == b"\r\n").expect("a chunk has no size");
        let size = usize::from_str_radix(std::str::from_utf8(&body[..line]).unwrap(), 16).unwrap();
        if size == 0 {
            return joined;
        }
        joined.extend_from_slice(&body[line + 2..line + 2 + size]);
        body = &body[line + 2 + size + 2..];
    }
}

/// The program itself, with an environment that holds nothing of ours.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_triage"));
    command.stdin(Stdio::null()).env_clear();
    command
}

/// Writes a file into a folder and returns its path as an argument.
pub fn file(folder: &Path, name: &str, content: impl AsRef<[u8]>) -> String {
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

/// What the program said and how it ended.
#[derive(Debug)]
pub struct Outcome {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Outcome {
    fn from(Output { status, stdout, stderr }: Output) -> Self {
        let [stdout, stderr] = [stdout, stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        Self { code: status.code(), stdout, stderr }
    }
}

impl Outcome {
    /// Fails unless the program ended with this code and said all of `parts` on standard error.
    #[track_caller]
    pub fn check(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, Some(code), "{}", self.stderr);
        for part in parts {
            assert!(self.stderr.contains(part), "{part:?} is missing in\n{}", self.stderr);
        }
    }
}

/// Runs the program while servers of this process go on.
#[expect(clippy::disallowed_methods, reason = "tests have no pool, and wait for what they start")]
pub async fn run_beside(mut command: Command) -> Outcome {
    tokio::task::spawn_blocking(move || command.output().unwrap().into()).await.unwrap()
}

/// Runs the program with these arguments to its end.
pub fn run<S: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = S>) -> Outcome {
    program().args(arguments).output().unwrap().into()
}

/// The program as a server process; killed when dropped.
pub struct ServerProcess {
    pub child: Child,
    pub address: String,
    stdout: BufReader<ChildStdout>,
}

impl ServerProcess {
    /// Starts `triage serve` over `data_dir` with further arguments and waits until it answers.
    pub async fn start(data_dir: &Path, arguments: &[&str]) -> Self {
        let data_dir = data_dir.to_str().unwrap();
        let fixed = ["--data-dir", data_dir, "--admin-listen", "off"];
        let server = Self::listen(fixed.iter().chain(arguments));
        server.wait_until_serving().await;
        server
    }

    /// Starts `triage serve` with these arguments on a free port and waits until it listens.
    pub fn listen<S: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = S>) -> Self {
        Self::listen_and_log(arguments, Stdio::null())
    }

    /// Starts `triage serve` as [`Self::start`] does, with its log and an admin address, and names that address.
    pub async fn start_with_admin(data_dir: &Path, arguments: &[&str], log: impl Into<Stdio>) -> (Self, String) {
        let fixed = ["--data-dir", data_dir.to_str().unwrap(), "--admin-listen", "127.0.0.1:0"];
        let mut server = Self::listen_and_log(fixed.iter().chain(arguments), log.into());
        let line = server.wait_for_line("admin listening on ").pop().unwrap();
        let admin = line.strip_prefix("admin listening on ").unwrap().to_owned();
        server.wait_until_serving().await;
        (server, admin)
    }

    /// Starts `triage serve` as [`Self::start`] does, with its log, over a directory that it may refuse; then its exit
    /// code.
    pub async fn try_start(data_dir: &Path, log: impl Into<Stdio>) -> Result<Self, Option<i32>> {
        let fixed = ["serve", "--listen", "127.0.0.1:0", "--admin-listen", "off", "--data-dir"];
        let mut child = program().args(fixed).arg(data_dir).stdout(Stdio::piped()).stderr(log.into()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let Some(address) = line.trim().strip_prefix("listening on ").map(str::to_owned) else {
            return Err(child.wait().unwrap().code());
        };
        let server = Self { child, address, stdout };
        if server.serves().await { Ok(server) } else { Err(server.exit_code().await) }
    }

    /// Waits until health says that calls are answered, or the server has ended.
    async fn serves(&self) -> bool {
        let Ok(channel) = Endpoint::from_shared(format!("http://{}", self.address)).unwrap().connect().await else {
            return false;
        };
        let request = tonic_health::pb::HealthCheckRequest { service: String::new() };
        let watched = tonic_health::pb::health_client::HealthClient::new(channel).watch(request).await;
        let Ok(mut states) = watched.map(tonic::Response::into_inner) else { return false };
        loop {
            match in_time(states.message()).await {
                Ok(Some(state)) if state.status() == serving() => return true,
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return false,
            }
        }
    }

    /// Starts the program by this command, which gets the arguments that [`Self::start`] gives, and waits until it
    /// answers.
    pub async fn start_by(command: Command, data_dir: &Path) -> Self {
        let arguments = ["--data-dir", data_dir.to_str().unwrap(), "--admin-listen", "off"];
        let server = Self::spawn(command, arguments, Stdio::null());
        server.wait_until_serving().await;
        server
    }

    pub fn listen_and_log<S: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = S>, log: Stdio) -> Self {
        Self::spawn(program(), arguments, log)
    }

    fn spawn<S: AsRef<std::ffi::OsStr>>(
        mut command: Command,
        arguments: impl IntoIterator<Item = S>,
        log: Stdio,
    ) -> Self {
        let mut child = command
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on ").expect("the first line names the address").to_owned();
        Self { child, address, stdout }
    }

    /// Waits until health says that calls are answered.
    pub async fn wait_until_serving(&self) {
        assert!(self.serves().await, "the server ended");
    }

    /// Reads the server's standard output up to a line that contains `text`.
    pub fn wait_for_line(&mut self, text: &str) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            assert_ne!(self.stdout.read_line(&mut line).unwrap(), 0, "the server ended before it said {text:?}");
            let found = line.contains(text);
            lines.push(line.trim_end().to_owned());
            if found {
                return lines;
            }
        }
    }

    pub async fn triage(&self) -> TriageServiceClient<Channel> {
        TriageServiceClient::new(connect(&self.address).await)
    }

    pub async fn knowledge(&self) -> KnowledgeServiceClient<Channel> {
        KnowledgeServiceClient::new(connect(&self.address).await)
    }

    pub async fn memory(&self) -> MemoryServiceClient<Channel> {
        MemoryServiceClient::new(connect(&self.address).await)
    }

    pub async fn feedback(&self) -> FeedbackServiceClient<Channel> {
        FeedbackServiceClient::new(connect(&self.address).await)
    }

    pub async fn jobs(&self) -> JobServiceClient<Channel> {
        JobServiceClient::new(connect(&self.address).await)
    }

    pub async fn taxonomy(&self) -> TaxonomyServiceClient<Channel> {
        TaxonomyServiceClient::new(connect(&self.address).await)
    }

    pub async fn models(&self) -> ModelServiceClient<Channel> {
        ModelServiceClient::new(connect(&self.address).await)
    }

    /// Sends a signal by its name, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for the process to end; its exit code, or none where a signal ended it.
    pub async fn exit_code(mut self) -> Option<i32> {
        let (ended, end) = oneshot::channel();
        thread::spawn(move || ended.send(self.child.wait().unwrap().code()));
        in_time(end).await.unwrap()
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The state of health that means: ask.
pub fn serving() -> tonic_health::pb::health_check_response::ServingStatus {
    tonic_health::pb::health_check_response::ServingStatus::Serving
}
