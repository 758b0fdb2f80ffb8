//! Durations in the notation of Go: `30s`, `5m0s`, `1h30m`, `1.5h`, `10ms`.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Units and their nanoseconds, the largest first. `show` writes the first of several names of a unit.
const UNITS: [(&str, u64); 8] = [
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ns", 1),
];

const NOT_A_DURATION: &str = "is not a duration; write it like 10ms, 30s, 5m or 1h30m";

/// Reads a duration.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut sum = (!text.is_empty()).then_some(0_u64);
    let mut rest = text;
    while !rest.is_empty() {
        let (number, after) = split(rest, |c| c.is_ascii_digit() || c == '.');
        let (unit, after) = split(after, |c| !c.is_ascii_digit() && c != '.');
        sum = sum.zip(nanoseconds(number, unit)).and_then(|(sum, more)| sum.checked_add(more));
        rest = after;
    }
    sum.map(Duration::from_nanos).ok_or_else(|| NOT_A_DURATION.to_owned())
}

/// A reader of durations in a range.
pub(super) fn within(range: RangeInclusive<Duration>) -> impl Fn(&str) -> Result<Duration, String> {
    move |text| {
        let duration = parse(text)?;
        let outside = || format!("is out of range: from {} to {}", show(*range.start()), show(*range.end()));
        range.contains(&duration).then_some(duration).ok_or_else(outside)
    }
}

/// The text that [`parse`] reads as this duration.
pub(super) fn show(duration: Duration) -> String {
    let mut rest = duration.as_nanos();
    let parts = UNITS.into_iter().filter_map(|(unit, ns)| {
        let count = rest / u128::from(ns);
        rest %= u128::from(ns);
        (count > 0).then(|| format!("{count}{unit}"))
    });
    let text: String = parts.collect();
    if text.is_empty() { "0s".to_owned() } else { text }
}

fn split(text: &str, first: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !first(c)).unwrap_or(text.len()))
}

/// A decimal number of a unit, in nanoseconds. `None` if the number or the unit is malformed, or the time is too long.
fn nanoseconds(number: &str, unit: &str) -> Option<u64> {
    let (_, ns) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    // Cut off digits below a nanosecond, as Go does.
    let fraction = &fraction[..fraction.len().min(15)];
    let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    u64::try_from(digits.checked_mul(u128::from(ns))? / scale).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_in_go() {
        let table = [
            ("0", 0),
            ("0s", 0),
            ("10ms", 10_000_000),
            ("30s", 30_000_000_000),
            ("5m0s", 300_000_000_000),
            ("1h30m", 5_400_000_000_000),
            ("1.5h", 5_400_000_000_000),
            (".5s", 500_000_000),
            ("1.s", 1_000_000_000),
            ("1us1ns", 1_001),
            ("2µs", 2_000),
            ("0.123456789123456789s", 123_456_789),
        ];
        for (text, ns) in table {
            assert_eq!(parse(text), Ok(Duration::from_nanos(ns)), "{text}");
        }
    }

    #[test]
    fn malformed_durations_are_refused() {
        for bad in ["", "30", "s", "-5s", "+5s", "5 s", "1d", "five", "1.2.3s", ".s", "5m 3s", "99999999999999h", "5M"]
        {
            assert_eq!(parse(bad), Err(NOT_A_DURATION.to_owned()), "{bad}");
        }
    }

    #[test]
    fn a_shown_duration_reads_back_as_the_same() {
        for ns in [0, 1, 999, 1_000, 30_000_000, 61_000_000_001, 5_400_000_000_000, u64::MAX] {
            let duration = Duration::from_nanos(ns);
            assert_eq!(parse(&show(duration)), Ok(duration));
        }
        assert_eq!(show(Duration::from_millis(5_400_160)), "1h30m160ms");
    }
}
