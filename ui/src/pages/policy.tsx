/** The policy in force: change it, see what the change would do, put it in force, go back. */
import type { JSX } from 'preact'
import { useEffect, useMemo, useState } from 'preact/hooks'
import { ApiError, ask, type Cause, call, useCall } from '../api'
import { count, utc } from '../format'
import { shortOf } from '../models/explanation'
import { choices, isJson, type Mark, marks, type Plugins, type PolicyState, textOf } from '../models/policy'
import { Editor } from '../parts/editor'
import { EffectView } from '../parts/effect'
import { Revisions } from '../parts/revisions'
import { Await, Note, Problem } from '../parts/states'
import { go, link, param, route, setQuery } from '../router'
import { texts } from '../texts'
import '../explain.css'

const TABS = ['edit', 'changes', 'effect', 'configuration', 'revisions'] as const
type Tab = (typeof TABS)[number]
/** How long the reader's hands are to be still before a text is checked. */
const PAUSE = 400
/** Weights from which on a priority decides alone. */
const VETO = 1000

/** Texts that are not in force yet, by their policies: they outlive a look at another page. */
const drafts = new Map<string, string>()

interface InForce { state: PolicyState; etag: string }

export default function Policy(): JSX.Element {
  const name = route.value.parts[0] ?? 'default'
  const path = name === 'default' ? 'policy' : `policies/${encodeURIComponent(name)}`
  const inForce = useCall<InForce>(path, async (signal) => {
    const reply = await ask(path, { signal })
    return { state: (await reply.json()) as PolicyState, etag: reply.headers.get('etag') ?? '' }
  })
  const names = useCall<{ items: { name: string }[] }>('policies', (signal) => call('policies', { signal }))
  const all = [...new Set(['default', name, ...(names.data?.items ?? []).map((item) => item.name)])]
  return (
    <>
      <h1>{texts.policy.title}</h1>
      {all.length > 1 && (
        <div class="bar">
          <label>
            {texts.policy.name}{' '}
            <select value={name} onChange={(event) => go('policy', event.currentTarget.value === 'default' ? [] : [event.currentTarget.value])}>
              {all.map((one) => <option key={one}>{one}</option>)}
            </select>
          </label>
        </div>
      )}
      <Await of={inForce}>{(data) => <Edit key={path} path={path} name={name} inForce={data} again={inForce.again} />}</Await>
    </>
  )
}

/** What the server says about a text. */
interface Checked { text: string; state?: PolicyState; error?: ApiError }

function Edit(props: { path: string; name: string; inForce: InForce; again: () => void }): JSX.Element {
  const { path, inForce } = props
  const original = useMemo(() => textOf(inForce.state), [inForce])
  const [{ text, version }, setDraft] = useState({ text: drafts.get(path) ?? original, version: 0 })
  const typed = (text: string) => setDraft((was) => ({ ...was, text }))
  const setText = (text: string) => setDraft((was) => ({ text, version: was.version + 1 }))
  const [base, setBase] = useState(original)
  const [checked, setChecked] = useState<Checked>()
  const [told, setTold] = useState<{ error?: ApiError; done?: string }>()
  const plugins = useCall<Plugins>('plugins', (signal) => call('plugins', { signal }))
  const tab = (TABS.find((one) => one === param('tab')) ?? 'edit') satisfies Tab
  const isChanged = text !== original
  useEffect(() => {
    if (isChanged) drafts.set(path, text)
    else drafts.delete(path)
  }, [path, text, isChanged])

  // A newer revision takes the place of a text that nobody has touched.
  useEffect(() => {
    if (text === base) setText(original)
    setBase(original)
  }, [original])

  useEffect(() => {
    if (text === original) {
      setChecked({ text, state: inForce.state })
      return
    }
    const abort = new AbortController()
    const timer = setTimeout(() => {
      call<PolicyState>(path, { method: 'PUT', query: { dryRun: 'All' }, ...sent(text), signal: abort.signal }).then(
        (state) => setChecked({ text, state }),
        (error: unknown) => !abort.signal.aborted && error instanceof ApiError && setChecked({ text, error }),
      )
    }, PAUSE)
    return () => {
      clearTimeout(timer)
      abort.abort()
    }
  }, [text, original, path])

  const found = useMemo(() => marksOf(text, checked), [text, checked])
  const isValid = checked?.text === text && checked.state !== undefined
  const put = async () => {
    try {
      const state = await call<PolicyState>(path, { method: 'PUT', ...sent(text), headers: { ...sent(text).headers, 'if-match': inForce.etag } })
      setTold({ done: texts.policy.done(count(state.revision)) })
      props.again()
    } catch (error) {
      if (error instanceof ApiError) setTold({ error })
    }
  }
  const { state } = inForce
  return (
    <>
      <p class="quiet">
        {state.revision === 0 ? texts.policy.defaults : texts.policy.inForce(count(state.revision), utc(state.createdAt ?? ''))}
        {state.rollbackTo !== undefined && ` (${texts.policy.rolledBack(count(state.rollbackTo))})`} · {texts.policy.combinations[state.active.combination] ?? state.active.combination} · {texts.policy.release(state.active.release)}
      </p>
      <div class="tabs" role="tablist" aria-label={texts.policy.title}>
        {TABS.map((one) => (
          <button key={one} type="button" role="tab" id={`tab-${one}`} aria-selected={tab === one} aria-controls="policy-panel" onClick={() => setQuery({ tab: one === 'edit' ? null : one })}>
            {texts.policy.tabs[one]}
          </button>
        ))}
      </div>
      <div role="tabpanel" id="policy-panel" aria-labelledby={`tab-${tab}`}>
        <div hidden={tab !== 'edit' && tab !== 'changes'}>
          {tab === 'changes' && !isChanged && <Note>{texts.policy.unchanged}</Note>}
          <div class={tab === 'edit' ? 'split' : ''}>
            <div>
              <Editor
                label={texts.policy.text} text={text} version={version} onText={typed} marks={found} against={tab === 'changes' && isChanged ? original : undefined}
                choices={(list) => (plugins.data ? choices(plugins.data, list) : [])}
              />
              <div class="bar">
                <button type="button" class="main" disabled={!isValid || !isChanged} onClick={() => void put()}>{texts.policy.put}</button>
                <button type="button" disabled={!isChanged} onClick={() => setText(original)}>{texts.policy.discard}</button>
                <span role="status" class={isValid ? 'good' : 'quiet'}>
                  {!isChanged ? texts.policy.unchanged : checked?.text !== text ? texts.policy.checking : isValid ? texts.policy.valid : texts.policy.invalid(found.length)}
                </span>
              </div>
              {told?.done && <Note>{told.done}</Note>}
              {told?.error && (told.error.code === 412 ? <Note kind="warning">{texts.policy.outrun} <button type="button" onClick={props.again}>{texts.states.again}</button></Note> : <Problem error={told.error} />)}
            </div>
            {tab === 'edit' && <Active state={checked?.state ?? state} />}
          </div>
        </div>
        {tab === 'effect' && <EffectView policy={props.name} text={text} isValid={isValid} isChanged={isChanged} />}
        {tab === 'configuration' && <Configuration path={path} revision={state.revision} />}
        {tab === 'revisions' && <Revisions path={path} state={state} onText={(older) => { setText(older); setQuery({ tab: 'changes' }) }} again={props.again} />}
      </div>
    </>
  )
}

