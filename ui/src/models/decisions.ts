/** Recorded decisions, as `GET /decisions` lists them. */

import { count } from '../format'
import type { PodName, PolicyUsed } from './explanation'

export const OUTCOMES = ['bound', 'assumed', 'unschedulable', 'stale', 'notBound', 'answered'] as const
export type Outcome = (typeof OUTCOMES)[number]

export interface Decision {
  id: string
  time: string
  cluster: string
  call: string
  by: { user: string; agent?: string }
  pod: PodName & { uid?: string }
  policy: PolicyUsed
  revision: number
  seed: number
  preempt?: boolean
  batch?: { id: string; place: number }
  outcome: Outcome
  node?: string
  total?: number
  fitting?: number
  message?: string
  victims?: PodName[]
  verdicts?: { reason: string; nodes: number }[]
  scores?: { node: string; total: number }[]
  unrepeatable?: string
}

export interface DecisionList { items: Decision[]; continue?: string; unreadable?: number }

export interface ReplayReport {
  total: number
  identical: number
  different: { input: Decision; fields: { field: string; recorded: string; now: string }[] }[]
  skipped: { id: string; why: string }[]
}

/** One line about what came of a decision. */
export function result(decision: Decision): string {
  if (decision.outcome === 'unschedulable' || !decision.node) return decision.message ?? ''
  const fitting = decision.fitting === undefined ? '' : `, best of ${count(decision.fitting)} that fit`
  return `${decision.node}${decision.message ? `: ${decision.message}` : fitting}`
}

/** A time for the field `since`: so many minutes ago, or the text itself where it is a time. Undefined where it is neither. */
export function since(text: string, now: number): string | undefined {
  const ago = /^(\d+)\s*(m|h|d)$/.exec(text.trim())
  if (ago) {
    const minutes = { m: 1, h: 60, d: 1440 }[ago[2] as 'm' | 'h' | 'd']
    return new Date(now - Number(ago[1]) * minutes * 60_000).toISOString()
  }
  const time = Date.parse(text)
  return Number.isNaN(time) ? undefined : new Date(time).toISOString()
}
