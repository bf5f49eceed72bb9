/**
 * Watches the memory of the page over a long time, against the server at PODBERTH_URL: ten minutes of the map while 100 objects a second change,
 * then the pages that explain, opened over and over with other pods. It is run by hand: `scripts/ui heap`.
 *
 * MINUTES (10), RATE (100) and ROUNDS (30) change what it does, NODES and PODS the cluster, as for `scripts/ui test`.
 */
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { load } from './cluster.mjs'

const here = dirname(fileURLToPath(import.meta.url))
const { chromium } = createRequire(join(here, '../../ui/package.json'))('playwright-core')

const url = new URL('/', process.env.PODBERTH_URL)
const number = (name, otherwise) => Number(process.env[name] ?? otherwise)
const [nodes, pods] = [number('NODES', 5000), number('PODS', 15_000)]
const [minutes, rate, rounds] = [number('MINUTES', 10), number('RATE', 100), number('ROUNDS', 30)]
/** Growth after the first measure, which the page has warmed up for, that is no leak. */
const MOST_GROWTH = 4 << 20
/** Changes of one request: so many as are due, which is more where the server is slow. */
const [LEAST, MOST] = [10, 200]

const { totals } = await (await fetch(new URL('overview', url))).json()
if (totals.nodes === 0) await load(url, nodes, pods)
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox', '--disable-dev-shm-usage'] })
const page = await (await browser.newContext({ viewport: { width: 1280, height: 800 } })).newPage()
const devtools = await page.context().newCDPSession(page)
const home = new URL('ui/', url).href
const failures = []

/** Bytes of the heap and elements of the document after a garbage collection. */
async function measure() {
  await devtools.send('HeapProfiler.collectGarbage')
  const { usedSize } = await devtools.send('Runtime.getHeapUsage')
  const { nodes: kept } = await devtools.send('Memory.getDOMCounters')
  return { heap: usedSize, kept, shown: await page.evaluate(() => document.querySelectorAll('*').length) }
}

const told = ({ heap, kept, shown }) => `heap ${(heap / 2 ** 20).toFixed(1)} MB, ${kept} DOM nodes, ${shown} elements in the document`

function judge(what, measures) {
  const [first, last] = [measures[0], measures.at(-1)]
  if (last.heap - first.heap > MOST_GROWTH) failures.push(`${what}: the heap grew by ${((last.heap - first.heap) / 2 ** 20).toFixed(1)} MB`)
  if (last.kept > 2 * first.kept + 1000) failures.push(`${what}: DOM nodes grew from ${first.kept} to ${last.kept}`)
}

async function settled() {
  // Not `waitForSelector`, which keeps what it has found.
  await page.locator('main h1').waitFor()
  await page.waitForFunction(() => !document.querySelector('main[aria-busy=true], main .busy'), undefined, { timeout: 120_000 })
}

/** Changes pods on nodes all over the cluster until it is stopped. */
function churn() {
  let [sent, failed, isOver] = [0, 0, false]
  const began = Date.now()
  const pod = (at) => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { namespace: 'churn', name: `churn-${at % 1000}`, labels: { app: 'churn' } },
    spec: { nodeName: `node-${String(((at % 1000) * 31) % nodes).padStart(5, '0')}`, containers: [{ name: 'main', resources: { requests: { cpu: `${10 + (at % 7) * 10}m` } } }] },
  })
  const run = (async () => {
    while (!isOver) {
      const due = Math.floor(((Date.now() - began) / 1000) * rate)
      if (due - sent < LEAST) {
        await new Promise((resolve) => setTimeout(resolve, 20))
        continue
      }
      const items = Array.from({ length: Math.min(due - sent, MOST) }, (_, at) => pod(sent + at))
      const reply = await fetch(new URL('import', url), { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ apiVersion: 'v1', kind: 'List', items }) })
      await reply.text()
      if (!reply.ok) failed += items.length
      sent += items.length
    }
  })()
  return async () => {
    isOver = true
    await run
    return { failed, rate: sent / ((Date.now() - began) / 1000) }
  }
}

if (minutes > 0) {
  await page.goto(`${home}#/map`)
  await settled()
  await page.locator('.live.live').waitFor()
  const revision = () => page.textContent('.revision')
  const before = await revision()
  const stop = churn()
  const measures = []
  for (let minute = 0; minute <= minutes; minute++) {
    await page.waitForTimeout(minute === 0 ? 20_000 : 60_000)
    measures.push(await measure())
    console.log(`# map, minute ${minute}: ${told(measures.at(-1))}`)
  }
  const { rate: reached, failed } = await stop()
  console.log(`# ${reached.toFixed(1)} changes a second, ${failed} refused; from "${before}" to "${await revision()}"`)
  if (failed > 0) failures.push(`${failed} changes were refused`)
  if (reached < rate * 0.9) failures.push(`${reached.toFixed(1)} changes a second instead of ${rate}`)
  if ((await page.locator('.live.live').count()) === 0) failures.push('the map is not live any more')
  judge('map', measures)
}

const place = encodeURIComponent('{"steps":[{"cordon":"node-00007"}]}')
/** The places of one round. Explanations are of other pods in each. */
const places = (round) => [
  `explain/shop/app-${round * 3 + 1}?rows=nodes&columns=all`,
  `explain/batch/huge-${round % 30}`,
  `explain/shop/checkout-1?node=node-${String(round).padStart(5, '0')}`,
  'pending', 'policy', `what-if?steps=${place}`, 'decisions', 'autoscale?tab=down', 'map?view=table',
]
const measures = []
for (let round = 0; round < rounds; round++) {
  for (const where of places(round)) {
    await page.goto(`${home}#/${where}`)
    await settled()
  }
  if (round % Math.max(1, Math.floor(rounds / 10)) === 0 || round === rounds - 1) {
    await page.goto(`${home}#/access`)
    await settled()
    const at = await measure()
    console.log(`# explaining pages, round ${round + 1}: ${told(at)}`)
    // The first round loads the code of all pages.
    if (round > 0) measures.push(at)
  }
}
if (measures.length > 1) judge('explaining pages', measures)

await browser.close()
for (const failure of failures) console.log(`not ok ${failure}`)
console.log(failures.length ? `${failures.length} failed` : 'ok the memory of the page is flat')
process.exit(failures.length ? 1 : 0)
