/** Who am I, and what may I do? */
import type { JSX } from 'preact'
import { useState } from 'preact/hooks'
import { call, cluster, root, setToken, standing, token, useCall } from '../api'
import { Await, TokenForm } from '../parts/states'
import { param, setQuery } from '../router'
import { texts } from '../texts'

const words = texts.access
const REVIEWS = 'apis/authorization.k8s.io/v1/'
const OWN = 'podberth.io'

interface Attributes {
  verb: string
  group: string
  resource: string
  subresource?: string
  namespace?: string
  name?: string
}

interface Review {
  status: { allowed: boolean; reason?: string }
}

interface Rules {
  status: {
    resourceRules: { verbs: string[]; apiGroups?: string[]; resources?: string[]; resourceNames?: string[] }[]
    nonResourceRules: { verbs: string[]; nonResourceURLs?: string[] }[]
    incomplete: boolean
  }
}

/** What the pages do, as the server asks for it. */
const ACTS: [does: string, attributes: Attributes][] = [
  [words.acts.map, { verb: 'watch', group: OWN, resource: 'overviews' }],
  [words.acts.nodes, { verb: 'list', group: '', resource: 'nodes' }],
  [words.acts.pods, { verb: 'list', group: '', resource: 'pods' }],
  [words.acts.pending, { verb: 'list', group: OWN, resource: 'explanations', subresource: 'pending' }],
  [words.acts.explain, { verb: 'create', group: OWN, resource: 'explanations' }],
  [words.acts.whatIf, { verb: 'create', group: OWN, resource: 'simulations' }],
  [words.acts.policy, { verb: 'get', group: OWN, resource: 'policies', name: 'default' }],
  [words.acts.change, { verb: 'update', group: OWN, resource: 'policies', name: 'default' }],
  [words.acts.decisions, { verb: 'list', group: OWN, resource: 'decisions' }],
  [words.acts.schedule, { verb: 'create', group: OWN, resource: 'placements' }],
  [words.acts.evict, { verb: 'create', group: OWN, resource: 'evictions' }],
  [words.acts.import, { verb: 'create', group: OWN, resource: 'imports' }],
]

function may(resourceAttributes: Attributes, signal: AbortSignal): Promise<Review> {
  return call(`${REVIEWS}selfsubjectaccessreviews`, { body: { spec: { resourceAttributes } }, signal })
}

function Answer({ review }: { review: Review }): JSX.Element {
  const { allowed, reason } = review.status
  return (
    <span class={allowed ? 'good' : 'bad'}>
      {allowed ? words.yes : words.no}
      {reason && <span class="quiet"> {reason}</span>}
    </span>
  )
}

function Who(): JSX.Element {
  const me = useCall('me', (signal) =>
    call<{ status: { userInfo: { username: string; groups?: string[] } } }>('apis/authentication.k8s.io/v1/selfsubjectreviews', { body: {}, signal }),
  )
  return (
    <Await of={me}>
      {({ status: { userInfo } }) => (
        <dl class="facts">
          <dt>{words.user}</dt>
          <dd>{userInfo.username}</dd>
          <dt>{words.groups}</dt>
          <dd>{userInfo.groups?.join(', ') ?? words.none}</dd>
          <dt>{texts.frame.cluster}</dt>
          <dd>{cluster}</dd>
          <dt>{texts.states.tokenLabel}</dt>
          <dd>{token.value ? <button type="button" onClick={() => setToken('')}>{texts.states.tokenForget}</button> : texts.frame.anonymous}</dd>
        </dl>
      )}
    </Await>
  )
}

function Acts(): JSX.Element {
  const acts = useCall('acts', (signal) => Promise.all(ACTS.map(([, attributes]) => may(attributes, signal))))
  return (
    <Await of={acts}>
      {(reviews) => (
        <table>
          <tbody>
            {ACTS.map(([does], at) => {
              const review = reviews[at]
              return (
                <tr key={does}>
                  <th scope="row">{does}</th>
                  <td>{review && <Answer review={review} />}</td>
                </tr>
              )
            })}
          </tbody>
        </table>
      )}
    </Await>
  )
}

const VERBS = ['get', 'list', 'watch', 'create', 'update', 'patch', 'delete', 'deletecollection']

