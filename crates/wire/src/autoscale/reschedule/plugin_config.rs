//! The arguments of a plugin of a descheduler policy.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::{
    decode,
    fault::{Faults, Path},
};

/// The arguments of a plugin.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[schema(as = DeschedulerPluginConfig)]
pub struct PluginConfig {
    /// The plugin.
    #[schema(example = "LowNodeUtilization")]
    pub name: String,
    /// Its arguments.
    #[schema(nullable = false, value_type = std::collections::BTreeMap<String, serde_json::Value>)]
    pub args: Option<Box<RawValue>>,
}

impl PluginConfig {
    /// The arguments. Absent ones are their defaults.
    pub(super) fn read<T: DeserializeOwned + Default>(&self, at: &Path<'_>, faults: &mut Faults) -> Option<T> {
        let Some(args) = self.args.as_deref().filter(|args| args.get() != "null") else { return Some(T::default()) };
        match decode::from_slice(args.get().as_bytes()) {
            Ok(args) => Some(args),
            Err(error) => {
                let error = error.without_place();
                let field_at = at.child(&error.field);
                faults.forbidden(if error.field.is_empty() { at } else { &field_at }, &error.message);
                None
            }
        }
    }
}
