//! Guesses which setting was meant by a name that does not exist.

/// Settings of old KES releases, and mistakes that are easily made: the section (empty for the top of the file), the
/// setting, and what to write now. `NAME` stands for a name that the user chose.
const RETIRED: [(&str, &str, &str); 7] = [
    ("", "root", "write `admin: {identity: …}`; old KES releases called it `root`"),
    ("", "system", "write `admin: {identity: …}` at the top of the file; Keyraft has only this admin"),
    ("", "unseal", "write `seal: {file: root.key}` or `seal: {env: NAME}`, which says where the root key is"),
    ("", "enclave", "Keyraft does not have enclaves: move its `admin`, `policy` and `keys` to the top of the file"),
    ("policy.NAME", "paths", "write `allow`; old KES releases called it `paths`"),
    ("keys", "name", "write the keys to create as a list: `keys: [{name: my-key}]`"),
    ("cluster", "keystore", "remove this setting: Keyraft keeps the keys itself, in the folder `cluster.data`"),
];

/// The keystores of KES. In releases up to v0.17 they were in the section `keys`, which today lists names of keys.
pub const KEYSTORES: [&str; 12] =
    ["fs", "mem", "etcd", "generic", "kes", "vault", "fortanix", "aws", "gemalto", "gcp", "azure", "entrust"];
const KEYSTORE_IN_KEYS: &str = "`keys` was the keystore section of old KES releases, and today lists the keys to \
                                create: remove this setting, because Keyraft keeps the keys itself; \
                                `keyraft migrate --help` shows how to copy the keystore's keys";

/// Settings that people look for in other sections. `NAME` stands for a name that the user chose.
const PLACES: [&str; 57] = [
    "admin.identity",
    "api.NAME.skip_auth",
    "api.NAME.timeout",
    "audit.file",
    "audit.file.keep",
    "audit.file.max_age",
    "audit.file.max_size",
    "audit.required",
    "audit.syslog",
    "audit.syslog.address",
    "audit.syslog.facility",
    "cache.capacity",
    "cache.expiry",
    "cache.expiry.any",
    "cache.expiry.offline",
    "cache.expiry.unused",
    "cluster.data",
    "cluster.listen",
    "cluster.name",
    "cluster.peers",
    "cluster.snapshot",
    "cluster.timing",
    "cluster.timing.election_max",
    "cluster.timing.election_min",
    "cluster.timing.heartbeat",
    "cluster.tls.ca",
    "cluster.tls.cert",
    "cluster.tls.key",
    "consistency.lease",
    "consistency.offline",
    "keys.create",
    "keys.deletion_window",
    "limits.audit_queue",
    "limits.connections",
    "limits.drain_timeout",
    "limits.handshake_timeout",
    "limits.header_timeout",
    "limits.streams",
    "log.error",
    "log.format",
    "log.level",
    "policy.NAME.allow",
    "policy.NAME.deny",
    "policy.NAME.identities",
    "seal.env",
    "storage.low",
    "storage.reserve",
    "storage.stall",
    "tls.auth",
    "tls.ca",
    "tls.cert",
    "tls.key",
    "tls.password",
    "tls.proxy",
    "tls.proxy.header",
    "tls.proxy.header.cert",
    "tls.proxy.identities",
];

/// The hint for an unknown setting of a section, whose settings are `known`.
pub(super) fn unknown(section: &str, name: &str, known: &[&str]) -> String {
    if section == "keys" && KEYSTORES.contains(&name) {
        return KEYSTORE_IN_KEYS.to_owned();
    }
    if let Some((_, _, instead)) = RETIRED.iter().find(|(place, old, _)| *old == name && is_section(place, section)) {
        return (*instead).to_owned();
    }
    let nearest = known.iter().map(|k| (distance(name, k), *k)).min();
    let near = nearest.filter(|(distance, _)| *distance <= 1 + name.len() / 4).map(|(_, known)| known);
    meant(section, name, near)
        .unwrap_or_else(|| format!("remove it; the settings at this level are {}", known.join(", ")))
}

