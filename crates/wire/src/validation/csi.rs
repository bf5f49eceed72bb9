//! CSI drivers, storage capacities and attachments.
//!
//! Source: `pkg/apis/storage/validation/validation.go` (`ValidateCSIDriver`, `ValidateCSIStorageCapacity`,
//! `ValidateVolumeAttachment`).

use super::{Validate, resources};
use crate::{
    decode::DecodeError,
    fault::{Faults, Path},
    objects::csi::{CsiDriver, CsiStorageCapacity, VolumeAttachment},
};

impl Validate for CsiDriver {}

impl Validate for CsiStorageCapacity {
    fn validate(&self, _: &[u8], faults: &mut Faults) -> Result<(), DecodeError> {
        for (field, text) in [("capacity", &self.capacity), ("maximumVolumeSize", &self.maximum_volume_size)] {
            if let Some(size) = text.as_ref().and_then(resources::amount) {
                resources::value("storage", size, &Path::ROOT.child(field), faults);
            }
        }
        Ok(())
    }
}

impl Validate for VolumeAttachment {}
