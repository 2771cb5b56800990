//! What calls hold in memory: messages that come, requests at work, and answers that are not written yet. Of all callers and
//! of each so many bytes, or a peer with room for a thousand calls could fill the memory with the largest ones.

use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::task_local;
use tonic::{Status, codegen::Bytes};

use super::{
    admission,
    places::{Place, Places},
};
use crate::{access::methods::Method, error::TriageError};

/// So much of each call is not counted: most are smaller, and cost nothing here.
const FREE_BYTES: usize = 64 << 10;
/// What stands before each message: whether it is compressed, and its length.
const HEAD_BYTES: usize = 5;

/// What one call holds, and its place among the open calls; clones are of the same call, and with the last one all is given
/// back.
#[derive(Debug, Clone)]
pub(super) struct Held(Arc<Account>);

#[derive(Debug)]
struct Account {
    /// `None` for health, reflection, and what is no method of ours.
    method: Option<&'static Method>,
    of: Places,
    address: IpAddr,
    messages: Mutex<HeldMessages>,
    /// Bytes of the parts of a stream: tickets that wait, and answers that are on their way.
    parts: AtomicUsize,
    _open: Place,
}

#[derive(Debug, Default)]
struct HeldMessages {
    /// Of the last message whose head has come.
    coming: Option<Place>,
    begun: u64,
    /// Of the last message that was read, or of the whole answer.
    at_work: Option<Place>,
    read: u64,
}

task_local! {
    /// The call whose messages are read.
    static CALL: Held;
}

/// Counts a message of the call that it is read for, before it is read; `footprint` says what it will take. A client's own
/// are not counted.
pub(super) fn hold_message(footprint: impl FnOnce() -> Result<usize, Status>) -> Result<(), Status> {
    CALL.try_with(|held| held.hold_message(footprint()?)).unwrap_or(Ok(()))
}

/// Counts a part of the stream whose messages are read, until it is dropped; an error where there is no room for it.
pub(super) fn hold_part(bytes: usize) -> Result<Option<Part>, TriageError> {
    let part = CALL.try_with(|held| held.part(bytes));
    part.map_or(Ok(None), |part| part.map(Some).ok_or_else(admission::no_room))
}

impl Held {
    /// Of a call from `address` that is open in `open`.
    pub(super) fn new(method: Option<&'static Method>, of: &Places, address: IpAddr, open: Place) -> Self {
        let account = Account {
            method,
            of: of.clone(),
            address,
            messages: Mutex::default(),
            parts: AtomicUsize::new(0),
            _open: open,
        };
        Self(Arc::new(account))
    }

    /// Has the messages that `call` reads counted.
    pub(super) async fn reading<T>(self, call: impl Future<Output = T>) -> T {
        CALL.scope(self, call).await
    }

    /// The same for one poll.
    pub(super) fn while_reading<T>(&self, poll: impl FnOnce() -> T) -> T {
        CALL.sync_scope(self.clone(), poll)
    }

    fn hold_message(&self, bytes: usize) -> Result<(), Status> {
        let mut messages = self.messages();
        messages.read += 1;
        // Another message may have begun behind this one.
        if messages.read >= messages.begun {
            messages.coming = None;
        }
        if self.0.hold(&mut messages.at_work, bytes) {
            return Ok(());
        }
        let allowed = self.0.of.most();
        let ever = bytes.saturating_sub(FREE_BYTES) <= allowed;
        let error = if ever { admission::no_room() } else { TriageError::TooManyParts { bytes, allowed } };
        Err(admission::refused(self.0.method, error))
    }

    /// So many messages have begun to come, the last of them with so many bytes; `false` where there is no room for it.
    pub(super) fn hold_coming(&self, begun: u64, bytes: usize) -> bool {
        let mut messages = self.messages();
        messages.begun = begun;
        self.0.hold(&mut messages.coming, bytes)
    }

    /// From now on the call holds an answer of so many bytes, and nothing of what it was asked; `false` where there is no
    /// room for it.
    pub(super) fn hold_answer(&self, bytes: usize) -> bool {
        let mut messages = self.messages();
        messages.coming = None;
        self.0.hold(&mut messages.at_work, bytes)
    }

