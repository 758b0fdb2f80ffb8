//! The bans of `deny.toml`, and the packages of `Cargo.lock` to compare with them.

/// A ban of `deny.toml`: a crate, in any version or only below one.
#[derive(Debug)]
pub struct Ban<'a> {
    name: &'a str,
    below: Option<&'a str>,
    pub reason: &'a str,
}

/// The bans. Each has a line of its own as `{ crate = "name:<version", reason = "…" }`.
pub fn bans(deny: &str) -> Vec<Ban<'_>> {
    let ban = |line| {
        let field = |name: &str| {
            let start = str::find(line, name)? + name.len();
            line[start..].split_once('"').map(|(value, _)| value)
        };
        let krate = field("crate = \"")?;
        let (name, below) = krate.split_once(":<").map_or((krate, None), |(name, version)| (name, Some(version)));
        Some(Ban { name, below, reason: field("reason = \"").expect("a ban has a reason") })
    };
    deny.lines().filter_map(ban).collect()
}

impl Ban<'_> {
    /// Whether it bans this version of the crate.
    pub fn matches(&self, name: &str, version: &str) -> bool {
        self.name == name && self.below.is_none_or(|below| numbers(version) < numbers(below))
    }
}

/// A version as numbers that compare, without the part after a `-` or `+`.
fn numbers(version: &str) -> Vec<u64> {
    let release = version.split(['-', '+']).next().unwrap_or_default();
    release.split('.').map(|part| part.parse().expect("a version is made of numbers")).collect()
}

/// Names and versions of the packages of a `Cargo.lock`.
pub fn packages(lock: &str) -> Vec<(&str, &str)> {
    let field = |block, name: &str| str::lines(block).find_map(|line| line.strip_prefix(name)?.strip_suffix('"'));
    let package = |block| Some((field(block, "name = \"")?, field(block, "version = \"")?));
    lock.split("[[package]]").filter_map(package).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ban_matches_what_is_older() {
        let deny = "deny = [\n  { crate = \"h2:<0.4.16\", reason = \"floods\" },\n  { crate = \"bincode\", reason = \"no\" },\n]";
        let [h2, bincode] = &bans(deny)[..] else { panic!("two bans") };
        for (version, banned) in
            [("0.4.9", true), ("0.4.15", true), ("0.4.16", false), ("0.5.0", false), ("1.0.0", false)]
        {
            assert_eq!(h2.matches("h2", version), banned, "{version}");
        }
        assert!(bincode.matches("bincode", "2.0.0-rc.3") && !bincode.matches("h2", "0.1.0"));
        assert_eq!(h2.reason, "floods");
    }

    #[test]
    fn packages_have_names_and_versions() {
        let lock = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.2.3\"\ndependencies = [\n \"b\",\n]\n";
        assert_eq!(packages(lock), [("a", "1.2.3")]);
    }
}
