/** The matrix of an explanation as a table: equal nodes as one row with a count, or each node. */
import type { ComponentChildren, JSX } from 'preact'
import { useMemo } from 'preact/hooks'
import { count, counted } from '../format'
import { type Filter, labelOf, type Matrix, type Row, shortOf, type Sort, type Verdict } from '../models/explanation'
import { texts } from '../texts'
import { type Column, Grid } from './grid'
import { Minimap } from './minimap'

interface Props {
  matrix: Matrix
  filter: Filter
  /** Equal nodes as one row. */
  byPattern: boolean
  /** Patterns whose nodes are shown. */
  opened: ReadonlySet<number>
  allColumns: boolean
  sort: string
  onSort: (sort: string) => void
  /** Name of the node that is shown beside the table. */
  node: string
  onNode: (node: string) => void
  onPattern: (pattern: number) => void
}

const GLYPHS: Record<Verdict, string> = { '.': '✓', u: '✗', x: '✗✗', '-': '·' }
const WORDS: Record<Verdict, string> = { '.': texts.explain.fits, u: texts.explain.evicting, x: texts.explain.never, '-': texts.explain.notAsked }
const KINDS: Record<Verdict, string> = { '.': 'good', u: 'warn', x: 'bad', '-': 'quiet' }

/** A verdict as a glyph, a colour and words. */
export function VerdictMark({ verdict, words }: { verdict: Verdict; words?: string }): JSX.Element {
  const said = words || WORDS[verdict]
  return (
    <span class={KINDS[verdict]} title={`${WORDS[verdict]}${words ? `: ${words}` : ''}`}>
      <span aria-hidden="true">{GLYPHS[verdict]}</span> {words ? said : <span class="unseen">{said}</span>}
    </span>
  )
}

/** The way of sorting that the table's head names: `rank`, `-total`, `p3` for the fourth priority. */
export function sortOf(text: string): Sort {
  const down = text.startsWith('-')
  const by = text.replace(/^-/, '')
  if (by === 'name' || by === 'total' || by === 'rank') return { by, down }
  const priority = /^p(\d+)$/.exec(by)?.[1]
  return priority === undefined ? { by: 'rank', down: false } : { by: Number(priority), down }
}

export function MatrixTable(props: Props): JSX.Element {
  const { matrix, filter } = props
  const rows = useMemo(
    () => (props.byPattern ? matrix.byPattern(filter, props.opened) : matrix.byNode(filter, sortOf(props.sort))),
    [matrix, filter, props.byPattern, props.opened, props.sort],
  )
  const columns = useMemo(() => columnsOf(matrix, props.allColumns, filter.only === 'fits' || filter.kept !== undefined, props.byPattern), [matrix, props.allColumns, filter.only, filter.kept === undefined, props.byPattern])
  const open = (row: Row) => ('node' in row ? props.onNode(matrix.of.nodes[row.node] ?? '') : props.onPattern(row.pattern))
  return (
    <Grid
      label={texts.explain.matrix}
      columns={columns}
      rows={rows}
      keyOf={(row) => ('node' in row ? `n${row.node}` : `p${row.pattern}`)}
      hold={false}
      onOpen={open}
      open={matrix.of.nodes.includes(props.node) ? `n${matrix.of.nodes.indexOf(props.node)}` : undefined}
      empty={texts.explain.noNodes}
      minimap={(map) => <Minimap {...map} matrix={matrix} />}
      {...(props.byPattern ? {} : { sort: props.sort, onSort: props.onSort })}
    />
  )
}

