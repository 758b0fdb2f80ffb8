//! Tests of the history of starts.

use super::*;

const STORES: [StoreId; 3] = [StoreId([1; 16]), StoreId([2; 16]), StoreId([3; 16])];

/// A node that has begun a start and may name it.
fn started() -> StartHistory {
    let mut history = StartHistory::default();
    restart(&mut history);
    history
}

fn restart(history: &mut StartHistory) {
    history.begin(rand::random());
    history.speak();
}

/// How a connection ended.
#[derive(Debug, PartialEq, Eq)]
enum Connected {
    Yes,
    /// The node at this end found that its folder is a copy.
    Copy,
    Superseded,
}

/// One end of a connection: its history, its store, and which start of the other end it said it had noted.
struct End<'a> {
    history: &'a mut StartHistory,
    store: StoreId,
}

/// Lets two nodes connect. The connection may break before the connector notes anything.
fn connect(connector: End<'_>, acceptor: End<'_>, breaks: bool) -> Connected {
    let noted = |by: &StartHistory, of| by.noted_of(of).map(|noted| noted.start);
    let (by_acceptor, by_connector) =
        (noted(acceptor.history, connector.store), noted(connector.history, acceptor.store));
    let is_copy = |history: &StartHistory, noted: Option<StartId>| noted.is_some_and(|noted| history.is_copy(noted));
    if is_copy(connector.history, by_acceptor) || is_copy(acceptor.history, by_connector) {
        return Connected::Copy;
    }
    let starts = (connector.history.current().unwrap(), acceptor.history.current().unwrap());
    let superseded = acceptor.history.note(connector.store, starts.0, by_acceptor, 1) == Noting::Superseded
        || (!breaks && connector.history.note(acceptor.store, starts.1, by_connector, 1) == Noting::Superseded);
    if superseded { Connected::Superseded } else { Connected::Yes }
}

fn end(history: &mut StartHistory, number: usize) -> End<'_> {
    End { history, store: STORES[number] }
}

#[test]
fn a_start_that_was_never_spoken_is_overwritten_with_its_number() {
    let mut history = StartHistory::default();
    assert_eq!((history.current(), history.speak()), (None, false));
    for _ in 0..3 {
        assert_eq!(history.begin(rand::random()).number, 1);
    }
    assert_eq!((history.own.len(), history.has_spoken()), (1, false));
    assert_eq!((history.speak(), history.speak(), history.has_spoken()), (true, false, true));
    assert_eq!(history.begin(rand::random()).number, 2);
    assert_eq!((history.own.len(), history.has_spoken()), (2, false));
}

#[test]
fn a_copy_from_before_a_start_that_a_peer_noted_is_found() {
    for restarts_of_copy in 0..4 {
        let (mut node, mut peer) = (started(), started());
        assert_eq!(connect(end(&mut node, 0), end(&mut peer, 1), false), Connected::Yes);
        let mut copy = node.clone();
        (0..restarts_of_copy).for_each(|_| restart(&mut copy));
        restart(&mut node);
        assert_eq!(connect(end(&mut copy.clone(), 0), end(&mut peer.clone(), 1), false), Connected::Yes);
        assert_eq!(connect(end(&mut node, 0), end(&mut peer, 1), true), Connected::Yes, "the peer notes the new start");
        assert_eq!(connect(end(&mut copy, 0), end(&mut peer, 1), false), Connected::Copy);
        assert_eq!(connect(end(&mut peer, 1), end(&mut copy, 0), false), Connected::Copy);
        assert_eq!(connect(end(&mut node, 0), end(&mut peer, 1), false), Connected::Yes);
    }
}

#[test]
fn a_slow_connection_never_overrides_a_newer_start() {
    let (mut node, mut peer) = (started(), started());
    let slow = (node.current().unwrap(), peer.noted_of(STORES[0]).map(|noted| noted.start));
    restart(&mut node);
    connect(end(&mut node, 0), end(&mut peer, 1), false);
    assert_eq!(peer.note(STORES[0], slow.0, slow.1, 1), Noting::Superseded);
    // A copy that restarted more often than the node loses, too.
    let ahead = StartId { number: 99, random: [9; 16] };
    assert_eq!(peer.note(STORES[0], ahead, slow.1, 1), Noting::Superseded);
    assert_eq!(peer.noted_of(STORES[0]).unwrap().start, node.current().unwrap());
}

