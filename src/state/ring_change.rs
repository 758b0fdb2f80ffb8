//! Changes of the key ring and its seals, as a command carries them.

use bytes::Bytes;

use super::decode_error::DecodeError;
use super::ring::{RingNote, RingVersion, Seal, SealId};
use super::wire::{self, command::Operation as Wire};

/// A change of the key ring or its seals. Only nodes make these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RingChange {
    /// Adds a version, which seals nothing yet.
    AddVersion(RingVersion),
    /// Makes a version seal new records.
    ActivateVersion {
        /// The version.
        version: u32,
    },
    /// Drops a version that seals nothing any more.
    DropVersion {
        /// The version.
        version: u32,
    },
    /// Adds a seal, or the wraps that a seal lacks.
    AddSeal {
        /// The seal.
        seal: Seal,
        /// Wraps for it, each with the version of the ring.
        wraps: Vec<(u32, Bytes)>,
    },
    /// Removes a seal with its wraps.
    RemoveSeal {
        /// The seal.
        id: SealId,
    },
    /// Notes what a member has opened.
    NoteOpened(RingNote),
}

impl RingChange {
    pub(super) fn to_wire(&self) -> Wire {
        match self {
            Self::AddVersion(version) => {
                Wire::AddRingVersion(wire::AddRingVersion { version: Some(version.to_wire()) })
            }
            Self::ActivateVersion { version } => {
                Wire::ActivateRingVersion(wire::ActivateRingVersion { version: *version })
            }
            Self::DropVersion { version } => Wire::DropRingVersion(wire::DropRingVersion { version: *version }),
            Self::AddSeal { seal, wraps } => {
                let wrap =
                    |(version, wrap): &(u32, Bytes)| wire::SealedRingVersion { version: *version, wrap: wrap.clone() };
                Wire::AddSeal(wire::AddSeal { seal: Some(seal.to_wire()), wraps: wraps.iter().map(wrap).collect() })
            }
            Self::RemoveSeal { id } => Wire::RemoveSeal(wire::RemoveSeal { id: id.to_wire() }),
            Self::NoteOpened(note) => Wire::NoteRingOpened(wire::NoteRingOpened { note: Some(note.to_wire()) }),
        }
    }

    /// Reads an operation. Those that change something else are an error.
    pub(super) fn from_wire(wire: Wire) -> Result<Self, DecodeError> {
        Ok(match wire {
            Wire::AddRingVersion(wire) => {
                Self::AddVersion(RingVersion::from_wire(wire.version.ok_or(DecodeError("ring version"))?))
            }
            Wire::ActivateRingVersion(wire) => Self::ActivateVersion { version: wire.version },
            Wire::DropRingVersion(wire) => Self::DropVersion { version: wire.version },
            Wire::AddSeal(wire) => Self::AddSeal {
                seal: Seal::from_wire(wire.seal.ok_or(DecodeError("seal"))?)?,
                wraps: wire.wraps.into_iter().map(|wrap| (wrap.version, wrap.wrap)).collect(),
            },
            Wire::RemoveSeal(wire) => Self::RemoveSeal { id: SealId::from_wire(&wire.id)? },
            Wire::NoteRingOpened(wire) => Self::NoteOpened(RingNote::from_wire(wire.note.ok_or(DecodeError("note"))?)?),
            _ => return Err(DecodeError("ring change")),
        })
    }
}

/// One of each, for tests that must hold for all.
#[cfg(test)]
pub(crate) fn every_ring_change() -> Vec<RingChange> {
    use super::ring::{ResealedKeys, RingLink};
    let (id, sealed) = (SealId([5; 16]), Bytes::from_static(b"sealed"));
    let link = Some(RingLink { previous: 1, sealed: sealed.clone() });
    let resealed = Some(ResealedKeys { cluster_key: sealed.clone(), integrity_keys: Vec::new() });
    vec![
        RingChange::AddVersion(RingVersion { version: 2, wraps: vec![sealed.clone()], link, resealed }),
        RingChange::ActivateVersion { version: 2 },
        RingChange::DropVersion { version: 1 },
        RingChange::AddSeal { seal: Seal { id, name: "second".to_owned() }, wraps: vec![(1, sealed)] },
        RingChange::RemoveSeal { id },
        RingChange::NoteOpened(RingNote { node: 1, versions: vec![1, 2], seals: vec![id] }),
    ]
}
