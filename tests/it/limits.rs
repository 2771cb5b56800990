//! What a connection may do to the server: every limit from both sides, and floods end the one who sends them.

use prost::Message as _;
use ticket_triage::pb;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tonic::{Code, Request};

use crate::{
    harness::{TestServer, http, in_time, names_a_retry, reason, request, ticket, vpn_ticket},
    http2::{
        Begun, CONTINUATION, DATA, END_HEADERS, GOAWAY, HEADERS, PING, PREFACE, PRIORITY, Peer, RST_STREAM, SETTINGS,
        WINDOW_UPDATE, call, closed, frame,
    },
};

const TRIAGE: &str = "/triage.v1.TriageService/TriageTicket";
const BATCH: &str = "/triage.v1.TriageService/BatchTriageTickets";
const STREAM: &str = "/triage.v1.TriageService/StreamTriage";

/// Makes the next frames to send.
type Flood = Box<dyn FnMut(u32) -> Vec<u8>>;

#[tokio::test]
async fn a_flood_ends_the_connection_of_its_sender_and_nobody_elses() {
    let server = TestServer::start().await;
    let mut client = server.triage().await;
    // As in the attack: many in one packet, so that none is accepted before it is reset.
    let resets = |turn: u32| {
        let streams = (0..64).map(|next| 128 * turn + 2 * next + 1);
        let cancelled =
            |stream| [call(stream, END_HEADERS, TRIAGE), frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat();
        streams.flat_map(cancelled).collect()
    };
    let floods: Vec<(&str, Vec<u8>, Flood)> = vec![
        ("pings", Vec::new(), Box::new(|_| frame(PING, 0, 0, &[7; 8]))),
        ("settings", Vec::new(), Box::new(|_| frame(SETTINGS, 0, 0, &[]))),
        ("priorities", Vec::new(), Box::new(|_| frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 9]))),
        ("no room", call(1, END_HEADERS, STREAM), Box::new(|_| frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]))),
        ("empty data", call(1, END_HEADERS, STREAM), Box::new(|_| frame(DATA, 0, 1, &[]))),
        ("unknown frames", Vec::new(), Box::new(|_| frame(0xfa, 0, 0, b"nothing"))),
        ("headers without end", call(1, 0, TRIAGE), Box::new(|_| frame(CONTINUATION, 0, 1, &[]))),
        ("large headers without end", call(1, 0, TRIAGE), Box::new(|_| frame(CONTINUATION, 0, 1, LITERAL))),
        ("resets", Vec::new(), Box::new(resets)),
    ];
    for (what, first, flood) in floods {
        let mut attacker = Peer::connect(server.address).await;
        attacker.send(&first).await;
        let attack = attacker.flood(flood);
        let others = async {
            loop {
                client.triage_ticket(request(vpn_ticket("1"))).await.unwrap();
            }
        };
        tokio::select! {
            () = in_time(attack) => {}
            () = others => unreachable!("the other client goes on: {what}"),
        }
        client.triage_ticket(request(vpn_ticket("1"))).await.unwrap();
    }
    server.stop().await;
}

/// A header that is not kept, `a: ` with 100 letters.
const LITERAL: &[u8] = b"\x00\x01a\x64aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

