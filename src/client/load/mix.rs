//! Which operations a load test makes, and how often each.

use std::fmt;
use std::str::FromStr;

/// An operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LoadOperation {
    /// Make a key, under a new name each time.
    Create,
    /// Make a data key.
    Generate,
    /// Seal 32 bytes.
    Encrypt,
    /// Open a data key's ciphertext.
    Decrypt,
    /// HMAC of 32 bytes.
    Hmac,
    /// What is known of a key.
    Describe,
    /// All keys of this test.
    List,
    /// The server's figures.
    Status,
    /// A new connection, on which the version is asked for once.
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

/// The text is no mix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MixError(String);

impl Mix {
    /// One operation only.
    pub fn only(operation: LoadOperation) -> Self {
        Self { weights: vec![(operation, 1)], total: 1 }
    }

    /// Its operations.
    pub fn operations(&self) -> impl Iterator<Item = LoadOperation> + '_ {
        self.weights.iter().map(|(operation, _)| *operation)
    }

    /// Whether `operation` is in it.
    pub fn has(&self, operation: LoadOperation) -> bool {
        self.operations().any(|one| one == operation)
    }

    /// The operation that a random number falls on.
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
            let operation = operation.ok_or_else(|| MixError(format!("there is no operation '{name}'")))?;
            let weight = weight.parse().ok().filter(|weight| (1..=1_000_000).contains(weight));
            let weight = weight.ok_or_else(|| MixError(format!("the weight of '{name}' is no positive number")))?;
            if mix.has(operation) {
                return Err(MixError(format!("'{name}' is there twice")));
            }
            mix.weights.push((operation, weight));
            mix.total += weight;
        }
        Ok(mix)
    }
}

impl fmt::Display for MixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = LoadOperation::ALL.iter().map(|operation| operation.name()).collect();
        write!(f, "{}; a mix is such as 'generate=80,decrypt=20', of {}", self.0, names.join(", "))
    }
}

impl std::error::Error for MixError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_kept() {
        let mix: Mix = "generate=80,decrypt=20".parse().unwrap();
        let decrypts = (0..1000).filter(|random| mix.pick(*random) == LoadOperation::Decrypt).count();
        assert_eq!(decrypts, 200);
        assert_eq!("list".parse::<Mix>().unwrap(), Mix::only(LoadOperation::List));
    }

    #[test]
    fn what_is_no_mix_is_refused() {
        for bad in ["", "generate,", "sleep", "generate=0", "generate=x", "list,list"] {
            assert!(bad.parse::<Mix>().is_err(), "{bad}");
        }
    }
}
