/** The steps of a simulation: their words, and the forms that make them. */
import type { JSX } from 'preact'
import { useState } from 'preact/hooks'
import { ApiError, call } from '../api'
import { type Kind, KINDS, kindOf, labels, nodeLike, nodeTemplate, type Plan, podTemplate, type Step } from '../models/steps'
import { texts } from '../texts'
import { Note } from './states'

const words = texts.whatif.words

/** A step in words. */
export function describe(step: Step): string {
  const kind = kindOf(step)
  const nameOf = (template: object) => (template as { metadata?: { name?: string } }).metadata?.name ?? '?'
  switch (kind) {
    case 'addNodes': return words.addNodes(step.addNodes?.count ?? 1, nameOf(step.addNodes?.template ?? {}))
    case 'addPods': return Array.isArray(step.addPods) ? words.addPods(step.addPods.length, '') : words.addPods(step.addPods?.count ?? 1, nameOf(step.addPods?.template ?? {}))
    case 'taint': return words.taint(step.taint?.node ?? '', `${step.taint?.key ?? ''}${step.taint?.value ? `=${step.taint.value}` : ''}:${step.taint?.effect ?? ''}`)
    case 'label': return words.label(step.label?.node ?? '', Object.entries(step.label?.labels ?? {}).map(([key, value]) => (value === null ? `${key}-` : `${key}=${value}`)).join(', '))
    case 'deletePods': return words.deletePods(step.deletePods?.selector ?? (step.deletePods?.names ?? []).join(', '), step.deletePods?.namespace ?? '')
    case 'failZone': return words.failZone(`${step.failZone?.topologyKey ?? ''}=${step.failZone?.value ?? ''}`)
    case 'setPolicy': return words.setPolicy
    case 'preempt': return words.preempt(step.preempt === true)
    case undefined: return JSON.stringify(step)
    default: return words.ofNode[kind](step[kind] ?? '')
  }
}

type Fields = Record<string, string>
/** The fields of the form of each kind. */
const FIELDS: Record<Kind, string[]> = {
  drain: ['node'], cordon: ['node'], uncordon: ['node'], removeNode: ['node'],
  failZone: ['topologyKey', 'value'],
  addNodes: ['count', 'like', 'cpu', 'memory', 'labels'],
  addPods: ['count', 'name', 'namespace', 'cpu', 'memory', 'labels'],
  deletePods: ['selector', 'namespace'],
  taint: ['node', 'key', 'value', 'effect'],
  label: ['node', 'labels'],
  setPolicy: ['policy'],
  preempt: ['allowed'],
}
const NEEDED = new Set(['node', 'topologyKey', 'key', 'selector', 'policy'])
const DEFAULTS: Fields = { count: '1', topologyKey: 'topology.kubernetes.io/zone', effect: 'NoSchedule', cpu: '', memory: '', allowed: 'yes' }
const CHOICES: Record<string, string[]> = { effect: ['NoSchedule', 'PreferNoSchedule', 'NoExecute'], allowed: ['yes', 'no'] }

async function made(kind: Kind, of: Fields): Promise<Step> {
  const at = (name: string) => (of[name] ?? DEFAULTS[name] ?? '').trim()
  const number = Math.max(1, Math.round(Number(at('count')) || 1))
  switch (kind) {
    case 'failZone': return { failZone: { topologyKey: at('topologyKey'), value: at('value') } }
    case 'addNodes': {
      const template = at('like')
        ? nodeLike(await call(`api/v1/nodes/${encodeURIComponent(at('like'))}`))
        : nodeTemplate({ name: 'new', cpu: at('cpu') || '4', memory: at('memory') || '16Gi', pods: '110', labels: at('labels') })
      return { addNodes: { template, count: number } }
    }
    case 'addPods': return { addPods: { template: podTemplate({ name: at('name'), namespace: at('namespace'), cpu: at('cpu'), memory: at('memory'), labels: at('labels') }), count: number } }
    case 'deletePods': return { deletePods: { selector: at('selector'), ...(at('namespace') && { namespace: at('namespace') }) } }
    case 'taint': return { taint: { node: at('node'), key: at('key'), ...(at('value') && { value: at('value') }), effect: at('effect') } }
    case 'label': return { label: { node: at('node'), labels: labels(at('labels')) } }
    case 'setPolicy': {
      const stored = await call<{ document: object }>(at('policy') === 'default' ? 'policy' : `policies/${encodeURIComponent(at('policy'))}`)
      return { setPolicy: stored.document }
    }
    case 'preempt': return { preempt: at('allowed') === 'yes' }
    default: return { [kind]: at('node') }
  }
}

