//! Faults: when each one begins and ends, and what the network is like while several hold.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use rand10::rngs::StdRng;
use rand10::{Rng as _, RngExt as _};

/// How long a fault takes, in milliseconds.
const DURATION_MS: Range<u64> = 200..4_000;

/// A fault. Nodes are counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A node ends and starts again. The other nodes see its connections close.
    Crash(usize),
    /// A machine loses its power: nobody hears from it.
    PowerCut(usize),
    /// A node reaches no other one.
    Isolated(usize),
    /// Nothing gets from the first node to the second one.
    OneWay(usize, usize),
    /// Two nodes do not reach each other.
    Apart(usize, usize),
    /// What two nodes send each other arrives when the fault ends.
    Held(usize, usize),
}

/// A fault and its time.
#[derive(Debug, Clone, Copy)]
pub struct Scheduled {
    pub fault: Fault,
    pub begins_ms: u64,
    pub ends_ms: u64,
}

/// What happens to messages from one node to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    Open,
    Held,
    Closed,
}

/// The faults of a run, in the order in which they begin.
pub fn schedule(rng: &mut StdRng, count: usize, nodes: usize, within_ms: u64) -> Vec<Scheduled> {
    let mut all: Vec<_> = (0..count).map(|_| scheduled(rng, nodes, within_ms)).collect();
    all.sort_by_key(|scheduled| (scheduled.begins_ms, scheduled.ends_ms));
    all
}

fn scheduled(rng: &mut StdRng, nodes: usize, within_ms: u64) -> Scheduled {
    let begins_ms = rng.random_range(0..within_ms);
    let ends_ms = begins_ms + rng.random_range(DURATION_MS);
    let one = rng.random_range(1..=nodes);
    let kinds = if nodes > 1 { 6 } else { 2 };
    let other = if nodes > 1 { 1 + (one - 1 + rng.random_range(1..nodes)) % nodes } else { one };
    let fault = match rng.next_u32() % kinds {
        0 => Fault::Crash(one),
        1 => Fault::PowerCut(one),
        2 => Fault::Isolated(one),
        3 => Fault::OneWay(one, other),
        4 => Fault::Apart(one, other),
        _ => Fault::Held(one, other),
    };
    Scheduled { fault, begins_ms, ends_ms }
}

impl Fault {
    /// The node that does not run while this fault holds.
    pub fn down(self) -> Option<usize> {
        match self {
            Self::Crash(node) | Self::PowerCut(node) => Some(node),
            _ => None,
        }
    }

    fn way(self, from: usize, to: usize) -> Way {
        let closed = match self {
            Self::Crash(_) => false,
            Self::PowerCut(node) | Self::Isolated(node) => node == from || node == to,
            Self::OneWay(one, other) => (from, to) == (one, other),
            Self::Apart(one, other) => (from, to) == (one, other) || (from, to) == (other, one),
            Self::Held(one, other) if (from, to) == (one, other) || (from, to) == (other, one) => return Way::Held,
            Self::Held(..) => false,
        };
        if closed { Way::Closed } else { Way::Open }
    }
}

/// The ways between all nodes while these faults hold.
pub fn ways(faults: &[Fault], nodes: usize) -> BTreeMap<(usize, usize), Way> {
    let pairs = (1..=nodes).flat_map(|from| (1..=nodes).map(move |to| (from, to))).filter(|(from, to)| from != to);
    let worst = |(from, to)| faults.iter().map(|fault| fault.way(from, to)).max().unwrap_or(Way::Open);
    pairs.map(|pair| (pair, worst(pair))).collect()
}

impl fmt::Display for Scheduled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} from {} to {} ms", self.fault, self.begins_ms, self.ends_ms)
    }
}
