//! Devices for a claim ([`podberth_core::claim_choice`]), written into the stored claim. Other fields stay as they are.
//!
//! The finalizer by which kube-scheduler protects a claim that has devices is not set: the controller that takes it off again is not here.
//!
//! Source: `pkg/scheduler/framework/plugins/dynamicresources/dynamicresources.go` (`bindClaim`),
//! `dynamic-resource-allocation/structured/internal/experimental/allocator_experimental.go` (configurations in `Allocate`).

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    decode::{self, DecodeError},
    document::{Document, raw},
    objects::device::ResourceClaim,
};
use podberth_core::{
    claim_choice::YES,
    model::{AllocatedDevice, DeviceAllocation, NodeSelector, Operator, Requirement},
};

/// The annotation of claims that got their devices by a bind here. These survive imports that do not mention them: the cluster that they come
/// from has not heard of the bind yet.
const CHOSEN_HERE: &str = "podberth.io/devices-chosen-here";

/// `status.allocation`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Allocation<'a> {
    devices: Devices<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node_selector: Option<Selector<'a>>,
}

#[derive(Serialize)]
struct Devices<'a> {
    results: Vec<Given<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    config: Vec<Config<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Given<'a> {
    request: &'a str,
    driver: &'a str,
    pool: &'a str,
    device: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    admin_access: Option<bool>,
}

/// A configuration for the driver.
#[derive(Serialize)]
struct Config<'a> {
    source: &'static str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    requests: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    opaque: Option<&'a RawValue>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Selector<'a> {
    node_selector_terms: Vec<Term<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Term<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    match_expressions: Vec<Condition<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    match_fields: Vec<Condition<'a>>,
}

#[derive(Serialize)]
struct Condition<'a> {
    key: &'a str,
    operator: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    values: Vec<String>,
}

/// `status.reservedFor`.
#[derive(Serialize)]
struct Consumer<'a> {
    resource: &'static str,
    name: &'a str,
    uid: &'a str,
}

/// Configurations in a class, or in a claim.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Configured {
    spec: ConfiguredSpec,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ConfiguredSpec {
    config: Vec<Written>,
    devices: ConfiguredDevices,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ConfiguredDevices {
    config: Vec<Written>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Written {
    requests: Vec<String>,
    opaque: Option<Box<RawValue>>,
}

/// The pod that a claim is reserved for.
#[derive(Clone, Copy, Debug)]
pub struct ReservedFor<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its uid.
    pub uid: &'a str,
}

/// The names of the classes of a claim's requests, in their order, by the alternatives that got devices.
///
/// # Errors
/// When the body cannot be read.
pub fn classes_of(body: &[u8], allocation: &DeviceAllocation) -> Result<Vec<String>, DecodeError> {
    let claim: ResourceClaim = decode::from_slice(body)?;
    let class = |request: &super::objects::device::DeviceRequest| {
        if let Some(exact) = &request.exactly {
            Some(exact.device_class_name.clone())
        } else {
            let has_devices = |alternative: &&super::objects::device::ExactDeviceRequest| {
                let name = format!("{}/{}", request.name, alternative.name);
                allocation.results.iter().any(|result| *result.request == *name)
            };
            request.first_available.iter().find(has_devices).map(|alternative| alternative.device_class_name.clone())
        }
    };
    Ok(claim.spec.devices.requests.iter().filter_map(class).collect())
}

/// The body of a claim once it has devices (`None`: those that it has already) and is reserved for the pod. `classes` are the bodies of the
/// classes of its requests, in their order.
///
/// # Errors
/// When a body cannot be read.
pub fn allocated_claim(
    body: &[u8],
    allocation: Option<&DeviceAllocation>,
    classes: &[&[u8]],
    pod: ReservedFor<'_>,
) -> Result<String, DecodeError> {
    let mut document = Document::parse(body)?;
    document.set_annotation(CHOSEN_HERE, YES)?;
    if let Some(allocation) = allocation {
        let of_classes =
            classes.iter().map(|class| decode::from_slice::<Configured>(class)).collect::<Result<Vec<_>, _>>()?;
        let claim: Configured = decode::from_slice(body)?;
        let allocation = Allocation {
            devices: Devices {
                results: allocation.results.iter().map(given).collect(),
                config: configurations(&of_classes, &claim, allocation),
            },
            node_selector: allocation.node_selector.as_ref().map(selector),
        };
        document.set_in("status", "allocation", raw(&allocation)?)?;
    }
    let mut reserved: Vec<Box<RawValue>> = document.list_in("status", "reservedFor")?;
    reserved.push(raw(&Consumer { resource: "pods", name: pod.name, uid: pod.uid })?);
    document.set_in("status", "reservedFor", raw(&reserved)?)?;
    Ok(document.into_body())
}

/// Puts the devices that the stored claim got by a bind here into the imported one, if that has none. `false` if there are none to keep.
///
/// # Errors
/// When a body cannot be read.
pub(crate) fn keep_devices(told: &mut Document, stored: &Document) -> Result<bool, DecodeError> {
    if stored.annotation(CHOSEN_HERE).is_none() || told.get_in("status", "allocation")?.is_some() {
        return Ok(false);
    }
    told.set_annotation(CHOSEN_HERE, YES)?;
    for field in ["allocation", "reservedFor"] {
        if let Some(value) = stored.get_in("status", field)? {
            told.set_in("status", field, value)?;
        }
    }
    Ok(true)
}

fn given(result: &AllocatedDevice) -> Given<'_> {
    Given {
        request: &result.request,
        driver: &result.id.driver,
        pool: &result.id.pool,
        device: &result.id.device,
        admin_access: result.admin_access.then_some(true),
    }
}

