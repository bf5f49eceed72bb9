//! Answers for other schedulers of many clusters: Karmada's estimator at its own address, by HTTP/2 and gRPC's frames as Karmada's schedulers send them, and
//! the recipes for Kueue and Open Cluster Management, run as the guide shows them.
//!
//! Source: `karmada/pkg/estimator/service/service.proto`, `grpc/doc/PROTOCOL-HTTP2.md`.

#[path = "../support/server.rs"]
mod server;

#[cfg(feature = "karmada")]
mod answers;
#[cfg(feature = "karmada")]
mod client;
#[cfg(feature = "karmada")]
mod grpcio;
mod recipes;
#[cfg(feature = "karmada")]
mod recorded;
#[cfg(feature = "karmada")]
mod refusals;
#[cfg(feature = "karmada")]
mod rights;
#[cfg(feature = "karmada")]
mod start;
