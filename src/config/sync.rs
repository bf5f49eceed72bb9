//! Settings of the live clusters that clusters mirror.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use clap::{ArgAction, Args, ValueEnum, builder::BoolishValueParser};

use super::{ClusterNames, duration, values::is_label};
use crate::{
    live::DEFAULT_CLUSTER,
    wire::source::{self, BindMode, ClusterSource},
};

/// The settings of live clusters.
#[derive(Clone, Debug, Args)]
pub struct SyncSettings {
    /// Kubeconfig of a live cluster that the cluster of --as-cluster mirrors: nodes, pods and all else that decisions read are watched there.
    /// Further ones go into the list `clusters` of the file of settings. The source is stored; unsetting this does not end the mirror
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// Context of this file; its current one if absent
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,

    /// Mirror the cluster in which this process runs as a pod, by the pod's service account
    #[arg(long, value_name = "BOOL", action = ArgAction::Set, num_args = 0..=1, require_equals = true,
          default_value = "false", default_missing_value = "true", value_parser = BoolishValueParser::new())]
    pub in_cluster: bool,

    /// Cluster that mirrors the one of --kubeconfig or --in-cluster
    #[arg(long, value_name = "NAME", default_value = DEFAULT_CLUSTER)]
    pub as_cluster: String,

    /// Way of binds in that cluster: record, they are noted here, and whoever asked for one carries it out (kube-scheduler does);
    /// apiserver, Podberth carries them out through the API server. record unless it is set
    #[arg(long, value_name = "MODE", value_enum)]
    pub sync_bind: Option<SyncBind>,

    /// Parts of its objects that are kept: scheduling, those that decisions and people who ask why may need; full, all. scheduling unless it
    /// is set
    #[arg(long, value_name = "PARTS", value_enum)]
    pub sync_trim: Option<SyncTrim>,

    /// Lease in that cluster, namespace/name, that shows who schedules there and keeps a second Podberth on another database out
    #[arg(long, value_name = "NAMESPACE/NAME")]
    pub sync_lease: Option<String>,

    /// Run the programs that kubeconfig files name for credentials (users[].user.exec)
    #[arg(long, value_name = "BOOL", action = ArgAction::Set, num_args = 0..=1, require_equals = true,
          default_value = "false", default_missing_value = "true", value_parser = BoolishValueParser::new())]
    pub allow_exec_credentials: bool,

    /// Lag of a mirror behind its live cluster beyond which nothing is decided on it: binds, /schedule and the extender verbs are answered 503,
    /// reads have a warning. At least 90s, since an API server tells of a quiet cluster once a minute. No limit unless it is set
    #[arg(long, value_name = "DURATION", value_parser = lag)]
    pub max_sync_lag: Option<Duration>,

    /// Mirrored cluster whose API server is asked about bearer tokens that no other way knows (TokenReview), where clients must be known. Its
    /// answers hold for two minutes
    #[arg(long, value_name = "NAME")]
    pub authentication_token_webhook_cluster: Option<String>,
}

/// The way in which binds become facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "lowercase")]
pub enum SyncBind {
    /// They are noted here.
    Record,
    /// Through the API server.
    ApiServer,
}

/// The parts of objects that are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "lowercase")]
pub enum SyncTrim {
    /// Those that decisions and people who ask why may need.
    Scheduling,
    /// All.
    Full,
}

/// Shortest limit of the lag: an API server sends a bookmark each minute (`apiserver/pkg/storage/cacher/cacher.go`,
/// `defaultBookmarkFrequency`), and nothing else in a quiet cluster.
const SHORTEST_LAG: Duration = Duration::from_secs(90);

fn lag(text: &str) -> Result<Duration, String> {
    let lag = duration(text)?;
    if lag >= SHORTEST_LAG {
        return Ok(lag);
    }
    Err("it must be at least 90s: an API server tells of a quiet cluster once a minute".into())
}

impl SyncSettings {
    /// The live clusters that are set, by the clusters that mirror them: that of the options, and those of the list `clusters`.
    ///
    /// # Errors
    /// The setting that contradicts another one, is missing or cannot be used, in one line.
    pub fn sources(&self, clusters: Option<&ClusterNames>) -> Result<BTreeMap<String, ClusterSource>, String> {
        let mut sources = clusters.map(|clusters| clusters.sources.clone()).unwrap_or_default();
        if let Some(source) = self.source()? {
            if sources.contains_key(&self.as_cluster) {
                return Err(format!(
                    "the cluster {:?} has a source in clusters, and one by --kubeconfig or --in-cluster: leave one out",
                    self.as_cluster
                ));
            }
            sources.insert(self.as_cluster.clone(), source);
        }
        if let Some(name) = sources.keys().find(|name| !is_label(name)) {
            return Err(format!(
                "--as-cluster {name}: no cluster's name: lower case letters, digits and '-', 63 at most"
            ));
        }
        for source in sources.values() {
            if let Some(file) = &source.kubeconfig_file {
                std::fs::File::open(file).map_err(|error| format!("the kubeconfig {file}: {error}"))?;
            }
        }
        Ok(sources)
    }

