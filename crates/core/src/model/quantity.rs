//! Kubernetes quantities, exact: no float ever stands between `0.1` and 100 milli-units.
//!
//! Source: `apimachinery/pkg/api/resource/quantity.go` (`ParseQuantity`, `ScaledValue`) and `suffix.go`.

use std::fmt;

/// A fixed-point amount, in billionths of a unit (the finest that Kubernetes keeps).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quantity {
    nanos: i128,
}

/// Why a text is no quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// Not a number followed by at most one suffix.
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Format,
    /// A number followed by something that is no suffix.
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

const NANO: i128 = 1_000_000_000;
/// The largest amount kept: 2^63-1 units; larger ones are cut to it, so sums never overflow.
const MAX_NANOS: i128 = i64::MAX as i128 * NANO;

impl Quantity {
    /// A number of whole units.
    pub fn from_units(units: i64) -> Self {
        Self { nanos: i128::from(units) * NANO }
    }

    /// A number of thousandths of a unit.
    pub fn from_milli(milli: i64) -> Self {
        Self { nanos: i128::from(milli) * 1_000_000 }
    }

    /// Whole units, rounded away from zero (Go: `Quantity.Value`).
    pub fn value(self) -> i64 {
        self.scaled(NANO)
    }

    /// Thousandths of a unit, rounded away from zero (Go: `Quantity.MilliValue`).
    pub fn milli_value(self) -> i64 {
        self.scaled(1_000_000)
    }

    /// Billionths of a unit.
    pub fn nanos(self) -> i128 {
        self.nanos
    }

    /// `true` if the amount is below zero.
    pub fn is_negative(self) -> bool {
        self.nanos < 0
    }

    /// `true` if the amount is zero.
    pub fn is_zero(self) -> bool {
        self.nanos == 0
    }

    /// The amount rounded up to whole thousandths, away from zero (Go: `Quantity.RoundUp(-3)`).
    #[must_use]
    pub fn rounded_to_milli(self) -> Self {
        // Division of what fits in sixty-four bits is much quicker, and nearly everything does.
        let is_whole = match u64::try_from(self.nanos) {
            Ok(nanos) => nanos % 1_000_000 == 0,
            Err(_) => self.nanos % 1_000_000 == 0,
        };
        if is_whole { self } else { Self::from_milli(self.milli_value()) }
    }

    /// The sum, cut at the largest amount kept.
    #[must_use]
    pub fn saturating_add(self, other: Self) -> Self {
        Self { nanos: self.nanos.saturating_add(other.nanos).clamp(-MAX_NANOS, MAX_NANOS) }
    }

    /// The difference, cut at the largest amount kept.
    #[must_use]
    pub fn saturating_sub(self, other: Self) -> Self {
        self.saturating_add(Self { nanos: -other.nanos })
    }

    /// Whole units; `None` where there are not only whole ones.
    pub fn units(self) -> Option<i64> {
        if self.nanos % NANO == 0 { i64::try_from(self.nanos / NANO).ok() } else { None }
    }

    /// Units, as near as a float comes to them.
    pub fn approximate(self) -> f64 {
        self.nanos as f64 / 1e9
    }

    fn scaled(self, unit: i128) -> i64 {
        let up = (self.nanos.abs() + unit - 1) / unit;
        let signed = if self.nanos < 0 { -up } else { up };
        signed.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
    }
}

impl std::str::FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let (negative, unsigned) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            Some(_) => (false, text),
            None => return Err(QuantityError::Format),
        };
        let digits_end = unsigned.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(unsigned.len());
        let (whole, rest) = unsigned.split_at(digits_end);
        let (fraction, suffix) = match rest.strip_prefix('.') {
            // A point alone is nothing, and is let through.
            Some(rest) => {
                let end = rest.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(rest.len());
                rest.split_at(end)
            }
            None if whole.is_empty() => return Err(QuantityError::Format),
            None => ("", rest),
        };
        let scale = Scale::parse(suffix)?;
        let nanos = scale.nanos(whole, fraction);
        Ok(Self { nanos: if negative { -nanos } else { nanos } })
    }
}

/// The factor of a suffix.
enum Scale {
    /// A power of ten.
    Ten(i32),
    /// A power of two.
    Two(u32),
}

impl Scale {
    fn parse(suffix: &str) -> Result<Self, QuantityError> {
        Ok(match suffix {
            "" => Self::Ten(0),
            "n" => Self::Ten(-9),
            "u" => Self::Ten(-6),
            "m" => Self::Ten(-3),
            "k" => Self::Ten(3),
            "M" => Self::Ten(6),
            "G" => Self::Ten(9),
            "T" => Self::Ten(12),
            "P" => Self::Ten(15),
            "E" => Self::Ten(18),
            "Ki" => Self::Two(10),
            "Mi" => Self::Two(20),
            "Gi" => Self::Two(30),
            "Ti" => Self::Two(40),
            "Pi" => Self::Two(50),
            "Ei" => Self::Two(60),
            _ => {
                let exponent = suffix.strip_prefix(['e', 'E']).ok_or(QuantityError::Suffix)?;
                let digits = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
                if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
                    return Err(QuantityError::Suffix);
                }
                // An exponent that does not fit is beyond every cap in its direction anyway.
                let magnitude = digits.parse::<i32>().unwrap_or(i32::MAX).min(1_000_000);
                Self::Ten(if exponent.starts_with('-') { -magnitude } else { magnitude })
            }
        })
    }

    /// `whole.fraction` × scale in billionths, rounded up to a whole one, cut at the largest amount kept.
    fn nanos(&self, whole: &str, fraction: &str) -> i128 {
        match *self {
            Self::Ten(power) => {
                let exponent = i64::from(power) + 9 - fraction.len() as i64;
                decimal(whole.bytes().chain(fraction.bytes()), exponent)
            }
            Self::Two(shift) => {
                let whole = decimal(whole.bytes(), 0).saturating_mul(NANO << shift);
                // 18 digits of fraction × 2^60 fit an i128; finer ones only round up.
                let digits = fraction.len().min(18);
                let exact = decimal(fraction.bytes().take(digits), 18 - digits as i64) << shift;
                let rest = fraction.bytes().skip(digits).any(|b| b != b'0');
                let unit = NANO; // 10^18 / 10^9
                let part = (exact + i128::from(rest) + unit - 1) / unit;
                whole.saturating_add(part).min(MAX_NANOS)
            }
        }
    }
}