#[tokio::test]
async fn a_connection_that_does_not_say_what_it_speaks_is_closed() {
    let server = TestServer::start_with("[limits]\nhandshake_seconds = 1\n").await;
    let mut client = server.triage().await;
    client.triage_ticket(request(vpn_ticket("1"))).await.unwrap();
    for said in [&b""[..], &PREFACE[..10], PREFACE, b"POST / HTTP/1.1\r\nHost: desk\r\n"] {
        let mut silent = TcpStream::connect(server.address).await.unwrap();
        silent.write_all(said).await.unwrap();
        in_time(closed(&mut silent)).await;
    }
    // Seconds later the one that has said it is open.
    client.triage_ticket(request(vpn_ticket("1"))).await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn an_old_connection_is_asked_to_leave_and_closed_after_its_grace() {
    let server = TestServer::start_with("[limits]\nconnection_age_seconds = 1\nconnection_grace_seconds = 1\n").await;
    let mut old = Peer::connect(server.address).await;
    // A call that does not end, and a peer that does not listen.
    old.send(&call(1, END_HEADERS, STREAM)).await;
    in_time(old.wait_for(GOAWAY)).await;
    in_time(closed(&mut old.0)).await;
    // A client that listens goes on with another connection.
    let mut client = server.triage().await;
    let mut other = Peer::connect(server.address).await;
    in_time(closed(&mut other.0)).await;
    in_time(async { while client.triage_ticket(request(vpn_ticket("1"))).await.is_err() {} }).await;
    server.stop().await;
}

#[tokio::test]
async fn a_peer_may_open_so_many_connections() {
    let server = TestServer::start_with("[limits]\nconnections_per_peer = 2\n").await;
    let mut first = Peer::connect(server.address).await;
    let mut client = server.triage().await;
    client.triage_ticket(request(vpn_ticket("1"))).await.unwrap();
    in_time(first.wait_for(SETTINGS)).await;
    let mut third = TcpStream::connect(server.address).await.unwrap();
    in_time(closed(&mut third)).await;
    client.triage_ticket(request(vpn_ticket("1"))).await.unwrap();
    drop(first);
    let again = async {
        loop {
            let mut socket = TcpStream::connect(server.address).await.unwrap();
            socket.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await.unwrap();
            if socket.read(&mut [0; 1]).await.is_ok_and(|bytes| bytes == 1) {
                return;
            }
        }
    };
    in_time(again).await;
    server.stop().await;
}

#[tokio::test]
async fn a_peer_may_have_so_many_calls_open() {
    let server = TestServer::start_with("[limits]\nopen_calls_per_peer = 2\n").await;
    let mut client = server.triage().await;
    let mut triage = async || client.triage_ticket(request(vpn_ticket("1"))).await;
    let mut peer = Peer::connect(server.address).await;
    peer.send(&call(1, END_HEADERS, STREAM)).await;
    triage().await.unwrap();
    peer.send(&call(3, END_HEADERS, STREAM)).await;
    let refused = in_time(async {
        loop {
            if let Err(status) = triage().await {
                return status;
            }
        }
    });
    let status = refused.await;
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(names_a_retry(&status), "{status:?}");
    peer.send(&frame(RST_STREAM, 0, 1, &[0, 0, 0, 8])).await;
    in_time(async { while triage().await.is_err() {} }).await;
    server.stop().await;
}

#[tokio::test]
async fn a_connection_may_have_so_many_streams() {
    let server = TestServer::start_with("[limits]\nstreams_per_connection = 2\n").await;
    let mut peer = Peer::connect(server.address).await;
    for stream in [1, 3, 5] {
        peer.send(&call(stream, END_HEADERS, STREAM)).await;
    }
    let (stream, reason) = in_time(peer.wait_for(RST_STREAM)).await;
    assert_eq!((stream, reason.as_slice()), (5, &[0, 0, 0, 7][..]), "REFUSED_STREAM");
    peer.send(&frame(RST_STREAM, 0, 1, &[0, 0, 0, 8])).await;
    peer.send(&call(7, END_HEADERS, "/triage.v1.TriageService/NoSuchMethod")).await;
    in_time(async { while peer.wait_for(HEADERS).await.0 != 7 {} }).await;
    server.stop().await;
}

#[tokio::test]
async fn headers_over_the_limit_are_refused() {
    let server = TestServer::start().await;
    let mut client = server.triage().await;
    let with_header = |bytes: usize| {
        let mut call = Request::new(request(vpn_ticket("1")));
        call.metadata_mut().insert("x-filler", "f".repeat(bytes).parse().unwrap());
        call
    };
    client.triage_ticket(with_header(15_000)).await.unwrap();
    let status = in_time(client.triage_ticket(with_header(17_000))).await.unwrap_err();
    assert!(matches!(status.code(), Code::Unknown | Code::Internal | Code::ResourceExhausted), "{status:?}");
    client.triage_ticket(with_header(15_000)).await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn every_request_of_an_http_1_connection_has_the_limit_of_headers() {
    let server = TestServer::start().await;
    let call = |filler: usize, connection: &str| {
        format!(
            "POST {TRIAGE} HTTP/1.1\r\nHost: desk\r\nContent-Type: application/grpc-web+proto\r\nContent-Length: 0\r\n\
             X-Filler: {}\r\nConnection: {connection}\r\n\r\n",
            "f".repeat(filler)
        )
    };
    let calls = [call(15_000, "keep-alive"), call(17_000, "keep-alive"), call(15_000, "close")].concat();
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    let mut answers = Vec::new();
    in_time(async {
        socket.write_all(calls.as_bytes()).await.unwrap();
        socket.read_to_end(&mut answers).await.unwrap();
    })
    .await;
    let answers = String::from_utf8_lossy(&answers);
    let statuses: Vec<_> = answers.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
    assert_eq!(statuses, ["200", "431", "200"], "{answers}");
    server.stop().await;
}

/// Calls of a peer may hold a mebibyte in all, and each message may have a quarter of that. No deadline makes room.
const LITTLE_MEMORY: &str = "[limits]\nmessage_bytes = 262144\nbatch_bytes = 262144\nheld_bytes = 1048576\n\
                             held_bytes_per_peer = 1048576\ndeadline_seconds = 600\n";

/// As large as `LITTLE_MEMORY` allows.
fn large_batch() -> pb::BatchTriageTicketsRequest {
    batch_of(10, &"vpn ".repeat(6_000))
}

/// So small that it is not counted; its answer is.
fn short_tickets() -> pb::BatchTriageTicketsRequest {
    batch_of(256, "vpn")
}

fn batch_of(count: usize, text: &str) -> pb::BatchTriageTicketsRequest {
    pb::BatchTriageTicketsRequest { tickets: vec![ticket("", text); count], features: Vec::new(), top_n: None }
}

/// Waits until a batch is refused for want of room, then until `more_room` has made some.
async fn is_full_until(server: &TestServer, batch: pb::BatchTriageTicketsRequest, more_room: impl Future<Output = ()>) {
    let mut client = server.triage().await;
    let refused = async {
        loop {
            if let Err(status) = client.batch_triage_tickets(batch.clone()).await {
                return status;
            }
        }
    };
    let status = in_time(refused).await;
    assert_eq!((status.code(), reason(&status).as_str()), (Code::ResourceExhausted, "OVERLOADED"), "{status:?}");
    assert!(names_a_retry(&status), "{status:?}");
    client.triage_ticket(request(vpn_ticket("small calls are not counted"))).await.unwrap();
    more_room.await;
    in_time(async { while client.batch_triage_tickets(batch.clone()).await.is_err() {} }).await;
}

#[tokio::test]
async fn messages_that_have_not_come_to_an_end_take_room() {
    let server = TestServer::start_with(LITTLE_MEMORY).await;
    // The head of a large message, and a small one that takes much memory when it is read.
    let empty_tickets = [0x0a, 0].repeat(1_000);
    let small = [&[0, 0, 0, 0x07, 0xd0], empty_tickets.as_slice()].concat();
    for begun in [&[0, 0, 4, 0, 0][..], &small] {
        let mut peer = Peer::connect(server.address).await;
        for stream in [1, 3, 5, 7, 9, 11] {
            peer.send(&[call(stream, END_HEADERS, BATCH), frame(DATA, 0, stream, begun)].concat()).await;
        }
        // The rest never comes.
        in_time(async { while peer.wait_for(HEADERS).await.0 != 11 {} }).await;
        is_full_until(&server, large_batch(), async move {
            for stream in [1, 3, 5, 7, 9] {
                peer.send(&frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])).await;
            }
        })
        .await;
    }
    server.stop().await;
}

