//! The commands that do more than start a server, one file each.

pub mod archive;
pub mod demo;
pub mod explain;
pub mod policy;
pub mod token;
