/**
 * The editor itself, in a chunk of its own. It lives in a shadow root: there its style sheets are constructed ones, which the
 * content security policy of the page allows.
 */
import { autocompletion, closeBrackets, closeBracketsKeymap, type CompletionContext, type CompletionResult, completionKeymap } from '@codemirror/autocomplete'
import { defaultKeymap, history, historyKeymap } from '@codemirror/commands'
import { json } from '@codemirror/lang-json'
import { yaml } from '@codemirror/lang-yaml'
import { bracketMatching, HighlightStyle, indentOnInput, syntaxHighlighting } from '@codemirror/language'
import { type Diagnostic, lintGutter, lintKeymap, setDiagnostics } from '@codemirror/lint'
import { unifiedMergeView } from '@codemirror/merge'
import { Compartment, EditorState, type Extension } from '@codemirror/state'
import { drawSelection, EditorView, highlightActiveLine, keymap, lineNumbers } from '@codemirror/view'
import { tags } from '@lezer/highlight'
import { type Choice, context, isJson, type Mark } from '../models/policy'

/** What the page says to the editor. */
export interface Editing {
  label: string
  text: string
  /** The names that can be completed at a list. */
  choices: (list: 'predicates' | 'priorities' | 'plugins') => Choice[]
  changed: (text: string) => void
}

export interface Handle {
  /** Puts another text in, unless it is there already. */
  set: (text: string) => void
  mark: (marks: readonly Mark[]) => void
  /** Shows the differences from a text; `undefined` shows none. */
  compare: (original: string | undefined) => void
  /** Moves the cursor to a place. */
  go: (at: number) => void
  destroy: () => void
}

const theme = EditorView.theme({
  '&': { color: 'var(--text)', backgroundColor: 'var(--page)', fontSize: '0.875rem', height: '100%' },
  '&.cm-focused': { outline: '2px solid var(--focus)', outlineOffset: '-1px' },
  '.cm-scroller': { fontFamily: 'ui-monospace, monospace', lineHeight: '1.5' },
  '.cm-content': { caretColor: 'currentColor' },
  '.cm-cursor': { borderLeftColor: 'currentColor' },
  '.cm-gutters': { color: 'var(--quiet)', backgroundColor: 'transparent', border: 'none' },
  '.cm-activeLine, .cm-activeLineGutter': { backgroundColor: 'color-mix(in srgb, currentColor 6%, transparent)' },
  '&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground': {
    background: 'color-mix(in srgb, Highlight 35%, transparent)',
  },
  '.cm-tooltip, .cm-panels': { color: 'var(--text)', backgroundColor: 'var(--raised)', border: '1px solid var(--line)' },
  '.cm-tooltip-autocomplete > ul > li[aria-selected]': { color: 'HighlightText', backgroundColor: 'Highlight' },
  '.cm-completionInfo': { maxWidth: '28rem' },
  // Marks of words are lines, so that coloured text keeps its contrast.
  '& .cm-deletedText': { background: 'none !important', textDecoration: 'line-through' },
  '& .cm-changedText, & .cm-insertedText': { background: 'none !important', textDecoration: 'underline' },
  '.cm-deletedChunk': { backgroundColor: 'color-mix(in srgb, var(--bad) 14%, transparent)' },
  '.cm-changedLine, .cm-insertedLine': { backgroundColor: 'color-mix(in srgb, var(--good) 14%, transparent)' },
})

const colours = HighlightStyle.define([
  { tag: [tags.propertyName, tags.definition(tags.propertyName)], color: 'var(--link)', fontWeight: '600' },
  { tag: tags.string, color: 'var(--good)' },
  { tag: [tags.number, tags.bool, tags.null], color: 'var(--warn)' },
  { tag: tags.comment, color: 'var(--quiet)', fontStyle: 'italic' },
])

function language(text: string): Extension {
  return isJson(text) ? json() : yaml()
}

/**
 * Replaces a selection by what is typed, in place of the browser: Chromium gives lines that it joins style attributes, which the
 * content security policy of the page forbids.
 */
function replace(event: InputEvent, view: EditorView): boolean {
  const { from, to, empty } = view.state.selection.main
  const { data } = event
  if (event.inputType !== 'insertText' || data === null || empty || view.composing || view.state.selection.ranges.length > 1) return false
  event.preventDefault()
  const insert = () => view.state.update(view.state.replaceSelection(data), { userEvent: 'input.type', scrollIntoView: true })
  if (!view.state.facet(EditorView.inputHandler).some((handle) => handle(view, from, to, data, insert))) view.dispatch(insert())
  return true
}

/** Puts an editor into an element, which is to have no shadow root yet or one of an editor before. */
export function mount(host: HTMLElement, editing: Editing): Handle {
  const root = host.shadowRoot ?? host.attachShadow({ mode: 'open' })
  const [syntax, merging] = [new Compartment(), new Compartment()]
  let wasJson = isJson(editing.text)

  const complete = (at: CompletionContext): CompletionResult | null => {
    const found = context(at.state.doc.toString(), at.pos)
    if (!found) return null
    const options = editing.choices(found.list).map(({ name, detail, about }) => ({ label: name, detail, info: about, type: 'constant' }))
    return { from: found.from, options, validFor: /^[\w.]*$/ }
  }

  const view = new EditorView({
    root,
    parent: root,
    state: EditorState.create({
      doc: editing.text,
      extensions: [
        lineNumbers(), lintGutter(), history(), drawSelection(), highlightActiveLine(), indentOnInput(), bracketMatching(), closeBrackets(),
        EditorView.domEventHandlers({ beforeinput: replace }),
        EditorState.tabSize.of(2),
        EditorView.lineWrapping,
        EditorView.contentAttributes.of({ 'aria-label': editing.label }),
        autocompletion({ override: [complete] }),
        keymap.of([...closeBracketsKeymap, ...defaultKeymap, ...historyKeymap, ...completionKeymap, ...lintKeymap]),
        theme,
        syntaxHighlighting(colours),
        syntax.of(language(editing.text)),
        merging.of([]),
        EditorView.updateListener.of((update) => {
          if (!update.docChanged) return
          const text = update.state.doc.toString()
          if (isJson(text) !== wasJson) {
            wasJson = !wasJson
            queueMicrotask(() => view.dispatch({ effects: syntax.reconfigure(language(text)) }))
          }
          editing.changed(text)
        }),
      ],
    }),
  })

  return {
    set: (text) => {
      if (text !== view.state.doc.toString()) view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: text } })
    },
    mark: (marks) => {
      const end = view.state.doc.length
      const diagnostics = marks.map(({ from, to, severity, message, field }): Diagnostic => {
        const said = field ? `${field}: ${message}` : message
        return { from: Math.min(from, end), to: Math.min(to, end), severity, message: said }
      })
      view.dispatch(setDiagnostics(view.state, diagnostics))
    },
    compare: (original) => {
      const merged = original === undefined ? [] : unifiedMergeView({ original, mergeControls: false, collapseUnchanged: { margin: 3, minSize: 6 } })
      view.dispatch({ effects: merging.reconfigure(merged) })
    },
    go: (at) => {
      view.dispatch({ selection: { anchor: Math.min(at, view.state.doc.length) }, scrollIntoView: true })
      view.focus()
    },
    destroy: () => view.destroy(),
  }
}
