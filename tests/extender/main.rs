//! The extender verbs and `/explain` over HTTP: requests of real clients, of broken ones, and the replies.

#[path = "../support/cases.rs"]
mod cases;
#[path = "../support/server.rs"]
mod server;

mod bind;
mod check;
mod config;
mod explain;
mod extenders;
mod hostile;
mod lag;
mod messages;
mod preempt;
mod questions;
mod recorded;
