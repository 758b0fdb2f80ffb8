//! The OpenAPI description of this API, made from the route table and from the descriptions in `describe`.
//! `docs/openapi.json` is a copy of it.

mod describe;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use self::describe::{
    AnswerSchema, Description, INVALID_IDENTITY_NAME, INVALID_KEY_NAME, INVALID_POLICY_NAME, RequestSchema, describe,
};
use crate::error_code::ErrorCode;
use crate::http::error::ApiError;
use crate::http::pipeline::routes::{Auth, Method, ROUTES, Route};
use crate::kms;
use crate::policy::{ActionKind, NameInPath, NameKind};
use crate::tls::CertificateError;

/// What operations refer to: parameters, schemas, and the one security scheme.
const COMPONENTS: &str = include_str!("components.json");

/// The description, as JSON with line breaks for people.
pub fn document() -> Bytes {
    static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| {
        let text = serde_json::to_string_pretty(&describe_all()).expect("a JSON value can be written");
        Bytes::from(text + "\n")
    });
    DOCUMENT.clone()
}

fn describe_all() -> Value {
    let mut components: Value = serde_json::from_str(COMPONENTS).expect("a test reads the components");
    components["headers"]["ErrorCode"] = error_code();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Keyraft",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The KES HTTP API, and what a cluster adds. Every route needs mutual TLS.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "https://127.0.0.1:7373"}],
        "security": [{"certificate": []}],
        "paths": listed().flat_map(paths).collect::<Map<_, _>>(),
        "components": components,
    })
}

fn listed() -> impl Iterator<Item = &'static Route> {
    ROUTES.iter().filter(|route| route.listed)
}

/// The paths of a route: one, or two for a listing, which also works without its slash.
fn paths(route: &Route) -> Vec<(String, Value)> {
    let own = (path(route), methods(route, &operation_id(route.path), true));
    match parameter(route.action) {
        Some("Prefix") => {
            let bare = route.path.trim_end_matches('/');
            vec![(bare.to_owned(), methods(route, &(operation_id(bare) + "All"), false)), own]
        }
        _ => vec![own],
    }
}

fn path(route: &Route) -> String {
    let name = parameter(route.action).map(|name| format!("{{{}}}", name.to_lowercase()));
    [route.path, &name.unwrap_or_default()].concat()
}

/// What follows the path of an action.
fn parameter(action: ActionKind) -> Option<&'static str> {
    match action.name_in_path() {
        NameInPath::Nothing => None,
        NameInPath::Name(NameKind::Key | NameKind::Policy) => Some("Name"),
        NameInPath::Name(NameKind::Identity) => Some("Identity"),
        NameInPath::Prefix => Some("Prefix"),
    }
}

/// The server takes POST wherever it takes PUT, and HEAD wherever it takes GET, except for streams.
fn methods(route: &Route, id: &str, with_name: bool) -> Value {
    match route.method {
        Method::Get if matches!(route.action, ActionKind::Log(_)) => json!({"get": operation(route, id, with_name)}),
        Method::Get => json!({
            "get": operation(route, id, with_name),
            "head": without_content(operation(route, &format!("{id}ByHead"), with_name)),
        }),
        Method::Delete => json!({"delete": operation(route, id, with_name)}),
        Method::Put => json!({
            "put": operation(route, id, with_name),
            "post": operation(route, &format!("{id}ByPost"), with_name),
        }),
    }
}

fn operation(route: &Route, id: &str, with_name: bool) -> Value {
    let described = describe(route.action);
    let mut operation = json!({
        "operationId": id,
        "tags": [tag(route.action)],
        "summary": described.summary,
        "parameters": parameters(route, with_name),
        "responses": responses(route, &described),
        "x-max-body": route.max_body,
        "x-timeout-seconds": route.timeout.map_or(0, |timeout| timeout.as_secs()),
        "x-needs-policy": route.auth == Auth::Policy,
    });
    if !described.details.is_empty() {
        operation["description"] = described.details.into();
    }
    match described.request {
        RequestSchema::None => {}
        RequestSchema::Optional(schema) => operation["requestBody"] = body(schema, false),
        RequestSchema::Json(schema) => operation["requestBody"] = body(schema, true),
    }
    operation
}

