/** Who am I, what may I do? */
import type { JSX } from 'preact'
import { texts } from '../texts'

export default function Access(): JSX.Element {
  return <h1>{texts.pages.access}</h1>
}
