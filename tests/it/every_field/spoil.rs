//! Every way in which one field of a request can be wrong, made from its descriptor.

use std::collections::HashMap;

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, ReflectMessage as _, Value};

use super::promise::Promise;

/// How a request with a spoilt field must be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// As invalid, and the field is named.
    Refused,
    /// Not as invalid because of this field.
    Taken,
    /// With whatever is no fault of the server.
    Handled,
}

pub struct Case {
    /// Such as `ticket.attributes`.
    pub field: String,
    pub spoilt: String,
    pub expected: Expected,
    pub request: DynamicMessage,
}

/// All cases of a request, of what is within its messages too.
pub fn cases(request: &DynamicMessage) -> Vec<Case> {
    let mut cases = Vec::new();
    spoil_message(request, "", &|message| message, &mut cases);
    cases
}

fn spoil_message(
    message: &DynamicMessage,
    path: &str,
    rebuild: &dyn Fn(DynamicMessage) -> DynamicMessage,
    cases: &mut Vec<Case>,
) {
    for field in message.descriptor().fields() {
        let place = if path.is_empty() { field.name().to_owned() } else { format!("{path}.{}", field.name()) };
        let with = |value: Value| {
            let mut spoilt = message.clone();
            spoilt.set_field(&field, value);
            rebuild(spoilt)
        };
        for (spoilt, expected, value) in values_of(&field, message) {
            cases.push(Case { field: place.clone(), spoilt, expected, request: with(value) });
        }
        if Promise::of(&field).required && field.supports_presence() {
            let mut spoilt = message.clone();
            spoilt.clear_field(&field);
            let (field, spoilt, request) = (place.clone(), "missing".to_owned(), rebuild(spoilt));
            cases.push(Case { field, spoilt, expected: Expected::Refused, request });
        }
        if let Some((inner, is_there)) = inner_message(&field, message) {
            let behind = cases.len();
            let wrap = |inner| {
                let inner = Value::Message(inner);
                with(if field.is_list() { Value::List(vec![inner]) } else { inner })
            };
            spoil_message(&inner, &place, &wrap, cases);
            if !is_there {
                // Of a message that is wrong as a whole, any of its fields may be named.
                for case in &mut cases[behind..] {
                    case.expected = Expected::Handled;
                }
            }
        }
    }
}

/// The message of a field, or the first of its messages, and whether it is there; an empty one where there is none.
fn inner_message(field: &FieldDescriptor, message: &DynamicMessage) -> Option<(DynamicMessage, bool)> {
    let Kind::Message(descriptor) = field.kind() else { return None };
    if field.is_map() {
        return None;
    }
    let value = message.get_field(field);
    let first = value.as_list().map_or(Some(&*value), |list| list.first());
    let found = first.and_then(Value::as_message).filter(|_| message.has_field(field)).cloned();
    let is_there = found.is_some();
    Some((found.unwrap_or_else(|| DynamicMessage::new(descriptor)), is_there))
}

type Spoilt = Vec<(String, Expected, Value)>;

fn values_of(field: &FieldDescriptor, message: &DynamicMessage) -> Spoilt {
    let promise = Promise::of(field);
    if field.is_map() {
        return maps(&promise);
    }
    if field.is_list() {
        let first = message.get_field(field).as_list().and_then(|list| list.first().cloned());
        return lists(&field.kind(), &promise, &first.unwrap_or_else(|| Value::default_value(&field.kind())));
    }
    single_values(&field.kind(), &promise)
}

fn refused_if(condition: bool) -> Expected {
    if condition { Expected::Refused } else { Expected::Handled }
}

fn single_values(kind: &Kind, promise: &Promise) -> Spoilt {
    match kind {
        Kind::String => texts(promise),
        Kind::Enum(_) => [(9_999, true), (-1, true), (0, promise.required)]
            .map(|(number, wrong)| (format!("enum {number}"), refused_if(wrong), Value::EnumNumber(number)))
            .to_vec(),
        Kind::Uint32 | Kind::Uint64 | Kind::Int32 | Kind::Int64 => whole_numbers(kind, promise),
        Kind::Float | Kind::Double => fractions(kind, promise),
        Kind::Bytes => vec![("bytes".to_owned(), Expected::Handled, Value::Bytes(vec![0xff; 1_000].into()))],
        // Both values of a bool are right, and messages are gone into.
        Kind::Bool | Kind::Message(_) => Vec::new(),
        Kind::Sint32 | Kind::Sint64 | Kind::Fixed32 | Kind::Fixed64 | Kind::Sfixed32 | Kind::Sfixed64 => {
            panic!("say how a {kind:?} can be wrong")
        }
    }
}

