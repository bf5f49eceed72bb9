/**
 * The overview of the cluster, kept up to date by a stream of changes. One stream at most, only while a page wants it and the
 * tab is visible; a lost one is taken up from the revision that was reached, after a jittered pause.
 */
import { computed, signal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import { ApiError, asked, lines, standing } from './api'
import { apply, type Line, type Seen } from './overview'

export type Live = 'none' | 'starting' | 'live' | 'stale' | 'hidden'

export const overview = signal<Seen | null>(null)
export const live = signal<Live>('none')
/** Why no overview comes. */
export const problem = signal<ApiError | null>(null)
/** Time of the last line. */
export const heard = signal(0)
/** Newest revision that any reply told. */
export const newest = signal(0)

/** The newest revision, of the overview where one is followed. */
export const revision = computed(() => Math.max(newest.value, overview.value?.view.revision ?? 0))

/** Lines come at least every 15 s. */
const SILENCE = 40_000
const PAUSES = [500, 30_000] as const

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds)
    signal.addEventListener('abort', () => {
      clearTimeout(timer)
      resolve()
    }, { once: true })
  })
}

function visible(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const check = () => {
      if (document.hidden && !signal.aborted) return
      document.removeEventListener('visibilitychange', check)
      resolve()
    }
    document.addEventListener('visibilitychange', check)
    signal.addEventListener('abort', check, { once: true })
    check()
  })
}

/** Reads one stream until it ends, the tab is hidden or nothing comes any more. */
async function read(of: string, query: Record<string, string>, stopped: AbortSignal): Promise<void> {
  const own = new AbortController()
  const stop = () => own.abort()
  const onHidden = () => {
    if (document.hidden) stop()
  }
  const silence = setInterval(() => {
    if (Date.now() - heard.value > SILENCE) stop()
  }, SILENCE / 4)
  stopped.addEventListener('abort', stop, { once: true })
  document.addEventListener('visibilitychange', onHidden)
  heard.value = Date.now()
  try {
    const seen = overview.value?.of === of ? overview.value : null
    const since = seen ? { since: seen.view.revision } : {}
    for await (const line of lines<Line>('overview', { query: { ...query, watch: 1, ...since }, signal: own.signal })) {
      if (own.signal.aborted) return
      heard.value = Date.now()
      const next = apply(of, overview.value?.of === of ? overview.value : null, line)
      if (next) overview.value = next
      live.value = 'live'
      problem.value = null
    }
  } catch (error) {
    if (!own.signal.aborted) throw error
  } finally {
    clearInterval(silence)
    stopped.removeEventListener('abort', stop)
    document.removeEventListener('visibilitychange', onHidden)
    stop()
  }
}

async function follow(query: Record<string, string>, stopped: AbortSignal): Promise<void> {
  const of = JSON.stringify(query)
  let wait: number = PAUSES[0]
  live.value = 'starting'
  while (!stopped.aborted) {
    if (document.hidden) {
      live.value = 'hidden'
      await visible(stopped)
      continue
    }
    try {
      await read(of, query, stopped)
    } catch (error) {
      if (stopped.aborted) return
      problem.value = error instanceof ApiError ? error : new ApiError(0, 'Away', String(error))
      // Asking again does not help before someone changes the question or the token.
      if (problem.value.code >= 400 && problem.value.code < 500 && problem.value.code !== 429) {
        live.value = overview.value?.of === of ? 'stale' : 'none'
        return
      }
      if (problem.value.code === 0) standing.value = 'away'
    }
    if (stopped.aborted || document.hidden) continue
    if ((live.value as Live) === 'live') wait = PAUSES[0]
    live.value = overview.value?.of === of ? 'stale' : 'starting'
    await pause(wait * (0.5 + Math.random()), stopped)
    wait = Math.min(wait * 2, PAUSES[1])
  }
}

/** Follows the overview of a question while the part of the page is there. */
export function useOverview(query: { group?: string; labelSelector?: string; podSelector?: string }): Seen | null {
  const asking = Object.fromEntries(Object.entries(query).filter(([, value]) => value)) as Record<string, string>
  const of = JSON.stringify(asking)
  const epoch = asked.value
  useEffect(() => {
    const stop = new AbortController()
    problem.value = null
    void follow(asking, stop.signal)
    return () => {
      stop.abort()
      live.value = 'none'
    }
  }, [of, epoch])
  return overview.value
}