/// The operation with answers that have headers and no body.
fn without_content(mut operation: Value) -> Value {
    for (_, response) in operation["responses"].as_object_mut().into_iter().flatten() {
        response.as_object_mut().map(|response| response.remove("content"));
    }
    operation
}

/// `/v1/key/bulk/decrypt/` is `keyBulkDecrypt`.
fn operation_id(path: &str) -> String {
    let words = path.trim_start_matches("/v1").split(['/', '.']).filter(|word| !word.is_empty());
    let joined = words.map(|word| word[..1].to_uppercase() + &word[1..]).collect::<String>();
    joined[..1].to_lowercase() + &joined[1..]
}

fn tag(action: ActionKind) -> &'static str {
    match action {
        ActionKind::System(_) | ActionKind::Cluster(_) => "node",
        ActionKind::Key(_) => "keys",
        ActionKind::Policy(_) => "policies",
        ActionKind::Identity(_) => "identities",
        ActionKind::Log(_) => "logs",
    }
}

fn parameters(route: &Route, with_name: bool) -> Vec<Value> {
    let name = parameter(route.action).filter(|_| with_name);
    let query: &[&str] = match route.action {
        action if action.name_in_path() == NameInPath::Prefix => &["ContinueAt", "Limit"],
        ActionKind::Log(_) => &["Tail", "Follow", "Cluster"],
        _ => &[],
    };
    name.into_iter().chain(query.iter().copied()).map(|name| reference("parameters", name)).collect()
}

fn body(schema: &str, required: bool) -> Value {
    json!({"required": required, "content": {"application/json": {"schema": reference("schemas", schema)}}})
}

fn reference(kind: &str, name: &str) -> Value {
    json!({"$ref": format!("#/components/{kind}/{name}")})
}

fn responses(route: &Route, described: &Description) -> Value {
    let mut responses = Map::new();
    responses.insert("200".to_owned(), answer(described.answer));
    let mut errors = BTreeMap::<u16, Vec<String>>::new();
    for error in common_errors(route).into_iter().chain(described.errors.iter().map(|example| example())) {
        let (status, code, text) = error.answer();
        errors.entry(status.as_u16()).or_default().push(format!("`{}`: {text}", code.as_str()));
    }
    for (status, texts) in errors {
        responses.insert(status.to_string(), error(status, &texts));
    }
    responses.into()
}

/// The errors of every route, of routes that write, and of routes that take a name.
fn common_errors(route: &Route) -> Vec<ApiError> {
    let mut errors = vec![
        ApiError::NoCertificate,
        ApiError::Certificate(CertificateError::Several),
        ApiError::BadPath,
        ApiError::Denied,
        ApiError::Method { got: "…".to_owned(), want: route.method, allowed: route.allowed() },
        ApiError::BodyTooSlow,
        ApiError::BodyTooLarge,
        ApiError::TimedOut { writes: false },
        ApiError::Unaudited { done: false },
        ApiError::Unaudited { done: true },
        ApiError::Kms(kms::Error::Stopping),
    ];
    if route.writes() {
        errors.push(ApiError::TimedOut { writes: true });
    }
    match route.action.name_in_path() {
        NameInPath::Name(NameKind::Key) => errors.push(INVALID_KEY_NAME()),
        NameInPath::Name(NameKind::Policy) => errors.push(INVALID_POLICY_NAME()),
        NameInPath::Name(NameKind::Identity) => errors.push(INVALID_IDENTITY_NAME()),
        NameInPath::Prefix | NameInPath::Nothing => {}
    }
    errors
}

fn error(status: u16, texts: &[String]) -> Value {
    let mut response = json!({
        "description": texts.join("; "),
        "headers": headers(),
        "content": {"application/json": {"schema": reference("schemas", "Error")}},
    });
    response["headers"]["Keyraft-Error"] = reference("headers", "ErrorCode");
    if status == 405 {
        let text = |description| json!({"description": description, "schema": {"type": "string"}});
        response["headers"]["Accept"] = text("The method of the route.");
        response["headers"]["Allow"] = text("Every method that the route takes.");
    }
    response
}

