import assert from 'node:assert/strict'
import { test } from 'node:test'
import { difference, type Explanation, Matrix, type Row } from '../src/models/explanation'
import { bands, blocks } from '../src/models/tree'

/** Six nodes: a to d fit, e has too little cpu, f has a taint and too little cpu. */
function explanation(tolerance?: number): Explanation {
  const level = tolerance === undefined ? {} : { tolerance }
  return {
    pod: { namespace: 'shop', name: 'web' },
    selected: 'a',
    message: 'shop/web would go to a',
    policy: { name: 'default', revision: 3, release: '1.22' },
    snapshotRevision: 9,
    seed: 0,
    nodes: ['a', 'b', 'c', 'd', 'e', 'f'],
    predicates: [{ name: 'PodFitsResources', plugin: 'NodeResourcesFit', rejected: 2 }, { name: 'PodToleratesNodeTaints', plugin: 'TaintToleration', rejected: 1 }, { name: 'NoDiskConflict', plugin: 'VolumeRestrictions', rejected: 0 }],
    verdicts: ['....uu', '.....x', '......'],
    reasons: [['Insufficient cpu'], ['node(s) had taint {gpu: }'], ['Insufficient cpu', 'Insufficient memory']],
    why: [[0, 2], [1], []],
    priorities: [{ name: 'LeastRequestedPriority', plugin: 'P', weight: tolerance === undefined ? 2 : 1, ...level }, { name: 'ImageLocalityPriority', plugin: 'I', weight: 1, ...level }],
    scores: [[50, 45, 38, 50, null, null], [10, 90, 10, 0, null, null]],
    total: [110, 180, 86, 100, 0, 0],
    rank: [2, 1, 4, 3, null, null],
    patterns: [
      { verdicts: '...', count: 4, fits: true, nodes: [1, 0, 3, 2], reasons: [] },
      { verdicts: 'u..', count: 1, fits: false, nodes: [4], reasons: [0] },
      { verdicts: 'ux.', count: 1, fits: false, nodes: [5], reasons: [2, 1] },
    ],
  }
}

const matrix = (tolerance?: number) => new Matrix(explanation(tolerance))
const names = (rows: Row[]) => rows.map((row) => ('node' in row ? 'abcdef'[row.node] : row.nodes.map((node) => 'abcdef'[node]).join('')))

test('reasons are found by predicate and node', () => {
  const of = matrix()
  assert.deepEqual(of.reasons(0, 4), ['Insufficient cpu'])
  assert.deepEqual(of.reasons(0, 5), ['Insufficient cpu', 'Insufficient memory'])
  assert.deepEqual(of.reasons(0, 0), [])
  assert.deepEqual(of.against(5).map(({ predicate, verdict }) => [predicate.name, verdict]), [['PodFitsResources', 'u'], ['PodToleratesNodeTaints', 'x']])
  assert.equal(of.verdict(0, 99), '-')
})

test('columns that say nothing are left out', () => {
  assert.deepEqual(matrix().telling(), [0, 1])
  assert.deepEqual(matrix().differing(), [0, 1])
  assert.deepEqual(matrix().range(0), [38, 50])
  assert.deepEqual(matrix().range(0, [4, 5]), undefined)
})

test('equal nodes are one row, an open one is followed by its nodes', () => {
  const all = { only: 'all', text: '' } as const
  assert.deepEqual(names(matrix().byPattern(all, new Set())), ['badc', 'e', 'f'])
  assert.deepEqual(names(matrix().byPattern(all, new Set([1]))), ['badc', 'e', 'e', 'f'])
  assert.deepEqual(names(matrix().byPattern({ only: 'rejected', text: '' }, new Set())), ['e', 'f'])
  assert.deepEqual(names(matrix().byPattern({ only: 'all', text: 'A' }, new Set([0]))), ['a', 'a'])
})

test('nodes are filtered by verdict, name, predicate and a kept group', () => {
  const rows = (filter: object) => names(matrix().byNode({ only: 'all', text: '', ...filter }, { by: 'name', down: false }))
  assert.deepEqual(rows({ only: 'fits' }), ['a', 'b', 'c', 'd'])
  assert.deepEqual(rows({ rejectedBy: 1 }), ['f'])
  assert.deepEqual(rows({ kept: new Set([2, 3]) }), ['c', 'd'])
  assert.deepEqual(rows({ text: 'zzz' }), [])
})

test('a node without a value is last whichever way is sorted', () => {
  const rows = (by: 'rank' | 'total' | number, down: boolean) => names(matrix().byNode({ only: 'all', text: '' }, { by, down })).join('')
  assert.equal(rows('rank', false), 'badcef')
  assert.equal(rows('rank', true), 'cdabef')
  assert.equal(rows('total', true), 'badcef')
  assert.equal(rows(0, true), 'adbcef')
})

test('points are weight times the difference of scores, the largest first', () => {
  assert.deepEqual(difference(matrix(), 0, 1).map(({ priority, points }) => [priority.name, points]), [['ImageLocalityPriority', -80], ['LeastRequestedPriority', 10]])
  assert.deepEqual(difference(matrix(), 0, 4), [])
  assert.deepEqual(difference(matrix(10), 0, 1).map(({ priority }) => priority.name), ['LeastRequestedPriority', 'ImageLocalityPriority'], 'levels stay in their order')
})

test('a level cuts a group into bands measured from the best of what is left', () => {
  // 50, 50 and 45 are within 10 of 50, 38 is not; 90 is alone, 10 and 0 are within 10.
  const [first, second] = bands(matrix(10))
  assert.deepEqual(first?.map(({ nodes, best, worst }) => [nodes, best, worst]), [[[0, 3, 1], 50, 45], [[2], 38, 38]])
  assert.deepEqual(second?.map(({ nodes, parent }) => [nodes, parent]), [[[1], 0], [[0, 3], 0], [[2], 1]])
  assert.deepEqual(bands(matrix(0))[0]?.map(({ nodes }) => nodes), [[0, 3], [1], [2]])
})

test('blocks fill the height of the band that they were cut from', () => {
  const [first, second] = blocks(matrix(10), 0)
  assert.deepEqual(first?.map(({ top, height }) => [top, height]), [[0, 0.75], [0.75, 0.25]])
  assert.deepEqual(second?.map(({ top, height, leads }) => [top, height, leads]), [[0, 0.25, true], [0.25, 0.5, false], [0.75, 0.25, false]])
})

test('blocks that are too thin are drawn as one, but for the best', () => {
  const [first] = blocks(matrix(0), 0.5)
  assert.deepEqual(first?.map(({ nodes, bands }) => [nodes, bands]), [[[0, 3], 1], [[1, 2], 2]])
})
