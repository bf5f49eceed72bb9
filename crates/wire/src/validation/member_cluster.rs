//! Clusters: their taints follow the rules of nodes. All other rules are those of the conversion.

use super::{Validate, node::taints};
use crate::{
    decode::DecodeError,
    fault::{Faults, Path},
    objects::member_cluster::MemberCluster,
};

impl Validate for MemberCluster {
    fn validate(&self, _: &[u8], faults: &mut Faults) -> Result<(), DecodeError> {
        taints(&self.spec.taints, &Path::ROOT.child("spec").child("taints"), faults);
        Ok(())
    }
}