    /// The live cluster of the options.
    fn source(&self) -> Result<Option<ClusterSource>, String> {
        if self.kubeconfig.is_none() && !self.in_cluster {
            let alone = [
                ("--context", self.context.is_some()),
                ("--sync-bind", self.sync_bind.is_some()),
                ("--sync-trim", self.sync_trim.is_some()),
                ("--sync-lease", self.sync_lease.is_some()),
                ("--as-cluster", self.as_cluster != DEFAULT_CLUSTER),
            ];
            return match alone.into_iter().find(|(_, is_set)| *is_set) {
                Some((name, _)) => {
                    Err(format!("{name} is about the cluster of --kubeconfig or --in-cluster: set one of these too"))
                }
                None => Ok(None),
            };
        }
        if self.kubeconfig.is_some() && self.in_cluster {
            return Err("--kubeconfig and --in-cluster contradict each other: leave one out".into());
        }
        let file = self.kubeconfig.as_ref().map(|file| {
            let whole =
                std::path::absolute(file).map_err(|error| format!("--kubeconfig {}: {error}", file.display()))?;
            whole.into_os_string().into_string().map_err(|file| format!("--kubeconfig {}: no UTF-8", file.display()))
        });
        let source = ClusterSource {
            kubeconfig_file: file.transpose()?,
            context: self.context.clone(),
            in_cluster: self.in_cluster,
            trim: match self.sync_trim {
                Some(SyncTrim::Full) => source::Trim::Full,
                Some(SyncTrim::Scheduling) | None => source::Trim::Scheduling,
            },
            bind: match self.sync_bind {
                Some(SyncBind::ApiServer) => BindMode::ApiServer,
                Some(SyncBind::Record) | None => BindMode::Record,
            },
            lease: self.sync_lease.clone(),
            ..ClusterSource::default()
        };
        let option = |field: &str| match field {
            "kubeconfigFile" => "--kubeconfig".to_owned(),
            "context" => "--context".to_owned(),
            "lease" => "--sync-lease".to_owned(),
            other => other.to_owned(),
        };
        match source.faults().first() {
            Some(fault) => Err(format!("{}: {}", option(&fault.field), fault.message)),
            None => Ok(Some(source)),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::{Command, FromArgMatches};

    use super::*;

    fn sources(words: &[&str]) -> Result<BTreeMap<String, ClusterSource>, String> {
        let command = SyncSettings::augment_args(Command::new("serve"));
        let matches = command.try_get_matches_from(std::iter::once(&"serve").chain(words)).expect("settings");
        SyncSettings::from_arg_matches(&matches).expect("settings").sources(None)
    }

    #[test]
    fn lags_are_longer_than_the_silence_of_a_quiet_cluster() {
        assert_eq!(lag("90s"), Ok(SHORTEST_LAG));
        assert!(lag("1m").is_err_and(|why| why.contains("at least 90s")) && lag("soon").is_err());
    }

    #[test]
    fn options_name_one_live_cluster_or_none() {
        assert_eq!(sources(&[]), Ok(BTreeMap::new()));
        let within = sources(&["--in-cluster", "--as-cluster=prod", "--sync-bind=apiserver", "--sync-lease=a/b"]);
        let within = within.expect("a source");
        assert_eq!(within.keys().collect::<Vec<_>>(), ["prod"]);
        assert!(within["prod"].in_cluster && within["prod"].bind == BindMode::ApiServer);
        for (words, told) in [
            (&["--context=c"][..], "--context is about"),
            (&["--sync-bind=record"], "--sync-bind is about"),
            (&["--as-cluster=prod"], "--as-cluster is about"),
            (&["--in-cluster", "--kubeconfig=/a"], "contradict"),
            (&["--in-cluster", "--context=c"], "--context: "),
            (&["--in-cluster", "--sync-lease=x"], "--sync-lease: "),
            (&["--kubeconfig=/no/such/file"], "/no/such/file: No such file"),
        ] {
            let why = sources(words).expect_err("a fault");
            assert!(why.contains(told), "{words:?}: {why}");
        }
    }
}
