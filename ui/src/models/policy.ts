/** Policies: what the editor knows of their text, and the comparison with the policy in force. */

import type { Cause } from '../api'
import type { PodName, PolicyUsed } from './explanation'

export interface Remark { field: string; message: string; line?: number; column?: number }
export interface ActivePriority { name: string; plugin: string; weight: number; tolerance?: number }
export interface PolicyState {
  name: string
  revision: number
  createdAt?: string
  rollbackTo?: number
  warnings: Remark[]
  active: { release: string; combination: string; predicates: { name: string; plugin: string }[]; priorities: ActivePriority[]; extenders: string[] }
  document: object
  text?: string
}
export interface Revision { revision: number; createdAt: string; rollbackTo?: number; text: string }

export interface PluginInfo {
  name: string
  aliases: string[]
  kind: string
  standing: string
  defaultWeight?: number
  plugin: string
  modernPlugin?: string
  retired?: string
  documentation: string
}
export interface Plugins { predicates: PluginInfo[]; priorities: PluginInfo[]; advice?: { name: string; kind: string }[] }

export interface Scores { from: number; to: number; weight: number }
export interface Change {
  pod: PodName
  decision?: string
  from?: string
  to?: string
  reason: string
  why: string
  message?: string
  scores?: { priority: string; before?: Scores; after?: Scores }[]
}
export interface Fill { mean: number; p95: number; stranded?: string }
export interface Packing { nodes: number; nodesInUse: number; resources: Record<string, Fill> }
export interface Spread { domains: number; maxSkew: number; pods?: Record<string, number> }
export interface Effect {
  revision: number
  before: PolicyUsed
  candidate: PolicyUsed
  total: number
  same: number
  counts: { moved: number; newlyUnschedulable: number; newlySchedulable: number; skipped: number }
  moved: Change[]
  newlyUnschedulable: Change[]
  newlySchedulable: Change[]
  byReason: Record<string, number>
  packing?: { before: Packing; after: Packing }
  spread: Record<string, { before: Spread; after: Spread }>
  skipped?: { id: string; why: string }[]
  notes?: string[]
}

/** A text is JSON if it begins with a brace, and YAML otherwise: the server's rule. */
export function isJson(text: string): boolean {
  return text.trimStart().startsWith('{')
}

/** What is wrong with a text, at a place of it. */
export interface Mark { from: number; to: number; severity: 'error' | 'warning'; message: string; field: string }

/** Puts the server's faults at their places: from the column that is named to the end of its word. Those without a place go to the first line. */
export function marks(text: string, causes: readonly Cause[], severity: Mark['severity']): Mark[] {
  const starts = [0]
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) starts.push(at + 1)
  return causes.map((cause) => {
    const line = Math.min(Math.max(cause.line ?? 1, 1), starts.length)
    const start = starts[line - 1] ?? 0
    const end = starts[line] === undefined ? text.length : starts[line] - 1
    const from = Math.min(start + Math.max((cause.column ?? 1) - 1, 0), end)
    const word = /^"(?:[^"\\]|\\.)*"|^[^\s,{}[\]]+/.exec(text.slice(from, end))?.[0].length ?? 0
    const field = cause.field ?? ''
    return { from, to: Math.min(from + Math.max(word, 1), Math.max(end, from)), severity, message: cause.message ?? '', field }
  })
}

/** What may be completed at a place: a name of a list, or nothing. */
export type Context = { list: 'predicates' | 'priorities' | 'plugins'; from: number } | undefined

/** Finds out whether a name is being written just before `at`, and of which list. */
export function context(text: string, at: number): Context {
  const line = text.slice(text.lastIndexOf('\n', at - 1) + 1, at)
  const typed = /(?:^|[\s{,-])(?:"(name|priority)"\s*:\s*"?|(name|priority)\s*:\s*["']?)([\w.]*)$/.exec(line)
  if (!typed) return undefined
  const from = at - (typed[3] ?? '').length
  if ((typed[1] ?? typed[2]) === 'priority') return { list: 'priorities', from }
  if (/KubeSchedulerConfiguration/.test(text) || /"?(profiles|enabled|disabled)"?\s*:/.test(text.slice(0, at))) return { list: 'plugins', from }
  const before = text.slice(0, at)
  const lists = ['predicates', 'priorities', 'extenders'] as const
  const nearest = lists
    .map((list) => ({ list, place: Math.max(before.lastIndexOf(`"${list}"`), before.search(new RegExp(`(?:^|\\n)\\s*${list}\\s*:(?![\\s\\S]*\\n\\s*${list}\\s*:)`))) }))
    .reduce((a, b) => (b.place > a.place ? b : a))
  if (nearest.place < 0 || nearest.list === 'extenders') return undefined
  return { list: nearest.list, from }
}

/** A name to complete, with what one wants to know when choosing it. */
export interface Choice { name: string; detail: string; about: string }

/** The names of a list. Those that are gone from the release of the file are left out. */
export function choices(plugins: Plugins, list: 'predicates' | 'priorities' | 'plugins'): Choice[] {
  if (list !== 'plugins') {
    return plugins[list]
      .filter((plugin) => plugin.retired === undefined && plugin.standing !== 'ProfilesOnly')
      .map((plugin) => ({ name: plugin.name, detail: detail(plugin), about: summary(plugin.documentation) }))
  }
  const seen = new Map<string, Choice>()
  for (const plugin of [...plugins.predicates, ...plugins.priorities]) {
    if (plugin.modernPlugin && !seen.has(plugin.modernPlugin)) {
      seen.set(plugin.modernPlugin, { name: plugin.modernPlugin, detail: plugin.kind, about: summary(plugin.documentation) })
    }
  }
  return [...seen.values()]
}

function detail(plugin: PluginInfo): string {
  const weight = plugin.defaultWeight === undefined ? '' : `, weight ${plugin.defaultWeight}`
  return `${plugin.standing.toLowerCase()}${weight}`
}

/** The first paragraph of a Markdown text, without its title and marks. */
export function summary(markdown: string): string {
  const paragraph = markdown.replace(/^#.*$/gm, '').split(/\n\s*\n/).find((part) => /^[^\s#`|-]/.test(part.trim())) ?? ''
  return paragraph.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').replace(/[`*]/g, '').replace(/\s+/g, ' ').trim()
}

/** The text of a policy as people edit it: as it was sent, or its document where it has none. */
export function textOf(state: PolicyState): string {
  return state.text ?? `${JSON.stringify(state.document, null, 2)}\n`
}

/** Candidate of a comparison: what the text says, as JSON. YAML is sent as a document of its own, see `effectBody`. */
export function effectBody(text: string, over: object): { body: string; type: string } {
  if (isJson(text)) return { body: `{"over":${JSON.stringify(over)},"limit":200,"candidate":${text}}`, type: 'application/json' }
  // A YAML document becomes a field of another one by being moved to the right.
  const moved = text.replace(/^---.*\n/, '').split('\n').map((line) => `  ${line}`).join('\n')
  return { body: `over: ${JSON.stringify(over)}\nlimit: 200\ncandidate:\n${moved}\n`, type: 'application/yaml' }
}
