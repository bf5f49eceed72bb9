/** The choice of a pod to explain: one that is stored, one that waits, or one that is written down here. */
import type { JSX } from 'preact'
import { useState } from 'preact/hooks'
import { call, useCall } from '../api'
import { go, link } from '../router'
import { texts } from '../texts'

/** A pod in YAML or JSON that is not stored. */
export interface Draft { id: number; text: string; body: string }

interface PodList { items: { metadata: { namespace: string; name: string } }[] }

const EXAMPLE = `metadata:
  name: mine
spec:
  containers:
    - name: main
      resources:
        requests:
          cpu: 500m
          memory: 1Gi
`

/** A body of /explain around the text of a pod, which becomes a field by being moved to the right; JSON is YAML, too. */
export function around(text: string): string {
  const moved = text.replace(/^---.*\n/, '').split('\n').map((line) => `  ${line}`).join('\n')
  return `suggestions: true\npreempt: true\npod:\n${moved}\n`
}

export function ChoosePod(props: { pod: string | undefined; draft: Draft | undefined; onDraft: (draft: Draft | undefined) => void }): JSX.Element {
  const [name, setName] = useState('')
  const [text, setText] = useState(EXAMPLE)
  const isOpen = props.pod === undefined && props.draft === undefined
  const waiting = useCall<PodList>(isOpen ? 'waiting' : null, (signal) => call('api/v1/pods', { query: { fieldSelector: 'spec.nodeName=', limit: 50 }, signal }))
  const show = (event: Event) => {
    event.preventDefault()
    const [namespace, pod] = name.includes('/') ? name.split('/') : ['default', name]
    if (namespace && pod) go('explain', [namespace.trim(), pod.trim()])
  }
  const pods = waiting.data?.items ?? []
  return (
    <details class="choose" open={isOpen}>
      <summary>{texts.explain.choose.title}</summary>
      <form class="bar" onSubmit={show}>
        <label>
          {texts.explain.choose.stored}{' '}
          <input value={name} placeholder="namespace/pod" onInput={(event) => setName(event.currentTarget.value)} {...(isOpen && { 'data-filter': true })} />
        </label>
        <button type="submit" disabled={!name.trim()}>{texts.explain.choose.show}</button>
      </form>
      {pods.length > 0 && (
        <>
          <h2>{texts.explain.choose.waiting}</h2>
          <ul class="columns">
            {pods.map(({ metadata }) => (
              <li key={`${metadata.namespace}/${metadata.name}`}>
                <a href={link('explain', [metadata.namespace, metadata.name])}>{metadata.namespace}/{metadata.name}</a>
              </li>
            ))}
          </ul>
        </>
      )}
      {waiting.data && pods.length === 0 && <p class="quiet">{texts.explain.choose.none}</p>}
      <form
        onSubmit={(event) => {
          event.preventDefault()
          props.onDraft({ id: (props.draft?.id ?? 0) + 1, text, body: around(text) })
        }}
      >
        <label>
          {texts.explain.choose.draft}
          <textarea rows={9} class="code" spellcheck={false} value={text} onInput={(event) => setText(event.currentTarget.value)} />
        </label>
        <button type="submit">{texts.explain.choose.try}</button>
      </form>
    </details>
  )
}
