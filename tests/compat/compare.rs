//! Compares an answer with the wanted one, and reports every difference.

use std::fmt::Display;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use keyraft::error_code::{ErrorCode, HEADER};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::case::{Answer, Checks};
use crate::support::http::Response;

/// Headers that must be as wanted, and absent if they are not wanted.
const EXACT_HEADERS: [&str; 2] = ["content-type", "accept"];

/// How many characters of a value a difference shows at most.
const SHOWN: usize = 400;

/// Every difference between an answer and the wanted one. `mask` names the fields whose value varies.
pub fn differences(wanted: &Answer, mask: &[String], checks: &Checks, got: &Response) -> Vec<String> {
    let mut found = Vec::new();
    if wanted.status != Some(got.status) {
        found.push(differs("status", wanted.status.unwrap_or_default(), got.status));
    }
    headers(wanted, got, &mut found);
    if !got.header("keyraft-request-id").is_some_and(is_request_id) {
        found.push(differs("keyraft-request-id", "16 digits", got.header("keyraft-request-id").unwrap_or("absent")));
    }
    if (got.status >= 400) != got.header(HEADER).is_some_and(|code| ErrorCode::parse(code).is_some()) {
        found.push(differs(HEADER, "a code on errors only", got.header(HEADER).unwrap_or("absent")));
    }
    body(wanted, mask, got, &mut found);
    if wanted.status == Some(got.status) {
        check(checks, got, &mut found);
    }
    found
}

fn headers(wanted: &Answer, got: &Response, found: &mut Vec<String>) {
    let named = wanted.headers.keys().map(String::as_str);
    let unnamed = EXACT_HEADERS.into_iter().filter(|name| !wanted.headers.contains_key(*name));
    for name in named.chain(unnamed) {
        let (wanted, got) = (wanted.headers.get(name), got.header(name));
        let same = match (wanted.and_then(|value| value.strip_suffix('*')), got) {
            (Some(prefix), Some(got)) => got.starts_with(prefix),
            _ => wanted.map(String::as_str) == got,
        };
        if !same {
            let shown = |value: Option<&str>| value.unwrap_or("absent").to_owned();
            found.push(differs(name, shown(wanted.map(String::as_str)), shown(got)));
        }
    }
}

