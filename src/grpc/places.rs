//! Places for connections, open calls and the bytes that calls hold, some of all for each peer: nobody can take all of
//! them alone.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many there may be, in all and of each peer. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Places {
    all: Arc<Semaphore>,
    peers: Arc<Mutex<HashMap<IpAddr, usize>>>,
    per_peer: usize,
}

/// Something that counts once or, as bytes do, more often, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    peer: IpAddr,
    of: Places,
    of_all: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.of.give_back(self.peer, self.of_all.num_permits());
    }
}

/// Who calls from an address: whoever has one of IPv6 has 2^64 of them.
fn peer_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address @ IpAddr::V4(_) => address,
    }
}

impl Places {
    pub(super) fn new(all: usize, per_peer: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(all)), peers: Arc::default(), per_peer }
    }

    /// So many anybody can have, and no more.
    pub(super) fn most(&self) -> usize {
        self.per_peer
    }

    /// A place, where there is one.
    pub(super) fn take(&self, address: IpAddr) -> Option<Place> {
        self.take_many(address, 1)
    }

    /// So many places, where there are as many.
    pub(super) fn take_many(&self, address: IpAddr, count: u32) -> Option<Place> {
        let of_all = Arc::clone(&self.all).try_acquire_many_owned(count).ok()?;
        let peer = peer_of(address);
        let mut peers = self.peers();
        let taken = peers.get(&peer).copied().unwrap_or(0) + of_all.num_permits();
        if taken > self.per_peer {
            return None;
        }
        peers.insert(peer, taken);
        drop(peers);
        Some(Place { peer, of: self.clone(), of_all })
    }

    fn give_back(&self, peer: IpAddr, count: usize) {
        let mut peers = self.peers();
        if let Some(taken) = peers.get_mut(&peer) {
            *taken = taken.saturating_sub(count);
            if *taken == 0 {
                peers.remove(&peer);
            }
        }
    }

    /// Nothing is half done if a thread panicked under the lock.
    fn peers(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_peer_has_its_own_limit_and_gives_places_back() {
        let places = Places::new(3, 2);
        let (one, other) = (address("10.0.0.1"), address("10.0.0.2"));
        let first = [places.take(one), places.take(one)];
        assert!(first.iter().all(Option::is_some) && places.take(one).is_none());
        let last = places.take(other);
        assert!(last.is_some() && places.take(other).is_none(), "three in all");
        drop(first);
        assert!(places.take(one).is_some());
        drop(last);
        assert!(places.peers().is_empty(), "nothing is left of peers that have gone");
    }

    #[test]
    fn a_peer_is_an_address_or_a_network_of_ipv6() {
        for (one, other, is_same) in [
            ("10.0.0.1", "10.0.0.2", false),
            ("10.0.0.1", "::ffff:10.0.0.1", true),
            ("2001:db8::1", "2001:db8::ffff:1", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
        ] {
            assert_eq!(peer_of(address(one)) == peer_of(address(other)), is_same, "{one} {other}");
        }
    }
}
