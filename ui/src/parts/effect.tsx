/** What another policy would do: which pods go elsewhere, why, and how full and how spread out the nodes would be. */
import type { JSX } from 'preact'
import { useState } from 'preact/hooks'
import { ApiError, call } from '../api'
import { amount, count, percent, units } from '../format'
import { isHidden } from '../models/explanation'
import { type Change, type Effect, effectBody, type Spread } from '../models/policy'
import { link, param, setQuery } from '../router'
import { texts } from '../texts'
import { type Column, Grid } from './grid'
import { Note, Problem } from './states'

const OVERS = ['pending', '100', '1000', '10000'] as const

export function EffectView(props: { text: string; policy: string; isValid: boolean; isChanged: boolean }): JSX.Element {
  const [state, setState] = useState<{ effect?: Effect; error?: ApiError; busy?: boolean; of?: string }>({})
  const over = OVERS.find((one) => one === param('over')) ?? 'pending'
  const compare = async () => {
    setState({ busy: true })
    const { body, type } = effectBody(props.text, over === 'pending' ? { pending: true } : { decisions: { last: Number(over) } })
    try {
      setState({ effect: await call<Effect>('policy/diff', { query: { policy: props.policy === 'default' ? undefined : props.policy }, body, headers: { 'content-type': type } }), of: props.text })
    } catch (error) {
      if (error instanceof ApiError) setState({ error })
    }
  }
  return (
    <>
      <div class="bar">
        <label>
          {texts.effect.over}{' '}
          <select value={over} onChange={(event) => setQuery({ over: event.currentTarget.value })}>
            {OVERS.map((one) => <option key={one} value={one}>{one === 'pending' ? texts.effect.pending : texts.effect.last(count(Number(one)))}</option>)}
          </select>
        </label>
        <button type="button" class="main" disabled={!props.isValid || state.busy} onClick={() => void compare()}>{texts.effect.compare}</button>
        {!props.isChanged && <span class="quiet">{texts.effect.unchanged}</span>}
        {!props.isValid && <span class="warn">{texts.effect.invalid}</span>}
        {state.busy && <span role="status">{texts.states.busy}</span>}
      </div>
      {state.error && <Problem error={state.error} />}
      {state.effect && state.of !== props.text && <Note kind="warning">{texts.effect.old}</Note>}
      {state.effect && <Result effect={state.effect} />}
    </>
  )
}

function Result({ effect }: { effect: Effect }): JSX.Element {
  const { counts } = effect
  const figures: [string, number, string][] = [
    [texts.effect.same, effect.same, ''],
    [texts.effect.moved, counts.moved, ''],
    [texts.effect.lost, counts.newlyUnschedulable, counts.newlyUnschedulable > 0 ? 'bad' : ''],
    [texts.effect.won, counts.newlySchedulable, counts.newlySchedulable > 0 ? 'good' : ''],
    [texts.effect.skipped, counts.skipped, ''],
  ]
  const reasons = Object.entries(effect.byReason).sort((a, b) => b[1] - a[1])
  const changes = [
    ...effect.newlyUnschedulable.map((change) => ({ ...change, kind: texts.effect.kinds.lost })),
    ...effect.newlySchedulable.map((change) => ({ ...change, kind: texts.effect.kinds.won })),
    ...effect.moved.map((change) => ({ ...change, kind: texts.effect.kinds.moved })),
  ]
  return (
    <section aria-label={texts.effect.title}>
      <p role="status">{texts.effect.total(count(effect.total))}</p>
      <div class="figures">
        {figures.map(([title, n, kind]) => (
          <div key={title}><strong class={kind}>{count(n)}</strong> {title}</div>
        ))}
      </div>
      {(effect.notes ?? []).map((note) => <Note key={note} kind="warning">{note}</Note>)}
      {reasons.length > 0 && (
        <>
          <h2>{texts.effect.byReason}</h2>
          <div class="bars">
            {reasons.map(([reason, n]) => (
              <div key={reason} class="row-of-bars">
                <span>{reason}</span>
                <span class="track" aria-hidden="true"><span style={{ width: `${(100 * n) / Math.max(1, reasons[0]?.[1] ?? 1)}%` }} /></span>
                <span class="number">{count(n)}</span>
              </div>
            ))}
          </div>
        </>
      )}
      {changes.length > 0 && (
        <>
          <h2>{texts.effect.changes}</h2>
          <Grid
            label={texts.effect.changes} columns={COLUMNS} rows={changes} keyOf={(row) => `${row.decision ?? ''} ${row.pod.namespace}/${row.pod.name}`}
            onOpen={(row) => { if (!isHidden(row.pod.namespace)) location.hash = link('explain', [row.pod.namespace, row.pod.name], { decision: row.decision }) }}
          />
        </>
      )}
      {effect.packing && <PackingTable packing={effect.packing} />}
      <SpreadTable spread={effect.spread} />
      {(effect.skipped ?? []).length > 0 && (
        <details>
          <summary>{texts.effect.whySkipped}</summary>
          <ul>{(effect.skipped ?? []).slice(0, 50).map(({ id, why }) => <li key={id}><code>{id}</code> {why}</li>)}</ul>
        </details>
      )}
    </section>
  )
}