/// Those of the classes, then those of the claim that are about a request, or about an alternative that got devices.
fn configurations<'a>(
    classes: &'a [Configured],
    claim: &'a Configured,
    allocation: &DeviceAllocation,
) -> Vec<Config<'a>> {
    let of_class =
        |written: &'a Written| Config { source: "FromClass", requests: &[], opaque: written.opaque.as_deref() };
    let is_used = |name: &String| {
        allocation.results.iter().any(|result| {
            *result.request == **name || result.request.split_once('/').is_some_and(|(request, _)| request == name)
        })
    };
    let of_claim = |written: &'a Written| {
        let used = written.requests.is_empty() || written.requests.iter().any(is_used);
        used.then(|| Config { source: "FromClaim", requests: &written.requests, opaque: written.opaque.as_deref() })
    };
    let classes = classes.iter().flat_map(|class| &class.spec.config).map(of_class);
    classes.chain(claim.spec.devices.config.iter().filter_map(of_claim)).collect()
}

fn selector(NodeSelector(terms): &NodeSelector) -> Selector<'_> {
    let node_selector_terms = terms
        .iter()
        .map(|term| Term {
            match_expressions: term.match_expressions.iter().map(condition).collect(),
            match_fields: term.match_fields.iter().map(condition).collect(),
        })
        .collect();
    Selector { node_selector_terms }
}

