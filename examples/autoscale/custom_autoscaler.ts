// Monitor, calculate, call: a loop that scales a workload by the length of a queue.
import { readFileSync } from "node:fs";

const [server, namespace, name] = ["http://127.0.0.1:8080", "shop", "web"];
const hpa = { metadata: { name, namespace }, spec: { scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name }, maxReplicas: 20,
  metrics: [{ type: "External", external: { metric: { name: "depth", selector: {} }, target: { type: "AverageValue", averageValue: "30" } } }] } };

async function call(method: string, path: string, body: unknown): Promise<any> {
  const headers = { "Content-Type": method === "PATCH" ? "application/merge-patch+json" : "application/json" };
  const reply = await fetch(server + path, { method, headers, body: JSON.stringify(body), signal: AbortSignal.timeout(10_000) });
  if (!reply.ok) throw new Error(await reply.text());
  return reply.json();
}

for (let history = {}; ; await new Promise((done) => setTimeout(done, 15_000))) {
  const value = readFileSync(process.argv[2], "utf8").trim(); // monitor: your own source
  const answer = await call("POST", "/autoscale/hpa", { hpa, history, externalMetrics: [{ metricName: "depth", value }] }); // calculate
  history = answer.history;
  if (answer.rescaled) // call
    await call("PATCH", `/apis/apps/v1/namespaces/${namespace}/deployments/${name}/scale`, { spec: { replicas: answer.replicas } });
}
