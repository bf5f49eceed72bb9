"""The journey of tests/sdk with openapi-python-client's client: python_client.py URL"""
import sys

from podberth_client import Client
from podberth_client.api.decisions import explain_pod
from podberth_client.api.extender import filter_nodes, prioritize_nodes
from podberth_client.api.policy import replace_policy
from podberth_client.api.state import create_node, create_pod, list_nodes, read_pod, replace_pod
from podberth_client.models import (
    ExplainRequest, ExtenderArgs, ExtenderFilterResult, Node, NodeList, Pod, PolicyDocument, Status)

client = Client(base_url=sys.argv[1], raise_on_unexpected_status=True)


def node(name, cpu):
    return Node.from_dict({
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "status": {"allocatable": {"cpu": cpu, "memory": "8Gi", "pods": "110"}},
    })


def pod(name, cpu):
    requests = {"requests": {"cpu": cpu, "memory": "1Gi"}}
    container = {"name": "main", "image": "example/web:1", "env": [{"name": "A", "value": "b"}], "resources": requests}
    return Pod.from_dict({"metadata": {"name": name, "namespace": "default"},
                          "spec": {"dnsPolicy": "Default", "containers": [container]}})


# Stores two nodes and a pod; what comes back is typed and carries what the server added.
for name, cpu in (("small", "1"), ("big", "8")):
    stored = create_node.sync(client=client, body=node(name, cpu))
    assert isinstance(stored, Node) and stored.metadata.uid, stored
nodes = list_nodes.sync(client=client)
assert isinstance(nodes, NodeList) and [n.metadata.name for n in nodes.items] == ["big", "small"], nodes
stored = create_pod.sync(namespace="default", client=client, body=pod("web", "2"))
assert isinstance(stored, Pod) and stored.metadata.resource_version, stored

# Reads the pod, changes a label, sends it back: nothing is lost.
stored.metadata.labels = type(node("any", "1").metadata.labels).from_dict({"app": "web"})
replaced = replace_pod.sync(namespace="default", name="web", client=client, body=stored)
assert isinstance(replaced, Pod), replaced
kept = read_pod.sync(namespace="default", name="web", client=client).to_dict()
assert kept["spec"]["containers"][0]["env"] == [{"name": "A", "value": "b"}], kept
assert kept["spec"]["dnsPolicy"] == "Default" and kept["metadata"]["labels"] == {"app": "web"}, kept

# Sets a policy.
policy = {"kind": "Policy", "apiVersion": "v1", "predicates": [{"name": "GeneralPredicates"}],
          "priorities": [{"name": "LeastRequestedPriority", "weight": 1}]}
active = replace_policy.sync(client=client, body=PolicyDocument.from_dict(policy))
assert not isinstance(active, Status) and active.revision == 1, active

# Filters and prioritizes as kube-scheduler would, and asks why.
args = ExtenderArgs.from_dict({"Pod": pod("web", "2").to_dict(), "NodeNames": ["small", "big"]})
answer = filter_nodes.sync(client=client, body=args)
assert isinstance(answer, ExtenderFilterResult) and answer.node_names == ["big"], answer
assert answer.failed_nodes.to_dict() == {"small": "Insufficient cpu"}, answer
scores = prioritize_nodes.sync(client=client, body=args)
assert {s.host: s.score for s in scores} == {"big": 10, "small": 0}, scores
explanation = explain_pod.sync(client=client, body=ExplainRequest.from_dict({"podName": "default/web"}))
assert explanation.selected == "big", explanation

# Reads errors as values of a type.
missing = read_pod.sync(namespace="default", name="nobody", client=client)
assert isinstance(missing, Status) and (missing.reason, missing.code) == ("NotFound", 404), missing
invalid = create_node.sync(client=client, body=node("broken", "many"))
assert isinstance(invalid, Status) and invalid.code in (400, 422), invalid
print("openapi-python-client: as expected")
