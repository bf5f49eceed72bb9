//! Requests to Karmada's estimator, each a message of protobuf.
//!
//! The pods that they ask about are described by requirements: requests, node affinity, node selector, tolerations, priority class. They are made into a
//! pod template with one container, which is judged like any other pod.
//!
//! Source: `karmada/pkg/estimator/pb/estimator.proto`, `karmada/pkg/estimator/pb/helpers.go`.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use super::{
    bounded,
    estimate::{MOST_ASSUMED, MOST_ASSUMED_PODS},
    request::{MOST_COMPONENTS, MOST_REPLICAS},
};
use crate::{
    fault::{Cause, Faults, Path},
    protobuf::{self, Encoder, ProtobufError},
};

/// A request that is one message.
pub trait Asked: DeserializeOwned {
    /// The name of the message.
    const MESSAGE: &'static str;

    /// Reads the message.
    ///
    /// # Errors
    /// Why it is none, in one line.
    fn read(message: &[u8]) -> Result<Self, String> {
        let json = protobuf::estimator_to_json(message, Self::MESSAGE);
        let json = json.map_err(|error: ProtobufError| error.to_string())?;
        serde_json::from_str(&json).map_err(|error| error.to_string())
    }
}

/// `MaxAvailableReplicas`: how many more pods of a sort fit.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MaxReplicas {
    /// The pods.
    replica_requirements: Requirements,
    /// Workloads that are decided and not yet seen.
    assumed_workloads: Vec<AssumedWorkload>,
}

impl Asked for MaxReplicas {
    const MESSAGE: &'static str = "MaxAvailableReplicasRequest";
}

/// `MaxAvailableComponentSets`: how many more sets of pods fit, each as a whole.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MaxSets {
    /// The pods of a set.
    components: Vec<Component>,
    /// Their namespace.
    namespace: String,
    /// Workloads that are decided and not yet seen.
    assumed_workloads: Vec<AssumedWorkload>,
}

impl Asked for MaxSets {
    const MESSAGE: &'static str = "MaxAvailableComponentSetsRequest";
}

/// `GetUnschedulableReplicas`: how many pods of a workload wait because they fit nowhere.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Unschedulable {
    /// The workload.
    pub resource: Reference,
    /// Pods that wait for less than this are not counted, in nanoseconds.
    pub unschedulable_threshold: i64,
}

impl Asked for Unschedulable {
    const MESSAGE: &'static str = "UnschedulableReplicasRequest";
}

/// An object of a cluster.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Reference {
    /// Its API version.
    pub api_version: String,
    /// Its kind.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// A workload that is decided and not yet seen.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct AssumedWorkload {
    namespace: String,
    components: Vec<Component>,
}

/// Pods of one sort.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Component {
    replica_requirements: Requirements,
    replicas: i64,
}

/// The requirements of each pod.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Requirements {
    node_claim: NodeClaim,
    namespace: String,
    priority_class_name: String,
    resource_request: Option<Box<RawValue>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct NodeClaim {
    node_selector: Option<Box<RawValue>>,
    hard_node_affinity: Option<Box<RawValue>>,
    tolerations: Option<Box<RawValue>>,
}

/// Pods of one sort, as a decision reads them.
#[derive(Clone, Debug)]
pub struct Pods {
    /// Their place in the request.
    pub at: String,
    /// Such a pod, as JSON.
    pub template: Box<RawValue>,
    /// How many.
    pub count: usize,
}

/// The question how many sets of pods fit.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// The pods of a set; sorts without pods are left out.
    pub set: Vec<Pods>,
    /// Pods that are decided and not yet seen.
    pub assumed: Vec<Pods>,
}

impl MaxReplicas {
    /// The question, in which a set is one pod.
    ///
    /// # Errors
    /// All faults, by their fields.
    pub fn question(&self) -> Result<Question, Vec<Cause>> {
        let (mut faults, root) = (Faults::default(), &Path::ROOT);
        let of = &self.replica_requirements;
        let at = root.child("replicaRequirements");
        let set: Vec<Pods> = of.pods(&of.namespace, 1, &at, &mut faults).into_iter().collect();
        let assumed = assumed(&self.assumed_workloads, &root.child("assumedWorkloads"), &mut faults);
        of_faults(Question { set, assumed }, faults)
    }
}

