/** Two maps of the nodes: before the steps of a simulation, and after them. Nodes stand at the same places in both. */
import type { JSX } from 'preact'
import { useMemo, useState } from 'preact/hooks'
import { count, counted, percent } from '../format'
import { aligned, type BeforeAfter } from '../models/before-after'
import type { Overviews } from '../models/steps'
import type { Overview } from '../overview'
import { go, param, setQuery } from '../router'
import { texts } from '../texts'
import { Choice, groupOptions, stateOf, ZONE } from './choice'
import { type Column, Grid } from './grid'
import { Meter } from './meter'
import { boxesOf, filterOf, share, shareOf, sumsOf } from './nodes'
import { Sample, sizeFor, Tiles } from './tiles'

const words = texts.whatif.maps
/** Groups with a box of their own at most: each has two canvases. */
const BOXES = 12
const EVERYTHING = filterOf('')

export function BeforeAfterMaps({ of, onGroup }: { of: Overviews; onGroup: () => void }): JSX.Element {
  const both = useMemo(() => aligned(of.before, of.after), [of])
  const { before, after, changed } = both
  const boxes = useMemo(() => boxesOf(before, EVERYTHING, BOXES), [before])
  const group = param('group', ZONE)
  const [looked, look] = useState<number | null>(null)
  const resources = ['cpu', ...before.resources.filter((name) => name !== 'cpu')]
  const resource = resources.find((name) => name === param('colour')) ?? 'cpu'
  const size = sizeFor(before.nodes.name.length * 2)
  const columns = useMemo(() => columnsOf(both, resource), [both, resource])
  const open = (at: number) => setQuery({ node: before.nodes.name[at] ?? null })
  const gone = both.gone
  return (
    <section aria-labelledby="maps-title">
      <h3 id="maps-title">{words.title}</h3>
      <div class="bar">
        <Choice name="group" label={texts.map.group} value={group} options={groupOptions(before, group)} onChange={onGroup} />
        <Choice name="colour" label={texts.map.colour} value={resource} options={resources.map((name) => [name, name])} />
      </div>
      <p class="legend">
        <span>{words.changed(counted(changed.length, 'node'), count(before.nodes.name.length))}</span>
        <span><Sample tile={{ share: 0.35 }} />{texts.map.legend.share(resource)}</span>
        <span><Sample tile={{ lit: 1 }} />{words.differs}</span>
        <span><Sample tile={{ isCordoned: true }} />{texts.map.legend.cordoned}</span>
        {both.gone.size + both.added.size > 0 && <span><Sample tile={{ isMissing: true }} />{words.missing}</span>}
      </p>
      <div class="pairs">
        {boxes.map((box) => (
          <section key={`${box.groups} ${box.name}`} class="group">
            <h4>{box.groups > 1 ? texts.map.others(counted(box.groups, 'group')) : box.name || (boxes.length === 1 ? texts.map.all : texts.map.unlabelled)}</h4>
            <div class="pair">
              {([[before, texts.whatif.before, both.added], [after, words.after, gone]] as const).map(([view, title, missing]) => (
                <div key={title}>
                  <Sums view={view} nodes={box.nodes.filter((at) => !missing.has(at))} title={title} resource={resource} />
                  <Tiles
                    view={view} version={0} nodes={box.nodes} resource={resource} size={size} missing={missing}
                    label={texts.map.tilesOf(`${title}, ${box.name || texts.map.all}`, counted(box.nodes.length, 'node'))}
                    open={param('node')} onOpen={open} onLook={look}
                  />
                </div>
              ))}
            </div>
          </section>
        ))}
      </div>
      <p class="looked" role="status">{looked !== null && lookedWords(both, looked, resource)}</p>
      {changed.length > 0 && (
        <>
          <h4>{words.table}</h4>
          <Grid
            label={words.table} columns={columns} rows={changed} keyOf={(at) => before.nodes.name[at] ?? ''} sort={param('sort', '-change')} lines={10} hold={false}
            onSort={(sort) => setQuery({ sort })} open={param('node')}
            onOpen={(at) => { if (!both.added.has(at)) go('map', [], { node: before.nodes.name[at] }) }}
          />
        </>
      )}
    </section>
  )
}

function Sums({ view, nodes, title, resource }: { view: Overview; nodes: number[]; title: string; resource: string }): JSX.Element {
  const sums = sumsOf(view, nodes)
  return (
    <p class="sums">
      <strong>{title}</strong>
      <span>{counted(sums.nodes, 'node')}</span>
      <span>{counted(sums.pods, 'pod')}</span>
      <span>{resource} <Meter resource={resource} part={sums.requested[resource] ?? 0} all={sums.allocatable[resource] ?? 0} /></span>
    </p>
  )
}

function columnsOf(both: BeforeAfter, resource: string): Column<number>[] {
  const { before, after } = both
  const delta = (at: number) => shareOf(after, resource, at) - shareOf(before, resource, at)
  const side = (view: Overview, missing: ReadonlySet<number>) => (at: number) => (missing.has(at) ? '–' : percent(shareOf(view, resource, at)))
  return [
    { id: 'name', title: texts.map.columns.name, width: 12, text: (at) => before.nodes.name[at] ?? '' },
    { id: 'what', title: texts.whatif.what, width: 8, text: (at) => (both.gone.has(at) ? words.goes : both.added.has(at) ? words.joins : stateOf(after, at)) },
    { id: 'pods', title: texts.map.columns.pods, width: 9, isNumber: true, text: (at) => arrow(both.added.has(at) ? '–' : count(before.nodes.pods[at] ?? 0), both.gone.has(at) ? '–' : count(after.nodes.pods[at] ?? 0)), value: (at) => (after.nodes.pods[at] ?? 0) - (before.nodes.pods[at] ?? 0) },
    { id: 'change', title: resource, width: 11, isNumber: true, text: (at) => arrow(side(before, both.added)(at), side(after, both.gone)(at)), value: (at) => Math.abs(delta(at)) },
  ]
}

function arrow(from: string, to: string): string {
  return from === to ? from : `${from} → ${to}`
}

function lookedWords(both: BeforeAfter, at: number, resource: string): string {
  const { before, after } = both
  const side = (view: Overview) => percent(share(view.nodes.requested[resource]?.[at] ?? 0, view.nodes.allocatable[resource]?.[at] ?? 0))
  const name = before.nodes.name[at] ?? ''
  if (both.gone.has(at)) return `${name} · ${words.goes} · ${resource} ${side(before)} · ${counted(before.nodes.pods[at] ?? 0, 'pod')}`
  if (both.added.has(at)) return `${name} · ${words.joins} · ${resource} ${side(after)} · ${counted(after.nodes.pods[at] ?? 0, 'pod')}`
  const pods = arrow(count(before.nodes.pods[at] ?? 0), counted(after.nodes.pods[at] ?? 0, 'pod'))
  return `${name} · ${resource} ${arrow(side(before), side(after))} · ${before.nodes.pods[at] === after.nodes.pods[at] ? counted(after.nodes.pods[at] ?? 0, 'pod') : pods} · ${stateOf(after, at)}`
}
