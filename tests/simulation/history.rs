//! What the clients know of each key: what nodes acknowledged, and what they asked for.

use std::collections::BTreeMap;

use keyraft::kms::Error;

use crate::operations::{Answer, DataKey, Operation};

/// An operation, which node got it, and when.
#[derive(Debug, Clone)]
pub struct Asked {
    pub operation: Operation,
    pub node: usize,
    pub at_ms: u64,
}

/// What the clients know of one key. Each name is created once, and deleted once at most.
#[derive(Debug, Default, Clone)]
pub struct KeyFacts {
    /// When a node acknowledged that the key exists.
    pub created_ms: Option<u64>,
    /// Whether a client has asked to delete it.
    pub to_be_deleted: bool,
    pub deleted: Option<Deletion>,
    pub data_keys: Vec<DataKey>,
}

/// An acknowledged deletion.
#[derive(Debug, Clone)]
pub struct Deletion {
    pub at_ms: u64,
    /// The nodes that may not know it. `None` if the deletion is made, but nobody said where.
    pub behind: Option<Vec<String>>,
}

/// What the clients know of all keys.
#[derive(Debug, Default)]
pub struct History(pub BTreeMap<String, KeyFacts>);

impl History {
    /// Notes that a client asks for this.
    pub fn asked(&mut self, operation: &Operation) {
        let facts = self.0.entry(operation.name().to_owned()).or_default();
        facts.to_be_deleted |= matches!(operation, Operation::Delete(_));
    }

    /// Notes an answer.
    pub fn answered(&mut self, asked: &Asked, answer: &Answer, at_ms: u64) {
        let facts = self.0.entry(asked.operation.name().to_owned()).or_default();
        match (&asked.operation, answer) {
            (_, Answer::Created) => facts.created_ms = Some(at_ms),
            (_, Answer::Generated(key)) => facts.data_keys.push(key.clone()),
            (_, Answer::Deleted(behind)) => facts.deleted = Some(Deletion { at_ms, behind: Some(behind.clone()) }),
            (Operation::Delete(_), Answer::Failed(Error::NotEverywhere)) => {
                facts.deleted = Some(Deletion { at_ms, behind: None });
            }
            _ => {}
        }
    }

    /// What is known of the key that this is about.
    pub fn of(&self, operation: &Operation) -> &KeyFacts {
        &self.0[operation.name()]
    }
}
