//! Reads messages as `tonic-prost` does, and counts before what they will take in memory: two bytes can be an empty ticket,
//! which takes hundreds.

use std::{collections::HashMap, marker::PhantomData, sync::LazyLock};

use prost::{
    Message, Name,
    bytes::Buf as _,
    encoding::{WireType, decode_key, decode_varint},
};
use prost_types::{
    DescriptorProto, FileDescriptorSet,
    field_descriptor_proto::{Label, Type},
};
use tonic::{
    Status,
    codec::{self, BufferSettings, DecodeBuf},
};
use tonic_prost::{ProstDecoder, ProstEncoder};

use super::held;
use crate::pb;

/// What a message takes besides its fields: a ticket has a dozen strings and maps, and lists grow by doubling.
const MESSAGE_BYTES: usize = 512;
/// What a field takes besides its bytes.
const FIELD_BYTES: usize = 64;
/// A number of one byte takes four or eight, and lists grow by doubling.
const PACKED_BYTES: usize = 16;
/// `prost` reads no deeper.
const MOST_DEPTH: usize = 100;

/// The codec of the API.
#[derive(Debug)]
pub struct Codec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for Codec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> codec::Codec for Codec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Name + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = Decoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::default()
    }

    fn decoder(&mut self) -> Self::Decoder {
        Decoder(ProstDecoder::default())
    }
}

/// Reads messages of one kind.
#[derive(Debug)]
pub struct Decoder<U>(ProstDecoder<U>);

impl<U: Message + Name + Default> codec::Decoder for Decoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        // The message lies in one piece.
        held::hold_message(|| SHAPES.footprint(&U::full_name(), bytes.chunk()))?;
        self.0.decode(bytes)
    }

    fn buffer_settings(&self) -> BufferSettings {
        self.0.buffer_settings()
    }
}

/// What a field holds that takes more memory than its bytes on the wire.
#[derive(Debug, Clone, Copy)]
enum Part {
    /// A message of this shape.
    Message(usize),
    /// Numbers, one behind the other.
    Packed,
}

/// Of every message in `proto/`.
#[derive(Debug)]
struct Shapes {
    names: HashMap<String, usize>,
    parts: Vec<HashMap<u32, Part>>,
}

static SHAPES: LazyLock<Shapes> =
    LazyLock::new(|| Shapes::of(&FileDescriptorSet::decode(pb::DESCRIPTORS).unwrap_or_default()));

impl Shapes {
    fn of(descriptors: &FileDescriptorSet) -> Self {
        let mut messages = Vec::new();
        for file in &descriptors.file {
            for message in &file.message_type {
                collect(file.package(), message, &mut messages);
            }
        }
        let names: HashMap<_, _> = messages.iter().enumerate().map(|(at, (name, _))| (name.clone(), at)).collect();
        let parts = messages.iter().map(|(_, message)| {
            let fields = message.field.iter().filter_map(|field| {
                let part = if field.r#type() == Type::Message {
                    Part::Message(*names.get(field.type_name().trim_start_matches('.'))?)
                } else if field.label() == Label::Repeated && !matches!(field.r#type(), Type::String | Type::Bytes) {
                    Part::Packed
                } else {
                    return None;
                };
                Some((u32::try_from(field.number()).ok()?, part))
            });
            fields.collect()
        });
        Self { parts: parts.collect(), names }
    }

    /// About the bytes that a message of this name takes when it is read. What is no such message is counted up to where it
    /// cannot be read.
    fn footprint(&self, name: &str, bytes: &[u8]) -> usize {
        let mut footprint = 0;
        if let Some(shape) = self.names.get(name) {
            self.add(*shape, bytes, &mut footprint, 0);
        }
        footprint.max(bytes.len())
    }

    fn add(&self, shape: usize, mut bytes: &[u8], footprint: &mut usize, depth: usize) -> Option<()> {
        *footprint += MESSAGE_BYTES;
        while !bytes.is_empty() {
            let (number, kind) = decode_key(&mut bytes).ok()?;
            *footprint += FIELD_BYTES;
            let skipped = match kind {
                WireType::Varint => {
                    decode_varint(&mut bytes).ok()?;
                    0
                }
                WireType::SixtyFourBit => 8,
                WireType::ThirtyTwoBit => 4,
                WireType::LengthDelimited => usize::try_from(decode_varint(&mut bytes).ok()?).ok()?,
                // Unknown, and skipped: what is between is counted as if it were the message's.
                WireType::StartGroup | WireType::EndGroup => 0,
            };
            let (value, rest) = bytes.split_at_checked(skipped)?;
            bytes = rest;
            match self.parts[shape].get(&number) {
                Some(Part::Message(inner)) if kind == WireType::LengthDelimited && depth < MOST_DEPTH => {
                    self.add(*inner, value, footprint, depth + 1)?;
                }
                Some(Part::Packed) => *footprint += PACKED_BYTES * value.len(),
                _ => *footprint += value.len(),
            }
        }
        Some(())
    }
}

fn collect<'a>(scope: &str, message: &'a DescriptorProto, messages: &mut Vec<(String, &'a DescriptorProto)>) {
    let name = format!("{scope}.{}", message.name());
    for nested in &message.nested_type {
        collect(&name, nested, messages);
    }
    messages.push((name, message));
}

/// What a message of this kind counts. For the fuzz targets.
pub(super) fn footprint<M: Name>(bytes: &[u8]) -> usize {
    SHAPES.footprint(&M::full_name(), bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(tickets: Vec<pb::Ticket>) -> Vec<u8> {
        pb::BatchTriageTicketsRequest { tickets, features: Vec::new(), top_n: None }.encode_to_vec()
    }

    #[test]
    fn a_message_counts_what_it_takes_in_memory() {
        let of_batch = |tickets| footprint::<pb::BatchTriageTicketsRequest>(&batch(tickets));
        let empty = |count| vec![pb::Ticket::default(); count];
        assert!(of_batch(empty(10_000)) >= 10_000 * size_of::<pb::Ticket>());
        assert!(size_of::<pb::Article>().max(size_of::<pb::ConfirmedTicket>()) <= MESSAGE_BYTES);

        let text = pb::Ticket { description: "a".repeat(60_000), ..pb::Ticket::default() };
        let bytes = batch(vec![text.clone(); 60]).len();
        let counted = of_batch(vec![text; 60]);
        assert!((bytes..bytes + bytes / 50).contains(&counted), "{counted} of {bytes}: texts take what they are");

        let values = (0..1_000).map(|number| (number.to_string(), String::new())).collect();
        let many = pb::Ticket { field_values: values, ..pb::Ticket::default() };
        assert!(of_batch(vec![many]) > 500_000, "maps within");
        let features = pb::BatchTriageTicketsRequest { features: vec![1; 1_000], ..Default::default() };
        assert!(footprint::<pb::BatchTriageTicketsRequest>(&features.encode_to_vec()) > 10_000, "packed");
    }

    #[test]
    fn what_is_no_message_is_counted_as_far_as_it_is_read() {
        let bytes = batch(vec![pb::Ticket::default(); 100]);
        let whole = footprint::<pb::BatchTriageTicketsRequest>(&bytes);
        for end in 0..bytes.len() {
            assert!(footprint::<pb::BatchTriageTicketsRequest>(&bytes[..end]) <= whole);
        }
        // A length beyond the end, a key that does not end, a group.
        for bytes in [&[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f][..], &[0xff; 20], &[0x0b, 0x0a, 0x00, 0x0c]] {
            assert!(footprint::<pb::BatchTriageTicketsRequest>(bytes) < 5_000, "{bytes:?}");
        }
    }
}
