//! The variables of a group: `${name}` in targets, headers, bodies and answers stands for a value from an earlier
//! answer.

use std::collections::BTreeMap;

use serde_json::Value;

/// Values by name.
pub type Variables = BTreeMap<String, String>;

/// A variable without a value.
#[derive(Debug, PartialEq, Eq)]
pub struct Unset(pub String);

/// The text with every variable replaced.
///
/// # Errors
/// One of them is not set.
pub fn expand(text: &str, variables: &Variables) -> Result<String, Unset> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, after) = after.split_once('}').ok_or_else(|| Unset(after.to_owned()))?;
        expanded.push_str(before);
        expanded.push_str(variables.get(name).ok_or_else(|| Unset(name.to_owned()))?);
        rest = after;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

/// The value with every variable in its texts replaced.
///
/// # Errors
/// One of them is not set.
pub fn expand_json(value: &Value, variables: &Variables) -> Result<Value, Unset> {
    Ok(match value {
        Value::String(text) => Value::String(expand(text, variables)?),
        Value::Array(items) => {
            Value::Array(items.iter().map(|item| expand_json(item, variables)).collect::<Result<_, _>>()?)
        }
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| Ok((name.clone(), expand_json(value, variables)?));
            Value::Object(fields.iter().map(field).collect::<Result<_, _>>()?)
        }
        other => other.clone(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn variables_are_replaced_everywhere() {
        let variables = Variables::from([("a".into(), "1".into()), ("b.c".into(), "2".into())]);
        assert_eq!(expand("${a}-${b.c}$ {", &variables).unwrap(), "1-2$ {");
        let expanded = expand_json(&json!({"x": ["${a}", 5, null]}), &variables).unwrap();
        assert_eq!(expanded, json!({"x": ["1", 5, null]}));
    }

    #[test]
    fn an_unset_variable_is_named() {
        assert_eq!(expand("${a}", &Variables::new()), Err(Unset("a".into())));
    }
}
