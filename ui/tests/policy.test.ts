import assert from 'node:assert/strict'
import { test } from 'node:test'
import { choices, context, effectBody, marks, type Plugins, summary } from '../src/models/policy'

const JSON_TEXT = '{\n  "kind": "Policy",\n  "priorities": [{"name": "Foo", "weight": -1}]\n}'

test('a fault is marked at its line and column, to the end of the word', () => {
  const [mark] = marks(JSON_TEXT, [{ field: 'priorities[0].name', message: 'unknown', line: 3, column: 27 }], 'error')
  assert.equal(JSON_TEXT.slice(mark?.from, mark?.to), '"Foo"')
})

test('a fault without a place or beyond the text is marked within it', () => {
  const [without, beyond, after] = marks(JSON_TEXT, [{ message: 'a' }, { message: 'b', line: 99, column: 99 }, { message: 'c', line: 2, column: 500 }], 'error')
  assert.equal(without?.from, 0)
  for (const mark of [beyond, after]) assert.ok(mark && mark.from <= mark.to && mark.to <= JSON_TEXT.length)
  assert.equal(after?.from, JSON_TEXT.split('\n').slice(0, 2).join('\n').length)
  assert.deepEqual(marks('', [{ message: 'a', line: 1, column: 1 }], 'error').map(({ from, to }) => [from, to]), [[0, 0]])
})

const at = (text: string) => context(text.replace('|', ''), text.indexOf('|'))

test('names are completed in the list that they are written in', () => {
  assert.deepEqual(at('{"priorities": [{"name": "Lea|'), { list: 'priorities', from: 26 })
  assert.equal(at('{"predicates": [{"name": "|')?.list, 'predicates')
  assert.equal(at('{"predicates": [{"name": "PodFitsHost"}], "priorities": [{"name": "|')?.list, 'priorities')
  assert.equal(at('kind: Policy\npriorities:\n  - name: Lea|')?.list, 'priorities')
  assert.equal(at('predicates:\n- name: |')?.list, 'predicates')
  assert.equal(at('scoring:\n  levels:\n    - priority: Ta|')?.list, 'priorities')
  assert.equal(at('kind: KubeSchedulerConfiguration\nprofiles:\n- plugins:\n    score:\n      enabled:\n      - name: Node|')?.list, 'plugins')
})

test('nothing is completed elsewhere', () => {
  for (const text of ['{"kind": "|', 'kind: |', '{"priorities": [{"name": "A", "weight": |', '{"extenders": [{"name": "|', '{"name": "|', '|']) assert.equal(at(text), undefined, text)
})

test('a list offers its names, and configurations those of plugins of today', () => {
  const plugin = { aliases: [], kind: 'Priority', documentation: '# Rule\nThe *larger* the `share`, the\nhigher.\n\n```text\nx\n```', plugin: 'P' }
  const plugins: Plugins = {
    predicates: [{ ...plugin, name: 'SchedulingGates', standing: 'ProfilesOnly', modernPlugin: 'SchedulingGates' }],
    priorities: [{ ...plugin, name: 'Least', standing: 'Default', defaultWeight: 1, modernPlugin: 'NodeResourcesFit' }, { ...plugin, name: 'Most', standing: 'Optional', modernPlugin: 'NodeResourcesFit' }, { ...plugin, name: 'Gone', standing: 'Optional', retired: 'since 1.6' }],
  }
  assert.deepEqual(choices(plugins, 'priorities').map(({ name, detail }) => [name, detail]), [['Least', 'default, weight 1'], ['Most', 'optional']])
  assert.deepEqual(choices(plugins, 'predicates'), [])
  assert.deepEqual(choices(plugins, 'plugins').map(({ name }) => name), ['SchedulingGates', 'NodeResourcesFit'])
  assert.equal(summary(plugin.documentation), 'The larger the share, the higher.')
})

test('a candidate is sent as it is written', () => {
  const json = effectBody('{"kind": "Policy"}', { pending: true })
  assert.deepEqual(JSON.parse(json.body), { over: { pending: true }, limit: 200, candidate: { kind: 'Policy' } })
  const yaml = effectBody('# mine\nkind: Policy\npriorities:\n- name: A', { pending: true })
  assert.equal(yaml.type, 'application/yaml')
  assert.match(yaml.body, /^over: {"pending":true}\nlimit: 200\ncandidate:\n {2}# mine\n {2}kind: Policy\n {2}priorities:\n {2}- name: A\n/)
})
