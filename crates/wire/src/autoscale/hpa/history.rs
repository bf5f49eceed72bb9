//! The memory of the HPA controller, as it goes between requests.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    fault::{Faults, Path},
    objects::meta::instant,
};
use podberth_core::advise::hpa::{Event, History, Recommendation};

/// The most entries of each list of a history.
const MOST: usize = 4_096;

/// The memory of the controller.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HistoryDocument {
    /// Earlier proposals, before they were stabilized.
    pub recommendations: Vec<PastRecommendation>,
    /// Changes to more replicas; they count only with `spec.behavior`.
    pub scale_up_events: Vec<PastChange>,
    /// Changes to fewer replicas.
    pub scale_down_events: Vec<PastChange>,
}

/// An earlier proposal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PastRecommendation {
    /// Its time, RFC 3339.
    pub time: String,
    /// The number of replicas.
    pub replicas: i32,
}

/// A change that was carried out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PastChange {
    /// Its time, RFC 3339.
    pub time: String,
    /// The number of replicas that came or went.
    pub change: i32,
}

fn changes(list: &[PastChange]) -> Vec<(&str, i32)> {
    list.iter().map(|one| (one.time.as_str(), one.change)).collect()
}

impl HistoryDocument {
    /// The history, checked.
    pub fn to_core(&self, at: &Path<'_>, faults: &mut Faults) -> History {
        let mut read = |list: &'static str, entries: Vec<(&str, i32)>, field: &'static str| -> Vec<(i64, i32)> {
            let at = at.child(list);
            if entries.len() > MOST {
                faults.too_many(&at, format!("Too many: {}: must have at most {MOST} items", entries.len()));
                return Vec::new();
            }
            let one = |(i, (time, number)): (usize, (&str, i32))| {
                let at = at.index(i);
                if number < 0 {
                    faults.invalid(&at.child(field), number, "must be greater than or equal to 0");
                }
                Some((instant(time, &at.child("time"), faults)?, number))
            };
            entries.into_iter().enumerate().filter_map(one).collect()
        };
        let recommendations = self.recommendations.iter().map(|one| (one.time.as_str(), one.replicas)).collect();
        let recommendations = read("recommendations", recommendations, "replicas");
        let ups = read("scaleUpEvents", changes(&self.scale_up_events), "change");
        let downs = read("scaleDownEvents", changes(&self.scale_down_events), "change");
        let event = |(time, change): (i64, i32)| Event { time, change };
        History {
            recommendations: recommendations
                .into_iter()
                .map(|(time, replicas)| Recommendation { time, replicas })
                .collect(),
            ups: ups.into_iter().map(event).collect(),
            downs: downs.into_iter().map(event).collect(),
        }
    }
}

impl From<&History> for HistoryDocument {
    fn from(history: &History) -> Self {
        let changes = |events: &[Event]| {
            events.iter().map(|event| PastChange { time: time(event.time), change: event.change }).collect()
        };
        let recommendation =
            |entry: &Recommendation| PastRecommendation { time: time(entry.time), replicas: entry.replicas };
        Self {
            recommendations: history.recommendations.iter().map(recommendation).collect(),
            scale_up_events: changes(&history.ups),
            scale_down_events: changes(&history.downs),
        }
    }
}

/// A time, as precise as it is.
pub(super) fn time(nanos: i64) -> String {
    Timestamp::from_nanosecond(i128::from(nanos)).map_or_else(|_| String::new(), |time| time.to_string())
}
