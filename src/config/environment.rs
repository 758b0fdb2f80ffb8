//! `${NAME}` in a value stands for a variable of the environment.

/// Looks up a variable of the environment; none when it is not set.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The environment of this process; a variable that is not UTF-8 counts as not set.
pub(super) fn of_process(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Replaces every `${NAME}` in `text`, and `$${` by `${`. The values are not looked into again.
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

/// The text that expands to `text`.
pub(super) fn escape(text: &str) -> String {
    text.replace("${", "$${")
}

/// Whether a text can name a variable.
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
    fn references_are_replaced_once_wherever_they_stand() {
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
    fn what_is_escaped_expands_to_itself() {
        for text in ["${A}", "$${A}", "$$${", "a${", "$", "${${A}}"] {
            assert_eq!(expand(&escape(text), &lookup).as_deref(), Ok(text), "{text}");
        }
    }
}
