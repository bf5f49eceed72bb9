/**
 * Drives the web page in Chromium against the server at PODBERTH_URL, as a person would. Every page, in both colour schemes: no request leaves
 * the origin, no error on the console, no violation of the content security policy, none that axe finds, a bounded number of elements. Then
 * the jobs of `jobs/*.mjs`, each by keyboard. See scripts/ui.
 */
import assert from 'node:assert/strict'
import { mkdirSync, readdirSync } from 'node:fs'
import { createServer, request } from 'node:http'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { load } from './cluster.mjs'

const here = dirname(fileURLToPath(import.meta.url))
const require = createRequire(join(here, '../../ui/package.json'))
const { chromium } = require('playwright-core')
const AXE = require.resolve('axe-core/axe.min.js')

const url = new URL('/', process.env.PODBERTH_URL)
const nodes = Number(process.env.NODES ?? 5000)
const pods = Number(process.env.PODS ?? 15_000)
const shots = process.env.SHOTS
const ELEMENTS = 3000

let passed = 0
let failed = 0
async function check(name, run) {
  // ONLY=<pattern> runs those alone whose names match.
  if (process.env.ONLY && !new RegExp(process.env.ONLY).test(name)) return
  try {
    await run()
    passed++
    console.log(`ok ${name}`)
  } catch (error) {
    failed++
    console.log(`not ok ${name}\n  ${String(error.stack ?? error).split('\n').slice(0, 8).join('\n  ')}`)
  }
}

/** The server as a proxy has it, which takes a prefix off each path. */
async function prefixed(prefix) {
  const proxy = createServer((asked, reply) => {
    if (!asked.url.startsWith(prefix)) {
      reply.writeHead(404).end('outside of the prefix')
      return
    }
    const onward = request(new URL(asked.url.slice(prefix.length - 1), url), { method: asked.method, headers: asked.headers }, (answer) => {
      reply.writeHead(answer.statusCode, answer.headers)
      answer.pipe(reply)
    })
    onward.on('error', () => reply.destroy())
    reply.on('close', () => onward.destroy())
    asked.pipe(onward)
  })
  await new Promise((resolve) => proxy.listen(0, '127.0.0.1', resolve))
  return { url: new URL(prefix, `http://127.0.0.1:${proxy.address().port}`), close: () => proxy.closeAllConnections() || proxy.close() }
}

/** A tab whose faults are kept: `faults` lists what a visitor never sees but should not be. */
async function tab(browser, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, reducedMotion: 'reduce', ...options })
  const page = await context.newPage()
  const faults = []
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) faults.push(`console: ${message.text()}`)
  })
  page.on('pageerror', (error) => faults.push(`error: ${error.message}`))
  page.on('request', (asked) => {
    const { protocol, hostname } = new URL(asked.url())
    if (hostname !== '127.0.0.1' && !['data:', 'blob:'].includes(protocol)) faults.push(`request to ${asked.url()}`)
  })
  await page.addInitScript(() => {
    addEventListener('securitypolicyviolation', (event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`))
  })
  return { page, faults, close: () => context.close() }
}

/** Waits until a page is there and nothing loads. */
async function settled(page) {
  await page.waitForSelector('main h1', { timeout: 20_000 })
  await page.waitForFunction(() => !document.querySelector('main[aria-busy=true], main .busy'), undefined, { timeout: 60_000 })
}

async function axe(page) {
  // Not by a <script> element, which the page's policy refuses.
  await page.evaluate(`${(await import('node:fs')).readFileSync(AXE, 'utf8')};undefined`)
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }))
  assert.deepEqual(violations.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map(({ html, failureSummary }) => `${html.slice(0, 120)} ${failureSummary}`).join(' | ')}`), [])
}

const { totals } = await (await fetch(new URL('overview', url))).json()
if (totals.nodes === 0) {
  console.log(`# loading ${nodes} nodes and ${pods} pods`)
  await load(url, nodes, pods)
}
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox', '--disable-dev-shm-usage'] })
const home = new URL('ui/', url).href

const first = await tab(browser)
const began = Date.now()
await first.page.goto(url.href)
await settled(first.page)
console.log(`# first page after ${Date.now() - began} ms`)
const pages = await first.page.$$eval('nav.rail a[href^="#"]', (links) => links.map((link) => link.getAttribute('href').replace(/^#\//, '')))
await check('the root leads a browser to the page', () => assert.ok(first.page.url().startsWith(home)))
await first.close()

/** A richer address of a page, where its own is empty at first. */
const FULLER = {
  explain: 'explain/shop/checkout-1?node=node-00001',
  'what-if': `what-if?steps=${encodeURIComponent('{"steps":[{"removeNode":"node-00000"},{"removeNode":"node-00050"},{"removeNode":"node-00100"}]}')}`,
  autoscale: 'autoscale?tab=down',
}
/** The part of a page that its picture shows, where it is not the beginning. */
const SHOWN = { 'what-if': '#maps-title' }
for (const scheme of ['light', 'dark']) {
  for (const id of pages) {
    await check(`${id} is clean in ${scheme}`, async () => {
      const isShot = shots && scheme === 'light'
      // Small pictures: they are kept in the repository.
      const { page, faults, close } = await tab(browser, { colorScheme: scheme, ...(isShot ? { viewport: { width: 960, height: 560 } } : {}) })
      try {
        await page.goto(`${home}#/${FULLER[id] ?? id}`)
        await settled(page)
        await axe(page)
        const elements = await page.evaluate(() => document.querySelectorAll('*').length)
        assert.ok(elements <= ELEMENTS, `${elements} elements`)
        assert.equal(await page.title(), `${await page.textContent('nav.rail a[aria-current]')} · Podberth`)
        assert.deepEqual(faults, [])
        if (isShot) {
          mkdirSync(shots, { recursive: true })
          if (SHOWN[id]) await page.$eval(SHOWN[id], (part) => part.scrollIntoView())
          await page.screenshot({ path: join(shots, `${id}.png`) })
        }
      } finally {
        await close()
      }
    })
  }
}
for (const id of pages) {
  await check(`${id} fits a narrow screen`, async () => {
    // 1280 pixels at 400 % are 320.
    const { page, faults, close } = await tab(browser, { viewport: { width: 320, height: 640 } })
    try {
      await page.goto(`${home}#/${FULLER[id] ?? id}`)
      await settled(page)
      const [wide, wider] = await page.evaluate(() => [document.documentElement.clientWidth, document.documentElement.scrollWidth])
      assert.ok(wider <= wide + 1, `the document is ${wider} pixels wide on ${wide}`)
      assert.deepEqual(faults, [])
    } finally {
      await close()
    }
  })
}

for (const file of readdirSync(join(here, 'jobs')).filter((name) => name.endsWith('.mjs')).sort()) {
  const { jobs } = await import(`./jobs/${file}`)
  for (const [name, run, options = {}] of jobs) {
    await check(name, async () => {
      const { page, faults, close } = await tab(browser, options)
      try {
        const open = async (place) => {
          await page.goto(`${home}#/${place}`)
          await settled(page)
        }
        const call = async (path) => (await fetch(new URL(path, url))).json()
        await run({ page, faults, open, settled, call, url, home, prefixed, axe, assert, nodes, pods })
        assert.deepEqual(faults, [])
      } finally {
        await close()
      }
    })
  }
}

await browser.close()
console.log(`${passed} passed, ${failed} failed`)
process.exit(failed ? 1 : 0)
