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
    /// Of the message that comes or is at work, or of the whole answer.
    place: Mutex<Option<Place>>,
    /// Bytes of the parts of an answer that are on their way.
    unwritten: AtomicUsize,
    _open: Place,
}

task_local! {
    /// The call whose messages are read.
    static CALL: Held;
}

/// Counts a message of the call that it is read for, before it is read; `footprint` says what it will take. A client's own
/// are not counted.
pub(super) fn hold_message(footprint: impl FnOnce() -> usize) -> Result<(), Status> {
    CALL.try_with(|held| held.hold_message(footprint())).unwrap_or(Ok(()))
}

impl Held {
    /// Of a call from `address` that is open in `open`.
    pub(super) fn new(method: Option<&'static Method>, of: &Places, address: IpAddr, open: Place) -> Self {
        let account = Account {
            method,
            of: of.clone(),
            address,
            place: Mutex::default(),
            unwritten: AtomicUsize::new(0),
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
        if self.hold(bytes) {
            return Ok(());
        }
        let allowed = self.0.of.most();
        let error = if bytes.saturating_sub(FREE_BYTES) > allowed {
            TriageError::TooManyParts { bytes, allowed }
        } else {
            admission::no_room()
        };
        Err(admission::refused(self.0.method, error))
    }

    pub(super) fn method(&self) -> Option<&'static Method> {
        self.0.method
    }

    /// The call holds so many bytes from now on: of the message that comes or is at work, or of its whole answer; `false`
    /// where there is no room for them, and the call must let go of them.
    pub(super) fn hold(&self, bytes: usize) -> bool {
        let counted = bytes.saturating_sub(FREE_BYTES);
        let mut place = self.place();
        *place = None;
        *place = self.0.take(counted);
        counted == 0 || place.is_some()
    }

    /// Keeps the call open, and what it holds, until these bytes of its answer are written or nobody wants them any more:
    /// where a client makes room for a single byte, the library takes all that is ready out of the body.
    pub(super) fn until_written(&self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Unwritten { bytes, counted: 0, held: self.clone(), _place: None })
    }

    /// The same for a part of an answer, which counts until then; `None` where there is no room for it.
    pub(super) fn counted_until_written(&self, bytes: Bytes) -> Option<Bytes> {
        let counted = bytes.len();
        let before = self.0.unwritten.fetch_add(counted, Ordering::Relaxed);
        let over = (before + counted).saturating_sub(FREE_BYTES).min(counted);
        let place = self.0.take(over);
        let has_room = over == 0 || place.is_some();
        let unwritten = Unwritten { bytes, counted, held: self.clone(), _place: place };
        has_room.then(|| Bytes::from_owner(unwritten))
    }

    fn place(&self) -> MutexGuard<'_, Option<Place>> {
        self.0.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Account {
    fn take(&self, bytes: usize) -> Option<Place> {
        u32::try_from(bytes).ok().filter(|bytes| *bytes > 0).and_then(|bytes| self.of.take_many(self.address, bytes))
    }
}

/// Of an answer, on its way.
struct Unwritten {
    bytes: Bytes,
    counted: usize,
    held: Held,
    _place: Option<Place>,
}

impl AsRef<[u8]> for Unwritten {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Unwritten {
    fn drop(&mut self) {
        self.held.0.unwritten.fetch_sub(self.counted, Ordering::Relaxed);
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

    /// Goes on behind these bytes; the length of the last message that began in them, which may not have come yet.
    pub(super) fn read(&mut self, mut bytes: &[u8]) -> Option<usize> {
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
                        begun = Some(length);
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

    use super::*;

    fn call(bytes: &Places, last: u8) -> Held {
        let address = Ipv4Addr::new(10, 0, 0, last).into();
        Held::new(None, bytes, address, Places::new(1, 1).take(address).unwrap())
    }

    #[test]
    fn calls_share_what_their_peer_may_hold_and_give_it_back() {
        let bytes = Places::new(300_000, 200_000);
        let (one, same, other) = (call(&bytes, 1), call(&bytes, 1), call(&bytes, 2));
        assert!(one.hold(FREE_BYTES + 150_000) && same.hold(FREE_BYTES), "small calls are not counted");
        assert!(!same.hold(FREE_BYTES + 50_001) && same.hold(FREE_BYTES + 50_000), "of one peer");
        assert!(!other.hold(FREE_BYTES + 100_001) && other.hold(FREE_BYTES + 100_000), "of all");
        assert!(one.hold(FREE_BYTES + 149_000) && !one.hold(usize::MAX), "holds what it held last");
        let again = one.clone();
        assert!(one.hold(FREE_BYTES + 150_000));
        drop(one);
        assert!(!same.hold(FREE_BYTES + 50_001), "as long as the call is known");
        drop(again);
        assert!(same.hold(FREE_BYTES + 200_000));
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
        assert!(one.counted_until_written(part(50_001)).is_none() && !same.hold(FREE_BYTES + 50_001));
        drop(large);
        assert!(one.counted_until_written(part(FREE_BYTES)).is_some() && same.hold(FREE_BYTES + 200_000));
    }

    #[test]
    fn a_call_is_open_and_holds_its_answer_until_it_is_written() {
        let (open, bytes, address) = (Places::new(1, 1), Places::new(100, 100), Ipv4Addr::LOCALHOST.into());
        let held = Held::new(None, &bytes, address, open.take(address).unwrap());
        assert!(held.hold(FREE_BYTES + 100));
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
            assert_eq!(begun.last(), Some(&70_000), "in pieces of {size}");
            if size < 6 {
                assert_eq!(begun, [300, 0, 2, 70_000], "in pieces of {size}");
            }
            assert!(matches!(messages, Messages::Message(0)), "in pieces of {size}");
        }
    }

    #[test]
    fn a_message_counts_from_its_head_on() {
        let mut messages = Messages::new();
        assert_eq!(messages.read(&[0, 0, 1, 0]), None);
        assert_eq!(messages.read(&[0, 9]), Some(65_536));
        assert_eq!(messages.read(&[9; 100]), None);
    }
}
