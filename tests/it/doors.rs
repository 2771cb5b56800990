//! Tokens, signed tokens, rates and web pages, over plain loopback.

use std::{
    fs,
    path::PathBuf,
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rcgen::{KeyPair, PKCS_ED25519};
use ring::signature::Ed25519KeyPair;
use tempfile::TempDir;
use ticket_triage::{
    access::{role::Role, tokens::NewToken},
    pb,
};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

use crate::harness::{Outcome, TestServer, http, in_time, names_a_retry, program, reason, run, run_beside};

/// A tokens file, and the token of each role.
pub struct Tokens {
    folder: TempDir,
}

impl Tokens {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("tokens.toml")
    }

    /// Puts a new token into the file.
    pub fn add(&self, name: &str, role: Role, more: &str) -> String {
        let NewToken { token, lines } = NewToken::make(name, role, None, None).unwrap();
        let known = fs::read_to_string(self.path()).unwrap_or_default();
        fs::write(self.path(), format!("{known}{lines}{more}\n")).unwrap();
        token
    }

    pub fn configuration(&self) -> String {
        format!("[auth]\ntokens = \"{}\"\n", self.path().display())
    }
}

/// A call that every role may make, with these values of `authorization`.
pub async fn ask(server: &TestServer, authorization: &[&str]) -> Result<(), Status> {
    let mut request = Request::new(pb::GetServerInfoRequest {});
    for value in authorization {
        request.metadata_mut().append("authorization", value.parse().unwrap());
    }
    server.triage().await.get_server_info(request).await.map(drop)
}

#[track_caller]
fn check_refused(outcome: Result<(), Status>, expected: &str) {
    let status = outcome.expect_err(expected);
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unauthenticated, expected), "{status:?}");
}

#[tokio::test]
async fn only_a_good_token_is_let_in_and_health_needs_none() {
    let tokens = Tokens::new();
    let desk = tokens.add("desk", Role::Triage, "");
    let old = tokens.add("old", Role::Admin, "expires = \"2020-01-01\"");
    let server = TestServer::start_with(&tokens.configuration()).await;
    assert!(ask(&server, &[&format!("Bearer {desk}")]).await.is_ok());
    assert!(ask(&server, &[&format!("bearer  {desk}")]).await.is_ok());

    let mut wrong = desk.clone();
    wrong.replace_range(10..11, if &desk[10..11] == "A" { "B" } else { "A" });
    let bearer = |token: &str| format!("Bearer {token}");
    for authorization in [
        vec![],
        vec![String::new()],
        vec!["Bearer".to_owned()],
        vec![bearer("")],
        vec![bearer(&wrong)],
        vec![bearer(&old)],
        vec![bearer("tt_")],
        vec![bearer(&desk[..desk.len() - 1])],
        vec![format!("Basic {desk}")],
        vec![desk.clone()],
        vec![bearer(&desk), bearer(&desk)],
        vec![bearer(&format!("{desk},{desk}"))],
    ] {
        let values: Vec<_> = authorization.iter().map(String::as_str).collect();
        check_refused(ask(&server, &values).await, "UNAUTHENTICATED");
    }
    // Nobody hears what was wrong with it.
    let said = |status: Status| status.message().to_owned();
    let messages = [&wrong, &old].map(|token| bearer(token));
    assert_eq!(
        said(ask(&server, &[&messages[0]]).await.unwrap_err()),
        said(ask(&server, &[&messages[1]]).await.unwrap_err())
    );

    let mut health = tonic_health::pb::health_client::HealthClient::new(server.channel().await);
    health.check(tonic_health::pb::HealthCheckRequest { service: String::new() }).await.unwrap();
    let (_, metrics) = server.admin("/metrics").await;
    for cause in ["missing", "malformed", "unknown", "expired"] {
        assert!(metrics.contains(&format!("triage_refused_calls_total{{reason=\"{cause}\"}}")), "{metrics}");
    }
    assert!(!metrics.contains(&desk) && !metrics.contains("tt_"));
    server.stop().await;
}

#[tokio::test]
async fn tokens_are_read_again_and_a_bad_file_leaves_the_old_ones_good() {
    let tokens = Tokens::new();
    let first = tokens.add("first", Role::Triage, "");
    let server = TestServer::start_with(&tokens.configuration()).await;
    let is_let_in = async |token: &str| ask(&server, &[&format!("Bearer {token}")]).await.is_ok();
    let second = tokens.add("second", Role::Triage, "");
    assert!(is_let_in(&first).await && !is_let_in(&second).await);
    server.hang_up();
    in_time(async { while !is_let_in(&second).await {} }).await;

    fs::write(tokens.path(), "[[token]]\nname = 1\n").unwrap();
    server.hang_up();
    // Taken back with the next reading, which comes behind the one that fails.
    fs::remove_file(tokens.path()).unwrap();
    let third = tokens.add("third", Role::Triage, "");
    server.hang_up();
    in_time(async { while !is_let_in(&third).await {} }).await;
    assert!(!is_let_in(&first).await && !is_let_in(&second).await);

    fs::write(tokens.path(), "nonsense").unwrap();
    server.hang_up();
    let refused = "triage_door_reloads_total{part=\"credentials\",outcome=\"refused\"}";
    in_time(async { while !server.admin("/metrics").await.1.contains(refused) {} }).await;
    assert!(is_let_in(&third).await);
    server.stop().await;
}

