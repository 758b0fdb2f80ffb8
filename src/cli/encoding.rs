//! Bytes as arguments: base64 as the KES command line writes it, text, and `-` for standard input.

use std::io::Read as _;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use zeroize::Zeroizing;

use super::Error;

/// How much of standard input is read. No server takes more.
const MAX_INPUT: u64 = 1 << 21;

/// Bytes as base64.
pub fn encode(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}

/// Decodes the argument from base64, or standard input if it is `-`.
pub fn decode(what: &'static str, argument: &str) -> Result<Zeroizing<Vec<u8>>, Error> {
    let text = if argument == "-" { read_input()? } else { Zeroizing::new(argument.as_bytes().to_vec()) };
    BASE64_STANDARD.decode(text.trim_ascii()).map(Zeroizing::new).map_err(|_| Error::Input {
        what,
        reason: "it must be standard, padded base64, as `echo -n TEXT | base64` prints it".to_owned(),
    })
}

/// The argument's own bytes, or standard input if it is `-`.
pub fn bytes(argument: &str) -> Result<Zeroizing<Vec<u8>>, Error> {
    if argument == "-" { read_input() } else { Ok(Zeroizing::new(argument.as_bytes().to_vec())) }
}

fn read_input() -> Result<Zeroizing<Vec<u8>>, Error> {
    let mut bytes = Zeroizing::new(Vec::new());
    let read = std::io::stdin().lock().take(MAX_INPUT).read_to_end(&mut bytes);
    read.map_err(|error| Error::Input { what: "standard input", reason: error.to_string() })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_standard_padded_base64_is_decoded() {
        assert_eq!(*decode("x", "+/8=").unwrap(), [0xfb, 0xff]);
        for bad in ["-_8=", "+/8", "hello world"] {
            assert!(decode("context", bad).unwrap_err().to_string().starts_with("context: "));
        }
    }
}
