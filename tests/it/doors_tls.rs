//! Secured connections: whose certificate is good, for both sides, and what happens when it is replaced.

use std::{fs, net::TcpStream as PlainStream, process::Stdio, sync::Arc};

use ticket_triage::{access::role::Role, pb, pb::triage_service_client::TriageServiceClient};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject as _},
    },
};
use tonic::{
    Code, Request,
    transport::{Channel, ClientTlsConfig, Endpoint},
};

use crate::{
    certificates::Authority,
    doors::Tokens,
    harness::{Outcome, ServerProcess, TestServer, in_time, program, reason, run, run_beside},
};

fn tls(authority: &Authority) -> String {
    let [certificate, key] = ["server.pem", "server.key"].map(|name| authority.file(name));
    format!("[tls]\ncertificate = {certificate:?}\nkey = {key:?}\n")
}

async fn connect(server: &TestServer, config: ClientTlsConfig) -> Result<Channel, tonic::transport::Error> {
    let address = format!("https://localhost:{}", server.address.port());
    // The name may lead to another address of this machine first.
    let endpoint = Endpoint::from_shared(address).unwrap().tls_config(config).unwrap();
    in_time(endpoint.connect()).await
}

/// A call that every role may make.
async fn ask(channel: &Channel, token: Option<&str>) -> Result<(), tonic::Status> {
    let mut request = Request::new(pb::GetServerInfoRequest {});
    if let Some(token) = token {
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    }
    in_time(TriageServiceClient::new(channel.clone()).get_server_info(request)).await.map(drop)
}

#[tokio::test]
async fn only_who_trusts_the_authority_connects_and_nobody_waits_for_others() {
    let (authority, other) = (Authority::new(), Authority::new());
    authority.write_server();
    let server = TestServer::start_with(&tls(&authority)).await;
    // Neither says a word nor leaves.
    let silent: Vec<_> = (0..20).map(|_| PlainStream::connect(server.address).unwrap()).collect();
    let channel = connect(&server, authority.client(None)).await.unwrap();
    ask(&channel, None).await.unwrap();
    connect(&server, other.client(None)).await.unwrap_err();

    let plain = Endpoint::from_shared(format!("http://{}", server.address)).unwrap().connect().await;
    if let Ok(plain) = plain {
        ask(&plain, None).await.unwrap_err();
    }
    ask(&channel, None).await.unwrap();
    drop(silent);
    server.stop().await;
}

