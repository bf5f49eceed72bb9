/** The map of nodes: grouped by a label, coloured by a resource; also as a table. Everything chosen is in the address. */
import type { JSX } from 'preact'
import { useEffect, useMemo, useState } from 'preact/hooks'
import { addKeys } from '../keys'
import { count, counted, percent } from '../format'
import { problem, useOverview } from '../live'
import type { Overview } from '../overview'
import { Choice, groupOptions, stateOf, ZONE } from '../parts/choice'
import { type Column, Grid } from '../parts/grid'
import { Meter } from '../parts/meter'
import { type Box, boxesOf, filterOf, share, shareOf } from '../parts/nodes'
import { NodePanel } from '../parts/node'
import { Problem } from '../parts/states'
import { Sample, type Size, sizeFor, Tiles } from '../parts/tiles'
import { link, param, setQuery } from '../router'
import { texts } from '../texts'

const words = texts.map
/** Boxes at most: each has a canvas and a head. */
const BOXES = 40
/** Columns of resources at most. */
const RESOURCES = 6

/** A text field whose value goes into the address a moment after the last key. */
function Field(props: { name: string; label: string; hint: string; isFilter?: boolean; list?: string }): JSX.Element {
  const value = param(props.name)
  const [text, set] = useState(value)
  useEffect(() => set(value), [value])
  useEffect(() => {
    if (text === value) return
    const timer = setTimeout(() => setQuery({ [props.name]: text }), 250)
    return () => clearTimeout(timer)
  }, [text])
  return (
    <label class={props.isFilter ? 'filter' : 'filter short'}>
      {props.label}
      <input
        type="search"
        value={text}
        placeholder={props.hint}
        title={props.hint}
        list={props.list}
        data-filter={props.isFilter ? '' : undefined}
        onInput={(event) => set(event.currentTarget.value)}
      />
    </label>
  )
}

/** A group's name, sums and nodes. */
function Head({ box, resources, isOnly }: { box: Box; resources: string[]; isOnly: boolean }): JSX.Element {
  const { sums } = box
  const name = box.groups > 1 ? words.others(counted(box.groups, 'group')) : box.name || (isOnly ? words.all : words.unlabelled)
  return (
    <>
      <h2>{name}</h2>
      <div class="sums">
        <span>{counted(sums.nodes, 'node')}</span>
        <span>{counted(sums.pods, 'pod')}</span>
        {resources.slice(0, 2).map((resource) => (
          <span key={resource}>
            {resource} <Meter resource={resource} part={sums.requested[resource] ?? 0} all={sums.allocatable[resource] ?? 0} />
          </span>
        ))}
        {sums.ready < sums.nodes && <span class="bad">{words.notReady(count(sums.nodes - sums.ready))}</span>}
        {sums.unschedulable > 0 && <span class="warn">{words.cordoned(count(sums.unschedulable))}</span>}
      </div>
    </>
  )
}

function columnsOf(view: Overview, resources: string[]): Column<number>[] {
  const { nodes } = view
  return [
    { id: 'name', title: words.columns.name, text: (at) => nodes.name[at] ?? '', width: 11, grow: 2 },
    { id: 'group', title: words.columns.group, text: (at) => view.groups[nodes.group[at] ?? 0]?.name ?? '' },
    {
      id: 'state',
      title: words.columns.state,
      text: (at) => stateOf(view, at),
      cell: (at) => <span class={nodes.ready[at] ? (nodes.unschedulable[at] ? 'warn' : '') : 'bad'}>{stateOf(view, at)}</span>,
    },
    { id: 'pods#', title: words.columns.pods, text: (at) => count(nodes.pods[at] ?? 0), value: (at) => nodes.pods[at] ?? 0, isNumber: true, width: 5 },
    ...(nodes.matching
      ? [{ id: 'lit', title: words.columns.lit, text: (at: number) => count(nodes.matching?.[at] ?? 0), value: (at: number) => nodes.matching?.[at] ?? 0, isNumber: true, width: 5 }]
      : []),
    ...resources.slice(0, RESOURCES).map((resource) => ({
      id: resource,
      title: resource,
      text: (at: number) => percent(shareOf(view, resource, at)),
      value: (at: number) => shareOf(view, resource, at),
      cell: (at: number) => <Meter resource={resource} part={nodes.requested[resource]?.[at] ?? 0} all={nodes.allocatable[resource]?.[at] ?? 0} />,
      width: 15,
    })),
    { id: 'taints', title: words.columns.taints, text: (at) => nodes.taints[at]?.join(' ') ?? '', width: 10, grow: 2 },
  ]
}

