//! Devices: slices, classes, claims.
//!
//! Source: `pkg/apis/resource/validation/validation.go`.

use std::collections::BTreeSet;

use super::Validate;
use crate::{
    decode::DecodeError,
    fault::{Faults, Path},
    objects::{
        device::{
            Device, DeviceClass, DeviceRequest, DeviceSelector, ExactDeviceRequest, ResourceClaim, ResourceSlice,
        },
        names::{self, NameRule},
    },
};
use podberth_core::{
    cel,
    limits::Limit,
    model::{MOST_DEVICES_OF_CLAIM, MOST_RESERVED_FOR},
};

const fn limit(most: usize, remedy: &'static str) -> Limit {
    Limit { most, remedy }
}

const REQUESTS: Limit = limit(MOST_DEVICES_OF_CLAIM, "make another claim");
const ALTERNATIVES: Limit = limit(8, "the first that can be met counts");
const SELECTORS: Limit = limit(32, "join expressions with &&");
const CONSTRAINTS: Limit = limit(32, "one constraint can be about several requests");
const RESERVED: Limit = limit(MOST_RESERVED_FOR, "make another claim");
const DEVICES: Limit = limit(128, "publish several slices");
const ATTRIBUTES: Limit = limit(32, "publish what selectors read");

fn hold(limit: &Limit, count: usize, at: &Path<'_>, faults: &mut Faults) {
    if let Some(refusal) = limit.refusal(count) {
        faults.too_many(at, refusal);
    }
}

/// That a name is there, and is one.
fn named(name: &str, rule: NameRule, at: &Path<'_>, faults: &mut Faults) {
    if name.is_empty() {
        faults.required(at, "");
    } else if let Err(rule) = rule(name) {
        faults.invalid(at, name, rule);
    }
}

/// That names are there and unique.
fn unique<'a>(names: impl Iterator<Item = &'a str>, at: &Path<'_>, faults: &mut Faults) {
    let mut seen = BTreeSet::new();
    for (i, name) in names.enumerate() {
        let at = at.index(i);
        named(name, names::dns_label, &at.child("name"), faults);
        if !name.is_empty() && !seen.insert(name) {
            faults.duplicate(&at, name);
        }
    }
}

fn selectors(selectors: &[DeviceSelector], at: &Path<'_>, faults: &mut Faults) {
    hold(&SELECTORS, selectors.len(), at, faults);
    for (i, selector) in selectors.iter().enumerate() {
        let at = at.index(i);
        let at = at.child("cel");
        let Some(cel) = &selector.cel else { continue };
        if cel.expression.len() > cel::MOST_LENGTH {
            faults.too_long(&at.child("expression"), cel::MOST_LENGTH);
        }
    }
}

fn request(request: &DeviceRequest, at: &Path<'_>, faults: &mut Faults) {
    const ONE: &str = "exactly one of `exactly` or `firstAvailable` is required";
    match (&request.exactly, request.first_available.is_empty()) {
        (None, true) => faults.required(at, ONE),
        (Some(_), false) => faults.invalid(at, &request.name, format!("{ONE}, but multiple fields are set")),
        (Some(exact), true) => wanted(exact, &at.child("exactly"), faults),
        (None, false) => {
            let at = at.child("firstAvailable");
            hold(&ALTERNATIVES, request.first_available.len(), &at, faults);
            unique(request.first_available.iter().map(|alternative| alternative.name.as_str()), &at, faults);
            for (i, alternative) in request.first_available.iter().enumerate() {
                wanted(alternative, &at.index(i), faults);
            }
        }
    }
}

fn wanted(request: &ExactDeviceRequest, at: &Path<'_>, faults: &mut Faults) {
    named(&request.device_class_name, names::dns_subdomain, &at.child("deviceClassName"), faults);
    selectors(&request.selectors, &at.child("selectors"), faults);
    let count_at = at.child("count");
    let count = request.count.unwrap_or_default();
    match request.allocation_mode.as_str() {
        "All" if count != 0 => {
            faults.invalid(&count_at, count, "must not be specified when allocationMode is 'All'");
        }
        "" | "ExactCount" if count < 0 => faults.invalid(&count_at, count, "must be greater than zero"),
        "" | "ExactCount" | "All" => {}
        other => faults.not_supported(&at.child("allocationMode"), other, &["All", "ExactCount"]),
    }
}

