/** Which nodes the cluster can do without, and what keeps each of the others. */
import type { JSX } from 'preact'
import { useMemo } from 'preact/hooks'
import { call, useCall } from '../api'
import { count, counted, percent, utc } from '../format'
import { type Down, keptBy, type NodeRow, nodeRows } from '../models/autoscale'
import { link, param, setQuery } from '../router'
import { texts } from '../texts'
import { type Column, Grid, matching } from './grid'
import { PodLink } from './scale-up'
import { Await } from './states'

const words = texts.autoscale.down
const MARKS = { goes: ['✓', 'good'], unneeded: ['○', 'good'], needed: ['✗', 'quiet'], notExamined: ['·', 'quiet'] } as const

export function ScaleDown(): JSX.Element {
  const wait = param('wait') === 'none' ? 'none' : 'configured'
  const options = wait === 'none' ? { scaleDownUnneededTime: '0s', scaleDownUnreadyTime: '0s' } : {}
  const down = useCall<Down>(wait, (signal) => call('autoscale/scale-down', { body: { options }, signal }))
  return (
    <>
      <div class="bar">
        <label>
          {words.wait}{' '}
          <select value={wait} onChange={(event) => setQuery({ wait: event.currentTarget.value === 'none' ? 'none' : null })}>
            {(['configured', 'none'] as const).map((one) => <option key={one} value={one}>{words.waits[one]}</option>)}
          </select>
        </label>
        <label class="filter">
          {words.node} <input type="search" data-filter value={param('q')} onInput={(event) => setQuery({ q: event.currentTarget.value })} />
        </label>
        <button type="button" disabled={down.busy} onClick={down.again}>{words.ask}</button>
      </div>
      <Await of={down}>{(data) => <Answer of={data} />}</Await>
    </>
  )
}

function Answer({ of }: { of: Down }): JSX.Element {
  const rows = useMemo(() => nodeRows(of), [of])
  const kept = useMemo(() => keptBy(of), [of])
  const columns = useMemo(() => columnsAt(of.now), [of])
  const [reason, state, text] = [param('reason'), param('state'), param('q')]
  const shown = useMemo(
    () => matching(rows, columns, text).filter((row) => (!reason || (row.of.blockingPod?.reason ?? row.of.reason) === reason) && (!state || row.state === state)),
    [rows, columns, reason, state, text],
  )
  const chosen = rows.find(({ name }) => name === param('node'))
  const unneeded = rows.filter((row) => row.of.unneeded).length
  return (
    <>
      <p class="verdict" role="status">{words.summary(counted(of.delete.count, 'node'), count(unneeded), count(rows.length))}</p>
      {kept.length > 0 && (
        <section aria-label={words.keeps} class="rejections">
          <span class="quiet" aria-hidden="true">{words.keptBy}</span>
          {kept.map(([one, n]) => (
            <button key={one} type="button" aria-pressed={one === reason} onClick={() => setQuery({ reason: one === reason ? null : one })}>
              <span>{one}</span> <strong>{count(n)}</strong>
              <span class="track" aria-hidden="true"><span style={{ width: `${(100 * n) / Math.max(1, rows.length)}%` }} /></span>
            </button>
          ))}
        </section>
      )}
      <div class={chosen ? 'split' : ''}>
        <Grid label={words.nodes} columns={columns} rows={shown} keyOf={({ name }) => name} onOpen={({ name }) => setQuery({ node: name })} open={chosen?.name} hold={false} />
        {chosen && <Facts row={chosen} down={of} />}
      </div>
    </>
  )
}

function why({ of, state }: NodeRow, now: string): string {
  if (of.blockingPod) return `${of.blockingPod.pod}: ${of.blockingPod.message}`
  if (state === 'goes' || state === 'unneeded') {
    const moves = words.moves(of.podsToMove?.length ?? 0)
    if (state === 'goes' || !of.removableAt) return moves
    return Date.parse(of.removableAt) <= Date.parse(now) ? `${moves}; ${words.turn}` : `${moves}; ${words.ready(utc(of.removableAt))}`
  }
  return of.message ?? of.reason ?? ''
}

const columnsAt = (now: string): Column<NodeRow>[] => [
  { id: 'name', title: words.node, width: 12, text: ({ name }) => name },
  { id: 'group', title: words.group, width: 9, text: ({ of }) => of.nodeGroup ?? '–' },
  {
    id: 'state', title: words.state, width: 9, grow: 0, text: ({ state }) => words.states[state],
    cell: ({ state }) => <span class={MARKS[state][1]}><span aria-hidden="true">{MARKS[state][0]}</span> {words.states[state]}</span>,
  },
  { id: 'filled', title: words.utilization, width: 10, isNumber: true, text: ({ of }) => (of.utilization ? `${percent(of.utilization.value)} ${of.utilization.resource.split('/').pop()}` : '–') },
  { id: 'why', title: words.why, width: 24, grow: 4, text: (row) => why(row, now), cell: (row) => <span title={why(row, now)}>{why(row, now)}</span> },
]

/** One node: what keeps it, and where its pods would go. */
function Facts({ row, down }: { row: NodeRow; down: Down }): JSX.Element {
  const moves = down.plan.find(({ node }) => node === row.name)?.moves ?? row.of.moves ?? []
  return (
    <aside class="side" aria-label={row.name}>
      <button type="button" class="close" aria-label={texts.frame.close} onClick={() => setQuery({ node: null })}>✕</button>
      <h2>{row.name}</h2>
      <p>{words.states[row.state]}: {why(row, down.now)}</p>
      {row.of.blockingPod && <p><PodLink name={row.of.blockingPod.pod} /> <code>{row.of.blockingPod.reason}</code></p>}
      {moves.length > 0 && (
        <>
          <h3>{words.plan}</h3>
          <ul class="reasons">{moves.slice(0, 50).map(({ pod, to }) => <li key={pod}><PodLink name={pod} /> → {to}</li>)}</ul>
          {texts.autoscale.pods(moves.length, 50)}
        </>
      )}
      <p><a href={link('what-if', [], { steps: JSON.stringify({ steps: [{ drain: row.name }] }) })}>{words.drainIt}</a></p>
    </aside>
  )
}
