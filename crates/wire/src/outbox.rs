//! Binds on their way to an API server: decided and stored here, and not known to be facts there.
//!
//! While the API server shows a pod on no node, the pod's row is on the node of its pending bind, so that no other pod gets the room. As soon as it shows
//! the pod on a node, that is the row's, and the pending bind goes in the same commit. [`shown`] is this rule, for the mirror and for whoever looks after
//! binds that nobody brings to an end.

use serde::{Deserialize, Serialize};

/// The store's kind under which they are kept, each under its pod's namespace and name.
pub const KIND: &str = "binds.podberth.io";

/// A bind on its way. The pod's own row names the node as well, from the same commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PendingBind {
    /// The pod's uid: a later pod of this name is not meant.
    pub pod_uid: String,
    /// The node's name.
    pub node: String,
    /// `true` once the API server has it, and from the beginning where another client sends it (`bind: record`). It is kept until the mirror shows the pod on
    /// a node.
    #[serde(default)]
    pub is_done: bool,
}

impl PendingBind {
    /// Reads a stored one.
    ///
    /// # Errors
    /// When the body is none.
    pub fn parse(body: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(body)
    }
}

/// A pod's row and its pending bind, in view of what the API server shows of the pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shown<'a> {
    /// The node of the row.
    pub node: Option<&'a str>,
    /// `true` if the pending bind is over: its object is deleted, in the commit that writes or deletes the row.
    pub is_over: bool,
}

/// The rule for a pod with this pending bind which the API server shows with this uid and on this node (empty: on none); `None` for no such pod.
pub fn shown<'a>(pending: Option<&'a PendingBind>, pod: Option<(&str, &'a str)>) -> Shown<'a> {
    match (pending, pod) {
        (Some(pending), Some((uid, ""))) if pending.pod_uid == uid => {
            Shown { node: Some(&pending.node), is_over: false }
        }
        (pending, pod) => {
            let node = pod.map(|(_, node)| node).filter(|node| !node.is_empty());
            Shown { node, is_over: pending.is_some() }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pending_bind_holds_until_its_pod_is_on_a_node_or_gone() {
        let pending = PendingBind { pod_uid: "u".into(), node: "ours".into(), is_done: false };
        let of = |pod| shown(Some(&pending), pod);
        let row = |node, is_over| Shown { node, is_over };
        assert_eq!(of(Some(("u", ""))), row(Some("ours"), false));
        assert_eq!(of(Some(("u", "ours"))), row(Some("ours"), true));
        assert_eq!(of(Some(("u", "theirs"))), row(Some("theirs"), true), "another scheduler was first");
        assert_eq!(of(Some(("later", ""))), row(None, true));
        assert_eq!(of(None), row(None, true));
        let done = PendingBind { is_done: true, ..pending.clone() };
        assert_eq!(shown(Some(&done), Some(("u", ""))), row(Some("ours"), false), "what is shown may be old");
        assert_eq!(shown(None, Some(("u", ""))), row(None, false));
        assert_eq!(shown(None, Some(("u", "theirs"))), row(Some("theirs"), false));
    }
}
