/** Recorded decisions: who asked, what came of it, and why. */
import type { JSX } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import { ApiError, call, useCall } from '../api'
import { age, count } from '../format'
import { type Decision, type DecisionList, OUTCOMES, type ReplayReport, result, since } from '../models/decisions'
import { isHidden } from '../models/explanation'
import { type Column, Grid } from '../parts/grid'
import { Note, Problem } from '../parts/states'
import { link, param, setQuery } from '../router'
import { texts } from '../texts'
import '../explain.css'

const PAGE = 100
/** No more decisions than this are held; filters find the others. */
const MOST = 2000
const FILTERS = ['pod', 'node', 'outcome', 'since'] as const

const COLUMNS: Column<Decision>[] = [
  { id: 'time', title: texts.decisions.time, width: 12, grow: 0, text: ({ time }) => time.slice(0, 19).replace('T', ' '), cell: ({ time }) => <time dateTime={time} title={texts.decisions.ago(age(time))}>{time.slice(0, 19).replace('T', ' ')}</time> },
  { id: 'pod', title: texts.decisions.pod, width: 14, text: ({ pod }) => `${pod.namespace}/${pod.name}` },
  { id: 'outcome', title: texts.decisions.outcome, width: 9, grow: 0, text: ({ outcome }) => texts.decisions.outcomes[outcome] ?? outcome, cell: ({ outcome }) => <Outcome of={outcome} /> },
  { id: 'result', title: texts.decisions.result, width: 22, grow: 3, text: result, cell: (row) => <span title={result(row)}>{result(row)}</span> },
  { id: 'call', title: texts.decisions.call, width: 6, grow: 0, text: ({ call }) => call },
  { id: 'policy', title: texts.decisions.policy, width: 12, grow: 0, text: ({ policy }) => `${policy.name}, ${texts.frame.revision(count(policy.revision))}` },
  { id: 'revision', title: texts.decisions.revision, width: 7, isNumber: true, text: ({ revision }) => count(revision), value: ({ revision }) => revision },
]

const MARKS: Record<string, [glyph: string, kind: string]> = { bound: ['✓', 'good'], assumed: ['✓', 'good'], unschedulable: ['✗', 'bad'], stale: ['↷', 'warn'], notBound: ['!', 'warn'], answered: ['→', 'quiet'] }

function Outcome({ of }: { of: Decision['outcome'] }): JSX.Element {
  const [glyph, kind] = MARKS[of] ?? ['·', 'quiet']
  return <span class={kind}><span aria-hidden="true">{glyph}</span> {texts.decisions.outcomes[of] ?? of}</span>
}

export default function Decisions(): JSX.Element {
  const [pod, node, outcome, from] = FILTERS.map((name) => param(name))
  const [fields, setFields] = useState({ pod: pod ?? '', node: node ?? '', since: from ?? '' })
  const [more, setMore] = useState<{ of: string; items: Decision[]; next: string | undefined; error?: ApiError; busy?: boolean }>()
  const isUnreadable = from !== '' && since(from ?? '', Date.now()) === undefined
  const key = isUnreadable ? null : [pod, node, outcome, from].join('\n')
  const query = { pod: pod && !pod.includes('/') ? `default/${pod}` : pod, node, outcome, since: since(from ?? '', Date.now()), limit: PAGE }
  const first = useCall<DecisionList>(key, (signal) => call('decisions', { query, signal }))
  useEffect(() => setMore(undefined), [first.data])
  const ours = more?.of === key ? more : undefined
  const items = [...(first.data?.items ?? []), ...(ours?.items ?? [])]
  const next = ours ? ours.next : first.data?.continue
  const goOn = async () => {
    const held = { of: key ?? '', items: ours?.items ?? [], next }
    setMore({ ...held, busy: true })
    try {
      const page = await call<DecisionList>('decisions', { query: { ...query, continue: next } })
      setMore({ of: held.of, items: [...held.items, ...page.items], next: page.continue })
    } catch (error) {
      if (error instanceof ApiError) setMore({ ...held, error })
    }
  }
  const chosen = items.find(({ id }) => id === param('id'))
  const field = (name: 'pod' | 'node' | 'since', hint: string) => (
    <label>
      {texts.decisions.fields[name]}{' '}
      <input size={name === 'since' ? 12 : 18} value={fields[name]} placeholder={hint} onInput={(event) => setFields({ ...fields, [name]: event.currentTarget.value })} {...(name === 'pod' && { 'data-filter': true })} />
    </label>
  )
  return (
    <>
      <h1>{texts.decisions.title}</h1>
      <form class="bar" onSubmit={(event) => { event.preventDefault(); setQuery({ ...fields, id: null }) }}>
        {field('pod', 'namespace/pod')}
        {field('node', '')}
        {field('since', texts.decisions.sinceHint)}
        <label>
          {texts.decisions.outcome}{' '}
          <select value={outcome} onChange={(event) => setQuery({ ...fields, outcome: event.currentTarget.value, id: null })}>
            <option value="">{texts.decisions.any}</option>
            {OUTCOMES.map((one) => <option key={one} value={one}>{texts.decisions.outcomes[one]}</option>)}
          </select>
        </label>
        <button type="submit">{texts.decisions.find}</button>
        <button type="button" onClick={first.again}>{texts.decisions.refresh}</button>
      </form>
      {isUnreadable && <Note kind="warning">{texts.decisions.badSince}</Note>}
      {first.error && <Problem error={first.error} again={first.again} />}
      {first.busy && !first.data && <p class="busy" role="status">{texts.states.busy}</p>}
      {first.data && (
        <div class={chosen ? 'split' : ''}>
          <div>
            <Grid label={texts.decisions.title} columns={COLUMNS} rows={items} keyOf={({ id }) => id} onOpen={({ id }) => setQuery({ id })} open={chosen?.id} empty={texts.decisions.none} lines={22} hold={false} />
            {ours?.error && <Problem error={ours.error} />}
            <div class="bar">
              <span class="quiet" role="status">{texts.decisions.shown(count(items.length))}</span>
              {next && (items.length < MOST ? <button type="button" disabled={ours?.busy} onClick={() => void goOn()}>{texts.decisions.more}</button> : <span>{texts.decisions.full(count(MOST))}</span>)}
            </div>
            {(first.data.unreadable ?? 0) > 0 && <Note kind="warning">{texts.decisions.unreadable(first.data.unreadable ?? 0)}</Note>}
          </div>
          {chosen && <Record key={chosen.id} of={chosen} />}
        </div>
      )}
    </>
  )
}

