//! The conditions of an autoscaler, whose types and reasons are those of Kubernetes.

/// The type of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionKind {
    /// Possibility of scaling the target now.
    AbleToScale,
    /// Metrics that give a number of replicas.
    ScalingActive,
    /// A limit that cut the number.
    ScalingLimited,
}

impl ConditionKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::AbleToScale, Self::ScalingActive, Self::ScalingLimited];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::AbleToScale => "AbleToScale",
            Self::ScalingActive => "ScalingActive",
            Self::ScalingLimited => "ScalingLimited",
        }
    }
}

/// A condition of an autoscaler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Its type.
    pub kind: ConditionKind,
    /// Its status.
    pub status: bool,
    /// The reason, one word.
    pub reason: String,
    /// The reason for people.
    pub message: String,
    /// The last change of its status, in nanoseconds.
    pub since: i64,
}

/// Sets a condition; one that was there keeps its time unless its status changes.
pub(super) fn set(
    conditions: &mut Vec<Condition>,
    now: i64,
    kind: ConditionKind,
    status: bool,
    reason: &str,
    message: impl Into<String>,
) {
    let before = conditions.iter().position(|condition| condition.kind == kind);
    let mut condition = Condition { kind, status, reason: reason.to_owned(), message: message.into(), since: now };
    match before {
        Some(at) => {
            if conditions[at].status == status {
                condition.since = conditions[at].since;
            }
            conditions[at] = condition;
        }
        None => conditions.push(condition),
    }
}
