/** Jobs of the pages that explain: the matrix, the tree, policies, decisions, what if, autoscaling. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { boundPod, boundPods } from '../cluster.mjs'

const DIST = fileURLToPath(new URL('../../../ui/dist', import.meta.url))
/** Pods whose matrix is compared with the reply of the server, chosen by chance. */
const EXPLAINED = Number(process.env.EXPLAINED ?? 50)
const SEED = Number(process.env.SEED ?? Date.now() % 1_000_000)
const number = (n) => n.toLocaleString('en')

async function post(url, path, body, method = 'POST', type = 'application/json') {
  const reply = await fetch(new URL(path, url), { method, headers: { 'content-type': type }, body: typeof body === 'string' ? body : JSON.stringify(body) })
  if (!reply.ok) throw new Error(`${path}: ${reply.status} ${(await reply.text()).slice(0, 300)}`)
  return reply.json()
}

/** Refusals of a text that is being written are no faults of the page. */
function refused(faults, code) {
  const others = faults.filter((fault) => !fault.includes(`status of ${code}`))
  faults.splice(0, faults.length, ...others)
}

/** Texts of the cells of the rows in the document, by the row's index from 0. */
const cells = (page) =>
  page.$$eval('[role=grid] .body [role=row]', (rows) =>
    rows.map((row) => [Number(row.getAttribute('aria-rowindex')) - 2, [...row.querySelectorAll('[role=gridcell]')].map((cell) => cell.textContent.trim())]),
  )

/** What the matrix is to show of an explanation, in order of rank. */
function expected(explanation) {
  const GLYPHS = { Fits: '✓', Unschedulable: '✗', UnschedulableAndUnresolvable: '✗✗' }
  const fitting = explanation.nodes.find(({ fits }) => fits)
  const rows = explanation.nodes.map(({ name, rank, total, verdicts, scores }) => [
    name,
    ...(fitting ? [rank ? String(rank) : '–', rank ? number(total) : '–', ...(rank ? scores.map(({ score }) => String(score)) : fitting.scores.map(() => '–'))] : []),
    ...verdicts.map(({ verdict, reasons }) => `${GLYPHS[verdict]} ${reasons.length ? [...new Set(reasons)].join(', ') : 'fits'}`),
  ])
  const place = new Map(explanation.nodes.map(({ name, rank }) => [name, rank ?? Infinity]))
  return rows.sort((a, b) => place.get(a[0]) - place.get(b[0]) || (a[0] < b[0] ? -1 : 1))
}

