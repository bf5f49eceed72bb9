//! Rules for what people name as the source of a cluster.

use std::collections::BTreeSet;

use super::{BindMode, ClusterSource, mirrored};
use crate::fault::{Cause, Faults, Path};

/// Schedulers of a cluster at most.
const MOST_SCHEDULERS: usize = 64;

/// Bytes of a path or the name of a context at most.
const LONGEST: usize = 4_096;

impl ClusterSource {
    /// The faults of a source that people wrote, with the paths of their fields.
    pub fn faults(&self) -> Vec<Cause> {
        let mut faults = Faults::default();
        self.check_place(&mut faults);
        self.check_kinds(&mut faults);
        self.check_schedulers(&mut faults);
        if let Some(lease) = &self.lease {
            let is_named =
                lease.split_once('/').is_some_and(|(namespace, name)| is_label(namespace) && is_subdomain(name));
            if !is_named {
                faults.invalid(&Path::ROOT.child("lease"), lease, "must be namespace/name of a Lease");
            }
        }
        faults.into_causes()
    }

    fn check_place(&self, faults: &mut Faults) {
        let at = Path::ROOT.child("kubeconfigFile");
        match &self.kubeconfig_file {
            Some(_) if self.in_cluster => {
                faults.forbidden(&Path::ROOT.child("inCluster"), "may not be set together with kubeconfigFile");
            }
            Some(file) if file.len() > LONGEST => faults.too_long(&at, LONGEST),
            Some(file) if !is_plain_path(file) => {
                faults.invalid(
                    &at,
                    file,
                    "must be an absolute path without empty parts, \".\", \"..\" and control characters",
                );
            }
            None if !self.in_cluster => faults.required(&at, "or set inCluster"),
            _ => {}
        }
        if let Some(context) = &self.context {
            let at = Path::ROOT.child("context");
            if self.kubeconfig_file.is_none() {
                faults.forbidden(&at, "a context is one of kubeconfigFile");
            } else if context.is_empty() {
                faults.invalid(&at, context, "must not be empty: leave it out for the current context of the file");
            } else if context.contains(char::is_control) {
                faults.invalid(&at, context, "must have no control characters");
            } else if context.len() > LONGEST {
                faults.too_long(&at, LONGEST);
            }
        }
    }

    fn check_kinds(&self, faults: &mut Faults) {
        let Some(kinds) = &self.kinds else { return };
        let at = Path::ROOT.child("kinds");
        let known: Vec<String> = mirrored().map(super::kind_name).collect();
        if kinds.is_empty() {
            faults.required(&at, "leave it out for all kinds");
        }
        if kinds.len() > known.len() {
            let most = known.len();
            return faults.too_many(&at, format!("Too many: {}: there are {most} kinds", kinds.len()));
        }
        let mut seen = BTreeSet::new();
        for (index, kind) in kinds.iter().enumerate() {
            let at = at.index(index);
            if !known.contains(kind) {
                let known: Vec<&str> = known.iter().map(String::as_str).collect();
                faults.not_supported(&at, kind, &known);
            } else if !seen.insert(kind) {
                faults.duplicate(&at, kind);
            }
        }
    }

    fn check_schedulers(&self, faults: &mut Faults) {
        let at = Path::ROOT.child("loop");
        if self.schedulers.len() > MOST_SCHEDULERS {
            let count = self.schedulers.len();
            return faults.too_many(&at, format!("Too many: {count}: must have at most {MOST_SCHEDULERS} items"));
        }
        let mut seen = BTreeSet::new();
        for (index, scheduler) in self.schedulers.iter().enumerate() {
            let at = at.index(index);
            if !is_subdomain(scheduler) {
                faults.invalid(
                    &at,
                    scheduler,
                    "must be a schedulerName: lower case letters, digits, '-' and '.', 253 at most",
                );
            } else if !seen.insert(scheduler) {
                faults.duplicate(&at, scheduler);
            }
        }
        if !self.schedulers.is_empty() && self.bind == BindMode::Record {
            faults.invalid(
                &Path::ROOT.child("bind"),
                "record",
                "must be \"apiserver\" where loop names schedulers: nobody else would carry out their binds",
            );
        }
    }
}

