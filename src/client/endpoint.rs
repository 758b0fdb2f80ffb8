//! Where a server is: a host and a port, read from the forms people write.

use std::fmt;
use std::str::FromStr;

/// The port of KES and Keyraft.
const DEFAULT_PORT: u16 = 7373;

/// A server's host and port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// A DNS name or an IP address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// The text is no endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointError(pub String);

impl Endpoint {
    /// Reads a list separated by commas.
    ///
    /// # Errors
    /// One of them is malformed, or there is none.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, EndpointError> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let endpoints: Vec<Self> = parts.map(str::parse).collect::<Result<_, _>>()?;
        if endpoints.is_empty() { Err(EndpointError(text.to_owned())) } else { Ok(endpoints) }
    }

    /// `host:port`, as in a Host header.
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

    /// Reads `host`, `host:port`, `[v6]:port`, or one of them after `https://`.
    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let malformed = || EndpointError(text.to_owned());
        let authority = text.strip_prefix("https://").unwrap_or(text).trim_end_matches('/');
        let (host, port) = split(authority).ok_or_else(malformed)?;
        let port = port.map_or(Ok(DEFAULT_PORT), str::parse).map_err(|_| malformed())?;
        let fits = !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:".contains(&b));
        fits.then(|| Self { host: host.to_owned(), port }).ok_or_else(malformed)
    }
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

impl fmt::Display for EndpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' is no server: write host, host:port or https://host:port", self.0)
    }
}

impl std::error::Error for EndpointError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_people_write_are_read() {
        let table = [
            ("127.0.0.1", "127.0.0.1:7373"),
            ("127.0.0.1:1", "127.0.0.1:1"),
            ("https://kms.example.org:7374/", "kms.example.org:7374"),
            ("[::1]:7375", "[::1]:7375"),
            ("https://[::1]", "[::1]:7373"),
            ("::1", "[::1]:7373"),
        ];
        for (text, authority) in table {
            assert_eq!(text.parse::<Endpoint>().unwrap().authority(), authority, "{text}");
        }
        for bad in ["", "http://a", "a:b", "a:70000", "[::1", "a/b", "a b"] {
            assert!(bad.parse::<Endpoint>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_list_has_at_least_one() {
        assert_eq!(Endpoint::parse_list("a:1, https://b").unwrap().len(), 2);
        assert!(Endpoint::parse_list(" , ").is_err());
    }
}
