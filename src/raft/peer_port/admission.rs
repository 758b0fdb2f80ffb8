//! Limits the connections and handshakes of the peer port, and the share of each address, so that clients which only
//! hold sockets open cannot keep the peers out.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;

/// The pause between two times that the node resolves the host names of its peers.
const RESOLVE_EVERY: Duration = Duration::from_secs(30);
/// How long a host name may take to resolve.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);

/// The limits, and how much of them each address holds.
pub(in crate::raft) struct Admission {
    connections: u32,
    handshakes: u32,
    /// The IP addresses of the peers.
    peers: ArcSwap<HashSet<IpAddr>>,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    connections: u32,
    handshakes: u32,
    /// Handshakes with addresses that are not in `cluster.peers`.
    strangers: u32,
    by_address: HashMap<IpAddr, u32>,
}

/// A connection's place under the limits. Dropping it frees the place.
pub(in crate::raft) struct ConnectionPlace {
    admission: Arc<Admission>,
    from: IpAddr,
    /// Whether no peer has this address.
    is_stranger: bool,
    in_handshake: bool,
}

/// Which limit a connection would exceed, and how high that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(in crate::raft) enum Full {
    /// All connections.
    #[error("{0} peer connections are open already (cluster.connections)")]
    Connections(u32),
    /// All handshakes.
    #[error("{0} handshakes are under way already (cluster.handshakes)")]
    Handshakes(u32),
    /// Handshakes with addresses that are not in `cluster.peers`.
    #[error(
        "{0} handshakes are under way with addresses that are not in cluster.peers, which is their share of \
         cluster.handshakes"
    )]
    Strangers(u32),
    /// Handshakes with this address.
    #[error("{0} handshakes are under way with this address already, which is its share of cluster.handshakes")]
    Address(u32),
}

impl Admission {
    /// Admits this many connections and handshakes. IP addresses in `peers` count from now on. Host names count once
    /// [`Admission::keep_resolving`] has resolved them.
    pub fn new(connections: u32, handshakes: u32, peers: &[String]) -> Arc<Self> {
        let literal = peers.iter().filter_map(|peer| host(peer).parse::<IpAddr>().ok().map(|ip| ip.to_canonical()));
        let peers = ArcSwap::from_pointee(literal.collect());
        Arc::new(Self { connections, handshakes, peers, counts: Mutex::default() })
    }

    /// Admits a connection, whose handshake begins now.
    ///
    /// # Errors
    /// The limit that it would exceed.
    pub fn enter(self: &Arc<Self>, from: IpAddr) -> Result<ConnectionPlace, Full> {
        let is_stranger = !self.peers.load().contains(&from);
        let mut counts = self.counts.lock();
        let held = counts.by_address.get(&from).copied().unwrap_or(0);
        self.has_room(&counts, held, is_stranger)?;
        counts.connections += 1;
        counts.handshakes += 1;
        counts.strangers += u32::from(is_stranger);
        counts.by_address.insert(from, held + 1);
        Ok(ConnectionPlace { admission: Arc::clone(self), from, is_stranger, in_handshake: true })
    }

    /// Addresses that are not in `cluster.peers` get a quarter of the handshakes together and an eighth each. The
    /// address of each peer gets a quarter.
    fn has_room(&self, counts: &Counts, held: u32, is_stranger: bool) -> Result<(), Full> {
        let share = |part: u32| (self.handshakes / part).max(1);
        let (strangers, each) = (share(4), if is_stranger { share(8) } else { share(4) });
        if counts.connections >= self.connections {
            Err(Full::Connections(self.connections))
        } else if held >= each {
            Err(Full::Address(each))
        } else if is_stranger && counts.strangers >= strangers {
            Err(Full::Strangers(strangers))
        } else if counts.handshakes >= self.handshakes {
            Err(Full::Handshakes(self.handshakes))
        } else {
            Ok(())
        }
    }

    /// Resolves the peers' host names again and again, until the admission is dropped. A name that does not resolve
    /// keeps the addresses that it had.
    pub async fn keep_resolving(admission: Weak<Self>, peers: Vec<String>) {
        let mut known: Vec<HashSet<IpAddr>> = vec![HashSet::new(); peers.len()];
        loop {
            for (peer, known) in peers.iter().zip(&mut known) {
                if let Ok(Ok(found)) = tokio::time::timeout(RESOLVE_TIMEOUT, tokio::net::lookup_host(peer)).await {
                    *known = found.map(|address| address.ip().to_canonical()).collect();
                }
            }
            match admission.upgrade() {
                Some(admission) => admission.peers.store(Arc::new(known.iter().flatten().copied().collect())),
                None => return,
            }
            tokio::time::sleep(RESOLVE_EVERY).await;
        }
    }

