import assert from 'node:assert/strict'
import { test } from 'node:test'
import { helpless, keptBy, nodeRows, type Down, type Up } from '../src/models/autoscale'
import { since } from '../src/models/decisions'
import { fromLink, labels, nodeLike, outcome, podTemplate, type Report, toLink } from '../src/models/steps'

test('a link carries steps and question, and nothing that is too long', () => {
  const plan = { steps: [{ drain: 'node-a' }, { failZone: { topologyKey: 'zone', value: 'east & west' } }], howMany: { pod: { metadata: { name: 'x' } } } }
  assert.deepEqual(fromLink(toLink(plan) ?? ''), plan)
  assert.deepEqual(fromLink('[{"cordon": "a"}]'), { steps: [{ cordon: 'a' }] })
  assert.equal(toLink({ steps: [{ deletePods: { names: ['x'.repeat(9000)] } }] }), undefined)
})

test('a link that is no plan is refused in words', () => {
  for (const [text, words] of [['{', /not JSON/], ['{"a": 1}', /no list of steps/], ['null', /no list of steps/], ['[{"dance": 1}]', /unknown: {"dance":1}/], ['[null]', /unknown: null/]] as const) {
    assert.throws(() => fromLink(text), words, text)
  }
})

test('labels are read as kubectl has them', () => {
  assert.deepEqual(labels(' a=b, c=, d-'), { a: 'b', c: '', d: null })
  assert.deepEqual(labels(''), {})
  assert.throws(() => labels('a'), /key=value/)
})

test('a new node is like another without what is of that one alone', () => {
  const template = nodeLike({
    metadata: { name: 'n1', labels: { 'kubernetes.io/hostname': 'n1', zone: 'east' } },
    spec: { taints: [{ key: 'gpu' }, { key: 'node.kubernetes.io/unschedulable' }] },
    status: { allocatable: { cpu: '4' } },
  })
  assert.deepEqual(template, { metadata: { name: 'like-n1', labels: { zone: 'east' } }, spec: { taints: [{ key: 'gpu' }] }, status: { allocatable: { cpu: '4' } } })
})

test('a pod asks for what is filled in only', () => {
  const pod = podTemplate({ name: '', namespace: '', cpu: '1', memory: '', labels: '' })
  assert.deepEqual(pod, { metadata: { name: 'new' }, spec: { containers: [{ name: 'main', resources: { requests: { cpu: '1' } } }] } })
})

test('a pod that is stuck in several steps counts once, and not once it has a node', () => {
  const none = { placements: [], moved: [], utilization: { nodes: 0, nodesInUse: 0, resources: {} } }
  const pod = (name: string) => ({ namespace: 'a', name })
  const report: Report = {
    revision: 1,
    before: none.utilization,
    steps: [
      { ...none, step: 'drain', stuck: [{ pod: pod('x'), from: 'n', message: '' }, { pod: pod('w'), message: '' }, { pod: pod('y'), from: 'n', message: '' }], lost: [pod('l')] },
      { ...none, step: 'addNodes', placements: [{ pod: pod('y'), to: 'm' }], stuck: [{ pod: pod('x'), message: '' }, { pod: pod('w'), message: '' }] },
    ],
  }
  assert.deepEqual(outcome(report), { moved: 0, placed: 1, stuck: 1, waiting: 1, lost: 1, blocked: 0 })
})

test('the beginning of a time is a length or a time', () => {
  const now = Date.parse('2026-01-02T12:00:00Z')
  assert.equal(since('90m', now), '2026-01-02T10:30:00.000Z')
  assert.equal(since('2 d', now), '2025-12-31T12:00:00.000Z')
  assert.equal(since('2026-01-01T00:00:00Z', now), '2026-01-01T00:00:00.000Z')
  assert.equal(since('yesterday', now), undefined)
  assert.equal(since('', now), undefined)
})

test('pods that no group helps for equal reasons are one entry', () => {
  const reasons = (why: string) => ({ big: [why], gpu: ['taint'] })
  const up = { podsRemainUnschedulable: { 'a/1': reasons('cpu'), 'a/2': reasons('memory'), 'a/3': reasons('cpu') } } as unknown as Up
  assert.deepEqual(helpless(up).map(({ pods }) => pods), [['a/1', 'a/3'], ['a/2']])
})

test('nodes that go come first, and reasons are counted', () => {
  const stays = { candidate: true, unneeded: false, reason: 'BlockedByPod', blockingPod: { pod: 'a/b', reason: 'LocalStorage', message: '' } }
  const down = { nodes: { a: stays, b: { candidate: true, unneeded: true }, c: { candidate: true, unneeded: true }, d: { candidate: true, unneeded: false }, e: stays }, delete: { count: 1, empty: ['c'], drain: [] } } as unknown as Down
  assert.deepEqual(nodeRows(down).map(({ name, state }) => [name, state]), [['c', 'goes'], ['b', 'unneeded'], ['a', 'needed'], ['e', 'needed'], ['d', 'notExamined']])
  assert.deepEqual(keptBy(down), [['LocalStorage', 2]])
})
