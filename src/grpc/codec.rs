//! Reads messages as `tonic-prost` does, and counts before what they will take in memory: two bytes can be an empty ticket,
//! which takes hundreds.

use std::{collections::HashMap, marker::PhantomData, sync::LazyLock};

use prost::{
    Message, Name,
    bytes::Buf as _,
    encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field},
};
use prost_types::{
    DescriptorProto, FileDescriptorSet, MessageOptions,
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
/// The same of an entry of a map, which is a message on the wire only.
const ENTRY_BYTES: usize = 64;
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
        held::hold_message(|| {
            let footprint = SHAPES.footprint(&U::full_name(), bytes.chunk());
            footprint.ok_or_else(|| Status::internal("failed to decode a message: a field of it is cut off or unknown"))
        })?;
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
    /// An entry of a map, of this shape.
    Entry(usize),
    /// Numbers, one behind the other.
    Packed,
}

/// Of every message in `proto/`.
#[derive(Debug)]
struct Shapes {
    names: HashMap<String, usize>,
    shapes: Vec<Shape>,
}

#[derive(Debug)]
struct Shape {
    /// What such a message takes besides its fields.
    bytes: usize,
    /// By the numbers of their fields.
    parts: HashMap<u32, Part>,
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
        let shapes = messages.iter().map(|(_, message)| {
            let fields = message.field.iter().filter_map(|field| {
                let part = if field.r#type() == Type::Message {
                    let at = *names.get(field.type_name().trim_start_matches('.'))?;
                    if is_entry(messages[at].1) { Part::Entry(at) } else { Part::Message(at) }
                } else if field.label() == Label::Repeated && !matches!(field.r#type(), Type::String | Type::Bytes) {
                    Part::Packed
                } else {
                    return None;
                };
                Some((u32::try_from(field.number()).ok()?, part))
            });
            Shape { bytes: if is_entry(message) { ENTRY_BYTES } else { MESSAGE_BYTES }, parts: fields.collect() }
        });
        Self { shapes: shapes.collect(), names }
    }

    /// About the bytes that a message of this name takes when it is read; `None`: it cannot be read. It must not be tried
    /// then: up to where it fails it may take any number.
    fn footprint(&self, name: &str, bytes: &[u8]) -> Option<usize> {
        let mut footprint = 0;
        self.add(*self.names.get(name)?, bytes, &mut footprint, 0)?;
        Some(footprint)
    }

    fn add(&self, shape: usize, mut bytes: &[u8], footprint: &mut usize, depth: usize) -> Option<()> {
        let shape = &self.shapes[shape];
        *footprint += shape.bytes;
        while !bytes.is_empty() {
            let (number, kind) = decode_key(&mut bytes).ok()?;
            *footprint += FIELD_BYTES;
            let part = shape.parts.get(&number);
            // prost reads an entry of a map as what it should be, whatever its key says that it is.
            let kind = if matches!(part, Some(Part::Entry(_))) { WireType::LengthDelimited } else { kind };
            let skipped = match kind {
                WireType::Varint => {
                    decode_varint(&mut bytes).ok()?;
                    0
                }
                WireType::SixtyFourBit => 8,
                WireType::ThirtyTwoBit => 4,
                WireType::LengthDelimited => usize::try_from(decode_varint(&mut bytes).ok()?).ok()?,
                // Nothing of ours; it is skipped when the message is read.
                WireType::StartGroup => {
                    skip_field(kind, number, &mut bytes, DecodeContext::default()).ok()?;
                    continue;
                }
                WireType::EndGroup => return None,
            };
            let (value, rest) = bytes.split_at_checked(skipped)?;
            bytes = rest;
            match part {
                Some(Part::Message(_) | Part::Entry(_)) if depth >= MOST_DEPTH => return None,
                Some(Part::Message(inner) | Part::Entry(inner)) if kind == WireType::LengthDelimited => {
                    self.add(*inner, value, footprint, depth + 1)?;
                }
                Some(Part::Packed) => *footprint += PACKED_BYTES * value.len(),
                _ => *footprint += value.len(),
            }
        }
        Some(())
    }
}

