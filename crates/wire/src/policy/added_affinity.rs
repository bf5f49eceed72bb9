//! `NodeAffinityArgs.addedAffinity`: node affinity of every pod, written as in a pod.

use super::reader::Field;
use crate::{
    decode,
    fault::{Faults, Path},
    objects::{affinity::NodeAffinity, bounds},
};
use podberth_core::{
    model::{NodeSelector, PreferredNode},
    policy::Fault,
};

/// The nodes required, and those preferred.
pub(super) fn read(field: &Field<'_>) -> (Option<NodeSelector>, Vec<PreferredNode>) {
    let Some(tree) = field.tree() else { return (None, Vec::new()) };
    let affinity: NodeAffinity = match decode::from_slice(tree.to_json().to_string().as_bytes()) {
        Ok(affinity) => affinity,
        Err(error) => {
            let inner = if error.field.is_empty() { String::new() } else { format!(".{}", error.field) };
            field.push(Fault::new(format!("{}{inner}", field.path()), error.message));
            return (None, Vec::new());
        }
    };
    let mut faults = Faults::default();
    let at = Path::ROOT.child(field.path());
    bounds::check_node_affinity(&affinity, &at, &mut faults);
    let read = affinity.to_core(&at, &mut faults);
    for cause in faults.into_causes() {
        field.push(Fault::new(cause.field, cause.message));
    }
    read
}
