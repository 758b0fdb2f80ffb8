//! MinIO's ellipses: `host{1...3}` stands for `host1`, `host2` and `host3`.

/// Why a text with ranges cannot be expanded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EllipsesError {
    /// The braces do not hold `first...last`, two whole numbers with the smaller one first.
    Malformed,
    /// The text stands for more texts than the caller wants.
    TooMany,
}

/// Every text that `text` stands for, in order. The last range changes fastest. A text without a brace stands for itself.
///
/// If a number begins with a zero, all numbers get leading zeros, up to the length of the longer one.
///
/// # Errors
/// A range is malformed, or the text stands for more texts than `most`.
pub fn expand(text: &str, most: usize) -> Result<Vec<String>, EllipsesError> {
    let mut expanded = vec![String::new()];
    let mut rest = text;
    while let Some((before, range, after)) = next_range(rest)? {
        let count = range.count().and_then(|count| count.checked_mul(expanded.len()));
        if count.is_none_or(|count| count > most) {
            return Err(EllipsesError::TooMany);
        }
        let numbers: Vec<String> = range.texts().collect();
        let with_range = |start: String| numbers.iter().map(move |number| format!("{start}{before}{number}"));
        expanded = expanded.into_iter().flat_map(with_range).collect();
        rest = after;
    }
    if expanded.len() > most {
        return Err(EllipsesError::TooMany);
    }
    Ok(expanded.into_iter().map(|start| start + rest).collect())
}

struct Range {
    first: u64,
    last: u64,
    /// Numbers get leading zeros up to this many digits.
    width: usize,
}

/// The text before the first range, the range, and the text after it.
fn next_range(text: &str) -> Result<Option<(&str, Range, &str)>, EllipsesError> {
    let Some((before, from)) = text.split_once('{') else {
        return if text.contains('}') { Err(EllipsesError::Malformed) } else { Ok(None) };
    };
    let (range, after) = from.split_once('}').ok_or(EllipsesError::Malformed)?;
    if before.contains('}') {
        return Err(EllipsesError::Malformed);
    }
    Ok(Some((before, Range::parse(range).ok_or(EllipsesError::Malformed)?, after)))
}

impl Range {
    fn parse(text: &str) -> Option<Self> {
        let (first, last) = text.split_once("...")?;
        let number = |digits: &str| digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten();
        let padded = |digits: &str| digits.len() > 1 && digits.starts_with('0');
        let width = if padded(first) || padded(last) { first.len().max(last.len()) } else { 1 };
        let range = Self { first: number(first)?, last: number(last)?, width };
        (range.first <= range.last).then_some(range)
    }

    fn count(&self) -> Option<usize> {
        (self.last - self.first).checked_add(1).and_then(|count| usize::try_from(count).ok())
    }

    fn texts(&self) -> impl Iterator<Item = String> {
        let width = self.width;
        (self.first..=self.last).map(move |number| format!("{number:0width$}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_expanded_in_order() {
        let table: [(&str, &[&str]); 6] = [
            ("a", &["a"]),
            ("", &[""]),
            ("a{1...3}", &["a1", "a2", "a3"]),
            ("{9...11}b", &["9b", "10b", "11b"]),
            ("{08...10}", &["08", "09", "10"]),
            ("x{1...2}y{0...1}z", &["x1y0z", "x1y1z", "x2y0z", "x2y1z"]),
        ];
        for (text, expanded) in table {
            assert_eq!(expand(text, 9).unwrap(), expanded, "{text}");
        }
        assert_eq!(expand("{1...010}", 10).unwrap()[0], "001");
    }

    #[test]
    fn malformed_ranges_are_refused() {
        for bad in
            ["{", "}", "a{1..3}", "{1...}", "{...3}", "{3...1}", "{a...b}", "{}", "{1,2}", "}{1...2}", "{-1...1}"]
        {
            assert_eq!(expand(bad, 9), Err(EllipsesError::Malformed), "{bad}");
        }
    }

    #[test]
    fn a_text_that_stands_for_too_many_is_refused() {
        assert_eq!(expand("{0...9}", 10).unwrap().len(), 10);
        for many in ["{0...10}", "{0...4}{0...4}", "{0...18446744073709551615}"] {
            assert!(matches!(expand(many, 10), Err(EllipsesError::TooMany)), "{many}");
        }
        assert_eq!(expand("a", 0), Err(EllipsesError::TooMany));
    }
}
