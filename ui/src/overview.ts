/** The overview of a cluster as the server tells it, and the lines by which it changes. Pure. */
import { ApiError } from './error'

export type Amounts = Record<string, number>
export type Columns = Record<string, number[]>

export interface Nodes {
  name: string[]
  group: number[]
  ready: boolean[]
  unschedulable: boolean[]
  taints: string[][]
  allocatable: Columns
  requested: Columns
  pods: number[]
  matching?: number[]
}

export interface Group {
  name: string
  nodes: number
  ready: number
  unschedulable: number
  pods: number
  allocatable: Amounts
  requested: Amounts
}

export interface Totals {
  nodes: number
  ready: number
  unschedulable: number
  pods: number
  pending: number
  allocatable: Amounts
  requested: Amounts
}

/** Reply of `GET /overview`. */
export interface Overview {
  revision: number
  resources: string[]
  nodes: Nodes
  groups: Group[]
  totals: Totals
  labels: { key: string; values: number }[]
}

type Changed = { index: number[] } & Omit<Nodes, 'name' | 'group'>
export type Line =
  | Overview
  | { revision: number; changed?: Changed; groups?: ({ index: number } & Group)[]; totals?: Totals }
  | { error: { code?: number; reason?: string; message?: string } }

/** An overview, and the number of times that it changed: its columns are changed in place. */
export interface Seen {
  of: string
  view: Overview
  version: number
}

/** Applies a line to what was seen. */
export function apply(of: string, seen: Seen | null, line: Line): Seen | null {
  if ('error' in line) throw new ApiError(line.error.code ?? 500, line.error.reason ?? '', line.error.message ?? '')
  if ('nodes' in line) return { of, view: line, version: (seen?.version ?? 0) + 1 }
  if (!seen) return null
  const { view } = seen
  view.revision = line.revision
  const { changed } = line
  if (!changed) return { ...seen }
  const { nodes } = view
  changed.index.forEach((node, at) => {
    nodes.ready[node] = changed.ready[at] ?? false
    nodes.unschedulable[node] = changed.unschedulable[at] ?? false
    nodes.taints[node] = changed.taints[at] ?? []
    nodes.pods[node] = changed.pods[at] ?? 0
    if (nodes.matching && changed.matching) nodes.matching[node] = changed.matching[at] ?? 0
    for (const columns of ['allocatable', 'requested'] as const) {
      for (const [resource, column] of Object.entries(changed[columns])) {
        const into = nodes[columns][resource]
        if (into) into[node] = column[at] ?? 0
      }
    }
  })
  for (const { index, ...group } of line.groups ?? []) view.groups[index] = group
  if (line.totals) view.totals = line.totals
  return { of, view, version: seen.version + 1 }
}
