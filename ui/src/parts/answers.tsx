/** Answers of a simulation to its question. */
import type { JSX } from 'preact'
import { count } from '../format'
import type { Report } from '../models/steps'
import { texts } from '../texts'
import { type Column, Grid } from './grid'

type OfNode = [node: string, copies: number]
const COLUMNS: Column<OfNode>[] = [
  { id: 'node', title: texts.explain.node, width: 14, text: ([node]) => node },
  { id: 'copies', title: texts.whatif.copies, width: 8, isNumber: true, text: ([, copies]) => count(copies), value: ([, copies]) => copies },
]

export function HowMany({ of }: { of: NonNullable<Report['howMany']> }): JSX.Element {
  const nodes = Object.entries(of.byNode).sort((a, b) => b[1] - a[1])
  return (
    <>
      <p class="verdict"><strong>{count(of.count)}</strong> {texts.whatif.moreFit(nodes.length)}</p>
      <p>{of.limitedBy ? texts.whatif.limitedBy(of.limitedBy) : texts.whatif.limit}</p>
      {nodes.length > 0 && (
        <details>
          <summary>{texts.whatif.byNode}</summary>
          <Grid label={texts.whatif.byNode} columns={COLUMNS} rows={nodes} keyOf={([node]) => node} lines={12} hold={false} />
        </details>
      )}
    </>
  )
}

export function NodesNeeded({ of }: { of: NonNullable<Report['nodesNeeded']> }): JSX.Element {
  return (
    <>
      <p class="verdict">{of.count === null ? texts.whatif.tooFew : <><strong>{count(of.count)}</strong> {texts.whatif.nodesNeeded}</>}</p>
      {of.withOneLess.length > 0 && (
        <details>
          <summary>{of.count === null ? texts.whatif.stillStuck : texts.whatif.withOneLess}</summary>
          <ul>{of.withOneLess.slice(0, 20).map(({ pod, message }) => <li key={`${pod.namespace}/${pod.name}`}>{pod.namespace}/{pod.name}: {message}</li>)}</ul>
        </details>
      )}
    </>
  )
}
