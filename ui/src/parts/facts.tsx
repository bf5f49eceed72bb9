/** What there is to say about one node for a pod: reasons, amounts, and how far it is behind the winner or another node. */
import { Fragment, type JSX } from 'preact'
import { call, useCall } from '../api'
import { amount, count } from '../format'
import { difference, labelOf, type Matrix, shortOf } from '../models/explanation'
import { link } from '../router'
import { texts } from '../texts'
import { VerdictMark } from './matrix'

interface Fit {
  fits: boolean
  resources: { name: string; requested: number; allocatable: number; used: number; free: number; missing: number }[]
}

interface Props {
  matrix: Matrix
  node: string
  /** The node to compare with; none: the best one. */
  other: string
  /** The stored pod, for amounts; none where the pod is not stored as it was judged. */
  pod: string | undefined
  revision: string
  policy: string
  onCompare: (node: string) => void
  onClose: () => void
}

export function NodeFacts(props: Props): JSX.Element {
  const { matrix, node } = props
  const at = matrix.of.nodes.indexOf(node)
  const key = props.pod === undefined || at < 0 ? null : `${props.pod} ${node} ${props.revision} ${props.policy}`
  const fit = useCall<Fit>(key, (signal) =>
    call(`nodes/${encodeURIComponent(node)}/fit`, { query: { pod: props.pod, revision: props.revision, policy: props.policy }, signal }),
  )
  const rank = matrix.of.rank[at]
  const against = matrix.against(at)
  return (
    <aside class="side" aria-label={node}>
      <button type="button" class="close" onClick={props.onClose} aria-label={texts.frame.close}>
        ✕
      </button>
      <h2>{node}</h2>
      {at < 0 ? (
        <p>{texts.explain.goneNode}</p>
      ) : (
        <>
          <p>{rank ? texts.explain.rankOf(count(rank), count(matrix.fitting)) : texts.explain.doesNotFit}</p>
          {against.length > 0 && (
            <ul class="reasons">
              {against.map(({ predicate, verdict, reasons }, index) => (
                <li key={index}>
                  <VerdictMark verdict={verdict} words={reasons.join(', ')} />
                  <div class="quiet">
                    {labelOf(predicate)} · {verdict === 'u' ? texts.explain.evicting : texts.explain.never}
                  </div>
                </li>
              ))}
            </ul>
          )}
          {fit.data && <Amounts fit={fit.data} />}
          <Compare {...props} at={at} />
          <p>
            <a href={link('what-if', [], { steps: JSON.stringify({ steps: [{ drain: node }] }) })}>{texts.explain.whatIf}</a>
          </p>
        </>
      )}
    </aside>
  )
}

/** What a pod asks for and what a node has left. */
function Amounts({ fit }: { fit: Fit }): JSX.Element {
  return (
    <table class="amounts">
      <caption class="unseen">{texts.explain.amounts.title}</caption>
      <thead>
        <tr>
          {[texts.explain.amounts.resource, texts.explain.amounts.asked, texts.explain.amounts.free, texts.explain.amounts.missing].map((title, index) => (
            <th key={title} scope="col" class={index > 0 ? 'number' : ''}>
              {title}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {fit.resources.map(({ name, requested, free, missing }) => (
          <tr key={name}>
            <th scope="row">{name}</th>
            <td class="number">{amount(name, requested)}</td>
            <td class="number">{amount(name, free)}</td>
            <td class={`number ${missing > 0 ? 'bad' : ''}`}>{missing > 0 ? amount(name, missing) : '–'}</td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}

/** A name that may be broken before its capital letters. */
function Name({ of }: { of: string }): JSX.Element {
  return <>{of.split(/(?<=[a-z])(?=[A-Z])/).map((part, index) => <Fragment key={index}>{index > 0 && <wbr />}{part}</Fragment>)}</>
}

/** Two nodes side by side: verdicts that differ, and the points of each priority. */
function Compare(props: Props & { at: number }): JSX.Element {
  const { matrix, node, at } = props
  const isOther = props.other !== '' && props.other !== node && matrix.of.nodes.includes(props.other)
  const other = isOther ? props.other : matrix.of.selected && matrix.of.selected !== node ? matrix.of.selected : ''
  const b = matrix.of.nodes.indexOf(other)
  const shares = b < 0 ? [] : difference(matrix, at, b)
  const verdicts = b < 0 ? [] : matrix.of.predicates.flatMap((predicate, p) => (matrix.verdict(p, at) === matrix.verdict(p, b) ? [] : [{ predicate, p }]))
  const telling = matrix.isTree ? shares : shares.filter(({ points }) => points !== 0)
  const sum = shares.reduce((all, { points }) => all + points, 0)
  const lost = matrix.of.lostAt?.[at]
  return (
    <>
      {b >= 0 && (
        <table class="compare">
          <caption>{texts.explain.compare.title(node, other)}</caption>
          <thead>
            <tr>
              <th scope="col">{texts.explain.compare.rule}</th>
              <th scope="col" class="number">{texts.explain.compare.here}</th>
              <th scope="col" class="number">{texts.explain.compare.there}</th>
              <th scope="col" class="number">{texts.explain.compare.points}</th>
            </tr>
          </thead>
          <tbody>
            {verdicts.map(({ predicate, p }) => (
              <tr key={`v${p}`}>
                <th scope="row"><Name of={labelOf(predicate)} /></th>
                <td class="number"><VerdictMark verdict={matrix.verdict(p, at)} /></td>
                <td class="number"><VerdictMark verdict={matrix.verdict(p, b)} /></td>
                <td />
              </tr>
            ))}
            {telling.map(({ priority, a, b: theirs, points }, index) => (
              <tr key={index} class={points === 0 ? 'quiet' : ''}>
                <th scope="row"><Name of={shortOf(priority.name)} />{!matrix.isTree && priority.weight !== 1 && ` ×${count(priority.weight)}`}</th>
                <td class="number">{a}</td>
                <td class="number">{theirs}</td>
                <td class={`number ${points < 0 ? 'bad' : points > 0 ? 'good' : ''}`}>
                  {points > 0 ? '+' : ''}{count(points)}
                </td>
              </tr>
            ))}
            {telling.length < shares.length && (
              <tr class="quiet">
                <th scope="row" colSpan={3}>{texts.explain.compare.equal(shares.length - telling.length)}</th>
                <td class="number">0</td>
              </tr>
            )}
          </tbody>
          {!matrix.isTree && shares.length > 0 && (
            <tfoot>
              <tr>
                <th scope="row">{texts.explain.compare.sum}</th>
                <td class="number">{count(matrix.of.total[at] ?? 0)}</td>
                <td class="number">{count(matrix.of.total[b] ?? 0)}</td>
                <td class="number">{sum > 0 ? '+' : ''}{count(sum)}</td>
              </tr>
            </tfoot>
          )}
        </table>
      )}
      {b >= 0 && shares.length > 0 && sum === 0 && !matrix.isTree && <p>{texts.explain.compare.tie}</p>}
      {lost && <p>{texts.explain.compare.lost(lost, matrix.of.priorities[lost - 1]?.name ?? '')}</p>}
      <p>
        {isOther ? (
          <button type="button" onClick={() => props.onCompare('')}>{texts.explain.compare.stop}</button>
        ) : (
          <button type="button" onClick={() => props.onCompare(node)}>{texts.explain.compare.start}</button>
        )}
        {props.other === node && <span class="quiet"> {texts.explain.compare.choose}</span>}
      </p>
    </>
  )
}
