//! Values in the form in which the API server prints them: quantities and times.
//!
//! Source: `apimachinery/pkg/api/resource/quantity.go` (`ParseQuantity`, `CanonicalizeBytes`, `RoundUp`), `suffix.go`,
//! `apimachinery/pkg/apis/meta/v1/time.go`, `micro_time.go`.

use std::fmt;

use podberth_core::model::{Quantity, QuantityError};

const DECIMAL: [&str; 10] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];
const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

/// Most digits of a number that Kubernetes keeps as it was written if it is canonical.
const KEPT_DIGITS: usize = 18;

/// The notation of a quantity, which stays when it is written anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Notation {
    #[default]
    Decimal,
    Exponent,
    Binary,
}

impl Notation {
    fn of(suffix: &str) -> Self {
        if suffix.ends_with('i') {
            Self::Binary
        } else if suffix.starts_with(['e', 'E']) && suffix.len() > 1 {
            Self::Exponent
        } else {
            Self::Decimal
        }
    }
}

/// A quantity and the notation in which it is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Amount {
    pub(super) quantity: Quantity,
    notation: Notation,
}

impl Amount {
    /// A number of things.
    pub(super) fn of(count: i64) -> Self {
        Self { quantity: Quantity::from_units(count), notation: Notation::Decimal }
    }

    /// `None` if the text is no quantity.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let suffix = text.trim_start_matches(|letter: char| !letter.is_ascii_alphabetic());
        Some(Self { quantity: text.parse().ok()?, notation: Notation::of(suffix) })
    }

    /// The sum, in the notation of the first of both that is not zero (`Quantity.Add`).
    #[must_use]
    pub(super) fn plus(self, other: Self) -> Self {
        let notation = if self.quantity.is_zero() { other.notation } else { self.notation };
        Self { quantity: self.quantity.saturating_add(other.quantity), notation }
    }

    /// The difference, like [`Self::plus`].
    #[must_use]
    pub(super) fn minus(self, other: Self) -> Self {
        let notation = if self.quantity.is_zero() { other.notation } else { self.notation };
        Self { quantity: self.quantity.saturating_sub(other.quantity), notation }
    }

    /// The larger of both.
    #[must_use]
    pub(super) fn or_more(self, other: Self) -> Self {
        if other.quantity > self.quantity { other } else { self }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&written(self.quantity.nanos(), self.notation))
    }
}

/// A quantity in its canonical form. An entry of a resource list is rounded up to whole thousandths.
///
/// # Errors
/// If the text is not a quantity.
pub(super) fn quantity(text: &str, in_list: bool) -> Result<String, QuantityError> {
    let text = text.trim();
    let parsed: Quantity = text.parse()?;
    let suffix_at = text.bytes().position(|b| b.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, suffix) = text.split_at(suffix_at);
    let notation = Notation::of(suffix);
    let rounded = if in_list { parsed.rounded_to_milli() } else { parsed };
    if rounded == parsed && is_kept(number, suffix, notation) {
        return Ok(text.to_owned());
    }
    if notation != Notation::Binary && rounded == most(rounded) {
        return Ok(beyond(number, suffix, notation));
    }
    Ok(written(rounded.nanos(), notation))
}

/// An amount as Kubernetes prints one that was counted in thousands: `1500m`, `2G`.
pub(crate) fn decimal(of: Quantity) -> String {
    written(of.nanos(), Notation::Decimal)
}

/// An amount as Kubernetes prints one that was counted in powers of two: `250Mi`.
pub(crate) fn binary(of: Quantity) -> String {
    written(of.nanos(), Notation::Binary)
}

/// The largest amount that is kept exactly, with the sign of this one.
fn most(of: Quantity) -> Quantity {
    Quantity::from_units(if of.is_negative() { -i64::MAX } else { i64::MAX })
}

/// A decimal amount that is larger than any that is counted with, from its digits.
fn beyond(number: &str, suffix: &str, notation: Notation) -> String {
    let sign = if number.starts_with('-') { "-" } else { "" };
    let (whole, fraction) = number.trim_start_matches(['+', '-']).split_once('.').unwrap_or((number, ""));
    let whole = whole.trim_start_matches(['+', '-', '0']);
    let Some(mut exponent) = exponent(suffix, notation).filter(|exponent| (0..=1000).contains(exponent)) else {
        return format!("{sign}{}", i64::MAX);
    };
    // Nobody tells a part of a unit from none in so large an amount.
    let moved = usize::try_from(exponent).unwrap_or_default().min(fraction.len());
    let mut digits = format!("{whole}{}", &fraction[..moved]);
    exponent -= i64::try_from(moved).unwrap_or_default();
    while digits.len() > 1 && digits.ends_with('0') {
        digits.pop();
        exponent += 1;
    }
    while exponent % 3 != 0 || (exponent > 18 && notation == Notation::Decimal) {
        digits.push('0');
        exponent -= 1;
    }
    let suffix = match (notation, exponent) {
        (_, 0) => String::new(),
        (Notation::Exponent, exponent) => format!("e{exponent}"),
        (_, exponent) => {
            let at = usize::try_from(exponent / 3 + 3).unwrap_or_default();
            DECIMAL.get(at).copied().unwrap_or_default().to_owned()
        }
    };
    format!("{sign}{digits}{suffix}")
}

