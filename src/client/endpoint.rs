//! The host and port of a server, read from the forms that people write.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use super::ellipses::{self, EllipsesError};

/// The port of KES and Keyraft, which an address without a scheme and a port means.
const DEFAULT_PORT: u16 = 7373;
/// The port that `https://` without a port means, also to MinIO, the SDK and `kes`.
const HTTPS_PORT: u16 = 443;
/// How many servers one list may name, so that a typo in a range does not make millions.
const MAX_SERVERS: usize = 1024;

/// A server's host and port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// A DNS name or an IP address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// A text that does not name a server. Its display says what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' {why}")]
pub struct EndpointError {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub why: EndpointProblem,
}

/// Why a text does not name a server. Its display is a clause that follows the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointProblem {
    /// It has another form than an address.
    #[error("does not name a server: write host, host:port or https://host:port")]
    Malformed,
    /// It asks for HTTP without TLS.
    #[error("asks for HTTP without TLS, which no server speaks: write https:// instead")]
    PlainHttp,
    /// It has another scheme than `https`: this one.
    #[error("begins with '{0}://': write https:// instead")]
    Scheme(String),
    /// It has a path, a query or a user besides host and port.
    #[error("has more than a host and a port: write https://host:port and nothing after it")]
    Path,
    /// It has brackets or several colons, but not the form of an IPv6 address.
    #[error("does not name a server: write an IPv6 address in brackets, as in [::1]:7373")]
    Ipv6,
    /// It separates servers with a blank or a semicolon.
    #[error("does not name a server: separate several servers with commas")]
    Separator,
    /// It has a malformed range in braces.
    #[error("has a malformed range: write a range as {{1...3}}, with the smaller number first")]
    Range,
    /// With it, the list would name too many servers.
    #[error("makes more servers than one list may name ({})", MAX_SERVERS)]
    TooMany,
}

impl Endpoint {
    /// Reads a list that commas separate. A range such as `{1...3}` stands for one server each.
    ///
    /// # Errors
    /// A part is malformed, or the list is empty or names more than 1024 servers.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, EndpointError> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let mut endpoints = Vec::new();
        for part in parts {
            let room = MAX_SERVERS - endpoints.len();
            let error = |error| EndpointError {
                text: part.to_owned(),
                why: match error {
                    EllipsesError::Malformed => EndpointProblem::Range,
                    EllipsesError::TooMany => EndpointProblem::TooMany,
                },
            };
            for one in ellipses::expand(part, room).map_err(error)? {
                endpoints.push(one.parse()?);
            }
        }
        let empty = || EndpointError { text: text.to_owned(), why: EndpointProblem::Malformed };
        if endpoints.is_empty() { Err(empty()) } else { Ok(endpoints) }
    }

    /// The form `host:port`, as in a Host header.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    /// Reads `host`, `host:port` or `[v6]:port`, with or without `https://` before it. Without a port it means 7373, and
    /// after `https://` 443.
    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let (authority, default) = authority(text).map_err(|why| EndpointError { text: text.to_owned(), why })?;
        let malformed = || EndpointError { text: text.to_owned(), why: EndpointProblem::Malformed };
        let (host, port) = split(authority).ok_or_else(malformed)?;
        if (host.contains(':') || authority.starts_with('[')) && host.parse::<Ipv6Addr>().is_err() {
            return Err(EndpointError { text: text.to_owned(), why: EndpointProblem::Ipv6 });
        }
        let port = port.map_or(Some(default), decimal).filter(|port| *port > 0).ok_or_else(malformed)?;
        let fits = !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:".contains(&b));
        fits.then(|| Self { host: host.to_owned(), port }).ok_or_else(malformed)
    }
}

/// The part after the scheme, and the port that this form means without one.
fn authority(text: &str) -> Result<(&str, u16), EndpointProblem> {
    let (scheme, rest) = text.split_once("://").map_or((None, text), |(scheme, rest)| (Some(scheme), rest));
    let port = match scheme.map(str::to_ascii_lowercase).as_deref() {
        None => DEFAULT_PORT,
        Some("https") => HTTPS_PORT,
        Some("http") => return Err(EndpointProblem::PlainHttp),
        Some(other) => return Err(EndpointProblem::Scheme(other.to_owned())),
    };
    if rest.contains(|c: char| c == ';' || c.is_whitespace()) {
        return Err(EndpointProblem::Separator);
    }
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains(['/', '?', '#', '@']) { Err(EndpointProblem::Path) } else { Ok((authority, port)) }
}

