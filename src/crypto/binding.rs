//! Where a sealed record belongs, as the associated data that binds it there.

/// The kind of a sealed record. A record of one kind never opens as another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordKind {
    /// A version of the ring, wrapped by a root key.
    Ring,
    /// A version of a key.
    Key,
    /// A secret of the cluster.
    ClusterSecret,
}

/// Where a sealed record belongs. It does not open anywhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding<'a> {
    /// The cluster's id.
    pub cluster: [u8; 16],
    /// The kind of the record.
    pub kind: RecordKind,
    /// The key's name.
    pub name: &'a str,
    /// The creation: it distinguishes keys that had the same name one after the other.
    pub creation_id: [u8; 16],
    /// The version of the key.
    pub version: u32,
}

/// Kind, cluster and `fields` as associated data. Each follows its length, so that no two lists have the same bytes.
pub(super) fn associated_data(kind: RecordKind, cluster: &[u8; 16], fields: &[&[u8]]) -> Vec<u8> {
    let kind: &[u8] = match kind {
        RecordKind::Ring => b"ring",
        RecordKind::Key => b"key",
        RecordKind::ClusterSecret => b"cluster secret",
    };
    let mut data = Vec::with_capacity(192);
    for field in [kind, cluster].iter().chain(fields) {
        data.extend_from_slice(&(field.len() as u64).to_be_bytes());
        data.extend_from_slice(field);
    }
    data
}
