//! Computes what two policies both allow.

use crate::policy::Policy;

/// The policy that allows what both allow, and nothing else.
pub fn intersection(one: &Policy, other: &Policy) -> Policy {
    let of_both = one.allow.iter().flat_map(|a| other.allow.iter().filter_map(move |b| a.narrower(b)));
    Policy::new(of_both.cloned(), one.deny.iter().chain(&other.deny).cloned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Pattern;

    #[test]
    fn the_intersection_allows_what_both_allow() {
        let parse = |texts: &[&str]| texts.iter().map(|text| Pattern::parse(text).unwrap()).collect::<Vec<_>>();
        let one = Policy::new(parse(&["/v1/key/*", "/v1/status", "/v1/policy/list"]), parse(&["/v1/key/delete/*"]));
        let other = Policy::new(parse(&["/v1/key/create/a*", "/v1/s*", "/v1/policy/list/*"]), parse(&["/v1/key/c*"]));
        let both = intersection(&one, &other);
        assert_eq!(both.allow, parse(&["/v1/key/create/a*", "/v1/policy/list", "/v1/status"]));
        assert_eq!(both.deny, parse(&["/v1/key/c*", "/v1/key/delete/*"]));
        assert_eq!(both, intersection(&other, &one));
    }
}
