//! Selectors of a descheduler policy.

use podberth_core::model::Selector;

use crate::{
    fault::{Faults, Path},
    objects::meta::LabelSelector,
    selector::parse_labels,
};

/// A selector in text.
pub(super) fn labels(text: Option<&str>, at: &Path<'_>, faults: &mut Faults) -> Selector {
    let text = text.unwrap_or_default();
    parse_labels(text).unwrap_or_else(|error| {
        faults.invalid(at, text, error);
        Selector::default()
    })
}

/// A label selector; absent selects everything.
pub(super) fn selector(given: Option<&LabelSelector>, at: &Path<'_>, faults: &mut Faults) -> Selector {
    given.and_then(|selector| selector.to_core(at, faults)).unwrap_or_default()
}