function columnsOf(matrix: Matrix, all: boolean, allFit: boolean, byPattern: boolean): Column<Row>[] {
  const { of } = matrix
  // The rows come sorted, so that nodes without a value are last either way.
  const asGiven = { value: () => 0 }
  const name: Column<Row> = {
    id: 'name',
    title: texts.explain.node,
    width: 12, grow: 1,
    text: (row) => ('node' in row ? (of.nodes[row.node] ?? '') : texts.explain.pattern(counted(row.nodes.length, 'node'), row.open)),
    cell: (row) => ('node' in row ? <span class={row.within === undefined ? '' : 'within'}>{of.nodes[row.node]}</span> : <PatternName row={row} matrix={matrix} />),
    ...asGiven,
  }
  // Where only nodes that fit are shown no predicate says anything.
  const predicates = all ? of.predicates.map((_, p) => p) : allFit ? [] : matrix.telling()
  const verdicts = predicates.map((p): Column<Row> => {
    const predicate = of.predicates[p] ?? { name: '', plugin: '', rejected: 0 }
    const { rejected } = predicate
    const firstOf = (row: Row) => ('node' in row ? row.node : (row.nodes[0] ?? 0))
    return {
      id: `v${p}`,
      title: labelOf(predicate),
      width: Math.max(rejected > 0 ? 12 : 3, headWidth(labelOf(predicate))),
      grow: rejected > 0 ? 2 : 0,
      text: (row) => WORDS[matrix.verdict(p, firstOf(row))],
      cell: (row) => <VerdictMark verdict={matrix.verdict(p, firstOf(row))} words={words(matrix, p, row)} />,
      ...asGiven,
    }
  })
  const priorities = all ? of.priorities.map((_, k) => k) : matrix.differing()
  const scores = priorities.map((k): Column<Row> => {
    const priority = of.priorities[k]
    const factor = priority && !matrix.isTree && priority.weight !== 1 ? ` ×${count(priority.weight)}` : ''
    const title = `${matrix.isTree ? `${k + 1}. ` : ''}${shortOf(priority?.name ?? '')}${factor}`
    return {
      id: `p${k}`,
      title,
      width: headWidth(title),
      isNumber: true,
      text: (row) => scoreText(matrix, k, row),
      cell: (row) => <Score matrix={matrix} k={k} row={row} />,
      ...asGiven,
    }
  })
  const numbers = [
    { id: 'rank', title: texts.explain.rank, width: 6, text: (row: Row) => rankText(matrix, row) },
    { id: 'total', title: matrix.isTree ? texts.explain.behind : texts.explain.total, width: 12, text: (row: Row) => totalText(matrix, row) },
  ].map((column): Column<Row> => ({ ...column, isNumber: true, ...asGiven }))
  if (matrix.fitting === 0) return [name, ...verdicts]
  return byPattern ? [name, ...verdicts, ...scores, ...numbers] : [name, ...numbers, ...scores, ...verdicts]
}

/** A width in rem in which a head can be read, with the mark of a sort. */
function headWidth(title: string): number {
  return Math.ceil(title.length * 0.58) + 2
}

function PatternName({ row, matrix }: { row: Extract<Row, { pattern: number }>; matrix: Matrix }): JSX.Element {
  const fits = matrix.of.patterns[row.pattern]?.fits ?? false
  return (
    <span class="pattern">
      <span aria-hidden="true">{row.open ? '▾' : '▸'}</span> {count(row.nodes.length)} × <span class={fits ? 'good' : 'quiet'}>{fits ? texts.explain.fit : texts.explain.rejected}</span>
      <span class="unseen">{row.open ? texts.explain.isOpen : texts.explain.isClosed}</span>
    </span>
  )
}

/** Reasons of a predicate: of a row of many nodes the first ones, as they may differ. */
function words(matrix: Matrix, p: number, row: Row): string {
  const nodes = 'node' in row ? [row.node] : row.nodes
  const seen = new Set<string>()
  for (const node of nodes) {
    for (const reason of matrix.reasons(p, node)) seen.add(reason)
    if (seen.size > 3) break
  }
  const list = [...seen]
  return list.length > 3 ? `${list.slice(0, 3).join(', ')}, …` : list.join(', ')
}

function scoreText(matrix: Matrix, k: number, row: Row): string {
  if ('node' in row) return String(matrix.of.scores[k]?.[row.node] ?? '–')
  const range = matrix.range(k, row.nodes)
  if (!range) return '–'
  return range[0] === range[1] ? String(range[0]) : `${range[0]}–${range[1]}`
}

function Score({ matrix, k, row }: { matrix: Matrix; k: number; row: Row }): ComponentChildren {
  const text = scoreText(matrix, k, row)
  if (!('node' in row) || text === '–') return text
  const lost = matrix.of.lostAt?.[row.node] === k + 1
  return (
    <span class={lost ? 'lost' : ''} title={lost ? texts.explain.lostHere : undefined}>
      {text} {lost && <span class="unseen">{texts.explain.lostHere}</span>}
    </span>
  )
}

function totalText(matrix: Matrix, row: Row): string {
  if ('node' in row) return matrix.fits(row.node) ? count(matrix.of.total[row.node] ?? 0) : '–'
  const totals = row.nodes.filter((node) => matrix.fits(node)).map((node) => matrix.of.total[node] ?? 0)
  if (totals.length === 0) return '–'
  const [low, high] = [totals.reduce((a, b) => Math.min(a, b)), totals.reduce((a, b) => Math.max(a, b))]
  return low === high ? count(low) : `${count(low)}–${count(high)}`
}

function rankText(matrix: Matrix, row: Row): string {
  if ('node' in row) return String(matrix.of.rank[row.node] ?? '–')
  const ranks = row.nodes.flatMap((node) => matrix.of.rank[node] ?? [])
  if (ranks.length === 0) return '–'
  const [low, high] = [ranks.reduce((a, b) => Math.min(a, b)), ranks.reduce((a, b) => Math.max(a, b))]
  return low === high ? String(low) : `${count(low)}–${count(high)}`
}
