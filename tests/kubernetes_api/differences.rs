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
    Known { scenario: "protobuf-protobuf-rbac", steps: &["0", "1"], why: "access reviews come with access control" },
    Known { scenario: "table-errors", steps: &["9"], why: "PATCH is not served yet" },
    Known {
        scenario: "table-nodes",
        steps: &["2", "3", "5", "6"],
        why: "PATCH of a status, which prepares the rows, is not served yet",
    },
    Known {
        scenario: "table-pods",
        steps: &["18", "19", "20", "21", "22", "23", "24", "25", "26", "27", "28", "29", "30"],
        why: "PATCH of a status is not served yet",
    },
    Known {
        scenario: "table-pods",
        steps: &["31", "32", "33", "34", "36"],
        why: "the rows are prepared by PATCH of a status",
    },
];
