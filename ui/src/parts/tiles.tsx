/** Nodes as tiles on a canvas: the height of the fill is the share, so that colour is never alone. */
import type { JSX } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import type { Overview } from '../overview'
import { colour, painted } from '../theme'
import { moved, shareOf } from './nodes'

export type Size = 's' | 'm' | 'l'

interface Shape {
  width: number
  height: number
  gap: number
}

export const SHAPES: Record<Size, Shape> = {
  s: { width: 11, height: 11, gap: 2 },
  m: { width: 22, height: 22, gap: 3 },
  l: { width: 118, height: 34, gap: 4 },
}

/** Size at which a number of nodes is in sight at once. */
export function sizeFor(nodes: number): Size {
  return nodes <= 60 ? 'l' : nodes <= 1200 ? 'm' : 's'
}

type Rgb = [number, number, number]

function rgb(name: string): Rgb {
  const [r = 0, g = 0, b = 0] = (colour(name).match(/[\d.]+/g) ?? []).map(Number)
  return [r, g, b]
}

interface Paints {
  tile: string
  text: string
  page: string
  line: string
  over: string
  lit: string
  focus: string
  /** From an empty node to a full one. */
  fills: string[]
}

let mixed: { scheme: number; paints: Paints } | undefined

/** The colours of the scheme in force; asking the style sheet for each frame would cost more than the frame. */
function paints(): Paints {
  const scheme = painted.peek()
  if (mixed?.scheme !== scheme) mixed = { scheme, paints: mix() }
  return mixed.paints
}

function mix(): Paints {
  const [low, high] = [rgb('--fill-low'), rgb('--fill-high')]
  const fills = Array.from({ length: 11 }, (_, step) => {
    const parts = low.map((from, at) => Math.round(from + (((high[at] ?? 0) - from) * step) / 10))
    return `rgb(${parts.join(' ')})`
  })
  const of = (name: string) => colour(name)
  return { tile: of('--tile'), text: of('--text'), page: of('--page'), line: of('--quiet'), over: of('--over'), lit: of('--lit'), focus: of('--focus'), fills }
}

/** What is painted of a node. */
export interface Tile {
  share: number
  isReady: boolean
  isCordoned: boolean
  lit: number
  name: string
  /** `true`: there is no such node. */
  isMissing?: boolean
}

export function paintTile(context: CanvasRenderingContext2D, paint: Paints, tile: Tile, x: number, y: number, { width, height }: Shape): void {
  if (tile.isMissing) {
    context.strokeStyle = paint.line
    context.lineWidth = 1
    context.setLineDash([2, 2])
    context.strokeRect(x + 0.5, y + 0.5, width - 1, height - 1)
    context.setLineDash([])
    return
  }
  context.fillStyle = paint.tile
  context.fillRect(x, y, width, height)
  const part = Math.min(Math.max(tile.share, 0), 1)
  if (part > 0) {
    const filled = Math.max(1, Math.round(part * height))
    context.fillStyle = tile.share > 1 ? paint.over : (paint.fills[Math.round(part * 10)] ?? paint.tile)
    context.fillRect(x, y + height - filled, width, filled)
  }
  context.lineWidth = 1
  if (tile.isCordoned) {
    context.strokeStyle = paint.text
    context.beginPath()
    for (let at = 3; at < width + height; at += 5) {
      const [fromX, fromY] = at <= height ? [0, at] : [at - height, height]
      const [toX, toY] = at <= width ? [at, 0] : [width, at - width]
      context.moveTo(x + fromX, y + fromY)
      context.lineTo(x + toX, y + toY)
    }
    context.stroke()
  }
  if (!tile.isReady) {
    context.strokeStyle = paint.over
    context.lineWidth = 2
    context.beginPath()
    context.moveTo(x + 1, y + 1)
    context.lineTo(x + width - 1, y + height - 1)
    context.moveTo(x + width - 1, y + 1)
    context.lineTo(x + 1, y + height - 1)
    context.stroke()
  }
  if (tile.lit > 0) {
    context.strokeStyle = paint.lit
    context.lineWidth = 2
    context.strokeRect(x + 1, y + 1, width - 2, height - 2)
    context.fillStyle = paint.lit
    context.fillRect(x + width / 2 - 2, y + height / 2 - 2, 4, 4)
  }
}

/** A tile beside the words that explain it. */
export function Sample({ tile }: { tile: Partial<Tile> }): JSX.Element {
  const canvas = useRef<HTMLCanvasElement>(null)
  const scheme = painted.value
  useEffect(() => {
    const context = canvas.current?.getContext('2d')
    if (!context) return
    context.setTransform(2, 0, 0, 2, 0, 0)
    context.clearRect(0, 0, 18, 18)
    paintTile(context, paints(), { share: 0.5, isReady: true, isCordoned: false, lit: 0, name: '', ...tile }, 0, 0, { width: 18, height: 18, gap: 0 })
  }, [scheme])
  return <canvas ref={canvas} width={36} height={36} aria-hidden="true" />
}