/// The number that these digits spell × 10^exponent, rounded up to an integer, cut at the largest amount kept.
fn decimal(digits: impl Iterator<Item = u8>, mut exponent: i64) -> i128 {
    // 28 significant digits spell any amount below the cap; those after them can only round up.
    let (mut mantissa, mut kept, mut inexact) = (0_i128, 0, false);
    for digit in digits.map(|b| i128::from(b - b'0')) {
        if kept < 28 {
            mantissa = mantissa * 10 + digit;
            kept += usize::from(mantissa > 0);
        } else {
            exponent += 1;
            inexact |= digit != 0;
        }
    }
    while exponent > 0 && mantissa > 0 {
        if mantissa > MAX_NANOS {
            return MAX_NANOS;
        }
        mantissa *= 10;
        exponent -= 1;
    }
    while exponent < 0 && mantissa > 0 {
        inexact |= mantissa % 10 != 0;
        mantissa /= 10;
        exponent += 1;
    }
    (mantissa + i128::from(inexact)).min(MAX_NANOS)
}

impl fmt::Display for Quantity {
    /// In the shortest decimal notation: whole units, milli, micro or nano.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, suffix) in [(NANO, ""), (1_000_000, "m"), (1_000, "u")] {
            if self.nanos % unit == 0 {
                return write!(f, "{}{suffix}", self.nanos / unit);
            }
        }
        write!(f, "{}n", self.nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn milli(text: &str) -> i64 {
        text.parse::<Quantity>().unwrap().milli_value()
    }

    fn value(text: &str) -> i64 {
        text.parse::<Quantity>().unwrap().value()
    }

    #[test]
    fn every_notation_of_the_same_amount() {
        for same in ["0.1", "100m", "100000u", "100e-3", "1E-1", "+.1", "0.10", "100000000n"] {
            assert_eq!(milli(same), 100, "{same}");
        }
        for same in ["1Gi", "1024Mi", "1048576Ki", "1073741824", "1.0Gi", "1073741824e0"] {
            assert_eq!(value(same), 1 << 30, "{same}");
        }
        assert_eq!(value("100e6"), 100_000_000);
        assert_eq!(value("1.5Gi"), 3 << 29);
        assert_eq!(value("1.G"), 1_000_000_000);
        assert_eq!(value("-5"), -5);
    }

    #[test]
    fn fractions_round_up_away_from_zero() {
        assert_eq!(milli("0.0001"), 1, "0.1m is 1m");
        assert_eq!(value("1m"), 1);
        assert_eq!(value("0.3Ki"), 308, "307.2 bytes");
        assert_eq!(milli("1e-30"), 1, "a tiny request is still a request");
        assert_eq!(value("-1m"), -1);
    }

    #[test]
    fn amounts_are_rounded_up_to_whole_thousandths() {
        for (text, rounded) in [("1n", "1m"), ("1500u", "2m"), ("2m", "2m"), ("-1u", "-1m"), ("0", "0"), ("8Gi", "8Gi")]
        {
            assert_eq!(text.parse::<Quantity>().unwrap().rounded_to_milli(), rounded.parse().unwrap(), "{text}");
        }
    }

    #[test]
    fn huge_amounts_are_cut_not_wrapped() {
        assert_eq!(value("9223372036854775807"), i64::MAX);
        assert_eq!(value("9223372036854775807.1"), i64::MAX);
        assert_eq!(value("100Ei"), i64::MAX);
        assert_eq!(value("1e99999999999999"), i64::MAX);
        assert_eq!(value(&"9".repeat(10_000)), i64::MAX);
        assert_eq!(milli("9223372036854775807"), i64::MAX);
        assert_eq!(value(&format!("0.{}1", "0".repeat(10_000))), 1);
        assert_eq!(value(&format!("1{}e-40", "0".repeat(40))), 1);
    }

    #[test]
    fn invalid_quantities_are_refused() {
        for bad in ["", "+", "-", "abc", "1 Gi", "1gi", "1KI", "1e", "1e+", "1mm", "0x10", "1,5", "١", "--1", "NaN"] {
            assert!(bad.parse::<Quantity>().is_err(), "{bad:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in ".*") {
            let _ = text.parse::<Quantity>();
        }

        #[test]
        fn digits_and_suffixes_never_panic(text in "[+-]?[0-9.]{0,60}(n|u|m|k|M|G|T|P|E|[KMGTPE]i|e[+-]?[0-9]{0,12})?") {
            let _ = text.parse::<Quantity>().map(|q| (q.value(), q.milli_value()));
        }

        #[test]
        fn a_printed_quantity_parses_to_itself(milli in proptest::num::i64::ANY) {
            let q = Quantity::from_milli(milli);
            proptest::prop_assert_eq!(q.to_string().parse::<Quantity>().unwrap(), q);
        }
    }
}
