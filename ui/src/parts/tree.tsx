/** A decision tree as a picture: a column for each level, nodes that are still equal as one block. */
import type { JSX } from 'preact'
import { useMemo } from 'preact/hooks'
import { count, counted } from '../format'
import type { Matrix } from '../models/explanation'
import { type Block, blocks } from '../models/tree'
import { texts } from '../texts'

const HEIGHT = 220
const WIDTH = 150
const HEAD = 44
/** Blocks lower than this are drawn as one with their neighbours. */
const THINNEST = 6

export function Tree(props: { matrix: Matrix; kept: Block | undefined; onKeep: (block: Block | undefined) => void }): JSX.Element {
  const { matrix } = props
  const columns = useMemo(() => blocks(matrix, THINNEST / HEIGHT), [matrix])
  const deciding = matrix.of.decidedBy?.level
  const isKept = (block: Block) => props.kept?.level === block.level && props.kept.top === block.top
  return (
    <section class="tree wide" aria-label={texts.explain.tree.label}>
      <svg width={columns.length * WIDTH} height={HEAD + HEIGHT} role="group" aria-label={texts.explain.tree.label}>
        {columns.map((column, level) => {
          const priority = matrix.of.priorities[level]
          const x = level * WIDTH
          const decides = deciding === level + 1
          return (
            <g key={level}>
              <text x={x + 4} y={14} class={decides ? 'level deciding' : 'level'}>
                {`${level + 1}. ${short(priority?.name ?? '')}`}
                <title>{priority?.name}</title>
              </text>
              <text x={x + 4} y={32} class={decides ? 'note-text deciding' : 'note-text'}>
                {decides ? texts.explain.tree.decides : priority?.tolerance ? texts.explain.tree.tolerance(priority.tolerance) : texts.explain.tree.exact}
              </text>
              {column.map((block) => (
                <Piece key={block.top} block={block} x={x} isKept={isKept(block)} onKeep={() => props.onKeep(isKept(block) ? undefined : block)} />
              ))}
            </g>
          )
        })}
      </svg>
      <p class="quiet">{texts.explain.tree.hint}</p>
    </section>
  )
}

function Piece(props: { block: Block; x: number; isKept: boolean; onKeep: () => void }): JSX.Element {
  const { block, x } = props
  const scores = block.best === block.worst ? String(block.best) : `${block.best}–${block.worst}`
  const shown = `${count(block.nodes.length)} × ${scores}${block.leads ? ' ★' : ''}`
  const words = `${shown}: ${texts.explain.tree.block(counted(block.nodes.length, 'node'), scores, block.bands)}`
  const height = Math.max(block.height * HEIGHT, 2)
  const y = HEAD + block.top * HEIGHT
  const press = (event: KeyboardEvent) => {
    if (event.key !== 'Enter' && event.key !== ' ') return
    event.preventDefault()
    props.onKeep()
  }
  return (
    <g
      role="button"
      tabindex={0}
      class={`block ${block.leads ? 'leads' : ''} ${props.isKept ? 'kept' : ''}`}
      aria-label={words}
      aria-pressed={props.isKept}
      onClick={props.onKeep}
      onKeyDown={press}
    >
      <title>{words}</title>
      <rect x={x + 1} y={y + 0.5} width={WIDTH - 3} height={Math.max(height - 1, 1)} />
      {height >= 16 && (
        <text x={x + 8} y={y + Math.min(height / 2 + 5, 18)}>
          {shown}
        </text>
      )}
    </g>
  )
}

/** A name that fits over a column. */
function short(name: string): string {
  const bare = name.replace(/Priority$/, '')
  return bare.length > 18 ? `${bare.slice(0, 17)}…` : bare
}
