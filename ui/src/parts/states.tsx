/** States of a part of the page whose data are not (all) there. */
import type { ComponentChildren, JSX } from 'preact'
import { useState } from 'preact/hooks'
import { type ApiError, isForToken, type Loaded, setToken, token } from '../api'
import { texts } from '../texts'

/** A box that tells something; one that tells of an error is announced. */
export function Note(props: { kind?: 'info' | 'warning' | 'error'; children: ComponentChildren }): JSX.Element {
  const kind = props.kind ?? 'info'
  return (
    <div class={`note ${kind}`} role={kind === 'info' ? 'status' : 'alert'}>
      {props.children}
    </div>
  )
}

/** An error of the server in words that say what one can do. */
export function Problem({ error, again }: { error: ApiError; again?: () => void }): JSX.Element {
  const retry = again && (
    <button type="button" onClick={again}>
      {texts.states.again}
    </button>
  )
  // The frame asks for one.
  if (isForToken(error)) return <p class="quiet">{error.message}</p>
  if (error.code === 403) {
    return (
      <Note kind="warning">
        <strong>{texts.states.forbidden}</strong> {error.message}
        <p>{texts.states.forbiddenHint}</p>
      </Note>
    )
  }
  return (
    <Note kind="error">
      {error.code === 0 ? texts.states.away : error.code === 404 && !error.reason ? texts.states.missing : error.message} {retry}
    </Note>
  )
}

/** What a call gave: its data, or why there are none. Data that are there stay when asking again fails. */
export function Await<T>(props: { of: Loaded<T>; children: (data: T) => ComponentChildren }): JSX.Element {
  const { data, error, busy, again } = props.of
  return (
    <>
      {error && <Problem error={error} again={again} />}
      {data === undefined ? busy && <p class="busy" role="status">{texts.states.busy}</p> : props.children(data)}
    </>
  )
}

/** Asks for a token. */
export function TokenForm(): JSX.Element {
  const [text, set] = useState('')
  const use = (event: Event) => {
    event.preventDefault()
    setToken(text)
    set('')
  }
  return (
    <form class="note warning token" onSubmit={use}>
      <strong>{texts.states.token}</strong>
      <label>
        {texts.states.tokenLabel}{' '}
        <input type="password" autocomplete="off" value={text} onInput={(event) => set(event.currentTarget.value)} />
      </label>
      <button type="submit" disabled={!text.trim()}>
        {texts.states.tokenUse}
      </button>
      {token.value && (
        <button type="button" onClick={() => setToken('')}>
          {texts.states.tokenForget}
        </button>
      )}
      <p>{texts.states.tokenHint}</p>
    </form>
  )
}
