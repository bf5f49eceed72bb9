//! Shared by tests and benches: builders, large clusters, issuers of tokens, and a store in memory that can fail. Never in the product's binary.

pub mod answers;
mod builders;
pub mod certificates;
pub mod json;
pub mod jwt;
pub mod large;
pub mod memory;
pub mod watches;

pub use builders::*;
