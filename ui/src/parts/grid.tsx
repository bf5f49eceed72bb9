/**
 * A table of any length of which only the rows in sight are in the document. Sorted by a click on a column's head; the order is
 * held while the pointer or the focus is in it, so that rows do not jump under live updates.
 */
import type { ComponentChildren, JSX } from 'preact'
import { useEffect, useId, useMemo, useRef, useState } from 'preact/hooks'
import { count } from '../format'
import { texts } from '../texts'

export interface Column<Row> {
  id: string
  title: string
  /** Shown where there is no `cell`, and sorted by where there is no `value`. */
  text: (row: Row) => string
  value?: (row: Row) => number | string
  cell?: (row: Row) => ComponentChildren
  /** Least width in rem; 7 unless said. */
  width?: number
  /** Part of the free width; 1 unless said, 0 for numbers. */
  grow?: number
  isNumber?: boolean
}

/** Column and direction of a sort: `name`, `-cpu`. */
export type Sort = string

export interface GridProps<Row> {
  label: string
  columns: Column<Row>[]
  rows: Row[]
  keyOf: (row: Row) => string
  sort?: Sort
  onSort?: (sort: Sort) => void
  /** Enter or a click on a row. */
  onOpen?: (row: Row) => void
  /** Key of the row that is open. */
  open?: string | undefined
  /** Rows in sight at most. */
  lines?: number
  /** `false`: rows are never held; for tables that change only when their reader asks. */
  hold?: boolean
  empty?: string
  /** A picture of all rows beside a table of more than are in sight. */
  minimap?: (map: MinimapProps<Row>) => JSX.Element
}

/** All rows of a table, and those in sight. */
export interface MinimapProps<Row> {
  rows: Row[]
  /** The first row in sight, and their number. */
  from: number
  inSight: number
  height: number
  /** Id of the table. */
  of: string
  /** Brings a row to the top. */
  onMove: (row: number) => void
}

const HEIGHT = 28
const MARGIN = 8

function compare(a: number | string, b: number | string): number {
  return typeof a === 'number' && typeof b === 'number' ? a - b : String(a).localeCompare(String(b), 'en', { numeric: true })
}

/** Rows in the order of a sort; equal ones stay in the order they come in. */
export function sorted<Row>(rows: Row[], columns: Column<Row>[], sort: Sort | undefined): Row[] {
  const isDown = sort?.startsWith('-') ?? false
  const column = columns.find(({ id }) => id === sort?.replace(/^-/, ''))
  if (!column) return rows
  const of = column.value ?? column.text
  const keyed = rows.map((row) => [of(row), row] as const)
  keyed.sort(([a], [b]) => (isDown ? compare(b, a) : compare(a, b)))
  return keyed.map(([, row]) => row)
}

/** Rows as they stood, with what they hold now; new ones at the end. */
export function held<Row>(rows: Row[], order: string[], keyOf: (row: Row) => string): Row[] {
  const byKey = new Map(rows.map((row) => [keyOf(row), row]))
  const kept: Row[] = []
  for (const key of order) {
    const row = byKey.get(key)
    if (row !== undefined) kept.push(row)
    byKey.delete(key)
  }
  return [...kept, ...byKey.values()]
}

