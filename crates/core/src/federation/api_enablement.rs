//! # Rule
//! The cluster has to serve the kind of `resource`. A kind that is not listed (`status.apiEnablements`) is not served, also where the list is not known to be whole.
//! A cluster of which nobody told what it serves passes, and so do clusters of `previous`.
//!
//! # Source
//! `karmada/pkg/scheduler/framework/plugins/apienablement/api_enablement.go`.
//!
//! # Reason text
//! `the cluster does not serve … of …`

use super::{Judged, Registration, predicate};

/// The registry's line.
pub(super) const REGISTRATION: Registration = predicate("APIEnablement", include_str!("api_enablement.rs"), rejects);

fn rejects(judged: &Judged<'_>) -> Option<String> {
    let (api_version, kind) = judged.request.resource.as_ref()?;
    let serves = judged.was_chosen() || judged.cluster.apis.serve(api_version, kind);
    (!serves).then(|| format!("the cluster does not serve {kind} of {api_version}"))
}
