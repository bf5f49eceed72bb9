/** The frame: rail, top line, keys, and the page that the address names. */
import { useSignalEffect } from '@preact/signals'
import { type ComponentType, type JSX, render } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { ApiError, asked, call, cluster, pageOf, root, standing, token } from './api'
import { count, span } from './format'
import { addKeys, allKeys } from './keys'
import { heard, live, newest, overview, revision } from './live'
import { type Page, pages } from './pages'
import { Note, Problem, TokenForm } from './parts/states'
import { go, link, route } from './router'
import { texts } from './texts'
import { setTheme, type Theme, theme } from './theme'

const POLL = 10_000

function Rail(): JSX.Element {
  return (
    <nav class="rail" aria-label={texts.frame.pages}>
      {pages.map((page) => (
        <a key={page.id} href={link(page.id)} aria-current={route.value.page === page.id ? 'page' : undefined}>
          {page.title}
        </a>
      ))}
      <a href="../docs/">{texts.frame.docs}</a>
    </nav>
  )
}

/** Names and revisions of the clusters, asked for every 10 seconds while the tab is visible. */
function useClusters(): string[] {
  const [names, set] = useState<string[]>([cluster])
  const epoch = asked.value
  useEffect(() => {
    const abort = new AbortController()
    const poll = async () => {
      if (document.hidden) return
      try {
        const { items } = await call<{ items: { name: string; revision: number }[] }>('clusters', { from: root, signal: abort.signal })
        set(items.map(({ name }) => name))
        newest.value = items.find(({ name }) => name === cluster)?.revision ?? 0
      } catch {
        // The standing of the server says it.
      }
    }
    void poll()
    const timer = setInterval(() => void poll(), POLL)
    document.addEventListener('visibilitychange', poll)
    return () => {
      abort.abort()
      clearInterval(timer)
      document.removeEventListener('visibilitychange', poll)
    }
  }, [epoch])
  return names.includes(cluster) ? names : [cluster, ...names]
}

function LiveMark(): JSX.Element | null {
  const [, tick] = useState(0)
  useEffect(() => {
    const timer = setInterval(() => live.value === 'stale' && tick((n) => n + 1), 1000)
    return () => clearInterval(timer)
  }, [])
  const state = live.value
  if (state === 'none') return null
  const words = state === 'stale' ? texts.live.stale(span((Date.now() - heard.value) / 1000)) : texts.live[state]
  return (
    <span class={`live ${state}`} title={texts.live.title[state]}>
      {words}
    </span>
  )
}

function Top({ onKeys }: { onKeys: () => void }): JSX.Element {
  const clusters = useClusters()
  return (
    <header class="top">
      <a class="brand" href={link('map')}>
        {texts.name}
      </a>
      <label>
        {texts.frame.cluster}{' '}
        <select value={cluster} onChange={(event) => location.assign(pageOf(event.currentTarget.value) + location.hash)}>
          {clusters.map((name) => (
            <option key={name}>{name}</option>
          ))}
        </select>
      </label>
      <span class="revision">{revision.value > 0 && texts.frame.revision(count(revision.value))}</span>
      <LiveMark />
      <span class="gap" />
      <label>
        {texts.frame.theme}{' '}
        <select value={theme.value} onChange={(event) => setTheme(event.currentTarget.value as Theme)}>
          {Object.entries(texts.frame.themes).map(([value, words]) => (
            <option key={value} value={value}>
              {words}
            </option>
          ))}
        </select>
      </label>
      <button type="button" onClick={onKeys} aria-haspopup="dialog">
        {texts.frame.keys} <kbd>?</kbd>
      </button>
      <a href={link('access')}>{texts.frame.who}</a>
    </header>
  )
}

/** The keys that hold here, in a dialog. */
function Keys({ close }: { close: () => void }): JSX.Element {
  const dialog = useRef<HTMLDialogElement>(null)
  useEffect(() => dialog.current?.showModal(), [])
  return (
    <dialog ref={dialog} aria-labelledby="keys-title" onClose={close}>
      <h2 id="keys-title">{texts.keys.title}</h2>
      <dl class="keys">
        {allKeys().map(({ key, does }) => (
          <div key={key}>
            <dt>
              {key.split(' ').map((one) => (
                <kbd key={one}>{one}</kbd>
              ))}
            </dt>
            <dd>{does}</dd>
          </div>
        ))}
      </dl>
      <p>{texts.keys.grid}</p>
      <form method="dialog">
        <button type="submit">{texts.frame.close}</button>
      </form>
    </dialog>
  )
}

const loaded = new Map<string, ComponentType>()

function useComponent(page: Page | undefined): ComponentType | ApiError | undefined {
  const [, tick] = useState(0)
  const [failed, fail] = useState<ApiError>()
  useEffect(() => {
    if (!page || loaded.has(page.id)) return
    page.load().then(
      (module) => {
        loaded.set(page.id, module.default)
        fail(undefined)
        tick((n) => n + 1)
      },
      () => fail(new ApiError(0, 'Away', texts.states.away)),
    )
  }, [page?.id])
  return (page && loaded.get(page.id)) ?? failed
}

function Main(): JSX.Element {
  const page = pages.find(({ id }) => id === route.value.page)
  const component = useComponent(page)
  const main = useRef<HTMLElement>(null)
  const shown = useRef(page?.id)
  useEffect(() => {
    document.title = page ? `${page.title} · ${texts.name}` : texts.name
    // The new page is read out, and Tab goes on in it.
    if (shown.current !== page?.id) main.current?.focus()
    shown.current = page?.id
  }, [page?.id])
  const Component = component
  return (
    <main id="main" ref={main} tabIndex={-1} aria-busy={page !== undefined && !Component}>
      {standing.value === 'away' && <Note kind="error">{texts.states.away}</Note>}
      {standing.value === 'token' && <TokenForm />}
      {!page ? (
        <Note>
          {texts.frame.nothing} <a href={link('map')}>{texts.frame.home}</a>
        </Note>
      ) : Component instanceof ApiError ? (
        <Problem error={Component} again={() => location.reload()} />
      ) : Component ? (
        <Component key={page.id} />
      ) : (
        <p class="busy">{texts.states.busy}</p>
      )}
    </main>
  )
}

function Frame(): JSX.Element {
  const [keys, setKeys] = useState(false)
  useEffect(
    () =>
      addKeys([
        { key: '?', does: texts.keys.help, run: () => setKeys((shown) => !shown) },
        { key: '/', does: texts.keys.filter, run: () => document.querySelector<HTMLInputElement>('[data-filter]')?.focus() },
        ...pages.map(({ id, key, title }) => ({ key: `g ${key}`, does: texts.keys.go(title), run: () => go(id) })),
      ]),
    [],
  )
  // Data of another caller must not stay.
  useSignalEffect(() => {
    void token.value
    overview.value = null
  })
  return (
    <>
      <a class="skip" href="#main" onClick={(event) => { event.preventDefault(); document.getElementById('main')?.focus() }}>
        {texts.frame.skip}
      </a>
      <Top onKeys={() => setKeys(true)} />
      <Rail />
      <Main />
      {keys && <Keys close={() => setKeys(false)} />}
    </>
  )
}

if (!route.value.page) location.replace(link('map'))
const app = document.getElementById('app')
if (app) render(<Frame />, app)
