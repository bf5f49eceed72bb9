/** The nodes before and after the steps of a simulation, side by side. Pure. */
import type { Columns, Nodes, Overview } from '../overview'

/** Both overviews, with the same nodes in the same order. */
export interface BeforeAfter {
  before: Overview
  after: Overview
  /** Nodes that are not there before, or not after. */
  added: ReadonlySet<number>
  gone: ReadonlySet<number>
  /** Nodes that differ, those that are not on both sides included. */
  changed: number[]
}

/** Lines up the nodes of two overviews by name. A node's group is that of the side on which it is. */
export function aligned(before: Overview, after: Overview): BeforeAfter {
  const names = [...new Set([...before.nodes.name, ...after.nodes.name])].sort()
  const groups = [...new Set([...before.groups, ...after.groups].map(({ name }) => name))].sort()
  const [left, right] = [places(before), places(after)]
  const groupOf = (name: string) => {
    const [view, at] = left.has(name) ? [before, left.get(name)] : [after, right.get(name)]
    return groups.indexOf(view.groups[view.nodes.group[at ?? -1] ?? -1]?.name ?? '')
  }
  const group = names.map(groupOf)
  const sides = [spread(before, left, names, group, groups), spread(after, right, names, group, groups)] as const
  const added = new Set(names.flatMap((name, at) => (left.has(name) ? [] : [at])))
  const gone = new Set(names.flatMap((name, at) => (right.has(name) ? [] : [at])))
  const changed = names.flatMap((_, at) => (added.has(at) || gone.has(at) || differs(sides[0].nodes, sides[1].nodes, at) ? [at] : []))
  // The map after the steps lights up what differs, as it does pods by their labels; before them one sees how full each node was.
  const isChanged = new Set(changed)
  sides[1].nodes.matching = names.map((_, at) => (isChanged.has(at) ? 1 : 0))
  return { before: sides[0], after: sides[1], added, gone, changed }
}

function places(view: Overview): Map<string, number> {
  return new Map(view.nodes.name.map((name, at) => [name, at]))
}

function spread(view: Overview, at: Map<string, number>, names: string[], group: number[], groups: string[]): Overview {
  const from = names.map((name) => at.get(name))
  const list = <T>(values: T[], otherwise: T): T[] => from.map((place) => (place === undefined ? otherwise : (values[place] ?? otherwise)))
  const columns = (all: Columns): Columns => Object.fromEntries(Object.entries(all).map(([resource, column]) => [resource, list(column, 0)]))
  const { ready, unschedulable, taints, pods, allocatable, requested } = view.nodes
  return {
    ...view,
    nodes: {
      name: names, group, ready: list(ready, true), unschedulable: list(unschedulable, false), taints: list(taints, []), pods: list(pods, 0),
      allocatable: columns(allocatable), requested: columns(requested),
    },
    groups: groups.map((name) => view.groups.find((group) => group.name === name) ?? { name, nodes: 0, ready: 0, unschedulable: 0, pods: 0, allocatable: {}, requested: {} }),
  }
}

function differs(a: Nodes, b: Nodes, at: number): boolean {
  const amounts = (x: Columns, y: Columns) => Object.keys({ ...x, ...y }).some((resource) => x[resource]?.[at] !== y[resource]?.[at])
  return (
    a.pods[at] !== b.pods[at] || a.ready[at] !== b.ready[at] || a.unschedulable[at] !== b.unschedulable[at] || a.taints[at]?.join() !== b.taints[at]?.join() ||
    amounts(a.allocatable, b.allocatable) || amounts(a.requested, b.requested)
  )
}
