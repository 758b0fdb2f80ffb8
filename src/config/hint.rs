//! What a setting that does not exist was probably meant to be.

/// Settings of older KES files, and what took their place.
const RETIRED: [(&str, &str); 4] = [
    ("root", "write `admin: {identity: …}`"),
    ("paths", "write `allow`"),
    ("enclave", "there are no enclaves here"),
    ("keystore", "Keyraft keeps the keys itself: see `cluster`"),
];

/// A hint that follows the message about an unknown setting; `known` are the settings of its section.
pub(super) fn unknown(name: &str, known: &[&str]) -> String {
    let nearest = known.iter().map(|k| (distance(name, k), k)).min();
    let replaced = RETIRED.iter().find(|(retired, _)| *retired == name);
    match (nearest, replaced) {
        (Some((distance, known)), _) if distance <= 1 + name.len() / 4 => format!("did you mean `{known}`?"),
        (_, Some((_, instead))) => (*instead).to_owned(),
        _ => format!("remove it; known here are {}", known.join(", ")),
    }
}

/// The Levenshtein distance of two texts, where case does not count and neither do `-` and `_`.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (letters(a), letters(b));
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

fn letters(text: &str) -> Vec<u8> {
    text.bytes().filter(|b| !matches!(b, b'-' | b'_')).map(|b| b.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_counts_edits() {
        for (a, b, edits) in [("", "", 0), ("", "ab", 2), ("kitten", "sitting", 3), ("SkipAuth", "skip_auth", 0)] {
            assert_eq!(distance(a, b), edits, "{a} {b}");
            assert_eq!(distance(b, a), edits, "{b} {a}");
        }
    }

    #[test]
    fn the_nearest_is_meant_when_it_is_near() {
        let known = ["address", "admin", "allow", "keys"];
        assert_eq!(unknown("adress", &known), "did you mean `address`?");
        assert_eq!(unknown("key", &known), "did you mean `keys`?");
        assert_eq!(unknown("root", &known), "write `admin: {identity: …}`");
        assert_eq!(unknown("paths", &known), "write `allow`");
        assert!(unknown("something", &known).starts_with("remove it; known here are address, "));
    }
}
