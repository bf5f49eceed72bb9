/** An editor of policies. Its chunk is loaded when it is first shown; until then, and where that fails, a plain text field does. */
import type { JSX } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import type { Choice, Mark } from '../models/policy'
import { texts } from '../texts'
import type { Handle } from './codemirror'

interface Props {
  label: string
  text: string
  /** Counts the texts that come from elsewhere than this editor. */
  version: number
  onText: (text: string) => void
  marks: readonly Mark[]
  /** A text that the differences from are shown. */
  against?: string | undefined
  choices: (list: 'predicates' | 'priorities' | 'plugins') => Choice[]
}

export function Editor(props: Props): JSX.Element {
  const host = useRef<HTMLDivElement>(null)
  const handle = useRef<Handle | undefined>(undefined)
  const [plain, setPlain] = useState<'loading' | 'failed' | undefined>('loading')
  const latest = useRef(props)
  latest.current = props
  useEffect(() => {
    let isGone = false
    import('./codemirror').then(
      ({ mount }) => {
        if (isGone || !host.current) return
        handle.current = mount(host.current, {
          label: props.label,
          text: latest.current.text,
          choices: (list) => latest.current.choices(list),
          changed: (text) => latest.current.onText(text),
        })
        handle.current.mark(latest.current.marks)
        handle.current.compare(latest.current.against)
        setPlain(undefined)
      },
      () => setPlain('failed'),
    )
    return () => {
      isGone = true
      handle.current?.destroy()
      handle.current = undefined
    }
  }, [])
  // What is typed is in the editor already, and newer than what comes back: only texts from elsewhere are put in.
  useEffect(() => handle.current?.set(props.text), [props.version])
  useEffect(() => handle.current?.mark(props.marks), [props.marks])
  useEffect(() => handle.current?.compare(props.against), [props.against])
  return (
    <div class="editor">
      <div ref={host} class="editor-host" hidden={plain !== undefined} />
      {plain && (
        <textarea aria-label={props.label} spellcheck={false} value={props.text} onInput={(event) => props.onText(event.currentTarget.value)} />
      )}
      {props.marks.length > 0 && (
        <ul class="marks" aria-label={texts.policy.faults}>
          {props.marks.map((mark, index) => (
            <li key={index} class={mark.severity}>
              <button type="button" class="plain" onClick={() => handle.current?.go(mark.from)} title={texts.policy.goTo}>
                <strong>{mark.severity === 'error' ? texts.policy.fault : texts.policy.doubt}</strong> {mark.field && <code>{mark.field}</code>} {mark.message}
              </button>
            </li>
          ))}
        </ul>
      )}
    </div>
  )
}
