//! Samples of usage in a request.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Visitor};
use utoipa::ToSchema;

use crate::{
    fault::{Faults, Path},
    objects::{
        meta::instant,
        quantity::{QuantityText, amount},
    },
};
use podberth_core::{
    advise::vpa,
    model::{Labels, Quantity},
};

/// Pods of a request.
const MOST_PODS: usize = 10_000;
/// Containers of a pod, and series, samples or kills of a container.
const MOST_OF_POD: usize = 100_000;
/// Samples of a request, of both resources.
const MOST_SAMPLES: u64 = 5_000_000;
/// Nanoseconds of a second.
const SECOND: i64 = 1_000_000_000;

/// The usage of one pod.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct VpaPodUsage {
    /// The pod's name.
    pub name: String,
    /// The pod's namespace; absent: the autoscaler's.
    pub namespace: String,
    /// The pod's labels, which the selector is to match.
    pub labels: BTreeMap<String, String>,
    /// Its containers.
    pub containers: Vec<VpaContainerUsage>,
}

/// The usage of one container.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct VpaContainerUsage {
    /// The container's name.
    pub name: String,
    /// Its requests.
    pub requests: BTreeMap<String, QuantityText>,
    /// Samples at equal distances.
    pub series: Vec<VpaSeries>,
    /// Samples one by one, as `metrics.k8s.io` has them.
    pub samples: Vec<VpaSample>,
    /// The times at which it was killed for want of memory.
    pub ooms: Vec<VpaOom>,
}

/// Samples at equal distances. Values begin anew where there are fewer than `count`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct VpaSeries {
    /// The time of the first sample, RFC 3339.
    pub start: String,
    /// Seconds from one sample to the next.
    pub every_seconds: i64,
    /// The number of samples.
    pub count: u64,
    /// CPU usage in milli-CPU.
    #[schema(value_type = Vec<u64>)]
    pub cpu_milli: Vec<Measured>,
    /// Memory usage in bytes.
    #[schema(value_type = Vec<u64>)]
    pub memory_bytes: Vec<Measured>,
}

/// One sample.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct VpaSample {
    /// Its time, RFC 3339.
    pub timestamp: String,
    /// The usage: `cpu`, `memory`.
    pub usage: BTreeMap<String, QuantityText>,
}

/// A kill for want of memory.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct VpaOom {
    /// Its time, RFC 3339.
    pub time: String,
    /// The bytes that the container had requested; absent: its present request.
    #[schema(nullable = false, value_type = u64)]
    pub requested_bytes: Option<Measured>,
}

/// A number that was measured: it is not negative, and a part of one counts as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Measured {
    /// A number.
    Number(i64),
    /// A value that is none, as it was sent.
    Odd(String),
}

impl Measured {
    fn read(&self, at: &Path<'_>, faults: &mut Faults) -> i64 {
        match self {
            Self::Number(number) => *number,
            Self::Odd(text) => {
                faults.unreadable(at, format_args!("{text}"), "a sample must be a number that is not negative");
                0
            }
        }
    }
}

impl Serialize for Measured {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Number(number) => serializer.serialize_i64(*number),
            Self::Odd(text) => serializer.serialize_str(text),
        }
    }
}