fn answer(answer: AnswerSchema) -> Value {
    let content = match answer {
        AnswerSchema::Empty => return json!({"description": "Done. The answer has no body.", "headers": headers()}),
        AnswerSchema::Json(schema) => json!({"application/json": {"schema": reference("schemas", schema)}}),
        AnswerSchema::JsonOrLines(schema, line) => json!({
            "application/json": {"schema": reference("schemas", schema)},
            "application/x-ndjson": {"schema": reference("schemas", line)},
        }),
        AnswerSchema::Lines(line) => json!({"application/x-ndjson": {"schema": reference("schemas", line)}}),
        AnswerSchema::Metrics => json!({"text/plain; version=0.0.4; charset=utf-8": {"schema": {"type": "string"}}}),
        AnswerSchema::OpenApi => json!({"application/json": {"schema": {"type": "object"}}}),
    };
    json!({"description": "Done.", "headers": headers(), "content": content})
}

/// The headers of every answer.
fn headers() -> Value {
    json!({"Keyraft-Request-Id": reference("headers", "RequestId")})
}

/// The header of every error answer.
fn error_code() -> Value {
    let names: Vec<_> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
    let meanings: String =
        ErrorCode::ALL.iter().map(|code| format!("\n- `{}`: {}", code.as_str(), code.meaning())).collect();
    json!({
        "description": format!("What went wrong. Programs decide by this code.\n{meanings}"),
        "required": true,
        "schema": {"type": "string", "enum": names},
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    /// `KEYRAFT_WRITE_OPENAPI=1 cargo test --lib openapi` writes the copy again.
    #[test]
    fn the_copy_in_the_docs_equals_the_served_description() {
        let copy = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi.json");
        if std::env::var_os("KEYRAFT_WRITE_OPENAPI").is_some() {
            fs::write(&copy, document()).unwrap();
        }
        let same = fs::read(&copy).is_ok_and(|copy| *copy == *document());
        assert!(same, "docs/openapi.json is old: KEYRAFT_WRITE_OPENAPI=1 cargo test --lib openapi writes it");
    }

    #[test]
    fn every_route_is_described_with_its_methods() {
        let described = describe_all();
        for route in listed() {
            let methods = described["paths"][path(route)].as_object().unwrap_or_else(|| panic!("{}", route.path));
            let wanted: BTreeSet<_> = route.allowed().split(", ").map(str::to_lowercase).collect();
            assert_eq!(methods.keys().cloned().collect::<BTreeSet<_>>(), wanted, "{}", route.path);
        }
    }

    #[test]
    fn operations_have_unique_ids_and_a_summary() {
        let described = describe_all();
        let methods = described["paths"].as_object().unwrap().values().flat_map(|path| path.as_object().unwrap());
        let operations: Vec<_> = methods.map(|(_, operation)| operation).collect();
        let ids: BTreeSet<_> = operations.iter().map(|operation| operation["operationId"].as_str()).collect();
        assert_eq!(ids.len(), operations.len());
        assert!(ids.contains(&Some("keyBulkDecrypt")) && ids.contains(&Some("keyListAll")), "{ids:?}");
        assert!(
            operations.iter().all(|operation| operation["summary"].as_str().is_some_and(|text| text.ends_with('.')))
        );
    }

    #[test]
    fn every_reference_resolves_and_every_component_is_used() {
        let described = describe_all();
        let mut referred = BTreeSet::new();
        collect(&described, &mut referred);
        for reference in &referred {
            assert!(described.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
        }
        for kind in ["parameters", "schemas"] {
            for name in described["components"][kind].as_object().unwrap().keys() {
                assert!(referred.contains(&format!("#/components/{kind}/{name}")), "nothing uses {name}");
            }
        }
    }

    fn collect(value: &Value, references: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                references.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
                fields.values().for_each(|value| collect(value, references));
            }
            Value::Array(items) => items.iter().for_each(|value| collect(value, references)),
            _ => {}
        }
    }
}
