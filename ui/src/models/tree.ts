/** A decision tree as a picture: the bands into which each level cuts the nodes that fit. */

import type { Matrix } from './explanation'

/** Nodes that are equal down to a level. */
export interface Band {
  nodes: number[]
  /** The place of the band on the level before that it was cut from. */
  parent: number
  best: number
  worst: number
}

/** A block of the picture. Heights and places are parts of 1. */
export interface Block {
  level: number
  top: number
  height: number
  nodes: number[]
  best: number
  worst: number
  /** How many bands it stands for; more than one where they are too thin to be drawn. */
  bands: number
  /** The band holds the best node. */
  leads: boolean
}

/** The bands of each level, the best first. Scores below the best of what is left by no more than the tolerance are equal. */
export function bands(matrix: Matrix): Band[][] {
  const fitting: number[] = []
  matrix.of.rank.forEach((rank, node) => rank !== null && fitting.push(node))
  let groups: Band[] = [{ nodes: fitting, parent: -1, best: 0, worst: 0 }]
  return matrix.of.priorities.map((priority, k) => {
    const scores = matrix.of.scores[k] ?? []
    const score = (node: number) => scores[node] ?? 0
    groups = groups.flatMap((group, parent) => cut(group.nodes, score, priority.tolerance ?? 0, parent))
    return groups
  })
}

function cut(nodes: number[], score: (node: number) => number, tolerance: number, parent: number): Band[] {
  const result: Band[] = []
  for (const node of [...nodes].sort((a, b) => score(b) - score(a) || a - b)) {
    const last = result[result.length - 1]
    if (last && score(node) >= last.best - tolerance) {
      last.nodes.push(node)
      last.worst = score(node)
    } else {
      result.push({ nodes: [node], parent, best: score(node), worst: score(node) })
    }
  }
  return result
}

/** The picture: a column for each level, blocks as high as they have nodes. Blocks thinner than `thinnest` are drawn as one with their neighbours. */
export function blocks(matrix: Matrix, thinnest: number): Block[][] {
  const levels = bands(matrix)
  let tops: number[] = [0]
  const all = Math.max(1, matrix.fitting)
  return levels.map((level, index) => {
    const filled = new Map<number, number>()
    const starts = level.map((band) => {
      const used = filled.get(band.parent) ?? 0
      filled.set(band.parent, used + band.nodes.length / all)
      return (tops[band.parent] ?? 0) + used
    })
    tops = starts
    const column: Block[] = []
    level.forEach((band, place) => {
      const height = band.nodes.length / all
      const block: Block = {
        level: index, top: starts[place] ?? 0, height, nodes: band.nodes, best: band.best, worst: band.worst, bands: 1, leads: place === 0,
      }
      const last = column[column.length - 1]
      if (last && !last.leads && height < thinnest && last.height < thinnest) {
        last.nodes = last.nodes.concat(band.nodes)
        last.best = Math.max(last.best, band.best)
        last.worst = Math.min(last.worst, band.worst)
        last.height += height
        last.bands += 1
      } else {
        column.push(block)
      }
    })
    return column
  })
}