fn is_entry(message: &DescriptorProto) -> bool {
    message.options.as_ref().is_some_and(MessageOptions::map_entry)
}

fn collect<'a>(scope: &str, message: &'a DescriptorProto, messages: &mut Vec<(String, &'a DescriptorProto)>) {
    let name = format!("{scope}.{}", message.name());
    for nested in &message.nested_type {
        collect(&name, nested, messages);
    }
    messages.push((name, message));
}

/// What a message of this kind counts. For the fuzz targets.
pub(super) fn footprint<M: Name>(bytes: &[u8]) -> Option<usize> {
    SHAPES.footprint(&M::full_name(), bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(tickets: Vec<pb::Ticket>) -> Vec<u8> {
        pb::BatchTriageTicketsRequest { tickets, features: Vec::new(), top_n: None }.encode_to_vec()
    }

    fn of_batch(bytes: &[u8]) -> Option<usize> {
        footprint::<pb::BatchTriageTicketsRequest>(bytes)
    }

    #[test]
    fn a_message_counts_what_it_takes_in_memory() {
        let of = |tickets| of_batch(&batch(tickets)).unwrap();
        assert!(of(vec![pb::Ticket::default(); 10_000]) >= 10_000 * size_of::<pb::Ticket>());
        assert!(size_of::<pb::Article>().max(size_of::<pb::ConfirmedTicket>()) <= MESSAGE_BYTES);

        let text = pb::Ticket { description: "a".repeat(60_000), ..pb::Ticket::default() };
        let bytes = batch(vec![text.clone(); 60]).len();
        let counted = of(vec![text; 60]);
        assert!((bytes..bytes + bytes / 50).contains(&counted), "{counted} of {bytes}: texts take what they are");

        let values = (0..1_000).map(|number| (number.to_string(), String::new())).collect();
        let many = of(vec![pb::Ticket { field_values: values, ..pb::Ticket::default() }]);
        assert!((150_000..300_000).contains(&many), "{many}: maps within");
        let features = pb::BatchTriageTicketsRequest { features: vec![1; 1_000], ..Default::default() };
        assert!(of_batch(&features.encode_to_vec()).unwrap() > 10_000, "packed");
    }

    #[test]
    fn nothing_is_read_that_was_not_counted() {
        let tickets = batch(vec![pb::Ticket { summary: "vpn".to_owned(), ..pb::Ticket::default() }; 100]);
        let whole = of_batch(&tickets).unwrap();
        // A group that is nothing of ours, and hides a field that is cut off.
        let group = [&[0xa3, 0x06, 0x0a, 0x01, 0xff, 0xa4, 0x06], tickets.as_slice()].concat();
        assert!(pb::BatchTriageTicketsRequest::decode(group.as_slice()).unwrap().tickets.len() == 100);
        assert!(of_batch(&group).unwrap() >= whole);
        // An entry of a map whose key says that it is a number.
        let entry = [&[0x0a, 0x04, 0x38, 0x02, 0x0a, 0x00], tickets.as_slice()].concat();
        assert!(pb::BatchTriageTicketsRequest::decode(entry.as_slice()).is_ok_and(|batch| batch.tickets.len() == 101));
        assert!(of_batch(&entry).unwrap() >= whole);
        // A ticket that is longer than what it stands in, a length beyond the end, a key that does not end, the end of a
        // group that did not begin, a group that does not end.
        for bytes in [
            &[0x0a, 0x02, 0x3a, 0x7f][..],
            &[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f],
            &[0xff; 20],
            &[0x0c],
            &[0x0b, 0x0a, 0x00],
        ] {
            assert!(of_batch(&[&tickets, bytes].concat()).is_none(), "{bytes:?}");
        }
        for end in 0..tickets.len() {
            let (counted, read) = (of_batch(&tickets[..end]), pb::BatchTriageTicketsRequest::decode(&tickets[..end]));
            assert_eq!(counted.is_some(), read.is_ok(), "{end} bytes");
        }
    }
}
