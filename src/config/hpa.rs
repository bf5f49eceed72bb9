//! Settings of the loop over HorizontalPodAutoscalers.

use std::{path::PathBuf, time::Duration};

use clap::{ArgAction, Args, builder::BoolishValueParser};

use super::values::duration;

/// The settings of the loop over HorizontalPodAutoscalers.
#[derive(Clone, Debug, Args)]
pub struct HpaSettings {
    /// Scale the targets of stored HorizontalPodAutoscalers by their metrics. Of several processes on a database one does it
    #[arg(long, value_name = "BOOL", action = ArgAction::Set, num_args = 0..=1, require_equals = true,
          default_value = "false", default_missing_value = "true", value_parser = BoolishValueParser::new())]
    pub hpa: bool,

    /// Clusters whose HorizontalPodAutoscalers the loop looks after, separated by commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_value = "default")]
    pub hpa_clusters: Vec<String>,

    /// Time between two turns of the loop
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = duration)]
    pub hpa_interval: Duration,

    /// The distance of a metric from its target, of 1, at which nothing changes
    #[arg(long, value_name = "SHARE", default_value = "0.1", value_parser = tolerance)]
    pub hpa_tolerance: f64,

    /// Time for which the highest number of replicas counts, for autoscalers that do not say otherwise
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    pub hpa_downscale_stabilization: Duration,

    /// Time after its start in which the CPU of a pod that is not ready does not count
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    pub hpa_cpu_initialization_period: Duration,

    /// Time after its start in which a pod that becomes unready counts as never ready
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub hpa_initial_readiness_delay: Duration,

    /// URL of a Prometheus that is asked for metrics, besides those that clients send
    #[arg(long, value_name = "URL", requires = "prometheus_queries")]
    pub prometheus_url: Option<String>,

    /// File with the queries of --prometheus-url, in JSON or YAML: a list of {metric, type, query}; see docs/autoscale-hpa.md
    #[arg(long, value_name = "FILE", requires = "prometheus_url")]
    pub prometheus_queries: Option<PathBuf>,

    /// File with the authorities in PEM by which --prometheus-url is known; those of the public internet where it is not given
    #[arg(long, value_name = "FILE", requires = "prometheus_url")]
    pub prometheus_ca_file: Option<PathBuf>,
}

/// A distance from 1.
fn tolerance(text: &str) -> Result<f64, String> {
    let tolerance: f64 = text.parse().map_err(|_| "expected a number that is not negative")?;
    let is_good = tolerance.is_finite() && tolerance >= 0.0;
    if is_good { Ok(tolerance) } else { Err("expected a number that is not negative".into()) }
}
