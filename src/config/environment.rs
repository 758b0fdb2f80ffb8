//! Replaces `${NAME}` in values by variables of the environment.

/// Looks up a variable of the environment. Returns `None` if it is not set.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Looks up a variable of this process. A variable that is not UTF-8 counts as not set.
pub fn process_variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Replaces every `${NAME}` in `text`, and `$${` by `${`. Does not replace anything in the values of variables.
///
/// # Errors
/// The name of the first variable that is not set.
pub(super) fn expand(text: &str, environment: Environment<'_>) -> Result<String, String> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, reference) = rest.split_at(at);
        let after = &reference[2..];
        if let Some(before) = before.strip_suffix('$') {
            expanded.extend([before, "${"]);
            rest = after;
        } else if let Some((name, after)) = after.split_once('}').filter(|(name, _)| is_name(name)) {
            expanded.extend([before, &environment(name).ok_or_else(|| name.to_owned())?]);
            rest = after;
        } else {
            expanded.extend([before, "${"]);
            rest = after;
        }
    }
    expanded.push_str(rest);
    Ok(expanded)
}

/// The first `${…}` of `text` that only a shell understands, such as `${NAME:-…}`. Without this check it would silently
/// count as plain text. The result leaves out the default, which may be a secret.
pub(super) fn shell_form(text: &str) -> Option<String> {
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, reference) = rest.split_at(at);
        let inner = reference[2..].split_once('}').map(|(inner, _)| inner).filter(|_| !before.ends_with('$'));
        if let Some(inner) = inner.filter(|inner| !is_name(inner)) {
            return Some(shown(inner));
        }
        rest = &reference[2..];
    }
    None
}

/// Whether `text` is a single `${…}` and nothing else.
pub(super) fn is_one_reference(text: &str) -> bool {
    text.starts_with("${") && text.ends_with('}')
}

/// The variable that `text` names without braces, as a shell allows: `$NAME`.
pub(super) fn bare_name(text: &str) -> Option<&str> {
    text.strip_prefix('$').filter(|name| is_name(name))
}

fn shown(inner: &str) -> String {
    let name = inner.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default();
    let operator: String = inner[name.len()..].chars().take_while(|c| ":-=?+".contains(*c)).take(2).collect();
    let more = if inner.len() > name.len() + operator.len() { "…" } else { "" };
    format!("${{{name}{operator}{more}}}")
}

/// The text that expands to `text`.
pub(super) fn escape(text: &str) -> String {
    text.replace("${", "$${")
}

/// Whether a text can be the name of a variable.
pub(super) fn is_name(text: &str) -> bool {
    !text.starts_with(|c: char| c.is_ascii_digit())
        && !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Option<String> {
        [("A", "1"), ("B_2", "${A}"), ("EMPTY", "")].iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned())
    }

    #[test]
    fn references_are_replaced_once_anywhere_in_a_text() {
        let table = [
            ("", ""),
            ("plain", "plain"),
            ("${A}", "1"),
            ("a-${A}-${B_2}${EMPTY}.", "a-1-${A}."),
            ("$${A}", "${A}"),
            ("$ $A {A} ${} ${a-b} ${1} ${A", "$ $A {A} ${} ${a-b} ${1} ${A"),
        ];
        for (text, expanded) in table {
            assert_eq!(expand(text, &lookup).as_deref(), Ok(expanded), "{text}");
        }
        assert_eq!(expand("${A}${MISSING}", &lookup), Err("MISSING".to_owned()));
    }

    #[test]
    fn shell_forms_are_found_and_no_default_is_shown() {
        let table = [
            ("${A}", None),
            ("a-${A}-$${A:-b} $A {A} ${A", None),
            ("${A:-hunter2}", Some("${A:-…}")),
            ("${A}${B-hunter2}", Some("${B-…}")),
            ("x${A:?}", Some("${A:?}")),
            ("${}", Some("${}")),
            ("${A:=${B}}", Some("${A:=…}")),
            ("${#A}", Some("${…}")),
            ("${ A }", Some("${…}")),
            ("${1A}", Some("${1A}")),
            ("${A:-$${B}", Some("${A:-…}")),
        ];
        for (text, form) in table {
            assert_eq!(shell_form(text).as_deref(), form, "{text}");
        }
        assert_eq!([bare_name("$A"), bare_name("$"), bare_name("$1"), bare_name("a$A")], [Some("A"), None, None, None]);
    }

    #[test]
    fn an_escaped_text_expands_to_the_original() {
        for text in ["${A}", "$${A}", "$$${", "a${", "$", "${${A}}"] {
            assert_eq!(expand(&escape(text), &lookup).as_deref(), Ok(text), "{text}");
        }
    }
}
