//! The description in `docs/openapi.json` holds for the contract cases: it has each answer that they want, with its
//! status and media type, and its schema has the fields of each good answer.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::case::{self, Case, Group};

#[test]
fn every_answer_of_the_contract_cases_is_described() {
    let described = read();
    let groups: Vec<Group> = case::recorded().into_iter().chain(case::contract()).collect();
    let mut compared = 0;
    let mut missing = Vec::new();
    for case in groups.iter().flat_map(|group| &group.cases) {
        if let Some(operation) = operation(&described, case) {
            compared += 1;
            missing.extend(faults(&described, operation, case));
        }
    }
    assert!(compared > 200, "only {compared} cases meet an operation");
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

fn read() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi.json");
    serde_json::from_slice(&fs::read(path).expect("the file is readable")).expect("the file is JSON")
}

/// The operation that a case asks for. `None` if the description lacks the path or the method.
fn operation<'d>(described: &'d Value, case: &Case) -> Option<&'d Value> {
    let path = case.target.split('?').next()?;
    let described = described["paths"].as_object()?;
    let exact = described.get(path).or_else(|| {
        let (_, methods) = described.iter().find(|(template, _)| {
            template.split_once('{').is_some_and(|(prefix, _)| path.starts_with(prefix) && path.len() > prefix.len())
        })?;
        Some(methods)
    });
    exact?.get(case.method.to_lowercase())
}

fn faults(described: &Value, operation: &Value, case: &Case) -> Vec<String> {
    let wanted = case.wanted();
    let Some(status) = wanted.status else { return Vec::new() };
    let line = format!("{} {} {status}", case.method, case.target);
    let Some(response) = operation["responses"].get(status.to_string()) else {
        return vec![format!("{line}: the status is not described")];
    };
    let media_type = wanted.headers.get("content-type").map(|sent| sent.trim_end_matches('*'));
    let Some(media_type) = media_type else {
        return response.get("content").map(|_| format!("{line}: a body is described")).into_iter().collect();
    };
    let content = response["content"].as_object();
    if case.method == "HEAD" {
        return Vec::new();
    }
    let Some((_, content)) = content.and_then(|all| all.iter().find(|(name, _)| name.starts_with(media_type))) else {
        return vec![format!("{line}: {media_type} is not described")];
    };
    let undescribed = wanted.json.iter().flat_map(|json| undescribed(described, &content["schema"], json));
    undescribed.map(|field| format!("{line}: `{field}` is not described")).collect()
}

/// The fields of an answer that its schema lacks, and the required fields that the answer lacks.
fn undescribed(described: &Value, schema: &Value, answer: &Value) -> Vec<String> {
    let schema = resolve(described, schema);
    match answer {
        Value::Array(items) => items.iter().flat_map(|item| undescribed(described, &schema["items"], item)).collect(),
        Value::Object(fields) => {
            let open = !matches!(schema.get("additionalProperties"), Some(Value::Bool(false)));
            let known = |name: &str| open || schema["properties"].get(name).is_some();
            let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let absent = required.filter(|name| !fields.contains_key(*name)).map(str::to_owned);
            fields.keys().filter(|name| !known(name)).cloned().chain(absent).collect()
        }
        _ => Vec::new(),
    }
}

fn resolve<'d>(described: &'d Value, schema: &'d Value) -> &'d Value {
    let target = schema["$ref"].as_str().and_then(|reference| described.pointer(reference.trim_start_matches('#')));
    target.unwrap_or(schema)
}