#[test]
fn connections_that_begin_at_once_in_both_directions_all_succeed() {
    let (mut a, mut b) = (started(), started());
    let (start_a, start_b) = (a.current().unwrap(), b.current().unwrap());
    let noted: Vec<_> =
        (0..3).flat_map(|_| [a.note(STORES[1], start_b, None, 1), b.note(STORES[0], start_a, None, 1)]).collect();
    assert_eq!(noted[..2], [Noting::Changed; 2]);
    assert_eq!(noted[2..], [Noting::Known; 4]);
}

#[test]
fn a_peer_that_was_away_for_many_starts_is_believed() {
    let (mut node, mut away) = (started(), started());
    connect(end(&mut node, 0), end(&mut away, 1), false);
    for _ in 0..3 * KEPT {
        restart(&mut node);
    }
    assert_eq!(node.own.len(), KEPT);
    assert_eq!(connect(end(&mut away, 1), end(&mut node, 0), false), Connected::Yes);
    assert_eq!(away.noted_of(STORES[0]).unwrap().start.number, 3 * 64 + 1);
}

#[test]
fn an_honest_node_is_never_a_copy_and_a_copy_is_found_once_a_peer_knows_better() {
    for _ in 0..300 {
        let mut nodes = [started(), started(), started()];
        let mut copies: Vec<(usize, StartHistory)> = Vec::new();
        for _ in 0..rand::random_range(1..60) {
            let (one, other) = (rand::random_range(0..3), rand::random_range(0..3));
            match rand::random_range(0..6) {
                0 => _ = nodes[one].begin(rand::random()),
                1 => copies.push((one, nodes[one].clone())),
                _ if one != other => {
                    let [connector, acceptor] = nodes.get_disjoint_mut([one, other]).unwrap();
                    connector.speak();
                    acceptor.speak();
                    let connected = connect(end(connector, one), end(acceptor, other), rand::random());
                    assert_eq!(connected, Connected::Yes);
                }
                _ => {}
            }
        }
        for (node, copy) in copies {
            for peer in (0..3).filter(|peer| *peer != node) {
                let mut copy = copy.clone();
                (0..rand::random_range(1..9)).for_each(|_| restart(&mut copy));
                let noted = nodes[peer].noted_of(STORES[node]).map(|noted| noted.start);
                let newer = noted.is_some_and(|noted| !copy.own.contains(&noted));
                let connected = connect(end(&mut copy, node), end(&mut nodes[peer].clone(), peer), false);
                assert_eq!(connected == Connected::Copy, newer);
            }
        }
    }
}

#[test]
fn members_are_remembered_and_few_others() {
    let mut history = started();
    let store = |number: u64| StoreId([number.to_be_bytes(); 2].concat().try_into().unwrap());
    for number in 0..200 {
        history.note(store(number), StartId { number: 1, random: [7; 16] }, None, number);
    }
    history.forget_strangers(|other| other == store(3));
    assert_eq!(history.peers.len(), KEPT_STRANGERS + 1);
    assert!(history.noted_of(store(3)).is_some() && history.noted_of(store(199)).is_some());
    assert_eq!(history.noted_of(store(4)), None);
}

#[test]
fn a_history_is_read_as_it_was_written() {
    let (mut node, mut peer) = (started(), started());
    connect(end(&mut node, 0), end(&mut peer, 1), false);
    restart(&mut node);
    assert_eq!(StartHistory::from_wire(&node.to_wire()), Some(node.clone()));
    node.begin(rand::random());
    assert_eq!(StartHistory::from_wire(&node.to_wire()), Some(node.clone()));
    let damaged = |change: fn(&mut wire::StartHistory)| {
        let mut wire = node.to_wire();
        change(&mut wire);
        StartHistory::from_wire(&wire)
    };
    assert_eq!(damaged(|wire| wire.own[0].random.truncate(3)), None);
    assert_eq!(damaged(|wire| wire.own[0].number = 9), None);
    assert_eq!(damaged(|wire| wire.peers[0].start = None), None);
}
