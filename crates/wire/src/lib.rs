//! The outside world's JSON and YAML, and its conversion to [`podberth_core`]'s types. No I/O, no decisions.
//!
//! Every conversion returns the object *and* all its faults ([`objects::Converted`]). The caller decides if faults refuse the object. For a
//! write they do; for an object in a request to decide they do not, since kube-scheduler itself handles objects that the API server of
//! another release admitted.

#![warn(unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

pub mod access;
pub mod allocation;
pub mod allowance;
pub mod asked;
pub mod audit;
pub mod autoscale;
pub mod binding;
pub mod cluster;
pub mod columns;
pub mod decision;
pub mod decode;
pub mod defaults;
pub mod deletion;
pub mod discovery;
pub mod disruption_status;
pub mod document;
pub mod ephemeral;
pub mod explanation;
pub mod extender;
pub mod extender_calls;
pub mod fault;
pub mod federation;
pub mod fit;
pub mod fork;
pub mod forms;
pub mod kinds;
pub mod objects;
pub mod openapi;
pub mod outbox;
pub mod overview;
pub mod patch;
pub mod pending;
pub mod placed;
pub mod policy;
pub mod policy_diff;
pub mod protobuf;
pub mod reservation;
pub mod resize;
pub mod scale;
pub mod scenario;
pub mod schedule;
pub mod selector;
pub mod simulation;
pub mod source;
pub mod span;
pub mod status;
pub mod suggestion;
pub mod table;
pub mod text;
mod tree;
mod types;
pub mod validation;
pub mod volume_choice;
pub mod volume_controller;
pub mod yaml;
