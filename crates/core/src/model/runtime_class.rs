//! Runtime classes.
//!
//! Source: `api/node/v1/types.go` (`RuntimeClass`).

use super::{Labels, Name, ResourceList, Toleration};

/// A way to run containers, and what it demands of the pods that name it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuntimeClass {
    /// Its name.
    pub name: Name,
    /// `overhead.podFixed`: what running a pod costs besides its containers; `None` where the class says nothing of it.
    pub overhead: Option<ResourceList>,
    /// Labels that the nodes of its pods must have.
    pub node_selector: Labels,
    /// Taints that its pods put up with.
    pub tolerations: Vec<Toleration>,
}