    pub(super) fn method(&self) -> Option<&'static Method> {
        self.0.method
    }

    /// Keeps the call open, and what it holds, until these bytes of its answer are written or nobody wants them any more:
    /// where a client makes room for a single byte, the library takes all that is ready out of the body.
    pub(super) fn until_written(&self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Unwritten { bytes, _held: self.clone(), _part: None })
    }

    /// The same for a part of an answer, which counts until then; `None` where there is no room for it.
    pub(super) fn counted_until_written(&self, bytes: Bytes) -> Option<Bytes> {
        let part = self.part(bytes.len())?;
        Some(Bytes::from_owner(Unwritten { bytes, _held: self.clone(), _part: Some(part) }))
    }

    fn part(&self, bytes: usize) -> Option<Part> {
        let before = self.0.parts.fetch_add(bytes, Ordering::Relaxed);
        let counted = (before + bytes).saturating_sub(FREE_BYTES).min(bytes);
        let place = self.0.take(counted);
        let has_room = counted == 0 || place.is_some();
        let part = Part { bytes, held: self.clone(), _place: place };
        has_room.then_some(part)
    }

    fn messages(&self) -> MutexGuard<'_, HeldMessages> {
        self.0.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Account {
    /// Gives `place` back first, or there would not be room for what comes instead.
    fn hold(&self, place: &mut Option<Place>, bytes: usize) -> bool {
        *place = None;
        let counted = bytes.saturating_sub(FREE_BYTES);
        *place = self.take(counted);
        counted == 0 || place.is_some()
    }

    fn take(&self, bytes: usize) -> Option<Place> {
        u32::try_from(bytes).ok().filter(|bytes| *bytes > 0).and_then(|bytes| self.of.take_many(self.address, bytes))
    }
}

/// A part of a stream, which counts until it is dropped.
#[derive(Debug)]
pub(super) struct Part {
    bytes: usize,
    held: Held,
    _place: Option<Place>,
}

