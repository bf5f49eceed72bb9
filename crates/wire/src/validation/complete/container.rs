//! One container of a pod: what it runs, its environment, mounts and probes.
//!
//! Source: `pkg/apis/core/validation/validation.go` (`validateContainerCommon`, `ValidateEnv`, `ValidateVolumeMounts`, `validateProbe`,
//! `validateHandler`, `validateLivenessProbe`, `validatePullPolicy`).

use std::collections::BTreeSet;

use super::part::Part;
use crate::fault::Faults;

const ENV_SOURCES: [&str; 5] = ["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"];
const HANDLERS: [&str; 5] = ["exec", "httpGet", "tcpSocket", "grpc", "sleep"];

pub(super) fn container(container: &Part<'_>, list: &str, volumes: &BTreeSet<&str>, faults: &mut Faults) {
    let image = container.get("image");
    if image.text().is_empty() {
        faults.required(&image.at, "");
    } else if image.text() != image.text().trim() {
        faults.invalid(&image.at, image.text(), "must not have leading or trailing whitespace");
    }
    container.get("terminationMessagePolicy").one_of(&["FallbackToLogsOnError", "File"], faults);
    container.get("imagePullPolicy").one_of(&["Always", "IfNotPresent", "Never"], faults);
    for variable in container.get("env").items() {
        env(&variable, faults);
    }
    for source in container.get("envFrom").items() {
        let sources = ["configMapRef", "secretRef"].into_iter().filter(|field| !source.get(field).is_absent()).count();
        match sources {
            0 => faults.invalid(&source.at, "", "must specify one of: `configMapRef` or `secretRef`"),
            1 => {}
            _ => faults.invalid(&source.at, "", "may not have more than one field specified at a time"),
        }
    }
    mounts(container, volumes, faults);
    if list == crate::ephemeral::FIELD {
        // It has neither probes nor a lifecycle.
        return;
    }
    let restarts = list == "containers" || container.get("restartPolicy").text() == "Always";
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let probe = container.get(name);
        if probe.is_absent() {
            continue;
        }
        if !restarts {
            faults.forbidden(&probe.at, "may not be set for init containers without restartPolicy=Always");
            continue;
        }
        handler(&probe, faults);
        for field in ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"]
        {
            probe.get(field).not_negative(faults);
        }
        let successes = probe.get("successThreshold");
        if name != "readinessProbe" && successes.int().is_some_and(|count| count != 1) {
            faults.invalid(&successes.at, successes.int().unwrap_or_default(), "must be 1");
        }
    }
    let lifecycle = container.get("lifecycle");
    if !lifecycle.is_absent() && !restarts {
        faults.forbidden(&lifecycle.at, "may not be set for init containers without restartPolicy=Always");
    } else {
        for field in ["postStart", "preStop"] {
            let hook = lifecycle.get(field);
            if !hook.is_absent() {
                handler(&hook, faults);
            }
        }
    }
}

fn env(variable: &Part<'_>, faults: &mut Faults) {
    let name = variable.get("name");
    if name.required(faults) && !name.text().bytes().all(|b| (b' '..=b'~').contains(&b) && b != b'=') {
        let why = "a valid environment variable name must consist only of printable ASCII characters other than '='";
        faults.invalid(&name.at, name.text(), why);
    }
    let from = variable.get("valueFrom");
    if from.is_absent() {
        return;
    }
    let sources = ENV_SOURCES.into_iter().filter(|field| !from.get(field).is_absent()).count();
    if !variable.get("value").text().is_empty() && sources != 0 {
        faults.invalid(&from.at, "", "may not be specified when `value` is not empty");
    } else if sources == 0 {
        let why = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`";
        faults.invalid(&from.at, "", why);
    } else if sources > 1 {
        faults.invalid(&from.at, "", "may not have more than one field specified at a time");
    }
    for field in ["configMapKeyRef", "secretKeyRef"] {
        let source = from.get(field);
        if !source.is_absent() {
            source.get("name").required(faults);
            source.get("key").required(faults);
        }
    }
}

fn mounts(container: &Part<'_>, volumes: &BTreeSet<&str>, faults: &mut Faults) {
    let mut paths = BTreeSet::new();
    for (list, path) in [("volumeMounts", "mountPath"), ("volumeDevices", "devicePath")] {
        for mount in container.get(list).items() {
            let (name, path) = (mount.get("name"), mount.get(path));
            if name.required(faults) && !volumes.contains(name.text()) {
                faults.missing(&name.at, name.text());
            }
            if path.required(faults) && !paths.insert(path.text().to_owned()) {
                faults.invalid(&path.at, path.text(), "must be unique");
            }
        }
    }
}

fn handler(of: &Part<'_>, faults: &mut Faults) {
    let mut count = 0;
    for field in HANDLERS {
        let action = of.get(field);
        if action.is_absent() {
            continue;
        }
        count += 1;
        if count > 1 {
            faults.forbidden(&action.at, "may not specify more than 1 handler type");
            continue;
        }
        match field {
            "exec" => drop(action.get("command").required(faults)),
            "httpGet" => {
                action.get("path").required(faults);
                action.get("port").port(faults);
                action.get("scheme").one_of(&["HTTP", "HTTPS"], faults);
            }
            "tcpSocket" | "grpc" => action.get("port").port(faults),
            _ => {}
        }
    }
    if count == 0 {
        faults.required(&of.at, "must specify a handler type");
    }
}