#[tokio::test]
async fn a_message_of_very_many_parts_is_refused() {
    let server = TestServer::start().await;
    let status = in_time(server.triage().await.batch_triage_tickets(batch_of(300_000, ""))).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::OutOfRange, "TOO_LARGE"), "{status:?}");
    assert!(status.message().contains("send several messages"), "{status:?}");
    server.stop().await;
}

#[tokio::test]
async fn who_asks_for_health_has_limits_too() {
    const CHECK: &str = "/grpc.health.v1.Health/Check";
    let server = TestServer::start_with("[limits]\nconnections_per_peer = 3\ndeadline_seconds = 1\n").await;
    let mut peer = Peer::connect(server.address).await;
    let large = frame(DATA, 0, 1, &[0, 0, 4, 0, 0]);
    peer.send(&[call(1, END_HEADERS, CHECK), large].concat()).await;
    assert_eq!(in_time(peer.wait_for(HEADERS)).await.0, 1, "it is refused at its head");
    for stream in [3, 5, 7, 9] {
        peer.send(&call(stream, END_HEADERS, CHECK)).await;
    }
    assert_eq!(in_time(peer.wait_for(HEADERS)).await.0, 9, "as many as a peer may have connections");
    // What never comes is not waited for for ever.
    for _ in [3, 5, 7] {
        assert!(matches!(in_time(peer.wait_for(HEADERS)).await.0, 3 | 5 | 7));
    }
    server.stop().await;
}

