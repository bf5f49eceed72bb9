import type { JSX } from 'preact'
import { counted } from '../format'
import type { Overview } from '../overview'
import { setQuery } from '../router'
import { texts } from '../texts'

/** A choice whose value is in the address. */
export function Choice(props: { name: string; label: string; value: string; options: [value: string, words: string][]; onChange?: () => void }): JSX.Element {
  const choose = (value: string) => {
    setQuery({ [props.name]: value })
    props.onChange?.()
  }
  return (
    <label>
      {props.label}{' '}
      <select value={props.value} onChange={(event) => choose(event.currentTarget.value)}>
        {props.options.map(([value, text]) => (
          <option key={value} value={value}>
            {text}
          </option>
        ))}
      </select>
    </label>
  )
}

/** The label by which nodes are grouped unless one is chosen. */
export const ZONE = 'topology.kubernetes.io/zone'

/** The choices of a label to group by: `-` for none. */
export function groupOptions(view: Overview | undefined, group: string): [value: string, words: string][] {
  const keys = new Set([ZONE, group, ...(view?.labels ?? []).map(({ key }) => key)])
  keys.delete('-')
  const words = (key: string) => {
    const label = view?.labels.find((label) => label.key === key)
    const short = key === ZONE ? texts.map.zone : key
    return label ? texts.map.label(short, counted(label.values, 'value')) : short
  }
  return [['-', texts.map.ungrouped], ...[...keys].map((key): [string, string] => [key, words(key)])]
}

/** The state of a node in words. */
export function stateOf({ nodes }: Overview, at: number): string {
  const { states } = texts.map
  return [nodes.ready[at] ? states.ready : states.notReady, nodes.unschedulable[at] ? states.cordoned : ''].filter(Boolean).join(', ')
}