fn texts(promise: &Promise) -> Spoilt {
    let text = |spoilt: &str, expected, text: String| (spoilt.to_owned(), expected, Value::String(text));
    let over = |chars: usize| refused_if(promise.max_chars.is_some_and(|most| chars > most));
    let mut texts = vec![
        text("empty", refused_if(promise.required), String::new()),
        text("blank", refused_if(promise.required), " \t\u{a0} ".to_owned()),
        text("with control characters", Expected::Handled, "a\0b\u{1b}[31m\r\n\u{202e}\u{feff}c".to_owned()),
        text("marks without letters", Expected::Handled, "\u{301}\u{200d}\u{fe0f}".to_owned()),
        text("a number that no record has", Expected::Handled, u64::MAX.to_string()),
        text("a path", Expected::Handled, "../../etc/passwd\0".to_owned()),
        text("70,000 characters", over(70_000), "y".repeat(70_000)),
    ];
    if let Some(most) = promise.max_chars {
        texts.push(text("at its limit", Expected::Taken, "é".repeat(most)));
        texts.push(text("over its limit", Expected::Refused, "é".repeat(most + 1)));
    }
    texts
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "limits in comments are small whole numbers; the extremes saturate"
)]
fn whole_numbers(kind: &Kind, promise: &Promise) -> Spoilt {
    let number = |number: f64| {
        if *kind == Kind::Uint32 {
            return Value::U32(number as u32);
        }
        if *kind == Kind::Uint64 {
            return Value::U64(number as u64);
        }
        if *kind == Kind::Int32 { Value::I32(number as i32) } else { Value::I64(number as i64) }
    };
    let Some((least, most)) = promise.range else {
        return [0.0, 1.0, u64::MAX as f64, i64::MIN as f64]
            .map(|value| (format!("{value}"), refused_if(promise.required && value == 0.0), number(value)))
            .to_vec();
    };
    let below = (least > 0.0).then_some((least - 1.0, Expected::Refused));
    [
        (least, Expected::Taken),
        (most, Expected::Taken),
        (most + 1.0, Expected::Refused),
        (u64::MAX as f64, Expected::Refused),
    ]
    .into_iter()
    .chain(below)
    .map(|(value, expected)| (format!("{value}"), expected, number(value)))
    .collect()
}

#[expect(clippy::cast_possible_truncation, reason = "a float of a request; the extremes become infinite")]
fn fractions(kind: &Kind, promise: &Promise) -> Spoilt {
    let values = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1e-9, 1e300, -0.0, 0.5];
    let limits = promise.range.map(|(least, most)| [least, most]);
    let taken = |value: f64| promise.range.is_none_or(|(least, most)| (least..=most).contains(&value));
    values
        .into_iter()
        .chain(limits.into_iter().flatten())
        .map(|value| {
            let number = if *kind == Kind::Float { Value::F32(value as f32) } else { Value::F64(value) };
            (format!("{value}"), refused_if(!taken(value)), number)
        })
        .collect()
}

fn lists(kind: &Kind, promise: &Promise, first: &Value) -> Spoilt {
    let element = Promise { required: false, range: None, max_chars: promise.max_chars, ..Promise::default() };
    let mut lists: Spoilt = single_values(kind, &element)
        .into_iter()
        .map(|(spoilt, expected, value)| (format!("an element: {spoilt}"), expected, Value::List(vec![value])))
        .collect();
    // Copies of a message are often wrong because they are alike; copies of texts are told apart.
    let copies = |count: usize| Value::List((0..count).map(|number| told_apart(first, number)).collect());
    let most = promise.max_entries.or(promise.range.map(|(_, most)| as_count(most)));
    lists.push(("no element".to_owned(), refused_if(promise.required), Value::List(Vec::new())));
    lists.push(("2,000 elements".to_owned(), refused_if(most.is_some_and(|most| most < 2_000)), copies(2_000)));
    if let Some(most) = most {
        let expected = if first.as_str().is_some() { Expected::Taken } else { Expected::Handled };
        lists.push(("as many elements as may be".to_owned(), expected, copies(most)));
        lists.push(("one element too many".to_owned(), Expected::Refused, copies(most + 1)));
    }
    lists
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number of elements")]
fn as_count(most: f64) -> usize {
    most as usize
}

fn told_apart(value: &Value, number: usize) -> Value {
    value.as_str().map_or_else(|| value.clone(), |text| Value::String(format!("{text}{number}")))
}

fn maps(promise: &Promise) -> Spoilt {
    let entry = |key: String, value: String| Value::Map([(MapKey::String(key), Value::String(value))].into());
    let many = |count: usize| {
        let entries = (0..count).map(|number| (MapKey::String(format!("key{number}")), Value::String("v".to_owned())));
        Value::Map(entries.collect::<HashMap<_, _>>())
    };
    let mut maps = vec![
        ("a blank key".to_owned(), Expected::Handled, entry(" ".to_owned(), "value".to_owned())),
        ("a blank value".to_owned(), Expected::Handled, entry("key".to_owned(), "\t".to_owned())),
        ("control characters".to_owned(), Expected::Handled, entry("a\0\u{1b}".to_owned(), "b\0\n".to_owned())),
        ("2,000 entries".to_owned(), refused_if(promise.max_entries.is_some()), many(2_000)),
    ];
    if let Some(most) = promise.max_chars {
        maps.push((
            "a value over its limit".to_owned(),
            Expected::Refused,
            entry("key".to_owned(), "é".repeat(most + 1)),
        ));
    }
    if let Some(most) = promise.max_key_chars {
        maps.push(("a key over its limit".to_owned(), Expected::Refused, entry("é".repeat(most + 1), "v".to_owned())));
    }
    if let Some(most) = promise.max_entries {
        maps.push(("one entry too many".to_owned(), Expected::Refused, many(most + 1)));
    }
    maps
}
