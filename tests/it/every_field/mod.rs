//! Every method with every field spoilt in every way that its descriptor and its comments allow to think of: none is
//! a fault of the server, none hangs, and what the contract rules out is refused with the field's name.

mod base;
mod promise;
mod spoil;
mod wire;

use std::sync::LazyLock;

use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor, prost::Message as _};
use regex::Regex;
use ticket_triage::pb;
use tonic::{Code, Status, transport::Channel};
use tonic_types::StatusExt as _;

use self::{
    base::World,
    spoil::{Case, Expected, cases},
};
use crate::harness::{http, reason, violated_fields};

fn methods() -> Vec<MethodDescriptor> {
    let pool = DescriptorPool::decode(pb::DESCRIPTORS).unwrap();
    pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()).collect()
}

/// Methods and fields that are answered otherwise than the field's comment says in general, and why.
const OTHERWISE: [(&str, &str, &str); 2] = [
    ("CreateReclassificationJob", "tickets.", "a ticket that breaks a rule is a bad row of the job"),
    ("UpsertArticles", "articles.link", "what is as long as it may be is no address here"),
];

/// Codes that say: the request is at fault, or what it names is not there or not in that state.
const CALLERS_FAULT: [Code; 6] = [
    Code::InvalidArgument,
    Code::NotFound,
    Code::FailedPrecondition,
    Code::PermissionDenied,
    Code::Aborted,
    Code::OutOfRange,
];

/// What a status lacks of what every refusal has.
fn lacks(status: &Status) -> Option<String> {
    if !CALLERS_FAULT.contains(&status.code()) {
        return Some(format!("{status:?}"));
    }
    let info = status.get_details_error_info();
    if info.is_none_or(|info| info.reason.is_empty() || info.domain != "triage.v1") {
        return Some(format!("no reason in {status:?}"));
    }
    let named = status.get_details_bad_request().is_some_and(|details| !details.field_violations.is_empty());
    (status.code() == Code::InvalidArgument && !named).then(|| format!("no field in {status:?}"))
}

/// The field that a violation speaks of, without places and keys; a long key is cut off before its end.
fn bare(violated: &str) -> String {
    static PLACE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\[[^\]]*(\]|$)").unwrap());
    PLACE.replace_all(violated, "").into_owned()
}

/// Whether a violation speaks of the field, or of what is in it.
fn names(violated: &str, field: &str) -> bool {
    let bare = bare(violated);
    bare == field || bare.starts_with(&format!("{field}."))
}

/// The field as a violation names it: tickets of a batch are refused as alone.
fn named_in(method: &MethodDescriptor, field: &str) -> String {
    let alone = method.name() == "BatchTriageTickets" && field.starts_with("tickets.");
    if alone { field.replacen("tickets.", "ticket.", 1) } else { field.to_owned() }
}