fn is_request_id(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn body(wanted: &Answer, mask: &[String], got: &Response, found: &mut Vec<String>) {
    let text = got.text();
    if let Some(wanted) = wanted.text.as_ref().filter(|wanted| **wanted != text) {
        found.push(differs("text", format!("{wanted:?}"), format!("{text:?}")));
    }
    if let Some(wanted) = &wanted.json {
        match serde_json::from_str(&text) {
            Ok(got) => json("json", wanted, &got, mask, wanted.is_string(), found),
            Err(error) => found.push(format!("no JSON ({error}): {}", cut(&format!("{text:?}")))),
        }
    }
    let missing = wanted.contains.iter().filter(|part| !text.contains(*part));
    found.extend(missing.map(|part| format!("text: {part:?} is missing")));
    let surplus = wanted.lacks.iter().filter(|part| text.contains(*part));
    found.extend(surplus.map(|part| format!("text: {part:?} is there")));
}

/// Compares two values. `varies` says that the field is masked, so that the wanted value only shows its type.
fn json(at: &str, wanted: &Value, got: &Value, mask: &[String], varies: bool, found: &mut Vec<String>) {
    match (wanted, got) {
        (Value::String(placeholder), got) if varies && is_placeholder(placeholder) => {
            if !has_type(placeholder, got) {
                found.push(differs(at, placeholder, got));
            }
        }
        (Value::Object(wanted), Value::Object(got)) => {
            for name in wanted.keys().chain(got.keys().filter(|name| !wanted.contains_key(*name))) {
                field(at, name, (wanted.get(name), got.get(name)), mask, found);
            }
        }
        (Value::Array(wanted), Value::Array(got)) if wanted.len() == got.len() => {
            for (index, (wanted, got)) in wanted.iter().zip(got).enumerate() {
                json(&format!("{at}[{index}]"), wanted, got, mask, false, found);
            }
        }
        (wanted, got) if wanted == got => {}
        (wanted, got) => found.push(differs(at, wanted, got)),
    }
}

fn field(at: &str, name: &String, pair: (Option<&Value>, Option<&Value>), mask: &[String], found: &mut Vec<String>) {
    let at = format!("{at}.{name}");
    let varies = mask.contains(name);
    match pair {
        (Some(wanted), Some(got)) => json(&at, wanted, got, mask, varies, found),
        (Some(Value::String(optional)), None) if varies && optional.ends_with("?>") => {}
        (Some(wanted), None) => found.push(differs(&at, wanted, "absent")),
        (None, got) => found.push(differs(&at, "absent", got.unwrap_or(&Value::Null))),
    }
}

fn is_placeholder(text: &str) -> bool {
    ["<str>", "<str?>", "<int>", "<list>"].contains(&text)
}

fn has_type(placeholder: &str, value: &Value) -> bool {
    match placeholder {
        "<int>" => value.is_i64() || value.is_u64(),
        "<list>" => value.is_array(),
        _ => value.is_string(),
    }
}

fn check(checks: &Checks, got: &Response, found: &mut Vec<String>) {
    let answer = got.json();
    for (field, length) in &checks.base64_len {
        let bytes = answer[field].as_str().and_then(|text| BASE64_STANDARD.decode(text).ok());
        require(bytes.is_some_and(|bytes| bytes.len() == *length), field, format!("base64 of {length} bytes"), found);
    }
    for field in &checks.rfc3339 {
        let date = answer[field].as_str().map(|text| OffsetDateTime::parse(text, &Rfc3339));
        require(date.is_some_and(|date| date.is_ok()), field, "a date of RFC 3339", found);
    }
    for (field, values) in &checks.one_of {
        require(values.contains(&answer[field]), field, format!("one of {values:?}"), found);
    }
    for (field, value) in &checks.differs {
        require(answer[field] != **value, field, format!("another value than {value}"), found);
    }
    for (field, values) in &checks.includes {
        let list = if field.is_empty() { answer.as_array() } else { answer[field].as_array() };
        let has = |value| list.is_some_and(|list| list.contains(value));
        for value in values {
            require(has(value), field, format!("a list with {value}"), found);
        }
    }
    if let Some(field) = &checks.sorted_by {
        let list = answer.as_array().map(|list| list.is_sorted_by_key(|item| item[field].as_str()));
        require(list == Some(true), field, "what the list is sorted by", found);
    }
    if let Some(count) = checks.count {
        require(answer.as_array().map(Vec::len) == Some(count), "list", format!("{count} long"), found);
    }
    if let Some(length) = checks.max_len {
        require(got.body.len() <= length, "body", format!("{length} bytes at most"), found);
    }
}

fn require(holds: bool, what: &str, wanted: impl Display, found: &mut Vec<String>) {
    if !holds {
        found.push(format!("{what} is not {wanted}"));
    }
}

fn differs(what: &str, wanted: impl Display, got: impl Display) -> String {
    format!("{what}\n      wanted {}\n      got    {}", cut(&wanted.to_string()), cut(&got.to_string()))
}

fn cut(text: &str) -> String {
    let shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() { format!("{shown}… ({} bytes)", text.len()) } else { shown }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(value: Value) -> Answer {
        serde_json::from_value(value).unwrap()
    }

    fn response(status: u16, content_type: &str, body: &str) -> Response {
        let bare = bare(status, body);
        Response { headers: [vec![("content-type".into(), content_type.into())], bare.headers].concat(), ..bare }
    }

    /// An answer with only the headers that every answer has.
    fn bare(status: u16, body: &str) -> Response {
        let id = ("keyraft-request-id".into(), "00000000000000fe".into());
        Response { status, headers: vec![("date".into(), "now".into()), id], body: body.into() }
    }

    fn count(wanted: &Value, mask: &[&str], got: &str) -> usize {
        let wanted = answer(json!({"status": 200, "headers": {"content-type": "application/json"}, "json": wanted}));
        let mask: Vec<_> = mask.iter().map(|&name| name.to_owned()).collect();
        differences(&wanted, &mask, &Checks::default(), &response(200, "application/json", got)).len()
    }

    #[test]
    fn json_is_compared_exactly() {
        let wanted = json!({"a": 1, "b": ["x"]});
        assert_eq!(count(&wanted, &[], r#" {"b": ["x"], "a": 1}"#), 0);
        for other in [r#"{"a":1}"#, r#"{"a":1,"b":["x"],"c":0}"#, r#"{"a":"1","b":["x"]}"#, r#"{"a":1,"b":[]}"#, "x"] {
            assert_eq!(count(&wanted, &[], other), 1, "{other}");
        }
        assert_eq!(count(&wanted, &[], r#"{"a":2,"b":["y"],"c":0}"#), 3, "all differences are found");
    }

    #[test]
    fn a_masked_field_must_be_there_and_have_its_type() {
        let wanted = json!({"s": "<str>", "i": "<int>", "l": "<list>"});
        let mask = ["s", "i", "l"];
        assert_eq!(count(&wanted, &mask, r#"{"s":"","i":0,"l":[1]}"#), 0);
        assert_eq!(count(&wanted, &mask, r#"{"s":1,"i":1.5,"l":{}}"#), 3);
        assert_eq!(count(&wanted, &mask, r#"{"i":0,"l":[]}"#), 1);
        assert_eq!(count(&wanted, &[], r#"{"s":"","i":0,"l":[]}"#), 3, "a placeholder means itself without a mask");
    }

    #[test]
    fn a_mask_reaches_into_lists_and_an_optional_field_may_be_absent() {
        assert_eq!(count(&json!([{"s": "<str>"}]), &["s"], r#"[{"s":"x"}]"#), 0);
        assert_eq!(count(&json!([{"s": "<str>"}]), &["s"], r#"[{"s":null}]"#), 1);
        assert_eq!(count(&json!({"s": "<str?>"}), &["s"], "{}"), 0);
        assert_eq!(count(&json!({"s": "<str?>"}), &["s"], r#"{"s":1}"#), 1);
        assert_eq!(count(&json!("<list>"), &[], "[1]"), 0, "the whole answer may vary");
    }

    #[test]
    fn headers_are_compared_even_when_none_is_wanted() {
        let wanted = answer(json!({"status": 200, "headers": {}, "text": ""}));
        let found = |wanted: &Answer, got: Response| differences(wanted, &[], &Checks::default(), &got).len();
        assert_eq!(found(&wanted, response(200, "text/plain", "")), 1);
        assert_eq!(found(&wanted, bare(200, "")), 0);
        assert_eq!(found(&wanted, bare(204, "x")), 2);
        let prefix = answer(json!({"status": 200, "headers": {"content-type": "text/*"}, "text": ""}));
        assert_eq!(found(&prefix, response(200, "text/plain", "")), 0);
        assert_eq!(found(&prefix, response(200, "image/png", "")), 1);
        let unnumbered = Response { headers: vec![], ..bare(200, "") };
        assert_eq!(found(&wanted, unnumbered), 1, "every answer has the id of its request");
        let refused = answer(json!({"status": 404, "text": ""}));
        let coded = |code: &str| {
            let code = vec![("keyraft-error".to_owned(), code.to_owned())];
            Response { headers: [code, bare(404, "").headers].concat(), ..bare(404, "") }
        };
        assert_eq!(found(&refused, coded("key-not-found")), 0);
        assert_eq!(
            found(&refused, coded("no-such-code")) + found(&refused, bare(404, "")),
            2,
            "every error has a code"
        );
        let length = answer(json!({"status": 200, "headers": {"content-length": "0"}, "text": ""}));
        assert_eq!(found(&length, bare(200, "")), 1);
    }

    #[test]
    fn text_contains_and_lacks() {
        let wanted = answer(json!({"status": 200, "contains": ["a", "z"], "lacks": ["b", "y"]}));
        let got = bare(200, "abc");
        assert_eq!(differences(&wanted, &[], &Checks::default(), &got).len(), 2);
    }

    #[test]
    fn checks_hold_of_the_value() {
        let wanted = answer(json!({"status": 200, "headers": {"content-type": "x"}}));
        let failed = |checks: Value, got: &str| {
            let checks = serde_json::from_value(checks).unwrap();
            differences(&wanted, &[], &checks, &response(200, "x", got)).len()
        };
        let table = [
            (json!({"base64_len": {"a": 2}}), r#"{"a":"AAA="}"#, r#"{"a":"AAAA"}"#),
            (json!({"rfc3339": ["a"]}), r#"{"a":"2022-03-01T10:00:00.5Z"}"#, r#"{"a":"2022-03-01"}"#),
            (json!({"one_of": {"a": [1, "b"]}}), r#"{"a":"b"}"#, r#"{"a":2}"#),
            (json!({"differs": {"a": "b"}}), r#"{"a":"c"}"#, r#"{"a":"b"}"#),
            (json!({"includes": {"a": [1]}}), r#"{"a":[0,1]}"#, r#"{"a":[0]}"#),
            (json!({"includes": {"": [{"b": 1}]}}), r#"[{"b":1}]"#, r#"[{"b":1,"c":2}]"#),
            (json!({"sorted_by": "b"}), r#"[{"b":"1"},{"b":"2"}]"#, r#"[{"b":"2"},{"b":"1"}]"#),
            (json!({"count": 1}), "[0]", "[]"),
            (json!({"max_len": 2}), "{}", "{ }"),
        ];
        for (checks, good, bad) in table {
            assert_eq!((failed(checks.clone(), good), failed(checks.clone(), bad)), (0, 1), "{checks}");
        }
    }
}
