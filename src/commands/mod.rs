//! The commands that do more than start a server, one file each.

pub mod archive;
pub mod asked;
pub mod autoscale;
pub mod certs;
pub mod demo;
pub mod explain;
mod junit;
pub mod kubeconfig;
pub mod place;
pub mod policy;
pub mod policy_diff;
pub mod rbac;
pub mod replay;
pub mod sync;
pub mod test;
pub mod token;
