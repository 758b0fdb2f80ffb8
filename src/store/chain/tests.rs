//! Tests of the chain: what it accepts, and every way of changing its entries.

use super::*;
use crate::crypto::IntegrityKeys;

fn maker(store: u8, incarnation: u8) -> ChainMaker {
    let key = IntegrityKeys::of_bytes(1, [9; 32]).chain(1).unwrap().clone();
    ChainMaker { key, key_version: 1, store: StoreId([store; 16]), incarnation: [incarnation; 16] }
}

fn new_chain() -> Chain {
    Chain::new(maker(1, 1), maker(1, 1).anchor(None))
}

fn id(index: u64) -> LogId {
    LogId { term: 1 + index / 4, node: 1, index }
}

type Entry = (LogId, Vec<u8>, Tag);

/// Appends entries of these indices.
fn append(chain: &mut Chain, indices: std::ops::Range<u64>) -> Vec<Entry> {
    let entry = |index: u64| {
        let payload = format!("payload {index}").into_bytes();
        let tag = chain.append(id(index), &payload);
        (id(index), payload, tag)
    };
    indices.map(entry).collect()
}

fn load<'a>(mut chain: Chain, entries: impl IntoIterator<Item = &'a Entry>) -> Result<Chain, Forged> {
    entries.into_iter().try_for_each(|(id, payload, tag)| chain.load(*id, payload, *tag))?;
    Ok(chain)
}

#[test]
fn what_was_appended_can_be_loaded_and_checked() {
    let mut chain = new_chain();
    let entries = append(&mut chain, 0..10);
    let loaded = load(new_chain(), &entries).unwrap();
    for chain in [&chain, &loaded] {
        assert_eq!((chain.last(), chain.purged(), chain.first()), (Some(id(9)), None, 0));
        assert!(entries.iter().all(|(id, payload, _)| chain.check(*id, payload).is_ok()));
        assert_eq!(chain.check(id(10), b"payload 10"), Err(Forgery::Entry { index: 10 }.into()));
    }
}

#[test]
fn no_entry_can_be_changed_moved_swapped_repeated_or_left_out() {
    let entries = append(&mut new_chain(), 0..10);
    let forged = |change: &dyn Fn(&mut Vec<Entry>)| {
        let mut forged = entries.clone();
        change(&mut forged);
        load(new_chain(), &forged).err()
    };
    let at = |index| Some(Forged(Forgery::Entry { index }));
    assert_eq!(forged(&|_| {}), None);
    assert_eq!(forged(&|entries| entries[3].1[0] ^= 1), at(3));
    assert_eq!(forged(&|entries| entries[3].2[15] ^= 1), at(3));
    assert_eq!(forged(&|entries| entries[3].0.term += 1), at(3));
    assert_eq!(forged(&|entries| entries[3].0.node += 1), at(3));
    assert_eq!(forged(&|entries| entries.swap(3, 4)), at(3));
    assert_eq!(forged(&|entries| drop(entries.remove(3))), at(3));
    assert_eq!(forged(&|entries| drop(entries.remove(0))), Some(Forged(Forgery::Begin { found: 1, expected: 0 })));
    // The content of another entry, with the position of this one.
    assert_eq!(forged(&|entries| (entries[3].1, entries[3].2) = (entries[4].1.clone(), entries[4].2)), at(3));
    assert_eq!(forged(&|entries| entries.insert(3, (id(3), b"new".to_vec(), entries[3].2))), at(3));
}

