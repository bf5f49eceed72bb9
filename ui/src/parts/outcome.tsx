/** What the steps of a simulation did. */
import type { JSX } from 'preact'
import { amountOf, count, percent, units } from '../format'
import { isHidden, type PodName } from '../models/explanation'
import type { Placement, Report, StepReport, Stuck, Utilization } from '../models/steps'
import { link } from '../router'
import { texts } from '../texts'
import { type Column, Grid } from './grid'

/** How full the nodes are before the first step and after each. */
export function Utilizations({ report }: { report: Report }): JSX.Element {
  const rows: [string, Utilization][] = [[texts.whatif.before, report.before], ...report.steps.map((step, index): [string, Utilization] => [texts.whatif.after(index + 1), step.utilization])]
  const resources = Object.keys(report.before.resources).sort()
  return (
    <div class="wide">
      <table>
        <caption class="unseen">{texts.whatif.utilization}</caption>
        <thead>
          <tr>
            <th scope="col">{texts.whatif.when}</th>
            <th scope="col" class="number">{texts.whatif.nodes}</th>
            <th scope="col" class="number">{texts.effect.inUse}</th>
            {resources.map((resource) => <th key={resource} scope="col">{resource}</th>)}
          </tr>
        </thead>
        <tbody>
          {rows.map(([title, { nodes, nodesInUse, resources: of }]) => (
            <tr key={title}>
              <th scope="row">{title}</th>
              <td class="number">{count(nodes)}</td>
              <td class="number">{count(nodesInUse)}</td>
              {resources.map((resource) => {
                const share = of[resource]
                if (!share) return <td key={resource}>–</td>
                return (
                  <td key={resource} title={amountOf(resource, units(resource, share.requested), units(resource, share.allocatable))}>
                    <span class="meter">
                      <span class="track" aria-hidden="true"><span class={share.ratio > 1 ? 'over' : ''} style={{ width: `${Math.min(100, 100 * share.ratio)}%` }} /></span>
                      {percent(share.ratio)}
                    </span>
                  </td>
                )
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

interface Told { pod: PodName; kind: string; from: string; to: string; why: string }

const COLUMNS: Column<Told>[] = [
  { id: 'pod', title: texts.effect.pod, width: 14, text: ({ pod }) => `${pod.namespace}/${pod.name}` },
  { id: 'kind', title: texts.whatif.what, width: 9, grow: 0, text: ({ kind }) => kind },
  { id: 'from', title: texts.effect.from, width: 9, text: ({ from }) => from },
  { id: 'to', title: texts.effect.to, width: 9, text: ({ to }) => to },
  { id: 'why', title: texts.effect.why, width: 20, grow: 3, text: ({ why }) => why, cell: ({ why }) => <span title={why}>{why}</span> },
]

/** One step: what became of each pod that it touched. */
export function StepResult({ number, title, of }: { number: number; title: string; of: StepReport }): JSX.Element {
  const kinds = texts.whatif.kindsOfPods
  const stuck = (list: Stuck[] | undefined, kind: string): Told[] => (list ?? []).map(({ pod, from, message }) => ({ pod, kind, from: from ?? '–', to: '–', why: message }))
  const placed = (list: Placement[], kind: string): Told[] =>
    list.map(({ pod, from, to, victims }) => ({ pod, kind, from: from ?? '–', to, why: victims?.length ? texts.whatif.evicted(victims.map(({ namespace, name }) => `${namespace}/${name}`).join(', ')) : '' }))
  const rows = [
    ...stuck(of.stuck.filter(({ from }) => from !== undefined), kinds.stuck), ...stuck(of.blocked, kinds.blocked),
    ...(of.lost ?? []).map((pod): Told => ({ pod, kind: kinds.lost, from: '–', to: '–', why: texts.whatif.whyLost })),
    ...placed(of.moved, kinds.moved), ...placed(of.placements, kinds.placed),
    ...stuck(of.stuck.filter(({ from }) => from === undefined), kinds.waiting),
  ]
  return (
    <section>
      <h3>{number}. {title}</h3>
      {of.added && of.added.length > 0 && <p>{texts.whatif.added(count(of.added.length), of.added.slice(0, 5).join(', '))}</p>}
      {rows.length === 0 ? (
        <p class="quiet">{texts.whatif.nothing}</p>
      ) : (
        <Grid
          label={title} columns={COLUMNS} rows={rows} keyOf={({ pod, kind }) => `${kind} ${pod.namespace}/${pod.name}`} lines={10} hold={false}
          onOpen={({ pod }) => { if (!isHidden(pod.namespace)) location.hash = link('explain', [pod.namespace, pod.name]) }}
        />
      )}
    </section>
  )
}
