//! Bodies of subresources that do something with a pod.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::service::{
    error::{Error, Result},
    objects::Target,
};

/// The pod of a Binding.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub(super) struct BindingMetadata {
    /// The pod's name, as in the path.
    pub name: String,
    /// The pod's namespace, as in the path.
    pub namespace: String,
    /// The pod's uid: with it a binding may be repeated safely, and does not affect a later pod of this name.
    pub uid: String,
    /// Annotations that a Binding writes into the pod.
    #[schema(ignore)]
    pub annotations: BTreeMap<String, String>,
}

impl BindingMetadata {
    /// Checks that the object in the body, of this kind, agrees with the path.
    pub(super) fn agrees_with(&self, target: &Target, kind: &str) -> Result<()> {
        target.agrees_in_namespace(&self.namespace)?;
        if !self.name.is_empty() && self.name != target.name {
            return Err(Error::BadRequest(format!("name in URL does not match name in {kind} object")));
        }
        Ok(())
    }
}
