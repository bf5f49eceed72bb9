//! Devices: the changes that claims and slices allow, and the claims of templates.
//!
//! Source: `pkg/apis/resource/validation/validation.go` (`ValidateResourceClaimUpdate`, `validateResourceClaimStatusUpdate`,
//! `validateAllocationResult`, `validateDeviceStatus`, `ValidateResourceClaimTemplate`, `validateResourceSliceSpec`).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::part::Part;
use crate::{fault::Faults, kinds, objects::names};
use podberth_core::{limits::Limit, model::MOST_DEVICES_OF_CLAIM};

const UNKNOWN: &str =
    "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";
const RESULTS: Limit = Limit { most: MOST_DEVICES_OF_CLAIM, remedy: "make another claim" };
const CONFIGURATIONS: Limit = Limit { most: 64, remedy: "one configuration can be about several requests" };
const MOST_IN_DRIVER_NAME: usize = 63;
const MOST_IN_POOL_NAME: usize = 253;

/// Requests of a claim, each with its alternatives.
type Requests<'r> = BTreeMap<&'r str, BTreeSet<&'r str>>;

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap_or_default()
}

/// The changes of a claim: of its status if that differs, as clients write it by its own path alone.
pub(super) fn claim(sent: &Part<'_>, stored: &Part<'_>, faults: &mut Faults) {
    sent.get("spec").unchanged(&stored.get("spec"), faults);
    let (new, old) = (sent.get("status"), stored.get("status"));
    if new.value == old.value {
        return;
    }
    let is_going = !sent.value["metadata"]["deletionTimestamp"].is_null();
    let (allocation, before) = (new.get("allocation"), old.get("allocation"));
    reserved(&new, &old, is_going, faults);
    statuses(&new, &old, faults);
    if allocation.is_absent() {
        return;
    }
    if before.is_absent() {
        allocated(&allocation, &requests(&sent.value["spec"]["devices"]), faults);
    } else {
        allocation.unchanged(&before, faults);
    }
}

fn requests(devices: &Value) -> Requests<'_> {
    let requests = devices["requests"].as_array().into_iter().flatten();
    requests
        .map(|request| {
            let alternatives = request["firstAvailable"].as_array().into_iter().flatten();
            (text(request, "name"), alternatives.map(|alternative| text(alternative, "name")).collect())
        })
        .collect()
}

/// Those who may use the claim: only of one with devices, and no further ones while it is being deleted.
fn reserved(new: &Part<'_>, old: &Part<'_>, is_going: bool, faults: &mut Faults) {
    let list = new.get("reservedFor");
    let mut seen = BTreeSet::new();
    for user in list.items() {
        for field in ["resource", "name", "uid"] {
            user.get(field).required(faults);
        }
        let uid = text(user.value, "uid");
        if !seen.insert(uid) {
            faults.duplicate(&user.at, uid);
        }
    }
    if list.items().count() == 0 {
        return;
    }
    let before = old.value["reservedFor"].as_array().map_or(&[][..], Vec::as_slice);
    if new.value["allocation"].is_null() {
        faults.forbidden(&list.at, "may not be specified when `allocated` is not set");
    } else if is_going && list.items().any(|user| !before.contains(user.value)) {
        let why = "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set";
        faults.forbidden(&list.at, why);
    }
}

/// Statuses of devices, told by their drivers: only of those that the claim has, or had before this write.
fn statuses(new: &Part<'_>, old: &Part<'_>, faults: &mut Faults) {
    let devices = new.get("devices");
    let id = |value: &Value| ["driver", "pool", "device"].map(|field| text(value, field)).join("/");
    let results = |status: &Value| {
        let results = status["allocation"]["devices"]["results"].as_array().cloned().unwrap_or_default();
        results.iter().map(id).collect::<BTreeSet<String>>()
    };
    let known: BTreeSet<String> = &results(new.value) | &results(old.value);
    let mut seen = BTreeSet::new();
    for device in devices.items() {
        named(&device, faults);
        let id = id(device.value);
        if !known.contains(&id) {
            faults.invalid(&device.at, &id, "must be an allocated device in the claim");
        }
        if !seen.insert(id.clone()) {
            faults.duplicate(&device.at, &id);
        }
    }
}