impl MaxSets {
    /// The question.
    ///
    /// # Errors
    /// All faults, by their fields.
    pub fn question(&self) -> Result<Question, Vec<Cause>> {
        let (mut faults, root) = (Faults::default(), &Path::ROOT);
        let set = components(&self.components, &self.namespace, &root.child("components"), &mut faults);
        let assumed = assumed(&self.assumed_workloads, &root.child("assumedWorkloads"), &mut faults);
        of_faults(Question { set, assumed }, faults)
    }
}

fn of_faults(question: Question, faults: Faults) -> Result<Question, Vec<Cause>> {
    let causes = faults.into_causes();
    if causes.is_empty() { Ok(question) } else { Err(causes) }
}

fn assumed(workloads: &[AssumedWorkload], at: &Path<'_>, faults: &mut Faults) -> Vec<Pods> {
    bounded(workloads.len(), MOST_ASSUMED, at, faults);
    let mut read = Vec::new();
    for (index, workload) in workloads.iter().take(MOST_ASSUMED).enumerate() {
        let at = at.index(index);
        read.extend(components(&workload.components, &workload.namespace, &at.child("components"), faults));
    }
    let total: usize = read.iter().map(|of| of.count).sum();
    if total > MOST_ASSUMED_PODS {
        faults.invalid(at, total, format!("replicas are at most {MOST_ASSUMED_PODS} in all"));
    }
    read
}

fn components(components: &[Component], namespace: &str, at: &Path<'_>, faults: &mut Faults) -> Vec<Pods> {
    bounded(components.len(), MOST_COMPONENTS, at, faults);
    let mut read = Vec::new();
    for (index, component) in components.iter().take(MOST_COMPONENTS).enumerate() {
        let at = at.index(index);
        if !(0..=MOST_REPLICAS).contains(&component.replicas) {
            let rule = format!("must be between 0 and {MOST_REPLICAS}, inclusive");
            faults.invalid(&at.child("replicas"), component.replicas, rule);
            continue;
        }
        let count = usize::try_from(component.replicas).unwrap_or(0);
        if count > 0 {
            let at = at.child("replicaRequirements");
            read.extend(component.replica_requirements.pods(namespace, count, &at, faults));
        }
    }
    read
}

