//! Raises the feature level of the cluster, once every member can read the next one (design, "Levels").

use std::time::Instant;

use super::cluster::Cluster;
use super::forwarding::writes::WriteError;
use crate::clock;
use crate::crypto::random;
use crate::policy::Actor;
use crate::state::{Command, HIGHEST_LEVEL, Operation, ReadableLevels, RequestId};

/// Why the level was not raised.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RaiseLevelError {
    /// The cluster has yet to begin.
    #[error("this node has not applied the cluster's first command yet, so the cluster has no feature level to raise")]
    NotInitialised,
    /// This node runs a version that does not know the next level.
    #[error(
        "the feature level stays at {active}: this node runs a version that reads no higher level; run a newer version"
    )]
    OwnVersion {
        /// The active level.
        active: u32,
    },
    /// A member cannot read the next level, or has not said which ones it can read.
    #[error(
        "the feature level stays at {active}, because not every member is known to read level {next}: {}. Run a newer \
         version on these nodes, and try again once they have started",
        in_words(unready)
    )]
    Members {
        /// The active level.
        active: u32,
        /// The level after it.
        next: u32,
        /// These members.
        unready: Vec<UnreadyMember>,
    },
    /// No leader took the command. Nothing was written.
    #[error("no leader answered in time, so the feature level stays as it is; try again")]
    NoLeader,
    /// The disks of most nodes lack room for the command. Nothing was written.
    #[error("the disks of most nodes lack room, so the feature level stays as it is; give them room and try again")]
    NoRoom,
    /// The command was sent, but its outcome did not come in time.
    #[error("the leader did not answer in time, so the feature level may rise now or stay as it is; try again")]
    OutcomeUnknown,
    /// The cluster refused the command.
    #[error("the cluster refused to raise the feature level, with outcome {0}")]
    Refused(u16),
}

/// A member that is not known to read the next level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadyMember {
    /// Its name.
    pub name: String,
    /// The levels that it can read. `None` if this node has not heard from it.
    pub levels: Option<ReadableLevels>,
}

impl Cluster {
    /// Raises the feature level of the cluster by one, if every member can read the next level. Returns the level that is
    /// active then. Any node may ask.
    ///
    /// # Errors
    /// Why the level was not raised.
    pub async fn raise_level(&self, by: Instant) -> Result<u32, RaiseLevelError> {
        let active = self.view.level().ok_or(RaiseLevelError::NotInitialised)?;
        if active >= HIGHEST_LEVEL {
            return Err(RaiseLevelError::OwnVersion { active });
        }
        let next = active + 1;
        let unready = self.unready_for(next);
        if !unready.is_empty() {
            return Err(RaiseLevelError::Members { active, next, unready });
        }
        let command = Command {
            time_ns: clock::unix_ns(),
            actor: Actor::Node,
            action: None,
            file_names_admin: false,
            operation: Operation::RaiseLevel { to: next },
        };
        let encoded = command.encode(next, RequestId(random::bytes()), self.seen_index());
        let outcome = self.write(&encoded, by).await.map_err(|error| match error {
            WriteError::NoLeader => RaiseLevelError::NoLeader,
            WriteError::NoRoom => RaiseLevelError::NoRoom,
            WriteError::OutcomeUnknown | WriteError::NotEverywhere => RaiseLevelError::OutcomeUnknown,
        })?;
        // If another node raised it meanwhile, the outcome of this command is a refusal.
        match self.view.level() {
            Some(level) if level >= next => Ok(level),
            _ => Err(RaiseLevelError::Refused(outcome.number())),
        }
    }

    /// The members that are not known to read this level.
    fn unready_for(&self, level: u32) -> Vec<UnreadyMember> {
        let links = self.leadership.links();
        let levels = |key| links.versions().of(key).map(|version| version.levels);
        let members = links.members();
        let others = members.values().filter(|member| member.key != links.own_key());
        let heard = others.map(|member| UnreadyMember { name: member.name.clone(), levels: levels(member.key) });
        heard.filter(|member| member.levels.is_none_or(|levels| !levels.contain(level))).collect()
    }
}

/// Lists the members, each with the levels that it can read.
fn in_words(members: &[UnreadyMember]) -> String {
    let each = members.iter().map(|UnreadyMember { name, levels }| match levels {
        Some(levels) => format!("{name} reads {levels}"),
        None => format!("{name} has not been heard from"),
    });
    each.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_names_each_member_that_is_not_ready() {
        let member = |name: &str, levels| UnreadyMember { name: name.to_owned(), levels };
        let levels = |lowest, highest| Some(ReadableLevels { lowest, highest });
        let unready = vec![member("a", levels(1, 1)), member("b", None), member("c", levels(1, 2))];
        let shown = RaiseLevelError::Members { active: 2, next: 3, unready }.to_string();
        let expected = "the feature level stays at 2, because not every member is known to read level 3: a reads level 1; \
                        b has not been heard from; c reads levels 1 to 2. Run a newer version";
        assert!(shown.starts_with(expected), "{shown}");
    }
}
