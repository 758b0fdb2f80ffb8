//! Which deny rules leave a sibling open, and what the missing rules deny.

use super::*;
use crate::policy::{KeyName, NameInPath};

fn policy(allow: &[&str], deny: &[&str]) -> Policy {
    let parse = |texts: &[&str]| texts.iter().map(|text| Pattern::parse(text).unwrap()).collect::<Vec<_>>();
    Policy::new(parse(allow), parse(deny))
}

fn found(allow: &[&str], deny: &[&str]) -> Vec<(String, String)> {
    let policy = policy(allow, deny);
    let found = open_siblings(&policy);
    found.iter().map(|open| (open.rule.as_str().to_owned(), open.missing.as_str().to_owned())).collect()
}

#[test]
fn a_deny_rule_that_leaves_a_sibling_open_is_found_with_the_rule_to_add() {
    for (allow, rule, missing) in [
        ("/v1/key/*", "/v1/key/decrypt/internal*", "/v1/key/bulk/decrypt/internal*"),
        ("/v1/key/bulk/decrypt/k", "/v1/key/decrypt/k", "/v1/key/bulk/decrypt/k"),
        ("/v1/key/bulk/decrypt/secret-1", "/v1/key/decrypt/secret*", "/v1/key/bulk/decrypt/secret*"),
        ("/v1/key/decrypt/*", "/v1/key/bulk/*", "/v1/key/decrypt/*"),
        ("/v1/key/*", "/v1/key/decrypt*", "/v1/key/bulk/decrypt/*"),
        ("/v1/key/encrypt/a*", "/v1/key/generate/abc", "/v1/key/encrypt/abc"),
        ("/v1/key/encrypt/abc*", "/v1/key/generate/a*", "/v1/key/encrypt/a*"),
        ("/v1/key/*", "/v1/key/encrypt/old*", "/v1/key/generate/old*"),
        ("*", "/v1/key/create/a", "/v1/key/import/a"),
        ("/v1/key/*", "/v1/key/describe/a*", "/v1/key/versions/a*"),
        ("/v1/policy/*", "/v1/policy/create/*", "/v1/policy/write/*"),
        ("/v1/policy/*", "/v1/policy/describe/a", "/v1/policy/read/a"),
        ("/v1/*", "/v1/policy/assign/admins", "/v1/identity/create/*"),
    ] {
        assert_eq!(found(&[allow], &[rule]), [(rule.to_owned(), missing.to_owned())], "{allow} and {rule}");
        assert_eq!(found(&[allow], &[rule, missing]), [], "{allow} and {rule}");
    }
}

#[test]
fn a_sibling_that_is_denied_or_not_allowed_is_not_open() {
    for (allow, deny) in [
        (&["/v1/key/*"][..], &["/v1/key/decrypt/*", "/v1/key/bulk/*"][..]),
        (&["/v1/key/*"], &["/v1/key/*"]),
        (&["/v1/key/decrypt/*"], &["/v1/key/decrypt/internal*"]),
        (&["/v1/key/decrypt/*", "/v1/key/bulk/decrypt/b*"], &["/v1/key/decrypt/a*"]),
        (&[], &["/v1/key/decrypt/a*"]),
        (&["/v1/*"], &["/v1/key/import/a", "/v1/key/versions/a", "/v1/key/delete/*", "/v1/log/audit"]),
        (&["/v1/*"], &["/v1/policy/read/a", "/v1/policy/write/a", "/v1/identity/create/*"]),
        // An earlier release may have stored a rule that no name can match.
        (&["/v1/key/*"], &["/v1/key/decrypt/a.b*", "/v1/key/decrypt/-a", "/v1/key/decrypt/", "/v1/key/decrypt"]),
    ] {
        assert_eq!(found(allow, deny), [], "{deny:?}");
    }
}

#[test]
fn of_rules_that_need_the_same_addition_one_is_reported() {
    let rules = ["/v1/key/decrypt*", "/v1/key/decrypt/*", "/v1/key/decrypt/a*", "/v1/key/decrypt/b"];
    let one = [("/v1/key/decrypt*".to_owned(), "/v1/key/bulk/decrypt/*".to_owned())];
    assert_eq!(found(&["/v1/key/*"], &rules), one);
    assert_eq!(found(&["/v1/key/*"], &["/v1/key/decrypt/a", "/v1/key/decrypt/a*"]).len(), 1);
    assert_eq!(found(&["/v1/key/*"], &["/v1/key/d*"]).len(), 2, "it denies decrypt and describe");
}

