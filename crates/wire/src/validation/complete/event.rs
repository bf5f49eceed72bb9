//! Events, as they are stored. Those of `events.k8s.io` are held to more.
//!
//! Source: `pkg/apis/core/validation/events.go`.

use super::part::Part;
use crate::{fault::Faults, objects::names};

pub(super) fn event(event: &Part<'_>, is_new: bool, faults: &mut Faults) {
    let own = event.get("metadata").get("namespace").text().to_owned();
    let object = event.get("involvedObject");
    let namespace = object.get("namespace");
    let time = event.get("eventTime");
    let controller = event.get("reportingComponent");
    let told = if is_new { "reportingController" } else { "reportingComponent" };
    let told = event.get(told);
    let (action, reason, note) = (event.get("action"), event.get("reason"), event.get("message"));
    if time.is_absent() {
        let agrees = if namespace.text().is_empty() { own == "default" } else { own == namespace.text() };
        if !agrees {
            faults.invalid(&namespace.at, namespace.text(), "does not match event.namespace");
        }
    } else {
        if namespace.text().is_empty() && !matches!(&*own, "default" | "kube-system") {
            faults.invalid(&namespace.at, namespace.text(), "does not match event.namespace");
        }
        if controller.text().is_empty() {
            faults.required(&told.at, "");
        }
        if let Err(why) = names::qualified_name(controller.text()) {
            faults.invalid(&told.at, controller.text(), why);
        }
        for (field, most, is_required) in
            [(event.get("reportingInstance"), 128, true), (action, 128, true), (reason, 128, true), (note, 1024, false)]
        {
            if is_required && field.text().is_empty() {
                faults.required(&field.at, "");
            }
            if field.text().len() > most {
                faults.invalid(&field.at, "", format_args!("can have at most {most} characters"));
            }
        }
    }
    if !is_new {
        return;
    }
    let series = event.get("series");
    if !series.is_absent() && series.get("count").int().unwrap_or_default() < 2 {
        faults.invalid(&series.get("count").at, "", "should be at least 2");
    }
    if time.is_absent() {
        faults.required(&time.at, "");
    }
    let of = event.get("type");
    if !matches!(of.text(), "Normal" | "Warning") {
        faults.invalid(&of.at, "", format_args!("has invalid value: {}", of.text()));
    }
    for field in ["firstTimestamp", "lastTimestamp", "count", "source"] {
        let unset = event.get(field);
        let is_set = unset.value.as_object().map_or(!unset.is_absent(), |source| !source.is_empty());
        if is_set {
            faults.invalid(&unset.at, "", "needs to be unset");
        }
    }
}