    fn end_handshake(&self, from: IpAddr, is_stranger: bool) {
        let mut counts = self.counts.lock();
        counts.handshakes -= 1;
        counts.strangers -= u32::from(is_stranger);
        if let Some(held) = counts.by_address.get_mut(&from) {
            *held -= 1;
            if *held == 0 {
                counts.by_address.remove(&from);
            }
        }
    }
}

impl ConnectionPlace {
    /// The address at the other end, if `cluster.peers` lists it.
    pub fn listed_address(&self) -> Option<IpAddr> {
        (!self.is_stranger).then_some(self.from)
    }

    /// Ends the handshake. The connection keeps its place.
    pub fn handshake_done(&mut self) {
        if std::mem::take(&mut self.in_handshake) {
            self.admission.end_handshake(self.from, self.is_stranger);
        }
    }
}

impl Drop for ConnectionPlace {
    fn drop(&mut self) {
        self.handshake_done();
        self.admission.counts.lock().connections -= 1;
    }
}

/// The host of a `host:port`, without the brackets of an IPv6 address.
fn host(peer: &str) -> &str {
    let host = peer.rsplit_once(':').map_or(peer, |(host, _)| host);
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    /// Admits connections until one is refused.
    fn fill(admission: &Arc<Admission>, from: IpAddr) -> (Vec<ConnectionPlace>, Full) {
        let mut places = Vec::new();
        loop {
            match admission.enter(from) {
                Ok(place) => places.push(place),
                Err(full) => return (places, full),
            }
        }
    }

    fn admission(connections: u32) -> Arc<Admission> {
        Admission::new(connections, 64, &["10.0.0.1:7473".to_owned(), "[::ffff:10.0.0.2]:7473".to_owned()])
    }

    #[test]
    fn any_number_of_strangers_leaves_room_for_peers() {
        let admission = admission(128);
        let (one, full) = fill(&admission, ip(9));
        assert_eq!((one.len(), full), (8, Full::Address(8)));
        let (two, _) = fill(&admission, ip(8));
        let (none, full) = fill(&admission, ip(7));
        assert_eq!((two.len(), none.len(), full), (8, 0, Full::Strangers(16)));
        assert_eq!(one[0].listed_address(), None);
        for peer in [1, 2] {
            let (places, full) = fill(&admission, ip(peer));
            assert_eq!(places[0].listed_address(), Some(ip(peer)));
            assert_eq!((places.len(), full), (16, Full::Address(16)), "a peer has its share");
        }
    }

    #[test]
    fn a_finished_handshake_makes_room_and_its_connection_counts_until_it_ends() {
        let admission = admission(10);
        let mut open = Vec::new();
        let full = loop {
            match admission.enter(ip(9)) {
                Ok(mut place) => {
                    place.handshake_done();
                    open.push(place);
                }
                Err(full) => break full,
            }
        };
        assert_eq!((open.len(), full), (10, Full::Connections(10)));
        drop(open.pop());
        assert!(admission.enter(ip(9)).is_ok());
        drop(open);
        let counts = admission.counts.lock();
        assert_eq!((counts.connections, counts.handshakes, counts.strangers), (0, 0, 0));
        assert!(counts.by_address.is_empty(), "an address without connections takes no memory");
    }

    #[test]
    fn a_limit_of_one_handshake_admits_any_address() {
        let admission = Admission::new(2, 1, &[]);
        let (places, _) = fill(&admission, ip(9));
        assert_eq!(places.len(), 1);
        drop(places);
        assert!(admission.enter(ip(8)).is_ok());
    }

    #[tokio::test]
    async fn host_names_become_addresses_of_peers() {
        let admission = Admission::new(8, 8, &["localhost:1".to_owned()]);
        let local = IpAddr::from([127, 0, 0, 1]);
        assert!(!admission.peers.load().contains(&local));
        let resolving = Admission::keep_resolving(Arc::downgrade(&admission), vec!["localhost:1".to_owned()]);
        let resolving = tokio::spawn(resolving);
        while !admission.peers.load().contains(&local) {
            tokio::task::yield_now().await;
        }
        resolving.abort();
    }
}
