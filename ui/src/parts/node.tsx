/** A node beside the map: amounts, taints, labels, pods, and how a pod would fit. */
import type { JSX } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { call, useCall } from '../api'
import { amount, count, counted } from '../format'
import { toLink } from '../models/steps'
import type { Overview } from '../overview'
import { link } from '../router'
import { texts } from '../texts'
import { Meter } from './meter'
import { Await } from './states'

const words = texts.node
const TABLE = { accept: 'application/json;as=Table;g=meta.k8s.io;v=v1' }
const PODS = 100

interface Table {
  metadata: { remainingItemCount?: number; continue?: string }
  columnDefinitions: { name: string }[]
  rows: { cells: (string | number)[]; object: { metadata: { name: string; namespace: string } } }[]
}

interface Fit {
  fits: boolean
  rank?: number
  selected?: string
  resources: { name: string; requested: number; allocatable: number; used: number; free: number; missing: number }[]
  verdicts: { predicate: string; verdict: string; reasons: string[] }[]
  margin?: { total: number; scores: { priority: string; score: number; best: number; behind: number }[] }
}

export function NodePanel({ view, at, close }: { view: Overview; at: number; close: () => void }): JSX.Element {
  const { nodes } = view
  const name = nodes.name[at] ?? ''
  const head = useRef<HTMLHeadingElement>(null)
  const opener = useRef(document.activeElement)
  useEffect(() => head.current?.focus(), [name])
  useEffect(() => () => (opener.current as HTMLElement | null)?.focus?.(), [])
  const object = useCall(name, (signal) => call<{ metadata: { labels?: Record<string, string> } }>(`api/v1/nodes/${encodeURIComponent(name)}`, { signal }))
  return (
    <aside class="side" aria-label={words.title(name)}>
      <button type="button" class="close" onClick={close}>
        {texts.frame.close} <kbd>Esc</kbd>
      </button>
      <h2 ref={head} tabIndex={-1}>
        {name}
      </h2>
      <p>
        <span class={nodes.ready[at] ? 'good' : 'bad'}>{nodes.ready[at] ? texts.map.states.ready : texts.map.states.notReady}</span>
        {nodes.unschedulable[at] && <span class="warn"> · {texts.map.states.cordoned}</span>} · {counted(nodes.pods[at] ?? 0, 'pod')}
      </p>
      <dl class="facts">
        {view.resources
          .filter((resource) => (nodes.allocatable[resource]?.[at] ?? 0) > 0 || (nodes.requested[resource]?.[at] ?? 0) > 0)
          .flatMap((resource) => [
            <dt key={resource}>{resource}</dt>,
            <dd key={`${resource} of`}>
              <Meter resource={resource} part={nodes.requested[resource]?.[at] ?? 0} all={nodes.allocatable[resource]?.[at] ?? 0} />
            </dd>,
          ])}
        <dt>{words.taints}</dt>
        <dd>{nodes.taints[at]?.length ? nodes.taints[at].map((taint) => <code key={taint}>{taint} </code>) : words.none}</dd>
      </dl>
      <p>
        <a href={link('what-if', [], { steps: toLink({ steps: [{ drain: name }] }) })}>{words.whatIf}</a>
      </p>
      <FitForm node={name} />
      <Pods key={name} node={name} count={nodes.pods[at] ?? 0} />
      <details>
        <summary>{words.labels}</summary>
        <Await of={object}>
          {({ metadata }) => (
            <ul class="mono">
              {Object.entries(metadata.labels ?? {}).map(([key, value]) => (
                <li key={key}>
                  {key}={value}
                </li>
              ))}
            </ul>
          )}
        </Await>
      </details>
    </aside>
  )
}

