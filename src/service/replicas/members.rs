//! The replicas that are there, and the owners of clusters among them. Pure: the time and the leases are arguments.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use sha2::{Digest, Sha256};

use crate::{hex::hex, net::Pin};

/// The beginning of the names of the replicas' leases.
pub const LEASES: &str = "replica/";

/// The replicas that own each cluster.
pub const OWNERS: usize = 2;

/// Time that a replica's lease lasts.
pub const LEASED_FOR: Duration = Duration::from_secs(4);

/// A replica, as the name of its lease has it: `replica/PIN/URL`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Replica {
    /// The digest of its certificate.
    pub pin: Pin,
    /// Where other replicas reach it; `None` if it owns no clusters.
    pub url: Option<Arc<str>>,
}

impl fmt::Display for Replica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{LEASES}{}/{}", hex(&self.pin), self.url.as_deref().unwrap_or_default())
    }
}

impl Replica {
    /// The replica of a lease; `None` if the name is of another release.
    pub fn parse(lease: &str) -> Option<Self> {
        let (text, url) = lease.strip_prefix(LEASES)?.split_once('/')?;
        let mut pin = Pin::default();
        if text.len() != 2 * pin.len() || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        for (byte, at) in pin.iter_mut().zip((0..).step_by(2)) {
            *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
        }
        Some(Self { pin, url: (!url.is_empty()).then(|| url.into()) })
    }
}

/// The replicas that hold a lease, as they were seen last.
#[derive(Clone, Debug, Default)]
pub struct Members {
    /// Each, and until when it counts without a lease.
    there: BTreeMap<Replica, Duration>,
    /// The time of the last look.
    looked: Option<Duration>,
}

impl Members {
    /// Takes in the replicas that hold a lease now. One without a lease is gone, unless nobody could look for a while, because the database or this
    /// process was away: then the others may not have come to renew theirs yet, and they count for the time of a lease. `true` if anything changed.
    pub fn look(&mut self, now: Duration, held: impl IntoIterator<Item = Replica>) -> bool {
        let was_away = self.looked.is_some_and(|at| now.saturating_sub(at) >= LEASED_FOR);
        let before = std::mem::take(&mut self.there);
        self.looked = Some(now);
        self.there.extend(held.into_iter().map(|replica| (replica, now)));
        for (replica, until) in &before {
            let until = if was_away { now + LEASED_FOR } else { *until };
            if until > now {
                self.there.entry(replica.clone()).or_insert(until);
            }
        }
        !self.there.keys().eq(before.keys())
    }

    /// The number of replicas.
    pub fn count(&self) -> usize {
        self.there.len()
    }

    /// `true` if a replica with this certificate is there.
    pub fn has(&self, pin: &Pin) -> bool {
        let first = Replica { pin: *pin, url: None };
        self.there.range(first..).next().is_some_and(|(replica, _)| replica.pin == *pin)
    }

    /// The URLs of the owners of a cluster, the first one first: those with the largest hashes (rendezvous hashing), so that a replica that comes or
    /// goes moves its own share only. A replica is its URL, so that a restart moves nothing.
    pub fn owners(&self, cluster: &str) -> Vec<Arc<str>> {
        let mut best: Vec<([u8; 32], &Arc<str>)> = Vec::with_capacity(OWNERS + 1);
        for url in self.there.keys().filter_map(|replica| replica.url.as_ref()) {
            let ranked = (weight(cluster, url), url);
            if !best.contains(&ranked) {
                let at = best.partition_point(|other| *other > ranked);
                best.insert(at, ranked);
                best.truncate(OWNERS);
            }
        }
        best.into_iter().map(|(_, url)| url.clone()).collect()
    }
}

