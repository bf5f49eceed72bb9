//! Devices held against the selectors of classes and requests.
//!
//! Source: `dynamic-resource-allocation/cel/compile.go` (`DeviceMatches`).

use std::{cell::OnceCell, sync::Arc};

use crate::{
    cel::{Expression, Map, Value, Variables},
    model::{AttributeName, AttributeValue, Device, Name},
    work,
};

/// A device, as expressions see it.
#[derive(Debug)]
pub(super) struct Seen<'a> {
    device: &'a Device,
    driver: &'a Name,
    attributes: OnceCell<Value>,
    capacity: OnceCell<Value>,
}

impl<'a> Seen<'a> {
    pub(super) fn new(device: &'a Device, driver: &'a Name) -> Self {
        Self { device, driver, attributes: OnceCell::new(), capacity: OnceCell::new() }
    }

    /// `true` if the device meets the expression. The cost of evaluation is added to `cost`.
    ///
    /// # Errors
    /// Why the expression has no value for it.
    pub(super) fn meets(&self, expression: &Expression, cost: &mut u64) -> Result<bool, String> {
        if let Some(fault) = expression.fault() {
            return Err(format!("CEL compile error: {fault}"));
        }
        self.readable().map_err(|reason| runtime(&reason))?;
        match expression.evaluate(self, cost).map_err(|reason| runtime(&reason))? {
            Value::Bool(meets) => Ok(meets),
            other => Err(runtime(&format!("CEL result of type {} could not be converted to bool", other.type_name()))),
        }
    }

    /// Each attribute of a device must have a value, also one that no expression reads.
    fn readable(&self) -> Result<(), String> {
        for (name, value) in &self.device.attributes {
            let fault = match value {
                AttributeValue::Unknown => "unsupported attribute value".into(),
                AttributeValue::Version(_, Err(fault)) => format!("parse semantic version: {fault}"),
                _ => continue,
            };
            let slash = if name.domain.is_empty() { "" } else { "/" };
            return Err(format!("attribute {}{slash}{}: {fault}", name.domain, name.id));
        }
        Ok(())
    }

    /// A map by domain of maps by name.
    fn by_domain<T>(&self, items: &[(AttributeName, T)], value: impl Fn(&T) -> Value) -> Value {
        work::spend(4 + items.len() as u64 * 2);
        let mut domains: Vec<(&Name, Vec<(Value, Value)>)> = Vec::new();
        for (name, item) in items {
            let (domain, entry) = (name.domain_of(self.driver), (Value::String(name.id.clone()), value(item)));
            match domains.iter_mut().find(|(other, _)| *other == domain) {
                // Of two names of one attribute, with the driver and without, the last counts.
                Some((_, entries)) => {
                    entries.retain(|(id, _)| !matches!(id, Value::String(id) if *id == name.id));
                    entries.push(entry);
                }
                None => domains.push((domain, vec![entry])),
            }
        }
        let map = |(domain, entries)| (Value::String(Name::clone(domain)), Value::Map(Arc::new(Map::new(entries))));
        Value::Map(Arc::new(Map::with_default(domains.into_iter().map(map).collect())))
    }
}

fn runtime(reason: &str) -> String {
    format!("CEL runtime error: {reason}")
}

impl Variables for Seen<'_> {
    fn field(&self, name: &str) -> Option<Value> {
        let attribute = |value: &AttributeValue| match value {
            AttributeValue::Int(value) => Value::Int(*value),
            AttributeValue::Bool(value) => Value::Bool(*value),
            AttributeValue::Text(value) => Value::String(value.clone()),
            AttributeValue::Version(_, Ok(version)) => Value::Semver(version.clone()),
            AttributeValue::Version(_, Err(_)) | AttributeValue::Unknown => Value::Null,
        };
        match name {
            "driver" => Some(Value::String(self.driver.clone())),
            "attributes" => {
                Some(self.attributes.get_or_init(|| self.by_domain(&self.device.attributes, attribute)).clone())
            }
            "capacity" => {
                let capacity = || self.by_domain(&self.device.capacity, |quantity| Value::Quantity(*quantity));
                Some(self.capacity.get_or_init(capacity).clone())
            }
            _ => None,
        }
    }

    fn whole(&self) -> Value {
        let fields = ["driver", "attributes", "capacity"];
        let entries = fields.iter().filter_map(|name| Some((Value::from(*name), self.field(name)?)));
        Value::Map(Arc::new(Map::new(entries.collect())))
    }
}
