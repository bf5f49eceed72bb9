/** Why a pod goes where it goes, or nowhere: every node by every rule. */
import type { JSX } from 'preact'
import { useEffect, useMemo, useState } from 'preact/hooks'
import { call, useCall } from '../api'
import { count } from '../format'
import { newest } from '../live'
import { type Explanation, labelOf, Matrix, type Only } from '../models/explanation'
import type { Block } from '../models/tree'
import { ChoosePod, type Draft } from '../parts/choose'
import { NodeFacts } from '../parts/facts'
import { MatrixTable } from '../parts/matrix'
import { Await, Note } from '../parts/states'
import { Tree } from '../parts/tree'
import { link, param, route, setQuery } from '../router'
import { texts } from '../texts'
import '../explain.css'

export default function Explain(): JSX.Element {
  const [namespace, name] = route.value.parts
  const [draft, setDraft] = useState<Draft>()
  const [decision, revision, policy] = [param('decision'), param('rev'), param('policy')]
  const pod = namespace && name ? `${namespace}/${name}` : undefined
  useEffect(() => {
    if (pod) setDraft(undefined)
  }, [pod])
  const asked = draft ? `draft ${draft.id}` : pod ? `${pod} ${decision} ${revision} ${policy}` : null
  const explanation = useCall<Explanation>(asked, (signal) => {
    if (draft) return call('explain', { query: { view: 'columns', policy }, body: draft.body, headers: { 'content-type': 'application/yaml' }, signal })
    if (decision) return call(`decisions/${encodeURIComponent(decision)}/explain`, { query: { view: 'columns' }, signal })
    const body = { podName: pod, suggestions: true, preempt: true }
    return call('explain', { query: { view: 'columns', revision, policy }, body, signal })
  })
  return (
    <>
      <h1>{pod && !draft ? pod : texts.explain.title}</h1>
      {(decision || revision) && pod && !draft && (
        <p class="note">
          {decision ? texts.explain.ofDecision : texts.explain.ofRevision(revision)} <a href={link('explain', route.value.parts)}>{texts.explain.now}</a>
        </p>
      )}
      <ChoosePod pod={pod} onDraft={setDraft} draft={draft} />
      {asked && <Await of={explanation}>{(data) => <Answer of={data} isStored={!draft && !decision} again={explanation.again} />}</Await>}
    </>
  )
}

function Answer(props: { of: Explanation; isStored: boolean; again: () => void }): JSX.Element {
  const { of } = props
  const matrix = useMemo(() => new Matrix(of), [of])
  const [opened, setOpened] = useState<ReadonlySet<number>>(new Set())
  const [kept, setKept] = useState<Block>()
  useEffect(() => {
    setOpened(new Set())
    setKept(undefined)
  }, [of])
  const [rows, only, text, node, other] = [param('rows', 'patterns'), param('only', 'all') as Only, param('q'), param('node'), param('with')]
  const rejectedBy = param('by') === '' ? undefined : of.predicates.findIndex((predicate) => labelOf(predicate) === param('by'))
  const filter = useMemo(() => {
    const isKnown = rejectedBy !== undefined && rejectedBy >= 0
    return { only, text, ...(isKnown && { rejectedBy }), ...(kept && { kept: new Set(kept.nodes) }) }
  }, [only, text, rejectedBy, kept])
  const toggle = (pattern: number) => {
    const next = new Set(opened)
    if (!next.delete(pattern)) next.add(pattern)
    setOpened(next)
  }
  const byNode = rows === 'nodes' || kept !== undefined
  return (
    <>
      <Verdict matrix={matrix} again={props.again} />
      {matrix.isTree && matrix.fitting > 0 && <Tree matrix={matrix} kept={kept} onKeep={setKept} />}
      <Rejections matrix={matrix} by={param('by')} />
      <div class="bar">
        <span role="group" aria-label={texts.explain.rows} class="tabs">
          {(['patterns', 'nodes'] as const).map((kind) => (
            <button key={kind} type="button" aria-pressed={(kind === 'nodes') === byNode} onClick={() => { setKept(undefined); setQuery({ rows: kind === 'nodes' ? kind : null }) }}>
              {texts.explain.rowKinds[kind]}
            </button>
          ))}
        </span>
        <label>
          {texts.explain.only}{' '}
          <select value={only} onChange={(event) => setQuery({ only: event.currentTarget.value === 'all' ? null : event.currentTarget.value })}>
            {(['all', 'fits', 'rejected'] as const).map((value) => (
              <option key={value} value={value}>{texts.explain.onlyKinds[value]}</option>
            ))}
          </select>
        </label>
        <label class="filter">
          {texts.explain.filter}
          <input type="search" data-filter value={text} onInput={(event) => setQuery({ q: event.currentTarget.value })} />
        </label>
        <label>
          <input type="checkbox" checked={param('columns') === 'all'} onChange={(event) => setQuery({ columns: event.currentTarget.checked ? 'all' : null })} /> {texts.explain.allColumns}
        </label>
        {kept && <button type="button" onClick={() => setKept(undefined)}>{texts.explain.tree.free(count(kept.nodes.length))}</button>}
      </div>
      <p class="quiet">{texts.explain.glyphs}</p>
      <div class={node ? 'split' : ''}>
        <MatrixTable
          matrix={matrix} filter={filter} byPattern={!byNode} opened={opened} onPattern={toggle}
          allColumns={param('columns') === 'all'} sort={param('sort', 'rank')} onSort={(sort) => setQuery({ sort })}
          node={node} onNode={(name) => setQuery({ node: name })}
        />
        {node && (
          <NodeFacts
            matrix={matrix} node={node} other={other} pod={props.isStored ? `${of.pod.namespace}/${of.pod.name}` : undefined}
            revision={param('rev')} policy={param('policy')}
            onCompare={(name) => setQuery({ with: name })} onClose={() => setQuery({ node: null, with: null })}
          />
        )}
      </div>
    </>
  )
}

