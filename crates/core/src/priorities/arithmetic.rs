//! Integer division by floating point where that is exact: several times faster than 64-bit integer division.

/// Below this the quotient of two whole numbers as floats, of 53 bits, is never rounded up to the next whole number: it is
/// at least `1 / divisor` away from that, and the error is smaller.
const EXACT: u64 = 1 << 51;

/// `dividend / divisor` rounded towards 0. The divisor is not 0.
pub(super) fn quotient(dividend: i64, divisor: i64) -> i64 {
    // As an unsigned number, a negative one is large.
    if dividend as u64 | divisor as u64 >= EXACT {
        return dividend / divisor;
    }
    (dividend as f64 / divisor as f64) as i64
}

/// `part` of `whole` in hundredths, rounded towards 0. The whole is not 0.
pub(super) fn percent(part: i64, whole: i64) -> i64 {
    match part.checked_mul(100) {
        Some(product) => quotient(product, whole),
        None => (i128::from(part) * 100 / i128::from(whole)) as i64,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Numbers of all sizes, and those next to multiples of others.
    fn number() -> impl Strategy<Value = i64> {
        (any::<i64>(), 0_u32..64).prop_map(|(number, shift)| number >> shift)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn as_whole_numbers_are_divided(a in number(), b in number(), times in 0_i64..1_000, near in -2_i64..3) {
            prop_assume!(b != 0 && (a, b) != (i64::MIN, -1));
            prop_assert_eq!(quotient(a, b), a / b);
            let multiple = b.saturating_mul(times).saturating_add(near);
            prop_assert_eq!(quotient(multiple, b), multiple / b);
            let hundredths = i128::from(a) * 100 / i128::from(b);
            if let Ok(hundredths) = i64::try_from(hundredths) {
                prop_assert_eq!(percent(a, b), hundredths);
            }
        }
    }
}