impl Validate for ResourceClaim {
    fn validate(&self, _: &[u8], faults: &mut Faults) -> Result<(), DecodeError> {
        let (devices, at) = (&self.spec.devices, Path::ROOT.child("spec"));
        let at = at.child("devices");
        let (requests_at, constraints_at) = (at.child("requests"), at.child("constraints"));
        hold(&REQUESTS, devices.requests.len(), &requests_at, faults);
        hold(&CONSTRAINTS, devices.constraints.len(), &constraints_at, faults);
        unique(devices.requests.iter().map(|request| request.name.as_str()), &requests_at, faults);
        for (i, one) in devices.requests.iter().enumerate() {
            request(one, &requests_at.index(i), faults);
        }
        let known = |name: &str| {
            let (request, alternative) = name.split_once('/').map_or((name, None), |(request, of)| (request, Some(of)));
            devices.requests.iter().any(|other| {
                other.name == request
                    && alternative.is_none_or(|of| other.first_available.iter().any(|other| other.name == of))
            })
        };
        for (i, constraint) in devices.constraints.iter().enumerate() {
            let at = constraints_at.index(i);
            let names_at = at.child("requests");
            for (j, name) in constraint.requests.iter().enumerate().filter(|(_, name)| !known(name)) {
                let why = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";
                faults.invalid(&names_at.index(j), name, why);
            }
            match constraint.match_attribute.as_ref().or(constraint.distinct_attribute.as_ref()) {
                None => faults.required(&at.child("matchAttribute"), ""),
                Some(attribute) if !attribute.contains('/') => {
                    faults.invalid(&at.child("matchAttribute"), attribute, "must include a domain");
                }
                Some(_) => {}
            }
        }
        let status_at = Path::ROOT.child("status");
        hold(&RESERVED, self.status.reserved_for.len(), &status_at.child("reservedFor"), faults);
        Ok(())
    }
}

impl Validate for DeviceClass {
    fn validate(&self, _: &[u8], faults: &mut Faults) -> Result<(), DecodeError> {
        let at = Path::ROOT.child("spec");
        selectors(&self.spec.selectors, &at.child("selectors"), faults);
        Ok(())
    }
}

impl Validate for ResourceSlice {
    fn validate(&self, _: &[u8], faults: &mut Faults) -> Result<(), DecodeError> {
        const ONE: &str = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
        let (spec, at) = (&self.spec, Path::ROOT.child("spec"));
        named(&spec.driver, names::dns_subdomain, &at.child("driver"), faults);
        let pool_at = at.child("pool");
        if spec.pool.name.is_empty() {
            faults.required(&pool_at.child("name"), "");
        }
        if spec.pool.resource_slice_count <= 0 {
            let count = spec.pool.resource_slice_count;
            faults.invalid(&pool_at.child("resourceSliceCount"), count, "must be greater than zero");
        }
        if spec.pool.generation < 0 {
            let generation = spec.pool.generation;
            faults.invalid(&pool_at.child("generation"), generation, "must be greater than or equal to zero");
        }
        let ways = [
            !spec.node_name.is_empty(),
            spec.node_selector.is_some(),
            spec.all_nodes,
            spec.per_device_node_selection.is_some(),
        ];
        match ways.into_iter().filter(|set| *set).count() {
            0 => faults.required(&at, ONE),
            1 => {}
            _ => faults.invalid(&at, &spec.driver, format!("{ONE}, but multiple fields are set")),
        }
        if spec.node_selector.as_ref().is_some_and(|selector| selector.node_selector_terms.len() > 1) {
            let terms_at = at.child("nodeSelector");
            faults.invalid(&terms_at.child("nodeSelectorTerms"), "", "must have exactly one node selector term");
        }
        let devices_at = at.child("devices");
        hold(&DEVICES, spec.devices.len(), &devices_at, faults);
        unique(spec.devices.iter().map(|device| device.name.as_str()), &devices_at, faults);
        for (i, one) in spec.devices.iter().enumerate() {
            device(one, &devices_at.index(i), faults);
        }
        Ok(())
    }
}

fn device(device: &Device, at: &Path<'_>, faults: &mut Faults) {
    hold(&ATTRIBUTES, device.attributes.len() + device.capacity.len(), at, faults);
    let attributes_at = at.child("attributes");
    for (name, attribute) in &device.attributes {
        let at = attributes_at.key(name);
        let values = [
            attribute.int.is_some(),
            attribute.bool.is_some(),
            attribute.string.is_some(),
            attribute.version.is_some(),
        ];
        match values.into_iter().filter(|set| *set).count() {
            0 => faults.required(&at, "exactly one value must be specified"),
            1 => {}
            _ => faults.invalid(&at, name, "exactly one value must be specified"),
        }
        if let Some(version) = &attribute.version
            && let Err(why) = cel::Semver::parse(version)
        {
            faults.invalid(&at.child("version"), version, why);
        }
    }
}
