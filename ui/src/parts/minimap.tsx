/**
 * All rows of the matrix as a picture beside it, a line a row: left how far a node is behind the best, then a lane for each predicate that
 * rejects nodes. The place says which rule it is, the colour if evicting pods might help. It moves the table, as a scroll bar does.
 */
import type { JSX } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { count } from '../format'
import type { Matrix, Row } from '../models/explanation'
import { lanes } from '../models/minimap'
import { texts } from '../texts'
import { colour, painted } from '../theme'
import type { MinimapProps } from './grid'

const WIDTH = 84
/** Height of the head of the table, beside which the title stands. */
const HEAD = 28
/** Part of the width that the totals take. */
const TOTALS = 0.4

export function Minimap(props: MinimapProps<Row> & { matrix: Matrix }): JSX.Element {
  const { rows, matrix, from, inSight } = props
  const height = props.height - HEAD
  const canvas = useRef<HTMLCanvasElement>(null)
  const [isDragged, drag] = useState(false)
  const scheme = painted.value
  const last = Math.max(0, rows.length - inSight)
  const to = (row: number) => props.onMove(Math.min(Math.max(Math.round(row), 0), last))

  useEffect(() => {
    const context = canvas.current?.getContext('2d')
    if (!context || !canvas.current) return
    const scale = devicePixelRatio
    canvas.current.width = Math.round(WIDTH * scale)
    canvas.current.height = Math.round(height * scale)
    context.setTransform(scale, 0, 0, scale, 0, 0)
    context.fillStyle = colour('--raised')
    context.fillRect(0, 0, WIDTH, height)
    const paints = { fits: colour('--link'), u: colour('--warn'), x: colour('--bad') }
    const { lines, predicates } = lanes(matrix, rows, Math.min(rows.length, Math.floor(height)))
    const [tall, totals] = [height / lines.length, WIDTH * TOTALS]
    const lane = (WIDTH - totals) / Math.max(predicates.length, 1)
    lines.forEach(({ share, verdicts }, at) => {
      const y = at * tall
      if (share > 0) {
        context.fillStyle = paints.fits
        context.fillRect(0, y, Math.max(2, totals * share), Math.ceil(tall))
      }
      verdicts.forEach((verdict, p) => {
        if (verdict !== 'u' && verdict !== 'x') return
        context.fillStyle = paints[verdict]
        context.fillRect(totals + p * lane, y, Math.max(1, lane - 1), Math.ceil(tall))
      })
    })
  }, [matrix, rows, height, scheme])

  const under = (event: PointerEvent & { currentTarget: HTMLElement }) => {
    const { top, height } = event.currentTarget.getBoundingClientRect()
    to(((event.clientY - top) / height) * rows.length - inSight / 2)
  }
  const moves: Record<string, number> = { ArrowDown: from + 1, ArrowUp: from - 1, PageDown: from + inSight, PageUp: from - inSight, Home: 0, End: last }
  const words = texts.explain.minimap
  return (
    <div class="minimap-side">
      <span class="quiet" aria-hidden="true">{words.title}</span>
      <div
        class="minimap"
        role="scrollbar"
        tabIndex={0}
        aria-label={words.label}
        aria-controls={props.of}
        aria-orientation="vertical"
        aria-valuemin={0}
        aria-valuemax={last}
        aria-valuenow={Math.min(from, last)}
        aria-valuetext={words.at(count(from + 1), count(Math.min(from + inSight, rows.length)), count(rows.length))}
        title={words.label}
        style={{ height: `${height}px` }}
        onPointerDown={(event) => {
          event.currentTarget.setPointerCapture(event.pointerId)
          drag(true)
          under(event)
        }}
        onPointerMove={(event) => isDragged && under(event)}
        onPointerUp={() => drag(false)}
        onKeyDown={(event) => {
          const row = moves[event.key]
          if (row === undefined || event.ctrlKey || event.altKey || event.metaKey) return
          event.preventDefault()
          to(row)
        }}
      >
        <canvas ref={canvas} aria-hidden="true" />
        <span class="window" style={{ top: `${(100 * from) / rows.length}%`, height: `max(6px, ${(100 * inSight) / rows.length}%)` }} />
      </div>
    </div>
  )
}
