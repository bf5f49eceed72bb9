//! Webster's method: seats one after the other to the party with the highest weight per seat.
//!
//! Source: `karmada/pkg/util/helper/webstermethod.go`, `karmada/pkg/util/helper/binding.go` (`tieBreakerByUID`).

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
};

use crate::{model::Name, work};

/// A party.
pub(super) struct Party<'a> {
    /// Its name, which decides ties.
    pub(super) name: &'a Name,
    /// Its weight.
    pub(super) weight: i64,
    /// The most seats that it takes; `None` for no bound.
    pub(super) most: Option<i64>,
}

/// The direction of names in a tie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ties {
    Ascending,
    Descending,
}

impl Ties {
    /// Descending if the 32-bit FNV-1a hash of the uid is odd; ascending without a uid.
    pub(super) fn of(uid: &str) -> Self {
        let step = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        let hash = uid.bytes().fold(0x811c_9dc5, step);
        if !uid.is_empty() && hash % 2 == 1 { Self::Descending } else { Self::Ascending }
    }

    /// The order of two claims that are equal otherwise: the greater one goes first.
    fn order(self, mine: &Name, its: &Name) -> Ordering {
        match self {
            Self::Ascending => its.cmp(mine),
            Self::Descending => mine.cmp(its),
        }
    }
}

/// A party's claim on the next seat; the greatest gets it: that on the first source, then the one with the highest weight per seat.
pub(super) struct Claim<'a> {
    source: Reverse<usize>,
    quotient: f64,
    seats: Reverse<i64>,
    name: &'a Name,
    ties: Ties,
    /// The place of the party.
    pub(super) party: usize,
}

impl<'a> Claim<'a> {
    /// The claim of a party with so many seats, `within` of them from the source.
    pub(super) fn new(
        (party, name): (usize, &'a Name),
        (source, weight): (usize, i64),
        (seats, within): (i64, i64),
        ties: Ties,
    ) -> Self {
        let quotient = weight as f64 / (2 * within + 1) as f64;
        Self { source: Reverse(source), quotient, seats: Reverse(seats), name, ties, party }
    }
}

impl Ord for Claim<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_source = self.source.cmp(&other.source);
        let by_weight = || self.quotient.total_cmp(&other.quotient).then_with(|| self.seats.cmp(&other.seats));
        by_source.then_with(by_weight).then_with(|| self.ties.order(self.name, other.name))
    }
}

impl PartialOrd for Claim<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Claim<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Claim<'_> {}

/// The seats of each party, in their order. Fewer than asked for are given away where no party takes more.
pub(super) fn allocate(seats: i64, parties: &[Party<'_>], ties: Ties) -> Vec<i64> {
    let mut given = vec![0; parties.len()];
    let claim = |party: usize, seats: i64| {
        let Party { name, weight, most } = parties[party];
        let takes = weight > 0 && most.is_none_or(|most| seats < most);
        takes.then(|| Claim::new((party, name), (0, weight), (seats, seats), ties))
    };
    let mut claims: BinaryHeap<Claim<'_>> = (0..parties.len()).filter_map(|party| claim(party, 0)).collect();
    for _ in 0..seats {
        let Some(Claim { party, .. }) = claims.pop() else { break };
        work::spend(1);
        given[party] += 1;
        claims.extend(claim(party, given[party]));
    }
    given
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seats(count: i64, weights: &[(&str, i64)], ties: Ties) -> Vec<i64> {
        let names: Vec<Name> = weights.iter().map(|(name, _)| Name::from(*name)).collect();
        let named = names.iter().zip(weights);
        let parties: Vec<Party<'_>> =
            named.map(|(name, (_, weight))| Party { name, weight: *weight, most: None }).collect();
        allocate(count, &parties, ties)
    }

    #[test]
    fn seats_go_to_the_highest_weight_per_seat() {
        // 1st a 53, 2nd b 24, 3rd c 23, then a 53/3 = 17.7, a 53/5 = 10.6, b 8, c 7.7: 7 seats.
        assert_eq!(seats(7, &[("a", 53), ("b", 24), ("c", 23)], Ties::Ascending), [3, 2, 2]);
        assert_eq!(seats(4, &[("a", 0), ("b", 5)], Ties::Ascending), [0, 4], "no weight, no seat");
    }

    #[test]
    fn a_tie_goes_to_fewer_seats_and_then_by_name_in_the_direction_of_the_uid() {
        assert_eq!(seats(1, &[("member10", 1), ("member2", 1)], Ties::Ascending), [1, 0]);
        assert_eq!(seats(1, &[("member10", 1), ("member2", 1)], Ties::Descending), [0, 1]);
        // a with one seat 3/3 = 1, b with none 1: b has fewer.
        assert_eq!(seats(2, &[("a", 3), ("b", 1)], Ties::Ascending), [1, 1]);
        assert_eq!(Ties::of(""), Ties::Ascending);
        // FNV-1a of "a" is 0xe40c292c, of "b" 0xe70c2de5.
        assert_eq!((Ties::of("a"), Ties::of("b")), (Ties::Ascending, Ties::Descending));
    }

    #[test]
    fn no_party_takes_more_than_it_has_room_for() {
        let (a, b) = (Name::from("a"), Name::from("b"));
        let parties = [Party { name: &a, weight: 9, most: Some(2) }, Party { name: &b, weight: 1, most: Some(3) }];
        assert_eq!(allocate(4, &parties, Ties::Ascending), [2, 2]);
        assert_eq!(allocate(9, &parties, Ties::Ascending), [2, 3]);
    }
}