/** Pods of a node. */
function Pods(props: { node: string; count: number }): JSX.Element {
  const pods = useCall(`${props.node} ${props.count}`, (signal) =>
    call<Table>('api/v1/pods', { query: { fieldSelector: `spec.nodeName=${props.node}`, limit: PODS }, headers: TABLE, signal }),
  )
  return (
    <details open>
      <summary>{words.pods(count(props.count))}</summary>
      <Await of={pods}>{(table) => <PodList table={table} />}</Await>
    </details>
  )
}

function PodList({ table }: { table: Table }): JSX.Element {
  if (table.rows.length === 0) return <p>{words.noPods}</p>
  return (
    <>
      <ul>
        {table.rows.map(({ object: { metadata } }) => (
          <li key={`${metadata.namespace}/${metadata.name}`}>
            <a href={link('explain', [metadata.namespace, metadata.name])}>
              {metadata.namespace}/{metadata.name}
            </a>
          </li>
        ))}
      </ul>
      {table.metadata.continue && <p>{words.morePods(count(PODS))}</p>}
    </>
  )
}

/** Asks why a pod is not here, or how far it is from being here. */
function FitForm({ node }: { node: string }): JSX.Element {
  const [text, set] = useState('')
  const [pod, ask] = useState<string | null>(null)
  const fit = useCall(pod && `${node} ${pod}`, (signal) => call<Fit>(`nodes/${encodeURIComponent(node)}/fit`, { query: { pod }, signal }))
  const submit = (event: Event) => {
    event.preventDefault()
    const name = text.trim()
    ask(name ? (name.includes('/') ? name : `default/${name}`) : null)
  }
  return (
    <>
      <h3>{words.fit}</h3>
      <form class="bar" onSubmit={submit}>
        <label>
          {words.pod} <input value={text} placeholder={words.podHint} onInput={(event) => set(event.currentTarget.value)} />
        </label>
        <button type="submit">{words.ask}</button>
      </form>
      {pod && <Await of={fit}>{(told) => <FitFacts fit={told} pod={pod} node={node} />}</Await>}
    </>
  )
}

function FitFacts({ fit, pod, node }: { fit: Fit; pod: string; node: string }): JSX.Element {
  const against = fit.verdicts.filter(({ verdict, reasons }) => reasons.length > 0 && !/^(fits|ok|success|\.)$/i.test(verdict))
  const [namespace = '', name = ''] = pod.split('/')
  return (
    <div role="status">
      <p class={fit.fits ? 'good' : 'bad'}>{fit.fits ? (fit.selected === node ? words.isBest : words.fits(fit.rank ? `rank ${count(fit.rank)}` : '')) : words.fitsNot}</p>
      {against.length > 0 && (
        <ul>
          {against.map(({ predicate, reasons }) => (
            <li key={predicate}>
              {predicate}: {reasons.join(', ')}
            </li>
          ))}
        </ul>
      )}
      <table>
        <thead>
          <tr>
            <th scope="col">{words.amounts.resource}</th>
            <th scope="col" class="number">{words.amounts.wants}</th>
            <th scope="col" class="number">{words.amounts.free}</th>
            <th scope="col" class="number">{words.amounts.missing}</th>
          </tr>
        </thead>
        <tbody>
          {fit.resources.map(({ name: resource, requested, free, missing }) => (
            <tr key={resource}>
              <th scope="row">{resource}</th>
              <td class="number">{amount(resource, requested)}</td>
              <td class="number">{amount(resource, free)}</td>
              <td class={`number ${missing > 0 ? 'bad' : ''}`}>{missing > 0 ? amount(resource, missing) : '–'}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {fit.margin && fit.margin.total !== 0 && (
        <p>
          {words.behind(count(fit.margin.total), fit.selected ?? '')}{' '}
          {fit.margin.scores
            .filter(({ behind }) => behind !== 0)
            .map(({ priority, behind }) => `${priority} ${count(behind)}`)
            .join(', ')}
        </p>
      )}
      <a href={link('explain', [namespace, name])}>{words.explain}</a>
    </div>
  )
}
