//! The one grammar of key, policy and identity names, and of listing prefixes (wire contract, "Names and listings").

use std::fmt;

use thiserror::Error;

/// The longest name or listing prefix, in bytes.
pub(super) const MAX_NAME: usize = 80;

/// What a name names. Its display stands in the error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameKind {
    /// A key.
    Key,
    /// A policy.
    Policy,
    /// An identity, as text in a path or body.
    Identity,
}

/// A text that is not a name. Its message is the one that KES sends.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{kind} '{name}' is empty, too long or contains invalid characters")]
pub struct NameError {
    /// What it should have named.
    pub kind: NameKind,
    /// The text as it came.
    pub name: String,
}

/// A valid key name, borrowed from the request or record that holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyName<'a>(&'a str);

/// A valid policy name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyName(Box<str>);

/// A valid listing prefix: empty, or the beginning of a name. One trailing `*` has been taken off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefix<'a>(&'a str);

/// A text that is not a listing prefix, as the client sent it. Its message is the one that KES sends.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("listing pattern '{0}' is empty, too long or is invalid")]
pub struct PrefixError(pub String);

impl<'a> KeyName<'a> {
    /// Checks the grammar of a key name.
    ///
    /// # Errors
    /// The text is empty, longer than 80 bytes, `_` alone, or has other characters than `A–Z a–z 0–9 _ -`, or a `-` at an
    /// end.
    pub fn parse(name: &'a str) -> Result<Self, NameError> {
        check(NameKind::Key, name).map(|()| Self(name))
    }

    /// The name as text.
    pub fn as_str(&self) -> &'a str {
        self.0
    }
}

impl PolicyName {
    /// Checks the grammar of a policy name; the same as a key's.
    ///
    /// # Errors
    /// As for [`KeyName::parse`].
    pub fn parse(name: &str) -> Result<Self, NameError> {
        check(NameKind::Policy, name).map(|()| Self(name.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'a> Prefix<'a> {
    /// Checks a listing prefix, `sent` as it stood in the path.
    ///
    /// # Errors
    /// Without one trailing `*`, the text has a character that no name has, begins with `-`, or is longer than 80 bytes.
    pub fn parse(sent: &'a str) -> Result<Self, PrefixError> {
        let prefix = sent.strip_suffix('*').unwrap_or(sent);
        let fits = prefix.len() <= MAX_NAME && !prefix.starts_with('-') && prefix.bytes().all(is_name_byte);
        fits.then_some(Self(prefix)).ok_or_else(|| PrefixError(sent.to_owned()))
    }

    /// The prefix as text, without its `*`.
    pub fn as_str(&self) -> &'a str {
        self.0
    }
}

impl std::borrow::Borrow<str> for PolicyName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl NameKind {
    /// Checks a text that is only reported, never kept, such as an identity that no certificate can have.
    ///
    /// # Errors
    /// As for [`KeyName::parse`].
    pub fn check(self, name: &str) -> Result<(), NameError> {
        check(self, name)
    }
}

fn check(kind: NameKind, name: &str) -> Result<(), NameError> {
    let fits = !name.is_empty()
        && name.len() <= MAX_NAME
        && name.bytes().all(is_name_byte)
        && !name.starts_with('-')
        && !name.ends_with('-')
        && name != "_";
    fits.then_some(()).ok_or_else(|| NameError { kind, name: name.to_owned() })
}

fn is_name_byte(b: u8) -> bool {
    is_name_char(b.into())
}

/// Whether names may have this character.
pub(super) fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

impl fmt::Display for NameKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Key => "key name",
            Self::Policy => "policy name",
            Self::Identity => "identity",
        })
    }
}

impl fmt::Display for KeyName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Display for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_grammar() {
        let longest = "a".repeat(MAX_NAME);
        for good in ["a", "A-1", "my_key", "0", "__", "_a", "a_", longest.as_str()] {
            assert!(KeyName::parse(good).is_ok(), "{good}");
        }
        let too_long = "a".repeat(MAX_NAME + 1);
        for bad in ["", "-", "-a", "a-", "_", "a.b", "a b", "a/b", "a*", "ä", "a\n", too_long.as_str()] {
            assert!(KeyName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_prefix_is_not_a_name() {
        for (sent, prefix) in [("", ""), ("*", ""), ("a-", "a-"), ("_", "_"), ("a*", "a"), ("a-*", "a-")] {
            assert_eq!(Prefix::parse(sent).unwrap().as_str(), prefix);
        }
        for bad in ["-", "a**", "*a", "a.b", "a/b", &"a".repeat(81)] {
            assert_eq!(Prefix::parse(bad), Err(PrefixError(bad.to_owned())));
        }
    }

    #[test]
    fn an_error_says_what_the_contract_says() {
        let message = KeyName::parse("a b").unwrap_err().to_string();
        assert_eq!(message, "key name 'a b' is empty, too long or contains invalid characters");
        assert!(NameKind::Identity.check("x/").unwrap_err().to_string().starts_with("identity 'x/' is"));
    }
}