/** Asks about one act. */
function Question(): JSX.Element {
  const [verb, setVerb] = useState('get')
  const [resource, setResource] = useState('')
  const [namespace, setNamespace] = useState('')
  const [name, setName] = useState('')
  const [asked, ask] = useState<Attributes | null>(null)
  const review = useCall(asked && JSON.stringify(asked), (signal) => may(asked as Attributes, signal))
  const submit = (event: Event) => {
    event.preventDefault()
    const [path = '', ...group] = resource.trim().split('.')
    const [plural = '', subresource = ''] = path.split('/')
    ask(plural ? { verb, group: group.join('.'), resource: plural, subresource, namespace: namespace.trim(), name: name.trim() } : null)
  }
  const field = (label: string, hint: string, value: string, change: (text: string) => void) => (
    <label>
      {label} <input value={value} placeholder={hint} onInput={(event) => change(event.currentTarget.value)} />
    </label>
  )
  return (
    <form class="bar" onSubmit={submit}>
      <label>
        {words.mayI}{' '}
        <select value={verb} onChange={(event) => setVerb(event.currentTarget.value)}>
          {VERBS.map((of) => (
            <option key={of}>{of}</option>
          ))}
        </select>
      </label>
      {field(words.resource, 'deployments.apps', resource, setResource)}
      {field(words.namespace, words.every, namespace, setNamespace)}
      {field(words.name, words.every, name, setName)}
      <button type="submit">{words.ask}</button>
      <span role="status">{asked && <Await of={review}>{(of) => <Answer review={of} />}</Await>}</span>
    </form>
  )
}

function RulesTable(): JSX.Element {
  const namespace = param('namespace', 'default')
  const [text, set] = useState(namespace)
  const rules = useCall(namespace, (signal) => call<Rules>(`${REVIEWS}selfsubjectrulesreviews`, { body: { spec: { namespace } }, signal }))
  const submit = (event: Event) => {
    event.preventDefault()
    setQuery({ namespace: text.trim() || null })
  }
  return (
    <>
      <form class="bar" onSubmit={submit}>
        <label>
          {words.namespace} <input data-filter value={text} onInput={(event) => set(event.currentTarget.value)} />
        </label>
        <button type="submit">{words.show}</button>
      </form>
      <Await of={rules}>
        {({ status }) => (
          <div class="wide" tabIndex={0} role="region" aria-label={words.rules}>
            <table>
              <thead>
                <tr>
                  <th scope="col">{words.verbs}</th>
                  <th scope="col">{words.what}</th>
                  <th scope="col">{words.names}</th>
                </tr>
              </thead>
              <tbody>
                {status.resourceRules.map(({ verbs, apiGroups = [], resources = [], resourceNames = [] }, at) => (
                  <tr key={at}>
                    <td>{verbs.join(', ')}</td>
                    <td>{resources.map((resource) => `${resource}${apiGroups.filter(Boolean).length ? `.${apiGroups.join('|')}` : ''}`).join(', ')}</td>
                    <td>{resourceNames.join(', ') || words.every}</td>
                  </tr>
                ))}
                {status.nonResourceRules.map(({ verbs, nonResourceURLs = [] }, at) => (
                  <tr key={`path ${at}`}>
                    <td>{verbs.join(', ')}</td>
                    <td class="mono">{nonResourceURLs.join(' ')}</td>
                    <td />
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
      </Await>
    </>
  )
}

function Tokens(): JSX.Element {
  const tokens = useCall('tokens', (signal) =>
    call<{ items: { name: string; user: string; groups?: string[]; expiresAt?: string }[] }>('tokens', { from: root, signal }),
  )
  return (
    <Await of={tokens}>
      {({ items }) =>
        items.length === 0 ? (
          <p>{words.noTokens}</p>
        ) : (
          <ul>
            {items.map(({ name, user, expiresAt }) => (
              <li key={name}>
                {name}: {user}
                {expiresAt && <span class="quiet"> {words.until(expiresAt)}</span>}
              </li>
            ))}
          </ul>
        )
      }
    </Await>
  )
}

export default function AccessPage(): JSX.Element {
  return (
    <>
      <h1>{words.title}</h1>
      <Who />
      {!token.value && standing.value !== 'token' && <details><summary>{words.useToken}</summary><TokenForm /></details>}
      <h2>{words.pages}</h2>
      <Acts />
      <h2>{words.question}</h2>
      <Question />
      <h2>{words.rules}</h2>
      <RulesTable />
      <h2>{words.tokens}</h2>
      <Tokens />
    </>
  )
}