/** The decision in words, and what would help. */
function Verdict({ matrix, again }: { matrix: Matrix; again: () => void }): JSX.Element {
  const { of } = matrix
  const suggestions = of.suggestions ?? []
  const candidates = of.preemption?.candidates ?? []
  const isOld = newest.value > of.snapshotRevision && !param('rev') && !param('decision')
  return (
    <section aria-label={texts.explain.decision}>
      <p class={`verdict ${of.selected ? 'good' : 'bad'}`} role="status">
        <span aria-hidden="true">{of.selected ? '✓' : '✗'}</span> {of.message}
      </p>
      <p class="quiet">
        {of.selected && <button type="button" class="plain" onClick={() => setQuery({ node: of.selected ?? null })}>{of.selected}</button>}
        {of.decidedBy && ` · ${texts.explain.decidedBy(of.decidedBy.level, of.decidedBy.priority)}`}
        {of.selected && ' · '}
        <a href={link('policy', of.policy.name === 'default' || of.policy.name.startsWith('(') ? [] : [of.policy.name])}>{texts.explain.policy(of.policy.name, count(of.policy.revision))}</a>
        {of.template && ` · ${texts.explain.template(of.template.kind, of.template.name)}`}
        {of.policy.profile && ` · ${of.policy.profile}`} · {texts.frame.revision(count(of.snapshotRevision))}{' '}
        {isOld && <span class="warn">{texts.explain.moved} </span>}
        <button type="button" class="plain" onClick={again}>{texts.explain.again}</button>
      </p>
      {(of.extenderErrors ?? []).map(({ extender, verb, message }) => <Note key={`${extender} ${verb}`} kind="warning">{texts.explain.extender(extender, verb)} {message}</Note>)}
      {suggestions.length > 0 && (
        <>
          <h2>{texts.explain.suggestions}</h2>
          <ol>
            {suggestions.map((suggestion, index) => (
              <li key={index}>
                {suggestion.text}
                {suggestion.node && <> → <button type="button" class="plain" onClick={() => setQuery({ node: suggestion.node ?? null })}>{suggestion.node}</button></>}
              </li>
            ))}
          </ol>
        </>
      )}
      {!of.selected && candidates.length > 0 && (
        <details>
          <summary>{texts.explain.preemption(count(candidates.length), of.preemption?.selected ?? '')}</summary>
          <ul>
            {candidates.slice(0, 20).map(({ node, victims, pdbViolations }) => (
              <li key={node}>
                <button type="button" class="plain" onClick={() => setQuery({ node })}>{node}</button>: {texts.explain.victims(victims.slice(0, 5).map(({ namespace, name }) => `${namespace}/${name}`).join(', '), Math.max(0, victims.length - 5))}
                {pdbViolations > 0 && ` (${texts.explain.budgets(pdbViolations)})`}
              </li>
            ))}
          </ul>
        </details>
      )}
      {!of.selected && candidates.length === 0 && of.preemption && <p class="quiet">{texts.explain.noPreemption(of.preemption.message)}</p>}
    </section>
  )
}

/** How many nodes each predicate rejects; a click shows them. */
function Rejections({ matrix, by }: { matrix: Matrix; by: string }): JSX.Element | null {
  const telling = matrix.telling()
  if (telling.length === 0) return null
  const all = Math.max(1, matrix.of.nodes.length)
  return (
    <section aria-label={texts.explain.rejections} class="rejections">
      <span class="quiet" aria-hidden="true">{texts.explain.rejectedBy}</span>
      {telling.map((p) => {
        const predicate = matrix.of.predicates[p]
        if (!predicate) return null
        const label = labelOf(predicate)
        const isOn = by === label
        return (
          <button key={p} type="button" aria-pressed={isOn} onClick={() => setQuery({ by: isOn ? null : label })}>
            <span>{label}</span> <strong>{count(predicate.rejected)}</strong>
            <span class="track" aria-hidden="true"><span style={{ width: `${(100 * predicate.rejected) / all}%` }} /></span>
          </button>
        )
      })}
    </section>
  )
}