type Told = Change & { kind: string }
const COLUMNS: Column<Told>[] = [
  { id: 'pod', title: texts.effect.pod, width: 12, text: (row) => `${row.pod.namespace}/${row.pod.name}` },
  { id: 'kind', title: texts.effect.change, width: 9, grow: 0, text: (row) => row.kind },
  { id: 'from', title: texts.effect.from, width: 9, text: (row) => row.from ?? '–' },
  { id: 'to', title: texts.effect.to, width: 9, text: (row) => row.to ?? '–' },
  { id: 'why', title: texts.effect.why, width: 24, grow: 3, text: (row) => row.why, cell: (row) => <span title={row.why}>{row.why}</span> },
]

function PackingTable({ packing }: { packing: NonNullable<Effect['packing']> }): JSX.Element {
  const { before, after } = packing
  const rows: [string, string, string][] = [[texts.effect.inUse, `${count(before.nodesInUse)} / ${count(before.nodes)}`, `${count(after.nodesInUse)} / ${count(after.nodes)}`]]
  for (const [resource, was] of Object.entries(before.resources)) {
    const is = after.resources[resource]
    if (!is) continue
    rows.push([texts.effect.mean(resource), percent(was.mean), percent(is.mean)])
    if (was.stranded !== undefined) rows.push([texts.effect.stranded(resource), amount(resource, units(resource, was.stranded)), amount(resource, units(resource, is.stranded))])
  }
  return <BeforeAfter title={texts.effect.packing} rows={rows} />
}

function SpreadTable({ spread }: { spread: Effect['spread'] }): JSX.Element | null {
  const pods = ({ pods, maxSkew }: Spread) => `${texts.effect.skew(maxSkew)}${pods && Object.keys(pods).length <= 8 ? ` (${Object.entries(pods).map(([zone, n]) => `${zone} ${count(n)}`).join(', ')})` : ''}`
  const rows = Object.entries(spread).map(([key, { before, after }]): [string, string, string] => [key, pods(before), pods(after)])
  return rows.length > 0 ? <BeforeAfter title={texts.effect.spread} rows={rows} /> : null
}

function BeforeAfter({ title, rows }: { title: string; rows: [string, string, string][] }): JSX.Element {
  return (
    <div class="wide">
      <h2>{title}</h2>
      <table>
        <thead>
          <tr><th scope="col">{texts.effect.measure}</th><th scope="col">{texts.effect.before}</th><th scope="col">{texts.effect.after}</th></tr>
        </thead>
        <tbody>
          {rows.map(([name, before, after]) => (
            <tr key={name}><th scope="row">{name}</th><td>{before}</td><td>{before === after ? after : <strong>{after}</strong>}</td></tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}
