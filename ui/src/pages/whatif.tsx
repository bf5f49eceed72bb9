/** What if: steps on a copy of the cluster, and what the scheduler would do after each. */
import type { JSX } from 'preact'
import { useEffect, useMemo, useState } from 'preact/hooks'
import { ApiError, call } from '../api'
import { count } from '../format'
import { fromLink, MOST_STEPS, outcome, type Plan, type Report, type Step, toLink } from '../models/steps'
import { BeforeAfterMaps } from '../parts/before-after'
import { ZONE } from '../parts/choice'
import { HowMany, NodesNeeded } from '../parts/answers'
import { Note, Problem } from '../parts/states'
import { describe, Question, StepForm } from '../parts/steps'
import { StepResult, Utilizations } from '../parts/outcome'
import { param, setQuery } from '../router'
import { texts } from '../texts'
import '../explain.css'

export default function WhatIf(): JSX.Element {
  const carried = param('steps')
  const [long, setLong] = useState<Plan>()
  const [state, setState] = useState<{ report?: Report; error?: ApiError; busy?: boolean; of?: string }>({})
  const [asText, setAsText] = useState<string>()
  const read = useMemo((): { plan: Plan; fault?: string } => {
    if (long) return { plan: long }
    if (!carried) return { plan: { steps: [] } }
    try {
      return { plan: fromLink(carried) }
    } catch (error) {
      return { plan: { steps: [] }, fault: (error as Error).message }
    }
  }, [carried, long])
  const { plan, fault } = read
  const isEmpty = plan.steps.length === 0 && !plan.howMany && !plan.nodesNeeded
  const change = (next: Plan) => {
    const text = toLink(next)
    setLong(text === undefined ? next : undefined)
    setQuery({ steps: next.steps.length > 0 || next.howMany || next.nodesNeeded ? (text ?? null) : null })
  }
  const steps = (next: Step[]) => change({ ...plan, steps: next })
  const now = JSON.stringify(plan)
  const run = async () => {
    // What is there stays until the new result is.
    setState(({ report, of }) => ({ ...(report && { report }), ...(of !== undefined && { of }), busy: true }))
    try {
      setState({ report: await call<Report>('simulate', { body: asked(plan) }), of: now })
    } catch (error) {
      if (error instanceof ApiError) setState({ error })
    }
  }
  // A link that somebody was sent shows what it is about.
  useEffect(() => {
    if (!isEmpty) void run()
  }, [])
  const useText = (event: Event) => {
    event.preventDefault()
    try {
      change(fromLink(asText ?? ''))
      setAsText(undefined)
      setState({})
    } catch (error) {
      setState({ error: new ApiError(-1, 'Page', (error as Error).message) })
    }
  }
  return (
    <>
      <h1>{texts.whatif.title}</h1>
      <p class="quiet">{texts.whatif.about}</p>
      {fault && <Note kind="warning">{fault}</Note>}
      {long && <Note kind="warning">{texts.whatif.long}</Note>}
      <section aria-labelledby="steps-title">
        <h2 id="steps-title">{texts.whatif.steps}</h2>
        {plan.steps.length === 0 && <p class="quiet">{texts.whatif.none}</p>}
        <ol class="steps">
          {plan.steps.map((step, at) => (
            <li key={`${at} ${JSON.stringify(step).slice(0, 80)}`}>
              {describe(step)}{' '}
              {at > 0 && <button type="button" onClick={() => steps(swapped(plan.steps, at))} aria-label={texts.whatif.up(describe(step))}>↑</button>}{' '}
              <button type="button" onClick={() => steps(plan.steps.filter((_, index) => index !== at))} aria-label={texts.whatif.remove(describe(step))}>✕</button>
            </li>
          ))}
        </ol>
        {plan.steps.length < MOST_STEPS ? <StepForm onStep={(step) => steps([...plan.steps, step])} /> : <Note>{texts.whatif.most(MOST_STEPS)}</Note>}
        <Question plan={plan} onPlan={change} />
        <details onToggle={(event) => setAsText(event.currentTarget.open ? JSON.stringify(plan, null, 2) : undefined)}>
          <summary>{texts.whatif.asText}</summary>
          <form onSubmit={useText}>
            <label>
              {texts.whatif.json}
              <textarea class="code" rows={12} spellcheck={false} value={asText ?? ''} onInput={(event) => setAsText(event.currentTarget.value)} />
            </label>
            <button type="submit">{texts.whatif.useText}</button>
          </form>
        </details>
      </section>
      <div class="bar">
        <button type="button" class="main" disabled={isEmpty || state.busy} onClick={() => void run()}>{texts.whatif.run}</button>
        {state.busy && <span class="busy" role="status">{texts.states.busy}</span>}
        {!isEmpty && !long && <span class="quiet">{texts.whatif.link}</span>}
      </div>
      {state.error && <Problem error={state.error} />}
      {state.report && state.of !== now && <Note kind="warning">{texts.whatif.old}</Note>}
      {state.report && <Result report={state.report} steps={plan.steps} again={() => void run()} />}
    </>
  )
}

function swapped(steps: Step[], at: number): Step[] {
  const next = [...steps]
  const [above, below] = [next[at - 1], next[at]]
  if (above && below) next.splice(at - 1, 2, below, above)
  return next
}

/** The request: with the nodes before and after where steps may change them. */
function asked(plan: Plan): object {
  if (plan.steps.length === 0) return plan
  const group = param('group', ZONE)
  return { ...plan, overview: group === '-' ? {} : { group } }
}

function Result({ report, steps, again }: { report: Report; steps: Step[]; again: () => void }): JSX.Element {
  const sums = outcome(report)
  const figures: [string, number, string][] = [
    [texts.whatif.figures.moved, sums.moved, ''],
    [texts.whatif.figures.placed, sums.placed, sums.placed > 0 ? 'good' : ''],
    [texts.whatif.figures.stuck, sums.stuck, sums.stuck > 0 ? 'bad' : ''],
    [texts.whatif.figures.waiting, sums.waiting, ''],
    [texts.whatif.figures.lost, sums.lost, sums.lost > 0 ? 'bad' : ''],
    [texts.whatif.figures.blocked, sums.blocked, sums.blocked > 0 ? 'warn' : ''],
  ]
  return (
    <section aria-label={texts.whatif.result}>
      <h2>{texts.whatif.result}</h2>
      <p class="quiet" role="status">{texts.whatif.on(count(report.revision))}</p>
      {report.howMany && <HowMany of={report.howMany} />}
      {report.nodesNeeded && <NodesNeeded of={report.nodesNeeded} />}
      {report.steps.length > 0 && (
        <div class="figures">{figures.map(([title, n, kind]) => <div key={title}><strong class={kind}>{count(n)}</strong> {title}</div>)}</div>
      )}
      <Utilizations report={report} />
      {report.overview && <BeforeAfterMaps of={report.overview} onGroup={again} />}
      {report.steps.map((step, index) => <StepResult key={index} number={index + 1} of={step} title={steps[index] ? describe(steps[index]) : step.step} />)}
    </section>
  )
}
