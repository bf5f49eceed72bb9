/** The steps of a simulation: how a person edits them, how a link carries them, and what `POST /simulate` takes. */

import type { Overview } from '../overview'
import type { PodName } from './explanation'

export interface Labels { [key: string]: string | null }
export interface Step {
  addNodes?: { template: object; count: number }
  removeNode?: string
  cordon?: string
  uncordon?: string
  drain?: string
  taint?: { node: string; key: string; value?: string; effect: string }
  label?: { node: string; labels: Labels }
  addPods?: { template: object; count: number } | object[]
  deletePods?: { names?: string[]; selector?: string; namespace?: string }
  failZone?: { topologyKey: string; value: string }
  setPolicy?: object
  preempt?: boolean
}

export interface Question {
  howMany?: { pod: object; limit?: number }
  nodesNeeded?: { template: object; limit?: number }
}

/** All that a link carries. */
export interface Plan extends Question { steps: Step[]; revision?: number }

export interface Share { requested: string; allocatable: string; ratio: number }
export interface Utilization { nodes: number; nodesInUse: number; resources: Record<string, Share> }
export interface Placement { pod: PodName; from?: string; to: string; victims?: PodName[] }
export interface Stuck { pod: PodName; from?: string; message: string }
export interface StepReport {
  step: string; added?: string[]; placements: Placement[]; moved: Placement[]; stuck: Stuck[]; lost?: PodName[]; blocked?: Stuck[]; utilization: Utilization
}
export interface Report {
  revision: number
  before: Utilization
  steps: StepReport[]
  howMany?: { count: number; byNode: Record<string, number>; limitedBy?: string }
  nodesNeeded?: { count: number | null; withOneLess: Stuck[] }
  overview?: Overviews
}
/** All nodes before the first step and after the last one. */
export interface Overviews { before: Overview; after: Overview }

export const KINDS = [
  'drain', 'cordon', 'uncordon', 'removeNode', 'failZone', 'addNodes', 'addPods', 'deletePods', 'taint', 'label', 'setPolicy', 'preempt',
] as const
export type Kind = (typeof KINDS)[number]

/** The most steps that the server takes. */
export const MOST_STEPS = 100
/** The longest link that every browser and proxy passes on. */
export const LONGEST_LINK = 8000

export function kindOf(step: Step): Kind | undefined {
  return KINDS.find((kind) => kind in step)
}

/** The plan as the value of a query field; undefined where it is too long for a link. */
export function toLink(plan: Plan): string | undefined {
  const text = JSON.stringify(plan)
  return encodeURIComponent(text).length <= LONGEST_LINK ? text : undefined
}

/** The plan that a link carries. Throws an error for people where it carries none. */
export function fromLink(text: string): Plan {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw new Error(`the steps of the link are not JSON: ${(error as Error).message}`)
  }
  const plan = (Array.isArray(value) ? { steps: value } : value) as Plan
  if (typeof plan !== 'object' || plan === null || !Array.isArray(plan.steps)) throw new Error('the link has no list of steps')
  const unknown = plan.steps.find((step) => typeof step !== 'object' || step === null || !kindOf(step))
  if (unknown !== undefined) throw new Error(`this step of the link is unknown: ${JSON.stringify(unknown).slice(0, 80)}`)
  return plan
}

/** Labels from `a=b, c=d, e-`: a hyphen at the end takes one away. Throws an error for people. */
export function labels(text: string): Labels {
  const result: Labels = {}
  for (const part of text.split(',').map((part) => part.trim()).filter(Boolean)) {
    const at = part.indexOf('=')
    if (at > 0) result[part.slice(0, at).trim()] = part.slice(at + 1).trim()
    else if (part.length > 1 && part.endsWith('-')) result[part.slice(0, -1)] = null
    else throw new Error(`write labels as key=value, and key- to take one away: ${part}`)
  }
  return result
}

export interface NodeForm { name: string; cpu: string; memory: string; pods: string; labels: string }

/** A node as people describe it. */
export function nodeTemplate(form: NodeForm): object {
  const given = Object.entries(labels(form.labels)).filter(([, value]) => value !== null)
  return {
    metadata: { name: form.name || 'new', ...(given.length > 0 && { labels: Object.fromEntries(given) }) },
    status: { allocatable: { cpu: form.cpu, memory: form.memory, pods: form.pods || '110' } },
  }
}

interface ApiNode {
  metadata: { name: string; labels?: Record<string, string> }
  spec?: { taints?: { key: string }[] }
  status?: { allocatable?: Record<string, string>; capacity?: Record<string, string> }
}

/** A new node like one that is there: its labels, taints and amounts without what is of it alone. */
export function nodeLike(node: ApiNode): object {
  const own = ['kubernetes.io/hostname']
  const labels = Object.fromEntries(Object.entries(node.metadata.labels ?? {}).filter(([key]) => !own.includes(key)))
  const taints = (node.spec?.taints ?? []).filter(
    ({ key }) => !key.startsWith('node.kubernetes.io/') && !key.startsWith('ToBeDeletedBy'),
  )
  return {
    metadata: { name: `like-${node.metadata.name}`, labels },
    ...(taints.length > 0 && { spec: { taints } }),
    status: { allocatable: node.status?.allocatable ?? node.status?.capacity ?? {} },
  }
}

export interface PodForm { name: string; namespace: string; cpu: string; memory: string; labels: string }

/** A pod as people describe it. */
export function podTemplate(form: PodForm): object {
  const given = Object.entries(labels(form.labels)).filter(([, value]) => value !== null)
  const requests = { ...(form.cpu && { cpu: form.cpu }), ...(form.memory && { memory: form.memory }) }
  return {
    metadata: {
      name: form.name || 'new',
      ...(form.namespace && { namespace: form.namespace }),
      ...(given.length > 0 && { labels: Object.fromEntries(given) }),
    },
    spec: { containers: [{ name: 'main', resources: { requests } }] },
  }
}

/** The sums over all steps of a report. */
export function outcome(report: Report): { moved: number; stuck: number; waiting: number; lost: number; blocked: number; placed: number } {
  const sum = (count: (step: StepReport) => number) => report.steps.reduce((all, step) => all + count(step), 0)
  // A pod that fits nowhere is reported by each step that tries it again: the last one counts.
  const stuck = new Map<string, boolean>()
  for (const step of report.steps) {
    for (const placed of [...step.placements, ...step.moved]) stuck.delete(key(placed.pod))
    for (const one of step.stuck) stuck.set(key(one.pod), one.from !== undefined || stuck.get(key(one.pod)) === true)
  }
  return {
    moved: sum((step) => step.moved.length),
    placed: sum((step) => step.placements.length),
    stuck: [...stuck.values()].filter((hadNode) => hadNode).length,
    waiting: [...stuck.values()].filter((hadNode) => !hadNode).length,
    lost: sum((step) => step.lost?.length ?? 0),
    blocked: sum((step) => step.blocked?.length ?? 0),
  }
}

const key = (pod: PodName) => `${pod.namespace}/${pod.name}`
