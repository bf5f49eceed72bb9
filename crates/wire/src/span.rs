//! Spans of time as Go writes them: `1m30s`. Source: Go's `time.ParseDuration`.

use super::fault::{Faults, Path};

/// A span that is not negative, in nanoseconds; one that cannot be read is a fault.
pub fn read(text: Option<&str>, at: &Path<'_>, faults: &mut Faults) -> Option<i64> {
    let text = text?;
    let span = nanoseconds(text).filter(|span| *span >= 0);
    if span.is_none() {
        faults.unreadable(at, text, "must be a duration that is not negative, such as 30s or 1h30m");
    }
    span
}

/// A span in nanoseconds, which may be negative; `None` for a text that is none.
pub fn nanoseconds(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut total = 0.0;
    loop {
        let unit = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(unit);
        let end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let unit = match unit {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * unit;
        if after.is_empty() {
            break;
        }
        rest = after;
    }
    (total < i64::MAX as f64).then_some((sign * total) as i64)
}