function sent(text: string): { body: string; headers: Record<string, string> } {
  return { body: text, headers: { 'content-type': isJson(text) ? 'application/json' : 'application/yaml' } }
}

function marksOf(text: string, checked: Checked | undefined): Mark[] {
  if (checked?.text !== text) return []
  if (checked.error) {
    const { causes, message } = checked.error
    return marks(text, causes.length > 0 ? causes : [{ message } satisfies Cause], 'error')
  }
  return marks(text, checked.state?.warnings ?? [], 'warning')
}

/** What a policy amounts to: its predicates in order, and its priorities with their weights. */
function Active({ state }: { state: PolicyState }): JSX.Element {
  const { predicates, priorities, combination } = state.active
  // A weight that outweighs all others together, as that of NodePreferAvoidPods, would leave no bar for these.
  const most = Math.max(1, ...priorities.map(({ weight }) => weight).filter((weight) => weight < VETO))
  return (
    <aside class="side" aria-label={texts.policy.active}>
      <h2>{texts.policy.active}</h2>
      <h3>{combination === 'Lexicographic' ? texts.policy.levels : texts.policy.priorities}</h3>
      {combination === 'Lexicographic' ? (
        <ol>{priorities.map(({ name, tolerance }, index) => <li key={index}>{name} {tolerance ? <span class="quiet">{texts.explain.tree.tolerance(tolerance)}</span> : ''}</li>)}</ol>
      ) : (
        <div class="bars">
          {priorities.map(({ name, weight }, index) => (
            <div key={index} class="row-of-bars">
              <span>{shortOf(name)}</span>
              <span class="track" aria-hidden="true"><span style={{ width: `${Math.min(100, (100 * weight) / most)}%` }} /></span>
              <span class="number">×{count(weight)}</span>
            </div>
          ))}
        </div>
      )}
      <h3>{texts.policy.predicates}</h3>
      <ol>{predicates.map(({ name, plugin }, index) => <li key={index}>{name === 'GeneralPredicates' ? plugin : name}</li>)}</ol>
      <p class="quiet"><a href={link('explain')}>{texts.policy.tryIt}</a></p>
    </aside>
  )
}

/** The policy in force as kube-scheduler takes it today. */
function Configuration({ path, revision }: { path: string; revision: number }): JSX.Element {
  const text = useCall<string>(`${path} ${revision}`, async (signal) => {
    const reply = await ask(path, { query: { as: 'KubeSchedulerConfiguration' }, headers: { accept: 'application/yaml, application/json' }, signal })
    return reply.text()
  })
  return <Await of={text}>{(data) => <><p class="quiet">{texts.policy.asConfiguration}</p><pre tabIndex={0}>{data}</pre></>}</Await>
}
