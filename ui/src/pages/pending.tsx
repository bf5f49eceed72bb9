/** Pods that wait, in groups that wait for the same reasons, and what would help each. */
import type { JSX } from 'preact'
import { useState } from 'preact/hooks'
import { call, useCall } from '../api'
import { age, count, counted } from '../format'
import { revision } from '../live'
import { isHidden } from '../models/explanation'
import { Await, Note } from '../parts/states'
import { link, param, setQuery } from '../router'
import { texts } from '../texts'
import './pending.css'

const words = texts.pending
const LIMIT = 50
/** Reasons that are shown of a group before the rest is opened. */
const REASONS = 4

interface Pod {
  namespace: string
  name: string
}

interface Waiting {
  count: number
  oldest?: string
  message: string
  reasons: { text: string; nodes: number }[]
  fitting: number
  resolvable: number
  pods: Pod[]
}

interface Pending {
  revision: number
  pods: number
  nodes: number
  unjudged: number
  groups: Waiting[]
  continue?: string
}

/** What would let a group's pods run. */
export function help(group: Waiting): string {
  if (group.fitting > 0) return words.fits(counted(group.fitting, 'node'))
  if (group.resolvable > 0) return words.evicting(counted(group.resolvable, 'node'))
  return words.nothing
}

/** Nodes by reason as one bar: each part a reason, the words under it. */
function Reasons({ group, nodes }: { group: Waiting; nodes: number }): JSX.Element {
  const shown = group.reasons.slice(0, REASONS)
  const rest = group.reasons.slice(REASONS)
  const line = ({ text, nodes: n }: { text: string; nodes: number }) => (
    <li key={text}>
      <span class="bar-of" aria-hidden="true">
        <span style={{ width: `${(n / Math.max(nodes, 1)) * 100}%` }} />
      </span>
      <span class="number">{counted(n, 'node')}</span> {text}
    </li>
  )
  return (
    <>
      <ul class="reasons">{shown.map(line)}</ul>
      {rest.length > 0 && (
        <details>
          <summary>{words.moreReasons(counted(rest.length, 'reason'))}</summary>
          <ul class="reasons">{rest.map(line)}</ul>
        </details>
      )}
    </>
  )
}

function GroupOf({ group, nodes }: { group: Waiting; nodes: number }): JSX.Element {
  const more = group.count - group.pods.length
  return (
    <li class="waiting">
      <div class="head">
        <strong class="number">{counted(group.count, 'pod')}</strong>
        <span class="quiet">{words.oldest(age(group.oldest))}</span>
        <span class={group.fitting > 0 ? 'good' : group.resolvable > 0 ? 'warn' : 'bad'}>{help(group)}</span>
      </div>
      {group.reasons.length > 0 && <Reasons group={group} nodes={nodes} />}
      <p class="pods">
        {group.pods.map((pod) =>
          isHidden(pod.namespace) ? (
            <span key={pod.name} class="quiet">
              {words.hidden(pod.name)}{' '}
            </span>
          ) : (
            <a key={`${pod.namespace}/${pod.name}`} href={link('explain', [pod.namespace, pod.name])}>
              {pod.namespace}/{pod.name}
            </a>
          ),
        )}
        {more > 0 && <span class="quiet">{words.more(counted(more, 'more pod', 'more pods'))}</span>}
      </p>
    </li>
  )
}

export default function PendingPage(): JSX.Element {
  const namespace = param('namespace')
  const [text, set] = useState(namespace)
  const [from, setFrom] = useState<string[]>([])
  const at = from.at(-1)
  const loaded = useCall(`${namespace} ${at ?? ''}`, (signal) =>
    call<Pending>('pending', { query: { namespace, limit: LIMIT, continue: at }, signal }),
  )
  const shown = loaded.data?.revision ?? 0
  const submit = (event: Event) => {
    event.preventDefault()
    setFrom([])
    setQuery({ namespace: text.trim() })
  }
  return (
    <>
      <h1>{words.title}</h1>
      <form class="bar" onSubmit={submit}>
        <label class="filter">
          {words.namespace}
          <input data-filter value={text} placeholder={words.allNamespaces} onInput={(event) => set(event.currentTarget.value)} />
        </label>
        <button type="submit">{words.show}</button>
        <button type="button" onClick={loaded.again} disabled={loaded.busy}>
          {words.again}
        </button>
      </form>
      <Await of={loaded}>
        {(pending) => (
          <>
            <p role="status">
              {pending.pods === 0 ? words.none : words.summary(counted(pending.pods, 'pod'), count(pending.nodes), count(pending.revision))}{' '}
              {shown > 0 && revision.value > shown && <span class="warn">{words.moved}</span>}
            </p>
            {pending.unjudged > 0 && <Note kind="warning">{words.unjudged(counted(pending.unjudged, 'pod'))}</Note>}
            {pending.nodes === 0 && pending.pods > 0 && <Note kind="warning">{texts.map.noNodes}</Note>}
            <ol class="plain" aria-label={words.title}>
              {pending.groups.map((group, index) => (
                <GroupOf key={`${index} ${group.message}`} group={group} nodes={pending.nodes} />
              ))}
            </ol>
            <div class="bar">
              {from.length > 0 && (
                <button type="button" onClick={() => setFrom(from.slice(0, -1))}>
                  {words.before}
                </button>
              )}
              {pending.continue && (
                <button type="button" onClick={() => setFrom([...from, pending.continue ?? ''])}>
                  {words.next}
                </button>
              )}
            </div>
          </>
        )}
      </Await>
    </>
  )
}