fn allocated(allocation: &Part<'_>, requests: &Requests<'_>, faults: &mut Faults) {
    let devices = allocation.get("devices");
    let (results, configurations) = (devices.get("results"), devices.get("config"));
    for (list, limit) in [(&results, &RESULTS), (&configurations, &CONFIGURATIONS)] {
        if let Some(refusal) = limit.refusal(list.items().count()) {
            faults.too_many(&list.at, refusal);
        }
    }
    for result in results.items() {
        request(&result.get("request"), requests, faults);
        named(&result, faults);
    }
    for configuration in configurations.items() {
        let source = configuration.get("source");
        if source.required(faults) {
            source.one_of(&["FromClaim", "FromClass"], faults);
        }
        let names = configuration.get("requests");
        let mut seen = BTreeSet::new();
        for name in names.items() {
            request(&name, requests, faults);
            if !seen.insert(name.value.as_str().unwrap_or_default()) {
                faults.duplicate(&name.at, name.text());
            }
        }
        let opaque = configuration.get("opaque");
        if opaque.required(faults) {
            driver(&opaque.get("driver"), faults);
        }
    }
}

/// A name of a request, or of one of its alternatives.
fn request(name: &Part<'_>, requests: &Requests<'_>, faults: &mut Faults) {
    let mut segments = name.text().split('/');
    let (first, alternative) = (segments.next().unwrap_or_default(), segments.next());
    if segments.next().is_some() {
        faults.invalid(&name.at, name.text(), UNKNOWN);
        return;
    }
    for segment in [Some(first), alternative].into_iter().flatten() {
        if let Err(rule) = names::dns_label(segment) {
            faults.invalid(&name.at, segment, rule);
        }
    }
    let is_known = |alternatives: &BTreeSet<&str>| alternative.is_none_or(|name| alternatives.contains(name));
    if !requests.get(first).is_some_and(is_known) {
        faults.invalid(&name.at, name.text(), UNKNOWN);
    }
}

/// Driver, pool and device.
fn named(device: &Part<'_>, faults: &mut Faults) {
    driver(&device.get("driver"), faults);
    let pool = device.get("pool");
    if pool.required(faults) {
        if pool.text().len() > MOST_IN_POOL_NAME {
            faults.too_long(&pool.at, MOST_IN_POOL_NAME);
        }
        for rule in pool.text().split('/').filter_map(|part| names::dns_subdomain(part).err()) {
            faults.invalid(&pool.at, pool.text(), rule);
        }
    }
    let name = device.get("device");
    if let Err(rule) = names::dns_label(name.text()) {
        faults.invalid(&name.at, name.text(), rule);
    }
}

fn driver(name: &Part<'_>, faults: &mut Faults) {
    if !name.required(faults) {
        return;
    }
    if name.text().len() > MOST_IN_DRIVER_NAME {
        faults.too_long(&name.at, MOST_IN_DRIVER_NAME);
    }
    if let Err(rule) = names::dns_subdomain(&name.text().to_lowercase()) {
        faults.invalid(&name.at, name.text(), rule);
    }
}

/// The changes of a slice: it stays on its node, of its driver and in its pool.
pub(super) fn slice(new: &Part<'_>, old: &Part<'_>, faults: &mut Faults) {
    new.get("pool").get("name").unchanged(&old.get("pool").get("name"), faults);
    for field in ["driver", "nodeName"] {
        new.get(field).unchanged(&old.get(field), faults);
    }
}