#[tokio::test]
async fn another_certificate_serves_after_a_signal_and_connections_go_on() {
    let (old, new) = (Authority::new(), Authority::new());
    old.write_server();
    let server = TestServer::start_with(&tls(&old)).await;
    let before = connect(&server, old.client(None)).await.unwrap();
    ask(&before, None).await.unwrap();

    // A key that is not the one of the certificate changes nothing.
    new.write_server();
    fs::copy(new.path("server.key"), old.path("server.key")).unwrap();
    server.hang_up();
    let refused = "triage_door_reloads_total{part=\"certificates\",outcome=\"refused\"}";
    in_time(async { while !server.admin("/metrics").await.1.contains(refused) {} }).await;
    connect(&server, old.client(None)).await.unwrap();

    fs::copy(new.path("server.pem"), old.path("server.pem")).unwrap();
    server.hang_up();
    in_time(async { while connect(&server, new.client(None)).await.is_err() {} }).await;
    connect(&server, old.client(None)).await.unwrap_err();
    ask(&before, None).await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn another_certificate_serves_once_its_files_are_there() {
    let (old, new) = (Authority::new(), Authority::new());
    old.write_server();
    new.write_server();
    let server = TestServer::start_with(&tls(&old)).await;
    for name in ["server.pem", "server.key"] {
        fs::copy(new.path(name), old.path(name)).unwrap();
    }
    // The first connection since the start looks at the files.
    ask(&connect(&server, new.client(None)).await.unwrap(), None).await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn where_certificates_are_required_nobody_else_gets_in() {
    let (authority, other) = (Authority::new(), Authority::new());
    authority.write_server();
    let tokens = Tokens::new();
    let token = tokens.add("desk", Role::Triage, "");
    let configuration = format!(
        "{}client_ca = {:?}\n{}[auth.certificates]\n\"desk.internal\" = \"triage\"\n",
        tls(&authority),
        authority.file("ca.pem"),
        tokens.configuration()
    );
    let server = TestServer::start_with(&configuration).await;
    let desk = connect(&server, authority.client(Some("desk.internal"))).await.unwrap();
    ask(&desk, None).await.unwrap();
    let mut models = pb::model_service_client::ModelServiceClient::new(desk.clone());
    let status = models.list_models(pb::ListModelsRequest {}).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::PermissionDenied, "PERMISSION_DENIED"));

    // Good, and nobody said what it is for.
    let unknown = connect(&server, authority.client(Some("other.internal"))).await.unwrap();
    assert_eq!(ask(&unknown, None).await.unwrap_err().code(), Code::Unauthenticated);
    ask(&unknown, Some(&token)).await.unwrap();
    // A wrong token is not made good by a certificate.
    assert_eq!(ask(&desk, Some("tt_wrong")).await.unwrap_err().code(), Code::Unauthenticated);

    let foreign = {
        let (certificate, key) = other.write_client("desk.internal");
        let identity = tonic::transport::Identity::from_pem(fs::read(certificate).unwrap(), fs::read(key).unwrap());
        authority.client(None).identity(identity)
    };
    for config in [authority.client(None), foreign] {
        // In TLS 1.3 a client hears it only when it asks.
        if let Ok(channel) = connect(&server, config).await {
            assert!(ask(&channel, Some(&token)).await.is_err());
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn where_certificates_are_optional_a_token_will_do() {
    let authority = Authority::new();
    authority.write_server();
    let tokens = Tokens::new();
    let token = tokens.add("desk", Role::Triage, "");
    let configuration = format!(
        "{}client_ca = {:?}\nclient_certificates = \"optional\"\n{}[auth.certificates]\n\"boss\" = \"admin\"\n",
        tls(&authority),
        authority.file("ca.pem"),
        tokens.configuration()
    );
    let server = TestServer::start_with(&configuration).await;
    let stranger = connect(&server, authority.client(None)).await.unwrap();
    assert_eq!(ask(&stranger, None).await.unwrap_err().code(), Code::Unauthenticated);
    ask(&stranger, Some(&token)).await.unwrap();
    ask(&connect(&server, authority.client(Some("boss"))).await.unwrap(), None).await.unwrap();
    server.stop().await;
}

/// A page of an admin address, over TLS: the whole answer.
async fn secured_page(authority: &Authority, port: u16, path: &str, token: Option<&str>) -> String {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority.path("ca.pem")).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    let authorization = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{authorization}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A server may close without a word of farewell.
    in_time(stream.read_to_end(&mut answer)).await.ok();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn an_admin_address_that_others_reach_is_secured_and_metrics_need_a_credential() {
    let authority = Authority::new();
    authority.write_server();
    let tokens = Tokens::new();
    let token = tokens.add("scraper", Role::Chatbot, "");
    // Probes have no certificate, also where calls need one.
    let configuration =
        format!("{}client_ca = {:?}\n{}", tls(&authority), authority.file("ca.pem"), tokens.configuration());
    let file = authority.file("triage.toml");
    fs::write(&file, configuration).unwrap();
    let data_dir = authority.file("data");
    let arguments = ["--config", &file, "--data-dir", &data_dir, "--admin-listen", "0.0.0.0:0"];
    let mut server = ServerProcess::listen(arguments);
    let line = server.wait_for_line("admin listening on ").pop().unwrap();
    let port = line.rsplit(':').next().unwrap().parse().unwrap();
    for path in ["/livez", "/readyz"] {
        let answer = secured_page(&authority, port, path, None).await;
        assert!(answer.starts_with("HTTP/1.1 200") || answer.starts_with("HTTP/1.1 503"), "{answer}");
    }
    for wrong in [None, Some("tt_wrong")] {
        let answer = secured_page(&authority, port, "/metrics", wrong).await;
        assert!(answer.starts_with("HTTP/1.1 401") && !answer.contains("triage_calls"), "{answer}");
    }
    let answer = secured_page(&authority, port, "/metrics", Some(&token)).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("triage_certificate_end"), "{answer}");
    server.signal("TERM");
    assert_eq!(server.exit_code().await, Some(0));
}

#[test]
fn files_that_cannot_guard_stop_the_start() {
    let authority = Authority::new();
    authority.write_server();
    fs::write(authority.path("tokens.toml"), "[[token]]\nname = \"a\"\nrole = \"root\"\nsha256 = \"\"\n").unwrap();
    fs::write(authority.path("jwt.pem"), "no key").unwrap();
    let configuration = "[tls]\ncertificate = \"server.pem\"\nkey = \"missing.key\"\n[auth]\ntokens = \"tokens.toml\"\n\
                         [auth.jwt]\nkey = \"jwt.pem\"\nissuer = \"i\"\naudience = \"a\"\n";
    fs::write(authority.path("triage.toml"), configuration).unwrap();
    let data_dir = authority.path("data");
    let (file, directory) = (authority.file("triage.toml"), authority.file("data"));
    run(["serve", "--config", &file, "--data-dir", &directory, "--listen", "127.0.0.1:0"])
        .check(2, &["tls.key: ", "missing.key", "auth.tokens: ", "root", "auth.jwt.key: ", "no public key"]);
    assert!(!data_dir.exists(), "a refused start leaves nothing behind");
    // The same file is no obstacle to who only asks a server.
    run(["redact", "--config", &file, &authority.file("jwt.pem")]).check(0, &[]);
}

#[tokio::test]
async fn commands_reach_a_secured_server_and_say_what_is_wrong() {
    let (authority, other) = (Authority::new(), Authority::new());
    authority.write_server();
    let tokens = Tokens::new();
    let token = tokens.add("desk", Role::Triage, "");
    let (certificate, key) = authority.write_client("desk.internal");
    let configuration =
        format!("{}client_ca = {:?}\n{}", tls(&authority), authority.file("ca.pem"), tokens.configuration());
    let file = authority.file("triage.toml");
    fs::write(&file, configuration).unwrap();
    let data_dir = authority.file("data");
    let arguments = ["--config", &file, "--data-dir", &data_dir, "--admin-listen", "127.0.0.1:0"];
    let mut server = ServerProcess::listen_and_log(arguments, Stdio::null());
    let line = server.wait_for_line("admin listening on ").pop().unwrap();
    let admin = line.trim_start_matches("admin listening on ").to_owned();
    in_time(async { while crate::harness::get(admin.clone(), "/readyz").await.0 != 200 {} }).await;
    let port = server.address.rsplit(':').next().unwrap().to_owned();

    let classify = async |server: String, more: Vec<String>| -> Outcome {
        let mut command = program();
        command.args(["classify", "the printer jams", "--server", &server]).args(more).env("TRIAGE_TOKEN", &token);
        run_beside(command).await
    };
    let flags = |ca: &Authority, with_certificate: bool| {
        let mut flags = vec!["--ca".to_owned(), ca.file("ca.pem")];
        if with_certificate {
            flags.extend(["--client-certificate".to_owned(), certificate.clone()]);
            flags.extend(["--client-key".to_owned(), key.clone()]);
        }
        flags
    };
    let address = format!("https://127.0.0.1:{port}");
    classify(address.clone(), flags(&authority, true)).await.check(0, &[]);
    // An address without a scheme means the same, where a CA is named.
    classify(format!("127.0.0.1:{port}"), flags(&authority, true)).await.check(0, &[]);
    classify(address.clone(), flags(&other, true)).await.check(1, &["CA that is not trusted", "--ca"]);
    // Leads to this machine, and is not in the certificate.
    classify(format!("https://0.0.0.0:{port}"), flags(&authority, true)).await.check(1, &["another name"]);
    classify(address.clone(), flags(&authority, false)).await.check(1, &["--client-certificate"]);
    classify(format!("http://127.0.0.1:{port}"), Vec::new()).await.check(1, &["https://"]);
    let half = vec!["--client-key".to_owned(), key.clone()];
    classify(address, half).await.check(2, &["go together"]);
    server.signal("TERM");
    assert_eq!(server.exit_code().await, Some(0));
}

#[cfg(unix)]
#[test]
fn the_check_of_the_settings_warns_of_a_key_that_others_can_read() {
    use std::os::unix::fs::PermissionsExt as _;

    let authority = Authority::new();
    authority.write_server();
    let config = authority.file("triage.toml");
    fs::write(&config, tls(&authority)).unwrap();
    for (mode, is_warned_of) in [(0o600, false), (0o644, true)] {
        fs::set_permissions(authority.path("server.key"), fs::Permissions::from_mode(mode)).unwrap();
        let checked = run(["config", "check", "--config", &config]);
        checked.check(0, &[]);
        assert_eq!(checked.stderr.contains("server.key"), is_warned_of, "{mode:o}: {}", checked.stderr);
    }
}
