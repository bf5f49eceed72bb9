"""Monitor, calculate, call: a loop that scales a workload by the length of a queue."""
import json, sys, time, urllib.request

SERVER, NAMESPACE, NAME = "http://127.0.0.1:8080", "shop", "web"
HPA = {"metadata": {"name": NAME, "namespace": NAMESPACE}, "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": NAME}, "maxReplicas": 20,
       "metrics": [{"type": "External", "external": {"metric": {"name": "depth", "selector": {}}, "target": {"type": "AverageValue", "averageValue": "30"}}}]}}

def call(method, path, body):
    headers = {"Content-Type": "application/merge-patch+json" if method == "PATCH" else "application/json"}
    request = urllib.request.Request(SERVER + path, json.dumps(body).encode(), headers, method=method)
    return json.load(urllib.request.urlopen(request, timeout=10))

history = {}
while True:
    depth = int(open(sys.argv[1]).read())  # monitor: your own source
    answer = call("POST", "/autoscale/hpa", {"hpa": HPA, "history": history, "externalMetrics": [{"metricName": "depth", "value": str(depth)}]})  # calculate
    history = answer["history"]
    if answer["rescaled"]:  # call
        call("PATCH", f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{NAME}/scale", {"spec": {"replicas": answer["replicas"]}})
    time.sleep(15)
