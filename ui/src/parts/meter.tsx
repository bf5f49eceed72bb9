import type { JSX } from 'preact'
import { amountOf, percent } from '../format'
import { share } from './nodes'

/** A share as a bar and in words. */
export function Meter(props: { resource: string; part: number; all: number; isShort?: boolean }): JSX.Element {
  const of = share(props.part, props.all)
  return (
    <span class="meter">
      <span class="track" aria-hidden="true">
        <span class={of > 1 ? 'over' : ''} style={{ width: `${Math.min(of, 1) * 100}%` }} />
      </span>
      <span>
        {percent(of)}
        {!props.isShort && ` · ${amountOf(props.resource, props.part, props.all)}`}
      </span>
    </span>
  )
}
