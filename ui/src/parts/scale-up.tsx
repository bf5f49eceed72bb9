/** Which node groups should grow for the pods that wait, and why others do not help. */
import type { JSX } from 'preact'
import { call, useCall } from '../api'
import { count, counted, percent } from '../format'
import { helpless, type Up, type UpOption } from '../models/autoscale'
import type { Plugins } from '../models/policy'
import { isHidden } from '../models/explanation'
import { link, param, setQuery } from '../router'
import { texts } from '../texts'
import { type Column, Grid } from './grid'
import { Await, Note } from './states'

const words = texts.autoscale.up
/** Pods that are named of a longer list. */
const NAMED = 20

export function ScaleUp(): JSX.Element {
  const plugins = useCall<Plugins>('plugins', (signal) => call('plugins', { signal }))
  const expanders = (plugins.data?.advice ?? []).filter(({ kind }) => kind === 'Expander').map(({ name }) => name)
  const expander = param('expander', 'least-waste')
  const engine = param('engine') === 'exact' ? 'exact' : 'cluster-autoscaler'
  const up = useCall<Up>(`${expander} ${engine}`, (signal) => call('autoscale/scale-up', { body: { options: { expander }, engine }, signal }))
  const all = [...new Set([expander, ...expanders])]
  return (
    <>
      <div class="bar">
        <label>
          {words.engine}{' '}
          <select value={engine} onChange={(event) => setQuery({ engine: event.currentTarget.value === 'exact' ? 'exact' : null })}>
            {(['cluster-autoscaler', 'exact'] as const).map((one) => <option key={one} value={one}>{words.engines[one]}</option>)}
          </select>
        </label>
        {engine !== 'exact' && (
          <label>
            {words.expander}{' '}
            <select value={expander} onChange={(event) => setQuery({ expander: event.currentTarget.value })}>
              {all.map((one) => <option key={one}>{one}</option>)}
            </select>
          </label>
        )}
        <button type="button" disabled={up.busy} onClick={up.again}>{words.ask}</button>
      </div>
      <Await of={up}>{(data) => <Answer of={data} />}</Await>
    </>
  )
}

function Answer({ of }: { of: Up }): JSX.Element {
  const increase = Object.entries(of.increase)
  const without = helpless(of)
  const skipped = Object.entries(of.skipped)
  const fit = Object.entries(of.podsFit)
  return (
    <>
      <p class={`verdict ${increase.length > 0 ? 'good' : ''}`} role="status">{words.results[of.result as keyof typeof words.results] ?? of.result}</p>
      {increase.length > 0 && <ul>{increase.map(([group, n]) => <li key={group}><strong>{words.more(group, count(n))}</strong></li>)}</ul>}
      {of.exact && <Exact of={of.exact} />}
      {of.options.length > 0 && (
        <>
          <h2>{words.options}</h2>
          <Grid label={words.options} columns={OPTIONS} rows={of.options.map((option) => ({ ...option, isBest: option.nodeGroup === of.best }))} keyOf={({ nodeGroup }) => nodeGroup} hold={false} />
        </>
      )}
      {without.length > 0 && (
        <>
          <h2>{words.helpless}</h2>
          {without.map(({ reasons, pods }) => (
            <section key={pods[0]} class="helpless">
              <h3>{counted(pods.length, 'pod')}</h3>
              <Pods of={pods} />
              <ul>{reasons.map(([group, why]) => <li key={group}><strong>{group}</strong>: {why.join(', ')}</li>)}</ul>
            </section>
          ))}
        </>
      )}
      <Part title={words.helped} pods={of.podsTriggered} />
      <Part title={words.later} pods={of.podsAwaitEvaluation} />
      {fit.length > 0 && (
        <details>
          <summary>{words.fit} ({count(fit.length)})</summary>
          <ul>{fit.slice(0, NAMED).map(([pod, node]) => <li key={pod}><PodLink name={pod} /> → {node}</li>)}</ul>
          {texts.autoscale.pods(fit.length, NAMED)}
        </details>
      )}
      {skipped.length > 0 && (
        <>
          <h2>{words.skipped}</h2>
          <ul>{skipped.map(([group, why]) => <li key={group}><strong>{group}</strong>: {why.join(', ')}</li>)}</ul>
        </>
      )}
    </>
  )
}

/** The plan of the exact engine, with its proof. */
function Exact({ of }: { of: NonNullable<Up['exact']> }): JSX.Element {
  const nodes = counted(of.nodes, 'node')
  return (
    <>
      <Note kind={of.proven ? 'info' : 'warning'}>{of.proven ? words.proven(nodes) : words.bound(nodes, count(of.lowerBound))}</Note>
      {!of.complete && <Note kind="warning">{words.incomplete}</Note>}
      {(of.unbound ?? []).length > 0 && <Note kind="warning">{words.unbound((of.unbound ?? []).length)}</Note>}
      {of.newNodes.length > 0 && (
        <Grid
          label={words.newNode} rows={of.newNodes} keyOf={({ name }) => name} lines={12} hold={false}
          columns={[
            { id: 'name', title: words.newNode, width: 12, text: ({ name }) => name },
            { id: 'group', title: texts.autoscale.group, width: 10, text: ({ nodeGroup }) => nodeGroup },
            { id: 'pods', title: texts.effect.pod, width: 24, grow: 3, text: ({ pods }) => pods.join(', ') },
          ]}
        />
      )}
    </>
  )
}

type Option = UpOption & { isBest: boolean }
const OPTIONS: Column<Option>[] = [
  { id: 'group', title: texts.autoscale.group, width: 14, grow: 2, text: ({ nodeGroup, isBest, similar }) => `${nodeGroup}${isBest ? ` ★ ${words.chosen}` : ''}${similar?.length ? `, ${words.similar(similar.join(', '))}` : ''}` },
  { id: 'nodes', title: words.nodes, width: 6, isNumber: true, text: ({ nodeCount }) => count(nodeCount) },
  { id: 'pods', title: words.pods, width: 8, isNumber: true, text: ({ pods }) => count(pods.length) },
  { id: 'cpu', title: words.wasteCpu, width: 8, isNumber: true, text: ({ waste }) => percent(waste.cpu) },
  { id: 'memory', title: words.wasteMemory, width: 10, isNumber: true, text: ({ waste }) => percent(waste.memory) },
  { id: 'cost', title: words.cost, width: 8, isNumber: true, text: ({ cost }) => (cost === undefined ? '–' : cost.toFixed(2)) },
]

function Part({ title, pods }: { title: string; pods: string[] }): JSX.Element | null {
  if (pods.length === 0) return null
  return (
    <details>
      <summary>{title} ({count(pods.length)})</summary>
      <Pods of={pods} />
    </details>
  )
}

/** Names of pods that open in Explain; of a long list the first. */
function Pods({ of }: { of: string[] }): JSX.Element {
  return (
    <p>
      {of.slice(0, NAMED).map((pod, index) => <span key={pod}>{index > 0 && ', '}<PodLink name={pod} /></span>)} {texts.autoscale.pods(of.length, NAMED)}
    </p>
  )
}

export function PodLink({ name }: { name: string }): JSX.Element {
  const [namespace = '', pod = ''] = name.split('/')
  // Names that the caller may not see are numbers, which lead nowhere.
  if (isHidden(namespace)) return <>{name}</>
  return <a href={link('explain', [namespace, pod])}>{name}</a>
}
