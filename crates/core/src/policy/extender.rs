//! Extenders that a Policy or a configuration names.
//!
//! Source: `pkg/scheduler/apis/config/types.go` (`Extender`), `validation/validation.go` (`validateExtenders`) and
//! `pkg/scheduler/extender.go` (`makeTransport`).

use std::collections::BTreeSet;

use crate::{fault::Fault, model::Name, qualified};

/// Default timeout of an extender, in nanoseconds.
pub const DEFAULT_TIMEOUT_NANOS: i64 = 5_000_000_000;

/// Another process that filters and scores nodes over HTTP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extender {
    /// Where it answers, without a verb.
    pub url_prefix: String,
    /// The verb that filters; empty for none.
    pub filter_verb: String,
    /// The verb that judges preemption; empty for none.
    pub preempt_verb: String,
    /// The verb that scores; empty for none.
    pub prioritize_verb: String,
    /// The factor of its scores.
    pub weight: i64,
    /// The verb that binds; empty for none.
    pub bind_verb: String,
    /// `true` if it is called over TLS.
    pub enable_https: bool,
    /// How, if so.
    pub tls: Option<TlsConfig>,
    /// Timeout in nanoseconds; 0 stands for [`DEFAULT_TIMEOUT_NANOS`].
    pub http_timeout_nanos: i64,
    /// `true` if it knows the nodes and needs only their names.
    pub node_cache_capable: bool,
    /// The resources it looks after; with any, only pods that ask for one of them are sent to it.
    pub managed_resources: Vec<ManagedResource>,
    /// `true` if pods are scheduled without it when it does not answer.
    pub ignorable: bool,
}

/// A resource that an extender looks after.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ManagedResource {
    /// The resource.
    pub name: Name,
    /// `true` if `PodFitsResources` ignores it.
    pub ignored_by_scheduler: bool,
}

/// How an extender is spoken to over TLS.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct TlsConfig {
    /// `true` if any certificate is accepted.
    pub insecure: bool,
    /// The name that its certificate must have; empty for the host of the URL.
    pub server_name: String,
    /// Files in place of the `data` fields.
    pub files: TlsFiles,
    /// The client certificate, PEM.
    pub cert_data: Vec<u8>,
    /// The client's private key, PEM.
    pub key_data: Vec<u8>,
    /// The certificates trusted, PEM.
    pub ca_data: Vec<u8>,
}

/// Paths of PEM files; empty for none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// `certFile`.
    pub cert: String,
    /// `keyFile`.
    pub key: String,
    /// `caFile`.
    pub ca: String,
}

impl std::fmt::Debug for TlsConfig {
    /// Without the private key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsConfig")
            .field("insecure", &self.insecure)
            .field("server_name", &self.server_name)
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

/// All faults of a list of extenders at `field`.
pub(super) fn validate(field: &str, extenders: &[Extender], faults: &mut Vec<Fault>) {
    let mut managed = BTreeSet::new();
    for (i, extender) in extenders.iter().enumerate() {
        let at = format!("{field}[{i}]");
        if !extender.prioritize_verb.is_empty() && extender.weight <= 0 {
            faults.push(Fault::invalid(
                format!("{at}.weight"),
                extender.weight,
                "must have a positive weight applied to it",
            ));
        }
        for (j, resource) in extender.managed_resources.iter().enumerate() {
            let at = format!("{at}.managedResources[{j}].name");
            qualified::extended_resource(&at, &resource.name, faults);
            if !managed.insert(&resource.name) {
                faults.push(Fault::invalid_text(&at, &resource.name, "duplicate extender managed resource name"));
            }
        }
        if let Some(tls) = &extender.tls {
            tls.validate(&format!("{at}.tlsConfig"), faults);
        }
    }
    let binders = extenders.iter().filter(|e| !e.bind_verb.is_empty()).count();
    if binders > 1 {
        let found = format!("found {binders} extenders implementing bind");
        faults.push(Fault::invalid_text(field, &found, "only one extender can implement bind"));
    }
}

/// The extenders in the order of calls: the ignorable ones after the others.
pub(super) fn in_order_of_use(extenders: &[Extender]) -> Vec<Extender> {
    let mut ordered = extenders.to_vec();
    ordered.sort_by_key(|extender| extender.ignorable);
    ordered
}

/// The resources that extenders look after alone.
pub(super) fn ignored_resources(extenders: &[Extender]) -> Vec<Name> {
    extenders
        .iter()
        .flat_map(|e| &e.managed_resources)
        .filter(|r| r.ignored_by_scheduler)
        .map(|r| r.name.clone())
        .collect()
}

impl TlsConfig {
    /// Reports the faults that `TLSConfigFor` in `client-go/transport/transport.go` refuses. Files are never opened: a policy comes over
    /// the network and must not reach into the server's file system.
    fn validate(&self, field: &str, faults: &mut Vec<Fault>) {
        let has_ca = !self.ca_data.is_empty() || !self.files.ca.is_empty();
        if has_ca && self.insecure {
            faults.push(Fault::new(
                format!("{field}.insecure"),
                "specifying a root certificates file with the insecure flag is not allowed",
            ));
        }
        let files = [
            ("certFile", &self.files.cert, "certData"),
            ("keyFile", &self.files.key, "keyData"),
            ("caFile", &self.files.ca, "caData"),
        ];
        for (name, path, instead) in files.into_iter().filter(|(_, path, _)| !path.is_empty()) {
            faults.push(Fault::new(
                format!("{field}.{name}"),
                format!("open {path}: files named in a policy are never opened; put what it holds into {instead}"),
            ));
        }
        if !self.ca_data.is_empty() && !has_pem(&self.ca_data, "CERTIFICATE") {
            faults.push(Fault::new(
                format!("{field}.caData"),
                "unable to load root certificates: unable to parse bytes as PEM block",
            ));
        }
        if !self.cert_data.is_empty() && !self.key_data.is_empty() {
            if !has_pem(&self.cert_data, "CERTIFICATE") {
                let why = "tls: failed to find any PEM data in certificate input";
                faults.push(Fault::new(format!("{field}.certData"), why));
            }
            if !has_pem(&self.key_data, "PRIVATE KEY") {
                let why = "tls: failed to find any PEM data in key input";
                faults.push(Fault::new(format!("{field}.keyData"), why));
            }
        }
    }
}

/// `true` if the bytes hold a PEM block whose type ends in `kind`. The content of the block is left to the TLS client.
fn has_pem(bytes: &[u8], kind: &str) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let end = format!("{kind}-----");
    text.lines().any(|line| line.starts_with("-----BEGIN ") && line.trim_end().ends_with(&end))
        && text.lines().any(|line| line.starts_with("-----END ") && line.trim_end().ends_with(&end))
}
