//! Values of settings, read from text.

use std::{collections::BTreeSet, time::Duration};

use hyper::{Uri, http::uri::Authority};

use crate::{core::model::Quantity, features};

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

/// A set of cluster names.
#[derive(Clone, Debug)]
pub struct ClusterNames(pub BTreeSet<String>);

/// A list of names of clusters, each a DNS label.
pub(super) fn cluster_names(text: &str) -> Result<ClusterNames, String> {
    let names: BTreeSet<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
    let is_label = |name: &str| {
        let is_part = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        (1..=63).contains(&name.len()) && name.bytes().all(is_part) && !name.starts_with('-') && !name.ends_with('-')
    };
    match names.iter().find(|name| !is_label(name)) {
        None => Ok(ClusterNames(names)),
        Some(name) => Err(format!("{name:?} is no cluster's name: lower case letters, digits and '-', 63 at most")),
    }
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
