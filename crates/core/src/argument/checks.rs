//! Checks that several arguments share.
//!
//! Source: `pkg/scheduler/apis/config/validation/validation_pluginargs.go`.

use super::{ResourceWeight, ShapePoint};
use crate::fault::Fault;

const MAX_UTILIZATION: i64 = 100;
const MAX_SHAPE_SCORE: i64 = 10;

/// `validateFunctionShape`; `unsorted` is the release's wording of points out of order.
pub(crate) fn shape(field: &str, points: &[ShapePoint], unsorted: &str, faults: &mut Vec<Fault>) {
    if points.is_empty() {
        faults.push(Fault::new(field, "Required value: at least one point must be specified"));
    }
    if let Some(i) = points.windows(2).position(|pair| matches!(pair, [a, b] if a.utilization >= b.utilization)) {
        let late = points.get(i + 1).map_or(0, |p| p.utilization);
        faults.push(Fault::invalid(format!("{field}[{}].utilization", i + 1), late, unsorted));
    }
    for (i, point) in points.iter().enumerate() {
        for (name, value, max) in
            [("utilization", point.utilization, MAX_UTILIZATION), ("score", point.score, MAX_SHAPE_SCORE)]
        {
            if !(0..=max).contains(&value) {
                let why = format!("not in valid range [0, {max}]");
                faults.push(Fault::invalid(format!("{field}[{i}].{name}"), value, why));
            }
        }
    }
}

/// `validateResourcesNoMax`, or `validateResources` where there is a `max`.
pub(crate) fn resources(field: &str, resources: &[ResourceWeight], max: Option<i64>, faults: &mut Vec<Fault>) {
    for (i, resource) in resources.iter().enumerate() {
        if resource.weight < 1 || max.is_some_and(|max| resource.weight > max) {
            let range = max.map_or("[1, inf)".to_owned(), |max| format!("(0, {max}]"));
            let why = format!("resource weight of {} not in valid range {range}", resource.name);
            faults.push(Fault::invalid(format!("{field}[{i}].weight"), resource.weight, why));
        }
    }
}

/// A number in a range; `None` for no upper end.
pub(crate) fn range(field: String, value: i64, max: Option<i64>, faults: &mut Vec<Fault>) {
    if value < 0 || max.is_some_and(|max| value > max) {
        let max = max.map_or("inf)".to_owned(), |max| format!("{max}]"));
        faults.push(Fault::invalid(field, value, format!("not in valid range [0, {max}")));
    }
}
