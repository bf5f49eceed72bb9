/** Nodes of an overview: shares, sums, the filter's language. Pure. */
import type { Amounts, Group, Overview } from '../overview'

/** Share of a resource that is requested on a node; 0 where the node offers none of it, infinite where it is asked for nevertheless. */
export function shareOf(view: Overview, resource: string, node: number): number {
  return share(view.nodes.requested[resource]?.[node] ?? 0, view.nodes.allocatable[resource]?.[node] ?? 0)
}

export function share(requested: number, allocatable: number): number {
  if (allocatable > 0) return requested / allocatable
  return requested > 0 ? Infinity : 0
}

/** A filter of nodes, taken apart. */
export interface Filter {
  /** For the server: terms of a label selector. */
  labelSelector: string
  matches: (view: Overview, node: number) => boolean
  /** `true` if `matches` says yes to every node. */
  isAll: boolean
  /** Words that mean nothing. */
  unknown: string[]
}

type Test = Filter['matches']

const STATES: Record<string, Test> = {
  ready: ({ nodes }, at) => nodes.ready[at] === true,
  notready: ({ nodes }, at) => nodes.ready[at] === false,
  cordoned: ({ nodes }, at) => nodes.unschedulable[at] === true,
  tainted: ({ nodes }, at) => (nodes.taints[at]?.length ?? 0) > 0,
  empty: ({ nodes }, at) => nodes.pods[at] === 0,
  lit: ({ nodes }, at) => (nodes.matching?.[at] ?? 0) > 0,
}

/**
 * Words that must all hold: `key=value`, `key!=value` (labels), `taint:text`, `is:cordoned` and the like, `cpu>80` and `memory<20`
 * (percent requested), anything else is a part of the name.
 */
export function filterOf(text: string): Filter {
  const labels: string[] = []
  const tests: Test[] = []
  const unknown: string[] = []
  for (const word of text.split(/\s+/).filter(Boolean)) {
    const [, resource, sign, bound] = /^([a-z][\w./-]*)([<>])([0-9.]+)%?$/.exec(word) ?? []
    if (resource && sign && bound) {
      const limit = Number(bound) / 100
      tests.push((view, at) => (sign === '>' ? shareOf(view, resource, at) > limit : shareOf(view, resource, at) < limit))
    } else if (word.startsWith('is:')) {
      const test = STATES[word.slice(3).toLowerCase().replaceAll('-', '')]
      if (test) tests.push(test)
      else unknown.push(word)
    } else if (word.startsWith('taint:')) {
      const part = word.slice(6)
      tests.push(({ nodes }, at) => nodes.taints[at]?.some((taint) => taint.includes(part)) ?? false)
    } else if (word.includes('=')) labels.push(word)
    else {
      const part = word.toLowerCase()
      tests.push(({ nodes }, at) => nodes.name[at]?.toLowerCase().includes(part) ?? false)
    }
  }
  return {
    labelSelector: labels.join(','),
    matches: (view, at) => tests.every((test) => test(view, at)),
    isAll: tests.length === 0,
    unknown,
  }
}

/** A box of the map: a group, or those that are too many to show one by one, with the nodes of it that are shown. */
export interface Box {
  name: string
  /** More than 1: the groups that have no box of their own. */
  groups: number
  nodes: number[]
  sums: Omit<Group, 'name'>
}

function added(into: Amounts, from: Amounts): void {
  for (const [resource, n] of Object.entries(from)) into[resource] = (into[resource] ?? 0) + n
}

function nothing(): Omit<Group, 'name'> {
  return { nodes: 0, ready: 0, unschedulable: 0, pods: 0, allocatable: {}, requested: {} }
}

/** Sums over some nodes. */
export function sumsOf(view: Overview, nodes: number[]): Omit<Group, 'name'> {
  const sums = nothing()
  for (const at of nodes) {
    sums.nodes++
    sums.ready += view.nodes.ready[at] ? 1 : 0
    sums.unschedulable += view.nodes.unschedulable[at] ? 1 : 0
    sums.pods += view.nodes.pods[at] ?? 0
  }
  for (const columns of ['allocatable', 'requested'] as const) {
    for (const [resource, column] of Object.entries(view.nodes[columns])) {
      let sum = 0
      for (const at of nodes) sum += column[at] ?? 0
      sums[columns][resource] = sum
    }
  }
  return sums
}

function together(groups: Group[]): Omit<Group, 'name'> {
  const sums = nothing()
  for (const group of groups) {
    for (const field of ['nodes', 'ready', 'unschedulable', 'pods'] as const) sums[field] += group[field]
    added(sums.allocatable, group.allocatable)
    added(sums.requested, group.requested)
  }
  return sums
}

/** Boxes of the map, at most `most`: the groups by name, those with the fewest nodes together in the last. */
export function boxesOf(view: Overview, filter: Filter, most: number): Box[] {
  const members: number[][] = view.groups.map(() => [])
  view.nodes.group.forEach((group, node) => {
    if (filter.isAll || filter.matches(view, node)) members[group]?.push(node)
  })
  const filled = view.groups.map((_, group) => group).filter((group) => members[group]?.length)
  const nodesOf = (group: number) => members[group] ?? []
  const own = filled.length <= most ? new Set(filled) : new Set(filled.toSorted((a, b) => nodesOf(b).length - nodesOf(a).length || a - b).slice(0, most - 1))
  const boxes: Box[] = filled
    .filter((group) => own.has(group))
    .map((group) => {
      const nodes = nodesOf(group)
      const sums = view.groups[group]
      return { name: sums?.name ?? '', groups: 1, nodes, sums: filter.isAll && sums ? sums : sumsOf(view, nodes) }
    })
  const rest = filled.filter((group) => !own.has(group))
  if (rest.length > 0) {
    const nodes = rest.flatMap(nodesOf)
    const groups = rest.map((group) => view.groups[group]).filter((group) => group !== undefined)
    boxes.push({ name: '', groups: rest.length, nodes, sums: filter.isAll ? together(groups) : sumsOf(view, nodes) })
  }
  return boxes
}

/** Position among tiles after a key; `null`: the key does not move. */
export function moved(key: string, at: number, columns: number, length: number): number | null {
  const steps: Record<string, number> = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns, PageDown: columns * 5, PageUp: -columns * 5 }
  if (key === 'Home') return 0
  if (key === 'End') return length - 1
  const step = steps[key]
  return step === undefined ? null : Math.min(Math.max(at + step, 0), length - 1)
}