/// Asks whether a similar setting of this section was meant, or one of the same name in another section.
fn meant(section: &str, name: &str, near: Option<&str>) -> Option<String> {
    let mut candidates: Vec<String> = near.into_iter().map(|near| format!("`{near}`")).collect();
    if near.is_none_or(|near| distance(near, name) > 0) {
        candidates.extend(elsewhere(section, name).map(|place| format!("`{place}`")));
    }
    (!candidates.is_empty()).then(|| format!("did you mean {}?", candidates.join(" or ")))
}

/// The places of a setting of this name that share the most of their beginning with `section`.
fn elsewhere(section: &str, name: &str) -> impl Iterator<Item = &'static str> {
    let shared = move |place: &str| place.split('.').zip(section.split('.')).take_while(|(a, b)| a == b).count();
    let named = move |place: &&str| place.rsplit('.').next().is_some_and(|last| distance(last, name) == 0);
    let most = PLACES.into_iter().filter(named).map(shared).max();
    PLACES.into_iter().filter(named).filter(move |place| Some(shared(place)) == most)
}

fn is_section(place: &str, section: &str) -> bool {
    let mut parts = section.split('.');
    place.split('.').all(|part| parts.next().is_some_and(|own| part == "NAME" || part == own)) && parts.next().is_none()
}

/// The Levenshtein distance of two texts. Ignores case, `-` and `_`.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (letters(a), letters(b));
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

fn letters(text: &str) -> Vec<u8> {
    text.bytes().filter(|b| !matches!(b, b'-' | b'_')).map(|b| b.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_counts_edits() {
        for (a, b, edits) in [("", "", 0), ("", "ab", 2), ("kitten", "sitting", 3), ("SkipAuth", "skip_auth", 0)] {
            assert_eq!(distance(a, b), edits, "{a} {b}");
            assert_eq!(distance(b, a), edits, "{b} {a}");
        }
    }

    #[test]
    fn a_similar_setting_is_suggested() {
        let known = ["address", "admin", "allow", "keys"];
        let top = |name| unknown("", name, &known);
        assert_eq!(top("adress"), "did you mean `address`?");
        assert_eq!(top("Keys"), "did you mean `keys`?");
        assert_eq!(top("key"), "did you mean `keys` or `cluster.tls.key` or `tls.key`?");
        assert!(top("something").starts_with("remove it; the settings at this level are address, "));
    }

    #[test]
    fn settings_of_old_kes_releases_are_recognised_in_their_sections() {
        let known = ["address", "allow", "create"];
        assert!(unknown("", "root", &known).starts_with("write `admin: {identity: …}`"));
        assert!(unknown("policy.app", "paths", &known).starts_with("write `allow`"));
        assert!(unknown("keys", "name", &known).starts_with("write the keys to create as a list"));
        assert!(unknown("keys", "vault", &known).starts_with("`keys` was the keystore section of old KES releases"));
        for (section, name) in [("tls", "root"), ("policy", "paths"), ("cache", "vault")] {
            assert!(unknown(section, name, &known).starts_with("remove it; "), "{section}.{name}");
        }
    }

    #[test]
    fn a_setting_of_the_nearest_other_section_is_suggested() {
        let known = ["nothing"];
        for (section, name, places) in [
            ("tls", "identities", "`tls.proxy.identities`"),
            ("", "identities", "`policy.NAME.identities` or `tls.proxy.identities`"),
            ("cache", "Offline", "`cache.expiry.offline`"),
            ("", "skip-auth", "`api.NAME.skip_auth`"),
            ("cluster", "cert", "`cluster.tls.cert`"),
            ("tls", "header", "`tls.proxy.header`"),
            ("tls.proxy", "cert", "`tls.proxy.header.cert`"),
            ("", "error", "`log.error`"),
        ] {
            assert_eq!(unknown(section, name, &known), format!("did you mean {places}?"), "{section}.{name}");
        }
    }

    /// A hint must not name a setting that the next start refuses.
    #[test]
    fn every_suggested_setting_exists() {
        for place in PLACES {
            let yaml = place.split('.').rev().fold(String::from("x"), |inner, part| match part {
                "NAME" => format!("{{/v1/ready: {inner}}}"),
                part => format!("{{{part}: {inner}}}"),
            });
            let read = crate::config::Config::parse(std::path::Path::new("f"), &yaml, &|_| None);
            let problems = read.expect_err("half a configuration").to_string();
            assert!(!problems.contains("unknown setting"), "{place}: {problems}");
        }
    }
}
