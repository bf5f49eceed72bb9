//! Settings of replicas that share clusters.

use clap::{ArgAction, Args, builder::BoolishValueParser};
use hyper::{Uri, http::uri::Authority};

/// The settings of replicas that share clusters.
#[derive(Clone, Debug, Args)]
pub struct ReplicaSettings {
    /// Share the clusters with the other processes on this database that do so: each cluster has two owners, which keep it in memory, and the others
    /// pass requests for it on to them. It needs PostgreSQL
    #[arg(long, value_name = "BOOL", action = ArgAction::Set, num_args = 0..=1, require_equals = true,
          default_value = "false", default_missing_value = "true", value_parser = BoolishValueParser::new())]
    pub share_clusters: bool,

    /// Own clusters among those that share them; without it this process passes requests on and keeps no cluster in memory
    #[arg(long, value_name = "BOOL", action = ArgAction::Set, num_args = 0..=1, require_equals = true,
          default_value = "true", default_missing_value = "true", value_parser = BoolishValueParser::new())]
    pub own_clusters: bool,

    /// Address at which other replicas reach this one, over TLS with certificates that the replicas make for themselves; clients are refused there.
    /// It is needed to own shared clusters
    #[arg(long, value_name = "HOST:PORT")]
    pub replica_listen: Option<String>,

    /// URL of that address as other replicas can reach it, as https://10.0.0.5:7443; needed where --replica-listen is not such an address, but
    /// 0.0.0.0 or behind another one. A replica that starts again with the same URL owns the same clusters
    #[arg(long, value_name = "URL", value_parser = advertised)]
    pub advertise_url: Option<String>,
}

/// The URL of a replica: https, a host, and nothing behind the port.
fn advertised(text: &str) -> Result<String, String> {
    let wrong = || "expected a URL such as https://10.0.0.5:7443".to_owned();
    let uri: Uri = text.parse().map_err(|_| wrong())?;
    let authority = uri.authority().map_or("", Authority::as_str);
    let is_bare = uri.path().len() <= 1 && uri.query().is_none() && !authority.contains('@') && !authority.is_empty();
    if uri.scheme_str() == Some("https") && is_bare { Ok(format!("https://{authority}")) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_is_reached_over_tls_at_a_host() {
        for (text, url) in [
            ("https://10.0.0.5:7443", Some("https://10.0.0.5:7443")),
            ("https://podberth-0.podberth:7443/", Some("https://podberth-0.podberth:7443")),
            ("https://[fd00::1]:7443", Some("https://[fd00::1]:7443")),
            ("http://10.0.0.5:7443", None),
            ("https://10.0.0.5/path", None),
            ("https://10.0.0.5?a", None),
            ("https://user@10.0.0.5", None),
            ("10.0.0.5:7443", None),
            ("", None),
        ] {
            assert_eq!(advertised(text).ok().as_deref(), url, "{text}");
        }
    }
}