#[test]
fn an_entry_that_was_truncated_cannot_come_back() {
    let mut chain = new_chain();
    let old = append(&mut chain, 0..6);
    chain.truncate_after(Some(id(2)));
    assert_eq!(chain.last(), Some(id(2)));
    let other = (LogId { term: 9, ..id(3) }, b"other".to_vec());
    let tag = chain.append(other.0, &other.1);
    assert!(chain.check(old[3].0, &old[3].1).is_err() && chain.check(other.0, &other.1).is_ok());
    // The old entries follow each other, but not the others that stand there now.
    let mixed = [&old[..3], &[(other.0, other.1, tag)], &old[4..]].concat();
    assert_eq!(load(new_chain(), &mixed).err(), Some(Forgery::Entry { index: 4 }.into()));
    chain.truncate_after(None);
    assert_eq!((chain.last(), chain.append(old[0].0, &old[0].1)), (None, old[0].2));
}

#[test]
fn a_chain_belongs_to_its_store_and_its_incarnation() {
    let entries = append(&mut new_chain(), 0..3);
    for (store, incarnation) in [(2, 1), (1, 2)] {
        let maker = maker(store, incarnation);
        let other = Chain::new(maker.clone(), maker.anchor(None));
        assert_eq!(load(other, &entries).err(), Some(Forgery::Entry { index: 0 }.into()));
    }
    let anchors = [None, Some(id(0)), Some(id(1)), Some(LogId::default())].map(|position| maker(1, 1).anchor(position));
    for (at, anchor) in anchors.iter().enumerate() {
        assert!(anchors[at + 1..].iter().all(|other| other.tag != anchor.tag), "{anchor:?}");
    }
}

#[test]
fn a_purged_chain_goes_on_from_the_tag_of_the_last_purged_entry() {
    let mut chain = new_chain();
    let entries = append(&mut chain, 0..10);
    for upto in [0, 4] {
        let (upto, _, tag) = entries[upto];
        let anchor = chain.anchor_at(upto);
        assert_eq!(anchor, Anchor { position: Some(upto), tag, key_version: 1 });
        chain.move_to(anchor);
    }
    assert_eq!((chain.purged(), chain.first(), chain.last()), (Some(id(4)), 5, Some(id(9))));
    let anchored = || Chain::new(maker(1, 1), chain.anchor_at(id(4)));
    assert_eq!(load(anchored(), &entries[5..]).unwrap().last(), Some(id(9)));
    assert_eq!(load(anchored(), &entries[6..]).err(), Some(Forgery::Begin { found: 6, expected: 5 }.into()));
    assert!(chain.check(id(4), &entries[4].1).is_err() && chain.check(id(5), &entries[5].1).is_ok());
    // The last entry, too.
    chain.move_to(chain.anchor_at(id(9)));
    assert_eq!((chain.last(), chain.first()), (Some(id(9)), 10));
    let next = chain.append(id(10), b"next");
    assert!(load(Chain::new(maker(1, 1), chain.anchor_at(id(9))), &[(id(10), b"next".to_vec(), next)]).is_ok());
}

#[test]
fn a_snapshot_beyond_the_end_begins_a_new_chain() {
    let mut chain = new_chain();
    append(&mut chain, 0..3);
    let anchor = chain.anchor_at(id(50));
    assert_eq!(anchor, maker(1, 1).anchor(Some(id(50))));
    chain.move_to(anchor);
    assert_eq!((chain.purged(), chain.last(), chain.first()), (Some(id(50)), Some(id(50)), 51));
    let entries = append(&mut chain, 51..54);
    assert!(load(Chain::new(maker(1, 1), anchor), &entries).is_ok());
}

/// Somebody damages an entry that the node has applied, and puts an entry of an earlier leader behind it, which once followed
/// another one there.
#[test]
fn an_entry_of_an_earlier_leader_never_follows() {
    let mut chain = new_chain();
    chain.append(LogId { term: 2, ..id(0) }, b"kept");
    let earlier = LogId { term: 1, ..id(1) };
    let tag = chain.append(earlier, b"earlier");
    let anchor = chain.anchor_at(LogId { term: 2, ..id(0) });
    let loaded = Chain::new(maker(1, 1), anchor).load(earlier, b"earlier", tag);
    assert_eq!(loaded, Err(Forgery::Entry { index: 1 }.into()));
}
