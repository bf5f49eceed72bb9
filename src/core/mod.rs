//! The scheduler, pure and synchronous.
