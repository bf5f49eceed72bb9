//! Options of a deletion, in its body or its query.
//!
//! Source: `apimachinery/pkg/apis/meta/v1/validation/validation.go` (`ValidateDeleteOptions`).

use serde::Deserialize;

use crate::{
    api::queries::{is_set, number},
    service::{
        error::{Error, Result},
        objects::{Deletion, Preconditions},
    },
    wire::{
        decode,
        deletion::{Options, Propagation},
        fault::{Cause, Faults, Path},
        kinds,
    },
};

/// Groups besides those of the stored kinds whose versions know the options.
const FURTHER_VERSIONS: [&str; 4] = ["v1", "meta.k8s.io/v1", "policy/v1", "policy/v1beta1"];

/// The query of a deletion: the options, which count where there is no body.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct DeleteQuery {
    dry_run: Option<String>,
    grace_period_seconds: Option<String>,
    orphan_dependents: Option<String>,
    propagation_policy: Option<String>,
    uid: Option<String>,
}

/// Options of a deletion (`meta/v1` DeleteOptions).
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct DeleteOptions {
    kind: String,
    api_version: String,
    grace_period_seconds: Option<i64>,
    preconditions: Option<Preconditions>,
    orphan_dependents: Option<bool>,
    propagation_policy: Option<String>,
    dry_run: Option<Vec<String>>,
}

impl DeleteOptions {
    /// Reads the options from the body, or else from the query.
    pub(super) fn parse(body: &[u8], query: &DeleteQuery) -> Result<Self> {
        if body.trim_ascii().is_empty() { Self::of_query(query) } else { Self::of_body(body) }
    }

    fn of_body(body: &[u8]) -> Result<Self> {
        let options: Self = decode::from_slice(body)?;
        let (kind, version) = (&*options.kind, &*options.api_version);
        let is_version =
            || FURTHER_VERSIONS.contains(&version) || kinds::shared().any(|row| row.api_version() == version);
        if !matches!(kind, "" | "DeleteOptions") || !(version.is_empty() || is_version()) {
            return Err(Error::BadRequest(format!(
                "no kind {kind:?} is registered for version {version:?}: this path takes DeleteOptions of \"meta.k8s.io/v1\""
            )));
        }
        Ok(options)
    }

    fn of_query(query: &DeleteQuery) -> Result<Self> {
        Ok(Self {
            grace_period_seconds: query.grace_period_seconds.as_deref().map(number).transpose()?,
            preconditions: query.uid.clone().map(|uid| Preconditions { uid: Some(uid), resource_version: None }),
            orphan_dependents: query.orphan_dependents.as_deref().map(is_set),
            propagation_policy: query.propagation_policy.clone(),
            ..Self::default()
        })
    }

    /// `true` if they ask in the older form for dependents to go.
    pub(super) fn is_cascading(&self) -> bool {
        self.orphan_dependents == Some(false)
    }

    /// The deletion that they ask for. `dryRun` of the query counts as well where there is a body: nobody who writes it wants to lose the object.
    ///
    /// # Errors
    /// [`Error::Invalid`] with all faults.
    pub(super) fn deletion(self, query: &DeleteQuery) -> Result<Deletion> {
        let mut faults = Faults::default();
        let at = Path::ROOT.child("propagationPolicy");
        let policy = self.propagation_policy.as_deref();
        if let Some(policy) = policy.filter(|_| self.orphan_dependents.is_some()) {
            faults.invalid(&at, policy, "orphanDependents and deletionPropagation cannot be both set");
        }
        let propagation_policy = policy.and_then(Propagation::named);
        if let Some(policy) = policy.filter(|_| propagation_policy.is_none()) {
            faults.not_supported(&at, policy, &Propagation::NAMES);
        }
        let mut causes = faults.into_causes();
        let values: Vec<String> = self.dry_run.into_iter().flatten().chain(query.dry_run.clone()).collect();
        causes.extend(not_dry_run(&values));
        if !causes.is_empty() {
            return Err(Error::invalid_options("DeleteOptions", causes));
        }
        let options = Options {
            grace_period_seconds: self.grace_period_seconds,
            propagation_policy,
            orphan_dependents: self.orphan_dependents,
        };
        let preconditions = self.preconditions.unwrap_or_default();
        Ok(Deletion { options, preconditions, dry_run: !values.is_empty() })
    }
}

/// The fault of a `dryRun` that is not `All`.
///
/// Source: `apimachinery/pkg/apis/meta/v1/validation/validation.go` (`ValidateDryRun`).
pub(super) fn not_dry_run(values: &[String]) -> Option<Cause> {
    let listed = values.iter().map(|value| format!("{value:?}")).collect::<Vec<_>>().join(",");
    values.iter().any(|value| value != "All").then(|| Cause {
        field: "dryRun".into(),
        reason: "FieldValueNotSupported".into(),
        message: format!("Unsupported value: [{listed}]: supported values: \"All\""),
        unreadable: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str, query: &DeleteQuery) -> Result<Deletion> {
        DeleteOptions::parse(body.as_bytes(), query)?.deletion(query)
    }

    #[test]
    fn options_come_from_the_body_or_else_from_the_query() {
        let query = DeleteQuery {
            grace_period_seconds: Some("7".into()),
            propagation_policy: Some("Orphan".into()),
            ..DeleteQuery::default()
        };
        let deletion = read("", &query).expect("options");
        assert_eq!(deletion.options.grace_period_seconds, Some(7));
        assert_eq!(deletion.options.propagation_policy, Some(Propagation::Orphan));
        let deletion = read(r#"{"gracePeriodSeconds": 0}"#, &query).expect("options");
        assert_eq!(deletion.options, Options::at_once());
    }

    #[test]
    fn options_of_any_group_are_taken_and_other_kinds_refused() {
        for body in [
            r#"{"kind": "DeleteOptions", "apiVersion": "v1"}"#,
            r#"{"kind": "DeleteOptions", "apiVersion": "policy/v1"}"#,
            r#"{"kind": "DeleteOptions", "apiVersion": "apps/v1"}"#,
        ] {
            assert!(read(body, &DeleteQuery::default()).is_ok(), "{body}");
        }
        for body in ["{", "[]", r#"{"kind": "Pod", "apiVersion": "v1"}"#, r#"{"gracePeriodSeconds": "soon"}"#] {
            assert!(matches!(read(body, &DeleteQuery::default()), Err(Error::BadRequest(_))), "{body}");
        }
    }

    #[test]
    fn contradictions_are_invalid_options() {
        let cases = [
            (r#"{"propagationPolicy": "Sideways"}"#, "propagationPolicy"),
            (r#"{"propagationPolicy": ""}"#, "propagationPolicy"),
            (r#"{"propagationPolicy": "Orphan", "orphanDependents": true}"#, "propagationPolicy"),
            (r#"{"dryRun": ["Some"]}"#, "dryRun"),
        ];
        for (body, field) in cases {
            let Err(Error::Invalid { subject, causes }) = read(body, &DeleteQuery::default()) else { panic!("{body}") };
            assert_eq!((&*subject.resource, &*causes[0].field), ("DeleteOptions", field), "{body}");
        }
    }

    #[test]
    fn a_dry_run_in_the_query_counts_beside_a_body() {
        let query = DeleteQuery { dry_run: Some("All".into()), ..DeleteQuery::default() };
        assert!(read(r#"{"gracePeriodSeconds": 0}"#, &query).expect("options").dry_run);
    }
}