#[test]
fn the_text_says_which_action_stays_open_and_what_that_does() {
    let policy = policy(&["/v1/key/*"], &["/v1/key/decrypt/a*"]);
    let text = "denies /v1/key/decrypt/ but not /v1/key/bulk/decrypt/, which this policy allows and which decrypts the \
                same ciphertexts";
    assert_eq!(open_siblings(&policy)[0].to_string(), text);
}

#[test]
fn every_path_in_the_table_takes_a_name_and_has_no_alias() {
    for kind in SIBLINGS.iter().flat_map(|pair| [pair.denied, pair.open]) {
        assert_eq!(kind.rows().count(), 1);
        assert!(matches!(kind.name_in_path(), NameInPath::Name(_)), "{kind:?}");
    }
}

/// Numbers from a seed (`SplitMix64`).
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % n as u64).unwrap()
    }

    fn patterns(&mut self) -> Vec<Pattern> {
        (0..self.below(5)).map(|_| self.pattern()).collect()
    }

    fn pattern(&mut self) -> Pattern {
        const WIDE: [&str; 7] =
            ["*", "/v1/*", "/v1/key/*", "/v1/key/d*", "/v1/key/bulk*", "/v1/policy/*", "/v1/key/decrypt*"];
        if self.below(5) == 0 {
            return Pattern::parse(WIDE[self.below(WIDE.len())]).unwrap();
        }
        let Sibling { denied, open, .. } = &SIBLINGS[self.below(SIBLINGS.len())];
        let path = [denied, open][self.below(2)].path();
        let star = ["", "*"][self.below(2)];
        Pattern::parse(&[path, BEGINNINGS[self.below(BEGINNINGS.len())], star].concat()).unwrap()
    }
}

/// Policies that the test makes up.
const POLICIES: usize = 2_000;

const BEGINNINGS: [&str; 8] = ["", "a", "ab", "abc", "a-", "b", "_", "-a"];

/// Names that the beginnings begin, and one more for each that no exact pattern names.
fn names() -> Vec<String> {
    let all = BEGINNINGS.iter().flat_map(|text| [(*text).to_owned(), format!("{text}zz")]);
    all.filter(|name| KeyName::parse(name).is_ok()).collect()
}

/// The requests that a policy allows although it denies a sibling of them for the same name. If the names are those of
/// different things, a sibling with any name counts.
fn open_requests(policy: &Policy) -> Vec<(ActionKind, String)> {
    let denies = |pair: &Sibling, name: &str| policy.deny.iter().any(|rule| rule.matches(pair.denied.on(name)));
    let is_denied = |pair: &Sibling, name: &str| {
        let same_names = pair.denied.name_in_path() == pair.open.name_in_path();
        if same_names { denies(pair, name) } else { names().iter().any(|other| denies(pair, other)) }
    };
    let requests = SIBLINGS.iter().flat_map(|pair| names().into_iter().map(move |name| (pair, name)));
    let open = requests.filter(|(pair, name)| is_denied(pair, name) && policy.allows(pair.open.on(name)));
    open.map(|(pair, name)| (pair.open, name)).collect()
}

#[test]
fn with_the_missing_rules_nothing_is_left_open_and_nothing_else_is_denied() {
    let mut chance = Chance(0x0073_6962_6c69_6e67);
    let mut with_gaps = 0;
    for _ in 0..POLICIES {
        let before = Policy::new(chance.patterns(), chance.patterns());
        let open = open_requests(&before);
        let missing: Vec<_> = open_siblings(&before).into_iter().map(|found| found.missing).collect();
        assert_eq!(open.is_empty(), missing.is_empty(), "{before:?}");
        let after = Policy::new(before.allow.clone(), before.deny.iter().cloned().chain(missing));
        assert_eq!(open_siblings(&after), [], "{before:?}");
        for (kind, name) in ActionKind::all().flat_map(|kind| names().into_iter().map(move |name| (kind, name))) {
            let now_denied = before.allows(kind.on(&name)) && !after.allows(kind.on(&name));
            assert_eq!(now_denied, open.contains(&(kind, name.clone())), "{kind:?} {name} in {before:?}");
        }
        with_gaps += usize::from(!open.is_empty());
    }
    assert!((POLICIES / 10..POLICIES / 2).contains(&with_gaps), "{with_gaps} policies leave something open");
}
