import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ApiError } from '../src/error'
import { amount, amountOf, percent, span, units } from '../src/format'
import { apply, type Group, type Overview, type Seen } from '../src/overview'
import { held, sorted } from '../src/parts/grid'
import { boxesOf, filterOf, moved, share } from '../src/parts/nodes'

function group(name: string, nodes: number, requested: number): Group {
  return { name, nodes, ready: nodes, unschedulable: 0, pods: nodes, allocatable: { cpu: nodes * 1000 }, requested: { cpu: requested } }
}

function view(): Overview {
  return {
    revision: 5,
    resources: ['cpu'],
    nodes: {
      name: ['a-1', 'a-2', 'b-1', 'c-1'],
      group: [0, 0, 1, 2],
      ready: [true, true, true, false],
      unschedulable: [false, true, false, false],
      taints: [[], [], ['gpu=yes:NoSchedule'], []],
      allocatable: { cpu: [1000, 1000, 1000, 1000] },
      requested: { cpu: [900, 100, 0, 1100] },
      pods: [1, 1, 1, 1],
    },
    groups: [group('a', 2, 1000), group('b', 1, 0), group('c', 1, 1100)],
    totals: { nodes: 4, ready: 3, unschedulable: 1, pods: 4, pending: 0, allocatable: { cpu: 4000 }, requested: { cpu: 2100 } },
    labels: [],
  }
}

const shown = (text: string) => boxesOf(view(), filterOf(text), 10).flatMap(({ nodes }) => nodes)

test('a changed line replaces columns of the nodes it names and sums of groups', () => {
  const first = apply('q', null, view())
  const line = {
    revision: 6,
    changed: { index: [2], ready: [false], unschedulable: [true], taints: [[]], pods: [7], allocatable: { cpu: [2000] }, requested: { cpu: [500] } },
    groups: [{ index: 1, ...group('b', 1, 500) }],
  }
  const next = apply('q', first, line) as Seen
  const { nodes, groups, revision } = next.view
  assert.deepEqual([revision, nodes.ready[2], nodes.pods, nodes.requested.cpu], [6, false, [1, 1, 7, 1], [900, 100, 500, 1100]])
  assert.equal(groups[1]?.requested.cpu, 500)
  assert.ok(next.version > (first?.version ?? 0))
})

test('a heartbeat moves the revision alone, a line with nodes replaces all', () => {
  const first = apply('q', null, view())
  const beat = apply('q', first, { revision: 9 })
  assert.deepEqual([beat?.view.revision, beat?.version], [9, first?.version])
  const whole = apply('q', beat, { ...view(), revision: 10 })
  assert.ok((whole?.version ?? 0) > (beat?.version ?? 0) && whole?.view.revision === 10)
  assert.equal(apply('q', null, { revision: 3 }), null)
})

test('an error line is an error of the server', () => {
  assert.throws(() => apply('q', null, { error: { code: 410, message: 'too old' } }), (error) => error instanceof ApiError && error.code === 410)
})

test('filters look at names, taints, states and shares; labels are left to the server', () => {
  assert.deepEqual(shown('a-'), [0, 1])
  assert.deepEqual(shown('is:cordoned'), [1])
  assert.deepEqual(shown('is:not-ready'), [3])
  assert.deepEqual(shown('taint:gpu'), [2])
  assert.deepEqual(shown('cpu>80'), [0, 3])
  assert.deepEqual(shown('cpu<20 a'), [1])
  assert.deepEqual([filterOf('zone=z1 app!=x n').labelSelector, filterOf('zone=z1').isAll], ['zone=z1,app!=x', true])
  assert.deepEqual(filterOf('is:nonsense').unknown, ['is:nonsense'])
})

test('sums of a box are those of the server, or of the nodes that pass the filter', () => {
  assert.equal(boxesOf(view(), filterOf(''), 10)[0]?.sums.requested.cpu, 1000)
  assert.equal(boxesOf(view(), filterOf('a-1'), 10)[0]?.sums.requested.cpu, 900)
})

test('groups beyond the limit share the last box', () => {
  const boxes = boxesOf(view(), filterOf(''), 2)
  assert.deepEqual(boxes.map(({ groups, nodes }) => [groups, nodes]), [[1, [0, 1]], [2, [2, 3]]])
  assert.equal(boxes[1]?.sums.requested.cpu, 1100)
})

test('amounts are written as people read them', () => {
  assert.deepEqual([amount('cpu', 1500), amount('memory', 20 * 2 ** 30), amount('pods', 31)], ['1.5', '20 Gi', '31'])
  assert.equal(amountOf('cpu', 6500, 8000), '6.5 of 8 cores')
  assert.equal(amountOf('memory', 2 ** 30, 32 * 2 ** 30), '1 of 32 Gi')
  assert.deepEqual([percent(0.001), percent(0.999), percent(1), percent(Infinity)], ['< 1 %', '99 %', '100 %', '–'])
  assert.deepEqual([units('cpu', '250m'), units('memory', '1Gi'), units('cpu', 'x')], [250, 2 ** 30, NaN])
  assert.deepEqual([span(0), span(59), span(3661), span(90_000)], ['0 s', '59 s', '1 h 1 m', '1 d 1 h'])
  assert.deepEqual([share(1, 0), share(0, 0), share(1, 4)], [Infinity, 0, 0.25])
})

test('rows are sorted stably, and held while someone reads them', () => {
  const columns = [{ id: 'n', title: 'n', text: ([name]: [string, number]) => name, value: ([, n]: [string, number]) => n }]
  const rows: [string, number][] = [['a', 2], ['b', 1], ['c', 2]]
  assert.deepEqual(sorted(rows, columns, 'n').map(([name]) => name), ['b', 'a', 'c'])
  assert.deepEqual(sorted(rows, columns, '-n').map(([name]) => name), ['a', 'c', 'b'])
  assert.deepEqual(held(rows, ['c', 'gone', 'a'], ([name]) => name).map(([name]) => name), ['c', 'a', 'b'])
})

test('keys move among tiles and stay inside', () => {
  assert.deepEqual(
    ['ArrowRight', 'ArrowLeft', 'ArrowDown', 'ArrowUp', 'Home', 'End', 'x'].map((key) => moved(key, 5, 4, 10)),
    [6, 4, 9, 1, 0, 9, null],
  )
  assert.equal(moved('ArrowDown', 8, 4, 10), 9)
})