fn condition(requirement: &Requirement) -> Condition<'_> {
    let texts = |values: &[podberth_core::model::Name]| values.iter().map(ToString::to_string).collect();
    let (operator, values) = match &requirement.operator {
        Operator::In(values) => ("In", texts(values)),
        Operator::NotIn(values) => ("NotIn", texts(values)),
        Operator::Exists => ("Exists", Vec::new()),
        Operator::DoesNotExist => ("DoesNotExist", Vec::new()),
        Operator::Gt(bound) => ("Gt", vec![bound.to_string()]),
        Operator::Lt(bound) => ("Lt", vec![bound.to_string()]),
    };
    Condition { key: &requirement.key, operator, values }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::kinds;
    use podberth_core::{
        claim_choice::ClaimChoice,
        model::{self, DeviceId, NodeSelectorTerm},
        snapshot::{Kind, Object},
    };

    const CLAIM: &str = r#"{"metadata":{"name":"gpu","namespace":"shop","uid":"u-gpu"},"spec":{"devices":{"requests":[{"name":"a","exactly":{"deviceClassName":"gpu"}},{"name":"b","firstAvailable":[{"name":"x","deviceClassName":"large"},{"name":"y","deviceClassName":"small"}]}],"config":[{"opaque":{"driver":"d","parameters":{"n":1}}},{"requests":["b/x"],"opaque":{"driver":"d"}},{"requests":["b"],"opaque":{"driver":"e"}}]}}}"#;
    const GPU: &str = r#"{"metadata":{"name":"gpu"},"spec":{"config":[{"opaque":{"driver":"c"}}]}}"#;
    const SMALL: &str = r#"{"metadata":{"name":"small"}}"#;

    fn claim(body: &str) -> model::ResourceClaim {
        match kinds::by_core(Kind::ResourceClaim).unwrap().parse(body.as_bytes()).unwrap().strict().unwrap() {
            Object::ResourceClaim(claim) => claim,
            other => panic!("{other:?}"),
        }
    }

    fn allocation() -> DeviceAllocation {
        let device = |request: &str, device: &str, admin_access| AllocatedDevice {
            request: request.into(),
            id: DeviceId { driver: "d".into(), pool: "p".into(), device: device.into() },
            admin_access,
        };
        let here = Requirement { key: "metadata.name".into(), operator: Operator::In(vec!["n1".into()]) };
        let term = NodeSelectorTerm { match_fields: vec![here], ..NodeSelectorTerm::default() };
        DeviceAllocation {
            results: vec![device("a", "d0", false), device("b/y", "d1", true)],
            node_selector: Some(NodeSelector(vec![term])),
        }
    }

    #[test]
    fn devices_are_written_with_the_configurations_that_are_about_them() {
        let allocation = allocation();
        assert_eq!(classes_of(CLAIM.as_bytes(), &allocation).unwrap(), ["gpu", "small"]);
        let classes = [GPU.as_bytes(), SMALL.as_bytes()];
        let pod = ReservedFor { name: "p", uid: "u-p" };
        let after = allocated_claim(CLAIM.as_bytes(), Some(&allocation), &classes, pod).unwrap();
        let status = r#""status":{"allocation":{"devices":{"results":[{"request":"a","driver":"d","pool":"p","device":"d0"},{"request":"b/y","driver":"d","pool":"p","device":"d1","adminAccess":true}],"config":[{"source":"FromClass","opaque":{"driver":"c"}},{"source":"FromClaim","opaque":{"driver":"d","parameters":{"n":1}}},{"source":"FromClaim","requests":["b"],"opaque":{"driver":"e"}}]},"nodeSelector":{"nodeSelectorTerms":[{"matchFields":[{"key":"metadata.name","operator":"In","values":["n1"]}]}]}},"reservedFor":[{"resource":"pods","name":"p","uid":"u-p"}]}"#;
        assert!(after.contains(status), "{after}");
    }

    #[test]
    fn written_devices_parse_to_the_decision() {
        let first = ClaimChoice::Devices {
            claim: Arc::new(claim(CLAIM)),
            allocation: Some(allocation()),
            pod: "p".into(),
            pod_uid: "u-p".into(),
        };
        let pod = ReservedFor { name: "p", uid: "u-p" };
        let once = allocated_claim(CLAIM.as_bytes(), Some(&allocation()), &[], pod).unwrap();
        assert_eq!(first.outcome(), [Object::ResourceClaim(claim(&once))]);
        let (claim_now, pod) = (Arc::new(claim(&once)), ReservedFor { name: "q", uid: "u-q" });
        let second =
            ClaimChoice::Devices { claim: claim_now, allocation: None, pod: "q".into(), pod_uid: "u-q".into() };
        let twice = allocated_claim(once.as_bytes(), None, &[], pod).unwrap();
        assert_eq!(second.outcome(), [Object::ResourceClaim(claim(&twice))]);
    }
}
