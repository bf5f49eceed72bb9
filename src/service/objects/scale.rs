//! The scale of a workload, as an object of its own: read, replaced, patched. The rules are in [`crate::wire::scale`].

use bytes::Bytes;
use serde_json::json;

use super::{
    ATTEMPTS,
    patched::Part,
    read, read_at,
    target::Target,
    write::{Intent, Options, write},
};
use crate::{
    service::{
        Service,
        error::{Error, Result, Subject},
        source::guard,
    },
    store::Record,
    wire::{
        decode,
        document::Document,
        patch::{self, Patch, PatchType},
        scale::{self, Sent},
    },
};

/// A change of a scale.
#[derive(Clone, Debug)]
pub enum Scaling {
    /// Puts this scale in the place of the present one.
    Replace(Bytes),
    /// Patches the present one.
    Patch(PatchType, Bytes),
}

/// The scale of a stored workload, of now or as of a revision.
///
/// # Errors
/// As for [`read`] and [`read_at`].
pub async fn scale(service: &Service, target: &Target, at: Option<u64>) -> Result<String> {
    let record = match at {
        None => read(service, target, None).await?,
        Some(revision) => read_at(service, target, revision).await?,
    };
    Ok(of(&record)?.to_json())
}

/// Changes the scale of a stored workload, and returns what it is then.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Invalid`] if it is none; [`Error::Conflict`] if it is based on another revision, or others kept changing the
/// workload.
pub async fn set_scale(service: &Service, target: &Target, scaling: &Scaling, options: &Options) -> Result<String> {
    guard::check(service, &target.cluster, target.kind).await?;
    for _ in 0..ATTEMPTS {
        let record = read(service, target, None).await?;
        let sent = match scaling {
            Scaling::Replace(body) => decode::from_slice::<Sent>(body)?,
            Scaling::Patch(PatchType::Apply, body) => match Patch::parse(PatchType::Apply, body)? {
                Patch::Apply(config) => scale::applied(config)?,
                _ => return Err(Error::BadRequest("the patch is no configuration".into())),
            },
            Scaling::Patch(patch, body) => {
                let patched = patch::merged(target.kind, &of(&record)?, Patch::parse(*patch, body)?)?;
                decode::from_slice(patched.document.to_json().as_bytes())?
            }
        };
        check(target, &sent, &record)?;
        let mut body = json!({"metadata": {"resourceVersion": record.revision.to_string()}, "spec": {"replicas": sent.spec.replicas}});
        let patch = if matches!(scaling, Scaling::Patch(PatchType::Apply, _)) {
            // The manager owns the replicas of the workload, by way of its scale.
            body["apiVersion"] = target.kind.api_version().into();
            body["kind"] = target.kind.kind.into();
            body["metadata"]["name"] = target.name.as_str().into();
            PatchType::Apply
        } else {
            PatchType::Merge
        };
        let intent = Intent::Patch { patch, body: Bytes::from(body.to_string()), part: Part::Scale };
        let written = write(service, target, intent, options).await;
        match written {
            Ok(written) => {
                let scale = scale::of(&written.body, written.revision.unwrap_or(record.revision));
                return Ok(scale.map_err(Error::internal)?.to_json());
            }
            // Another client changed the workload meanwhile, which a scale that names no revision does not mind.
            Err(Error::Conflict { .. }) if !names_revision(&sent) || matches!(scaling, Scaling::Patch(..)) => {}
            Err(error) => return Err(error),
        }
    }
    Err(target.modified())
}

fn of(record: &Record) -> Result<Document> {
    scale::of(&record.body, record.revision).map_err(Error::internal)
}

fn names_revision(sent: &Sent) -> bool {
    !matches!(&*sent.metadata.resource_version, "" | "0")
}

/// Checks a scale that was sent, and that it is for this workload.
fn check(target: &Target, sent: &Sent, record: &Record) -> Result<()> {
    let (kind, version) = (&*sent.kind, &*sent.api_version);
    if !matches!(kind, "" | scale::KIND) || !(version.is_empty() || version == scale::API_VERSION) {
        return Err(Error::BadRequest(format!(
            "the object is {kind:?} of {version:?}; this path takes {:?} of {:?}",
            scale::KIND,
            scale::API_VERSION
        )));
    }
    let Sent { metadata, .. } = sent;
    target.agrees_in_name(&metadata.name)?;
    target.agrees_in_namespace(&metadata.namespace)?;
    if !metadata.uid.is_empty() && metadata.uid != record.uid {
        return Err(target.other_uid(&metadata.uid, &record.uid));
    }
    if names_revision(sent) && metadata.resource_version != record.revision.to_string() {
        return Err(target.modified());
    }
    let causes = sent.faults();
    if causes.is_empty() {
        return Ok(());
    }
    let subject = Subject::new("autoscaling", scale::KIND, &*target.name);
    Err(Error::Invalid { subject, causes: causes.into_iter().map(Into::into).collect() })
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use podberth_testkit::memory::{Memory, Numbering};

    use super::*;
    use crate::{extenders::Extenders, live::Clusters, service::Freshness, store::Schema as _, wire::kinds};

    #[tokio::test]
    async fn of_two_scales_for_one_revision_one_is_refused() {
        let store = Memory::new(Numbering::Counter);
        store.migrate().await.expect("it migrates");
        let clusters = Clusters::new(Arc::new(store.handle()), Duration::from_hours(1));
        let service = Service::new(clusters, Freshness::default(), Extenders::default());
        let kind = kinds::of_object("apps/v1", "Deployment").expect("deployments are stored");
        let target = Target { cluster: "default".into(), kind, namespace: Some("shop".into()), name: "web".into() };
        let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": {"metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "c", "image": "web:1"}]}}}});
        let created = Intent::Create(Bytes::from(deployment.to_string()));
        let created = write(&service, &target, created, &Options::default()).await.expect("it is created");
        let to = |replicas: i32| {
            let scale = json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "spec": {"replicas": replicas}, "metadata":
                {"name": "web", "namespace": "shop", "resourceVersion": created.revision.expect("it is stored").to_string()}});
            Scaling::Replace(Bytes::from(scale.to_string()))
        };
        let (scales, options) = ([to(2), to(3)], Options::default());
        let [first, second] = &scales;
        let done =
            tokio::join!(set_scale(&service, &target, first, &options), set_scale(&service, &target, second, &options));
        assert!(
            matches!(done, (Ok(_), Err(Error::Conflict { .. })) | (Err(Error::Conflict { .. }), Ok(_))),
            "both read the same revision: {done:?}"
        );
    }
}
