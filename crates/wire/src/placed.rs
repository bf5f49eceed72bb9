//! The node that a pod is bound to, laid over its stored body: a bind writes the node beside the body and leaves the body.

use std::borrow::Cow;

use serde::Deserialize;

use super::{
    decode::{self, DecodeError},
    document::Document,
};

/// The node a body says its pod is on.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Bound<'a> {
    #[serde(borrow)]
    spec: BoundSpec<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct BoundSpec<'a> {
    #[serde(borrow)]
    node_name: Cow<'a, str>,
}

/// A stored body with `spec.nodeName` as it is now; `None` leaves the body as it is.
///
/// # Errors
/// If the body is no object.
pub fn on_node<'b>(body: &'b str, node: Option<&str>) -> Result<Cow<'b, str>, DecodeError> {
    let Some(node) = node else { return Ok(Cow::Borrowed(body)) };
    if decode::from_slice::<Bound<'_>>(body.as_bytes()).is_ok_and(|bound| bound.spec.node_name == *node) {
        return Ok(Cow::Borrowed(body));
    }
    let mut document = Document::parse(body.as_bytes())?;
    document.set_text_in("spec", "nodeName", node)?;
    Ok(Cow::Owned(document.into_body()))
}
