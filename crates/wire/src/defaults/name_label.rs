//! The label that every namespace carries: `kubernetes.io/metadata.name`, with its name. It overrides the object's own value.
//!
//! Source: `pkg/apis/core/v1/defaults.go` (`SetDefaults_Namespace`).

use podberth_core::model::Labels;

/// The label's key.
pub const KEY: &str = "kubernetes.io/metadata.name";

/// The labels of a namespace of that name.
pub fn labels(said: &Labels, name: &str) -> Labels {
    if name.is_empty() {
        return said.clone();
    }
    // Of a key that is there twice the last value stays.
    said.iter().map(|(key, value)| (&**key, &**value)).chain([(KEY, name)]).collect()
}