impl Drop for Part {
    fn drop(&mut self) {
        self.held.0.parts.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Of an answer, on its way.
struct Unwritten {
    bytes: Bytes,
    _held: Held,
    _part: Option<Part>,
}

impl AsRef<[u8]> for Unwritten {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Where in the messages of a call the next byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Messages {
    /// In the head of a message.
    Head([u8; HEAD_BYTES], usize),
    /// So many bytes before the next head.
    Message(usize),
}

impl Messages {
    pub(super) fn new() -> Self {
        Self::Head([0; HEAD_BYTES], 0)
    }

    /// Goes on behind these bytes; how many messages began in them, and the length of the last, which may not have come yet.
    pub(super) fn read(&mut self, mut bytes: &[u8]) -> Option<(u64, usize)> {
        let mut begun = None;
        while !bytes.is_empty() {
            match *self {
                Self::Head(mut head, known) => {
                    let some = bytes.len().min(HEAD_BYTES - known);
                    head[known..known + some].copy_from_slice(&bytes[..some]);
                    bytes = &bytes[some..];
                    *self = Self::Head(head, known + some);
                    if known + some == HEAD_BYTES {
                        let [_, a, b, c, d] = head;
                        let length = u32::from_be_bytes([a, b, c, d]) as usize;
                        begun = Some((begun.map_or(1, |(count, _)| count + 1), length));
                        *self = Self::Message(length);
                    }
                }
                Self::Message(0) => *self = Self::new(),
                Self::Message(left) => {
                    let some = bytes.len().min(left);
                    bytes = &bytes[some..];
                    *self = Self::Message(left - some);
                }
            }
        }
        begun
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tonic::Code;

    use super::*;

    fn call(bytes: &Places, last: u8) -> Held {
        let address = Ipv4Addr::new(10, 0, 0, last).into();
        Held::new(None, bytes, address, Places::new(1, 1).take(address).unwrap())
    }

    #[test]
    fn calls_share_what_their_peer_may_hold_and_give_it_back() {
        let bytes = Places::new(300_000, 200_000);
        let (one, same, other) = (call(&bytes, 1), call(&bytes, 1), call(&bytes, 2));
        let holds = |call: &Held, bytes| call.hold_message(bytes).is_ok();
        assert!(holds(&one, FREE_BYTES + 150_000) && holds(&same, FREE_BYTES), "small calls are not counted");
        assert!(!holds(&same, FREE_BYTES + 50_001) && holds(&same, FREE_BYTES + 50_000), "of one peer");
        assert!(!holds(&other, FREE_BYTES + 100_001) && holds(&other, FREE_BYTES + 100_000), "of all");
        assert!(holds(&one, FREE_BYTES + 149_000) && !holds(&one, usize::MAX), "holds what it held last");
        let again = one.clone();
        assert!(holds(&one, FREE_BYTES + 150_000));
        drop(one);
        assert!(!holds(&same, FREE_BYTES + 50_001), "as long as the call is known");
        drop(again);
        assert!(holds(&same, FREE_BYTES + 200_000));
        let no_room = call(&bytes, 3).hold_message(FREE_BYTES + 200_000).unwrap_err();
        let never = same.hold_message(FREE_BYTES + 200_001).unwrap_err();
        assert_eq!((no_room.code(), never.code()), (Code::ResourceExhausted, Code::OutOfRange));
    }

    #[test]
    fn a_message_that_comes_counts_beside_the_one_before() {
        let bytes = Places::new(200_000, 200_000);
        let (one, same) = (call(&bytes, 1), call(&bytes, 1));
        let left = |expected: usize| {
            assert!(!same.hold_answer(FREE_BYTES + expected + 1) && same.hold_answer(FREE_BYTES + expected));
            assert!(same.hold_answer(0));
        };
        assert!(one.hold_coming(1, FREE_BYTES + 100_000));
        left(100_000);
        assert!(one.hold_message(FREE_BYTES + 50_000).is_ok());
        left(150_000);
        assert!(one.hold_coming(2, FREE_BYTES + 100_000));
        left(50_000);
        // Two more are read together, and behind them another has begun.
        assert!(one.hold_coming(4, FREE_BYTES + 20_000) && one.hold_message(0).is_ok() && one.hold_message(0).is_ok());
        left(180_000);
        assert!(one.hold_message(0).is_ok());
        left(200_000);
        assert!(one.hold_coming(5, FREE_BYTES + 1_000) && one.hold_answer(FREE_BYTES + 3_000));
        left(197_000);
    }

    #[test]
    fn parts_of_an_answer_count_until_they_are_written() {
        let bytes = Places::new(200_000, 200_000);
        let (one, same) = (call(&bytes, 1), call(&bytes, 1));
        let part = |length: usize| Bytes::from(vec![7; length]);
        let small = one.counted_until_written(part(FREE_BYTES)).unwrap();
        assert_eq!(small, part(FREE_BYTES));
        let large = one.counted_until_written(part(150_000)).unwrap();
        assert!(same.counted_until_written(part(FREE_BYTES + 50_000)).is_some(), "it is given back at once");
        assert!(same.counted_until_written(part(FREE_BYTES + 50_001)).is_none());
        drop(small);
        assert!(one.counted_until_written(part(50_001)).is_none() && !same.hold_answer(FREE_BYTES + 50_001));
        drop(large);
        assert!(one.counted_until_written(part(FREE_BYTES)).is_some() && same.hold_answer(FREE_BYTES + 200_000));
    }

    #[test]
    fn a_call_is_open_and_holds_its_answer_until_it_is_written() {
        let (open, bytes, address) = (Places::new(1, 1), Places::new(100, 100), Ipv4Addr::LOCALHOST.into());
        let held = Held::new(None, &bytes, address, open.take(address).unwrap());
        assert!(held.hold_answer(FREE_BYTES + 100));
        let answer = held.until_written(Bytes::from_static(b"answer"));
        drop(held);
        assert!(open.take(address).is_none() && bytes.take(address).is_none());
        drop(answer);
        assert!(open.take(address).is_some() && bytes.take(address).is_some());
    }

    #[test]
    fn it_does_not_matter_how_messages_are_cut() {
        let message = |length: u32| [&[0][..], &length.to_be_bytes(), &vec![7; length as usize]].concat();
        let bytes = [message(300), message(0), message(2), message(70_000)].concat();
        for size in (1..40).chain([1_000, bytes.len()]) {
            let mut messages = Messages::new();
            let begun: Vec<_> = bytes.chunks(size).filter_map(|piece| messages.read(piece)).collect();
            assert_eq!(begun.last().map(|(_, length)| *length), Some(70_000), "in pieces of {size}");
            assert_eq!(begun.iter().map(|(count, _)| count).sum::<u64>(), 4, "in pieces of {size}");
            assert!(matches!(messages, Messages::Message(0)), "in pieces of {size}");
        }
    }

    #[test]
    fn a_message_counts_from_its_head_on() {
        let mut messages = Messages::new();
        assert_eq!(messages.read(&[0, 0, 1, 0]), None);
        assert_eq!(messages.read(&[0, 9]), Some((1, 65_536)));
        assert_eq!(messages.read(&[9; 100]), None);
    }
}
