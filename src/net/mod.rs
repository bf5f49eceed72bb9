//! TLS: of this server, with reloads and client certificates, and of the commands that ask a server.
//!
//! The certificates in force are one value ([`Tls`]). A reload replaces it as a whole; connections keep the one that they began with, and their
//! client's certificate is held against the new one with their next request ([`ClientCertificate`]).

mod accept;
mod client;
mod client_certificate;
mod clients;
pub mod pem;
mod reload;
mod replica;
mod server;
pub(crate) mod signatures;
mod stream;
mod subject;

pub use accept::{Accepted, Refusal, accept};
pub use client::{Shown, client_config};
pub use client_certificate::{ClientCertificate, Secured};
pub use reload::{Reload, Step};
pub use replica::{Identity, Pin};
pub use server::{Files, MinVersion, Tls};
pub use stream::Stream;

#[cfg(test)]
mod tests;
