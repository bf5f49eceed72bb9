/**
 * Calls to the server. All addresses are relative to the page's, so that they hold behind a path prefix and under
 * `/clusters/{cluster}`. The token is kept in memory and in the session storage of the tab.
 */
import { signal } from '@preact/signals'
import { useEffect, useRef, useState } from 'preact/hooks'
import { ApiError, type Cause } from './error'
import { texts } from './texts'

/** Address of the cluster's API: the page is at `ui/` below it. */
export const base = new URL('..', new URL(location.pathname.replace(/[^/]*$/, ''), location.origin))

const ofCluster = /clusters\/([^/]+)\/$/.exec(base.pathname)

/** Name of the cluster that this page shows. */
export const cluster = ofCluster?.[1] ? decodeURIComponent(ofCluster[1]) : 'default'

/** Address of the server's API for its default cluster. */
export const root = ofCluster ? new URL('../..', base) : base

/** Address of this page for another cluster. */
export function pageOf(name: string): string {
  return new URL(name === 'default' ? 'ui/' : `clusters/${encodeURIComponent(name)}/ui/`, root).href
}

/** Standing of the server: `ok`, `away` (no reply) or `token` (it does not know who asks). */
export type Standing = 'ok' | 'away' | 'token'
export const standing = signal<Standing>('ok')

const KEY = 'podberth.token'

/** Token that is sent with each call. */
export const token = signal<string>(sessionStorage.getItem(KEY) ?? '')

/** Keeps a token for this tab; an empty one forgets it. */
export function setToken(text: string): void {
  token.value = text.trim()
  if (token.value) sessionStorage.setItem(KEY, token.value)
  else sessionStorage.removeItem(KEY)
  standing.value = 'ok'
  asked.value++
}

/** Counts the times at which everything is to be asked for again. */
export const asked = signal(0)

export { ApiError, type Cause } from './error'

export interface Asked {
  method?: string
  query?: Record<string, string | number | boolean | null | undefined>
  /** Sent as JSON, unless it is a text. */
  body?: unknown
  headers?: Record<string, string>
  signal?: AbortSignal
  /** The address that `path` is relative to: the cluster's unless said. */
  from?: URL
}

/** Makes a call; a reply that is no success becomes an {@link ApiError}. */
export async function ask(path: string, asked: Asked = {}): Promise<Response> {
  const url = new URL(path.replace(/^\//, ''), asked.from ?? base)
  for (const [name, value] of Object.entries(asked.query ?? {})) {
    if (value !== null && value !== undefined && value !== '') url.searchParams.set(name, String(value))
  }
  const headers = new Headers({ accept: 'application/json', ...asked.headers })
  if (token.value) headers.set('authorization', `Bearer ${token.value}`)
  let body: string | undefined
  if (typeof asked.body === 'string') body = asked.body
  else if (asked.body !== undefined) {
    body = JSON.stringify(asked.body)
    if (!headers.has('content-type')) headers.set('content-type', 'application/json')
  }
  let reply: Response
  try {
    reply = await fetch(url, {
      method: asked.method ?? (body === undefined ? 'GET' : 'POST'),
      headers,
      credentials: 'omit',
      ...(body === undefined ? {} : { body }),
      ...(asked.signal ? { signal: asked.signal } : {}),
    })
  } catch (error) {
    if (asked.signal?.aborted) throw error
    standing.value = 'away'
    throw new ApiError(0, 'Away', texts.states.away)
  }
  if (reply.ok) {
    // Without a token some calls may succeed where others are refused.
    if (standing.value !== 'token' || token.value) standing.value = 'ok'
    return reply
  }
  const error = await refusal(reply)
  if (isForToken(error)) standing.value = 'token'
  else if (standing.value === 'away') standing.value = 'ok'
  throw error
}

/** `true` if a token may help: the server does not know who asks. */
export function isForToken(error: ApiError): boolean {
  return error.code === 401 || (error.code === 403 && !token.value)
}

async function refusal(reply: Response): Promise<ApiError> {
  const text = await reply.text().catch(() => '')
  try {
    const status = JSON.parse(text) as { reason?: string; message?: string; details?: { causes?: Cause[] } }
    return new ApiError(reply.status, status.reason ?? '', status.message ?? text, status.details?.causes ?? [])
  } catch {
    return new ApiError(reply.status, '', text.trim() || `${reply.status} ${reply.statusText}`)
  }
}

/** Makes a call whose reply is JSON. */
export async function call<T>(path: string, asked: Asked = {}): Promise<T> {
  const reply = await ask(path, asked)
  return (await reply.json()) as T
}

/** Reads NDJSON line by line, until it ends or the signal is raised. */
export async function* lines<T>(path: string, asked: Asked = {}): AsyncGenerator<T> {
  const reply = await ask(path, asked)
  if (!reply.body) return
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader()
  let rest = ''
  for (;;) {
    const { done, value } = await reader.read()
    if (done) break
    const parts = (rest + value).split('\n')
    rest = parts.pop() ?? ''
    for (const line of parts) if (line.trim()) yield JSON.parse(line) as T
  }
  if (rest.trim()) yield JSON.parse(rest) as T
}

/** Progress of a call that a part of the page needs. What was there stays while it is asked for again. */
export interface Loaded<T> {
  data: T | undefined
  error: ApiError | undefined
  busy: boolean
  again: () => void
}

/** Makes a call whenever `key` changes; `null`: none is made. The call before is given up. */
export function useCall<T>(key: string | null, make: (signal: AbortSignal) => Promise<T>): Loaded<T> {
  const [state, set] = useState<{ key: string | null; data?: T; error?: ApiError; busy: boolean }>({ key: null, busy: false })
  const [round, next] = useState(0)
  const latest = useRef(make)
  latest.current = make
  const epoch = asked.value
  useEffect(() => {
    if (key === null) {
      set({ key, busy: false })
      return
    }
    const abort = new AbortController()
    set((was) => (was.key === key ? { ...was, busy: true } : { key, busy: true }))
    latest.current(abort.signal).then(
      (data) => {
        if (!abort.signal.aborted) set({ key, data, busy: false })
      },
      (error: unknown) => {
        if (abort.signal.aborted) return
        const told = error instanceof ApiError ? error : new ApiError(-1, 'Page', String(error))
        set((was) => ({ ...was, key, error: told, busy: false }))
      },
    )
    return () => abort.abort()
  }, [key, round, epoch])
  const isOurs = state.key === key
  return {
    data: isOurs ? state.data : undefined,
    error: isOurs ? state.error : undefined,
    busy: key !== null && (!isOurs || state.busy),
    again: () => next((n) => n + 1),
  }
}
