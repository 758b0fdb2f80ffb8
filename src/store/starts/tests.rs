//! Tests of the history of starts.

use super::*;

const PEERS: [StoreId; 3] = [StoreId([1; 16]), StoreId([2; 16]), StoreId([3; 16])];

fn random_start() -> StartId {
    StartId(rand::random())
}

/// A node that has begun a start and may name it.
fn started() -> StartHistory {
    let mut history = StartHistory::default();
    restart(&mut history);
    history
}

fn restart(history: &mut StartHistory) {
    history.begin(random_start());
    history.speak();
}

/// What one node says to another at the beginning of a connection.
fn said(from: &StartHistory, to_store: StoreId, to: &StartHistory, from_store: StoreId) -> StartsSaid {
    StartsSaid {
        start: from.current().unwrap(),
        noted_here: to.noted_of(from_store),
        noted_there: from.noted_of(to_store),
    }
}

/// Lets two nodes connect. Returns what the acceptor and the connector did with what the other one said. A connection may
/// break before the connector notes anything.
fn connect(
    (connector, its_store): (&mut StartHistory, StoreId),
    (acceptor, other_store): (&mut StartHistory, StoreId),
    breaks: bool,
) -> (Noting, Option<Noting>) {
    let (to_acceptor, to_connector) =
        (said(connector, other_store, acceptor, its_store), said(acceptor, its_store, connector, other_store));
    let at_acceptor = acceptor.note(its_store, to_acceptor);
    let noted = matches!(at_acceptor, Noting::Known | Noting::Changed);
    (at_acceptor, (noted && !breaks).then(|| connector.note(other_store, to_connector)))
}

#[test]
fn a_start_that_was_never_spoken_is_overwritten() {
    let mut history = StartHistory::default();
    assert_eq!((history.current(), history.speak()), (None, false));
    for _ in 0..3 {
        history.begin(random_start());
    }
    assert_eq!((history.own.len(), history.has_spoken()), (1, false));
    assert!(!history.knows(history.current().unwrap()), "no peer can have noted it");
    assert_eq!((history.speak(), history.speak(), history.has_spoken()), (true, false, true));
    let spoken = history.current().unwrap();
    history.begin(random_start());
    assert!(history.knows(spoken) && history.own.len() == 2);
}

#[test]
fn a_copy_from_before_a_start_that_a_peer_noted_is_older() {
    let (mut node, mut peer) = (started(), started());
    connect((&mut node, PEERS[0]), (&mut peer, PEERS[1]), false);
    let copy = node.clone();
    restart(&mut node);
    for mut older in [copy.clone(), {
        let mut again = copy.clone();
        restart(&mut again);
        again
    }] {
        let to_peer = said(&older, PEERS[1], &peer, PEERS[0]);
        assert_ne!(older.note(PEERS[1], said(&peer, PEERS[0], &older, PEERS[1])), Noting::OlderCopy);
        assert_ne!(peer.clone().note(PEERS[0], to_peer), Noting::OlderCopy, "no peer has noted the newer start yet");
    }
    connect((&mut node, PEERS[0]), (&mut peer, PEERS[1]), true);
    for mut older in [copy.clone(), {
        let mut again = copy.clone();
        restart(&mut again);
        again
    }] {
        let before = older.clone();
        assert_eq!(older.note(PEERS[1], said(&peer, PEERS[0], &older, PEERS[1])), Noting::OlderCopy);
        assert_eq!(older, before);
    }
    assert_eq!(connect((&mut node, PEERS[0]), (&mut peer, PEERS[1]), false).0, Noting::Known);
}

#[test]
fn a_slow_connection_never_overrides_a_newer_start() {
    let (mut node, mut peer) = (started(), started());
    let slow = said(&node, PEERS[1], &peer, PEERS[0]);
    restart(&mut node);
    connect((&mut node, PEERS[0]), (&mut peer, PEERS[1]), false);
    let newest = node.current();
    assert_eq!(peer.note(PEERS[0], slow), Noting::Superseded);
    assert_eq!(peer.noted_of(PEERS[0]), newest);
}

