"""The journey of tests/sdk with Kubernetes' own Python client: kubernetes_client.py URL"""
import sys
import threading

from kubernetes import client, dynamic, watch
from kubernetes.client.exceptions import ApiException

configuration = client.Configuration(host=sys.argv[1])
api = client.ApiClient(configuration)
core, coordination, events = client.CoreV1Api(api), client.CoordinationV1Api(api), client.EventsV1Api(api)
policy, storage, scheduling = client.PolicyV1Api(api), client.StorageV1Api(api), client.SchedulingV1Api(api)
NAMESPACE = "python"


def node(name, cpu):
    return client.V1Node(metadata=client.V1ObjectMeta(name=name, labels={"kubernetes.io/hostname": name, "by": "python"}),
                         status=client.V1NodeStatus(allocatable={"cpu": cpu, "memory": "8Gi", "pods": "110"}))


def pod(name, cpu="100m", **labels):
    container = client.V1Container(name="main", image="example/web:1", env=[client.V1EnvVar(name="A", value="b")],
                                   resources=client.V1ResourceRequirements(requests={"cpu": cpu}))
    return client.V1Pod(metadata=client.V1ObjectMeta(name=name, labels=labels), spec=client.V1PodSpec(containers=[container]))


def refused(status, call, *arguments, **options):
    """The call fails with this status."""
    try:
        call(*arguments, **options)
    except ApiException as error:
        assert error.status == status, error
        return error
    raise AssertionError(f"{call} is not refused")


# Stores objects and reads them back, typed.
core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=NAMESPACE)))
for name in ("python-a", "python-b"):
    assert core.create_node(node(name, "4")).metadata.uid
for i in range(5):
    core.create_namespaced_pod(NAMESPACE, pod(f"web-{i}", app="web", i=str(i)))
read = core.read_namespaced_pod("web-0", NAMESPACE)
assert read.spec.containers[0].env[0].value == "b" and read.spec.containers[0].resources.requests == {"cpu": "100m"}
refused(409, core.create_namespaced_pod, NAMESPACE, pod("web-0"))
assert "not found" in refused(404, core.read_namespaced_pod, "nobody", NAMESPACE).body
refused(422, core.create_namespaced_pod, NAMESPACE, pod("broken", "-1"))

# Lists: selectors, and pages of two.
assert len(core.list_namespaced_pod(NAMESPACE, label_selector="app=web,i notin (1,2)").items) == 3
assert len(core.list_pod_for_all_namespaces(field_selector=f"metadata.namespace={NAMESPACE}").items) == 5
names, token = [], None
while True:
    page = core.list_namespaced_pod(NAMESPACE, limit=2, _continue=token)
    names += [item.metadata.name for item in page.items]
    token = page.metadata._continue
    if not token:
        break
assert names == [f"web-{i}" for i in range(5)], names

# Replaces: an outdated object is refused.
fresh = core.read_namespaced_pod("web-1", NAMESPACE)
stale = core.read_namespaced_pod("web-1", NAMESPACE)
fresh.metadata.annotations = {"a": "1"}
core.replace_namespaced_pod("web-1", NAMESPACE, fresh)
refused(409, core.replace_namespaced_pod, "web-1", NAMESPACE, stale)

# Watches from the list's revision on, in a thread as controllers do, and stops by itself.
revision = core.list_namespaced_pod(NAMESPACE).metadata.resource_version
seen = []


def follow():
    watcher = watch.Watch()
    for event in watcher.stream(core.list_namespaced_pod, NAMESPACE, resource_version=revision, timeout_seconds=60):
        seen.append((event["type"], event["object"].metadata.name, event["object"].metadata.labels.get("patched")))
        if event["type"] == "DELETED":
            watcher.stop()


follower = threading.Thread(target=follow)
follower.start()

# Patches of each kind: strategic merge (a dictionary), JSON patch (a list), and server-side apply.
core.patch_namespaced_pod("web-2", NAMESPACE, {"metadata": {"labels": {"patched": "merge"}}})
core.patch_namespaced_pod("web-2", NAMESPACE, [{"op": "replace", "path": "/metadata/labels/patched", "value": "json"}])
condition = {"status": {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]}}
patched = core.patch_namespaced_pod_status("web-2", NAMESPACE, condition)
assert patched.status.conditions[0].reason == "Unschedulable"
core.patch_node("python-a", {"spec": {"unschedulable": True}})
assert core.read_node("python-a").spec.unschedulable
dynamic_client = dynamic.DynamicClient(api)
maps = dynamic_client.resources.get(api_version="v1", kind="ConfigMap")
settings = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "settings"}, "data": {"a": "1"}}
applied = dynamic_client.server_side_apply(maps, body=settings, name="settings", namespace=NAMESPACE, field_manager="one")
assert applied.metadata.managedFields[0].manager == "one", applied.metadata.managedFields
settings["data"]["a"] = "2"
try:
    dynamic_client.server_side_apply(maps, body=settings, name="settings", namespace=NAMESPACE, field_manager="two")
    raise AssertionError("the field has an owner")
except dynamic.exceptions.ConflictError:
    pass
forced = dynamic_client.server_side_apply(
    maps, body=settings, name="settings", namespace=NAMESPACE, field_manager="two", force_conflicts=True)
assert forced.data.a == "2"

# Binds, budgets, evicts.
binding = client.V1Binding(metadata=client.V1ObjectMeta(name="web-3"), target=client.V1ObjectReference(kind="Node", name="python-b"))
# (The client cannot read the Status of a binding: it expects a Binding.)
core.create_namespaced_pod_binding("web-3", NAMESPACE, binding, _preload_content=False)
assert core.read_namespaced_pod("web-3", NAMESPACE).spec.node_name == "python-b"
selector = client.V1LabelSelector(match_labels={"app": "web"})
policy.create_namespaced_pod_disruption_budget(NAMESPACE, client.V1PodDisruptionBudget(
    metadata=client.V1ObjectMeta(name="web"), spec=client.V1PodDisruptionBudgetSpec(selector=selector, min_available=1)))
scheduling.create_priority_class(client.V1PriorityClass(metadata=client.V1ObjectMeta(name="python"), value=7))
storage.create_storage_class(client.V1StorageClass(
    metadata=client.V1ObjectMeta(name="python"), provisioner="example.com/none", volume_binding_mode="WaitForFirstConsumer"))

# A lease is taken and renewed, as in leader election.
lease = coordination.create_namespaced_lease(NAMESPACE, client.V1Lease(
    metadata=client.V1ObjectMeta(name="leader"), spec=client.V1LeaseSpec(holder_identity="me", lease_duration_seconds=15)))
lease.spec.holder_identity = "you"
assert coordination.replace_namespaced_lease("leader", NAMESPACE, lease).spec.holder_identity == "you"

# Deletes one, and by selector.
core.delete_namespaced_pod("web-4", NAMESPACE, grace_period_seconds=0)
follower.join(60)
assert ("MODIFIED", "web-2", "json") in seen and seen[-1][:2] == ("DELETED", "web-4"), seen
core.delete_collection_namespaced_pod(NAMESPACE, label_selector="i in (0,1)", grace_period_seconds=0)
assert [item.metadata.name for item in core.list_namespaced_pod(NAMESPACE).items] == ["web-2", "web-3"]
assert client.VersionApi(api).get_code().git_version and "apps" in [g.name for g in client.ApisApi(api).get_api_versions().groups]
print("kubernetes, Python: as expected")
