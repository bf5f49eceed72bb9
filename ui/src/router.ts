/** The place in the page: `#/page/part/part?name=value`. Every filter is in it, so that a link shows the same. */
import { signal } from '@preact/signals'

export interface Route {
  page: string
  parts: string[]
  query: URLSearchParams
}

function read(): Route {
  const [path = '', query = ''] = location.hash.replace(/^#\/?/, '').split(/\?(.*)/s)
  const [page = '', ...parts] = path.split('/').map(decoded)
  return { page, parts: parts.filter(Boolean), query: new URLSearchParams(query) }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** Where the page is. */
export const route = signal<Route>(read())

addEventListener('hashchange', () => {
  route.value = read()
})

export type Query = Record<string, string | number | null | undefined>

/** Address of a place; empty values are left out. */
export function link(page: string, parts: string[] = [], query: Query = {}): string {
  const search = new URLSearchParams()
  for (const [name, value] of Object.entries(query)) if (value !== null && value !== undefined && value !== '') search.set(name, String(value))
  const path = [page, ...parts].map(encodeURIComponent).join('/')
  return `#/${path}${search.size ? `?${search}` : ''}`
}

/** Goes to a place, as a click on its link does. */
export function go(page: string, parts: string[] = [], query: Query = {}): void {
  location.hash = link(page, parts, query)
}

/** Changes values of the query in place: the way back skips it. `null` removes one. */
export function setQuery(changes: Query): void {
  const { page, parts, query } = route.value
  const all: Query = { ...Object.fromEntries(query), ...changes }
  history.replaceState(null, '', link(page, parts, all))
  route.value = read()
}

/** A value of the query. */
export function param(name: string, otherwise = ''): string {
  return route.value.query.get(name) ?? otherwise
}