export function StepForm({ onStep }: { onStep: (step: Step) => void }): JSX.Element {
  const [kind, setKind] = useState<Kind>('drain')
  const [of, set] = useState<Fields>({})
  const [fault, setFault] = useState('')
  const add = async (event: Event) => {
    event.preventDefault()
    try {
      onStep(await made(kind, of))
      setFault('')
    } catch (error) {
      setFault(error instanceof ApiError || error instanceof Error ? error.message : String(error))
    }
  }
  return (
    <form class="fields" onSubmit={(event) => void add(event)}>
      <label>
        {texts.whatif.step}
        <select value={kind} data-filter onChange={(event) => setKind(event.currentTarget.value as Kind)}>
          {KINDS.map((one) => <option key={one} value={one}>{texts.whatif.kinds[one]}</option>)}
        </select>
      </label>
      {FIELDS[kind].map((name) => (
        <Field key={name} name={name} value={of[name] ?? DEFAULTS[name] ?? ''} onValue={(value) => set({ ...of, [name]: value })} />
      ))}
      <button type="submit">{texts.whatif.add}</button>
      {fault && <Note kind="error">{fault}</Note>}
    </form>
  )
}

function Field(props: { name: string; value: string; onValue: (value: string) => void }): JSX.Element {
  const { name, value, onValue } = props
  const title = texts.whatif.fields[name as keyof typeof texts.whatif.fields]
  return (
    <label>
      {title}
      {CHOICES[name] ? (
        <select value={value} onChange={(event) => onValue(event.currentTarget.value)}>
          {CHOICES[name].map((one) => <option key={one}>{one}</option>)}
        </select>
      ) : (
        <input
          value={value} required={NEEDED.has(name)} placeholder={texts.whatif.hints[name as keyof typeof texts.whatif.hints] ?? ''}
          inputMode={name === 'count' ? 'numeric' : 'text'} onInput={(event) => onValue(event.currentTarget.value)}
        />
      )}
    </label>
  )
}

/** The question about the cluster after the steps. */
export function Question({ plan, onPlan }: { plan: Plan; onPlan: (plan: Plan) => void }): JSX.Element {
  const [kind, setKind] = useState<'none' | 'howMany' | 'nodesNeeded'>(plan.howMany ? 'howMany' : plan.nodesNeeded ? 'nodesNeeded' : 'none')
  const [of, set] = useState<Fields>({ cpu: '1', memory: '1Gi' })
  const [fault, setFault] = useState('')
  // It is asked as it is written: there is nothing to forget.
  const ask = (kind: 'none' | 'howMany' | 'nodesNeeded', of: Fields) => {
    setKind(kind)
    set(of)
    const { howMany: _, nodesNeeded: __, ...rest } = plan
    try {
      if (kind === 'none') onPlan(rest)
      else if (kind === 'howMany') onPlan({ ...rest, howMany: { pod: podTemplate({ name: 'one', namespace: '', cpu: of['cpu'] ?? '', memory: of['memory'] ?? '', labels: '' }) } })
      else onPlan({ ...rest, nodesNeeded: { template: nodeTemplate({ name: 'new', cpu: of['cpu'] || '4', memory: of['memory'] || '16Gi', pods: '110', labels: of['labels'] ?? '' }) } })
      setFault('')
    } catch (error) {
      setFault((error as Error).message)
    }
  }
  const fields = kind === 'none' ? [] : kind === 'howMany' ? ['cpu', 'memory'] : ['cpu', 'memory', 'labels']
  return (
    <div class="fields">
      <label>
        {texts.whatif.question}
        <select value={kind} onChange={(event) => ask(event.currentTarget.value as typeof kind, of)}>
          {(['none', 'howMany', 'nodesNeeded'] as const).map((one) => <option key={one} value={one}>{texts.whatif.questions[one]}</option>)}
        </select>
      </label>
      {fields.map((name) => <Field key={name} name={name} value={of[name] ?? ''} onValue={(value) => ask(kind, { ...of, [name]: value })} />)}
      {fault && <Note kind="error">{fault}</Note>}
    </div>
  )
}