/// The power of ten of a suffix.
fn exponent(suffix: &str, notation: Notation) -> Option<i64> {
    match notation {
        Notation::Exponent => suffix.get(1..).and_then(|digits| digits.parse().ok()),
        _ => {
            DECIMAL.iter().position(|known| *known == suffix).and_then(|at| i64::try_from(at).ok()).map(|at| at * 3 - 9)
        }
    }
}

/// `true` if the text is the canonical form already, as Kubernetes judges it from its digits.
fn is_kept(number: &str, suffix: &str, notation: Notation) -> bool {
    let digits = number.trim_start_matches(['+', '-']).trim_start_matches('0');
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let spelt = format!("{whole}{fraction}");
    if spelt.len() > KEPT_DIGITS || whole.is_empty() {
        return false;
    }
    if notation == Notation::Binary {
        // The last three bits: a multiple of eight may be one of 1024.
        return !digits.contains('.') && spelt.parse::<u64>().is_ok_and(|value| value & 7 != 0);
    }
    let Some(exponent) = exponent(suffix, notation) else { return false };
    let scale = exponent - i64::try_from(fraction.len()).unwrap_or(i64::MAX);
    scale >= -9 && scale % 3 == 0 && !spelt.ends_with("000")
}

fn written(nanos: i128, notation: Notation) -> String {
    if nanos == 0 {
        return "0".into();
    }
    let unit = 1_000_000_000;
    let is_binary = notation == Notation::Binary && nanos.abs() >= 1024 * unit && nanos % unit == 0;
    let (mut mantissa, base, mut at) = if is_binary { (nanos / unit, 1024, 0) } else { (nanos, 1000, 0) };
    let most = if is_binary { BINARY.len() } else { DECIMAL.len() } - 1;
    while mantissa % base == 0 && at < most {
        mantissa /= base;
        at += 1;
    }
    match (is_binary, notation) {
        (true, _) => format!("{mantissa}{}", BINARY[at]),
        (_, Notation::Exponent) if at != 3 => format!("{mantissa}e{}", i64::try_from(at).unwrap_or_default() * 3 - 9),
        _ => format!("{mantissa}{}", if notation == Notation::Exponent { "" } else { DECIMAL[at] }),
    }
}

const TIME: &str = "2006-01-02T15:04:05Z07:00";
const MICRO_TIME: &str = "2006-01-02T15:04:05.000000Z07:00";

/// A time in its canonical form: UTC, in whole seconds.
///
/// # Errors
/// If the text is not a time; the message is that of Go.
pub(super) fn time(text: &str) -> Result<String, String> {
    instant(text, TIME).map(|(date, [hour, minute, second], _)| format!("{date}T{hour:02}:{minute:02}:{second:02}Z"))
}

/// Like [`time`], in microseconds.
///
/// # Errors
/// If the text is not a time with six digits after the second.
pub(super) fn micro_time(text: &str) -> Result<String, String> {
    instant(text, MICRO_TIME)
        .map(|(date, [hour, minute, second], micros)| format!("{date}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z"))
}

type Instant = (String, [i64; 3], i64);

