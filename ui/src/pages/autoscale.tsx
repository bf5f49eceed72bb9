/** Node groups: what the loop does, which group should grow, and which nodes could go. */
import type { JSX } from 'preact'
import { call, useCall } from '../api'
import { age, count, counted, utc } from '../format'
import type { GroupStatus, Status } from '../models/autoscale'
import { type Column, Grid } from '../parts/grid'
import { ScaleDown } from '../parts/scale-down'
import { ScaleUp } from '../parts/scale-up'
import { Await, Note } from '../parts/states'
import { param, setQuery } from '../router'
import { texts } from '../texts'
import '../explain.css'

const TABS = ['status', 'up', 'down'] as const

export default function Autoscale(): JSX.Element {
  const tab = TABS.find((one) => one === param('tab')) ?? 'status'
  return (
    <>
      <h1>{texts.autoscale.title}</h1>
      <div class="tabs" role="tablist" aria-label={texts.autoscale.title}>
        {TABS.map((one) => (
          <button key={one} type="button" role="tab" id={`tab-${one}`} aria-selected={tab === one} aria-controls="autoscale-panel" onClick={() => setQuery({ tab: one === 'status' ? null : one })}>
            {texts.autoscale.tabs[one]}
          </button>
        ))}
      </div>
      <div role="tabpanel" id="autoscale-panel" aria-labelledby={`tab-${tab}`}>
        {tab === 'status' ? <Standing /> : tab === 'up' ? <ScaleUp /> : <ScaleDown />}
      </div>
    </>
  )
}


function Standing(): JSX.Element {
  const status = useCall<Status>('status', (signal) => call('autoscale/status', { signal }))
  return (
    <Await of={status}>
      {(data) => (
        <>
          <p>
            {texts.autoscale.loops[data.loop] ?? data.loop}{' '}
            {data.mood && (texts.autoscale.moods[data.mood as keyof typeof texts.autoscale.moods] ?? data.mood)}
            {data.until && texts.autoscale.until(utc(data.until))}
          </p>
          <p>
            {texts.autoscale.waiting(counted(data.waitingPods, 'pod waits', 'pods wait'))} {data.nodesWithoutGroup > 0 && texts.autoscale.without(counted(data.nodesWithoutGroup, 'node is', 'nodes are'))}{' '}
            <button type="button" class="plain" onClick={status.again}>{texts.explain.again}</button>
          </p>
          {data.messagesWaiting > 0 && <Note kind="warning">{texts.autoscale.messages(data.messagesWaiting)}</Note>}
          <h2>{texts.autoscale.groups}</h2>
          {data.groups.length === 0 ? <Note>{texts.autoscale.noGroups}</Note> : <Grid label={texts.autoscale.groups} columns={COLUMNS} rows={data.groups} keyOf={({ name }) => name} hold={false} />}
          {data.unneeded.length > 0 && (
            <>
              <h2>{texts.autoscale.unneeded}</h2>
              <ul>{data.unneeded.slice(0, 50).map(({ node, group, since }) => <li key={node}>{node} <span class="quiet">{group} {texts.autoscale.since(age(since))}</span></li>)}</ul>
              {texts.autoscale.pods(data.unneeded.length, 50)}
            </>
          )}
          {data.leaving.length > 0 && (
            <>
              <h2>{texts.autoscale.leaving}</h2>
              <ul>{data.leaving.slice(0, 50).map(({ node, group, state, since }) => <li key={node}>{node} <span class="quiet">{group}, {state}, {texts.autoscale.since(age(since))}</span></li>)}</ul>
            </>
          )}
          <h2>{texts.autoscale.steps}</h2>
          {data.steps.length === 0 ? <p class="quiet">{texts.autoscale.noSteps}</p> : <ol>{data.steps.slice(-50).map((step, index) => <li key={index}>{step}</li>)}</ol>}
        </>
      )}
    </Await>
  )
}

function number(id: 'minSize' | 'maxSize' | 'targetSize' | 'ready' | 'unready' | 'coming' | 'leaving', title: string): Column<GroupStatus> {
  return { id, title, width: 7, isNumber: true, text: (group) => count(group[id]), value: (group) => group[id] }
}

const COLUMNS: Column<GroupStatus>[] = [
  { id: 'name', title: texts.autoscale.group, width: 12, grow: 2, text: ({ name, pausesUntil }) => (pausesUntil ? `${name} (${texts.autoscale.pauses(utc(pausesUntil))})` : name) },
  number('minSize', texts.autoscale.least),
  number('maxSize', texts.autoscale.most),
  number('targetSize', texts.autoscale.target),
  number('ready', texts.autoscale.ready),
  number('unready', texts.autoscale.unready),
  number('coming', texts.autoscale.coming),
  number('leaving', texts.autoscale.leaving),
]
