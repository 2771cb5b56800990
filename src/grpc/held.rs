//! What calls hold in memory: messages that come, requests at work, and answers that nobody has read yet. Of all callers and
//! of each so many bytes, or a peer with room for a thousand calls could fill the memory with the largest ones.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use super::places::{Place, Places};

/// So much of each call is not counted: most are smaller, and cost nothing here.
const FREE_BYTES: usize = 64 << 10;
/// What stands before each message: whether it is compressed, and its length.
const HEAD_BYTES: usize = 5;

/// The bytes that one call holds; clones are of the same call, and with the last one they are given back.
#[derive(Debug, Clone)]
pub(super) struct Held {
    of: Places,
    address: IpAddr,
    place: Arc<Mutex<Option<Place>>>,
}

impl Held {
    pub(super) fn new(of: &Places, address: IpAddr) -> Self {
        Self { of: of.clone(), address, place: Arc::default() }
    }

    /// The call holds so many bytes from now on; `false` where there is no room for them, and it must let go of them.
    pub(super) fn hold(&self, bytes: usize) -> bool {
        let counted = bytes.saturating_sub(FREE_BYTES);
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        *place = None;
        if counted > 0 {
            *place = u32::try_from(counted).ok().and_then(|counted| self.of.take_many(self.address, counted));
        }
        counted == 0 || place.is_some()
    }
}

/// Where in the messages of a call the next byte stands.
#[derive(Debug, Clone, Copy)]
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

    #[test]
    fn calls_share_what_their_peer_may_hold_and_give_it_back() {
        let bytes = Places::new(300_000, 200_000);
        let call = |last: u8| Held::new(&bytes, Ipv4Addr::new(10, 0, 0, last).into());
        let (one, same, other) = (call(1), call(1), call(2));
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