/// The date, the time of day and the microseconds of a text, in UTC.
fn instant(text: &str, layout: &str) -> Result<Instant, String> {
    let refused =
        |rest: &str, part: &str| Err(format!("parsing time {text:?} as {layout:?}: cannot parse {rest:?} as {part:?}"));
    let mut rest = text;
    let mut numbers = [0; 6];
    let parts = [("2006", 4, "-"), ("01", 2, "-"), ("02", 2, "T"), ("15", 2, ":"), ("04", 2, ":"), ("05", 2, "")];
    for ((part, length, after), number) in parts.into_iter().zip(&mut numbers) {
        let digits = rest.get(..length).filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
        let Some(digits) = digits else { return refused(rest, part) };
        *number = digits.parse::<i64>().unwrap_or_default();
        rest = &rest[length..];
        let Some(left) = rest.strip_prefix(after) else { return refused(rest, after) };
        rest = left;
    }
    let [year, month, day, hour, minute, second] = numbers;
    let limits = [("month", month, 1, 12), ("day", day, 1, days_in(year, month)), ("hour", hour, 0, 23)];
    for (what, value, least, most) in limits.into_iter().chain([("minute", minute, 0, 59), ("second", second, 0, 59)]) {
        if !(least..=most).contains(&value) {
            return Err(format!("parsing time {text:?}: {what} out of range"));
        }
    }
    let mut micros = 0;
    if let Some(fraction) = rest.strip_prefix(['.', ',']) {
        let length = fraction.bytes().take_while(u8::is_ascii_digit).count();
        let digits = &fraction[..length];
        if length == 0 || (layout == MICRO_TIME && length != 6) {
            return refused(rest, if layout == MICRO_TIME { ".000000" } else { "Z07:00" });
        }
        micros = format!("{digits:0<6}")[..6].parse().unwrap_or_default();
        rest = &fraction[length..];
    } else if layout == MICRO_TIME {
        return refused(rest, ".000000");
    }
    let offset = match (rest, rest.as_bytes()) {
        ("Z", _) => 0,
        (_, [sign @ (b'+' | b'-'), a, b, b':', c, d]) if [a, b, c, d].iter().all(|digit| digit.is_ascii_digit()) => {
            let digit = |byte: &u8| i64::from(byte - b'0');
            let minutes = (digit(a) * 10 + digit(b)) * 60 + digit(c) * 10 + digit(d);
            if *sign == b'-' { -minutes } else { minutes }
        }
        _ => return refused(rest, "Z07:00"),
    };
    let minutes = hour * 60 + minute - offset;
    let (days, minutes) = (minutes.div_euclid(24 * 60), minutes.rem_euclid(24 * 60));
    Ok((shifted(year, month, day, days), [minutes / 60, minutes % 60, second], micros))
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// A date some days later or earlier; an offset is at most four days.
fn shifted(mut year: i64, mut month: i64, mut day: i64, days: i64) -> String {
    day += days;
    if day < 1 {
        (year, month) = if month == 1 { (year - 1, 12) } else { (year, month - 1) };
        day += days_in(year, month);
    } else if day > days_in(year, month) {
        day -= days_in(year, month);
        (year, month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    }
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_written_as_the_api_server_prints_them() {
        for (text, printed) in [
            ("0.5", "500m"),
            (" 1 ", "1"),
            (".", "0"),
            ("1n", "1m"),
            ("0.5m", "1m"),
            ("1000m", "1"),
            ("1500m", "1500m"),
            ("1e9", "1e9"),
            ("1E3", "1E3"),
            ("10e2", "1e3"),
            ("1024Ki", "1Mi"),
            ("1.5Gi", "1536Mi"),
            ("0.5Gi", "512Mi"),
            ("0.5Ki", "512"),
            ("100Mi", "100Mi"),
            ("1000Mi", "1000Mi"),
            ("1048576", "1048576"),
            ("1000000", "1M"),
            ("+1", "+1"),
            ("-1", "-1"),
            ("0", "0"),
            ("00", "0"),
            ("1.", "1."),
            (".5", "500m"),
            ("2E", "2E"),
            ("100E", "100E"),
            ("99999999999999999999", "99999999999999999999"),
            ("100000000000000000000", "100E"),
        ] {
            assert_eq!(quantity(text, true).unwrap(), printed, "{text}");
        }
        assert_eq!(quantity("1n", false).unwrap(), "1n", "only lists of resources are rounded");
        assert!(quantity("1GiB", true).is_err() && quantity("", true).is_err());
    }

    #[test]
    fn times_are_written_in_utc() {
        for (text, printed) in [
            ("2026-11-26T10:00:00Z", "2026-11-26T10:00:00Z"),
            ("2026-01-01T00:30:00.123+01:00", "2025-12-31T23:30:00Z"),
            ("2024-02-28T23:30:00-01:00", "2024-02-29T00:30:00Z"),
        ] {
            assert_eq!(time(text).as_deref(), Ok(printed), "{text}");
        }
        assert_eq!(micro_time("2026-11-26T12:00:00.000001+02:00").as_deref(), Ok("2026-11-26T10:00:00.000001Z"));
        let why =
            r#"parsing time "yesterday" as "2006-01-02T15:04:05.000000Z07:00": cannot parse "yesterday" as "2006""#;
        assert_eq!(micro_time("yesterday"), Err(why.into()));
        assert!(
            time("2026-02-30T00:00:00Z").is_err() && time("").is_err() && micro_time("2026-11-26T10:00:00Z").is_err()
        );
    }

    proptest::proptest! {
        #[test]
        fn canonical_forms_are_stable_and_nothing_panics(
            text in "\\PC{0,12}",
            number in "[+-]?[0-9]{0,22}(\\.[0-9]{0,12})?([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]{1,4})?",
            stamp in "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{1,8})?(Z|[+-][0-9]{2}:[0-9]{2})",
        ) {
            for text in [&text, &number, &stamp] {
                let _ = (time(text), micro_time(text));
                if let Ok(once) = quantity(text, true) {
                    proptest::prop_assert_eq!(quantity(&once, true).unwrap(), once.clone());
                    let (of, to): (Quantity, Quantity) = (text.trim().parse().unwrap(), once.parse().unwrap());
                    proptest::prop_assert_eq!(of.rounded_to_milli(), to);
                }
            }
            if let Ok(once) = time(&stamp) {
                proptest::prop_assert_eq!(time(&once), Ok(once.clone()));
            }
        }
    }
}
