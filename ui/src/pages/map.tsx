/** The map of nodes. */
import type { JSX } from 'preact'
import { texts } from '../texts'

export default function Map(): JSX.Element {
  return <h1>{texts.pages.map}</h1>
}
