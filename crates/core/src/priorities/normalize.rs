//! Scales raw scores to 0..=100.
//!
//! Source: `pkg/scheduler/framework/plugins/helper/normalize_score.go` (`DefaultNormalizeScore`).

use super::{MAX_NODE_SCORE, Scores, arithmetic::percent};

/// Scales scores (at least 0) so that the highest becomes 100, rounding down; `reverse` turns them round, so that the
/// highest becomes 0. When all are 0 they stay so, or all become 100 in reverse.
pub fn by_highest(mut scores: Vec<i64>, reverse: bool) -> Scores {
    let highest = scores.iter().copied().max().unwrap_or(0);
    if highest == 0 {
        return Scores::Same(if reverse { MAX_NODE_SCORE } else { 0 });
    }
    for score in &mut scores {
        let scaled = percent(*score, highest);
        *score = if reverse { MAX_NODE_SCORE - scaled } else { scaled };
    }
    scores.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normalized(scores: Vec<i64>, reverse: bool) -> Vec<i64> {
        let count = scores.len();
        let normalized = by_highest(scores, reverse);
        (0..count).map(|candidate| normalized.of(candidate)).collect()
    }

    #[test]
    fn the_highest_becomes_100() {
        // 1×100/3 = 33.3 → 33, 2×100/3 = 66.7 → 66
        assert_eq!(normalized(vec![0, 1, 2, 3], false), [0, 33, 66, 100]);
        // 100-0, 100-33, 100-66, 100-100
        assert_eq!(normalized(vec![0, 1, 2, 3], true), [100, 67, 34, 0]);
        assert_eq!(normalized(vec![i64::MAX, i64::MAX / 2], false), [100, 49]);
    }

    #[test]
    fn all_zero_stays_zero_or_becomes_100() {
        assert_eq!(normalized(vec![0, 0], false), [0, 0]);
        assert_eq!(normalized(vec![0, 0], true), [100, 100]);
        assert_eq!(normalized(vec![], true), [0_i64; 0]);
    }
}
