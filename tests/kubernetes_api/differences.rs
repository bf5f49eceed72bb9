//! Steps that do not agree with the recording, with their reasons. A step that agrees must not be here.

/// Steps of a scenario, by their places, that differ for one reason.
pub(crate) struct Known {
    pub(crate) scenario: &'static str,
    pub(crate) steps: &'static [&'static str],
    #[allow(dead_code, reason = "for readers")]
    pub(crate) why: &'static str,
}

pub(crate) const KNOWN: &[Known] = &[
    Known {
        scenario: "protobuf-protobuf-kubectl",
        steps: &["2"],
        why: "of a kind that no decision reads, defaults are not filled in: the template of a Deployment",
    },
    Known {
        scenario: "protobuf-protobuf-kubectl",
        steps: &["4"],
        why: "Services are not warned about: no decision reads their affinity",
    },
    Known {
        scenario: "table-pods",
        steps: &["34"],
        why: "defaults that decisions apply when they read a pod are not written into it",
    },
];