/// A pod, as much of it as requirements say.
#[derive(Serialize)]
struct Template<'a> {
    metadata: Metadata<'a>,
    spec: Spec<'a>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    namespace: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Spec<'a> {
    containers: [Container<'a>; 1],
    #[serde(skip_serializing_if = "str::is_empty")]
    priority_class_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    node_selector: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    affinity: Option<Affinity<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tolerations: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct Container<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    resources: Option<Requests<'a>>,
}

#[derive(Serialize)]
struct Requests<'a> {
    requests: &'a RawValue,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Affinity<'a> {
    node_affinity: Required<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Required<'a> {
    required_during_scheduling_ignored_during_execution: &'a RawValue,
}

impl Requirements {
    fn pods(&self, namespace: &str, count: usize, at: &Path<'_>, faults: &mut Faults) -> Option<Pods> {
        let required = |required_during_scheduling_ignored_during_execution| Affinity {
            node_affinity: Required { required_during_scheduling_ignored_during_execution },
        };
        let template = Template {
            metadata: Metadata { name: "replica", namespace },
            spec: Spec {
                containers: [Container {
                    name: "main",
                    resources: self.resource_request.as_deref().map(|requests| Requests { requests }),
                }],
                priority_class_name: &self.priority_class_name,
                node_selector: self.node_claim.node_selector.as_deref(),
                affinity: self.node_claim.hard_node_affinity.as_deref().map(required),
                tolerations: self.node_claim.tolerations.as_deref(),
            },
        };
        match serde_json::value::to_raw_value(&template) {
            Ok(template) => Some(Pods { at: at.to_string(), template, count }),
            Err(error) => {
                faults.unreadable(at, "requirements", error);
                None
            }
        }
    }
}

/// The message of an answer, a number as its first field, at most the largest of its type.
pub fn answer(number: usize) -> Vec<u8> {
    let number = i32::try_from(number).unwrap_or(i32::MAX);
    // A zero is not written.
    if number == 0 { Vec::new() } else { Encoder::default().number(1, number).into_bytes() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn entry(key: &str, value: &Encoder) -> Encoder {
        Encoder::default().text(1, key).message(2, value)
    }

    fn quantity(amount: &str) -> Encoder {
        Encoder::default().text(1, amount)
    }

    fn read(pods: &Pods) -> Value {
        serde_json::from_str(pods.template.get()).expect("JSON")
    }

    #[test]
    fn requirements_are_made_into_a_pod() {
        let expression = Encoder::default().text(1, "disk").text(2, "In").text(3, "ssd");
        let affinity = Encoder::default().message(1, &Encoder::default().message(1, &expression));
        let toleration = Encoder::default().text(1, "gpu").text(2, "Exists").text(4, "NoSchedule");
        let claim = Encoder::default()
            .message(2, &Encoder::default().text(1, "zone").text(2, "a"))
            .message(4, &affinity)
            .message(5, &toleration);
        let requirements = Encoder::default()
            .message(1, &claim)
            .text(3, "shop")
            .text(4, "high")
            .message(5, &entry("cpu", &quantity("500m")))
            .message(5, &entry("example.com/gpu", &quantity("1")));
        let component = Encoder::default()
            .text(1, "worker")
            .message(2, &Encoder::default().message(4, &entry("memory", &quantity("1Gi"))))
            .number(3, 2);
        let workload = Encoder::default().text(1, "batch").message(2, &component);
        let message = Encoder::default().text(1, "eu-1").message(2, &requirements).message(3, &workload).into_bytes();

        assert_eq!(protobuf::cluster_of(&message), Ok("eu-1"));
        let question = MaxReplicas::read(&message).expect("a message").question().expect("a question");
        assert_eq!((question.set.len(), question.set[0].count), (1, 1));
        let expected = json!({"metadata": {"name": "replica", "namespace": "shop"}, "spec": {
            "containers": [{"name": "main", "resources": {"requests": {"cpu": "500m", "example.com/gpu": "1"}}}],
            "priorityClassName": "high", "nodeSelector": {"zone": "a"},
            "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]}]}}},
            "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}]}});
        assert_eq!(read(&question.set[0]), expected);
        let [assumed] = &question.assumed[..] else { panic!("{:?}", question.assumed) };
        assert_eq!((assumed.count, &*assumed.at), (2, "assumedWorkloads[0].components[0].replicaRequirements"));
        let expected = json!({"metadata": {"name": "replica", "namespace": "batch"}, "spec": {
            "containers": [{"name": "main", "resources": {"requests": {"memory": "1Gi"}}}]}});
        assert_eq!(read(assumed), expected);

        // Nothing is required: then it is a pod without requests.
        let question = MaxReplicas::read(b"").expect("a message").question().expect("a question");
        assert_eq!(read(&question.set[0])["spec"], json!({"containers": [{"name": "main"}]}));
    }

    #[test]
    fn sets_have_pods_and_bounds() {
        let component = |replicas| Encoder::default().number(3, replicas);
        let of = |components: &[i32]| {
            let message =
                components.iter().fold(Encoder::default().text(1, "eu-1").text(3, "shop"), |message, count| {
                    message.message(2, &component(*count))
                });
            MaxSets::read(&message.into_bytes()).expect("a message").question()
        };
        let counts: Vec<usize> = of(&[2, 0, 3]).expect("a question").set.iter().map(|pods| pods.count).collect();
        assert_eq!(counts, [2, 3]);
        let faults = of(&[-1]).expect_err("it is refused");
        assert_eq!(faults[0].field, "components[0].replicas");
        assert!(of(&[1_000_001]).is_err() && of(&[1; 33]).is_err());
        let resource = Encoder::default().text(1, "apps/v1").text(2, "Deployment").text(3, "shop").text(4, "web");
        let message = Encoder::default().text(1, "eu-1").message(2, &resource).number(3, 60).into_bytes();
        let asked = Unschedulable::read(&message).expect("a message");
        let Reference { api_version, kind, namespace, name } = asked.resource;
        assert_eq!([api_version, kind, namespace, name], ["apps/v1", "Deployment", "shop", "web"]);
        assert_eq!(asked.unschedulable_threshold, 60);
    }

    #[test]
    fn an_answer_is_one_number() {
        assert_eq!(answer(0), b"");
        assert_eq!(answer(300), b"\x08\xac\x02");
        assert_eq!(answer(usize::MAX), b"\x08\xff\xff\xff\xff\x07");
    }

    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![number << 3 | 2, bytes.len() as u8];
        out.extend_from_slice(bytes);
        out
    }

    /// Bytes that are often messages of messages.
    fn messages() -> impl Strategy<Value = Vec<u8>> {
        let leaf = prop_oneof![
            prop::collection::vec(any::<u8>(), 0..12),
            (1..6_u8, any::<i32>()).prop_map(|(number, value)| Encoder::default().number(number, value).into_bytes()),
            (1..6_u8, "[a-z0-9{}\"\\\\]{0,8}").prop_map(|(number, text)| field(number, text.as_bytes())),
        ];
        leaf.prop_recursive(6, 32, 4, |inner| {
            prop::collection::vec((1..6_u8, inner), 0..4).prop_map(|fields| {
                let short = fields.into_iter().filter(|(_, bytes)| bytes.len() < 128);
                short.flat_map(|(number, bytes)| field(number, &bytes)).collect()
            })
        })
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_question_or_refused(message in messages(), cut in any::<prop::sample::Index>()) {
            for message in [&message[..], &message[..cut.index(message.len() + 1)]] {
                let _ = protobuf::cluster_of(message);
                for name in [MaxReplicas::MESSAGE, MaxSets::MESSAGE, Unschedulable::MESSAGE] {
                    if let Ok(json) = protobuf::estimator_to_json(message, name) {
                        prop_assert!(serde_json::from_str::<Value>(&json).is_ok(), "{json}");
                        prop_assert!(json.len() <= protobuf::weight(message) + 64, "{} of {}", json.len(), message.len());
                    }
                }
                let _ = Unschedulable::read(message);
                let _ = MaxReplicas::read(message).map(|asked| asked.question().is_ok());
                if let Ok(Ok(question)) = MaxSets::read(message).map(|asked| asked.question()) {
                    prop_assert!(question.set.iter().all(|pods| pods.count > 0));
                }
            }
        }

        #[test]
        fn requests_come_as_they_were_written(cluster in "[a-z-]{1,20}", namespace in "[a-z]{0,9}", amounts in prop::collection::btree_map("[a-z./]{1,12}", "[0-9]{1,6}m?", 0..6)) {
            let mut requirements = Encoder::default().text(3, &namespace);
            for (name, amount) in &amounts {
                requirements = requirements.message(5, &entry(name, &quantity(amount)));
            }
            let message = Encoder::default().text(1, &cluster).message(2, &requirements).into_bytes();
            prop_assert_eq!(protobuf::cluster_of(&message), Ok(&*cluster));
            let question = MaxReplicas::read(&message).expect("a message").question().expect("a question");
            let pod = read(&question.set[0]);
            let requests = &pod["spec"]["containers"][0]["resources"]["requests"];
            let told: std::collections::BTreeMap<String, String> = serde_json::from_value(requests.clone()).unwrap_or_default();
            prop_assert_eq!(told, amounts);
            prop_assert_eq!(pod["metadata"]["namespace"].as_str().unwrap_or_default(), namespace);
        }
    }
}
