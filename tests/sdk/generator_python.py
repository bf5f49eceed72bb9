"""The journey of tests/sdk with openapi-generator's Python client: generator_python.py URL"""
import sys

import openapi_client as podberth
from openapi_client.exceptions import NotFoundException, UnprocessableEntityException

client = podberth.ApiClient(podberth.Configuration(host=sys.argv[1]))
state, policy = podberth.StateApi(client), podberth.PolicyApi(client)
extender, decisions = podberth.ExtenderApi(client), podberth.DecisionsApi(client)

# Stores a node, and a pod with fields that the scheduler does not read.
node = state.create_node(podberth.Node.from_dict({
    "metadata": {"name": "node-a"}, "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"}}}))
assert node.metadata.uid, node
whole = {"metadata": {"name": "web", "namespace": "default"}, "spec": {"dnsPolicy": "Default", "containers": [
    {"name": "main", "image": "example/web:1", "env": [{"name": "A", "value": "b"}],
     "resources": {"requests": {"cpu": "1"}}}]}}
state.create_pod("default", podberth.Pod.from_dict(whole))

# Reads it, changes a label, sends it back: nothing is lost.
pod = state.read_pod(namespace="default", name="web")
pod.metadata.labels = {"app": "web"}
state.replace_pod(namespace="default", name="web", pod=pod)
stored = state.read_pod(namespace="default", name="web").to_dict()
assert stored["spec"]["containers"][0]["env"] == [{"name": "A", "value": "b"}], stored
assert stored["spec"]["dnsPolicy"] == "Default" and stored["metadata"]["labels"] == {"app": "web"}, stored

# Sets a typed policy, filters, schedules.
document = podberth.PolicyDocument(kind="Policy", apiVersion="v1", priorities=[
    podberth.PriorityPolicy(name="LeastRequestedPriority", weight=1)])
assert policy.replace_policy(document).revision == 1
args = podberth.ExtenderArgs.from_dict({"Pod": whole, "NodeNames": ["node-a", "node-b"]})
answer = extender.filter_nodes(args)
assert answer.node_names == ["node-a"], answer
report = decisions.schedule_pods(podberth.ScheduleRequest.from_dict({"podNames": ["default/web"]}))
assert report.pods[0].node == "node-a", report

# Reads errors as values of a type.
try:
    state.read_pod(namespace="default", name="nobody")
    raise SystemExit("a pod that is not there was read")
except NotFoundException as error:
    assert error.data.reason == "NotFound" and error.data.code == 404, error
try:
    state.create_node(podberth.Node.from_dict({"metadata": {"name": "broken"}, "status": {"allocatable": {"cpu": "-1"}}}))
    raise SystemExit("a node with less than nothing was stored")
except UnprocessableEntityException as error:
    assert error.data.details.causes, error
print("openapi-generator, Python: as expected")