impl<'de> Deserialize<'de> for Measured {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = Measured;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }

            fn visit_u64<E>(self, number: u64) -> Result<Measured, E> {
                Ok(Measured::Number(i64::try_from(number).unwrap_or(i64::MAX)))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Measured, E> {
                Ok(if number < 0 { Measured::Odd(number.to_string()) } else { Measured::Number(number) })
            }

            fn visit_f64<E>(self, number: f64) -> Result<Measured, E> {
                let is_good = number.is_finite() && number >= 0.0;
                // A number beyond all integers is the largest one.
                Ok(if is_good { Measured::Number(number.ceil() as i64) } else { Measured::Odd(number.to_string()) })
            }

            fn visit_str<E>(self, text: &str) -> Result<Measured, E> {
                Ok(Measured::Odd(format!("{text:?}")))
            }

            fn visit_unit<E>(self) -> Result<Measured, E> {
                Ok(Measured::Odd("null".into()))
            }

            fn visit_none<E>(self) -> Result<Measured, E> {
                Ok(Measured::Odd("null".into()))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

/// Reads the usage of pods.
pub(super) struct Reading<'f> {
    pub(super) faults: &'f mut Faults,
    samples: u64,
}

impl<'f> Reading<'f> {
    pub(super) fn new(faults: &'f mut Faults) -> Self {
        Self { faults, samples: 0 }
    }

    /// The usage of the containers of all pods. `is_matched`: the pod is one of the autoscaler.
    pub(super) fn pods(
        &mut self,
        pods: &[VpaPodUsage],
        at: &Path<'_>,
        is_matched: impl Fn(&VpaPodUsage, &Labels) -> bool,
    ) -> Vec<vpa::ContainerUsage> {
        if pods.len() > MOST_PODS {
            self.faults.too_many(at, format!("Too many: must have at most {MOST_PODS} items"));
            return Vec::new();
        }
        let (mut read, mut named) = (Vec::new(), std::collections::BTreeSet::new());
        for (index, pod) in pods.iter().enumerate() {
            let at = at.index(index);
            if pod.name.is_empty() {
                self.faults.required(&at.child("name"), "the pod's name");
            } else if !named.insert((&pod.namespace, &pod.name)) {
                self.faults.duplicate(&at.child("name"), &pod.name);
            }
            let labels: Labels = pod.labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
            let matched = is_matched(pod, &labels);
            let (list_at, mut names) = (at.child("containers"), std::collections::BTreeSet::new());
            for (index, container) in pod.containers.iter().enumerate() {
                let at = list_at.index(index);
                if container.name.is_empty() {
                    self.faults.required(&at.child("name"), "the container's name");
                } else if !names.insert(&container.name) {
                    self.faults.duplicate(&at.child("name"), &container.name);
                }
                let (pod, container) = (pod.name.as_str().into(), self.container(container, &at));
                read.push(vpa::ContainerUsage { pod, labels: labels.clone(), matched, ..container });
                if self.samples > MOST_SAMPLES {
                    let why = format!("Too many: a request has at most {MOST_SAMPLES} samples; send fewer at a time");
                    self.faults.too_many(&at, why);
                    return Vec::new();
                }
            }
        }
        read
    }

    fn container(&mut self, of: &VpaContainerUsage, at: &Path<'_>) -> vpa::ContainerUsage {
        let lists = [("series", of.series.len()), ("samples", of.samples.len()), ("ooms", of.ooms.len())];
        for (field, _) in lists.into_iter().filter(|(_, length)| *length > MOST_OF_POD) {
            self.faults.too_many(&at.child(field), format!("Too many: must have at most {MOST_OF_POD} items"));
        }
        let (series_at, samples_at, ooms_at) = (at.child("series"), at.child("samples"), at.child("ooms"));
        let memory = of
            .requests
            .get("memory")
            .and_then(|text| self.not_negative(&text.0, &at.child("requests").key("memory")).map(Quantity::value));
        if let Some(text) = of.requests.get("cpu") {
            self.not_negative(&text.0, &at.child("requests").key("cpu"));
        }
        let series = of.series.iter().enumerate().map(|(index, series)| self.series(series, &series_at.index(index)));
        let mut series: Vec<vpa::Series> = series.collect();
        let samples = of.samples.iter().enumerate();
        series.extend(samples.map(|(index, sample)| self.sample(sample, &samples_at.index(index))));
        let ooms = of.ooms.iter().enumerate().map(|(index, oom)| {
            let at = ooms_at.index(index);
            self.samples = self.samples.saturating_add(1);
            let requested =
                oom.requested_bytes.as_ref().map(|bytes| bytes.read(&at.child("requestedBytes"), self.faults));
            vpa::Oom { at: self.time(&oom.time, &at.child("time")), requested }
        });
        vpa::ContainerUsage {
            container: of.name.as_str().into(),
            memory_request: memory.unwrap_or_default(),
            ooms: ooms.collect(),
            series,
            ..vpa::ContainerUsage::default()
        }
    }

    fn series(&mut self, of: &VpaSeries, at: &Path<'_>) -> vpa::Series {
        let start = self.time(&of.start, &at.child("start"));
        if of.every_seconds < 0 || (of.every_seconds == 0 && of.count > 1) {
            self.faults.invalid(&at.child("everySeconds"), of.every_seconds, "must be greater than 0");
        }
        self.samples = self.samples.saturating_add(of.count.saturating_mul(2));
        let mut values = |list: &[Measured], field: &str| -> Vec<i64> {
            let at = at.child(field);
            list.iter().enumerate().map(|(index, value)| value.read(&at.index(index), self.faults)).collect()
        };
        let (cpu, memory) = (values(&of.cpu_milli, "cpuMilli"), values(&of.memory_bytes, "memoryBytes"));
        vpa::Series { start, every: of.every_seconds.saturating_mul(SECOND), count: of.count, cpu, memory }
    }

    fn sample(&mut self, of: &VpaSample, at: &Path<'_>) -> vpa::Series {
        let start = self.time(&of.timestamp, &at.child("timestamp"));
        self.samples = self.samples.saturating_add(2);
        let usage_at = at.child("usage");
        let mut value = |name: &str| {
            let quantity = of.usage.get(name).and_then(|text| self.not_negative(&text.0, &usage_at.key(name)));
            quantity.into_iter().collect::<Vec<Quantity>>()
        };
        let cpu = value("cpu").into_iter().map(Quantity::milli_value).collect();
        let memory = value("memory").into_iter().map(Quantity::value).collect();
        vpa::Series { start, every: 0, count: 1, cpu, memory }
    }

    fn time(&mut self, text: &str, at: &Path<'_>) -> i64 {
        instant(text, at, self.faults).unwrap_or_default()
    }

    fn not_negative(&mut self, text: &str, at: &Path<'_>) -> Option<Quantity> {
        let quantity = amount(text, at, self.faults)?;
        if quantity.is_negative() {
            self.faults.invalid(at, text, "must be greater than or equal to 0");
        }
        Some(quantity)
    }
}
