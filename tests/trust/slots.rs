//! The files with two slots, `cluster.id` and `node.record`, as somebody changes them who knows their format but has no
//! key (docs/formats.md): the checksum fits, and the tag is the old one.

use std::fs;
use std::path::Path;

use prost::Message;
use sha2::{Digest, Sha256};

/// What a file with two slots begins each slot with.
#[derive(Clone, Copy)]
pub struct SlotFile {
    name: &'static str,
    magic: &'static [u8],
}

pub const CLUSTER_ID: SlotFile = SlotFile { name: "cluster.id", magic: b"KEYRAFT CLUSTER ID" };
pub const NODE_RECORD: SlotFile = SlotFile { name: "node.record", magic: b"KEYRAFT NODE RECORD" };

const TAG_BYTES: usize = 32;
const CHECKSUM_BYTES: usize = 32;

impl SlotFile {
    /// Changes the body of each slot that has one.
    pub fn forge<M: Message + Default>(self, data: &Path, change: impl Fn(&mut M)) {
        let path = data.join(self.name);
        let mut content = fs::read(&path).expect("the file is there");
        let slot_bytes = content.len() / 2;
        let mut forged = 0;
        for slot in content.chunks_mut(slot_bytes) {
            let Some((sequence, body)) = self.body(slot) else { continue };
            let mut message = M::decode(&body[..]).expect("a node wrote it");
            change(&mut message);
            let tag = slot[self.head_bytes() + body.len()..][..TAG_BYTES].to_vec();
            let head = slot[..self.magic.len() + 1 + 4].to_vec();
            let body = message.encode_to_vec();
            let length = u32::try_from(body.len()).expect("a body is small").to_be_bytes();
            let mut whole = [&head[..], &sequence.to_be_bytes(), &length, &body, &tag].concat();
            whole.extend(Sha256::digest(&whole));
            slot[..whole.len()].copy_from_slice(&whole);
            forged += 1;
        }
        assert!(forged > 0, "{} has a slot that is whole", self.name);
        fs::write(path, content).expect("the folder is writable");
    }

    /// The newest content.
    pub fn newest<M: Message + Default>(self, data: &Path) -> M {
        let content = fs::read(data.join(self.name)).expect("the file is there");
        let slots = content.chunks(content.len() / 2).filter_map(|slot| self.body(slot));
        let (_, body) = slots.max_by_key(|(sequence, _)| *sequence).expect("a slot is whole");
        M::decode(&body[..]).expect("a node wrote it")
    }

    /// Damages each slot that holds something.
    pub fn damage(self, data: &Path) {
        let path = data.join(self.name);
        let mut content = fs::read(&path).expect("the file is there");
        let slot_bytes = content.len() / 2;
        for slot in content.chunks_mut(slot_bytes).filter(|slot| slot.iter().any(|byte| *byte != 0)) {
            slot[self.head_bytes() + 2] ^= 0x40;
        }
        fs::write(path, content).expect("the folder is writable");
    }

    fn head_bytes(self) -> usize {
        self.magic.len() + 1 + 4 + 8 + 4
    }

    /// The sequence number and the body of a slot. `None` if it is empty or damaged.
    fn body(self, slot: &[u8]) -> Option<(u64, Vec<u8>)> {
        let head = slot.get(..self.head_bytes())?;
        let rest = head.strip_prefix(self.magic)?;
        let sequence = u64::from_be_bytes(rest[5..13].try_into().ok()?);
        let length = usize::try_from(u32::from_be_bytes(rest[13..17].try_into().ok()?)).ok()?;
        let end = self.head_bytes() + length;
        let checksum = slot.get(end + TAG_BYTES..)?.get(..CHECKSUM_BYTES)?;
        let whole = Sha256::digest(&slot[..end + TAG_BYTES]).as_slice() == checksum;
        whole.then(|| (sequence, slot[self.head_bytes()..end].to_vec()))
    }
}