#[tokio::test]
async fn a_caller_that_calls_too_often_is_told_when_to_come_again() {
    let tokens = Tokens::new();
    let slow = tokens.add("slow", Role::Triage, "calls_per_second = 1");
    let quick = tokens.add("quick", Role::Triage, "calls_per_second = 1_000_000");
    let configuration = format!("{}calls_per_second = 1\n", tokens.configuration());
    let other = tokens.add("other", Role::Triage, "");
    let server = TestServer::start_with(&configuration).await;
    for token in [slow, other] {
        let value = format!("Bearer {token}");
        let mut refused = None;
        // Within a second there is one call; on a slow machine two calls may lie a second apart.
        for _ in 0..20 {
            refused = refused.or(ask(&server, &[&value]).await.err());
        }
        let status = refused.expect("nobody was told to wait");
        assert_eq!((status.code(), reason(&status).as_str()), (Code::ResourceExhausted, "RATE_LIMITED"));
        assert!(names_a_retry(&status), "{status:?}");
    }
    for _ in 0..20 {
        assert!(ask(&server, &[&format!("Bearer {quick}")]).await.is_ok());
    }
    server.stop().await;
}

/// A signed token, as an identity provider makes it.
fn signed(key: &Ed25519KeyPair, audience: &str, role: &str, ends_in: i64) -> String {
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap();
    let claims = serde_json::json!({
        "iss": "https://login.example", "aud": audience, "sub": "bot", "role": role, "exp": now + ends_in
    });
    let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(serde_json::json!({"alg": "EdDSA", "typ": "JWT"})), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(key.sign(message.as_bytes()));
    format!("{message}.{signature}")
}

#[tokio::test]
async fn a_signed_token_is_let_in_as_its_role() {
    let folder = tempfile::tempdir().unwrap();
    let pair = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pair.serialized_der()).unwrap();
    let public = folder.path().join("jwt.pem");
    fs::write(&public, pair.public_key_pem()).unwrap();
    let configuration = format!(
        "[auth.jwt]\nkey = {public:?}\nalgorithm = \"EdDSA\"\nissuer = \"https://login.example\"\naudience = \"triage\"\n"
    );
    let server = TestServer::start_with(&configuration).await;
    let bearer = |token: String| format!("Bearer {token}");
    assert!(ask(&server, &[&bearer(signed(&key, "triage", "chatbot", 60))]).await.is_ok());
    for token in [
        signed(&key, "billing", "chatbot", 60),
        signed(&key, "triage", "root", 60),
        signed(&key, "triage", "chatbot", -600),
        format!("{}x", signed(&key, "triage", "chatbot", 60)),
        "tt_x".to_owned(),
    ] {
        check_refused(ask(&server, &[&bearer(token)]).await, "UNAUTHENTICATED");
    }
    let mut request = Request::new(pb::ListModelsRequest {});
    let value = bearer(signed(&key, "triage", "chatbot", 60));
    request.metadata_mut().insert("authorization", value.parse().unwrap());
    let status = server.models().await.list_models(request).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::PermissionDenied, "PERMISSION_DENIED"));
    let roles = status.get_details_error_info().unwrap().metadata.remove("roles");
    assert_eq!(roles.as_deref(), Some("analyst, job, admin"));
    server.stop().await;
}

/// One HTTP/1.1 request to a method, with these further headers; head of the answer in small letters.
async fn web(server: &TestServer, verb: &str, headers: &str) -> (u16, String) {
    let head = format!(
        "{verb} /triage.v1.TriageService/GetServerInfo HTTP/1.1\r\nHost: {}\r\nContent-Length: 5\r\n\
         Connection: close\r\n{headers}\r\n",
        server.address
    );
    let (code, head, body) = http(server.address.to_string(), [head.as_bytes(), &[0; 5]].concat()).await;
    (code, format!("{head}\n{}", String::from_utf8_lossy(&body)))
}

const GRPC_WEB: &str = "Content-Type: application/grpc-web+proto\r\n";

