//! The natural logarithm, equal on every machine and to Go's `math.Log` to the last bit.
//!
//! Rust leaves the precision of `f64::ln` to the platform. The method is FreeBSD's (`lib/msun/src/e_log.c`), which Go
//! uses: with x = 2ᵏ × (1 + f) and s = f / (2 + f), ln x = k ln 2 + ln(1 + f), the latter from a polynomial in s².

const LN2_HIGH: f64 = f64::from_bits(0x3fe6_2e42_fee0_0000);
const LN2_LOW: f64 = f64::from_bits(0x3dea_39ef_3579_3c76);
const L1: f64 = f64::from_bits(0x3fe5_5555_5555_5593);
const L2: f64 = f64::from_bits(0x3fd9_9999_9997_fa04);
const L3: f64 = f64::from_bits(0x3fd2_4924_9422_9359);
const L4: f64 = f64::from_bits(0x3fcc_71c5_1d8e_78af);
const L5: f64 = f64::from_bits(0x3fc7_4664_96cb_03de);
const L6: f64 = f64::from_bits(0x3fc3_9a09_d078_c69f);
const L7: f64 = f64::from_bits(0x3fc2_f112_df3e_5244);

/// ln `x`, for a normal `x` above 0.
pub(super) fn ln(x: f64) -> f64 {
    let (mut fraction, mut exponent) = split(x);
    if fraction < std::f64::consts::FRAC_1_SQRT_2 {
        fraction *= 2.0;
        exponent -= 1;
    }
    let (f, k) = (fraction - 1.0, f64::from(exponent));
    let s = f / (2.0 + f);
    let s2 = s * s;
    let s4 = s2 * s2;
    let odd = s2 * (L1 + s4 * (L3 + s4 * (L5 + s4 * L7)));
    let even = s4 * (L2 + s4 * (L4 + s4 * L6));
    let half_square = 0.5 * f * f;
    k * LN2_HIGH - ((half_square - (s * (half_square + (odd + even)) + k * LN2_LOW)) - f)
}

/// `x` as fraction × 2^exponent with a fraction in [½, 1).
fn split(x: f64) -> (f64, i32) {
    const EXPONENT: u64 = 0x7ff << 52;
    let bits = x.to_bits();
    let exponent = ((bits & EXPONENT) >> 52) as i32 - 1022;
    (f64::from_bits((bits & !EXPONENT) | (1022 << 52)), exponent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_platform_to_the_last_place_or_the_one_before() {
        for n in 2..=60_000 {
            let (ours, theirs) = (ln(f64::from(n)), f64::from(n).ln());
            assert!(ours.to_bits().abs_diff(theirs.to_bits()) <= 1, "ln {n}: {ours} against {theirs}");
        }
    }
}