/// `true` for an absolute path that names one file in one way.
fn is_plain_path(path: &str) -> bool {
    let Some(rest) = path.strip_prefix('/') else { return false };
    !path.contains(char::is_control) && rest.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// `true` for a DNS label (`apimachinery/pkg/util/validation/validation.go`, `IsDNS1123Label`).
pub(crate) fn is_label(text: &str) -> bool {
    let is_part = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=63).contains(&text.len()) && text.bytes().all(is_part) && !text.starts_with('-') && !text.ends_with('-')
}

/// `true` for a DNS subdomain (`apimachinery/pkg/util/validation/validation.go`, `IsDNS1123Subdomain`).
fn is_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(json: &str) -> Vec<String> {
        let source: ClusterSource = serde_json::from_str(json).expect("a source");
        source.faults().into_iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect()
    }

    #[test]
    fn sources_name_one_cluster_in_one_way() {
        for well in [
            r#"{"inCluster": true}"#,
            r#"{"kubeconfigFile": "/etc/podberth/prod.kubeconfig", "context": "prod"}"#,
            r#"{"inCluster": true, "kinds": ["pods", "nodes", "replicasets.apps"], "trim": "full"}"#,
            r#"{"inCluster": true, "bind": "apiserver", "loop": ["mine", "a.b"], "lease": "kube-system/podberth"}"#,
        ] {
            assert_eq!(faults(well), Vec::<String>::new(), "{well}");
        }
        for (wrong, field) in [
            ("{}", "kubeconfigFile"),
            (r#"{"kubeconfigFile": "/a", "inCluster": true}"#, "inCluster"),
            (r#"{"kubeconfigFile": "a"}"#, "kubeconfigFile"),
            (r#"{"kubeconfigFile": "/a/../b"}"#, "kubeconfigFile"),
            (r#"{"kubeconfigFile": "/a//b"}"#, "kubeconfigFile"),
            (r#"{"kubeconfigFile": "/"}"#, "kubeconfigFile"),
            (r#"{"inCluster": true, "context": "c"}"#, "context"),
            (r#"{"kubeconfigFile": "/a", "context": ""}"#, "context"),
            (r#"{"inCluster": true, "kinds": []}"#, "kinds"),
            (r#"{"inCluster": true, "kinds": ["pods", "secrets"]}"#, "kinds[1]"),
            (r#"{"inCluster": true, "kinds": ["pods", "pods"]}"#, "kinds[1]"),
            (r#"{"inCluster": true, "loop": ["mine"]}"#, "bind"),
            (r#"{"inCluster": true, "bind": "apiserver", "loop": ["Mine"]}"#, "loop[0]"),
            (r#"{"inCluster": true, "bind": "apiserver", "loop": ["a", "a"]}"#, "loop[1]"),
            (r#"{"inCluster": true, "lease": "podberth"}"#, "lease"),
            (r#"{"inCluster": true, "lease": "a/b/c"}"#, "lease"),
        ] {
            let found = faults(wrong);
            assert!(found.len() == 1 && found[0].starts_with(&format!("{field}: ")), "{wrong}: {found:?}");
        }
    }

    #[test]
    fn every_fact_of_decisions_can_be_mirrored() {
        let names: Vec<String> = mirrored().map(crate::source::kind_name).collect();
        for kind in [
            "pods",
            "nodes",
            "namespaces",
            "replicasets.apps",
            "priorityclasses.scheduling.k8s.io",
            "csinodes.storage.k8s.io",
        ] {
            assert!(names.iter().any(|name| name == kind), "{kind} of {names:?}");
        }
        assert!(!names.iter().any(|name| matches!(name.as_str(), "secrets" | "configmaps" | "events")));
    }
}
