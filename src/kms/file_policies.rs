//! Comparing the policies of the configuration file with those of the cluster, which are in force.

use super::Kms;
use super::begin::FilePolicies;
use crate::policy::{Identity, PolicyName, Role, Rules};

/// The policies and identities of a file that differ from those of the cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Difference {
    policies: Vec<PolicyName>,
    identities: Vec<Identity>,
}

impl Kms {
    /// Logs how the policies of a configuration file differ from those of the cluster. The cluster took them from the
    /// file only when it began. Policies that only the cluster has do not count: clients made them through the API.
    pub fn compare_policies(&self, file: &FilePolicies) {
        let Difference { policies, identities } = difference(file, &self.rules());
        if policies.is_empty() && identities.is_empty() {
            return;
        }
        let policies: Vec<&str> = policies.iter().map(PolicyName::as_str).collect();
        tracing::warn!(
            ?policies,
            ?identities,
            "policies of the configuration file differ from those of the cluster, which stay in force: `keyraft policy \
             apply FILE --dry-run` shows how, and `keyraft policy apply FILE` changes the cluster's"
        );
    }
}

fn difference(file: &FilePolicies, rules: &Rules) -> Difference {
    let mut difference = Difference::default();
    for (name, (policy, identities)) in file {
        if rules.policies.get(name).is_none_or(|entry| entry.policy != *policy) {
            difference.policies.push(name.clone());
        }
        let bound = |identity: &Identity| {
            rules.identities.get(identity).is_some_and(|bound| bound.role == Role::Policy(name.clone()))
        };
        difference.identities.extend(identities.iter().filter(|identity| !bound(identity)));
    }
    difference
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Assignment, Author, Pattern, Policy, PolicyEntry, PolicyTag};

    #[test]
    fn only_policies_of_the_file_count_as_differences() {
        let (app, other) = (PolicyName::parse("app").unwrap(), PolicyName::parse("other").unwrap());
        let policy = Policy::new([Pattern::parse("/v1/key/*").unwrap()], []);
        let identity = Identity::from_bytes([1; 32]);
        let mut file = FilePolicies::from([(app.clone(), (policy.clone(), vec![identity]))]);
        let mut rules = Rules::default();
        let all = Difference { policies: vec![app.clone()], identities: vec![identity] };
        assert_eq!(difference(&file, &rules), all);
        let (author, tag) = (Author::default(), PolicyTag::default());
        rules.policies.insert(app.clone(), PolicyEntry { policy: policy.clone(), author, tag }.into());
        rules.policies.insert(other.clone(), PolicyEntry { policy, author, tag }.into());
        rules.identities.insert(identity, Assignment { role: Role::Policy(other), author });
        assert_eq!(difference(&file, &rules), Difference { policies: vec![], identities: vec![identity] });
        rules.identities.insert(identity, Assignment { role: Role::Policy(app.clone()), author });
        assert_eq!(difference(&file, &rules), Difference::default());
        file.insert(app.clone(), (Policy::default(), vec![]));
        assert_eq!(difference(&file, &rules).policies, [app]);
    }
}