#[tokio::test]
async fn pages_of_other_origins_are_refused() {
    let server = TestServer::start().await;
    let (code, answer) = web(&server, "POST", GRPC_WEB).await;
    assert!(code == 200 && answer.contains("grpc-status:0"), "{answer}");
    // A name that leads to this machine makes a page no friend of it.
    for origin in ["https://evil.example", "null", &format!("http://{}", server.address)] {
        let (_, answer) = web(&server, "POST", &format!("{GRPC_WEB}Origin: {origin}\r\n")).await;
        assert!(answer.contains("grpc-status: 7"), "{answer}");
        assert!(!answer.contains("access-control-allow-origin"), "{answer}");
    }
    // What a form can send without asking first.
    for content in ["text/plain", "application/x-www-form-urlencoded", "application/json"] {
        let (code, _) = web(&server, "POST", &format!("Content-Type: {content}\r\n")).await;
        assert_eq!(code, 400, "{content}");
    }
    server.stop().await;
}

#[tokio::test]
async fn pages_of_named_origins_may_call() {
    let server = TestServer::start_with("[server]\nweb_origins = [\"https://desk.example\"]\n").await;
    let ask_first =
        "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization,x-grpc-web\r\n";
    let (code, answer) = web(&server, "OPTIONS", &format!("Origin: https://desk.example\r\n{ask_first}")).await;
    assert_eq!(code, 200);
    for part in
        ["access-control-allow-origin: https://desk.example", "access-control-allow-methods: post", "authorization"]
    {
        assert!(answer.contains(part), "{part:?} is missing in\n{answer}");
    }
    assert!(!answer.contains("allow-credentials"), "{answer}");
    let (_, answer) = web(&server, "OPTIONS", &format!("Origin: https://evil.example\r\n{ask_first}")).await;
    assert!(!answer.contains("access-control-allow-origin"), "{answer}");

    let (_, answer) = web(&server, "POST", &format!("{GRPC_WEB}Origin: https://desk.example\r\n")).await;
    assert!(answer.contains("grpc-status:0") && answer.contains("allow-origin: https://desk.example"), "{answer}");
    let (_, answer) = web(&server, "POST", &format!("{GRPC_WEB}Origin: https://desk.example.evil\r\n")).await;
    assert!(answer.contains("grpc-status: 7"), "{answer}");
    server.stop().await;
}

#[test]
fn a_token_is_made_once_and_its_lines_apart() {
    let made = run(["token", "new", "--name", "desk", "--role", "triage", "--calls-per-second", "50"]);
    made.check(0, &["[[token]]", "name = \"desk\"", "role = \"triage\"", "sha256 = \"", "calls_per_second = 50"]);
    let token = made.stdout.trim();
    assert!(token.starts_with("tt_") && !made.stderr.contains(token), "{}", made.stderr);
    run(["token", "new", "--name", "desk", "--role", "root"]).check(2, &["there is no such role"]);
    run(["token", "new", "--name", "a\nb", "--role", "job"]).check(2, &["a name has"]);
    run(["token", "new", "--name", "a", "--role", "job", "--expires", "soon"]).check(2, &["no day"]);
}

#[tokio::test]
async fn commands_show_their_token_to_this_machine_and_over_tls_only() {
    let tokens = Tokens::new();
    let token = tokens.add("desk", Role::Triage, "");
    let server = TestServer::start_with(&tokens.configuration()).await;
    let address = server.address.to_string();
    let file = tokens.path().with_file_name("desk.token");
    fs::write(&file, &token).unwrap();
    let run_with = async |arguments: Vec<String>, token: Option<&str>| -> Outcome {
        let mut command = program();
        command.args(arguments).envs(token.map(|token| ("TRIAGE_TOKEN", token.to_owned())));
        run_beside(command).await
    };
    let classify = |address: &str, more: &[&str]| -> Vec<String> {
        ["classify", "--server", address, "the printer jams"]
            .iter()
            .chain(more)
            .map(|part| (*part).to_owned())
            .collect()
    };
    run_with(classify(&address, &[]), Some(&token)).await.check(0, &[]);
    run_with(classify(&address, &["--token-file", file.to_str().unwrap()]), None).await.check(0, &[]);
    run_with(classify(&address, &[]), None).await.check(1, &["--token-file", "TRIAGE_TOKEN"]);
    run_with(classify(&address, &[]), Some("tt_other")).await.check(1, &["not valid"]);
    let models = ["model", "list", "--server", &address].map(str::to_owned).to_vec();
    run_with(models, Some(&token)).await.check(1, &["the role triage may not call this", "analyst"]);

    let refused = run_with(classify("triage.example:50051", &[]), Some(&token)).await;
    refused.check(1, &["the token is not sent", "https://"]);
    assert!(!refused.stderr.contains(&token));
    run_with(classify(&address, &["--token-file", "no/such"]), None).await.check(2, &["--token-file", "no/such"]);
    server.stop().await;
}
