//! Warns of deny rules that leave a sibling action open, once the server has the policy.

use crate::cli::Output;
use crate::cli::escape::quoted;
use crate::policy::{Policy, open_siblings};

/// Warns of such rules on standard error, each with the command that adds what is missing.
pub fn warn(name: &str, policy: &Policy, output: Output) {
    for found in open_siblings(policy) {
        let (rule, missing) = (found.rule.as_str(), quoted(found.missing.as_str()));
        output.warn(&format!(
            "policy '{name}': '{rule}' {found}; to deny that too, run:\n  keyraft policy edit {} --deny {missing}",
            quoted(name)
        ));
    }
}
