//! Values of settings, read from text.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use hyper::{Uri, http::uri::Authority};
use serde::Deserialize;

use crate::{core::model::Quantity, features, wire::source::ClusterSource};

/// The URL of this server: http or https, with a host, and with no password or query.
pub(super) fn public_url(text: &str) -> Result<String, String> {
    let uri: Uri = text.parse().map_err(|_| "expected a URL such as https://podberth.example.com")?;
    let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
    let authority = uri.authority().map_or("", Authority::as_str);
    let is_whole = !(authority.is_empty() || authority.contains('@')) && uri.query().is_none();
    if !(is_http && is_whole) {
        return Err("expected a URL such as https://podberth.example.com".into());
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// The URL of a collector: http or https, with a host, and with no password or query.
pub(super) fn collector(text: &str) -> Result<Uri, String> {
    features::built_in("otlp")?;
    let uri: Uri = text.parse().map_err(|_| "expected a URL such as http://collector:4318")?;
    let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
    let authority = uri.authority().map_or("", Authority::as_str);
    let is_whole = !(authority.is_empty() || authority.contains('@')) && uri.query().is_none();
    if is_http && is_whole { Ok(uri) } else { Err("expected a URL such as http://collector:4318".into()) }
}

/// A number from 1 on.
pub(super) fn count(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|count| *count > 0).ok_or_else(|| "expected a number from 1 on".into())
}

/// A share of the whole.
pub(super) fn ratio(text: &str) -> Result<f64, String> {
    let ratio: f64 = text.parse().map_err(|_| "expected a number from 0 to 1")?;
    if (0.0..=1.0).contains(&ratio) { Ok(ratio) } else { Err("expected a number from 0 to 1".into()) }
}

/// The clusters of the settings.
#[derive(Clone, Debug, Default)]
pub struct ClusterNames {
    /// The names of those that may be created.
    names: BTreeSet<String>,
    /// The live clusters that some of them mirror.
    pub sources: BTreeMap<String, ClusterSource>,
}

impl ClusterNames {
    /// The clusters that may be created; `None` for all, if no name stands alone.
    pub fn allowed(&self) -> Option<BTreeSet<String>> {
        let all = || self.names.iter().chain(self.sources.keys()).cloned().collect();
        (!self.names.is_empty()).then(all)
    }
}

/// An entry of the list in a file.
#[derive(Deserialize)]
#[serde(untagged)]
enum Entry {
    Name(String),
    Mirror(serde_json::Value),
}

/// A cluster with its source.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mirror {
    name: String,
    source: ClusterSource,
}

/// A list of names of clusters, each a DNS label; in JSON also of clusters with their sources.
pub(super) fn cluster_names(text: &str) -> Result<ClusterNames, String> {
    let mut clusters = ClusterNames::default();
    let entries = if text.trim_start().starts_with('[') {
        serde_json::from_str(text).map_err(|error| error.to_string())?
    } else {
        text.split(',').map(|name| Entry::Name(name.trim().to_owned())).collect::<Vec<_>>()
    };
    for (index, entry) in entries.into_iter().enumerate() {
        let name = match entry {
            Entry::Name(name) => {
                clusters.names.insert(name.clone());
                name
            }
            Entry::Mirror(value) => {
                let at = |why: String| format!("clusters[{index}]: {why}");
                let Mirror { name, source } = serde_json::from_value(value)
                    .map_err(|error| at(format!("expected a name, or name and source: {error}")))?;
                if let Some(fault) = source.faults().first() {
                    return Err(at(format!("source.{}: {}", fault.field, fault.message)));
                }
                if clusters.sources.insert(name.clone(), source).is_some() {
                    return Err(at(format!("the cluster {name:?} has two sources")));
                }
                name
            }
        };
        if !is_label(&name) {
            return Err(format!("{name:?} is no cluster's name: lower case letters, digits and '-', 63 at most"));
        }
    }
    Ok(clusters)
}

/// `true` for the names that clusters can have.
pub(super) fn is_label(name: &str) -> bool {
    let is_part = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=63).contains(&name.len()) && name.bytes().all(is_part) && !name.starts_with('-') && !name.ends_with('-')
}

/// Parses a duration as Go and people write it: `500ms`, `30s`, `1m30s`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let signed: jiff::SignedDuration = text.parse().map_err(|_| "expected a duration such as 500ms, 30s or 1m30s")?;
    signed.try_into().map_err(|_| "a duration cannot be negative".into())
}

/// Parses a duration of at most an hour, for state kept in memory.
pub(super) fn up_to_an_hour(text: &str) -> Result<Duration, String> {
    let hour = Duration::from_hours(1);
    duration(text).and_then(|given| if given <= hour { Ok(given) } else { Err("it must be at most 1h".into()) })
}

/// Parses a number of bytes as a Kubernetes quantity: `1048576`, `256Mi`, `1G`.
pub(super) fn bytes(text: &str) -> Result<usize, String> {
    let quantity: Quantity = text.parse().map_err(|_| "expected bytes such as 1048576, 256Mi or 1G")?;
    usize::try_from(quantity.value()).map_err(|_| "a size cannot be negative".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_are_names_and_mirrors() {
        let of = |text: &str| cluster_names(text);
        let names = of("a, b-1").expect("names");
        assert_eq!(names.allowed(), Some(BTreeSet::from(["a".to_owned(), "b-1".to_owned()])));
        let mirror = r#"{"name": "prod", "source": {"inCluster": true}}"#;
        let alone = of(&format!("[{mirror}]")).expect("a mirror");
        assert_eq!((alone.allowed(), alone.sources.len()), (None, 1), "mirrors alone keep no other cluster out");
        let both = of(&format!("[\"a\", {mirror}]")).expect("both");
        assert_eq!(both.allowed(), Some(BTreeSet::from(["a".to_owned(), "prod".to_owned()])));
        for (wrong, told) in [
            ("A", "is no cluster's name"),
            ("[\"\"]", "is no cluster's name"),
            ("[", "EOF"),
            ("[{\"name\": \"prod\"}]", "missing field `source`"),
            ("[{\"name\": \"prod\", \"source\": {}}]", "clusters[0]: source.kubeconfigFile: Required value"),
            ("[{\"name\": \"prod\", \"source\": {\"incluster\": true}}]", "unknown field `incluster`"),
            ("[{\"name\": \"Prod\", \"source\": {\"inCluster\": true}}]", "is no cluster's name"),
        ] {
            let why = of(wrong).expect_err("a fault");
            assert!(why.contains(told), "{wrong}: {why}");
        }
        assert!(of(&format!("[{mirror}, {mirror}]")).is_err_and(|why| why.contains("two sources")));
    }
}
