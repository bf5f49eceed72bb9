//! Autoscalers, their targets and pods, as they are stored.

use std::sync::Arc;

use serde_json::value::RawValue;

use crate::{
    core::{access::ResourceAttributes, advise::hpa::PodState},
    service::{
        Service,
        access::Caller,
        compute::compute,
        error::{Error, Result},
        objects::{self, Selection, Target, kind_of_pods},
    },
    store::Record,
    wire::{
        autoscale::hpa::{Hpa, HpaPod, ScaleDocument, pod_states},
        decode,
        fault::{Faults, Path},
        kinds::{self, StoredKind, Subresource},
    },
};

/// The most stored autoscalers of an answer.
const MOST: usize = 1_000;

/// The stored state that answers a question.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stored<'s> {
    pub(super) service: &'s Service,
    pub(super) cluster: &'s Arc<str>,
    pub(super) caller: &'s Caller,
    /// The revision; `None` for the present.
    pub(super) at: Option<u64>,
}

/// The scale of a target.
#[derive(Clone, Debug)]
pub(super) struct Read {
    /// The scale.
    pub(super) scale: ScaleDocument,
    /// As text.
    pub(super) json: String,
    /// The target.
    pub(super) target: Target,
}

/// The kind of autoscalers.
///
/// # Errors
/// Never: they are a stored kind.
pub(super) fn kind() -> Result<&'static StoredKind> {
    kinds::by_plural("autoscaling", "horizontalpodautoscalers")
        .ok_or_else(|| Error::internal("HorizontalPodAutoscalers are not stored"))
}

impl Stored<'_> {
    /// Refuses what the caller may not do.
    pub(super) async fn caller_may(&self, attributes: ResourceAttributes<'_>) -> Result<()> {
        self.caller.check(self.service, self.cluster, attributes).await
    }

    /// The autoscaler of this name.
    pub(super) async fn autoscaler(&self, namespace: &str, name: &str) -> Result<Hpa> {
        let kind = kind()?;
        let asked = ResourceAttributes::new("get", kind.group, kind.plural).within(namespace).named(name);
        self.caller_may(asked).await?;
        let target = Target {
            cluster: self.cluster.clone(),
            kind,
            namespace: Some(namespace.to_owned()),
            name: name.to_owned(),
        };
        let record = match self.at {
            None => objects::read(self.service, &target, None).await?,
            Some(revision) => objects::read_at(self.service, &target, revision).await?,
        };
        parse(&record).map_err(|why| Error::BadRequest(format!("the stored autoscaler {namespace}/{name}: {why}")))
    }

    /// The autoscalers of a namespace, or all. Those that cannot be read are left out.
    pub(super) async fn autoscalers(&self, namespace: Option<String>) -> Result<Vec<Hpa>> {
        let kind = kind()?;
        let asked = ResourceAttributes::new("list", kind.group, kind.plural);
        let within = namespace.clone();
        self.caller_may(within.as_deref().map_or(asked.clone(), |namespace| asked.within(namespace))).await?;
        let records = self.list(kind, namespace).await?;
        if records.len() > MOST {
            let why = format!("there are more than {MOST} autoscalers: ask about one namespace, or one of them");
            return Err(Error::BadRequest(why));
        }
        compute(move || records.iter().filter_map(|record| parse(record).ok()).collect()).await
    }

    /// The scale of a target, or the reason why there is none.
    pub(super) async fn scale(&self, hpa: &Hpa) -> Result<std::result::Result<Read, String>> {
        let (api_version, kind, name) = hpa.target();
        let row = kinds::of_object(api_version, kind).filter(|row| row.has(Subresource::Scale));
        let Some(row) = row else {
            return Ok(Err(format!("{kind} of {api_version:?} is no stored kind that has a scale")));
        };
        let namespace = &*hpa.core.namespace;
        let asked = ResourceAttributes::new("get", row.group, row.plural).below("scale").within(namespace).named(name);
        self.caller_may(asked).await?;
        let target = Target {
            cluster: self.cluster.clone(),
            kind: row,
            namespace: Some(namespace.to_owned()),
            name: name.to_owned(),
        };
        let json = match objects::scale(self.service, &target, self.at).await {
            Ok(json) => json,
            Err(Error::NotFound(_)) => return Ok(Err(format!("there is no {kind} {namespace}/{name}"))),
            Err(error) => return Err(error),
        };
        let scale = decode::from_slice::<ScaleDocument>(json.as_bytes()).map_err(Error::internal)?;
        Ok(Ok(Read { scale, json, target }))
    }

    /// The pods of a namespace. Those that cannot be read are left out.
    pub(super) async fn pods(&self, namespace: &str) -> Result<Arc<Vec<PodState>>> {
        self.caller_may(ResourceAttributes::new("list", "", "pods").within(namespace)).await?;
        let records = self.list(kind_of_pods()?, Some(namespace.to_owned())).await?;
        let namespace = namespace.to_owned();
        compute(move || {
            let read = |record: &Record| decode::from_slice::<HpaPod>(&record.body).ok();
            let pods: Vec<HpaPod> = records.iter().filter_map(read).collect();
            Arc::new(pod_states(&pods, &namespace, &Path::ROOT, &mut Faults::default()))
        })
        .await
    }

    async fn list(&self, kind: &'static StoredKind, namespace: Option<String>) -> Result<Vec<Record>> {
        let target = Target { cluster: self.cluster.clone(), kind, namespace, name: String::new() };
        let selection = Selection { at: self.at, ..Selection::default() };
        Ok(objects::list(self.service, &target, selection).await?.items)
    }
}

/// A stored autoscaler, or its first fault.
fn parse(record: &Record) -> std::result::Result<Hpa, String> {
    let json: &RawValue = serde_json::from_slice(&record.body).map_err(|error| error.to_string())?;
    Hpa::parse(json)
        .map_err(|causes| causes.first().map(|cause| format!("{}: {}", cause.field, cause.message)).unwrap_or_default())
}