/** Numbers from 0 to below 1, the same for a seed (mulberry32). */
function generator(seed) {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

const TREE = { kind: 'Policy', apiVersion: 'v1', scoring: { strategy: 'Lexicographic', levels: [{ priority: 'BalancedResourceAllocation', tolerance: 5 }, { priority: 'LeastRequestedPriority', tolerance: 10 }] } }

export const jobs = [
  [
    'files are within their budgets',
    async ({ assert }) => {
      const files = readdirSync(DIST).filter((name) => name !== 'files.rs')
      const sizes = new Map(files.map((name) => [name, readFileSync(join(DIST, name))]))
      const zipped = (name) => gzipSync(sizes.get(name), { level: 9 }).length
      const html = sizes.get('index.html').toString()
      const first = files.filter((name) => name.endsWith('.js') && html.includes(name)).reduce((sum, name) => sum + zipped(name), 0)
      assert.ok(first > 0 && first <= 60 * 1024, `first load ${first} bytes`)
      const editor = files.filter((name) => /^(codemirror|editor)-/.test(name)).reduce((sum, name) => sum + zipped(name), 0)
      assert.ok(editor > 0 && editor <= 160 * 1024, `editor ${editor} bytes`)
      const all = [...sizes.values()].reduce((sum, file) => sum + file.length, 0)
      assert.ok(all <= 700 * 1024, `all ${all} bytes`)
    },
  ],
  [
    `cells of the matrix are those of the server for ${EXPLAINED} pods (SEED=${SEED})`,
    async ({ page, open, url, call, assert, nodes, pods, settled }) => {
      const chance = generator(SEED)
      const waiting = (await call('api/v1/pods?fieldSelector=spec.nodeName=&limit=500')).items
      const kinds = new Map(waiting.map((pod) => [pod.metadata.labels.app, pod]))
      // One of each kind that waits, then any others.
      const names = new Set([...kinds.values()].map(({ metadata }) => `${metadata.namespace}/${metadata.name}`))
      while (names.size < EXPLAINED) names.add(boundPod(Math.floor(chance() * boundPods(nodes, pods))))
      // One page for all of them, as for somebody who looks at one pod after the other.
      await open('explain')
      for (const podName of names) {
        const [reply] = await Promise.all([
          post(url, 'explain', { podName }),
          page.evaluate((to) => { location.hash = to }, `#/explain/${podName}?rows=nodes&columns=all`),
          page.waitForFunction((of) => document.querySelector('main h1').textContent === of, podName),
        ])
        const rows = expected(reply)
        await page.waitForSelector('[role=grid]')
        await settled(page)
        const seen = new Map()
        for (const row of [0, Math.floor(chance() * nodes), nodes - 1]) {
          await page.$eval('[role=grid]', (grid, row) => { grid.scrollTop = row * 28 }, row)
          await page.waitForSelector(`[aria-rowindex="${row + 2}"]`)
          for (const [index, texts] of await cells(page)) seen.set(index, texts)
          assert.ok(seen.has(row))
        }
        for (const [index, texts] of seen) assert.deepEqual(texts, rows[index], `${podName}, row ${index}`)
      }
    },
  ],
  [
    'a pod is chosen, its equal nodes opened and two of them compared by keyboard alone',
    async ({ page, open, settled, assert, axe, url }) => {
      await open('explain')
      await page.keyboard.press('/')
      await page.keyboard.type('shop/checkout-1')
      await page.keyboard.press('Enter')
      await page.waitForFunction(() => location.hash === '#/explain/shop/checkout-1')
      await page.waitForSelector('[role=grid]')
      await settled(page)
      const explanation = await post(url, 'explain?view=columns', { podName: 'shop/checkout-1' })
      assert.equal(await page.getAttribute('[role=grid]', 'aria-rowcount'), String(explanation.patterns.length + 1))
      const byTab = async (found) => {
        for (let at = 0; at < 60; at++) {
          if (await page.evaluate(found)) return
          await page.keyboard.press('Tab')
        }
        assert.fail(`no Tab leads to ${found}`)
      }
      await byTab(() => document.activeElement.getAttribute('role') === 'grid')
      await page.keyboard.press('Enter')
      await page.waitForFunction((rows) => document.querySelector('[role=grid]').getAttribute('aria-rowcount') === String(rows), explanation.patterns.length + 1 + explanation.patterns[0].count)
      await page.keyboard.press('ArrowDown')
      await page.keyboard.press('ArrowDown')
      await page.keyboard.press('Enter')
      await page.waitForSelector('aside.side .amounts')
      const second = explanation.nodes[explanation.patterns[0].nodes[1]]
      assert.equal(await page.textContent('aside.side h2'), second)
      assert.match(await page.textContent('aside.side'), /number 2 of/)
      assert.match(await page.textContent('aside.side .amounts tbody'), /^cpu1[\d.]+–memory1 Gi[\d.]+ Gi–pods1\d+–/)
      assert.match(await page.textContent('aside.side .compare caption'), new RegExp(`${second} and ${explanation.selected}`))
      await axe(page)
      await byTab(() => /Compare with another/.test(document.activeElement.textContent))
      await page.keyboard.press('Enter')
      await page.getByRole('grid').focus()
      await page.keyboard.press('ArrowDown')
      await page.keyboard.press('ArrowDown')
      await page.keyboard.press('Enter')
      const fourth = explanation.nodes[explanation.patterns[0].nodes[3]]
      await page.waitForFunction((words) => document.querySelector('aside.side caption:not(.unseen)')?.textContent === words, `${fourth} and ${second}`)
      const sum = explanation.total[explanation.nodes.indexOf(fourth)] - explanation.total[explanation.nodes.indexOf(second)]
      assert.equal(await page.textContent('aside.side tfoot td:last-child'), `${sum > 0 ? '+' : ''}${number(sum)}`)
    },
  ],
  ...['light', 'dark'].map((colorScheme) => [
    `the minimap shows all rows and moves the table by keyboard, in ${colorScheme}`,
    async ({ page, open, assert, axe, nodes }) => {
      await open('explain/shop/checkout-1?rows=nodes')
      const map = page.getByRole('scrollbar')
      await map.focus()
      await page.keyboard.press('End')
      await page.waitForSelector(`[aria-rowindex="${nodes + 1}"]`)
      assert.equal(await map.getAttribute('aria-valuenow'), await map.getAttribute('aria-valuemax'))
      assert.match(await map.getAttribute('aria-valuetext'), new RegExp(` to ${number(nodes)} of ${number(nodes)}$`))
      // Nodes that do not fit are last: the line at the bottom is of another colour than the one at the top.
      const lines = await page.$eval('.minimap canvas', (canvas) => {
        const { data } = canvas.getContext('2d').getImageData(1, 0, 1, canvas.height)
        return [data.slice(4, 8).join(), data.slice(-8, -4).join()]
      })
      assert.notEqual(lines[0], lines[1])
      await page.keyboard.press('PageUp')
      await page.keyboard.press('Home')
      await page.waitForSelector('[aria-rowindex="2"]')
      const box = await map.boundingBox()
      await page.mouse.click(box.x + box.width / 2, box.y + box.height - 2)
      await page.waitForSelector(`[aria-rowindex="${nodes + 1}"]`)
      await axe(page)
    },
    { colorScheme },
  ]),
  [
    'a predicate shows the nodes that it rejects',
    async ({ page, open, url, assert }) => {
      const { predicates } = await post(url, 'explain?view=columns', { podName: 'shop/checkout-1' })
      await open('explain/shop/checkout-1?rows=nodes')
      const told = await page.$$eval('.rejections button', (buttons) => buttons.map((button) => button.querySelector('strong').textContent))
      assert.deepEqual(told, predicates.filter(({ rejected }) => rejected > 0).map(({ rejected }) => number(rejected)))
      await page.click('.rejections button')
      await page.waitForFunction((rows) => document.querySelector('[role=grid]').getAttribute('aria-rowcount') === rows, String(predicates.find(({ rejected }) => rejected > 0).rejected + 1))
    },
  ],
  [
    'a pod that is not there is explained as it is written',
    async ({ page, open, assert }) => {
      await open('explain')
      await page.getByLabel(/not there yet/).fill('{"metadata": {"name": "mine", "namespace": "shop"},\n "spec": {"containers": [{"name": "m", "resources": {"requests": {"cpu": "64"}}}]}}')
      await page.getByRole('button', { name: 'Where would it go?' }).press('Enter')
      await page.waitForSelector('.verdict')
      assert.match(await page.textContent('.verdict'), /nodes are available.*Insufficient cpu/)
      assert.match(await page.textContent('main'), /smallest changes.*lower the cpu request/s)
    },
  ],
  [
    'the tree shows the groups of each level, and keeps one',
    async ({ page, open, url, assert, axe }) => {
      await post(url, 'policies/tree', TREE, 'PUT')
      const of = await post(url, 'explain?view=columns&policy=tree', { podName: 'shop/checkout-1' })
      await open('explain/shop/checkout-1?policy=tree')
      await page.waitForSelector('.tree svg')
      await axe(page)
      const fitting = of.rank.filter((rank) => rank !== null).length
      const labels = await page.$$eval('.tree .block', (blocks) => blocks.map((block) => [Number(block.querySelector('rect').getAttribute('x')), block.getAttribute('aria-label')]))
      for (const x of new Set(labels.map(([x]) => x))) {
        const nodes = labels.filter(([at]) => at === x).map(([, label]) => Number(/^([\d,]+) ×/.exec(label)[1].replaceAll(',', '')))
        assert.equal(nodes.reduce((a, b) => a + b), fitting, 'every level has all nodes that fit')
      }
      // The best group of the last level: nodes that tie with the best.
      const ties = of.total.filter((total, node) => of.rank[node] !== null && total === of.total[of.nodes.indexOf(of.selected)]).length
      const best = page.locator('.tree .block.leads').last()
      assert.match(await best.getAttribute('aria-label'), new RegExp(`^${number(ties)} ×`))
      await best.focus()
      await page.keyboard.press('Enter')
      await page.waitForFunction((rows) => document.querySelector('[role=grid]').getAttribute('aria-rowcount') === rows, String(ties + 1))
    },
  ],
  [
    'a policy is completed, corrected and put in force by keyboard, then rolled back',
    async ({ page, open, call, url, assert, axe, faults }) => {
      await post(url, 'policy', { kind: 'Policy', apiVersion: 'v1', priorities: [{ name: 'LeastRequestedPriority', weight: 1 }] }, 'PUT')
      const before = await call('policy')
      await open('policy')
      const content = page.locator('.editor-host .cm-content')
      await content.focus()
      await page.keyboard.press('Control+a')
      await page.keyboard.insertText('kind: Policy\napiVersion: v1\npriorities:\n  - name: MostRequestedPriority\n    weight: -2\n  - name: ')
      await page.keyboard.type('EqualP')
      await page.waitForSelector('.cm-tooltip-autocomplete')
      await page.waitForTimeout(200)
      await page.keyboard.press('Enter')
      await page.waitForFunction(() => document.querySelector('.editor-host').shadowRoot.querySelector('.cm-content').textContent.includes('EqualPriority'))
      await page.keyboard.insertText('\n    weight: 1\n')
      await page.waitForSelector('.marks')
      assert.match(await page.textContent('.marks'), /priorities\[0\]\.weight/)
      // The mark is in the gutter of the fifth line, at the weight.
      const marked = await page.evaluate(() => {
        const root = document.querySelector('.editor-host').shadowRoot
        const marker = root.querySelector('.cm-lint-marker').getBoundingClientRect()
        return [...root.querySelectorAll('.cm-lineNumbers .cm-gutterElement')].find((line) => Math.abs(line.getBoundingClientRect().top - marker.top) < 12 && line.getBoundingClientRect().height > 0)?.textContent
      })
      assert.equal(marked, '5')
      await axe(page)
      assert.ok(await page.getByRole('button', { name: 'Put in force' }).isDisabled())
      refused(faults, 422)
      await content.focus()
      await page.keyboard.press('Control+a')
      await page.keyboard.insertText('kind: Policy\napiVersion: v1\npriorities:\n  - name: MostRequestedPriority\n    weight: 2\n')
      await page.waitForFunction(() => /would take it/.test(document.querySelector('.bar [role=status]')?.textContent ?? ''))
      await page.getByRole('tab', { name: 'Changes' }).press('Enter')
      await page.waitForSelector('.cm-deletedChunk')
      await axe(page)
      await page.getByRole('tab', { name: 'Effect' }).press('Enter')
      await page.getByRole('button', { name: 'Compare' }).press('Enter')
      await page.waitForSelector('.figures', { timeout: 60_000 })
      await axe(page)
      await page.getByRole('tab', { name: 'Edit' }).press('Enter')
      await page.getByRole('button', { name: 'Put in force' }).press('Enter')
      await page.waitForFunction((words) => document.querySelector('main').textContent.includes(words), `Revision ${before.revision + 1} is in force from now on`)
      assert.equal((await call('policy')).active.priorities[0].name, 'MostRequestedPriority')
      await page.getByRole('tab', { name: 'Revisions' }).press('Enter')
      await page.getByRole('row', { name: new RegExp(`^${before.revision} `) }).getByRole('button', { name: 'Roll back' }).press('Enter')
      await page.getByRole('button', { name: `Put revision ${before.revision} in force` }).press('Enter')
      await page.waitForFunction((words) => document.querySelector('main').textContent.includes(words), `Revision ${before.revision + 2} is in force from now on`)
      assert.equal((await call('policy')).active.priorities[0].name, 'LeastRequestedPriority')
      await axe(page)
      await fetch(new URL('policy', url), { method: 'DELETE' })
    },
  ],
  [
    'a policy that another has changed meanwhile is not put over it',
    async ({ page, open, call, url, assert, faults }) => {
      await open('policy')
      const content = page.locator('.editor-host .cm-content')
      await content.focus()
      await page.keyboard.press('Control+a')
      await page.keyboard.insertText('{"kind": "Policy", "apiVersion": "v1", "priorities": [{"name": "EqualPriority", "weight": 1}]}')
      await page.waitForFunction(() => /would take it/.test(document.querySelector('.bar [role=status]')?.textContent ?? ''))
      const { revision } = await post(url, 'policy', { kind: 'Policy', apiVersion: 'v1', priorities: [{ name: 'MostRequestedPriority', weight: 3 }] }, 'PUT')
      await page.getByRole('button', { name: 'Put in force' }).press('Enter')
      await page.waitForFunction(() => /Somebody else/.test(document.querySelector('main').textContent))
      refused(faults, 412)
      assert.equal((await call('policy')).revision, revision)
      await fetch(new URL('policy', url), { method: 'DELETE' })
    },
  ],
  [
    'steps are added by keyboard, carried by the link, and do what the server says',
    async ({ page, open, url, assert, axe }) => {
      await open('what-if')
      await page.keyboard.press('/')
      await page.keyboard.press('Tab')
      await page.keyboard.type('node-00000')
      await page.keyboard.press('Enter')
      await page.waitForFunction(() => /drain node-00000/.test(document.querySelector('.steps').textContent))
      await page.locator('select[data-filter]').selectOption('addNodes')
      await page.getByRole('textbox', { name: 'How many' }).fill('3')
      await page.getByRole('textbox', { name: 'Like the node' }).fill('node-00001')
      await page.keyboard.press('Enter')
      await page.waitForFunction(() => /add 3 nodes \(like-node-00001\)/.test(document.querySelector('.steps').textContent))
      await page.reload()
      await page.waitForFunction(() => document.querySelectorAll('.steps li').length === 2)
      await page.getByRole('button', { name: 'Simulate' }).press('Enter')
      await page.waitForSelector('.figures', { timeout: 60_000 })
      await axe(page)
      const steps = JSON.parse(new URLSearchParams(page.url().split('?')[1]).get('steps')).steps
      const report = await post(url, 'simulate', { steps })
      assert.equal(await page.textContent('.figures > div:first-child strong'), number(report.steps.reduce((sum, step) => sum + step.moved.length, 0)))
      assert.match(await page.textContent('main table tbody tr:last-child'), new RegExp(`After step 2${number(report.steps[1].utilization.nodes)}`))
    },
  ],
  [
    'two maps show the nodes before and after the steps, by keyboard alone',
    async ({ page, open, url, assert, axe, nodes }) => {
      const steps = [{ removeNode: 'node-00006' }, { addNodes: { template: { metadata: { name: 'extra', labels: { 'topology.kubernetes.io/zone': 'z7' } }, status: { allocatable: { cpu: '8', memory: '32Gi', pods: '110' } } }, count: 2 } }]
      await open(`what-if?steps=${encodeURIComponent(JSON.stringify({ steps }))}`)
      await page.waitForSelector('.pairs', { timeout: 120_000 })
      const { overview } = await post(url, 'simulate', { steps, overview: { group: 'topology.kubernetes.io/zone' } })
      const sums = (groups) => new Map(groups.map(({ name, nodes, pods }) => [name, [nodes, pods]]))
      const [before, after] = [sums(overview.before.groups), sums(overview.after.groups)]
      const told = await page.$$eval('.pairs .group', (groups) => groups.map((group) => [group.querySelector('h4').textContent, ...[...group.querySelectorAll('.sums')].map((sums) => [...sums.children].slice(1, 3).map((part) => part.textContent))]))
      const worded = (of) => { const [n, p] = of ?? [0, 0]; return [`${number(n)} node${n === 1 ? '' : 's'}`, `${number(p)} pod${p === 1 ? '' : 's'}`] }
      assert.deepEqual(told, [...new Set([...before.keys(), ...after.keys()])].sort().map((name) => [name, worded(before.get(name)), worded(after.get(name))]))
      const tiles = page.getByRole('application', { name: /^After, z1/ })
      await tiles.focus()
      await page.keyboard.press('ArrowRight')
      assert.match(await page.textContent('.looked'), /^node-00006 · goes · cpu/)
      await page.keyboard.press('Enter')
      await page.waitForFunction(() => location.hash.includes('node=node-00006'))
      await page.getByRole('application', { name: /^After, z7/ }).focus()
      await page.keyboard.press('ArrowRight')
      assert.match(await page.textContent('.looked'), /^extra-2 · joins/)
      // The same as a table, with what differs most first.
      const table = page.getByRole('grid', { name: 'Nodes that differ' })
      const count = Number(await table.getAttribute('aria-rowcount')) - 1
      assert.ok(count >= 3 && count <= nodes + 2, `${count} nodes differ`)
      await page.getByLabel('Group').selectOption('-')
      await page.waitForFunction(() => document.querySelectorAll('.pairs .group').length === 1, undefined, { timeout: 120_000 })
      await axe(page)
    },
  ],
  [
    'a decision is found, explained on its own state, and made again',
    async ({ page, open, settled, url, assert, axe }) => {
      const name = `recorded-${Date.now()}`
      const pod = { metadata: { name, namespace: 'jobs' }, spec: { containers: [{ name: 'm', resources: { requests: { cpu: '100m' } } }] } }
      const { pods } = await post(url, 'schedule', { pods: [pod] })
      // Decisions are written in batches, within half a second.
      for (let at = 0; at < 50 && (await (await fetch(new URL(`decisions?pod=jobs/${name}`, url))).json()).items.length === 0; at++) await page.waitForTimeout(100)
      await open('decisions')
      await page.keyboard.press('/')
      await page.keyboard.type(`jobs/${name}`)
      await page.keyboard.press('Enter')
      await page.waitForFunction(() => document.querySelector('[role=grid]')?.getAttribute('aria-rowcount') === '2')
      await page.getByRole('grid').focus()
      await page.keyboard.press('Enter')
      await page.waitForSelector('aside.side')
      assert.match(await page.textContent('aside.side'), new RegExp(`bound.*${pods[0].node}`, 's'))
      await axe(page)
      await page.getByRole('button', { name: 'Would it go there again?' }).press('Enter')
      await page.waitForFunction(() => /Yes: made again/.test(document.querySelector('aside.side').textContent))
      await page.getByRole('link', { name: /state on which it was made/ }).press('Enter')
      await page.waitForSelector('.verdict')
      await settled(page)
      assert.match(await page.textContent('.verdict'), new RegExp(pods[0].node))
      assert.match(await page.textContent('main'), /As it was when this decision was made/)
    },
  ],
  [
    'plans for more and for fewer nodes are those of the server',
    async ({ page, open, url, call, assert, axe }) => {
      await open('autoscale')
      const status = await call('autoscale/status')
      assert.equal(await page.getAttribute('[role=grid]', 'aria-rowcount'), String(status.groups.length + 1))
      await page.getByRole('tab', { name: 'Fewer nodes' }).press('Enter')
      await page.waitForSelector('.verdict', { timeout: 60_000 })
      const down = await post(url, 'autoscale/scale-down', {})
      assert.match(await page.textContent('.verdict'), new RegExp(`^${number(down.delete.count)} nodes? can go now, ${number(Object.values(down.nodes).filter((node) => node.unneeded).length)} of ${number(Object.keys(down.nodes).length)}`))
      await axe(page)
      await page.getByRole('tab', { name: 'More nodes' }).press('Enter')
      await page.waitForSelector('.verdict', { timeout: 60_000 })
      const up = await post(url, 'autoscale/scale-up', {})
      const groups = await page.$$eval('.helpless h3', (heads) => heads.map((head) => Number(/^[\d,]+/.exec(head.textContent)[0].replaceAll(',', ''))))
      assert.equal(groups.reduce((a, b) => a + b, 0), Object.keys(up.podsRemainUnschedulable).length)
      await axe(page)
    },
  ],
]
