/** A cluster that makes each page worth looking at: a full zone, a taint, a cordoned node, and pods that wait for three reasons. */

const ZONES = 6

function node(at) {
  const zone = at % ZONES
  const isGpu = at % 10 === 3
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: {
      name: `node-${String(at).padStart(5, '0')}`,
      labels: { 'topology.kubernetes.io/zone': `z${zone + 1}`, 'kubernetes.io/arch': at % 50 ? 'amd64' : 'arm64', ...(isGpu ? { gpu: 'yes' } : {}) },
    },
    spec: {
      ...(isGpu ? { taints: [{ key: 'gpu', value: 'yes', effect: 'NoSchedule' }] } : {}),
      ...(at % 97 === 96 ? { unschedulable: true } : {}),
    },
    status: {
      allocatable: { cpu: '8', memory: '32Gi', pods: '110', ...(isGpu ? { 'nvidia.com/gpu': '4' } : {}) },
      conditions: [{ type: 'Ready', status: at % 211 === 210 ? 'False' : 'True' }],
    },
  }
}

function pod(namespace, name, labels, requests, rest = {}) {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { namespace, name, labels },
    spec: { containers: [{ name: 'main', resources: { requests } }], ...rest },
  }
}

/** A pod of the ReplicaSet that its label names. */
function owned(pod) {
  const { app } = pod.metadata.labels
  pod.metadata.ownerReferences = [{ apiVersion: 'apps/v1', kind: 'ReplicaSet', name: app, uid: `${pod.metadata.namespace}-${app}`, controller: true }]
  return pod
}

function replicaSet(namespace, app) {
  const spec = { replicas: 1, selector: { matchLabels: { app } }, template: { metadata: { labels: { app } }, spec: { containers: [{ name: 'main' }] } } }
  return { apiVersion: 'apps/v1', kind: 'ReplicaSet', metadata: { namespace, name: app, uid: `${namespace}-${app}` }, spec }
}

/** The number of pods on nodes besides those that fill a zone. */
export function boundPods(nodes, pods) {
  return Math.max(0, pods - Math.ceil(nodes / ZONES))
}

/** The namespace and name of one of them. */
export function boundPod(at) {
  return `${at % 3 ? 'shop' : 'web'}/app-${at}`
}

/** Objects in parts of at most 2,000. */
export function* cluster(nodes, pods) {
  let part = Array.from({ length: nodes }, (_, at) => node(at))
  for (const namespace of ['shop', 'web']) for (const app of ['api', 'web']) part.push(replicaSet(namespace, app))
  const full = Math.ceil(nodes / ZONES)
  // Nodes of the third zone have little left; the others are filled unevenly.
  for (let at = 0; at < full; at++) {
    const nodeName = `node-${String(at * ZONES + 2).padStart(5, '0')}`
    if (at * ZONES + 2 < nodes) part.push(pod('batch', `fill-${at}`, { app: 'fill' }, { cpu: '6500m', memory: '20Gi' }, { nodeName }))
  }
  const bound = boundPods(nodes, pods)
  // Half of what the nodes offer, by pods of several sizes.
  const cpu = Math.max(20, (4000 * nodes) / Math.max(bound, 1))
  for (let at = 0; at < bound; at++) {
    const size = 0.4 + (at % 11) / 10
    const index = (at * 7919 + (at % 13) * (at % 7)) % nodes
    const nodeName = `node-${String(index % ZONES === 2 ? (index + 1) % nodes : index).padStart(5, '0')}`
    const requests = { cpu: `${Math.round(cpu * size)}m`, memory: `${Math.round(cpu * size * 3)}Mi` }
    part.push(owned(pod(...boundPod(at).split('/'), { app: at % 5 ? 'api' : 'web' }, requests, { nodeName })))
    if (part.length >= 2000) {
      yield part
      part = []
    }
  }
  for (let at = 0; at < 30; at++) part.push(pod('batch', `huge-${at}`, { app: 'huge' }, { cpu: '12' }))
  for (let at = 0; at < 12; at++) part.push(pod('ml', `train-${at}`, { app: 'train' }, { cpu: '1', 'nvidia.com/gpu': '8' }, { tolerations: [{ key: 'gpu', operator: 'Exists' }] }))
  for (let at = 0; at < 7; at++) part.push(pod('edge', `riscv-${at}`, { app: 'edge' }, { cpu: '1' }, { nodeSelector: { 'kubernetes.io/arch': 'riscv64' } }))
  part.push(pod('shop', 'checkout-1', { app: 'checkout' }, { cpu: '1', memory: '1Gi' }))
  yield part
}

async function post(url, path, body) {
  const reply = await fetch(new URL(path, url), { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })
  if (!reply.ok) throw new Error(`${path}: ${reply.status} ${(await reply.text()).slice(0, 500)}`)
}

/** Loads it into the server at a URL, with two node groups and some decisions. */
export async function load(url, nodes, pods) {
  for (const items of cluster(nodes, pods)) await post(url, 'import', { apiVersion: 'v1', kind: 'List', items })
  for (const [name, zone, cost] of [['general', 'z1', '0.34'], ['spare', 'z2', '0.29']]) {
    await post(url, 'apis/autoscaling.podberth.io/v1/nodegroups', { metadata: { name }, spec: { minSize: 1, maxSize: 2000, cost, nodeSelector: { 'topology.kubernetes.io/zone': zone } } })
  }
  const front = (at) => pod('shop', `front-${at}`, { app: 'front' }, { cpu: at === 5 ? '100' : '250m', memory: '256Mi' })
  await post(url, 'schedule', { pods: Array.from({ length: 8 }, (_, at) => front(at)) })
}
