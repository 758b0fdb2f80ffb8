//! The operations of a load test, and how often it makes each.

use std::str::FromStr;

/// An operation of a load test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LoadOperation {
    /// Create a key, under a new name each time.
    Create,
    /// Generate a data key.
    Generate,
    /// Encrypt 32 bytes.
    Encrypt,
    /// Decrypt a data key's ciphertext.
    Decrypt,
    /// Compute the HMAC of 32 bytes.
    Hmac,
    /// Describe a key.
    Describe,
    /// List all keys of this test.
    List,
    /// Ask for the server's status.
    Status,
    /// Open a new connection and ask for the version on it, once.
    Connect,
}

impl LoadOperation {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Create,
        Self::Generate,
        Self::Encrypt,
        Self::Decrypt,
        Self::Hmac,
        Self::Describe,
        Self::List,
        Self::Status,
        Self::Connect,
    ];

    /// Its name in a mix.
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Generate => "generate",
            Self::Encrypt => "encrypt",
            Self::Decrypt => "decrypt",
            Self::Hmac => "hmac",
            Self::Describe => "describe",
            Self::List => "list",
            Self::Status => "status",
            Self::Connect => "connect",
        }
    }
}

/// Operations with their weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mix {
    weights: Vec<(LoadOperation, u32)>,
    total: u32,
}

/// A text that cannot be read as a mix. Its display says why, and how to write one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}; write a mix like 'generate=80,decrypt=20' from the operations {}", .0, operation_names())]
pub struct MixError(String);

impl Mix {
    /// A mix of a single operation.
    pub fn only(operation: LoadOperation) -> Self {
        Self { weights: vec![(operation, 1)], total: 1 }
    }

    /// Its operations.
    pub fn operations(&self) -> impl Iterator<Item = LoadOperation> + '_ {
        self.weights.iter().map(|(operation, _)| *operation)
    }

    /// Whether the mix has this operation.
    pub fn has(&self, operation: LoadOperation) -> bool {
        self.operations().any(|one| one == operation)
    }

    /// The operation that a random number selects, in proportion to the weights.
    pub fn pick(&self, random: u32) -> LoadOperation {
        let mut rest = random % self.total;
        for (operation, weight) in &self.weights {
            if rest < *weight {
                return *operation;
            }
            rest -= weight;
        }
        unreachable!("the weights sum up to the total")
    }
}

impl FromStr for Mix {
    type Err = MixError;

    /// Reads `generate`, or `generate=80,decrypt=20`.
    fn from_str(text: &str) -> Result<Self, MixError> {
        let mut mix = Self { weights: Vec::new(), total: 0 };
        for part in text.split(',').map(str::trim) {
            let (name, weight) = part.split_once('=').unwrap_or((part, "1"));
            let operation = LoadOperation::ALL.into_iter().find(|operation| operation.name() == name);
            let operation = operation.ok_or_else(|| MixError(format!("'{name}' is not an operation")))?;
            let weight = weight.parse().ok().filter(|weight| (1..=1_000_000).contains(weight));
            let weight = weight
                .ok_or_else(|| MixError(format!("the weight of '{name}' must be a whole number from 1 to 1000000")))?;
            if mix.has(operation) {
                return Err(MixError(format!("'{name}' appears twice")));
            }
            mix.weights.push((operation, weight));
            mix.total += weight;
        }
        Ok(mix)
    }
}

fn operation_names() -> String {
    LoadOperation::ALL.map(LoadOperation::name).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_picked_in_proportion_to_their_weights() {
        let mix: Mix = "generate=80,decrypt=20".parse().unwrap();
        let decrypts = (0..1000).filter(|random| mix.pick(*random) == LoadOperation::Decrypt).count();
        assert_eq!(decrypts, 200);
        assert_eq!("list".parse::<Mix>().unwrap(), Mix::only(LoadOperation::List));
    }

    #[test]
    fn texts_that_are_not_a_mix_are_refused() {
        for bad in ["", "generate,", "sleep", "generate=0", "generate=x", "list,list"] {
            assert!(bad.parse::<Mix>().is_err(), "{bad}");
        }
    }
}