#[test]
fn two_nodes_that_connect_to_each_other_at_once_both_succeed() {
    let (mut a, mut b) = (started(), started());
    let (a_said, b_said) = (said(&a, PEERS[1], &b, PEERS[0]), said(&b, PEERS[0], &a, PEERS[1]));
    for _ in 0..2 {
        // Each of the two connections carries the same words.
        assert_ne!(a.note(PEERS[1], b_said), Noting::Superseded);
        assert_ne!(b.note(PEERS[0], a_said), Noting::Superseded);
    }
    assert_eq!((a.noted_of(PEERS[1]), b.noted_of(PEERS[0])), (b.current(), a.current()));
}

#[test]
fn starts_that_a_peer_may_have_noted_are_kept_and_others_are_forgotten() {
    let (mut node, mut said_last, mut heard_last) = (started(), started(), started());
    // One peer has noted the first start and said so. Another may have noted the second one, but the connection broke.
    for _ in 0..2 {
        connect((&mut node, PEERS[0]), (&mut said_last, PEERS[1]), false);
    }
    let first = node.current().unwrap();
    connect((&mut node, PEERS[0]), (&mut heard_last, PEERS[2]), false);
    restart(&mut node);
    let second = node.current().unwrap();
    connect((&mut heard_last, PEERS[2]), (&mut node, PEERS[0]), true);
    restart(&mut node);
    let third = node.current().unwrap();
    for _ in 0..3 * KEPT {
        restart(&mut node);
    }
    assert!(node.knows(first) && node.knows(second) && !node.knows(third));
    assert!(node.own.len() <= KEPT + 2 * 2);
    assert_ne!(connect((&mut said_last, PEERS[1]), (&mut node, PEERS[0]), false).0, Noting::OlderCopy);
    assert_ne!(connect((&mut heard_last, PEERS[2]), (&mut node, PEERS[0]), false).0, Noting::OlderCopy);
}

#[test]
fn an_honest_node_is_never_an_older_copy_and_an_older_copy_always_is() {
    for _ in 0..200 {
        let mut nodes = [started(), started(), started()];
        let mut copies: Vec<(usize, StartHistory)> = Vec::new();
        for _ in 0..rand::random_range(1..60) {
            let (one, other) = (rand::random_range(0..3), rand::random_range(0..3));
            match rand::random_range(0..6) {
                0 => nodes[one].begin(random_start()),
                1 => copies.push((one, nodes[one].clone())),
                _ if one != other => {
                    let [connector, acceptor] = nodes.get_disjoint_mut([one, other]).unwrap();
                    connector.speak();
                    acceptor.speak();
                    let breaks = rand::random();
                    let (at_acceptor, at_connector) =
                        connect((connector, PEERS[one]), (acceptor, PEERS[other]), breaks);
                    assert!(matches!(at_acceptor, Noting::Known | Noting::Changed), "{at_acceptor:?}");
                    assert!(!matches!(at_connector, Some(Noting::OlderCopy | Noting::Superseded)), "{at_connector:?}");
                }
                _ => {}
            }
        }
        for (node, mut copy) in copies {
            copy.begin(random_start());
            copy.speak();
            for peer in (0..3).filter(|peer| *peer != node) {
                let noted = nodes[peer].noted_of(PEERS[node]);
                let older = noted.is_some_and(|noted| !copy.knows(noted));
                let heard = copy.note(PEERS[peer], said(&nodes[peer], PEERS[node], &copy, PEERS[peer]));
                assert_eq!(heard == Noting::OlderCopy, older);
            }
        }
    }
}

#[test]
fn a_history_is_read_as_it_was_written() {
    let (mut node, mut peer) = (started(), started());
    connect((&mut node, PEERS[0]), (&mut peer, PEERS[1]), false);
    restart(&mut node);
    connect((&mut peer, PEERS[1]), (&mut node, PEERS[0]), true);
    node.begin(random_start());
    assert_eq!(StartHistory::from_wire(&node.to_wire()), Some(node.clone()));
    let mut damaged = node.to_wire();
    damaged.own[0].id.truncate(3);
    assert_eq!(StartHistory::from_wire(&damaged), None);
}
