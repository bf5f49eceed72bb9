/** The rows of the matrix as lines of a picture. Pure. */
import type { Matrix, Row, Verdict } from './explanation'

/** A line of the picture, which stands for one row or more. */
export interface Line {
  /** The best total of its nodes, between that of the worst node (a little) and that of the best (1); 0 where none fits. */
  share: number
  /** The worst verdict of each predicate. */
  verdicts: Verdict[]
}

const ORDER = '.-ux'
/** Share of the worst node that fits. */
const LEAST = 0.1

/** As many lines as there is room for, and the predicates that they tell of: those that reject a node. */
export function lanes(matrix: Matrix, rows: Row[], room: number): { lines: Line[]; predicates: number[] } {
  const predicates = matrix.telling()
  let [low, high] = [Infinity, -Infinity]
  matrix.of.total.forEach((total, node) => {
    if (!matrix.fits(node)) return
    low = Math.min(low, total)
    high = Math.max(high, total)
  })
  // Under a tree the total counts groups behind the best.
  const shareOf = (node: number) => {
    if (!matrix.fits(node)) return 0
    if (high === low) return 1
    const total = matrix.of.total[node] ?? 0
    return LEAST + (1 - LEAST) * ((matrix.isTree ? high - total : total - low) / (high - low))
  }
  const lines: Line[] = []
  for (let at = 0; at < room; at++) {
    const line: Line = { share: 0, verdicts: predicates.map(() => '.') }
    for (const row of rows.slice(Math.floor((at * rows.length) / room), Math.floor(((at + 1) * rows.length) / room))) {
      const nodes = 'node' in row ? [row.node] : row.nodes
      for (const node of nodes) line.share = Math.max(line.share, shareOf(node))
      // Nodes of a pattern have equal verdicts.
      const first = nodes[0]
      if (first === undefined) continue
      predicates.forEach((p, lane) => {
        const verdict = matrix.verdict(p, first)
        if (ORDER.indexOf(verdict) > ORDER.indexOf(line.verdicts[lane] ?? '.')) line.verdicts[lane] = verdict
      })
    }
    lines.push(line)
  }
  return { lines, predicates }
}
