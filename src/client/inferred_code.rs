//! Infers the error code of an answer without one, as KES sends it. Only this file compares messages.

use crate::error_code::ErrorCode;

/// The code of an error with this status and message (wire contract, "Errors"). `None` if the contract does not list it.
pub fn infer(status: u16, message: &str) -> Option<ErrorCode> {
    Some(match (status, message.trim()) {
        (400, "key already exists") => ErrorCode::KeyExists,
        (400, "policy already exists") => ErrorCode::PolicyExists,
        (400, "identity already exists") => ErrorCode::IdentityExists,
        (400, "decryption failed: ciphertext is not authentic") => ErrorCode::CiphertextNotAuthentic,
        (400, "tls: client certificate is required") => ErrorCode::CertificateRequired,
        (400, "tls: received more than one client certificate") => ErrorCode::SeveralCertificates,
        (400, "invalid request body" | "invalid import key request body") => ErrorCode::InvalidBody,
        (403, "not authorized: insufficient permissions") => ErrorCode::NotAuthorized,
        (404, "key does not exist") => ErrorCode::KeyNotFound,
        (404, "policy does not exist") => ErrorCode::PolicyNotFound,
        (404, "identity does not exist") => ErrorCode::IdentityNotFound,
        (404, "404 page not found") => ErrorCode::UnknownPath,
        (409, "key does not support HMAC") => ErrorCode::HmacNotSupported,
        (413, "request body too large") => ErrorCode::BodyTooLarge,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows of the contract's table that have one exact text.
    #[test]
    fn every_exact_text_of_the_contract_has_its_code() {
        let contract = include_str!("../../docs/wire-contract.md");
        let (_, section) = contract.split_once("\n## Errors\n").expect("the section exists");
        let rows = section.split("\n## ").next().unwrap_or_default().lines().filter_map(|line| {
            let (status, text) = line.strip_prefix("| ")?.split_once(" | ")?;
            Some((status.parse::<u16>().ok()?, text))
        });
        let mut coded = 0;
        for (status, cell) in rows {
            let texts = cell.split('`').skip(1).step_by(2).filter(|text| text.contains(' ') && !text.contains('<'));
            for text in texts.filter(|text| !text.starts_with("text/plain")) {
                assert!(infer(status, text).is_some(), "{status} {text}");
                coded += 1;
            }
        }
        assert!(coded >= 14, "the test must find the rows of the table: {coded}");
        assert_eq!(infer(404, "404 page not found\n"), Some(ErrorCode::UnknownPath));
        assert_eq!(infer(503, "key does not exist"), None);
    }
}
