// The journey of tests/sdk with openapi-typescript and openapi-fetch: journey.ts URL
import assert from "node:assert/strict";
import createClient from "openapi-fetch";
import type { components, paths } from "./podberth.js";

const client = createClient<paths>({ baseUrl: process.argv[2] });
type Pod = components["schemas"]["Pod"];

async function main() {
  // Stores a node, and a pod with fields that the scheduler does not read.
  const node = await client.POST("/api/v1/nodes", {
    body: { metadata: { name: "node-a" }, status: { allocatable: { cpu: "4", memory: "8Gi", pods: "110" } } },
  });
  assert.ok(node.data?.metadata?.uid, JSON.stringify(node));
  const whole: Pod = {
    metadata: { name: "web", namespace: "default" },
    spec: {
      dnsPolicy: "Default",
      containers: [
        { name: "main", image: "example/web:1", env: [{ name: "A", value: "b" }], resources: { requests: { cpu: "1" } } },
      ],
    },
  };
  const inDefault = { path: { namespace: "default" } };
  const web = { path: { namespace: "default", name: "web" } };
  const created = await client.POST("/api/v1/namespaces/{namespace}/pods", { params: inDefault, body: whole });
  assert.equal(created.response.status, 201, JSON.stringify(created));

  // Reads it, changes a label, sends it back: nothing is lost.
  const read = await client.GET("/api/v1/namespaces/{namespace}/pods/{name}", { params: web });
  assert.ok(read.data);
  const labelled = { ...read.data, metadata: { ...read.data.metadata, labels: { app: "web" } } };
  await client.PUT("/api/v1/namespaces/{namespace}/pods/{name}", { params: web, body: labelled });
  const stored = await client.GET("/api/v1/namespaces/{namespace}/pods/{name}", { params: web });
  assert.deepEqual(stored.data?.spec?.containers?.[0].env, [{ name: "A", value: "b" }]);
  assert.equal(stored.data?.spec?.dnsPolicy, "Default");
  assert.equal(stored.data?.metadata?.labels?.app, "web");

  // Sets a typed policy, filters, schedules.
  const policy = await client.PUT("/policy", {
    body: { kind: "Policy", apiVersion: "v1", priorities: [{ name: "LeastRequestedPriority", weight: 1 }] },
  });
  assert.equal(policy.data?.revision, 1);
  const filtered = await client.POST("/filter", { body: { Pod: whole, NodeNames: ["node-a", "node-b"] } });
  assert.deepEqual(filtered.data?.NodeNames, ["node-a"]);
  const report = await client.POST("/schedule", { body: { podNames: ["default/web"] } });
  assert.equal(report.data?.pods[0].node, "node-a");

  // Reads errors as values of a type.
  const missing = await client.GET("/api/v1/namespaces/{namespace}/pods/{name}", {
    params: { path: { namespace: "default", name: "nobody" } },
  });
  assert.deepEqual([missing.error?.reason, missing.error?.code], ["NotFound", 404]);
  const broken = await client.POST("/api/v1/nodes", {
    body: { metadata: { name: "broken" }, status: { allocatable: { cpu: "-1" } } },
  });
  assert.ok(broken.error?.code === 422 && broken.error.details?.causes?.length, JSON.stringify(broken.error));
  console.log("openapi-typescript: as expected");
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
