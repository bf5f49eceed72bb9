//! The setting `--admission`.

use crate::wire::kinds::StoredKind;

/// The rules that hold for what clients write. Imports are facts under both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AdmissionMode {
    /// Those of the API server: objects are stored in its form, with its defaults, and refused where it refuses them.
    Kubernetes,
    /// Objects are facts from another cluster: they are stored as they are sent, and held to what decisions read.
    #[default]
    None,
}

impl AdmissionMode {
    /// The names of the modes.
    pub const NAMES: [&'static str; 2] = ["kubernetes", "none"];

    /// The mode of this name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "kubernetes" => Some(Self::Kubernetes),
            "none" => Some(Self::None),
            _ => None,
        }
    }

    /// `true` if the API server's rules hold for objects of this kind.
    pub(in crate::service) fn holds_for(self, kind: &StoredKind) -> bool {
        self == Self::Kubernetes && kind.is_shared()
    }
}
