//! Clients that send slowly, half, or never read: others are served meanwhile, and what they hold is bounded.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use prost::Message as _;
use ticket_triage::pb;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::harness::{PATIENCE, ServerProcess, file, in_time, request, vpn_ticket};

/// A whole call over HTTP/1.1, as bytes.
fn call() -> Vec<u8> {
    let message = request(vpn_ticket("slow")).encode_to_vec();
    let head = format!(
        "POST /triage.v1.TriageService/TriageTicket HTTP/1.1\r\nHost: triage\r\n\
         Content-Type: application/grpc-web+proto\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        message.len() + 5
    );
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [head.as_bytes(), &[0], &length, &message].concat()
}

async fn is_served(server: &ServerProcess) {
    let mut client = server.triage().await;
    in_time(client.triage_ticket(request(vpn_ticket("quick")))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_comes_byte_by_byte_is_answered_and_holds_nobody_up() {
    let folder = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(folder.path(), &[]).await;
    let call = call();
    let mut slow: Vec<TcpStream> = (0..100).map(|_| TcpStream::connect(&server.address).unwrap()).collect();
    for (at, byte) in call.iter().enumerate() {
        for connection in &mut slow {
            connection.write_all(&[*byte]).unwrap();
        }
        if at % 100 == 0 {
            is_served(&server).await;
        }
    }
    for mut connection in slow {
        connection.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer).unwrap();
        let said = String::from_utf8_lossy(&answer);
        assert!(said.starts_with("HTTP/1.1 200") && said.contains("grpc-status:0"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_never_finished_hold_nobody_up_and_do_not_keep_the_server_from_ending() {
    let folder = tempfile::tempdir().unwrap();
    let config = file(folder.path(), "triage.toml", "[server]\ndrain_seconds = 1\n");
    let server = ServerProcess::start(&folder.path().join("data"), &["--config", &config]).await;
    let (call, preface) = (call(), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x12\x04\0\0\0\0\0");
    let cut = |bytes: &[u8], parts: usize| {
        (1..parts).map(|part| bytes[..bytes.len() * part / parts].to_vec()).collect::<Vec<_>>()
    };
    let mut held = Vec::new();
    for bytes in [cut(&call, 40), cut(preface, 20)].concat() {
        let mut connection = TcpStream::connect(&server.address).unwrap();
        connection.write_all(&bytes).unwrap();
        held.push(connection);
        is_served(&server).await;
    }
    let told = Instant::now();
    server.signal("TERM");
    assert_eq!(server.exit_code().await, Some(0));
    assert!(told.elapsed() < PATIENCE / 6, "took {:?}", told.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_reads_is_sent_no_more_than_it_reads_and_then_gets_all() {
    let folder = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(folder.path(), &[]).await;
    let (send, frames) = mpsc::channel(1);
    let mut client = server.triage().await;
    let mut answers = client.stream_triage(ReceiverStream::new(frames)).await.unwrap().into_inner();
    // Until nothing more is taken in: that is the end of what the server buffers for a client.
    let mut sent = 0;
    loop {
        let ticket = Some(vpn_ticket(&sent.to_string()));
        let frame = pb::StreamTriageRequest { ticket, features: Vec::new(), top_n: None };
        let Ok(taken) = tokio::time::timeout(Duration::from_secs(1), send.send(frame)).await else { break };
        taken.expect("the stream is open");
        sent += 1;
        assert!(sent < 20_000, "the server takes in without end");
    }
    is_served(&server).await;
    drop(send);
    let mut read = 0;
    while let Some(answer) = in_time(answers.message()).await.unwrap() {
        assert_eq!(answer.result.unwrap().ticket_id, read.to_string());
        read += 1;
    }
    assert_eq!(read, sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_reads_does_not_keep_the_server_from_ending() {
    let folder = tempfile::tempdir().unwrap();
    let config = file(folder.path(), "triage.toml", "[server]\ndrain_seconds = 1\n");
    let server = ServerProcess::start(&folder.path().join("data"), &["--config", &config]).await;
    let (send, frames) = mpsc::channel(1);
    let mut client = server.triage().await;
    let answers = client.stream_triage(ReceiverStream::new(frames)).await.unwrap().into_inner();
    for number in 0..200 {
        let ticket = Some(vpn_ticket(&number.to_string()));
        let frame = pb::StreamTriageRequest { ticket, features: Vec::new(), top_n: None };
        if tokio::time::timeout(Duration::from_secs(1), send.send(frame)).await.is_err() {
            break;
        }
    }
    let told = Instant::now();
    server.signal("TERM");
    assert_eq!(server.exit_code().await, Some(0));
    assert!(told.elapsed() < PATIENCE / 6, "took {:?}", told.elapsed());
    drop((send, answers));
}
