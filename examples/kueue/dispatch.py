#!/usr/bin/env python3
"""Nominates clusters for the Workloads of MultiKueue that wait for one, as Kueue's external dispatcher. One pass: run it again and again.

KUBERNETES_URL is the API server with Kueue's objects (`kubectl proxy`), PODBERTH_URL is Podberth. Clusters have the same names in both. A Workload is
nominated for those clusters in which all its pods fit together, the best one first.
"""
import json, os, urllib.error, urllib.request

KUBERNETES = os.environ.get("KUBERNETES_URL", "http://127.0.0.1:8001")
PODBERTH = os.environ.get("PODBERTH_URL", "http://127.0.0.1:8080")
API = KUBERNETES + "/apis/kueue.x-k8s.io/v1beta2"
MOST = 10  # of v1beta1; v1beta2 takes 20


def call(url, body=None, method=None):
    kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
    sent = {} if body is None else {"data": json.dumps(body).encode(), "headers": {"Content-Type": kind}}
    request = urllib.request.Request(url, method=method, **sent)
    with urllib.request.urlopen(request, timeout=30) as reply:
        return json.load(reply)


def holds(workload, condition):
    conditions = workload.get("status", {}).get("conditions", [])
    return any(one["type"] == condition and one["status"] == "True" for one in conditions)


def check_of(workload, checks):
    """The MultiKueue check that waits; none if there is nothing to nominate."""
    status = workload.get("status", {})
    is_over = "deletionTimestamp" in workload["metadata"] or status.get("clusterName") or holds(workload, "Finished")
    if is_over or not holds(workload, "QuotaReserved"):
        return None
    waiting = (one["name"] for one in status.get("admissionChecks", []) if one["state"] == "Pending")
    return next((name for name in waiting if name in checks), None)


def nominated(workload, clusters):
    """The clusters that take the whole Workload, the best first."""
    sets = [one for one in workload["spec"]["podSets"] if one.get("count", 1) > 0]
    answer = call(PODBERTH + "/placements", {
        "components": [{"name": one.get("name", "main"), "replicas": one.get("count", 1), "template": one["template"]} for one in sets],
        "namespace": workload["metadata"]["namespace"],
        "uid": workload["metadata"].get("uid", ""),
        "clusters": {"names": clusters},
        # Each cluster by itself; first those that need no eviction, then those that need no new node.
        "division": "Duplicated", "scaleUp": {"allowed": True}, "preemption": True,
        "priorities": {"tree": ["FitsWithoutPreemption", "ScaleUpNeeded", "Cost"]},
    })
    return [one["name"] for one in sorted(answer["clusters"], key=lambda one: one["rank"])][:MOST]


configs = {one["metadata"]["name"]: one["spec"]["clusters"] for one in call(API + "/multikueueconfigs")["items"]}
checks = {one["metadata"]["name"]: configs.get(one["spec"].get("parameters", {}).get("name"), [])
          for one in call(API + "/admissionchecks")["items"] if one["spec"]["controllerName"] == "kueue.x-k8s.io/multikueue"}
known = {one["name"] for one in call(PODBERTH + "/clusters")["items"]}
for workload in call(API + "/workloads")["items"]:
    check = check_of(workload, checks)
    if check is None:
        continue
    namespace, name = workload["metadata"]["namespace"], workload["metadata"]["name"]
    before = workload["status"].get("nominatedClusterNames", [])
    try:
        names = nominated(workload, [one for one in checks[check] if one in known])
        # Where it fits nowhere it keeps what it has, and the next pass tries again.
        if names and names != before:
            call(f"{API}/namespaces/{namespace}/workloads/{name}/status", {"status": {"nominatedClusterNames": names}}, "PATCH")
            print(f"{namespace}/{name}: {', '.join(names)}")
    except urllib.error.HTTPError as error:
        print(f"{namespace}/{name}: {error}: {error.read().decode()[:300]}")