fn decimal(port: &str) -> Option<u16> {
    port.bytes().all(|b| b.is_ascii_digit()).then(|| port.parse().ok()).flatten()
}

fn split(authority: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, after) = rest.split_once(']')?;
        return match after.strip_prefix(':') {
            Some(port) => Some((host, Some(port))),
            None => after.is_empty().then_some((host, None)),
        };
    }
    match authority.split_once(':') {
        Some((_, port)) if port.contains(':') => Some((authority, None)),
        Some((host, port)) => Some((host, Some(port))),
        None => Some((authority, None)),
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}", self.authority())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_that_people_write_are_read() {
        let table = [
            ("127.0.0.1", "127.0.0.1:7373"),
            ("127.0.0.1:1", "127.0.0.1:1"),
            ("https://kms.example.org:7374/", "kms.example.org:7374"),
            ("https://kms.example.org", "kms.example.org:443"),
            ("HTTPS://kms.example.org/", "kms.example.org:443"),
            ("kms.example.org/", "kms.example.org:7373"),
            ("[::1]:7375", "[::1]:7375"),
            ("[::1]", "[::1]:7373"),
            ("https://[::1]", "[::1]:443"),
            ("https://[fe80::1]:9/", "[fe80::1]:9"),
            ("::1", "[::1]:7373"),
        ];
        for (text, authority) in table {
            assert_eq!(text.parse::<Endpoint>().unwrap().authority(), authority, "{text}");
        }
        for bad in ["", "https://", "a:b", "a:70000", "a:0", "a:+1", "a:", "[::1", "[::1]1", ":7373"] {
            assert_eq!(bad.parse::<Endpoint>().unwrap_err().why, EndpointProblem::Malformed, "{bad}");
        }
    }

    #[test]
    fn other_texts_are_refused_with_what_to_write() {
        let error = |text: &str| text.parse::<Endpoint>().unwrap_err().to_string();
        assert!(error("http://a:7373").contains("asks for HTTP without TLS"));
        assert!(error("ftp://a").contains("begins with 'ftp://'"));
        for list in ["https://a:1;https://b:1", "a b", "https://a:1 https://b:1", "a\tb"] {
            assert!(error(list).contains("separate several servers with commas"), "{list}");
        }
        for address in ["::1:28220", "https://::1:70000", "a:b:1", "[kms]:7373", "https://[127.0.0.1]"] {
            assert!(error(address).contains("write an IPv6 address in brackets"), "{address}");
        }
        for path in ["a/b", "https://a:1/v1/status", "https://a//", "https://a?x", "https://me@a"] {
            assert!(error(path).contains("more than a host and a port"), "{path}");
        }
    }

    #[test]
    fn a_list_names_from_1_to_1024_servers() {
        assert_eq!(Endpoint::parse_list("a:1, https://b").unwrap().len(), 2);
        assert!(Endpoint::parse_list(" , ").is_err());
        assert_eq!(Endpoint::parse_list("a{1...1024}").unwrap().len(), MAX_SERVERS);
        for many in ["a{1...1025}", "a{1...1024},b{1...2}", "a{0...999}{0...999}", "a{0...18446744073709551615}"] {
            let error = Endpoint::parse_list(many).unwrap_err().to_string();
            assert!(error.contains("more servers than one list may name (1024)"), "{error}");
        }
    }

    #[test]
    fn a_range_stands_for_one_server_each() {
        let read = |text| Endpoint::parse_list(text).unwrap().iter().map(Endpoint::authority).collect::<Vec<_>>();
        assert_eq!(read("https://127.0.0.1:2701{0...2}"), ["127.0.0.1:27010", "127.0.0.1:27011", "127.0.0.1:27012"]);
        assert_eq!(read("https://kms{1...2}.example,b"), ["kms1.example:443", "kms2.example:443", "b:7373"]);
        assert_eq!(read("r{1...2}-{08...09}:1"), ["r1-08:1", "r1-09:1", "r2-08:1", "r2-09:1"]);
        assert!(
            Endpoint::parse_list("https://kms{1...2}:7000{0...1}").is_err(),
            "70000 and 70001 are too large for a port"
        );
    }
}
