//! A part of an object with its place.

use serde_json::Value;

use super::address;
use crate::{
    fault::{Faults, Path},
    objects::names::{self, NameRule},
};
use podberth_core::model::Quantity;

/// A part of a normalized object. What is missing is null.
#[derive(Clone, Copy)]
pub(super) struct Part<'p> {
    pub value: &'p Value,
    pub at: Path<'p>,
}

impl<'p> Part<'p> {
    pub(super) fn whole(value: &'p Value) -> Self {
        Self { value, at: Path::ROOT }
    }

    pub(super) fn get(&'p self, field: &'p str) -> Self {
        Self { value: &self.value[field], at: self.at.child(field) }
    }

    pub(super) fn items(&'p self) -> impl Iterator<Item = Part<'p>> {
        let list = self.value.as_array().into_iter().flatten();
        list.enumerate().map(|(i, value)| Part { value, at: self.at.index(i) })
    }

    pub(super) fn entries(&'p self) -> impl Iterator<Item = (&'p str, Part<'p>)> {
        let map = self.value.as_object().into_iter().flatten();
        map.map(|(key, value)| (key.as_str(), Part { value, at: self.at.key(key) }))
    }

    /// `true` if it is not there.
    pub(super) fn is_absent(&self) -> bool {
        self.value.is_null()
    }

    pub(super) fn text(&self) -> &'p str {
        self.value.as_str().unwrap_or_default()
    }

    pub(super) fn int(&self) -> Option<i64> {
        self.value.as_i64()
    }

    pub(super) fn quantity(&self) -> Option<Quantity> {
        self.value.as_str()?.parse().ok()
    }

    /// Reports an empty text or a missing object.
    pub(super) fn required(&self, faults: &mut Faults) -> bool {
        let is_missing = match self.value {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Array(items) => items.is_empty(),
            _ => false,
        };
        if is_missing {
            faults.required(&self.at, "");
        }
        !is_missing
    }

    /// Reports a text outside of a list; the list is in the order in which it is told.
    pub(super) fn one_of(&self, known: &[&str], faults: &mut Faults) {
        if !self.is_absent() && !known.contains(&self.text()) {
            faults.not_supported(&self.at, self.text(), known);
        }
    }

    /// Reports a text that breaks a rule; none is none.
    pub(super) fn named(&self, rule: NameRule, faults: &mut Faults) {
        if !self.text().is_empty()
            && let Err(why) = rule(self.text())
        {
            faults.invalid(&self.at, self.text(), why);
        }
    }

    /// Reports a number below zero.
    pub(super) fn not_negative(&self, faults: &mut Faults) {
        if let Some(number) = self.int().filter(|number| *number < 0) {
            faults.invalid(&self.at, number, "must be greater than or equal to 0");
        }
    }

    /// Reports a number below one.
    pub(super) fn positive(&self, faults: &mut Faults) {
        if let Some(number) = self.int().filter(|number| *number < 1) {
            faults.invalid(&self.at, number, "must be greater than 0");
        }
    }

    /// Reports what is no port.
    pub(super) fn port(&self, faults: &mut Faults) {
        if let Value::String(name) = self.value {
            if let Err(why) = names::port_name(name) {
                faults.invalid(&self.at, name, why);
            }
            return;
        }
        let number = self.int().unwrap_or_default();
        if !(1..=65535).contains(&number) {
            faults.invalid(&self.at, number, "must be between 1 and 65535, inclusive");
        }
    }

    /// Reports another value than a stored one.
    pub(super) fn unchanged(&self, stored: &Part<'_>, faults: &mut Faults) {
        if self.value != stored.value {
            faults.invalid_json(&self.at, self.value, "field is immutable");
        }
    }

    /// Reports a text that is no address.
    pub(super) fn address(&self, faults: &mut Faults) {
        if address::lenient(self.text()).is_none() {
            faults.invalid(&self.at, self.text(), "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
        }
    }

    /// Reports a text that is no range of addresses.
    pub(super) fn cidr(&self, faults: &mut Faults) -> bool {
        let is_range = address::lenient_range(self.text()).is_some();
        if !is_range {
            let why = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
            faults.invalid(&self.at, self.text(), why);
        }
        is_range
    }
}
