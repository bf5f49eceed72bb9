//! `extenders`: the one part of a Policy that kube-scheduler reads leniently and in any case.
//!
//! Source: `kube-scheduler/config/v1/types.go` of 1.22 (`LegacyExtender`, whose `httpTimeout` is nanoseconds).

use base64::{Engine, engine::general_purpose::STANDARD};

use super::reader::{Field, Object};
use crate::span;
use podberth_core::policy::{Extender, ManagedResource, TlsConfig, TlsFiles};

/// The keys of an extender.
pub(super) const KEYS: [&str; 12] = [
    "urlPrefix",
    "filterVerb",
    "preemptVerb",
    "prioritizeVerb",
    "weight",
    "bindVerb",
    "enableHTTPS",
    "tlsConfig",
    "httpTimeout",
    "nodeCacheCapable",
    "managedResources",
    "ignorable",
];

/// One extender of a Policy.
pub(super) fn legacy(field: &Field<'_>) -> Extender {
    let Some(object) = field.lenient_object() else { return Extender::default() };
    object.warn_of_other_keys(&KEYS);
    object.get("urlPrefix").warn_of_placeholder();
    extender(&object, Field::integer, Field::lenient_object)
}

impl Field<'_> {
    /// Warns of a text that is not a URL, such as an unfilled example.
    pub(super) fn warn_of_placeholder(&self) {
        let text = self.tree().and_then(|_| self.text()).unwrap_or_default();
        let host = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://")).unwrap_or(text);
        if text.contains(['<', '>', '{', '}', '$', ' ']) || host.is_empty() || host.starts_with('/') {
            self.warning(format!("{text:?} is no URL: the extender cannot be called"));
        }
    }
}

/// A duration as Go writes it, such as `1m30s`, in nanoseconds. Source: Go's `time.ParseDuration`.
pub(super) fn duration(field: &Field<'_>) -> Option<i64> {
    let text = field.text()?;
    let nanos = span::nanoseconds(text);
    if nanos.is_none() {
        field.fault(format!("time: invalid duration {text:?}"));
    }
    nanos
}

/// An extender, given how its timeout and the objects in it are read.
pub(super) fn extender<'t>(
    object: &Object<'t>,
    timeout: impl Fn(&Field<'t>) -> Option<i64>,
    open: impl Fn(&Field<'t>) -> Option<Object<'t>>,
) -> Extender {
    let text = |key: &str| object.get(key).text().unwrap_or_default().to_owned();
    let yes = |key: &str| object.get(key).boolean().unwrap_or_default();
    // A field of the wrong type is reported already; its replacement must not be a second fault.
    let weight = object.get("weight");
    Extender {
        url_prefix: text("urlPrefix"),
        filter_verb: text("filterVerb"),
        preempt_verb: text("preemptVerb"),
        prioritize_verb: text("prioritizeVerb"),
        weight: weight.integer().unwrap_or(i64::from(weight.is_present())),
        bind_verb: text("bindVerb"),
        enable_https: yes("enableHttps") || yes("enableHTTPS"),
        tls: open(&object.get("tlsConfig")).map(|tls| tls_config(&tls)),
        http_timeout_nanos: timeout(&object.get("httpTimeout")).unwrap_or_default(),
        node_cache_capable: yes("nodeCacheCapable"),
        managed_resources: object
            .get("managedResources")
            .list()
            .unwrap_or_default()
            .iter()
            .filter_map(&open)
            .map(|resource| ManagedResource {
                name: resource.get("name").name(),
                ignored_by_scheduler: resource.get("ignoredByScheduler").boolean().unwrap_or_default(),
            })
            .collect(),
        ignorable: yes("ignorable"),
    }
}

fn tls_config(object: &Object<'_>) -> TlsConfig {
    let text = |key: &str| object.get(key).text().unwrap_or_default().to_owned();
    TlsConfig {
        insecure: object.get("insecure").boolean().unwrap_or_default(),
        server_name: text("serverName"),
        files: TlsFiles { cert: text("certFile"), key: text("keyFile"), ca: text("caFile") },
        cert_data: bytes(&object.get("certData")),
        key_data: bytes(&object.get("keyData")),
        ca_data: bytes(&object.get("caData")),
    }
}

/// Bytes, written as base64. Go passes over line ends in it.
fn bytes(field: &Field<'_>) -> Vec<u8> {
    let text: String = field.text().unwrap_or_default().chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    STANDARD.decode(text).unwrap_or_else(|error| {
        field.fault(format!("illegal base64 data: {error}"));
        Vec::new()
    })
}

#[cfg(test)]
mod tests {
    use crate::span::nanoseconds;

    #[test]
    fn durations_as_go_writes_them() {
        for (text, nanos) in [("5s", 5_000_000_000), ("1m30s", 90_000_000_000), ("1.5h", 5_400_000_000_000), ("0", 0)] {
            assert_eq!(nanoseconds(text), Some(nanos), "{text}");
        }
        assert_eq!(nanoseconds("-100ms"), Some(-100_000_000));
        for bad in ["", "5", "s", "5 s", ".s", "1x", "1s2", "9999999999999h", "١s"] {
            assert_eq!(nanoseconds(bad), None, "{bad:?}");
        }
    }
}
