/** Colour scheme: as the system has it, or as chosen in this browser. */
import { signal } from '@preact/signals'

export type Theme = 'auto' | 'light' | 'dark'

const KEY = 'podberth.theme'

function kept(): Theme {
  const text = localStorage.getItem(KEY)
  return text === 'light' || text === 'dark' ? text : 'auto'
}

export const theme = signal<Theme>(kept())

/** Counts changes of the colours, for what is painted by hand. */
export const painted = signal(0)

export function setTheme(to: Theme): void {
  theme.value = to
  localStorage.setItem(KEY, to)
  show()
}

function show(): void {
  document.documentElement.dataset['theme'] = theme.value
  painted.value++
}

matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => painted.value++)
show()

const probe = document.createElement('span')
probe.hidden = true
document.documentElement.append(probe)

/** Colour of a custom property (`--text`) as the scheme in force has it. */
export function colour(name: string): string {
  probe.style.color = `var(${name})`
  return getComputedStyle(probe).color
}
