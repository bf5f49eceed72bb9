//! Podberth: the Kubernetes scheduler as an HTTP service.
//!
//! # Bird's eye
//!
//! *State in*: HTTP → [`wire`] parses at the door → [`store`] makes it durable and gives it a revision → the change
//! feed hands it to [`cluster`] → a new [`core::snapshot::Snapshot`] is published.
//!
//! *A decision*: request → parse → one snapshot taken at the door → the pure [`core::cycle`] → reply.
//! No SQL on this way, and no lock held while computing. Where a policy's extenders are asked ([`extenders`]), what they
//! say is taken in as data ([`core::extenders`]).
//!
//! *A change*: HTTP → the cluster's writer, which takes what is queued as one transaction of the [`store`] and judges
//! every bind by the whole filter on the state that it is written to → published, then answered.
//!
//! # Code map
//!
//! | room | what lives there | must never |
//! |---|---|---|
//! | `crates/core`, [`core`] | the scheduler: model, snapshot, predicates, priorities, policy, cycle | do I/O, read a clock, draw chance, know HTTP or SQL |
//! | `crates/wire`, [`wire`] | the outside world's JSON and YAML ⇄ core | do I/O, decide |
//! | `crates/store`, [`store`] | durable documents and revisions; the only SQL | know scheduling |
//! | [`cluster`] | the live cache: change feed in, snapshots out; commits what was decided | know SQL, HTTP |
//! | [`extenders`] | the way out to a policy's own extenders: HTTP calls that always end | decide, know the store or SQL |
//! | [`api`] | HTTP: one list of routes, a file per resource | know SQL |
//! | [`app`] | composition root: the only file that may import everything | |
//! | [`commands`] | what the command line does besides serving | know SQL |
//! | [`config`] [`telemetry`] [`clock`] [`origin`] | leaves | |
//! | `crates/testkit` | builders, large clusters, a store in memory that fails on demand | be in the product's binary |
//! | `crates/bench` | `podberth-bench`: measures a server over HTTP | be in the product's binary |
//!
//! Direction: `core ← wire ← cluster ← api ← commands ← app ← main`, `store ← cluster` and `wire ← downstream ← api`. The crates hold the first three
//! rooms apart; `tests/architecture.rs` holds the rest to it.

pub mod api;
pub mod app;
pub mod clock;
pub mod cluster;
pub mod commands;
pub mod config;
pub mod extenders;
pub mod origin;
pub mod telemetry;

pub use podberth_core as core;
pub use podberth_store as store;
pub use podberth_wire as wire;
