//! Binds on their way to an API server: decided and stored here, and not known to be facts there.

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
    /// `true` once the API server has it. It is kept until the mirror shows the pod on the node.
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