/// What is wrong with how a case was answered.
async fn fault(channel: &Channel, method: &MethodDescriptor, case: &Case) -> Option<String> {
    let statuses = match wire::call(channel, method, case.request.encode_to_vec()).await {
        Ok(answer) => wire::item_statuses(method, &answer),
        Err(status) => vec![status],
    };
    if let Some(lack) = statuses.iter().find_map(lacks) {
        return Some(lack);
    }
    let invalid = statuses.iter().filter(|status| status.code() == Code::InvalidArgument);
    let field = named_in(method, &case.field);
    let violated: Vec<String> = invalid.flat_map(violated_fields).collect();
    let is_named = violated.iter().any(|violated| names(violated, &field));
    // Of what it is in: what is wrong with a whole message is said of that.
    let is_meant = is_named || violated.iter().any(|violated| field.starts_with(&format!("{}.", bare(violated))));
    let is_otherwise = OTHERWISE.iter().any(|(of, field, _)| *of == method.name() && case.field.starts_with(field));
    match case.expected {
        Expected::Refused if !is_meant && !is_otherwise => Some(format!("is not refused: {statuses:?}")),
        Expected::Taken if is_named && !is_otherwise => Some(format!("is refused: {statuses:?}")),
        Expected::Refused | Expected::Taken | Expected::Handled => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_field_of_every_method_is_checked() {
    let world = World::new().await;
    let channel = world.server.channel().await;
    let mut faults = Vec::new();
    let mut count = 0;
    for method in methods() {
        for request in world.requests(method.name()) {
            let request = DynamicMessage::decode(method.input(), request.as_slice()).unwrap();
            for case in cases(&request) {
                count += 1;
                if let Some(fault) = fault(&channel, &method, &case).await {
                    let fault: String = fault.chars().take(300).collect();
                    faults.push(format!("{} {} {}: {fault}", method.name(), case.field, case.spoilt));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{} of {count} requests:\n{}", faults.len(), faults.join("\n"));
    assert!(count > 2_000, "only {count} requests were made");
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn right_requests_are_not_refused_as_invalid() {
    let world = World::new().await;
    let channel = world.server.channel().await;
    for method in methods() {
        for request in world.requests(method.name()) {
            let statuses = match wire::call(&channel, &method, request).await {
                Ok(answer) => wire::item_statuses(&method, &answer),
                Err(status) => vec![status],
            };
            for status in statuses {
                let state = [Code::NotFound, Code::FailedPrecondition];
                assert!(state.contains(&status.code()), "{}: {status:?}", method.name());
            }
        }
    }
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_message_are_refused_by_every_method() {
    let world = World::new().await;
    let channel = world.server.channel().await;
    let cut_off = &[0x0a, 0x7f, 0x01][..];
    let no_wire_type = &[0x0f];
    let end_without_begin = &[0x0c];
    let endless_number = &[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    for method in methods() {
        for bytes in [cut_off, no_wire_type, end_without_begin, endless_number] {
            let status = wire::call(&channel, &method, bytes.to_vec()).await.unwrap_err();
            let named = (status.code(), reason(&status));
            assert_eq!(named, (Code::InvalidArgument, "INVALID_REQUEST".to_owned()), "{} {bytes:?}", method.name());
            assert_eq!(violated_fields(&status), ["request"]);
        }
    }
    world.server.stop().await;
}

/// Calls a method over HTTP/1.1 with a body as it is: the status and its head.
async fn post(world: &World, method: &MethodDescriptor, encoding: &str, body: &[u8]) -> String {
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/grpc-web+proto\r\nContent-Length: {}\r\n\
         Connection: close\r\n{encoding}\r\n",
        wire::path(method),
        world.server.address,
        body.len()
    );
    let (_, head, body) = http(world.server.address.to_string(), [head.as_bytes(), body].concat()).await;
    // A status without an answer stands in the head, another in the last frame.
    format!("{head}\n{}", String::from_utf8_lossy(&body))
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_are_none_are_the_callers_fault() {
    let world = World::new().await;
    let gzip = "grpc-encoding: gzip\r\n";
    for method in methods() {
        for (what, encoding, body, code) in [
            ("compressed without saying how", "", &[1, 0, 0, 0, 2, 8, 1][..], 13),
            ("a flag that is none", "", &[7, 0, 0, 0, 2, 8, 1], 3),
            ("shorter than it says", "", &[0, 0, 0, 0, 200, 8, 1], 3),
            ("half a head", "", &[0, 0, 0], 3),
            ("4 GiB, it says", "", &[0, 255, 255, 255, 255, 8, 1], 11),
            ("not compressed, though it says so", gzip, &[1, 0, 0, 0, 2, 8, 1], 3),
            ("compressed in a way nobody knows", "grpc-encoding: brotli\r\n", &[1, 0, 0, 0, 2, 8, 1], 12),
        ] {
            let answer = post(&world, &method, encoding, body).await;
            let said =
                answer.contains(&format!("grpc-status: {code}")) || answer.contains(&format!("grpc-status:{code}"));
            assert!(said && answer.contains("grpc-status-details-bin"), "{} {what}:\n{answer}", method.name());
        }
    }
    world.server.stop().await;
}
