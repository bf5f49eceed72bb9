/** Keys of the page. Keys that are typed into a field, or with Ctrl, Alt or Meta, are left to it. */

export interface Key {
  /** As `KeyboardEvent.key`; two keys one after the other are written `g m`. */
  key: string
  does: string
  run: () => void
}

const layers: Key[][] = []

/** Adds keys; returns the function that removes them. Later ones win. */
export function addKeys(keys: Key[]): () => void {
  layers.push(keys)
  return () => {
    const at = layers.lastIndexOf(keys)
    if (at >= 0) layers.splice(at, 1)
  }
}

/** All keys in force, each once. */
export function allKeys(): Key[] {
  const seen = new Map<string, Key>()
  for (const key of layers.toReversed().flat()) if (!seen.has(key.key)) seen.set(key.key, key)
  return [...seen.values()]
}

let first = ''

addEventListener('keydown', (event) => {
  const target = event.target as HTMLElement | null
  const isTyped = target?.closest('input:not([type=checkbox]):not([type=radio]), textarea, select, [contenteditable]')
  if (event.ctrlKey || event.altKey || event.metaKey || event.defaultPrevented) return
  if (isTyped && event.key !== 'Escape') return
  const keys = allKeys()
  const pair = first && `${first} ${event.key}`
  const found = keys.find(({ key }) => key === pair) ?? keys.find(({ key }) => key === event.key)
  first = !found && keys.some(({ key }) => key.startsWith(`${event.key} `)) ? event.key : ''
  if (found) {
    event.preventDefault()
    found.run()
  }
})
