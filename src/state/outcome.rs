//! The outcome of a command.

/// The outcome of a command. All that a client can cause ends in one of these, and never in an error of the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
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
    /// The key has as many versions as a key may have.
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
}

impl Outcome {
    /// The outcome as stored.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// Reads what [`Outcome::code`] made.
    pub fn from_code(code: u8) -> Option<Self> {
        const ALL: [Outcome; 22] = [
            Outcome::Done,
            Outcome::KeyExists,
            Outcome::KeyNotFound,
            Outcome::Denied,
            Outcome::RingInactive,
            Outcome::AlreadyInitialised,
            Outcome::NotInitialised,
            Outcome::Expired,
            Outcome::Malformed,
            Outcome::KeyWaiting,
            Outcome::NothingWaiting,
            Outcome::VersionNotFound,
            Outcome::VersionNewest,
            Outcome::VersionTaken,
            Outcome::TooManyVersions,
            Outcome::PolicyExists,
            Outcome::PolicyNotFound,
            Outcome::IdentityExists,
            Outcome::IdentityNotFound,
            Outcome::IdentityIsAdmin,
            Outcome::LastAdmin,
            Outcome::PolicyChanged,
        ];
        ALL.into_iter().find(|outcome| outcome.code() == code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_that_can_be_stored_can_be_read() {
        let readable: Vec<u8> = (0..=u8::MAX).filter(|code| Outcome::from_code(*code).is_some()).collect();
        assert_eq!(readable, (Outcome::Done.code()..=Outcome::PolicyChanged.code()).collect::<Vec<_>>());
    }
}