/// The claim of a template, by the rules of claims.
pub(super) fn template(object: &Part<'_>, faults: &mut Faults) {
    let metadata = json!({"name": "claim", "namespace": "default"});
    let claim = json!({"metadata": metadata, "spec": object.value["spec"]["spec"]});
    let read = kinds::by_plural("resource.k8s.io", "resourceclaims")
        .and_then(|kind| kind.validate(claim.to_string().as_bytes()).ok());
    let causes = read.map(|read| read.causes).unwrap_or_default();
    faults.adopt("spec", causes.into_iter().filter(|cause| cause.field.starts_with("spec")));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{document::Document, validation::complete};

    fn claim(status: &Value) -> Value {
        let request = json!({"name": "r", "firstAvailable": [{"name": "a", "deviceClassName": "gpu"}]});
        json!({"metadata": {"name": "c", "namespace": "n"}, "spec": {"devices": {"requests": [request]}}, "status": status})
    }

    fn changed(plural: &str, before: &Value, after: &Value) -> Vec<String> {
        let kind = kinds::by_plural("resource.k8s.io", plural).expect("a kind");
        let read = |object: &Value| Document::parse(object.to_string().as_bytes()).expect("an object");
        let causes = complete::changes(kind, &read(after), &read(before)).expect("changes");
        causes.into_iter().map(|cause| cause.field).collect()
    }

    fn allocation(request: &str) -> Value {
        json!({"devices": {"results": [{"request": request, "driver": "d.e", "pool": "p", "device": "g"}]}})
    }

    fn user(uid: &str) -> Value {
        json!({"resource": "pods", "name": "p", "uid": uid})
    }

    #[test]
    fn devices_of_a_claim_stay_while_it_is_used() {
        let allocated = json!({"allocation": allocation("r")});
        let used = json!({"allocation": allocation("r"), "reservedFor": [user("1")]});
        let results = "status.allocation.devices.results[0]";
        let cases: &[(Value, Value, &[&str])] = &[
            (json!({}), used.clone(), &[]),
            (json!({}), json!({"allocation": allocation("r/a")}), &[]),
            (json!({}), json!({"allocation": allocation("r/b")}), &["request"]),
            (json!({}), json!({"allocation": allocation("zz")}), &["request"]),
            (json!({}), json!({"allocation": allocation("r/a/x")}), &["request"]),
            (allocated.clone(), used.clone(), &[]),
            (allocated.clone(), json!({"allocation": allocation("r/a")}), &["status.allocation"]),
            (used.clone(), json!({"reservedFor": [user("1")]}), &["status.reservedFor"]),
            (used.clone(), json!({}), &[]),
            (json!({}), json!({"reservedFor": [user("1")]}), &["status.reservedFor"]),
            (
                used.clone(),
                json!({"allocation": allocation("r"), "reservedFor": [user("1"), user("1")]}),
                &["status.reservedFor[1]"],
            ),
            (
                allocated.clone(),
                json!({"allocation": allocation("r"), "reservedFor": [{"uid": "1"}]}),
                &["status.reservedFor[0].resource", "status.reservedFor[0].name"],
            ),
            (
                allocated.clone(),
                json!({"allocation": allocation("r"), "devices": [{"driver": "d.e", "pool": "p", "device": "h"}]}),
                &["status.devices[0]"],
            ),
        ];
        for (before, after, expected) in cases {
            let expected: Vec<String> = expected
                .iter()
                .map(|field| if *field == "request" { format!("{results}.request") } else { (*field).to_owned() })
                .collect();
            assert_eq!(changed("resourceclaims", &claim(before), &claim(after)), expected, "{before} → {after}");
        }
    }

    #[test]
    fn a_claim_that_is_deleted_gets_no_further_users() {
        let going = |users: &[Value]| {
            let mut claim = claim(&json!({"allocation": allocation("r"), "reservedFor": users}));
            claim["metadata"]["deletionTimestamp"] = "2026-11-27T10:00:00Z".into();
            claim
        };
        let change = |before: &[Value], after: &[Value]| changed("resourceclaims", &going(before), &going(after));
        assert_eq!(change(&[user("1")], &[user("1"), user("2")]), ["status.reservedFor"]);
        assert_eq!(change(&[user("1"), user("2")], &[user("2")]), [""; 0]);
    }

    #[test]
    fn specs_of_claims_and_the_places_of_slices_stay() {
        let mut other = claim(&json!({}));
        other["spec"]["devices"]["requests"][0]["name"] = "s".into();
        assert_eq!(changed("resourceclaims", &claim(&json!({})), &other), ["spec"]);
        assert_eq!(
            changed(
                "resourceclaimtemplates",
                &json!({"spec": {"spec": {}}}),
                &json!({"spec": {"spec": {"devices": {}}}})
            ),
            ["spec"]
        );
        let slice = |driver: &str, node: &str, pool: &str, generation: i64| json!({"spec": {"driver": driver, "nodeName": node, "pool": {"name": pool, "generation": generation}}});
        let before = slice("d.e", "n", "p", 1);
        assert_eq!(changed("resourceslices", &before, &slice("d.e", "n", "p", 2)), [""; 0]);
        let fields = ["spec.pool.name", "spec.driver", "spec.nodeName"];
        assert_eq!(changed("resourceslices", &before, &slice("e.f", "m", "q", 2)), fields);
    }
}
