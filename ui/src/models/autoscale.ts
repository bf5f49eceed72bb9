/** Node groups: the loop's status, and plans for more or fewer nodes. */

export interface GroupStatus {
  name: string; minSize: number; maxSize: number; targetSize: number; ready: number; unready: number; coming: number; leaving: number; pausesUntil?: string
}
export interface Status {
  loop: 'act' | 'advise' | 'off'
  mood?: string
  until?: string
  revision: number
  waitingPods: number
  groups: GroupStatus[]
  nodesWithoutGroup: number
  unneeded: { node: string; group?: string; since: string }[]
  leaving: { node: string; group: string; state: string; since: string }[]
  messagesWaiting: number
  steps: string[]
}

export interface UpOption {
  nodeGroup: string; nodeCount: number; pods: string[]; similar?: string[]; waste: { cpu: number; memory: number }; cost?: number
}
export interface Up {
  revision: number
  result: string
  increase: Record<string, number>
  best?: string
  options: UpOption[]
  podsTriggered: string[]
  podsAwaitEvaluation: string[]
  podsRemainUnschedulable: Record<string, Record<string, string[]>>
  podsFit: Record<string, string>
  skipped: Record<string, string[]>
  upcoming: Record<string, number>
  exact?: {
    nodes: number
    lowerBound: number
    proven: boolean
    complete: boolean
    newNodes: { name: string; nodeGroup: string; pods: string[] }[]
    unbound?: string[]
  }
}

export interface DownNode {
  nodeGroup?: string
  candidate: boolean
  utilization?: { resource: string; value: number }
  unneeded: boolean
  unneededSince?: string
  removableAt?: string
  podsToMove?: string[]
  moves?: { pod: string; to: string }[]
  reason?: string
  message?: string
  blockingPod?: { pod: string; reason: string; message: string }
}
export interface Down {
  revision: number
  now: string
  nodes: Record<string, DownNode>
  delete: { count: number; empty: string[]; drain: string[] }
  removable: { empty: string[]; drain: string[] }
  plan: { node: string; nodeGroup?: string; moves: { pod: string; to: string }[] }[]
}

/** Pods that no group helps, those with equal reasons as one. */
export interface Helpless { reasons: [group: string, why: string[]][]; pods: string[] }

export function helpless(up: Up): Helpless[] {
  const found = new Map<string, Helpless>()
  for (const [pod, groups] of Object.entries(up.podsRemainUnschedulable)) {
    const reasons = Object.entries(groups).sort(([a], [b]) => (a < b ? -1 : 1))
    const key = JSON.stringify(reasons)
    const same = found.get(key)
    if (same) same.pods.push(pod)
    else found.set(key, { reasons, pods: [pod] })
  }
  return [...found.values()].sort((a, b) => b.pods.length - a.pods.length)
}

export interface NodeRow { name: string; of: DownNode; state: 'goes' | 'unneeded' | 'needed' | 'notExamined' }

/** Nodes: those that go in this round, then the unneeded ones, then those with a reason to stay. */
export function nodeRows(down: Down): NodeRow[] {
  const goes = new Set([...down.delete.empty, ...down.delete.drain])
  const order = { goes: 0, unneeded: 1, needed: 2, notExamined: 3 }
  return Object.entries(down.nodes)
    .map(([name, of]): NodeRow => {
      const state = goes.has(name) ? 'goes' : of.unneeded ? 'unneeded' : of.reason ? 'needed' : 'notExamined'
      return { name, of, state }
    })
    .sort((a, b) => order[a.state] - order[b.state] || (a.name < b.name ? -1 : 1))
}

/** How many nodes stay for each reason, the most frequent first. */
export function keptBy(down: Down): [reason: string, nodes: number][] {
  const counts = new Map<string, number>()
  for (const node of Object.values(down.nodes)) {
    const reason = node.blockingPod?.reason ?? node.reason
    if (reason) counts.set(reason, (counts.get(reason) ?? 0) + 1)
  }
  return [...counts].sort((a, b) => b[1] - a[1])
}
