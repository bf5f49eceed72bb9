//! The scheduler, pure and synchronous: a snapshot and a pod in, a decision out.
//!
//! Never here: I/O, async, SQL, HTTP, logging, a clock, chance.

#![warn(unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

pub mod access;
pub mod advise;
pub mod argument;
mod attachments;
pub mod audit;
pub mod batch;
pub mod block;
pub mod cel;
pub mod claim_choice;
pub mod cycle;
pub(crate) mod devices;
pub mod diff;
mod directory;
pub mod evictions;
pub mod extenders;
pub mod fault;
pub mod federation;
mod grouping;
pub mod in_flight;
mod index;
mod inter_pod;
pub mod limits;
pub mod model;
pub mod near;
pub mod node_info;
mod node_match;
pub mod node_set;
mod node_table;
pub mod observe;
pub mod overlay;
pub mod overview;
pub mod pending;
pub mod plan;
pub mod policy;
pub mod predicates;
pub mod preempt;
pub mod priorities;
mod qualified;
pub mod ranking;
pub mod release;
pub mod rule;
pub mod simulate;
pub mod snapshot;
mod spreading;
pub mod suggest;
pub mod summary;
pub mod verdict;
pub mod waiting;

pub mod work;

/// The builders of `crates/testkit`, included as source for this crate's own tests: the testkit crate itself would bring another copy of
/// these types.
#[cfg(test)]
#[path = "../../testkit/src/builders/mod.rs"]
pub mod testing;

#[cfg(test)]
extern crate self as podberth_core;
