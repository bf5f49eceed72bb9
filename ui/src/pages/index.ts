import type { ComponentType } from 'preact'
import { texts } from '../texts'

/** A page: one file of this folder and one line here. Each is loaded when it is first shown. */
export interface Page {
  id: string
  title: string
  /** `g` and this key go there. */
  key: string
  load: () => Promise<{ default: ComponentType }>
}

export const pages: Page[] = [
  { id: 'map', title: texts.pages.map, key: 'm', load: () => import('./map') },
  { id: 'pending', title: texts.pages.pending, key: 'p', load: () => import('./pending') },
  { id: 'explain', title: texts.pages.explain, key: 'e', load: () => import('./explain') },
  { id: 'policy', title: texts.pages.policy, key: 'y', load: () => import('./policy') },
  { id: 'what-if', title: texts.pages.whatif, key: 'w', load: () => import('./whatif') },
  { id: 'decisions', title: texts.pages.decisions, key: 'd', load: () => import('./decisions') },
  { id: 'autoscale', title: texts.pages.autoscale, key: 's', load: () => import('./autoscale') },
  { id: 'access', title: texts.pages.access, key: 'a', load: () => import('./access') },
]
