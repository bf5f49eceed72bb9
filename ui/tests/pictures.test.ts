import assert from 'node:assert/strict'
import { test } from 'node:test'
import { aligned } from '../src/models/before-after'
import { type Explanation, Matrix } from '../src/models/explanation'
import { lanes } from '../src/models/minimap'
import type { Overview } from '../src/overview'

function overview(nodes: [name: string, group: string, cpu: number][]): Overview {
  const groups = [...new Set(nodes.map(([, group]) => group))].sort()
  return {
    revision: 1,
    resources: ['cpu'],
    nodes: {
      name: nodes.map(([name]) => name),
      group: nodes.map(([, group]) => groups.indexOf(group)),
      ready: nodes.map(() => true),
      unschedulable: nodes.map(() => false),
      taints: nodes.map(() => []),
      allocatable: { cpu: nodes.map(() => 1000) },
      requested: { cpu: nodes.map(([, , cpu]) => cpu) },
      pods: nodes.map(() => 1),
    },
    groups: groups.map((name) => ({ name, nodes: 1, ready: 1, unschedulable: 0, pods: 1, allocatable: {}, requested: {} })),
    totals: { nodes: nodes.length, ready: 0, unschedulable: 0, pods: 0, pending: 0, allocatable: {}, requested: {} },
    labels: [],
  }
}

test('nodes before and after stand at the same places, whatever came or went', () => {
  const before = overview([['a', 'z1', 100], ['b', 'z2', 200], ['d', 'z2', 300]])
  const after = overview([['a', 'z1', 100], ['c', 'z0', 50], ['d', 'z2', 400]])
  const both = aligned(before, after)
  assert.deepEqual(both.before.nodes.name, ['a', 'b', 'c', 'd'])
  assert.deepEqual(both.after.nodes.name, ['a', 'b', 'c', 'd'])
  assert.deepEqual(both.before.nodes.requested['cpu'], [100, 200, 0, 300])
  assert.deepEqual(both.after.nodes.requested['cpu'], [100, 0, 50, 400])
  assert.deepEqual(both.before.groups.map(({ name }) => name), ['z0', 'z1', 'z2'])
  assert.deepEqual(both.after.nodes.group, [1, 2, 0, 2])
  assert.deepEqual([[...both.gone], [...both.added], both.changed], [[1], [2], [1, 2, 3]])
  assert.deepEqual([both.before.nodes.matching, both.after.nodes.matching], [undefined, [0, 1, 1, 1]])
})

test('equal overviews differ in no node', () => {
  const { changed, gone, added } = aligned(overview([['a', '', 1]]), overview([['a', '', 1]]))
  assert.deepEqual([changed, gone.size, added.size], [[], 0, 0])
})

function matrix(): Matrix {
  return new Matrix({
    nodes: ['a', 'b', 'c', 'd'],
    predicates: [{ name: 'X', plugin: '', rejected: 0 }, { name: 'Y', plugin: '', rejected: 2 }, { name: 'Z', plugin: '', rejected: 1 }],
    verdicts: ['....', '..ux', '...x'],
    priorities: [],
    scores: [],
    total: [10, 20, 0, 0],
    rank: [2, 1, null, null],
    patterns: [{ verdicts: '...', count: 2, fits: true, nodes: [0, 1], reasons: [] }],
    selected: 'b',
  } as unknown as Explanation)
}

test('a minimap has a line for each row, with the predicates that reject', () => {
  const rows = [1, 0, 2, 3].map((node) => ({ node }))
  const { lines, predicates } = lanes(matrix(), rows, 4)
  assert.deepEqual(predicates, [1, 2])
  assert.deepEqual(lines.map(({ share }) => share), [1, 0.1, 0, 0])
  assert.deepEqual(lines.map(({ verdicts }) => verdicts.join('')), ['..', '..', 'u.', 'xx'])
})

test('a line that stands for many rows shows the best total and the worst verdicts', () => {
  const rows = [1, 0, 2, 3].map((node) => ({ node }))
  const { lines } = lanes(matrix(), rows, 2)
  assert.deepEqual(lines, [{ share: 1, verdicts: ['.', '.'] }, { share: 0, verdicts: ['x', 'x'] }])
  const patterns = lanes(matrix(), [{ pattern: 0, nodes: [0, 1], open: false }], 1)
  assert.equal(patterns.lines[0]?.share, 1)
})