fn weight(cluster: &str, url: &str) -> [u8; 32] {
    Sha256::new().chain_update(cluster).chain_update([0]).chain_update(url).finalize().into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::{collection::btree_set, prelude::*};

    use super::*;

    fn replica(number: u8) -> Replica {
        Replica { pin: [number; 32], url: Some(format!("https://10.0.0.{number}:7443").into()) }
    }

    fn of(numbers: impl IntoIterator<Item = u8>) -> Members {
        let mut members = Members::default();
        members.look(Duration::ZERO, numbers.into_iter().map(replica));
        members
    }

    fn owners(members: &Members, cluster: &str) -> BTreeSet<Arc<str>> {
        members.owners(cluster).into_iter().collect()
    }

    fn clusters() -> impl Iterator<Item = String> {
        (0..1_000).map(|number| format!("tenant-{number}"))
    }

    #[test]
    fn ten_replicas_hold_each_of_a_thousand_clusters_twice() {
        let members = of(1..=10);
        let mut held = BTreeMap::<Arc<str>, usize>::new();
        for owner in clusters().flat_map(|cluster| members.owners(&cluster)) {
            *held.entry(owner).or_default() += 1;
        }
        assert_eq!((held.len(), held.values().sum::<usize>()), (10, 2_000));
        assert!(held.values().all(|held| (150..=250).contains(held)), "200 each, but for chance: {held:?}");
    }

    #[test]
    fn one_of_ten_replicas_that_goes_moves_a_fifth_of_the_clusters() {
        let (before, after) = (of(1..=10), of(1..=9));
        let moved = clusters().filter(|cluster| owners(&before, cluster) != owners(&after, cluster)).count();
        assert!((150..=250).contains(&moved), "those that it owned: {moved}");
    }

    #[test]
    fn a_replica_without_a_lease_is_gone_but_not_after_the_database_was_away() {
        let second = Duration::from_secs(1);
        let mut members = of([1, 2]);
        assert!(!members.look(second, [replica(1), replica(2)]));
        assert!(members.look(second * 2, [replica(1)]) && members.count() == 1, "its lease is over");
        assert!(members.look(second * 3, [replica(1), replica(2)]));
        // A minute without the database: all leases are over, and this process is the first to renew its own.
        assert!(!members.look(second * 63, [replica(1)]) && members.has(&[2; 32]));
        assert!(!members.look(second * 64, [replica(1)]), "it has the time of a lease to come back");
        assert!(members.look(second * 67, [replica(1)]) && !members.has(&[2; 32]));
    }

    #[test]
    fn a_restarted_replica_owns_what_it_owned_and_counts_once() {
        let before = of([1, 2, 3]);
        let mut during = before.clone();
        let restarted = Replica { pin: [9; 32], ..replica(1) };
        during.look(Duration::from_secs(1), [1, 2, 3].map(replica).into_iter().chain([restarted]));
        for cluster in clusters() {
            assert_eq!(before.owners(&cluster), during.owners(&cluster));
        }
    }

    #[test]
    fn a_replica_that_owns_nothing_is_known() {
        let mut members = of([1]);
        members.look(Duration::from_secs(1), [replica(1), Replica { pin: [2; 32], url: None }]);
        assert!(members.has(&[2; 32]) && !members.has(&[3; 32]));
        assert_eq!(members.owners("a"), [replica(1).url.expect("it has one")]);
        assert!(Members::default().owners("a").is_empty());
    }

    proptest! {
        #[test]
        fn each_cluster_has_two_owners_of_those_that_are_there(there in btree_set(any::<u8>(), 0..12), cluster in "[a-z]{1,9}") {
            let found = of(there.clone()).owners(&cluster);
            prop_assert_eq!(found.len(), there.len().min(OWNERS));
            let urls: BTreeSet<_> = there.into_iter().filter_map(|number| replica(number).url).collect();
            prop_assert!(found.iter().all(|owner| urls.contains(owner)));
            prop_assert_eq!(found.iter().collect::<BTreeSet<_>>().len(), found.len());
        }

        #[test]
        fn a_replica_that_comes_or_goes_moves_only_its_own_share(there in btree_set(any::<u8>(), 1..12), cluster in "[a-z]{1,9}") {
            let one = *there.first().expect("there is one");
            let with = owners(&of(there.clone()), &cluster);
            let without = owners(&of(there.into_iter().skip(1)), &cluster);
            let own = replica(one).url.expect("it has one");
            prop_assert!(with.difference(&without).all(|owner| *owner == own));
            prop_assert!(with.contains(&own) || with == without);
        }

        #[test]
        fn replicas_that_see_the_same_leases_agree(
            mine in prop::collection::vec(btree_set(any::<u8>(), 0..6), 0..5),
            yours in prop::collection::vec(btree_set(any::<u8>(), 0..6), 0..5),
            there in btree_set(any::<u8>(), 0..12),
            cluster in "[a-z]{1,9}",
        ) {
            let second = Duration::from_secs(1);
            let seen = |history: Vec<BTreeSet<u8>>| {
                let mut members = Members::default();
                let mut now = Duration::ZERO;
                for leases in history.into_iter().chain([there.clone()]) {
                    members.look(now, leases.into_iter().map(replica));
                    now += second;
                }
                members.owners(&cluster)
            };
            prop_assert_eq!(seen(mine), seen(yours));
        }

        #[test]
        fn any_name_of_a_lease_is_read(name in "(replica/)?([0-9a-f]{64}|.{0,70})(/.{0,20})?") {
            if let Some(replica) = Replica::parse(&name) {
                prop_assert_eq!(Replica::parse(&replica.to_string()), Some(replica));
            }
        }
    }
}
