//! Live clusters: watches of their API servers in, requests out. The only room that knows kube-rs.

pub mod client;
mod kubeconfig;
