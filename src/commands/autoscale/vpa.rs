//! The table of `podberth autoscale vpa`.

use serde_json::Value;

/// The answer for people.
pub(super) fn table(answer: &Value) -> String {
    format!("{answer:#}\n")
}
