//! The request and the reply of `/replay`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Decision;

/// Recorded decisions that are to be made again. One of `decisions`, `since` and `all` is needed.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ReplayRequest {
    /// Decisions by their ids, at most 10,000.
    #[schema(nullable = false)]
    pub decisions: Option<Vec<String>>,
    /// Those from this instant on, RFC 3339.
    #[schema(nullable = false, example = "2026-01-02T15:04:05Z")]
    pub since: Option<String>,
    /// `true`: all that are kept.
    pub all: bool,
    /// With `since` or `all`: at most this many. A request ends after about ten seconds in any case.
    #[schema(nullable = false, minimum = 1)]
    pub limit: Option<usize>,
    /// Those that an earlier reply did not come to: its `continue`.
    #[schema(nullable = false)]
    #[serde(rename = "continue")]
    pub after: Option<String>,
}

/// The result of making decisions again.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ReplayReport {
    /// The number of decisions: those below together.
    pub total: usize,
    /// The number of those with the recorded answer.
    pub identical: usize,
    /// Those with another answer, at most 1,000 and 8 MiB.
    pub different: Vec<ReplayDifference>,
    /// Those that could not be made again, at most 10,000.
    pub skipped: Vec<ReplaySkipped>,
    /// Further ones that `different` has no room for.
    #[serde(skip_serializing_if = "is_zero")]
    pub more_different: usize,
    /// Further ones that `skipped` has no room for.
    #[serde(skip_serializing_if = "is_zero")]
    pub more_skipped: usize,
    /// `continue` of the next request, which is the same otherwise; absent if there are no further decisions.
    #[serde(rename = "continue", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub next: Option<String>,
}

/// A decision that has another answer by now.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplayDifference {
    /// The decision.
    pub id: String,
    /// Its record: all that it was decided on, and the recorded answer.
    pub input: Decision,
    /// The fields whose values differ, each with the recorded value and that of now.
    pub fields: Vec<ReplayedField>,
}

/// A field of an answer, as it was recorded and as it is now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReplayedField {
    /// Its name.
    #[schema(example = "node")]
    pub field: String,
    /// The recorded value.
    pub recorded: String,
    /// The value of now.
    pub now: String,
}

/// A decision that could not be made again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ReplaySkippedDecision)]
pub struct ReplaySkipped {
    /// The decision.
    pub id: String,
    /// Why not.
    pub why: String,
}

/// Decisions that are listed in a reply; further ones are counted.
const MOST_DIFFERENT: usize = 1_000;
const MOST_SKIPPED: usize = 10_000;

impl ReplayReport {
    /// Counts a decision with the recorded answer.
    pub fn is_identical(&mut self) {
        self.total += 1;
        self.identical += 1;
    }

    /// Takes in the next page.
    pub fn join(&mut self, page: Self) {
        self.total += page.total;
        self.identical += page.identical;
        self.more_different += page.more_different;
        self.more_skipped += page.more_skipped;
        self.different.extend(page.different);
        self.skipped.extend(page.skipped);
    }

    /// Takes in a decision that could not be made again.
    pub fn skip(&mut self, id: String, why: String) {
        self.total += 1;
        if self.skipped.len() < MOST_SKIPPED {
            self.skipped.push(ReplaySkipped { id, why });
        } else {
            self.more_skipped += 1;
        }
    }

    /// Counts a decision with another answer for which there is no room.
    pub fn differs_too(&mut self) {
        self.total += 1;
        self.more_different += 1;
    }

    /// Takes in a decision with another answer.
    pub fn differs(&mut self, input: Decision, fields: Vec<ReplayedField>) {
        self.total += 1;
        if self.different.len() < MOST_DIFFERENT {
            self.different.push(ReplayDifference { id: input.id.clone(), input, fields });
        } else {
            self.more_different += 1;
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over references")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}
