//! The scheduling cycle: filter → prioritize → select.
