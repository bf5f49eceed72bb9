#!/usr/bin/env python3
"""Writes an AddOnPlacementScore for each managed cluster of Open Cluster Management: scores.py CLASSES. One pass: run it again and again.

KUBERNETES_URL is the hub (`kubectl proxy`), PODBERTH_URL is Podberth. Clusters have the same names in both. CLASSES is a file with a pod template and a
number of pods for each score:

    1 to 100    that share of the pods fits on nodes that are there, in percent
    -99 to -1   none fits now; that share less 100 fits after the cluster has grown
    -100        none fits, or Podberth does not have the cluster
"""
import datetime, json, os, sys, urllib.error, urllib.request

KUBERNETES = os.environ.get("KUBERNETES_URL", "http://127.0.0.1:8001")
PODBERTH = os.environ.get("PODBERTH_URL", "http://127.0.0.1:8080")
API = KUBERNETES + "/apis/cluster.open-cluster-management.io"
NAME = "podberth"
VALID = datetime.timedelta(minutes=5)


def call(url, body=None, method=None):
    kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
    sent = {} if body is None else {"data": json.dumps(body).encode(), "headers": {"Content-Type": kind}}
    request = urllib.request.Request(url, method=method, **sent)
    with urllib.request.urlopen(request, timeout=30) as reply:
        return json.load(reply)


def score(cluster, wanted):
    answer = call(PODBERTH + "/placements", {
        "template": wanted["template"], "replicas": wanted["replicas"], "namespace": wanted.get("namespace", "default"),
        "clusters": {"names": [cluster]}, "division": {"aggregated": {}}, "partial": True, "scaleUp": {"allowed": True},
    })
    for room in answer["clusters"]:
        there, grown = room.get("onExisting", 0), room.get("afterScaleUp", {}).get("replicas", 0)
        if there:
            return max(1, min(100, 100 * there // wanted["replicas"]))
        if grown:
            return max(-99, min(-1, 100 * grown // wanted["replicas"] - 100))
    return -100


def write(cluster, status):
    scores = f"{API}/v1alpha1/namespaces/{cluster}/addonplacementscores"
    try:
        call(scores, {"apiVersion": "cluster.open-cluster-management.io/v1alpha1", "kind": "AddOnPlacementScore",
                      "metadata": {"name": NAME, "namespace": cluster}})
    except urllib.error.HTTPError as error:
        if error.code != 409:  # it is there
            raise
    call(f"{scores}/{NAME}/status", {"status": status}, "PATCH")


with open(sys.argv[1]) as file:
    classes = json.load(file)
known = {one["name"] for one in call(PODBERTH + "/clusters")["items"]}
for managed in call(API + "/v1/managedclusters")["items"]:
    cluster = managed["metadata"]["name"]
    until = datetime.datetime.now(datetime.timezone.utc) + VALID
    values = {name: score(cluster, wanted) if cluster in known else -100 for name, wanted in classes.items()}
    write(cluster, {"validUntil": until.strftime("%Y-%m-%dT%H:%M:%SZ"),
                    "scores": [{"name": name, "value": value} for name, value in values.items()]})
    print(f"{cluster}: {values}")
