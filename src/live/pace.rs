//! The pace of the rounds in which the heads of all clusters are read, as a state machine without I/O.
//!
//! Rounds find changes of which no hint has told. While hints reach everyone and none is missed, each interval is twice as long as the one
//! before, up to a bound. A missed hint, an error and a reconnection set it back to the shortest one at once.

use std::time::Duration;

/// Of the interval between two rounds: the longest one, as a multiple of the shortest one.
pub const SLOWEST: u32 = 16;

/// A change that a round found before a hint told of it. The hint may be on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Untold {
    /// The cluster.
    pub(super) cluster: String,
    /// Its revision; `u64::MAX` if no hint can tell of it.
    pub(super) revision: u64,
}

/// The result of a round.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Round {
    /// The changes found.
    pub(super) untold: Vec<Untold>,
    /// A cluster cannot be read.
    pub(super) has_trouble: bool,
}

/// The interval between two rounds.
#[derive(Debug)]
pub(super) struct Pace {
    shortest: Duration,
    longest: Duration,
    usual: Duration,
    /// Found in the last round.
    untold: Vec<Untold>,
}

impl Pace {
    pub(super) fn new(shortest: Duration, longest: Duration) -> Self {
        Self { shortest, longest: longest.max(shortest), usual: shortest, untold: Vec::new() }
    }

    /// Time until the next round. It comes soon after one that found changes, to see if their hints have come.
    pub(super) fn interval(&self) -> Duration {
        if self.untold.is_empty() { self.usual } else { self.shortest }
    }

    /// Hints may have been missed, or the database did not answer.
    pub(super) fn hurry(&mut self) {
        self.usual = self.shortest;
        self.untold.clear();
    }

    /// A round is over. `is_complete`: hints tell of the changes of all processes. `is_told`: a hint has told of a change by now.
    pub(super) fn end_round(&mut self, round: Round, is_complete: bool, is_told: impl FnMut(&Untold) -> bool) {
        let all_told = self.untold.iter().all(is_told);
        if !is_complete || !all_told || round.has_trouble {
            self.hurry();
        } else if self.untold.is_empty() {
            self.usual = self.usual.saturating_mul(2).min(self.longest);
        }
        self.untold = round.untold;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(250);
    const LONG: Duration = Duration::from_secs(4);

    fn untold(revision: u64) -> Round {
        Round { untold: vec![Untold { cluster: "prod".into(), revision }], has_trouble: false }
    }

    /// The interval in milliseconds after each of some rounds, of which hints have told up to a revision.
    fn intervals(pace: &mut Pace, rounds: Vec<(Round, u64)>) -> Vec<u128> {
        let mut after = |(round, told)| {
            pace.end_round(round, true, |change| change.revision <= told);
            pace.interval().as_millis()
        };
        rounds.into_iter().map(&mut after).collect()
    }

    fn calm(rounds: usize) -> Vec<(Round, u64)> {
        (0..rounds).map(|_| (Round::default(), 0)).collect()
    }

    fn slow() -> Pace {
        let mut pace = Pace::new(SHORT, LONG);
        assert_eq!(intervals(&mut pace, calm(6)), [500, 1_000, 2_000, 4_000, 4_000, 4_000]);
        pace
    }

    #[test]
    fn the_interval_never_exceeds_the_longest_nor_falls_below_the_shortest() {
        let mut odd = Pace::new(SHORT, Duration::from_secs(3));
        assert_eq!(intervals(&mut odd, calm(5)), [500, 1_000, 2_000, 3_000, 3_000]);
        let mut fixed = Pace::new(LONG, SHORT);
        assert_eq!(intervals(&mut fixed, calm(2)), [4_000, 4_000]);
        let mut endless = Pace::new(Duration::MAX, SHORT);
        assert_eq!(intervals(&mut endless, calm(1)), [Duration::MAX.as_millis()]);
    }

    #[test]
    fn a_missed_hint_sets_the_interval_back() {
        let mut pace = slow();
        assert_eq!(intervals(&mut pace, vec![(untold(7), 0), (Round::default(), 6)]), [250, 250]);
        assert_eq!(intervals(&mut pace, calm(2)), [500, 1_000]);
    }

    #[test]
    fn a_late_hint_costs_one_early_round() {
        let mut pace = slow();
        assert_eq!(intervals(&mut pace, vec![(untold(7), 0), (Round::default(), 7)]), [250, 4_000]);
        assert_eq!(
            intervals(&mut pace, vec![(untold(8), 7), (untold(9), 8), (Round::default(), 9)]),
            [250, 250, 4_000]
        );
    }

    #[test]
    fn trouble_missing_hints_and_reconnections_set_the_interval_back() {
        let mut pace = slow();
        let trouble = Round { has_trouble: true, ..Round::default() };
        assert_eq!(intervals(&mut pace, vec![(trouble, 0), (Round::default(), 0)]), [250, 500]);
        let mut pace = slow();
        pace.end_round(Round::default(), false, |_| true);
        assert_eq!(pace.interval(), SHORT);
        let mut pace = slow();
        pace.hurry();
        assert_eq!(pace.interval(), SHORT);
    }
}
