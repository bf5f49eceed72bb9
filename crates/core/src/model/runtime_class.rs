//! Runtime classes.
//!
//! Source: `api/node/v1/types.go` (`RuntimeClass`).

use super::{Labels, Name, ResourceList, Toleration};

/// A way to run containers, and its demands on pods that name it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuntimeClass {
    /// Its name.
    pub name: Name,
    /// `overhead.podFixed`: amounts that running a pod takes besides its containers; `None` if absent.
    pub overhead: Option<ResourceList>,
    /// Labels that the nodes of its pods must have.
    pub node_selector: Labels,
    /// Tolerations of its pods.
    pub tolerations: Vec<Toleration>,
}
