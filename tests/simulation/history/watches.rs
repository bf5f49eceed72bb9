//! Watches against the history: what they tell is the state of a revision.

use imbl::OrdMap;
use podberth::store::{Key, Record};

use super::{Cursor, History, Moment};

impl History {
    /// The beginning of a cluster's history.
    pub(crate) fn beginning(cluster: usize) -> Cursor {
        Cursor { cluster, at: 0 }
    }

    /// Checks what a watch has told up to a revision; `false` if it is not so. The order of watches is left to chance, so the trace has nothing
    /// of them.
    pub(crate) fn watched(
        &self,
        place: &mut Cursor,
        revision: u64,
        state: &OrdMap<Key, Record>,
        is_told: impl Fn(&Record) -> bool,
    ) -> bool {
        let mut ledger = self.ledger();
        let is_it = |moment: &Moment| {
            let told = moment.state.values().filter(|record| is_told(record));
            moment.last_of_batch && moment.head.revision == revision && told.eq(state.values())
        };
        let found = ledger.timelines[place.cluster][place.at..].iter().position(is_it);
        if let Some(ahead) = found {
            place.at += ahead;
            *ledger.tally.entry("watch: exact").or_default() += 1;
        }
        found.is_some()
    }

    /// The history around a place, for the report of a fault.
    pub(crate) fn around(&self, place: &Cursor) -> String {
        let ledger = self.ledger();
        let moments = ledger.timelines[place.cluster].iter().enumerate();
        let turns = moments.filter(|(i, moment)| *i == place.at || moment.is_restored());
        let turns: Vec<_> =
            turns.map(|(i, moment)| format!("{i}: {} of {}", moment.head.revision, moment.head.epoch)).collect();
        format!("at {} of {turns:?}", place.at)
    }

    /// `true` if a place is in a history that was lost and nobody has noticed.
    pub(crate) fn is_lost(&self, place: &Cursor) -> bool {
        let ledger = self.ledger();
        let moments = &ledger.timelines[place.cluster][place.at..];
        let (then, now) = (moments[0].head.epoch, moments[moments.len() - 1].head.epoch);
        now <= then && moments[1..].iter().any(Moment::is_restored)
    }

    /// The newest revision.
    pub(crate) fn newest(&self, cluster: usize) -> u64 {
        self.ledger().timelines[cluster].last().map_or(0, |moment| moment.head.revision)
    }
}
