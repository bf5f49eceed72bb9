//! The loop over HorizontalPodAutoscalers of this process: `--hpa`.

use std::{fs, path::Path, time::Duration};

use uuid::Uuid;

use super::Error;
use crate::{
    config::HpaSettings,
    core::advise::hpa::Options,
    fetch::Fetcher,
    service::{
        Service,
        autoscale::hpa::{self, prometheus::Prometheus},
        lead::Leads,
    },
    wire::yaml,
};

/// The loop over HorizontalPodAutoscalers.
pub(super) fn start(settings: &HpaSettings, service: &Service, holder: Uuid) -> Result<Leads, Error> {
    let seconds = |duration: Duration| i32::try_from(duration.as_secs()).unwrap_or(i32::MAX);
    let options = Options {
        tolerance: settings.hpa_tolerance,
        downscale_window_seconds: seconds(settings.hpa_downscale_stabilization),
        cpu_initialization_seconds: seconds(settings.hpa_cpu_initialization_period),
        readiness_delay_seconds: seconds(settings.hpa_initial_readiness_delay),
    };
    let clusters = settings.hpa_clusters.iter().map(|name| name.as_str().into()).collect();
    let settings = hpa::Settings { interval: settings.hpa_interval, options, prometheus: prometheus(settings)? };
    Ok(hpa::start(service, holder, clusters, settings))
}

/// The Prometheus that is asked for metrics.
fn prometheus(settings: &HpaSettings) -> Result<Option<Prometheus>, Error> {
    let (Some(url), Some(file)) = (&settings.prometheus_url, &settings.prometheus_queries) else { return Ok(None) };
    let wrong = |file: &Path, why: &dyn std::fmt::Display| Error::Autoscale(format!("{}: {why}", file.display()));
    let read = |file: &Path| fs::read_to_string(file).map_err(|error| wrong(file, &error));
    let text = read(file)?;
    let json = yaml::to_json(text.as_bytes(), true).map_err(|error| wrong(file, &error))?;
    let queries = serde_json::from_slice(&json).map_err(|error| wrong(file, &error))?;
    let authorities = settings.prometheus_ca_file.as_deref().map(read).transpose()?.unwrap_or_default();
    let fetcher =
        Fetcher::with_http(&authorities).map_err(|why| Error::Autoscale(format!("--prometheus-ca-file: {why}")))?;
    fetcher.check(url).map_err(|why| Error::Autoscale(format!("--prometheus-url: {why}")))?;
    Prometheus::new(url, queries, fetcher).map(Some).map_err(|why| wrong(file, &why))
}