/** All that is recorded of one decision, and the ways on. */
function Record({ of }: { of: Decision }): JSX.Element {
  const pod = `${of.pod.namespace}/${of.pod.name}`
  return (
    <aside class="side" aria-label={pod}>
      <button type="button" class="close" aria-label={texts.frame.close} onClick={() => setQuery({ id: null })}>✕</button>
      <h2>{pod}</h2>
      <p><Outcome of={of.outcome} /> {result(of)}</p>
      {!isHidden(of.pod.namespace) && (
        <>
          <p><a href={link('explain', [of.pod.namespace, of.pod.name], { decision: of.id })}>{texts.decisions.explain}</a></p>
          <p><a href={link('explain', [of.pod.namespace, of.pod.name])}>{texts.decisions.explainNow}</a></p>
        </>
      )}
      {of.unrepeatable ? <Note kind="warning">{texts.decisions.unrepeatable(of.unrepeatable)}</Note> : <Replay id={of.id} />}
      <dl class="facts">
        <dt>{texts.decisions.time}</dt><dd>{of.time.slice(0, 19).replace('T', ' ')}</dd>
        <dt>{texts.decisions.by}</dt><dd>{of.by.user}{of.by.agent && ` (${of.by.agent})`}</dd>
        <dt>{texts.decisions.policy}</dt><dd>{of.policy.name}, {texts.frame.revision(count(of.policy.revision))}</dd>
        <dt>{texts.decisions.revision}</dt><dd>{count(of.revision)}</dd>
        {of.batch && <><dt>{texts.decisions.batch}</dt><dd>{texts.decisions.place(of.batch.place + 1)}</dd></>}
        {of.fitting !== undefined && <><dt>{texts.decisions.fitting}</dt><dd>{count(of.fitting)}</dd></>}
        {of.victims && of.victims.length > 0 && <><dt>{texts.decisions.victims}</dt><dd>{of.victims.map(({ namespace, name }) => `${namespace}/${name}`).join(', ')}</dd></>}
      </dl>
      {of.verdicts && of.verdicts.length > 0 && (
        <>
          <h3>{texts.decisions.rejections}</h3>
          <ul class="reasons">{of.verdicts.map(({ reason, nodes }) => <li key={reason}><strong>{count(nodes)}</strong> {reason}</li>)}</ul>
        </>
      )}
      {of.scores && of.scores.length > 0 && (
        <>
          <h3>{texts.decisions.best}</h3>
          <table>
            <tbody>{of.scores.map(({ node, total }) => <tr key={node}><th scope="row">{node}{node === of.node && ' ★'}</th><td class="number">{count(total)}</td></tr>)}</tbody>
          </table>
        </>
      )}
      <p class="quiet"><code>{of.id}</code></p>
    </aside>
  )
}

/** Makes a decision again, and tells whether the answer is the same. */
function Replay({ id }: { id: string }): JSX.Element {
  const [state, setState] = useState<{ report?: ReplayReport; error?: ApiError; busy?: boolean }>({})
  const run = async () => {
    setState({ busy: true })
    try {
      setState({ report: await call<ReplayReport>('replay', { body: { decisions: [id] } }) })
    } catch (error) {
      if (error instanceof ApiError) setState({ error })
    }
  }
  const { report } = state
  return (
    <>
      <button type="button" disabled={state.busy} onClick={() => void run()}>{texts.decisions.replay}</button>
      {state.error && <Problem error={state.error} />}
      {report && report.identical > 0 && <Note>{texts.decisions.identical}</Note>}
      {report?.different.map(({ fields }) => (
        <Note key={id} kind="warning">
          {texts.decisions.different}
          <ul>{fields.map(({ field, recorded, now }) => <li key={field}>{texts.decisions.differs(field, recorded, now)}</li>)}</ul>
        </Note>
      ))}
      {report?.skipped.map(({ why }) => <Note key={id} kind="warning">{why}</Note>)}
    </>
  )
}
