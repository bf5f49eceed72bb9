//! Podberth: the Kubernetes scheduler as an HTTP service.
//!
//! # Overview
//!
//! *State*: [`wire`] parses a request at its arrival → [`store`] makes the object durable and gives it a revision → the change
//! feed brings it to [`live`] → a new [`core::snapshot::Snapshot`] is published.
//!
//! *A decision*: request → parse → one snapshot, taken once → the pure [`core::cycle`] → reply. It uses no SQL, and holds no
//! lock while it computes. If a policy's extenders are called ([`extenders`]), their replies enter the decision as data
//! ([`core::extenders`]).
//!
//! *A change*: request → the cluster's writer, which commits the queued calls as one transaction of the [`store`] and judges
//! every bind by the whole filter on the state that it is written to → published → reply.
//!
//! # Code map
//!
//! | room | what lives there | must never |
//! |---|---|---|
//! | `crates/core`, [`core`] | the scheduler: model, snapshot, predicates, priorities, policy, cycle | do I/O, read a clock, draw chance, know HTTP or SQL |
//! | `crates/wire`, [`wire`] | the outside world's JSON and YAML ⇄ core | do I/O, decide |
//! | `crates/store`, [`store`] | durable documents and revisions; the only SQL | know scheduling |
//! | [`live`] | the live cache: change feed in, snapshots out; commits decisions | know SQL, HTTP |
//! | [`extenders`] | HTTP calls to a policy's own extenders, which always end | decide, know the store or SQL |
//! | [`net`] | TLS: of the server, with reloads and client certificates | decide, read files, know HTTP or the store |
//! | [`service`] | the operations, for all callers: filter, prioritize, preempt, explain, schedule, bind, reserve, evict, objects, import, policies | know HTTP, SQL |
//! | `sync` | Kubernetes' transport: mirrors live clusters into the store, carries requests to their API servers | know HTTP handlers, SQL |
//! | [`api`] | HTTP: one list of routes, a file per resource | know SQL |
//! | [`ui`] | the files of the web page, built from `ui/` | call anything |
//! | [`app`] | composition root: the only file that may import everything | |
//! | [`commands`] | commands other than serving | know SQL |
//! | [`config`] [`telemetry`] [`clock`] [`fetch`] [`origin`] `features` `hex` | leaves | |
//! | `crates/testkit` | builders, large clusters, a store in memory that fails on demand | be in the product's binary |
//! | `crates/bench` | `podberth-bench`: measures a server over HTTP | be in the product's binary |
//!
//! Direction: `core ← wire ← live ← service ← api ← commands ← app ← main`, `store ← live`, `core ← net ← api`, `wire ← extenders ← service` and `service ← sync ← commands ← app`. The crates hold
//! the first three rooms apart; `tests/architecture` holds the rest to it, and finds modules that import each other.
//!
//! # Glossary
//!
//! Nouns of Kubernetes have their meaning there. These are used in one sense over the whole workspace:
//!
//! | noun | meaning | where it lives |
//! |---|---|---|
//! | assumed pod | a pod that was probably bound and that the state does not show on its node yet; only scores count it | [`core::in_flight`] |
//! | batch | calls that the writer commits in one transaction | [`live`] |
//! | block | 64 nodes side by side, with their amounts in columns, so that rules judge them at once | [`core::block`] |
//! | board | verdicts and scores of all nodes, shared by pods with equal demands | [`core::batch`] |
//! | binding (of a role) | a RoleBinding or ClusterRoleBinding: gives the rights of a role to users | [`core::access`] |
//! | call | the writes of one caller, carried out all or each for itself | [`store::Call`] |
//! | caller | the sender of a request, for the rights that an operation checks itself | [`service::access`] |
//! | change feed | all changes of a cluster in order of revision, read in pages | [`store`] |
//! | cluster | objects with one revision counter; every key begins with it, and no transaction spans two | [`live`], [`store`] |
//! | compaction | the periodic removal of tombstones and superseded versions | [`store`] |
//! | decision context | the view, the profile and the extenders of one decision, taken once | [`service::context`] |
//! | decision tree | a policy whose priorities decide one after another; each one is a *level* | [`core::ranking`] |
//! | draft | the writer's working copy of the state while a batch is judged | [`live`] |
//! | duty | work that one process does for a cluster, under a lead: `sync`, `binds`, `loop` | [`service::lead`] |
//! | epoch | a part of a cluster's history; a new one begins when an older copy of the database comes back | [`store::Head`] |
//! | extender | an HTTP server that filters and scores nodes for a scheduler: Podberth for kube-scheduler, others for Podberth | [`api`], [`extenders`] |
//! | fact | an object that exists elsewhere, such as an imported running pod; it is stored, not judged | [`wire`] |
//! | fault, warning | an error, or a doubtful setting, of an object or a policy, with its field | [`wire`], [`core::policy`] |
//! | fence | the first write of a leader's call, refused with the whole call if another process leads by now | [`service::lead`] |
//! | head | the newest revision, epoch and token of a cluster | [`store::Head`] |
//! | hint | a message that a cluster may have changed | [`store::Hint`] |
//! | index | counts over the whole cluster that rules read | [`core::snapshot`] |
//! | issuer | a server whose signed tokens (JSON Web Tokens) tell who a caller is | [`wire::access::jwt`], [`service::access::issuers`] |
//! | judge | the check of every bind at its commit, by the whole filter | [`store`], [`live`] |
//! | lead | the right of one process to carry out a duty of a cluster, held by a lease and guarded by a fence | [`service::lead`] |
//! | lease | the right of one process to do something for all, for a time: a periodic job, or a duty | [`store`] |
//! | limit | the largest number of items that a pod or a policy may have | [`core::limits`] |
//! | mirror | a cluster whose objects are those of a live one, its *source* | `sync`, [`wire::source`] |
//! | node set | some of a snapshot's nodes, block by block: the candidates, or those that fit | [`core::node_set`] |
//! | node table | the nodes of a snapshot: blocks, names and slots | `core::node_table` |
//! | observer | the receiver of a plugin's begin and end, which takes the time | [`core::observe`] |
//! | outbox | binds that are stored and on their way to an API server, each an object beside its pod | [`wire::outbox`], [`service::bind`] |
//! | overlay | a node with other pods on it than the snapshot has | [`core::overlay`] |
//! | owner | one of the two replicas that keep a cluster in memory, where replicas share clusters | [`service::replicas`] |
//! | plan | the changes that a decision demands, carried out whole or not at all | [`core::plan`] |
//! | profile | a compiled policy, or one profile of a configuration: predicates, priorities, weights, arguments | [`core::policy`] |
//! | rehearsal | judging a batch before its transaction, on the expected state | [`live`] |
//! | release | the kube-scheduler release whose rules apply, 1.22 or 1.34 | [`core::release`] |
//! | reservation | a node kept for a pod for a time, counted like a bind | [`wire::reservation`] |
//! | revision | the number of a change in its cluster; Kubernetes' resourceVersion | [`store`] |
//! | slot | the number of a node in one snapshot | `core::node_table` |
//! | snapshot | a cluster's objects at one revision, as decisions read them; immutable | [`core::snapshot`] |
//! | source | the live cluster that a cluster mirrors, and how it is reached | [`wire::source`], [`service::source`] |
//! | token | a secret by which a user is known; its digest is stored | [`wire::access::token`] |
//! | unknown nodes | names that pods are bound to although there is no such node | `core::node_table` |
//! | unschedulable pod | a pod that fits no node | [`core::batch`] |
//! | validation | the rules by which a client's write is refused | [`wire::validation`] |
//! | verdict | a predicate's answer for a pod and a node: fits, or a reason, and if eviction could help | [`core::verdict`] |
//! | victim | a pod to be evicted for a pod of higher priority | [`core::preempt`] |
//! | view | a published snapshot and the policies of one revision | [`live::View`] |
//! | writer | the task that owns a cluster's state: it applies the feed, commits and publishes | [`live`] |

#![warn(unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

pub mod api;
pub mod app;
pub mod clock;
pub mod commands;
pub mod config;
pub mod extenders;
mod features;
pub mod fetch;
#[cfg(any(feature = "externalgrpc", feature = "karmada"))]
pub mod grpc;
mod hex;
pub mod live;
pub mod net;
pub mod origin;
pub mod service;
#[cfg(feature = "sync")]
pub mod sync;
pub mod telemetry;
pub mod ui;

pub use podberth_core as core;
pub use podberth_store as store;
pub use podberth_wire as wire;