export interface TilesProps {
  view: Overview
  /** Changes with the view's columns. */
  version: number
  nodes: number[]
  resource: string
  size: Size
  label: string
  /** Nodes of which there is but a place. */
  missing?: ReadonlySet<number>
  /** Node that is open. */
  open: string
  onOpen: (node: number) => void
  /** The node under the pointer or the keys. */
  onLook: (node: number | null) => void
}

export function Tiles(props: TilesProps): JSX.Element {
  const { view, nodes, resource, size } = props
  const canvas = useRef<HTMLCanvasElement>(null)
  const [width, setWidth] = useState(0)
  const [at, setAt] = useState(0)
  const [isFocused, focus] = useState(false)
  const shape = SHAPES[size]
  const columns = Math.max(1, Math.floor((width + shape.gap) / (shape.width + shape.gap)))
  const lines = Math.ceil(nodes.length / columns)
  const height = lines * (shape.height + shape.gap)
  const active = Math.min(at, nodes.length - 1)
  const scheme = painted.value

  useEffect(() => {
    const element = canvas.current
    if (!element) return
    const observer = new ResizeObserver(([entry]) => setWidth(Math.floor(entry?.contentRect.width ?? 0)))
    observer.observe(element)
    return () => observer.disconnect()
  }, [])

  useEffect(() => {
    const element = canvas.current
    const context = element?.getContext('2d')
    if (!element || !context || width === 0) return
    const scale = devicePixelRatio
    const [pixelsWide, pixelsHigh] = [Math.round(width * scale), Math.round(height * scale)]
    if (element.width !== pixelsWide || element.height !== pixelsHigh) {
      element.width = pixelsWide
      element.height = pixelsHigh
    }
    context.setTransform(scale, 0, 0, scale, 0, 0)
    context.clearRect(0, 0, width, height)
    const paint = paints()
    context.font = '12px system-ui, sans-serif'
    context.textBaseline = 'middle'
    nodes.forEach((node, index) => {
      const x = (index % columns) * (shape.width + shape.gap)
      const y = Math.floor(index / columns) * (shape.height + shape.gap)
      const name = view.nodes.name[node] ?? ''
      const tile = {
        share: shareOf(view, resource, node),
        isReady: view.nodes.ready[node] ?? true,
        isCordoned: view.nodes.unschedulable[node] ?? false,
        lit: view.nodes.matching?.[node] ?? 0,
        name,
        isMissing: props.missing?.has(node) ?? false,
      }
      if (size === 'l') {
        // The name stands beside the tile, on the page's own colour.
        const square = { ...shape, width: shape.height }
        paintTile(context, paint, tile, x, y, square)
        context.fillStyle = paint.text
        context.fillText(shortened(context, name, shape.width - square.width - 8), x + square.width + 5, y + shape.height / 2)
      } else paintTile(context, paint, tile, x, y, shape)
      if (name === props.open || (isFocused && index === active)) {
        context.strokeStyle = paint.focus
        context.lineWidth = 2
        context.strokeRect(x - 1, y - 1, shape.width + 2, shape.height + 2)
      }
    })
  }, [view, props.version, nodes, resource, size, width, columns, scheme, active, isFocused, props.open, props.missing])

  const under = (event: MouseEvent): number | null => {
    const column = Math.floor(event.offsetX / (shape.width + shape.gap))
    const index = Math.floor(event.offsetY / (shape.height + shape.gap)) * columns + column
    return column < columns && index < nodes.length ? index : null
  }
  const look = (index: number | null) => props.onLook(index === null ? null : (nodes[index] ?? null))
  return (
    <canvas
      ref={canvas}
      tabIndex={0}
      role="application"
      aria-label={props.label}
      style={{ height: `${height}px` }}
      onClick={(event) => {
        const index = under(event)
        const node = index === null ? undefined : nodes[index]
        if (index === null || node === undefined) return
        setAt(index)
        props.onOpen(node)
      }}
      onPointerMove={(event) => look(under(event))}
      onPointerLeave={() => look(null)}
      onFocus={(event) => {
        const isByKey = event.currentTarget.matches(':focus-visible')
        focus(isByKey)
        if (isByKey) look(active)
      }}
      onBlur={() => {
        focus(false)
        look(null)
      }}
      onKeyDown={(event) => {
        if (event.ctrlKey || event.altKey || event.metaKey) return
        const node = nodes[active]
        const next = moved(event.key, active, columns, nodes.length)
        if (next !== null) {
          focus(true)
          setAt(next)
          look(next)
        } else if (event.key === 'Enter' && node !== undefined) props.onOpen(node)
        else return
        event.preventDefault()
      }}
    />
  )
}

function shortened(context: CanvasRenderingContext2D, text: string, width: number): string {
  if (context.measureText(text).width <= width) return text
  let length = text.length
  while (length > 4 && context.measureText(`…${text.slice(-length)}`).width > width) length--
  return `…${text.slice(-length)}`
}
