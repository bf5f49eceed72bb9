//! The overview of a cluster: its nodes by columns, and their sums.

use std::sync::Arc;

use super::{
    access::sight::Sight,
    compute::compute,
    error::{Error, Result},
};
use crate::{
    core::overview::{Asked, overview as made},
    live::View,
    wire::{overview::OverviewReply, selector::parse_labels},
};

pub use follow::{Following, MOST_OFTEN};

mod follow;

/// The overview that a request asks for: the key of a label, a selector of nodes, and one of pods.
///
/// # Errors
/// [`Error::BadRequest`] for a selector that cannot be read.
pub fn asked(group: Option<&str>, nodes: Option<&str>, pods: Option<&str>) -> Result<Asked> {
    let read = |field: &str, text: &str| {
        parse_labels(text).map_err(|error| Error::BadRequest(format!("{field}: Invalid value: {text:?}: {error}")))
    };
    Ok(Asked {
        group: group.filter(|group| !group.is_empty()).map(Into::into),
        nodes: nodes.map(|text| read("labelSelector", text)).transpose()?.unwrap_or_default(),
        pods: pods.map(|text| read("podSelector", text)).transpose()?,
    })
}

/// The overview of a view. Pods that the caller may not know never match.
///
/// # Errors
/// Those of [`compute`].
pub async fn overview(view: Arc<View>, asked: Asked, mut sight: Sight) -> Result<OverviewReply> {
    compute(move || {
        let overview = made(&view.snapshot, &asked, |namespace| sight.knows(namespace));
        OverviewReply::new(view.snapshot.revision, overview)
    })
    .await
}