export function Grid<Row>(props: GridProps<Row>): JSX.Element {
  const { columns, rows, keyOf, sort } = props
  const box = useRef<HTMLDivElement>(null)
  const id = useId()
  const [top, setTop] = useState(0)
  const [active, setActive] = useState<[row: number, column: number]>([0, 0])
  const [isHeld, hold] = useState({ pointer: false, focus: false })
  const order = useRef<{ sort: Sort | undefined; keys: string[] }>({ sort: undefined, keys: [] })

  const shown = useMemo(() => {
    const isFrozen = props.hold !== false && (isHeld.pointer || isHeld.focus) && order.current.sort === sort
    const all = isFrozen ? held(rows, order.current.keys, keyOf) : sorted(rows, columns, sort)
    order.current = { sort, keys: all.map(keyOf) }
    return all
  }, [rows, sort, columns, isHeld.pointer, isHeld.focus])

  const inSight = Math.min(props.lines ?? 20, Math.max(shown.length, 1))
  const from = Math.max(0, Math.floor(top / HEIGHT) - MARGIN)
  const to = Math.min(shown.length, Math.floor(top / HEIGHT) + inSight + MARGIN)
  const row = Math.min(active[0], shown.length - 1)
  const column = Math.min(active[1], columns.length - 1)

  useEffect(() => {
    if (isHeld.focus) intoSight(row)
  }, [row])

  function intoSight(at: number): void {
    const element = box.current
    if (!element || at < 0) return
    const view = element.clientHeight - HEIGHT
    if (at * HEIGHT < element.scrollTop) element.scrollTop = at * HEIGHT
    else if ((at + 1) * HEIGHT > element.scrollTop + view) element.scrollTop = (at + 1) * HEIGHT - view
  }

  function move(event: KeyboardEvent): void {
    if (event.target !== event.currentTarget || event.ctrlKey || event.altKey || event.metaKey) return
    const last = shown.length - 1
    const moves: Record<string, () => [number, number]> = {
      ArrowDown: () => [Math.min(row + 1, last), column],
      ArrowUp: () => [Math.max(row - 1, 0), column],
      ArrowRight: () => [row, Math.min(column + 1, columns.length - 1)],
      ArrowLeft: () => [row, Math.max(column - 1, 0)],
      PageDown: () => [Math.min(row + inSight, last), column],
      PageUp: () => [Math.max(row - inSight, 0), column],
      Home: () => [0, column],
      End: () => [last, column],
    }
    const next = moves[event.key]
    const at = shown[row]
    if (next) setActive(next())
    else if (event.key === 'Enter' && at !== undefined && props.onOpen) props.onOpen(at)
    else return
    event.preventDefault()
  }

  const template = columns.map(({ width = 7, grow, isNumber }) => `minmax(${width}rem, ${grow ?? (isNumber ? 0 : 1)}fr)`).join(' ')
  // All rows are of one width, whatever is in them.
  const least = `${columns.reduce((sum, { width = 7 }) => sum + width, 0)}rem`
  const height = (inSight + 1) * HEIGHT + 2
  const isSortedBy = (of: string) => (sort === of ? 'ascending' : sort === `-${of}` ? 'descending' : undefined)
  const table = (
    <div
      class="grid"
      role="grid"
      id={id}
      ref={box}
      tabIndex={0}
      aria-label={props.label}
      aria-rowcount={shown.length + 1}
      aria-colcount={columns.length}
      aria-activedescendant={row >= from && row < to ? `${id}-${row}-${column}` : undefined}
      style={{ height: `${height}px` }}
      onScroll={(event) => setTop(event.currentTarget.scrollTop)}
      onKeyDown={move}
      onPointerEnter={() => hold((was) => ({ ...was, pointer: true }))}
      onPointerLeave={() => hold((was) => ({ ...was, pointer: false }))}
      onFocusIn={() => hold((was) => ({ ...was, focus: true }))}
      onFocusOut={() => hold((was) => ({ ...was, focus: false }))}
    >
      <div role="rowgroup" class="head">
        <div role="row" aria-rowindex={1} style={{ gridTemplateColumns: template, minWidth: least }}>
          {columns.map((of) => (
            <div key={of.id} role="columnheader" class={of.isNumber ? 'number' : ''} aria-sort={isSortedBy(of.id)}>
              {props.onSort ? (
                <button type="button" onClick={() => props.onSort?.(sort === of.id ? `-${of.id}` : sort === `-${of.id}` || !of.isNumber ? of.id : `-${of.id}`)}>
                  {of.title}
                </button>
              ) : (
                of.title
              )}
            </div>
          ))}
        </div>
      </div>
      <div role="rowgroup" style={{ height: `${Math.max(shown.length, 1) * HEIGHT}px` }} class="body">
        {shown.length === 0 && (
          <div role="row" class="row">
            <div role="gridcell">{props.empty ?? texts.grid.none}</div>
          </div>
        )}
        {shown.slice(from, to).map((of, at) => {
          const index = from + at
          const key = keyOf(of)
          return (
            <div
              key={key}
              role="row"
              class={`row ${index === row && isHeld.focus ? 'active' : ''} ${props.open === key ? 'open' : ''} ${props.onOpen ? 'link' : ''}`}
              aria-rowindex={index + 2}
              aria-selected={props.onOpen ? props.open === key : undefined}
              style={{ gridTemplateColumns: template, minWidth: least, top: `${index * HEIGHT}px` }}
              onClick={() => {
                setActive([index, column])
                props.onOpen?.(of)
              }}
            >
              {columns.map((cell, number) => (
                <div
                  key={cell.id}
                  id={`${id}-${index}-${number}`}
                  role="gridcell"
                  aria-colindex={number + 1}
                  class={`${cell.isNumber ? 'number' : ''} ${index === row && number === column && isHeld.focus ? 'active' : ''}`}
                >
                  {cell.cell ? cell.cell(of) : cell.text(of)}
                </div>
              ))}
            </div>
          )
        })}
      </div>
    </div>
  )
  if (!props.minimap) return table
  const moveTo = (at: number) => {
    if (box.current) box.current.scrollTop = at * HEIGHT
  }
  // The table stays what it is when the picture comes or goes, and keeps the focus.
  return (
    <div class="mapped">
      {table}
      {shown.length > inSight && props.minimap({ rows: shown, from: Math.floor(top / HEIGHT), inSight, height, of: id, onMove: moveTo })}
    </div>
  )
}

/** Rows of a table that fit a filter of words: all words must be in one of the columns. */
export function matching<Row>(rows: Row[], columns: Column<Row>[], filter: string): Row[] {
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean)
  if (words.length === 0) return rows
  return rows.filter((row) => {
    const line = columns.map(({ text }) => text(row)).join('\n').toLowerCase()
    return words.every((word) => line.includes(word))
  })
}

/** `12 of 5,000`, or `5,000`. */
export function shownOf(shown: number, all: number): string {
  return shown === all ? count(all) : `${count(shown)} of ${count(all)}`
}
