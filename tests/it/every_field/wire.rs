//! Calls any method with any bytes, and reads any answer.

use prost_reflect::{DynamicMessage, MethodDescriptor, ReflectMessage as _, Value};
use tonic::{Status, transport::Channel};

use crate::{harness::item_status, raw};

/// The path of a method.
pub fn path(method: &MethodDescriptor) -> String {
    format!("/{}/{}", method.parent_service().full_name(), method.name())
}

/// Sends one message, and reads the first answer.
pub async fn call(channel: &Channel, method: &MethodDescriptor, message: Vec<u8>) -> Result<Vec<u8>, Status> {
    raw::call(channel, &path(method), message).await
}

/// The statuses that an answer holds for single items, such as the tickets of a batch.
pub fn item_statuses(method: &MethodDescriptor, answer: &[u8]) -> Vec<Status> {
    let answer = DynamicMessage::decode(method.output(), answer).unwrap();
    let mut statuses = Vec::new();
    collect_statuses(&Value::Message(answer), &mut statuses);
    statuses
}

fn collect_statuses(value: &Value, statuses: &mut Vec<Status>) {
    if let Some(list) = value.as_list() {
        for value in list {
            collect_statuses(value, statuses);
        }
    }
    let Some(message) = value.as_message() else { return };
    if message.descriptor().full_name() == "google.rpc.Status" {
        statuses.push(item_status(&message.transcode_to().unwrap()));
        return;
    }
    for (_, value) in message.fields() {
        collect_statuses(value, statuses);
    }
}