export default function MapPage(): JSX.Element {
  const group = param('group', ZONE)
  const filter = useMemo(() => filterOf(param('filter')), [param('filter')])
  const podSelector = param('pods')
  const seen = useOverview({ group: group === '-' ? '' : group, labelSelector: filter.labelSelector, podSelector })
  const [looked, look] = useState<number | null>(null)
  const open = param('node')
  const close = () => setQuery({ node: null })
  useEffect(() => (open ? addKeys([{ key: 'Escape', does: texts.keys.close, run: close }]) : undefined), [open !== ''])

  const view = seen?.view
  const boxes = useMemo(() => (view ? boxesOf(view, filter, BOXES) : []), [view, seen?.version, filter])
  const shown = useMemo(() => boxes.flatMap(({ nodes }) => nodes), [boxes])
  const resources = useMemo(() => view?.resources.filter((resource) => (view.totals.allocatable[resource] ?? 0) > 0 && resource !== 'pods') ?? [], [view])
  const columns = useMemo(() => (view ? columnsOf(view, resources) : []), [view, seen?.version, resources])
  const resource = param('colour', 'cpu')
  const isTable = param('view') === 'table'
  const size = (param('size') || sizeFor(shown.length)) as Size
  const index = view && open ? view.nodes.name.indexOf(open) : -1

  return (
    <>
      <h1>{words.title}</h1>
      {problem.value && <Problem error={problem.value} />}
      {filter.unknown.length > 0 && <p class="warn" role="alert">{words.unknown(filter.unknown.join(' '))}</p>}
      <div class="bar">
        <Choice name="group" label={words.group} value={group} options={groupOptions(view, group)} />
        <Choice name="colour" label={words.colour} value={resource} options={['cpu', ...(view?.resources ?? []).filter((name) => name !== 'cpu')].map((name) => [name, name])} />
        {!isTable && <Choice name="size" label={words.size} value={param('size')} options={[['', words.sizes.auto], ['s', words.sizes.s], ['m', words.sizes.m], ['l', words.sizes.l]]} />}
        <div role="group" aria-label={words.shape}>
          <button type="button" aria-pressed={!isTable} onClick={() => setQuery({ view: null })}>
            {words.tiles}
          </button>{' '}
          <button type="button" aria-pressed={isTable} onClick={() => setQuery({ view: 'table' })}>
            {words.table}
          </button>
        </div>
        <Field name="filter" label={words.filter} hint={words.filterHint} isFilter />
        <Field name="pods" label={words.pods} hint={words.podsHint} />
      </div>
      {!view ? (
        !problem.value && <p class="busy" role="status">{texts.states.busy}</p>
      ) : (
        <>
          <p class="legend">
            <span>
              {shown.length === view.totals.nodes ? counted(view.totals.nodes, 'node') : words.some(count(shown.length), counted(view.totals.nodes, 'node'))}
              {' · '}
              {counted(view.totals.pods, 'pod')}
              {' · '}
              {view.totals.pending > 0 ? <a href={link('pending')}>{words.pending(count(view.totals.pending))}</a> : words.nonePending}
              {view.nodes.matching && ` · ${words.litPods(counted(view.nodes.matching.reduce((sum, n) => sum + n, 0), 'pod'))}`}
            </span>
            {!isTable && (
              <>
                <span><Sample tile={{ share: 0.35 }} />{words.legend.share(resource)}</span>
                <span><Sample tile={{ isCordoned: true }} />{words.legend.cordoned}</span>
                <span><Sample tile={{ isReady: false }} />{words.legend.notReady}</span>
                <span><Sample tile={{ share: 1.2 }} />{words.legend.over}</span>
                <span>{words.legend.open}</span>
                {podSelector && <span><Sample tile={{ lit: 1 }} />{words.legend.lit}</span>}
              </>
            )}
          </p>
          <div class={index >= 0 ? 'split' : ''}>
            {isTable ? (
              <Grid
                label={words.title}
                columns={columns}
                rows={shown}
                keyOf={(at) => view.nodes.name[at] ?? ''}
                sort={param('sort', 'name')}
                onSort={(sort) => setQuery({ sort })}
                open={open}
                onOpen={(at) => setQuery({ node: view.nodes.name[at] })}
                lines={24}
                empty={words.none}
              />
            ) : shown.length === 0 ? (
              <p>{view.totals.nodes === 0 ? words.noNodes : words.none}</p>
            ) : (
              <div class={`groups ${boxes.length === 1 ? 'one' : ''}`}>
                {boxes.map((box) => (
                  <section key={`${box.groups} ${box.name}`} class="group">
                    <Head box={box} resources={resource === 'cpu' || resource === 'pods' ? ['cpu', 'memory'] : [resource, 'cpu']} isOnly={boxes.length === 1} />
                    <Tiles
                      view={view}
                      version={seen.version}
                      nodes={box.nodes}
                      resource={resource}
                      size={size}
                      label={words.tilesOf(box.name || words.all, counted(box.nodes.length, 'node'))}
                      open={open}
                      onOpen={(at) => setQuery({ node: view.nodes.name[at] })}
                      onLook={look}
                    />
                  </section>
                ))}
              </div>
            )}
            {index >= 0 && <NodePanel view={view} at={index} close={close} />}
          </div>
          <p class="looked" role="status">{looked !== null && lookedWords(view, looked, resource)}</p>
        </>
      )}
    </>
  )
}

function lookedWords(view: Overview, at: number, resource: string): string {
  const { nodes } = view
  const of = share(nodes.requested[resource]?.[at] ?? 0, nodes.allocatable[resource]?.[at] ?? 0)
  return [nodes.name[at], `${resource} ${percent(of)}`, counted(nodes.pods[at] ?? 0, 'pod'), stateOf(view, at), ...(nodes.taints[at] ?? [])].join(' · ')
}
