//! The loops of autoscaling of this process: `--autoscale`, `--hpa`, `--reschedule`.

use std::{fs, time::Duration};

use futures_util::future::join_all;
use jiff::SignedDuration;
use uuid::Uuid;

use super::{Error, scaling};
#[cfg(not(feature = "externalgrpc"))]
use crate::features;
use crate::{
    config::{Autoscale, AutoscaleSettings, Reschedule, Settings},
    fetch::Fetcher,
    service::{
        Service,
        autoscale::{
            machine::Rules,
            nodes, reschedule,
            webhook::{Hands, Webhook},
        },
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
            if of.autoscale == Autoscale::Act && of.autoscale_webhook.is_none() && of.autoscale_provider.is_none() {
                let why = "--autoscale=act: name whoever makes and deletes machines, in --autoscale-webhook or --autoscale-provider";
                return Err(Error::Autoscale(why.into()));
            }
            if of.autoscale_interval < Duration::from_secs(1) {
                return Err(Error::Autoscale("--autoscale-interval: it must be at least 1s".into()));
            }
            let clusters = of.autoscale_clusters.iter().map(|name| name.as_str().into()).collect();
            let options = nodes::Options {
                acts: of.autoscale == Autoscale::Act,
                interval: of.autoscale_interval,
                hands: hands(of)?,
                rules: Rules { delay_after_add: delay(of.autoscale_delay_after_add), ..Rules::default() },
            };
            leads.push(nodes::start(service, holder, clusters, options));
        }
        if settings.scaling.hpa {
            leads.push(scaling::start(&settings.scaling, service, holder)?);
        }
        if let Some(settings) = rescheduling(of)? {
            leads.push(reschedule::start(service, holder, settings));
        }
        Ok(Self(leads))
    }

    /// Ends them, so that other processes go on at once.
    pub(super) async fn end(self) {
        join_all(self.0.into_iter().map(Leads::end)).await;
    }
}

/// The rescheduling loop; `None` where there is none.
fn rescheduling(settings: &AutoscaleSettings) -> Result<Option<reschedule::Rescheduling>, Error> {
    let wrong = wrong("--reschedule-policy");
    let Some(file) = &settings.reschedule_policy else {
        return match settings.reschedule {
            Reschedule::Off => Ok(None),
            Reschedule::Propose | Reschedule::Act => Err(wrong("--reschedule needs the file of a policy".to_owned())),
        };
    };
    let policy = reschedule::read(file).map_err(|why| wrong(format!("{}: {why}", file.display())))?;
    if settings.reschedule == Reschedule::Off {
        return Ok(None);
    }
    if settings.reschedule_interval.is_zero() {
        return Err(Error::Autoscale("--reschedule-interval: it must be longer than 0s".into()));
    }
    Ok(Some(reschedule::Rescheduling {
        policy: policy.into(),
        acts: settings.reschedule == Reschedule::Act,
        clusters: settings.reschedule_clusters.iter().map(|name| name.as_str().into()).collect(),
        interval: settings.reschedule_interval,
    }))
}

/// Whoever makes and deletes machines for the loop over node groups.
fn hands(settings: &AutoscaleSettings) -> Result<Option<Box<dyn Hands>>, Error> {
    if let Some(url) = &settings.autoscale_provider {
        return provider(settings, url).map(Some);
    }
    let Some(url) = settings.autoscale_webhook.clone() else { return Ok(None) };
    let authorities = settings.autoscale_webhook_ca_file.as_deref().map(fs::read_to_string).transpose();
    let authorities = authorities.map_err(wrong("--autoscale-webhook-ca-file"))?.unwrap_or_default();
    let key = settings.autoscale_webhook_key_file.as_deref().map(fs::read_to_string).transpose();
    let key = key.map_err(wrong("--autoscale-webhook-key-file"))?;
    let fetcher = Fetcher::with_http(&authorities).map_err(wrong("--autoscale-webhook-ca-file"))?;
    fetcher.check(&url).map_err(wrong("--autoscale-webhook"))?;
    Ok(Some(Box::new(Webhook::new(url, key.as_deref().map(|key| key.trim().as_bytes()), fetcher))))
}

#[cfg(feature = "externalgrpc")]
fn provider(settings: &AutoscaleSettings, url: &str) -> Result<Box<dyn Hands>, Error> {
    use crate::{grpc::GrpcClient, net, service::autoscale::provider::Provider};

    let read =
        |file: &Option<std::path::PathBuf>, option| file.as_deref().map(fs::read).transpose().map_err(wrong(option));
    let authorities = read(&settings.autoscale_provider_ca_file, "--autoscale-provider-ca-file")?;
    let certificate = read(&settings.autoscale_provider_cert_file, "--autoscale-provider-cert-file")?;
    let key = read(&settings.autoscale_provider_key_file, "--autoscale-provider-key-file")?;
    let shown = certificate.as_deref().zip(key.as_deref());
    let shown = shown.map(|(certificate, key)| net::Shown { certificate, key });
    let tls = net::client_config(authorities.as_deref(), shown).map_err(wrong("--autoscale-provider"))?;
    let client = GrpcClient::new(url, tls).map_err(wrong("--autoscale-provider"))?;
    Ok(Box::new(Provider::new(client)))
}

#[cfg(not(feature = "externalgrpc"))]
fn provider(_: &AutoscaleSettings, _: &str) -> Result<Box<dyn Hands>, Error> {
    features::built_in("externalgrpc").map_err(Error::Autoscale)?;
    Err(Error::Autoscale("--autoscale-provider is not built in".into()))
}

/// A pause of the loop.
fn delay(setting: Duration) -> SignedDuration {
    SignedDuration::try_from(setting).unwrap_or(SignedDuration::MAX)
}

/// A setting that cannot be used.
fn wrong<E: std::fmt::Display>(option: &'static str) -> impl Fn(E) -> Error {
    move |error| Error::Autoscale(format!("{option}: {error}"))
}