#[tokio::test]
async fn the_admin_address_has_limits_too() {
    const MOST: usize = 16;
    let server = TestServer::start_with("[limits]\nhandshake_seconds = 1\n").await;
    let admin = server.admin_address;
    let mut silent = TcpStream::connect(admin).await.unwrap();
    in_time(closed(&mut silent)).await;
    let probe = async || {
        let mut socket = TcpStream::connect(admin).await.unwrap();
        let mut answer = [0; 12];
        let asked = socket.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        let answered = asked.is_ok() && socket.read_exact(&mut answer).await.is_ok();
        answered.then_some((socket, answer))
    };
    let mut open = Vec::new();
    for _ in 0..MOST {
        let (socket, answer) = in_time(probe()).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
        open.push(socket);
    }
    assert!(in_time(probe()).await.is_none(), "one more of the same peer");
    open.pop();
    in_time(async { while probe().await.is_none() {} }).await;
    server.stop().await;
}

#[tokio::test]
async fn answers_that_nobody_reads_take_room() {
    let server = TestServer::start_with(LITTLE_MEMORY).await;
    let message = short_tickets().encode_to_vec();
    let message = [&[0][..], &u32::try_from(message.len()).unwrap().to_be_bytes(), &message].concat();
    // No answer can be sent, or a byte of each.
    for room in [0, 1] {
        let mut peer = Peer::connect(server.address).await;
        let window = in_time(peer.agree()).await;
        peer.send(&frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, room])).await;
        // An answer that has begun is ready.
        for stream in (1..).step_by(2) {
            if in_time(peer.ask(stream, BATCH, &message, window)).await == Begun::Refusal {
                break;
            }
            assert!(stream < 100, "as many answers are held as are asked for, with room for {room} bytes of each");
        }
        is_full_until(&server, short_tickets(), async { drop(peer) }).await;
    }
    server.stop().await;
}

#[tokio::test]
async fn a_small_message_that_unpacks_to_a_large_one_is_refused() {
    let server = TestServer::start().await;
    let mut client = server.triage().await.send_compressed(tonic::codec::CompressionEncoding::Gzip);
    let bomb = request(ticket("vpn", &"\0".repeat(64 << 20)));
    let status = in_time(client.triage_ticket(bomb)).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::OutOfRange, "TOO_LARGE"), "{status:?}");
    server.stop().await;
}

#[tokio::test]
async fn a_message_that_comes_byte_by_byte_is_cut_off_at_the_deadline() {
    let server = TestServer::start_with("[limits]\ndeadline_seconds = 1\n").await;
    // The rest of the message never comes.
    let call = format!(
        "POST {TRIAGE} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/grpc-web+proto\r\nContent-Length: 100\r\n\
         Connection: close\r\n\r\n\0\0",
        server.address
    );
    let (_, head, _) = in_time(http(server.address.to_string(), call.into_bytes())).await;
    assert!(head.contains("grpc-status: 4"), "not DEADLINE_EXCEEDED:\n{head}");
    assert!(head.contains("grpc-status-details-bin:"), "no details:\n{head}");
    server.stop().await;
}

#[tokio::test]
async fn so_many_calls_may_be_open_whatever_they_wait_for() {
    let server = TestServer::start_with("[limits]\ncalls = 1\n").await;
    let mut client = server.triage().await;
    let mut open = Vec::new();
    for _ in 0..4 {
        let (sender, frames) = tokio::sync::mpsc::channel::<pb::StreamTriageRequest>(1);
        let answers = client.stream_triage(tokio_stream::wrappers::ReceiverStream::new(frames)).await.unwrap();
        open.push((sender, answers));
    }
    for status in [
        client.triage_ticket(request(vpn_ticket("1"))).await.unwrap_err(),
        client.stream_triage(tokio_stream::empty()).await.unwrap_err(),
    ] {
        assert_eq!((status.code(), reason(&status).as_str()), (Code::ResourceExhausted, "OVERLOADED"));
        assert!(names_a_retry(&status), "{status:?}");
    }
    open.pop();
    in_time(async { while client.triage_ticket(request(vpn_ticket("1"))).await.is_err() {} }).await;
    server.stop().await;
}
