//! Podberth: the Kubernetes scheduler as an HTTP service.
//!
//! # Bird's eye
//!
//! *State in*: HTTP → [`wire`] parses at the door → [`store`] makes it durable and gives it a revision → the change
//! feed hands it to [`cluster`] → a new [`core::snapshot::Snapshot`] is published.
//!
//! *A decision*: request → parse → one snapshot taken at the door → the pure [`core::cycle`] → reply.
//! No SQL on this way, and no lock held while computing. Where a policy's extenders are asked ([`downstream`]), what they
//! say is taken in as data ([`core::outside`]).
//!
//! *A change*: HTTP → the cluster's keeper, which takes what is queued as one transaction of the [`store`] and judges
//! every bind by the whole filter on the state that it is written to → published, then answered.
//!
//! # Code map
//!
//! | room | what lives there | must never |
//! |---|---|---|
//! | [`core`] | the scheduler: model, snapshot, predicates, priorities, policy, cycle | do I/O, read a clock, draw chance, know HTTP or SQL |
//! | [`wire`] | the outside world's JSON and YAML ⇄ core | do I/O, decide |
//! | [`store`] | durable documents and revisions; the only SQL | know scheduling |
//! | [`cluster`] | the live cache: change feed in, snapshots out; commits what was decided | know SQL, HTTP |
//! | [`downstream`] | the way out to a policy's own extenders: HTTP calls that always end | decide, know the store or SQL |
//! | [`api`] | HTTP: one list of routes, a file per resource | know SQL |
//! | [`app`] | composition root: the only file that may import everything | |
//! | [`commands`] | what the command line does besides serving | know SQL |
//! | [`config`] [`telemetry`] [`clock`] [`origin`] | leaves | |
//!
//! Direction: `core ← wire ← store ← cluster ← api ← commands ← app ← main`, and `wire ← downstream ← api`. `tests/architecture.rs` holds the code to it.

pub mod api;
pub mod app;
pub mod clock;
pub mod cluster;
pub mod commands;
pub mod config;
pub mod core;
pub mod downstream;
pub mod origin;
pub mod store;
pub mod telemetry;
pub mod testing;
pub mod wire;
