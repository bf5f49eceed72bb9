"""Asks Karmada's estimator with grpcio. client.py FOLDER-OF-THE-PROTO HOST:PORT"""

import sys

import grpc

folder, address = sys.argv[1:]
sys.path.insert(0, folder)
messages, services = grpc.protos_and_services("estimator.proto")
channel = grpc.insecure_channel(address)
estimator = services.EstimatorStub(channel)


def requests(**amounts):
    return {name: messages.Quantity(string=amount).SerializeToString() for name, amount in amounts.items()}


def refused(code, call, request, **options):
    try:
        call(request, **options)
    except grpc.RpcError as error:
        assert error.code() == code, error
        return error.details()
    raise AssertionError(f"{request} was answered")


def replicas(cluster, claim=None, assumed=(), **amounts):
    requirements = messages.ReplicaRequirements(
        nodeClaim=claim, namespace="shop", resourceRequestBytes=requests(**amounts)
    )
    request = messages.MaxAvailableReplicasRequest(
        cluster=cluster, replicaRequirements=requirements, assumedWorkloads=assumed
    )
    return estimator.MaxAvailableReplicas(request, timeout=60).maxReplicas


def component(count, **amounts):
    of = messages.ComponentReplicaRequirements(resourceRequestBytes=requests(**amounts))
    return messages.Component(name="part", replicaRequirements=of, replicas=count)


assert replicas("eu-1", cpu="1") == 6
assert replicas("eu-1", cpu="1500m") == 3
assumed = messages.AssumedWorkload(namespace="batch", components=[component(2, cpu="1")])
assert replicas("eu-1", assumed=[assumed], cpu="1") == 4

# The node of us-1 has a taint and a label.
ssd = messages.NodeSelectorRequirement(key="disk", operator="In", values=["ssd"])
hdd = messages.NodeSelectorRequirement(key="disk", operator="In", values=["hdd"])
toleration = messages.Toleration(key="gpu", operator="Exists", effect="NoSchedule").SerializeToString()


def claim(requirement, *tolerations):
    term = messages.NodeSelectorTerm(matchExpressions=[requirement])
    affinity = messages.NodeSelector(nodeSelectorTerms=[term]).SerializeToString()
    return messages.NodeClaim(nodeAffinityBytes=affinity, tolerationsBytes=tolerations)


assert replicas("us-1", cpu="1") == 0
assert replicas("us-1", claim(ssd, toleration), cpu="1") == 8
assert replicas("us-1", claim(ssd), cpu="1") == 0
assert replicas("us-1", claim(hdd, toleration), cpu="1") == 0
assert replicas("us-1", messages.NodeClaim(nodeSelector={"disk": "ssd"}, tolerationsBytes=[toleration]), cpu="3") == 2

sets = messages.MaxAvailableComponentSetsRequest(
    cluster="eu-1", namespace="shop", components=[component(1, cpu="1"), component(2, cpu="500m")]
)
assert estimator.MaxAvailableComponentSets(sets, timeout=60).maxSets == 3

workload = messages.ObjectReference(apiVersion="apps/v1", kind="Deployment", namespace="shop", name="web")
unschedulable = messages.UnschedulableReplicasRequest(cluster="eu-1", resource=workload)
told = refused(grpc.StatusCode.NOT_FOUND, estimator.GetUnschedulableReplicas, unschedulable, timeout=60)
assert told == 'deployments.apps "web" not found', told
unknown = messages.MaxAvailableReplicasRequest(cluster="nowhere")
refused(grpc.StatusCode.NOT_FOUND, estimator.MaxAvailableReplicas, unknown, timeout=60)
refused(grpc.StatusCode.INVALID_ARGUMENT, estimator.MaxAvailableReplicas, messages.MaxAvailableReplicasRequest())
refused(grpc.StatusCode.UNIMPLEMENTED, estimator.MaxAvailableReplicas, unknown, compression=grpc.Compression.Gzip)
print("grpcio is answered")
