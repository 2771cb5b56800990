//! Calls any method with any bytes, and reads any answer.

use prost::bytes::{Buf as _, BufMut as _};
use prost_reflect::{DynamicMessage, MethodDescriptor, ReflectMessage as _, Value};
use tonic::{
    Request, Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    codegen::http::uri::PathAndQuery,
    transport::Channel,
};

use crate::harness::{in_time, item_status};

/// Sends and reads bytes as they are.
struct Bytes;

impl Codec for Bytes {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, bytes: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&bytes);
        Ok(())
    }
}

impl Decoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut bytes = vec![0; buffer.remaining()];
        buffer.copy_to_slice(&mut bytes);
        Ok(Some(bytes))
    }
}

/// The path of a method.
pub fn path(method: &MethodDescriptor) -> String {
    format!("/{}/{}", method.parent_service().full_name(), method.name())
}

/// Sends one message, and reads the first answer; on the wire a unary call is a stream of one message.
pub async fn call(channel: &Channel, method: &MethodDescriptor, message: Vec<u8>) -> Result<Vec<u8>, Status> {
    in_time(async {
        let mut client = Grpc::new(channel.clone());
        client.ready().await.unwrap();
        let path = PathAndQuery::try_from(path(method)).unwrap();
        let request = Request::new(tokio_stream::iter([message]));
        let mut answers = client.streaming(request, path, Bytes).await?.into_inner();
        Ok(answers.message().await?.unwrap_or_default())
    })
    .await
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
