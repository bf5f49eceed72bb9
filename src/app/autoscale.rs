//! The loops of autoscaling of this process: `--autoscale`, `--hpa`, `--reschedule`.

use std::fs;

use futures_util::future::join_all;
use uuid::Uuid;

use super::Error;
use crate::{
    config::{Autoscale, AutoscaleSettings, Settings},
    fetch::Fetcher,
    service::{
        Service,
        autoscale::{machine::Rules, nodes, webhook::Webhook},
        lead::Leads,
    },
};

/// The loops; they end when this is dropped.
pub(super) struct Loops(Vec<Leads>);

impl Loops {
    /// Starts those that are asked for. `holder` names this process.
    pub(super) fn start(settings: &Settings, service: &Service, holder: Uuid) -> Result<Self, Error> {
        let mut leads = Vec::new();
        let of = &settings.autoscaling;
        if of.autoscale != Autoscale::Off {
            let clusters = of.autoscale_clusters.iter().map(|name| name.as_str().into()).collect();
            let options = nodes::Options {
                acts: of.autoscale == Autoscale::Act,
                interval: of.autoscale_interval,
                webhook: webhook(of)?,
                rules: Rules::default(),
            };
            leads.push(nodes::start(service, holder, clusters, options));
        }
        Ok(Self(leads))
    }

    /// Ends them, so that other processes go on at once.
    pub(super) async fn end(self) {
        join_all(self.0.into_iter().map(Leads::end)).await;
    }
}

/// The webhook of the loop over node groups.
fn webhook(settings: &AutoscaleSettings) -> Result<Option<Webhook>, Error> {
    let Some(url) = settings.autoscale_webhook.clone() else { return Ok(None) };
    let read = |file: &Option<std::path::PathBuf>| {
        let read = file.as_ref().map(|file| {
            fs::read_to_string(file).map_err(|error| Error::Autoscale(format!("{}: {error}", file.display())))
        });
        read.transpose()
    };
    let authorities = read(&settings.autoscale_webhook_ca_file)?.unwrap_or_default();
    let key = read(&settings.autoscale_webhook_key_file)?;
    let fetcher = Fetcher::with_http(&authorities)
        .map_err(|why| Error::Autoscale(format!("--autoscale-webhook-ca-file: {why}")))?;
    fetcher.check(&url).map_err(|why| Error::Autoscale(format!("--autoscale-webhook: {why}")))?;
    Ok(Some(Webhook::new(url, key.as_deref().map(|key| key.trim().as_bytes()), fetcher)))
}
