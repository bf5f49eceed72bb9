//! Options of a deletion (`meta/v1` DeleteOptions).

/// The fate of the objects that name a deleted one as their owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// They go after it.
    Background,
    /// They go before it.
    Foreground,
    /// They stay, without it.
    Orphan,
}

impl Propagation {
    /// The names of all, in the order in which the API server lists them; `nil` stands for none.
    pub const NAMES: [&'static str; 4] = ["Foreground", "Background", "Orphan", "nil"];

    /// That of a name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "Background" => Some(Self::Background),
            "Foreground" => Some(Self::Foreground),
            "Orphan" => Some(Self::Orphan),
            _ => None,
        }
    }
}

/// The manner of a deletion.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The time that a running pod gets; `None`: its own choice.
    pub grace_period_seconds: Option<i64>,
    /// The fate of dependents; `None`: that of the kind.
    pub propagation_policy: Option<Propagation>,
    /// The older form of the same: `true` keeps dependents.
    pub orphan_dependents: Option<bool>,
}

impl Options {
    /// A deletion without grace.
    pub fn at_once() -> Self {
        Self { grace_period_seconds: Some(0), ..Self::default() }
    }

    /// The fate of dependents, if the options name one.
    pub(super) fn propagation(self) -> Option<Propagation> {
        match self.orphan_dependents {
            Some(true) => Some(Propagation::Orphan),
            Some(false) => Some(Propagation::Background),
            None => self.propagation_policy,
        }
    }
}
