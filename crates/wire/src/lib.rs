//! The outside world's JSON and YAML, and what it means in the [`podberth_core`]'s terms. No I/O, no decisions.
//!
//! Every conversion answers with the object *and* all its faults ([`objects::Converted`]); the caller decides whether
//! faults refuse it: at the state door they do, in a request to judge they do not, since kube-scheduler itself lives
//! with objects that the API server of another release let through.

pub mod allowance;
pub mod asked;
pub mod cluster;
pub mod decode;
pub mod defaults;
pub mod document;
pub mod explanation;
pub mod extender;
pub mod extender_calls;
pub mod fault;
pub mod kinds;
pub mod objects;
pub mod policy;
pub mod reservation;
pub mod schedule;
pub mod selector;
pub mod status;
pub mod table;
pub mod text;
mod tree;
pub mod validation;
pub mod volume_choice;
pub mod yaml;
