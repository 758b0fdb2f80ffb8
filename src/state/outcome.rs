//! The outcome of a command, as this version knows it and as the memory of done commands holds it.

use bytes::Bytes;

/// The outcome of a command. All that a client can cause ends in one of these, and never in an error of the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub enum Outcome {
    /// It took effect.
    Done = 1,
    /// A key of that name exists.
    KeyExists = 2,
    /// No key has that name, or the name belongs to a later creation.
    KeyNotFound = 3,
    /// The rules at this point of the log do not permit it.
    Denied = 4,
    /// It was sealed under a ring version that is not active; seal again.
    RingInactive = 5,
    /// The cluster's first command was applied before.
    AlreadyInitialised = 6,
    /// The cluster has not applied its first command yet.
    NotInitialised = 7,
    /// The command is older than the memory of done commands, so that it is unknown whether it took effect.
    Expired = 8,
    /// Its bytes are malformed.
    Malformed = 9,
    /// A deleted key of that name can still be restored.
    KeyWaiting = 10,
    /// No deleted key of that name waits, or its time has not come.
    NothingWaiting = 11,
    /// The key has no such version.
    VersionNotFound = 12,
    /// The version is the newest, which cannot be disabled.
    VersionNewest = 13,
    /// Somebody else rotated the key first. The node tries again with the next number.
    VersionTaken = 14,
    /// The key has as many versions as a key may have, or the ring as many versions or seals.
    TooManyVersions = 15,
    /// A policy of that name exists.
    PolicyExists = 16,
    /// No policy of that name exists.
    PolicyNotFound = 17,
    /// The identity has a role already.
    IdentityExists = 18,
    /// The identity has no role.
    IdentityNotFound = 19,
    /// The identity is an admin, which no policy binds.
    IdentityIsAdmin = 20,
    /// The identity is the last admin.
    LastAdmin = 21,
    /// Somebody changed the policy after the client had read it.
    PolicyChanged = 22,
    /// Its feature level is not the active one; encode it again, under a new request id.
    LevelNotActive = 23,
    /// The level to raise to is not the one after the active level.
    LevelNotNext = 24,
    /// The ring has or had a version of this number.
    RingVersionExists = 25,
    /// The ring has no such version.
    RingVersionNotFound = 26,
    /// The ring version is active, or a later one is.
    RingVersionActive = 27,
    /// A member has not noted that it opens the ring in a way that the change leaves.
    RingNotOpened = 28,
    /// Something is sealed under the ring version.
    RingVersionInUse = 29,
    /// The ring or its seals changed after the node had made the command; make it again.
    RingChanged = 30,
    /// A seal of that id or name exists, with all its wraps.
    SealExists = 31,
    /// No seal has that id.
    SealNotFound = 32,
    /// It noted what the detail says. Only test builds know this outcome of level 2.
    #[cfg(feature = "level-2")]
    Noted = 200,
}

/// An outcome as it is stored: a number, and bytes that say more about it.
///
/// A newer version may have decided on the command. Then this version does not know the number, and keeps it as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedOutcome {
    number: u16,
    /// No outcome of level 1 has a detail.
    detail: Bytes,
}

/// The number of an outcome that this version does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownOutcome(pub u16);

impl Outcome {
    /// Every outcome that this version knows, in the order of their numbers.
    pub const ALL: &[Self] = &[
        Self::Done,
        Self::KeyExists,
        Self::KeyNotFound,
        Self::Denied,
        Self::RingInactive,
        Self::AlreadyInitialised,
        Self::NotInitialised,
        Self::Expired,
        Self::Malformed,
        Self::KeyWaiting,
        Self::NothingWaiting,
        Self::VersionNotFound,
        Self::VersionNewest,
        Self::VersionTaken,
        Self::TooManyVersions,
        Self::PolicyExists,
        Self::PolicyNotFound,
        Self::IdentityExists,
        Self::IdentityNotFound,
        Self::IdentityIsAdmin,
        Self::LastAdmin,
        Self::PolicyChanged,
        Self::LevelNotActive,
        Self::LevelNotNext,
        Self::RingVersionExists,
        Self::RingVersionNotFound,
        Self::RingVersionActive,
        Self::RingNotOpened,
        Self::RingVersionInUse,
        Self::RingChanged,
        Self::SealExists,
        Self::SealNotFound,
        #[cfg(feature = "level-2")]
        Self::Noted,
    ];
}

impl RecordedOutcome {
    /// The most bytes that may say more about an outcome.
    pub const MAX_DETAIL_BYTES: usize = 256;

    /// An outcome as it was stored.
    pub fn new(number: u16, detail: Bytes) -> Self {
        Self { number, detail }
    }

    /// The number of the outcome.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// The bytes that say more about the outcome.
    pub fn detail(&self) -> &Bytes {
        &self.detail
    }

    /// The outcome, if this version knows it.
    ///
    /// # Errors
    /// A newer version decided on the command, with an outcome that this version does not know.
    pub fn known(&self) -> Result<Outcome, UnknownOutcome> {
        let known = Outcome::ALL.iter().find(|outcome| **outcome as u16 == self.number);
        known.copied().ok_or(UnknownOutcome(self.number))
    }
}

impl From<Outcome> for RecordedOutcome {
    fn from(outcome: Outcome) -> Self {
        Self { number: outcome as u16, detail: Bytes::new() }
    }
}

impl PartialEq<Outcome> for RecordedOutcome {
    fn eq(&self, outcome: &Outcome) -> bool {
        self.known() == Ok(*outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_each_other_from_1_and_an_unknown_one_is_kept() {
        let of_level_1 = || (1..).zip(Outcome::ALL.iter().copied()).take_while(|(_, outcome)| (*outcome as u16) < 200);
        for (number, outcome) in of_level_1() {
            let recorded = RecordedOutcome::new(number, Bytes::new());
            assert_eq!((recorded.known(), RecordedOutcome::from(outcome)), (Ok(outcome), recorded));
        }
        for number in [0, of_level_1().last().unwrap().0 + 1, u16::MAX] {
            let recorded = RecordedOutcome::new(number, Bytes::from_static(b"more"));
            assert_eq!(recorded.known(), Err(UnknownOutcome(number)));
        }
    }
}
