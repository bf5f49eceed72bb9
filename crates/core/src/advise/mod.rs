//! Advice on the cluster as a whole: more nodes or fewer, more replicas or fewer, other requests, other places.
//!
//! Each answer is a function of a snapshot, of the groups, usage and history that came with it, and of the time that it is told. One rule is one file, whose
//! `//!` lines are its documentation, and one row of its room's `ALL`.

pub mod groups;
pub mod hpa;
pub mod plan;
pub mod reschedule;
pub mod scale_down;
pub mod scale_up;
pub mod vpa;

/// A rule of advice, as `GET /plugins` lists it.
#[derive(Clone, Copy, Debug)]
pub struct Advice {
    /// The name that users know.
    pub name: &'static str,
    /// The sort of rule: `Expander`, `EvictionStrategy`, …
    pub kind: &'static str,
    /// The source file of the rule, from whose `//!` lines [`Self::documentation`] is read.
    pub source: &'static str,
}

impl Advice {
    /// The rule's documentation: the `//!` lines at the head of its file, as Markdown.
    pub fn documentation(&self) -> String {
        crate::rule::documentation(self.source)
    }
}

/// The rules of all rooms.
pub fn all() -> impl Iterator<Item = &'static Advice> {
    let rooms: [&'static [Advice]; 5] = [hpa::ALL, reschedule::ALL, scale_down::ALL, scale_up::ALL, vpa::ALL];
    rooms.into_iter().flatten()
}
