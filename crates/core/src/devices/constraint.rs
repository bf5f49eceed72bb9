//! Conditions on the devices of a claim together.
//!
//! Source: `structured/internal/experimental/allocator_experimental.go` (`matchAttributeConstraint`) and `constraint.go`. That a
//! `distinctAttribute` holds by values and for all devices of a claim is the meaning that the API documents; it is off by default in 1.34,
//! whose allocator compares addresses.

use crate::model::{AttributeName, AttributeValue, ConstraintRule, Device, DeviceConstraint, Name};

/// A condition while devices are chosen: the values of those chosen so far.
#[derive(Debug)]
pub(super) struct Constraint<'a> {
    requests: &'a [Name],
    attribute: &'a AttributeName,
    is_distinct: bool,
    values: Vec<&'a AttributeValue>,
}

impl<'a> Constraint<'a> {
    /// The condition, before any device is chosen; `None` for one that is not known here.
    pub(super) fn new(constraint: &'a DeviceConstraint) -> Option<Self> {
        let (attribute, is_distinct) = match &constraint.rule {
            ConstraintRule::Match(attribute) => (attribute, false),
            ConstraintRule::Distinct(attribute) => (attribute, true),
            ConstraintRule::Unknown => return None,
        };
        Some(Self { requests: &constraint.requests, attribute, is_distinct, values: Vec::new() })
    }

    /// The value of the attribute that it is about.
    pub(super) fn value_of(&self, device: &'a Device, driver: &Name) -> Option<&'a AttributeValue> {
        device.attribute(self.attribute, driver)
    }

    /// `true` if it is about the devices of this request, or of this alternative of one.
    fn is_about(&self, request: &str, alternative: Option<&str>) -> bool {
        let is_alternative =
            |name: &str, of: &str| name.strip_prefix(request).and_then(|rest| rest.strip_prefix('/')) == Some(of);
        self.requests.is_empty()
            || self
                .requests
                .iter()
                .any(|name| **name == *request || alternative.is_some_and(|of| is_alternative(name, of)))
    }

    /// Adds a device for this request. `false`, and nothing is added, if the condition would not hold any more.
    pub(super) fn add(&mut self, request: &str, alternative: Option<&str>, device: &'a Device, driver: &Name) -> bool {
        if !self.is_about(request, alternative) {
            return true;
        }
        let Some(value) = self.value_of(device, driver) else { return false };
        let holds = match value {
            // The first may have any.
            AttributeValue::Unknown => self.values.is_empty(),
            value if self.is_distinct => self.values.iter().all(|other| !is_same(value, other)),
            value => self.values.first().is_none_or(|other| is_same(value, other)),
        };
        if holds {
            self.values.push(value);
        }
        holds
    }

    /// Takes off the device that was added last for this request.
    pub(super) fn remove(&mut self, request: &str, alternative: Option<&str>) {
        if self.is_about(request, alternative) {
            self.values.pop();
        }
    }
}

fn is_same(a: &AttributeValue, b: &AttributeValue) -> bool {
    match (a, b) {
        (AttributeValue::Unknown, _) | (_, AttributeValue::Unknown) => false,
        // Versions are compared as they are written.
        (AttributeValue::Version(a, _), AttributeValue::Version(b, _)) => a == b,
        (a, b) => a == b,
    }
}
