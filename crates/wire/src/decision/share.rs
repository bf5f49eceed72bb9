//! The share of decisions that are recorded.

use std::{fmt, str::FromStr};

/// The decisions that are recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Share {
    /// None.
    None,
    /// Those that bind pods: of `/schedule`, of Podberth's own scheduler, and of binds that clients ask for.
    #[default]
    Binds,
    /// Besides these, this share of the calls of `/filter` and `/prioritize`, in millionths.
    Of(u32),
}

/// All calls, in millionths.
pub const WHOLE: u32 = 1_000_000;

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self::None),
            "binds" => Ok(Self::Binds),
            "all" => Ok(Self::Of(WHOLE)),
            _ => {
                let share = text.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share));
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is 0 to 1")]
                let parts = share.map(|share| (share * f64::from(WHOLE)).round() as u32);
                parts
                    .map(Self::Of)
                    .ok_or_else(|| format!("{text:?} is none of none, binds, all and a share such as 0.01"))
            }
        }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Binds => f.write_str("binds"),
            Self::Of(WHOLE) => f.write_str("all"),
            Self::Of(parts) => write!(f, "{}", f64::from(*parts) / f64::from(WHOLE)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_word_or_a_number_up_to_one() {
        for (text, share) in
            [("none", Share::None), ("binds", Share::Binds), ("all", Share::Of(WHOLE)), ("0.01", Share::Of(10_000))]
        {
            assert_eq!(text.parse(), Ok(share));
            assert_eq!(share.to_string(), text);
        }
        for text in ["", "some", "1.5", "-1", "NaN"] {
            assert!(text.parse::<Share>().is_err(), "{text}");
        }
    }
}
