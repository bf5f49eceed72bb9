//! Quantities as autoscalers read and write them.

use crate::{
    fault::{Faults, Path},
    objects::quantity::QuantityText,
};
use podberth_core::model::Quantity;

/// The amount in thousandths, rounded up; a text that is no quantity, or a negative one, is a fault.
pub(super) fn milli(text: &QuantityText, at: &Path<'_>, faults: &mut Faults) -> Option<i64> {
    match text.0.trim().parse::<Quantity>() {
        Ok(amount) if amount.is_negative() => {
            faults.invalid(at, &text.0, "must not be negative");
            None
        }
        Ok(amount) => Some(amount.milli_value()),
        Err(error) => {
            faults.invalid(at, &text.0, error);
            None
        }
    }
}

/// An amount as the controller compares it: its digits as a whole number, times a power of ten (`Quantity.AsApproximateFloat64`). `None` if the text
/// is no quantity.
pub(super) fn approximate(text: &str) -> Option<f64> {
    let text = text.trim();
    let exact = text.parse::<Quantity>().ok()?;
    let (number, power) = match text.strip_suffix(['n', 'u', 'm']) {
        Some(number) if text.ends_with('n') => (number, -9),
        Some(number) if text.ends_with('u') => (number, -6),
        Some(number) => (number, -3),
        None => (text, 0),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let power = power - i32::try_from(fraction.len()).unwrap_or(i32::MAX);
    match format!("{whole}{fraction}").parse::<i64>() {
        Ok(digits) if power == 0 => Some(digits as f64),
        Ok(digits) if power >= -9 => Some(digits as f64 * format!("1e{power}").parse::<f64>().ok()?),
        _ => Some(exact.approximate()),
    }
}

/// Thousandths as a quantity. Whole bytes of memory are in the largest binary unit that divides them.
pub(super) fn written(milli: i64, is_memory: bool) -> String {
    let bytes = milli / 1000;
    if is_memory && milli % 1000 == 0 && bytes != 0 {
        let units = [(40, "Ti"), (30, "Gi"), (20, "Mi"), (10, "Ki")];
        if let Some((shift, unit)) = units.into_iter().find(|(shift, _)| bytes % (1_i64 << shift) == 0) {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    Quantity::from_milli(milli).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tolerance_is_its_digits_times_a_power_of_ten() {
        for (text, value) in
            [("0.05", 0.05), ("500m", 0.5), ("0", 0.0), ("0.7", 7.0 * 0.1), ("0.35", 35.0 * 0.01), ("2", 2.0)]
        {
            assert_eq!(approximate(text), Some(value), "{text}");
        }
        assert_eq!(approximate("1e-1"), Some(0.1));
        assert_eq!(approximate("ten"), None);
    }

    #[test]
    fn memory_is_written_in_binary_units() {
        for (milli, is_memory, text) in [
            (74_719_232_000, true, "72968Ki"),
            (1 << 40, true, "1099511627776m"),
            (1000 << 30, true, "1Gi"),
            (0, true, "0"),
            (1_500, true, "1500m"),
            (1_024_000, false, "1024"),
        ] {
            assert_eq!(written(milli, is_memory), text);
        }
    }
}
