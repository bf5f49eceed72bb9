//! Live clusters: watches of their API servers in, requests out. The only room that knows kube-rs.
//!
//! # The mirror
//!
//! A cluster with a source ([`ClusterSource`](crate::wire::source::ClusterSource)) is the mirror of a live one. One process leads it ([`mirror`]). Each
//! kind goes its own way: `follow` says which list or watch comes next and what an event means, `kind` sends the requests, `object` and `trim` make of
//! an object what is to be stored, `compare` finds what differs from the stored one, and `apply` writes that, each call fenced by the lead.
//!
//! The mirror keeps no objects in memory: what is stored is the cache. A restart lists anew, and a list of objects that did not change writes nothing.

pub mod client;
pub mod mirror;
pub mod once;

mod apply;
mod board;
mod compare;
mod follow;
mod kind;
mod kubeconfig;
mod object;
#[cfg(test)]
mod property;
mod stream;
mod trim;

pub use kind::Watching;
